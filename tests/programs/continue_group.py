"""Continue a process group of our session, whose one process is another user's."""

import os
import signal

(ready, told), (ends, held) = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    os.close(held)
    os.write(told, b"!")
    os.read(ends, 1)
    os._exit(0)
os.read(ready, 1)
os.killpg(child, signal.SIGCONT)
