"""Odd programs by their habits: what they do silently, late or elsewhere."""

from __future__ import annotations

from tests.support.odd_program import (
    FOREIGN,
    IO_URING_OPEN,
    OTHER,
    PROGRAMS,
    PYTHON,
    READABLE,
    SEGMENT,
    STICKY,
    TMPFS,
    USER,
    OddProgram,
    py,
    sh,
)

# --- its own sets -------------------------------------------------------------------------------

OWN_SETS = "reads its own sets"
sh(
    OWN_SETS,
    "capeff-bit",
    "eff=$(sed -n 's/CapEff:\\t//p' /proc/self/status); [ $((0x$eff & 1)) = 1 ]",
)
sh(OWN_SETS, "capeff-zero", "! grep -q '^CapEff:.0000000000000000' /proc/self/status")
sh(
    OWN_SETS,
    "capbnd-admin",
    "b=$(sed -n 's/CapBnd:\\t//p' /proc/$$/status); [ $((0x$b & 0x1000)) != 0 ]",
)
sh(OWN_SETS, "capsh-has-p", "capsh --has-p=cap_net_raw")
sh(OWN_SETS, "capsh-has-b", "capsh --has-b=cap_sys_admin >/dev/null")
sh(OWN_SETS, "capsh-print", "capsh --print | grep -q cap_chown")
sh(OWN_SETS, "capsh-print-only", "capsh --print >/dev/null")
sh(OWN_SETS, "setpriv-dump", "setpriv -d >/dev/null")
sh(OWN_SETS, "status-read", "grep -q CapEff /proc/self/status")
py(OWN_SETS, "bset-read", "sys.exit(call('prctl', 23, 21, 0, 0, 0) != 1)")
py(OWN_SETS, "bset-read-all", "[libc.prctl(23, cap, 0, 0, 0) for cap in range(41)]")
py(
    OWN_SETS,
    "capget",
    """data = ctypes.create_string_buffer(24)
syscall(125, struct.pack('Ii', 0x20080522, 0), data)
sys.exit(not struct.unpack('6I', data.raw)[0] >> 13 & 1)
""",
)
py(
    OWN_SETS,
    "capget-then-use",
    """data = ctypes.create_string_buffer(24)
syscall(125, struct.pack('Ii', 0x20080522, 0), data)
if struct.unpack('6I', data.raw)[0] >> 10 & 1:
    socket.create_server(('127.0.0.1', 81))
else:
    sys.exit('need NET_BIND_SERVICE')
""",
)
py(
    OWN_SETS,
    "capget-fallback",
    """data = ctypes.create_string_buffer(24)
syscall(125, struct.pack('Ii', 0x20080522, 0), data)
if struct.unpack('6I', data.raw)[0] >> 12 & 1:
    os.system('ip link set lo up')
""",
)
py(
    OWN_SETS,
    "ambient-raise",
    """data = ctypes.create_string_buffer(24)
syscall(125, struct.pack('Ii', 0x20080522, 0), data)
sets = list(struct.unpack('6I', data.raw[:24]))
sets[2] |= 1 << 10
syscall(126, struct.pack('Ii', 0x20080522, 0), struct.pack('6I', *sets))
call('prctl', 47, 2, 10, 0, 0)
""",
)
py(OWN_SETS, "bset-drop", "call('prctl', 24, 16, 0, 0, 0)")
py(OWN_SETS, "bset-drop-try", "libc.prctl(24, 16, 0, 0, 0)")
py(OWN_SETS, "securebits", "call('prctl', 28, 0x2f, 0, 0, 0)")
py(OWN_SETS, "keepcaps", "call('prctl', 8, 1, 0, 0, 0)")
py(OWN_SETS, "no-new-privs", "call('prctl', 38, 1, 0, 0, 0)")
py(
    OWN_SETS,
    "keepcaps-port",
    """call('prctl', 8, 1, 0, 0, 0)
os.setresuid(65534, 65534, 65534)
syscall(126, struct.pack('Ii', 0x20080522, 0), struct.pack('6I', 1 << 10, 1 << 10, 0, 0, 0, 0))
socket.create_server(('127.0.0.1', 82))
""",
)
sh(OWN_SETS, "bounding-of-child", "setpriv --bounding-set -net_raw true")
sh(OWN_SETS, "inheritable-of-child", "setpriv --inh-caps -all true")
sh(OWN_SETS, "id-zero", "[ $(id -u) = 0 ]")

# --- handlers and the end -----------------------------------------------------------------------

LATE = "work in handlers and at the end"
OWNED = "test $(stat -c %u f) = 65534"
LOOP = "while :; do sleep 0.05; done"
sh(
    LATE,
    "trap-term",
    f"trap 'chown nobody f || exit 1; exit 0' TERM; touch ready; {LOOP}",
    "touch f",
    OWNED,
    0.8,
)
sh(
    LATE,
    "trap-term-foreign",
    f"trap 'echo x >> f; exit 0' TERM; {LOOP}",
    READABLE,
    "grep -q x f",
    0.8,
)
sh(LATE, "trap-exit", "trap 'chown nobody f' EXIT; true", "touch f", OWNED)
sh(LATE, "trap-usr1", "trap 'chown nobody f' USR1; kill -USR1 $$; sleep 0.1", "touch f", OWNED)
sh(
    LATE,
    "trap-kill-other",
    f"trap 'kill $(cat pid); exit 0' TERM; {LOOP}",
    OTHER,
    "! kill -0 $(cat pid)",
    0.8,
)
sh(LATE, "trap-umount", f"trap 'umount m; exit 0' TERM; {LOOP}", TMPFS, "! mountpoint -q m", 0.8)
sh(
    LATE,
    "timeout-trap",
    f"timeout -s TERM 0.4 sh -c \"trap 'chown nobody f || exit 1; exit 0' TERM; {LOOP}\";"
    " [ $? = 124 ]",
    "touch f",
    OWNED,
)
py(
    LATE,
    "handler-python",
    """def stop(*_):
    os.chown('f', 65534, -1)
    sys.exit()
signal.signal(signal.SIGTERM, stop)
while True:
    time.sleep(0.05)
""",
    "touch f",
    OWNED,
    0.8,
)
py(LATE, "atexit", "import atexit; atexit.register(os.chown, 'f', 65534, -1)", "touch f", OWNED)
py(
    LATE,
    "alarm",
    """signal.signal(signal.SIGALRM, lambda *_: os.chown('f', 65534, -1))
signal.setitimer(signal.ITIMER_REAL, 0.2)
time.sleep(0.5)
""",
    "touch f",
    OWNED,
)
sh(LATE, "nothing-at-stop", f"trap 'rm -f x; exit 0' TERM; touch x; {LOOP}", "", "test ! -e x", 0.8)
sh(LATE, "orphan", "(sleep 0.3; chown nobody f) & exit 0", "touch f", f"sleep 0.6; {OWNED}")
py(
    LATE,
    "double-fork",
    """if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(0.3)
        os.chown('f', 65534, -1)
    os._exit(0)
""",
    "touch f",
    f"sleep 0.6; {OWNED}",
)
py(
    LATE,
    "thread",
    """import threading
thread = threading.Thread(target=os.chown, args=('f', 65534, -1))
thread.start()
thread.join()
""",
    "touch f",
    OWNED,
)
py(
    LATE,
    "memfd-exec",
    """fd = os.memfd_create('x', 0)
os.write(fd, open('/bin/chown', 'rb').read())
os.execve(f'/proc/self/fd/{fd}', ['chown', 'nobody', 'f'], os.environ)
""",
    "touch f",
    OWNED,
)

# --- files whose mode changes in silence --------------------------------------------------------

SILENT = "silent changes of files"
SETID = "cp /bin/true f; chmod 4755 f"
sh(SILENT, "append-setuid", "printf x >> f; [ -u f ]", SETID)
sh(SILENT, "append-setuid-any", "printf x >> f", SETID)
sh(SILENT, "truncate-setuid", "truncate -s 10 f; [ -u f ]", SETID)
sh(
    SILENT,
    "append-setgid",
    "printf x >> f; [ -g f ]",
    "cp /bin/true f; chgrp 65534 f; chmod 2755 f",
)
sh(SILENT, "chmod-setgid", "chmod 2755 f; [ -g f ]", "touch f; chgrp 65534 f")
sh(SILENT, "chmod-plain", "chmod 755 f", "touch f; chgrp 65534 f")
sh(SILENT, "chmod-setgid-own", "chmod 2755 f; [ -g f ]", "touch f")
sh(SILENT, "cp-setuid", "cp -p f g; [ -u g ]", SETID)
sh(SILENT, "cp-setuid-foreign", "cp -p f g; [ -u g ]", SETID + "; chown 65534 f; chmod 4755 f")
sh(SILENT, "mkdir-in-setgid", "mkdir d/e; [ -g d/e ]", "mkdir d; chgrp 65534 d; chmod 2777 d")
sh(
    SILENT,
    "create-setgid",
    "install -m 2755 /bin/true d/t; [ -g d/t ]",
    "mkdir d; chgrp 65534 d; chmod 2777 d",
)
sh(
    SILENT,
    "chown-or-true",
    "chown -R nobody d 2>/dev/null || :",
    "mkdir d; touch d/f",
    "test $(stat -c %u d/f) = 65534",
)
sh(SILENT, "chown-same", "chown 0:0 f", "touch f")
sh(SILENT, "chown-any", "chown nobody f || :", "touch f")
sh(SILENT, "chgrp-own-group", "chgrp 0 f", "touch f; chgrp 65534 f")
sh(
    SILENT,
    "tar-owner",
    "tar xf a.tar",
    "touch f; chown 1234 f; tar cf a.tar f; rm f",
    "test $(stat -c %u f) = 1234",
)
sh(SILENT, "tar-no-owner", "tar xof a.tar", "touch f; chown 1234 f; tar cf a.tar f; rm f")
sh(SILENT, "cp-a-foreign", "cp -a f g", READABLE, "test $(stat -c %u g) = 65534")
sh(SILENT, "cp-p-try", "cp -p f g", READABLE)
py(
    SILENT,
    "setfsuid",
    "libc.setfsuid(65534); open('d/g', 'w')",
    "mkdir d; chmod 777 d",
    "test $(stat -c %u d/g) = 65534",
)
py(SILENT, "setfsuid-any", "libc.setfsuid(65534); open('d/g', 'w')", "mkdir d; chmod 777 d")
py(
    SILENT,
    "epollwakeup",
    """import select
select.epoll().register(os.pipe()[0], select.EPOLLIN | 1 << 29)""",
)
sh(SILENT, "touch-date", "touch -d 2001-01-01 f", READABLE)
sh(SILENT, "touch-now", "touch f", READABLE + "; chmod 666 f")
py(SILENT, "noatime", "os.open('f', os.O_NOATIME)", READABLE)
py(SILENT, "noatime-try", "errno_of(os.open, 'f', os.O_NOATIME); open('f').read()", READABLE)
py(SILENT, "noatime-fcntl", "fcntl.fcntl(os.open('f', 0), fcntl.F_SETFL, os.O_NOATIME)", READABLE)
sh(SILENT, "rm-sticky", "rm -f d/f", STICKY)
sh(SILENT, "mv-sticky", "mv d/f d/g", STICKY)
sh(SILENT, "hardlink-foreign", "ln f g", READABLE)
sh(SILENT, "immutable", "chattr +i f", "touch f", "lsattr f | grep -q i-; chattr -i f")
sh(SILENT, "lsattr", "lsattr f >/dev/null", "touch f")
sh(SILENT, "chmod-foreign", "chmod 600 f", READABLE)
sh(
    SILENT,
    "xattr-user-foreign",
    f"exec {PYTHON} -c \"import os; os.setxattr('f', 'user.x', b'1')\"",
    READABLE,
)
sh(SILENT, "mkfifo", "mkfifo p")
sh(SILENT, "mknod-null", "mknod n c 1 3")
sh(SILENT, "mknod-whiteout", "mknod n c 0 0")
sh(SILENT, "dd-direct", "dd if=/dev/zero of=f bs=4096 count=1 oflag=direct 2>/dev/null")

# --- memory and IPC -----------------------------------------------------------------------------

MEMORY = "memory and IPC"
py(MEMORY, "shm-lock-foreign", "call('shmctl', int(open('shm').read()), 11, None)", SEGMENT)
py(MEMORY, "shm-rmid-foreign", "call('shmctl', int(open('shm').read()), 0, None)", SEGMENT)
py(MEMORY, "shm-stat-foreign", "call('shmctl', int(open('shm').read()), 2, bytes(200))", SEGMENT)
py(
    MEMORY,
    "shm-attach-closed",
    "call('shmat', int(open('shm').read()), None, 0)",
    SEGMENT.replace("0o1666", "0o1600"),
)
sh(MEMORY, "ipcrm-foreign", "ipcrm -m $(cat shm)", SEGMENT)
sh(MEMORY, "ipcs", "ipcs -m >/dev/null", SEGMENT)
py(
    MEMORY,
    "mlock-small",
    "m = mmap.mmap(-1, 4096); call('mlock', ctypes.addressof(ctypes.c_char.from_buffer(m)), 4096)",
)
py(
    MEMORY,
    "mlock-large",
    """m = mmap.mmap(-1, 32 << 20)
call('mlock', ctypes.addressof(ctypes.c_char.from_buffer(m)), 32 << 20)
""",
)
py(MEMORY, "mlock-zero-limit", "resource.setrlimit(8, (0, 0)); call('mlockall', 2)")
py(MEMORY, "mlock-try", "resource.setrlimit(8, (0, 0)); libc.mlockall(2)")
py(MEMORY, "munlock", "call('munlockall')")
URING = """parameters = ctypes.create_string_buffer(120)
ring = syscall(425, 8, parameters)
"""
py(MEMORY, "io-uring-setup", URING)
py(
    MEMORY,
    "io-uring-buffers",
    "resource.setrlimit(8, (1 << 20, 1 << 20))\n"
    + URING
    + """m = mmap.mmap(-1, 32 << 20)
iovec = struct.pack('QQ', ctypes.addressof(ctypes.c_char.from_buffer(m)), 32 << 20)
syscall(427, ring, 0, iovec, 1)
""",
)
py(
    MEMORY,
    "io-uring-buffers-small",
    URING
    + """m = mmap.mmap(-1, 4096)
iovec = struct.pack('QQ', ctypes.addressof(ctypes.c_char.from_buffer(m)), 4096)
syscall(427, ring, 0, iovec, 1)
""",
)
py(
    MEMORY,
    "io-uring-sqpoll",
    """parameters = ctypes.create_string_buffer(struct.pack('3I', 0, 0, 2) + bytes(108))
syscall(425, 8, parameters)
""",
)
PROGRAMS.append(OddProgram("io-uring-open", MEMORY, (PYTHON, str(IO_URING_OPEN), "f"), FOREIGN))
PROGRAMS.append(
    OddProgram("io-uring-open-own", MEMORY, (PYTHON, str(IO_URING_OPEN), "f"), "echo x > f")
)
py(MEMORY, "pipe-size", "fcntl.fcntl(os.pipe()[1], 1031, 1 << 19)")
py(MEMORY, "rlimit-raise-try", "errno_of(resource.setrlimit, 7, (1 << 20, 1 << 20))")
py(MEMORY, "rlimit-lower", "resource.setrlimit(7, (64, 64))")
py(MEMORY, "userfaultfd", "syscall(323, 0)")
py(MEMORY, "userfaultfd-user", "syscall(323, 1)")
py(MEMORY, "memfd", "os.memfd_create('x')")
py(
    MEMORY,
    "mqueue-foreign",
    """fd = call('mq_open', b'/$N'.replace(b'$N', os.environ['N'].encode()), 1, 0, None)""",
    f"""
{PYTHON} -c "import ctypes, os; os.umask(0); libc = ctypes.CDLL(None)
assert libc.mq_open(b'/' + os.environ['N'].encode(), 0o100, 0o600, None) >= 0"
mkdir q; mount -t mqueue none q; chown 65534 q/$N
""",
)

# --- namespaces, mounts, keys -------------------------------------------------------------------

SPACES = "namespaces, mounts and keys"
sh(SPACES, "unshare-user", "unshare -U true")
sh(SPACES, "unshare-root", "unshare -Ur true")
sh(SPACES, "unshare-user-mount", "unshare -Urm mount -t tmpfs none /mnt")
sh(SPACES, "unshare-net", "unshare -n true")
sh(SPACES, "unshare-net-or-user", "unshare -n true 2>/dev/null || unshare -Urn true")
sh(SPACES, "unshare-pid", "unshare -fp true")
sh(SPACES, "unshare-time", "unshare -T true")
py(
    SPACES,
    "map-all-ids",
    """r, w = os.pipe()
s, v = os.pipe()
child = os.fork()
if not child:
    call('unshare', 0x10000000)
    os.write(w, b'x')
    os.read(s, 1)
    os._exit(0)
os.read(r, 1)
open(f'/proc/{child}/uid_map', 'w').write('0 0 65536')
os.write(v, b'x')
""",
)
py(
    SPACES,
    "map-foreign-id",
    """r, w = os.pipe()
s, v = os.pipe()
child = os.fork()
if not child:
    call('unshare', 0x10000000)
    os.write(w, b'x')
    os.read(s, 1)
    os._exit(0)
os.read(r, 1)
open(f'/proc/{child}/uid_map', 'w').write('0 1234 1')
os.write(v, b'x')
""",
)
sh(SPACES, "chroot-here", "chroot / true")
py(SPACES, "chroot-try", "errno_of(os.chroot, '/')")
py(SPACES, "setns-own-net", "call('setns', os.open('/proc/self/ns/net', 0), 0)")
sh(SPACES, "mount-bind", "mount --bind d d", "mkdir d")
sh(SPACES, "mount-list", "mount >/dev/null; findmnt >/dev/null")
sh(
    SPACES,
    "mount-or-copy",
    "mount --bind d e 2>/dev/null || cp -r d/. e",
    "mkdir d e; touch d/f",
    "test -e e/f",
)
sh(SPACES, "remount-ro", "mount -o remount,ro m", TMPFS)
py(SPACES, "fsopen", "syscall(430, b'tmpfs', 0)")
py(SPACES, "open-tree", "syscall(428, -100, b'.', 1)")
py(SPACES, "open-tree-plain", "syscall(428, -100, b'.', 0)")
py(SPACES, "fanotify", "syscall(300, 0, 0)")
py(SPACES, "fanotify-fid", "syscall(300, 0x200, 0)")
py(
    SPACES,
    "handle",
    """handle = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 144)
mount = ctypes.c_int()
syscall(303, -100, b'f', handle, ctypes.byref(mount), 0)
os.read(syscall(304, os.open('.', 0), handle, 0), 1)
""",
    "echo x > f",
)
py(
    SPACES,
    "handle-name",
    """handle = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 144)
mount = ctypes.c_int()
syscall(303, -100, b'f', handle, ctypes.byref(mount), 0)
""",
    "echo x > f",
)
sh(SPACES, "hostname-write", "echo $N > /proc/sys/kernel/hostname")
sh(SPACES, "hostname-set", "hostname $N")
sh(
    SPACES,
    "sysctl-same",
    "cat /proc/sys/kernel/core_pattern > old; cat old > /proc/sys/kernel/core_pattern",
)
sh(
    SPACES,
    "sysctl-guarded",
    "cat /proc/sys/kernel/dmesg_restrict > old; cat old > /proc/sys/kernel/dmesg_restrict",
)
py(SPACES, "key-own", "syscall(250, 5, syscall(248, b'user', b'odd', b'x', 1, -2), 0x3f3f0000)")
py(SPACES, "key-chown", "syscall(250, 4, syscall(248, b'user', b'odd', b'x', 1, -2), 65534, -1)")
py(SPACES, "key-session", "syscall(250, 1, None)")
py(
    SPACES,
    "seccomp-no-nnp",
    """program = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000))
filter = struct.pack('HxxxxxxQ', 1, ctypes.addressof(program))
syscall(317, 1, 0, filter)
""",
)
py(
    SPACES,
    "seccomp-nnp",
    """call('prctl', 38, 1, 0, 0, 0)
program = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000))
filter = struct.pack('HxxxxxxQ', 1, ctypes.addressof(program))
syscall(317, 1, 0, filter)
""",
)
py(
    SPACES,
    "seccomp-try",
    """program = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000))
filter = struct.pack('HxxxxxxQ', 1, ctypes.addressof(program))
if errno_of(syscall, 317, 1, 0, filter):
    call('prctl', 38, 1, 0, 0, 0)
    syscall(317, 1, 0, filter)
""",
)

# --- priorities, timers, devices ----------------------------------------------------------------

DEVICES = "priorities, timers and devices"
sh(DEVICES, "nice-negative", "nice -n -5 true")
sh(DEVICES, "nice-strict", "[ $(nice -n -5 nice) = -5 ]")
sh(DEVICES, "nice-positive", "nice -n 5 true")
sh(DEVICES, "ionice-realtime", "ionice -c 1 true")
sh(DEVICES, "ionice-idle", "ionice -c 3 true")
sh(DEVICES, "chrt-fifo", "chrt -f 1 true")
sh(DEVICES, "chrt-batch", "chrt -b 0 true")
py(DEVICES, "fifo-try", "errno_of(os.sched_setscheduler, 0, 1, os.sched_param(1))")
py(DEVICES, "timer-alarm", "call('timerfd_create', 9, 0)")
py(DEVICES, "timer-plain", "call('timerfd_create', 7, 0)")
py(
    DEVICES,
    "perf-own",
    """attr = bytearray(128)
struct.pack_into('IIQ', attr, 0, 1, 128, 1)
struct.pack_into('Q', attr, 40, 1 << 5 | 1 << 6)
syscall(298, bytes(attr), 0, -1, -1, 0)
""",
)
py(
    DEVICES,
    "perf-kernel",
    """attr = bytearray(128)
struct.pack_into('IIQ', attr, 0, 1, 128, 1)
syscall(298, bytes(attr), 0, -1, -1, 0)
""",
)
py(
    DEVICES,
    "perf-cpu",
    """attr = bytearray(128)
struct.pack_into('IIQ', attr, 0, 1, 128, 1)
syscall(298, bytes(attr), -1, 0, -1, 0)
""",
)
py(
    DEVICES,
    "perf-cpu-or-own",
    """attr = bytearray(128)
struct.pack_into('IIQ', attr, 0, 1, 128, 1)
if errno_of(syscall, 298, bytes(attr), -1, 0, -1, 0):
    struct.pack_into('Q', attr, 40, 1 << 5 | 1 << 6)
    syscall(298, bytes(attr), 0, -1, -1, 0)
""",
)
py(DEVICES, "bpf-map", "syscall(321, 0, struct.pack('5I', 2, 4, 4, 1, 0) + bytes(60), 80)")
py(
    DEVICES,
    "bpf-map-try",
    "errno_of(syscall, 321, 0, struct.pack('5I', 2, 4, 4, 1, 0) + bytes(60), 80)",
)
py(DEVICES, "bpf-next", "errno_of(syscall, 321, 11, bytes(80), 80) in (0, 2) or sys.exit(1)")
py(DEVICES, "random-add", "fcntl.ioctl(os.open('/dev/random', 2), 0x40045201, struct.pack('i', 0))")
py(DEVICES, "random-count", "fcntl.ioctl(os.open('/dev/random', 0), 0x80045200, bytes(4))")
py(DEVICES, "vhangup", "call('vhangup')")
sh(DEVICES, "loop-setup", "losetup -f >/dev/null")
py(DEVICES, "readahead", "fcntl.ioctl(os.open('/dev/loop7', 0), 0x1262, 256)")
sh(DEVICES, "blockdev-size", "blockdev --getsize64 /dev/loop7 >/dev/null")
py(
    DEVICES,
    "keyboard-read",
    "fcntl.ioctl(os.open('/dev/tty1', os.O_RDWR | os.O_NOCTTY), 0x4B44, bytes(8))",
)
py(DEVICES, "set-mm", "errno_of(call, 'prctl', 35, 8, 0, 0, 0)")
py(DEVICES, "io-flusher-try", "libc.prctl(57, 1, 0, 0, 0)")

# --- changing the user --------------------------------------------------------------------------

USERS = "changing the user"
py(USERS, "setuid-zero", "os.setuid(0); os.setgid(0)")
py(USERS, "setuid-nobody", "os.setuid(65534)")
py(USERS, "setuid-try", "errno_of(os.setuid, 65534)")
py(USERS, "seteuid-and-back", "os.seteuid(65534); os.seteuid(0)")
py(USERS, "setgroups-empty", "os.setgroups([])")
py(USERS, "setgroups-try", "errno_of(os.setgroups, [])")
py(USERS, "setgid-own", "os.setgid(os.getgid())")
sh(USERS, "su-true", "su -s /bin/sh nobody -c true")
sh(USERS, "setpriv-user", f"{USER} true")
sh(USERS, "user-then-own-file", f"{USER} cat f >/dev/null", FOREIGN)
sh(
    USERS,
    "file-caps",
    "./f -c 'import socket; socket.create_server((\"127.0.0.1\", 83))'",
    f"cp -L {PYTHON} f; setcap cap_net_bind_service+ep f",
)
sh(USERS, "file-caps-unused", "./f -c pass", f"cp -L {PYTHON} f; setcap cap_net_raw+ep f")
sh(USERS, "file-caps-permitted", "./f -c pass", f"cp -L {PYTHON} f; setcap cap_net_raw+p f")
sh(
    USERS,
    "file-caps-as-user",
    f"{USER} ./f -c 'import socket; socket.create_server((\"127.0.0.1\", 84))'",
    f"cp -L {PYTHON} f; setcap cap_net_bind_service+ep f",
)
sh(USERS, "setcap", "setcap cap_net_raw+ep f", "touch f")
sh(USERS, "getcap", "getcap f >/dev/null", "touch f; setcap cap_net_raw+ep f")
sh(USERS, "setuid-program", f"{USER} ./s daemon f", "cp /bin/chown s; chmod 4755 s; touch f")
