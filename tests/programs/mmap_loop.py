"""Map and unmap memory N times, then give a file to another user: mmap_loop.py N FILE."""

import mmap
import os
import sys

for _ in range(int(sys.argv[1])):
    mmap.mmap(-1, 4096).close()
os.chown(sys.argv[2], 65534, -1)
