"""Start N short children, then have one more give FILE to another user: many_children.py N FILE."""

import os
import sys

for _ in range(int(sys.argv[1])):
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)
if (pid := os.fork()) == 0:
    os.chown(sys.argv[2], 65534, -1)
    os._exit(0)
os.waitpid(pid, 0)
