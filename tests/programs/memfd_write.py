"""Write a megabyte into anonymous shared memory."""

import os

os.write(os.memfd_create("x"), b"x" * (1 << 20))
