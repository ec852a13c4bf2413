"""Odd and hostile commands, each of which tells by its exit status whether it did its job.

An advisor that reads the kernel's checks is misled most easily by these: calls that are refused in
silence, refusals that decide though nothing fails, answers that are read and not used, work that is
done where nobody looks. ``tests.support.odd_trials`` finds the capabilities that they need.

Each is harmless: it changes its own folder, its own namespaces and processes that its setup made.
``$W`` is its folder and working directory, ``$N`` a word that no other process is named after.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
"""One that every user can execute."""
IO_URING_OPEN = Path(__file__).parents[1] / "programs" / "io_uring_open.py"

PRELUDE = """\
import array, ctypes, errno, fcntl, mmap, os, resource, signal, socket, stat, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.shmat.restype = ctypes.c_void_p
def checked(result, name):
    if result == -1:
        raise OSError(ctypes.get_errno(), name + ': ' + os.strerror(ctypes.get_errno()))
    return result
def wide(args):
    return [ctypes.c_long(a) if type(a) is int else a for a in args]
def call(name, *args):
    return checked(getattr(libc, name)(*wide(args)), name)
def syscall(number, *args):
    return checked(libc.syscall(*wide([number, *args])), f'system call {number}')
def errno_of(function, *args):
    try:
        function(*args)
    except OSError as error:
        return error.errno
    except ValueError:
        return errno.EPERM
    return 0
def pid():
    return int(open('pid').read())
def named(name):
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                if open(f'/proc/{entry}/comm').read().strip() == name:
                    return f'/proc/{entry}'
            except OSError:
                pass
    sys.exit('no such process')
"""
"""What the programs in Python begin with."""


@dataclass(frozen=True)
class OddProgram:
    """A command and what must be true before and after it."""

    name: str
    kind: str
    """Why an advisor could misjudge it."""
    argv: tuple[str, ...]
    setup: str = ""
    check: str = "true"
    """Shell, with every capability, after the end."""
    stop_after: float | None = None
    """Seconds until it gets SIGTERM; then its exit status says nothing, and the check decides."""


PROGRAMS: list[OddProgram] = []


def sh(
    kind: str,
    name: str,
    text: str,
    setup: str = "",
    check: str = "true",
    stop_after: float | None = None,
) -> None:
    """Add a command of the shell."""
    PROGRAMS.append(OddProgram(name, kind, ("sh", "-c", text), setup, check, stop_after))


def py(
    kind: str,
    name: str,
    text: str,
    setup: str = "",
    check: str = "true",
    stop_after: float | None = None,
) -> None:
    """Add a program in Python."""
    argv = (PYTHON, "-c", PRELUDE + text)
    PROGRAMS.append(OddProgram(name, kind, argv, setup, check, stop_after))


USER = "setpriv --reuid=65534 --regid=65534 --clear-groups"
OTHER = f"""
cp /bin/sleep $N; {USER} ./$N 120 >/dev/null 2>&1 & echo $! > pid
until grep -q $N /proc/$(cat pid)/comm; do sleep 0.02; done
"""
"""A process of another user, with a name of its own."""
OWN = """
cp /bin/sleep $N; ./$N 120 >/dev/null 2>&1 & echo $! > pid
until grep -q $N /proc/$(cat pid)/comm; do sleep 0.02; done
"""
"""A process of the same user, with every capability."""
LISTENER = f"""
{USER} {PYTHON} -c "import socket, time; s = socket.create_server(('127.0.0.1', 18923))
open('/dev/null'); time.sleep(120)" >/dev/null 2>&1 & echo $! > pid
until ss -tln | grep -q 18923; do sleep 0.02; done
"""
FOREIGN = "echo content > f; chown 65534:65534 f; chmod 600 f"
READABLE = "echo content > f; chown 65534:65534 f; chmod 644 f"
CLOSED = "mkdir d; echo content > d/f; chown -R 65534:65534 d; chmod 700 d; chmod 644 d/f"
STICKY = "mkdir d; chmod 1777 d; chown 65533 d; echo x > d/f; chown 65534 d/f; chmod 666 d/f"
TMPFS = "mkdir m; mount -t tmpfs none m"
SEGMENT = f"""
{USER} {PYTHON} -c "import ctypes
libc = ctypes.CDLL(None)
print(libc.shmget(0x4f44, 8192, 0o1666))" > shm
"""
"""A segment of shared memory of another user, open to all."""

# --- options that a program insists on ----------------------------------------------------------

SOCKET = "sockets' options"
for name, option, value in (
    ("rcvbufforce", "socket.SOL_SOCKET, 33", "1 << 20"),
    ("sndbufforce", "socket.SOL_SOCKET, 32", "1 << 20"),
    ("debug", "socket.SOL_SOCKET, socket.SO_DEBUG", "1"),
    ("mark", "socket.SOL_SOCKET, socket.SO_MARK", "7"),
    ("priority", "socket.SOL_SOCKET, socket.SO_PRIORITY", "7"),
    ("priority-low", "socket.SOL_SOCKET, socket.SO_PRIORITY", "5"),
    ("busy-poll", "socket.SOL_SOCKET, 46", "50"),
    ("prefer-busy-poll", "socket.SOL_SOCKET, 69", "1"),
    ("bindtodevice", "socket.SOL_SOCKET, socket.SO_BINDTODEVICE", "b'lo'"),
    ("tcp-repair", "socket.IPPROTO_TCP, 19", "1"),
    ("congestion", "socket.IPPROTO_TCP, socket.TCP_CONGESTION", "b'cubic'"),
    ("transparent", "socket.IPPROTO_IP, 19", "1"),
    ("freebind", "socket.IPPROTO_IP, 15", "1"),
    ("rcvbuf", "socket.SOL_SOCKET, socket.SO_RCVBUF", "1 << 16"),
    ("txtime", "socket.SOL_SOCKET, 61", "struct.pack('iI', 0, 0)"),
):
    py(SOCKET, f"so-{name}", f"socket.socket().setsockopt({option}, {value})")
py(SOCKET, "so-transparent-6", "socket.socket(10).setsockopt(socket.IPPROTO_IPV6, 75, 1)")
py(
    SOCKET,
    "so-rcvbufforce-or-rcvbuf",
    """s = socket.socket()
try:
    s.setsockopt(socket.SOL_SOCKET, 33, 1 << 20)
except PermissionError:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
""",
)
py(
    SOCKET,
    "so-rcvbufforce-size",
    """s = socket.socket()
try:
    s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
except PermissionError:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
sys.exit(s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < 1 << 24)
""",
)
py(SOCKET, "netlink-all-nsid", "socket.socket(16, 3, 0).setsockopt(270, 8, 1)")
py(SOCKET, "netlink-audit-group", "socket.socket(16, 3, 9).setsockopt(270, 1, 1)")
py(SOCKET, "netlink-route-group", "socket.socket(16, 3, 0).bind((0, 1))")
py(SOCKET, "packet-socket", "socket.socket(17, socket.SOCK_RAW, 0x0300)")
py(SOCKET, "packet-or-proc", "try: socket.socket(17, 3, 8)\nexcept OSError: open('/proc/net/dev')")
py(SOCKET, "raw-icmp", "socket.socket(2, socket.SOCK_RAW, 1)")
py(
    SOCKET,
    "ping-socket",
    "socket.socket(2, socket.SOCK_DGRAM, 1)",
    "echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range",
)
py(SOCKET, "bind-80-or-8080", "try: socket.create_server(('', 80))\nexcept OSError: 0")
py(SOCKET, "bind-80-v6", "socket.create_server(('::1', 80), family=socket.AF_INET6)")
py(
    SOCKET,
    "so-peercred",
    """a, b = socket.socketpair()
sys.exit(struct.unpack('3i', a.getsockopt(1, socket.SO_PEERCRED, 12))[0] != os.getpid())
""",
)
for name, credentials in (
    ("own", "os.getpid(), 0, 0"),
    ("uid", "os.getpid(), 1234, 0"),
    ("gid", "os.getpid(), 0, 1234"),
    ("pid", "1, 0, 0"),
):
    py(
        SOCKET,
        f"scm-credentials-{name}",
        f"""a, b = socket.socketpair()
b.setsockopt(1, socket.SO_PASSCRED, 1)
a.sendmsg([b'x'], [(1, socket.SCM_CREDENTIALS, struct.pack('3i', {credentials}))])
""",
    )
sh(SOCKET, "ss-kill", "ss -K dst 127.0.0.1 dport = 18923 >/dev/null", LISTENER)
sh(SOCKET, "link-down", "ip link set lo down")
sh(SOCKET, "link-show", "ip -s link show lo >/dev/null")
sh(SOCKET, "net-sysctl", "echo 1 > /proc/sys/net/ipv4/ip_forward")
sh(SOCKET, "tun-open", "ip tuntap add dev tun7 mode tun")
py(
    SOCKET,
    "interface-index",
    "sys.exit(errno_of(fcntl.ioctl, socket.socket(), 0x8933, b'nosuch'.ljust(40, b'\\0')) != 19)",
)

# --- is it alive? -------------------------------------------------------------------------------

ALIVE = "liveness and signals"
sh(ALIVE, "kill-0-sh", "kill -0 $(cat pid)", OTHER)
sh(ALIVE, "kill-0-own-user", "kill -0 $(cat pid)", OWN)
sh(ALIVE, "kill-0-restart", "kill -0 $(cat pid) || touch again; [ ! -e again ]", OTHER)
sh(
    ALIVE,
    "kill-0-quiet",
    "kill -0 $(cat pid) 2>/dev/null && echo up > state || echo down > state",
    OTHER,
    "grep -q up state",
)
sh(
    ALIVE,
    "kill-0-wait",
    "while kill -0 $(cat pid) 2>/dev/null; do sleep 0.05; done",
    OTHER.replace("120", "0.6"),
    "! test -d /proc/$(cat pid)",
)
py(ALIVE, "kill-0-python", "os.kill(pid(), 0)", OTHER)
py(ALIVE, "kill-0-eperm-alive", "sys.exit(errno_of(os.kill, pid(), 0) not in (0, 1))", OTHER)
py(ALIVE, "kill-0-eperm-dead", "sys.exit(errno_of(os.kill, pid(), 0) != 0)", OTHER)
sh(ALIVE, "kill-0-gone", "! kill -0 $(cat pid) 2>/dev/null", "sleep 0 & echo $! > pid; wait")
sh(ALIVE, "pkill-0", "pkill -0 -x $N", OTHER)
sh(ALIVE, "killall-0", "killall -0 $N", OTHER)
sh(ALIVE, "pgrep", "pgrep -x $N >/dev/null", OTHER)
sh(ALIVE, "proc-exists", "test -d /proc/$(cat pid)", OTHER)
sh(ALIVE, "perl-kill-0", "perl -e 'exit !kill(0, shift)' $(cat pid)", OTHER)
sh(
    ALIVE,
    "ssd-status",
    "start-stop-daemon --status --pidfile $W/pid",
    OTHER,
)
sh(ALIVE, "ssd-test-stop", "start-stop-daemon --stop --test --pidfile $W/pid >/dev/null", OTHER)
py(
    ALIVE,
    "pidfd-signal-0",
    "syscall(424, os.pidfd_open(pid()), 0, None, 0)",
    OTHER,
)
py(ALIVE, "kill-all-0", "os.kill(-1, 0)", OTHER)
py(ALIVE, "tgkill-0", "syscall(234, pid(), pid(), 0)", OTHER)
sh(ALIVE, "kill-cont", "kill -CONT $(cat pid)", OTHER)
sh(ALIVE, "kill-or-true", "kill $(cat pid) 2>/dev/null || :", OTHER, "! kill -0 $(cat pid)")
sh(ALIVE, "kill-group", "kill -0 -$(ps -o pgid= -p $(cat pid) | tr -d ' ')", OTHER)
sh(ALIVE, "nice-foreign", "renice -n 3 -p $(cat pid) >/dev/null", OTHER)
sh(ALIVE, "affinity-foreign", "taskset -pc 0 $(cat pid) >/dev/null", OTHER)
sh(ALIVE, "affinity-foreign-read", "taskset -p $(cat pid) >/dev/null", OTHER)
sh(ALIVE, "ionice-foreign", "ionice -c 3 -p $(cat pid)", OTHER)
sh(ALIVE, "oom-adj-foreign", "echo 500 > /proc/$(cat pid)/oom_score_adj", OTHER)
sh(ALIVE, "oom-adj-own", "echo 500 > /proc/self/oom_score_adj")
sh(ALIVE, "oom-adj-lower", "echo -500 > /proc/self/oom_score_adj || echo 0 > state")
py(ALIVE, "priority-read", "os.getpriority(0, pid())", OTHER)
py(ALIVE, "prlimit-foreign", "resource.prlimit(pid(), resource.RLIMIT_NOFILE)", OWN)

# --- one process, found among all ---------------------------------------------------------------

ONE = "one process of all in /proc"
for name, text in {
    "cwd": "os.readlink(p + '/cwd')",
    "exe": "os.readlink(p + '/exe')",
    "root": "os.readlink(p + '/root')",
    "environ": "sys.exit(not open(p + '/environ').read())",
    "io": "open(p + '/io').read()",
    "auxv": "sys.exit(not open(p + '/auxv', 'rb').read())",
    "maps": "sys.exit(not open(p + '/maps').read())",
    "smaps": "open(p + '/smaps_rollup').read()",
    "fd": "os.listdir(p + '/fd')",
    "fd-link": "os.readlink(p + '/fd/1')",
    "ns-net": "os.readlink(p + '/ns/net')",
    "root-file": "open(p + '/root/etc/passwd').read()",
    "stack": "open(p + '/stack').read()",
    "syscall": "open(p + '/syscall').read()",
    "mem": "open(p + '/mem', 'rb')",
    "wchan": "sys.exit(open(p + '/wchan').read() == '0')",
    "personality": "open(p + '/personality').read()",
    "map-files": "os.listdir(p + '/map_files')",
    "timerslack": "open(p + '/timerslack_ns').read()",
    "stat-code": "sys.exit(int(open(p + '/stat').read().split()[25]) < 2)",
    "status": "open(p + '/status').read()",
    "cmdline": "sys.exit(not open(p + '/cmdline').read())",
}.items():
    py(ONE, f"find-{name}", f"p = named(os.environ['N']); {text}", OTHER)
py(
    ONE,
    "find-cwd-or-skip",
    """found = []
for entry in filter(str.isdigit, os.listdir('/proc')):
    try:
        found.append(os.readlink(f'/proc/{entry}/cwd') == os.environ['W'] and int(entry) == pid())
    except OSError:
        pass
sys.exit(not any(found))
""",
    OTHER,
)
py(
    ONE,
    "count-visible",
    """seen = 0
for entry in filter(str.isdigit, os.listdir('/proc')):
    try:
        os.readlink(f'/proc/{entry}/exe')
        seen += 1
    except OSError:
        pass
sys.exit(not seen)
""",
    OTHER,
)
sh(
    ONE,
    "exe-loop",
    'for p in /proc/[0-9]*; do [ "$(readlink $p/exe)" = "$W/$N" ] && exit 0; done; exit 1',
    OTHER,
)
sh(ONE, "grep-environ", "grep -qs HOLDER=1 /proc/[0-9]*/environ", "export HOLDER=1" + OTHER)
sh(ONE, "ssd-exec", "start-stop-daemon --stop --test --exec $W/$N >/dev/null", OTHER)
sh(ONE, "pidof-path", "pidof $W/$N >/dev/null", OTHER)
sh(ONE, "fuser-file", "fuser -s $W/$N", OTHER)
sh(ONE, "lsof-file", "lsof -t $W/$N >/dev/null", OTHER)
sh(ONE, "ss-owner", "ss -tlnp | grep 18923 | grep -q pid=", LISTENER)
sh(ONE, "ss-no-owner", "ss -tln | grep -q 18923", LISTENER)
sh(ONE, "ps-args", "ps -o args= -p $(cat pid) | grep -q 120", OTHER)
sh(ONE, "nsenter-net", "nsenter -t $(cat pid) -n true", OTHER)
sh(ONE, "gdb-attach", "gdb -batch -nx -p $(cat pid) -ex detach 2>&1 | grep -q detached", OTHER)
sh(ONE, "strace-own", "strace -o /dev/null true")
py(ONE, "ptrace-foreign", "call('ptrace', 16, pid(), None, None)", OTHER)
py(ONE, "pidfd-getfd", "syscall(438, os.pidfd_open(pid()), 1, 0)", OTHER)
py(ONE, "kcmp", "syscall(312, pid(), os.getpid(), 0, 0, 0)", OTHER)
py(ONE, "robust-list", "syscall(274, pid(), b' ' * 8, b' ' * 8)", OTHER)
py(
    ONE,
    "vm-readv",
    """start = int(open(f'/proc/{pid()}/stat').read().split()[27])
class Iovec(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('size', ctypes.c_size_t)]
buffer = ctypes.create_string_buffer(8)
maps = open(f'/proc/{pid()}/maps').read().split('-')[0]
call('process_vm_readv', pid(), ctypes.byref(Iovec(ctypes.addressof(buffer), 8)), 1,
     ctypes.byref(Iovec(int(maps, 16), 8)), 1, 0)
""",
    OTHER,
)

# --- what access(2) says decides ----------------------------------------------------------------

ACCESS = "access(2) decides"
sh(ACCESS, "test-w", "[ -w f ] || exit 1", READABLE)
sh(ACCESS, "test-w-dir", "[ -w d ] || exit 1", "mkdir d; chown 65534 d")
sh(ACCESS, "test-w-dir-bash", "exec bash -c '[[ -w d ]] || exit 1'", "mkdir d; chown 65534 d")
sh(ACCESS, "test-r", "test -r f", FOREIGN)
sh(ACCESS, "test-x", "test -x d/f", CLOSED + "; chmod 755 d/f")
sh(ACCESS, "test-e-closed", "test -e d/f", CLOSED)
sh(ACCESS, "test-w-own", "[ -w f ]", "echo x > f")
sh(
    ACCESS,
    "test-w-else",
    "if [ -w f ]; then echo f > used; else echo g > used; fi",
    READABLE,
    "grep -q f used",
)
sh(ACCESS, "test-w-either", "if [ -w f ]; then :; else echo read only >&2; fi", READABLE)
py(ACCESS, "access-python", "sys.exit(not os.access('f', os.W_OK))", READABLE)
py(ACCESS, "access-effective", "sys.exit(not os.access('f', 2, effective_ids=True))", READABLE)
sh(ACCESS, "perl-w", "perl -e 'exit !-w \"f\"'", READABLE)
sh(ACCESS, "find-readable", "find f -readable | grep -q f", FOREIGN)
sh(ACCESS, "find-writable", "find . -maxdepth 1 -name f -writable | grep -q f", READABLE)
sh(ACCESS, "test-f-path", "for f in d/f; do [ -f $f ] && exit 0; done; exit 1", CLOSED)
sh(ACCESS, "glob-closed", 'set -- d/*; [ -e "$1" ]', CLOSED)
sh(ACCESS, "ls-closed", '[ -n "$(ls d 2>/dev/null)" ]', CLOSED)
sh(ACCESS, "cd-closed", "cd d 2>/dev/null && pwd > ../where; true", CLOSED, "test -s where")
sh(ACCESS, "path-search", "PATH=$W/d:$PATH; command -v nosuch >/dev/null || exit 0", CLOSED)
sh(
    ACCESS,
    "path-closed",
    "PATH=$W/d:$PATH; prog",
    CLOSED + "; printf '#!/bin/sh\\nexit 0\\n' > d/prog; chmod 755 d/prog",
)
sh(ACCESS, "exec-foreign", "./f", "cp /bin/true f; chown 65534 f; chmod 700 f")
sh(
    ACCESS,
    "du-content",
    "[ $(du -s d 2>/dev/null | cut -f1) -gt 50 ]",
    "mkdir -p d/e; head -c 100000 /dev/zero > d/e/f; chown -R 65534 d; chmod 700 d/e",
)
sh(ACCESS, "cat-quiet", "cat f > out 2>/dev/null; :", FOREIGN, "grep -q content out")
sh(ACCESS, "cat-or-default", "cat f 2>/dev/null || echo default", FOREIGN)
sh(ACCESS, "grep-quiet", "grep -qs content f", FOREIGN)
sh(
    ACCESS,
    "tar-quiet",
    "tar cf b.tar d 2>/dev/null; exit 0",
    CLOSED + "; chmod 600 d/f",
    "tar tf b.tar | grep -q d/f",
)
sh(ACCESS, "append-foreign", "echo x >> f", READABLE)
sh(ACCESS, "source-foreign", ". ./f", "echo true > f; chown 65534 f; chmod 600 f")

# --- reads that give less -----------------------------------------------------------------------

LESS = "reads that give less"
sh(LESS, "kallsyms", "grep -qv '^0000000000000000' /proc/kallsyms")
sh(LESS, "kallsyms-names", "grep -q ' do_exit$' /proc/kallsyms")
sh(LESS, "iomem", "grep -qv '00000000-00000000' /proc/iomem")
sh(LESS, "iomem-names", "grep -q 'System RAM' /proc/iomem")
sh(LESS, "ioports", "grep -qv '0000-0000' /proc/ioports")
py(
    LESS,
    "pagemap",
    """page = mmap.mmap(-1, 4096)
page[0] = 1
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
with open('/proc/self/pagemap', 'rb') as f:
    f.seek(address // 4096 * 8)
    (entry,) = struct.unpack('Q', f.read(8))
sys.exit(entry & (1 << 55) - 1 == 0)
""",
)
py(
    LESS,
    "pagemap-present",
    """page = mmap.mmap(-1, 4096)
page[0] = 1
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
with open('/proc/self/pagemap', 'rb') as f:
    f.seek(address // 4096 * 8)
    (entry,) = struct.unpack('Q', f.read(8))
sys.exit(not entry >> 63)
""",
)
sh(LESS, "dmesg", "dmesg >/dev/null")
sh(LESS, "dmesg-or-nothing", "dmesg 2>/dev/null | head -1 > out; :")
sh(LESS, "kmsg-read", "dd if=/dev/kmsg of=/dev/null bs=8192 count=1 2>/dev/null")
py(LESS, "syslog-size", "sys.exit(call('klogctl', 10, None, 0) <= 0)")
sh(LESS, "netstat-owner", "netstat -tlnp 2>/dev/null | grep 18923 | grep -q python", LISTENER)
TRUSTED = TMPFS + f"; {PYTHON} -c \"import os; os.setxattr('m/f', 'trusted.x', b'1', 0)\""
TRUSTED = TRUSTED.replace("none m;", "none m; touch m/f;")
py(LESS, "listxattr", "sys.exit('trusted.x' not in os.listxattr('m/f'))", TRUSTED)
py(LESS, "listxattr-any", "os.listxattr('m/f')", TRUSTED)
py(LESS, "getxattr-trusted", "os.getxattr('m/f', 'trusted.x')", TRUSTED)
py(LESS, "getxattr-or-none", "errno_of(os.getxattr, 'm/f', 'trusted.x')", TRUSTED)
sh(
    LESS,
    "cp-xattr",
    "cp --preserve=all m/f m/g",
    TRUSTED,
    f"{PYTHON} -c \"import os; os.getxattr('m/g', 'trusted.x')\"",
)
sh(
    LESS,
    "rsync-xattr",
    "rsync -aX m/f m/g",
    TRUSTED,
    f"{PYTHON} -c \"import os; os.getxattr('m/g', 'trusted.x')\"",
)
sh(LESS, "stack-own", "cat /proc/self/stack >/dev/null")
sh(LESS, "slabinfo", "cat /proc/slabinfo >/dev/null")
sh(LESS, "vmallocinfo", "cat /proc/vmallocinfo >/dev/null")
sh(LESS, "nft-list", "nft list ruleset >/dev/null")
sh(LESS, "iptables-list", "iptables -L -n >/dev/null")
sh(LESS, "conntrack-count", "cat /proc/sys/net/netfilter/nf_conntrack_count 2>/dev/null; :")
sh(LESS, "sysctl-all", "sysctl -a 2>/dev/null | grep -q kernel.ostype")
sh(LESS, "sysctl-net-read", "sysctl -n net.ipv4.tcp_syncookies >/dev/null")
sh(LESS, "cap-last", "cat /proc/sys/kernel/cap_last_cap >/dev/null")
sh(LESS, "memory-info", "free >/dev/null; uptime >/dev/null")

# --- calls whose error is accepted --------------------------------------------------------------

ACCEPTED = "an accepted errno"
py(
    ACCEPTED,
    "setxattr-unsupported",
    "sys.exit(errno_of(os.setxattr, '/proc/self/stat', 'trusted.x', b'1') not in (0, 95))",
)
py(ACCEPTED, "setxattr-any", "errno_of(os.setxattr, '/proc/self/stat', 'trusted.x', b'1')")
py(
    ACCEPTED,
    "setxattr-tmpfs",
    "open('m/f', 'w'); sys.exit(errno_of(os.setxattr, 'm/f', 'trusted.x', b'1') not in (0, 95))",
    TMPFS,
)
sh(ACCEPTED, "umount-not-mounted", "umount d 2>err || grep -q 'not mounted' err", "mkdir d")
sh(ACCEPTED, "umount-or-true", "umount d 2>/dev/null || :", "mkdir d")
sh(ACCEPTED, "umount-mounted-or-true", "umount m 2>/dev/null || :", TMPFS, "! mountpoint -q m")
py(
    ACCEPTED,
    "mount-nodev",
    "sys.exit(errno_of(call, 'mount', b'x', b'd', b'nosuchfs', 0, 0) != 19)",
    "mkdir d",
)
py(
    ACCEPTED,
    "umount2-einval",
    "sys.exit(errno_of(call, 'umount2', b'd', 0) not in (0, 22))",
    "mkdir d",
)
py(ACCEPTED, "module-garbage", "sys.exit(errno_of(syscall, 175, b'x' * 64, 64, b'') == 1)")
py(ACCEPTED, "module-missing", "sys.exit(errno_of(syscall, 176, b'nosuch', 0) == 1)")
sh(ACCEPTED, "modprobe-or-true", "modprobe nosuch 2>/dev/null || :")
py(ACCEPTED, "reboot-magic", "sys.exit(errno_of(syscall, 169, 0, 0, 0, None) != 22)")
py(ACCEPTED, "acct-missing", "sys.exit(errno_of(syscall, 163, b'nosuch') == 1)")
py(
    ACCEPTED,
    "quota-none",
    "sys.exit(errno_of(syscall, 179, 0x800007 << 8, b'/dev/null', 0, b' ' * 99) == 1)",
)
py(
    ACCEPTED,
    "freeze-tmpfs",
    "sys.exit(errno_of(fcntl.ioctl, os.open('m', 0), 0xC0045877, 0) not in (25, 95))",
    TMPFS,
)
py(
    ACCEPTED,
    "trim-tmpfs",
    "sys.exit(errno_of(fcntl.ioctl, os.open('m', 0), 0xC0185879, bytes(24)) == 1)",
    TMPFS,
)
py(ACCEPTED, "swapoff-file", "sys.exit(errno_of(call, 'swapoff', b'f') != 22)", "echo x > f")
py(ACCEPTED, "swapon-file", "sys.exit(errno_of(call, 'swapon', b'f', 0) != 22)", "truncate -s 1M f")
py(ACCEPTED, "chroot-missing", "sys.exit(errno_of(os.chroot, 'nosuch') != 2)")
py(
    ACCEPTED,
    "setns-own",
    "sys.exit(errno_of(call, 'setns', os.open('/proc/self/ns/user', 0), 0) != 22)",
)
py(
    ACCEPTED,
    "loop-clear",
    "sys.exit(errno_of(fcntl.ioctl, os.open('/dev/loop7', 0), 0x4C01) not in (0, 6))",
)
py(
    ACCEPTED,
    "tiocsti",
    """import pty, termios
leader, follower = pty.openpty()
sys.exit(errno_of(fcntl.ioctl, follower, termios.TIOCSTI, b'x') not in (0, 5))
""",
)
py(
    ACCEPTED,
    "lease-own",
    "fcntl.fcntl(os.open('f', 0), fcntl.F_SETLEASE, fcntl.F_RDLCK)",
    "echo x > f",
)
py(
    ACCEPTED,
    "lease-foreign",
    "fcntl.fcntl(os.open('f', 0), fcntl.F_SETLEASE, fcntl.F_RDLCK)",
    READABLE,
)
py(ACCEPTED, "lease-try", "errno_of(fcntl.fcntl, os.open('f', 0), fcntl.F_SETLEASE, 0)", READABLE)
py(ACCEPTED, "clock-set-invalid", "sys.exit(errno_of(time.clock_settime, 0, -1) == 1)")
py(ACCEPTED, "adjtimex-read", "syscall(159, bytes(208))")
py(
    ACCEPTED,
    "handle-open-stale",
    """handle = ctypes.create_string_buffer(struct.pack('Ii', 8, 0x7f) + bytes(8), 144)
sys.exit(errno_of(syscall, 304, os.open('.', 0), handle, 0) != 116)
""",
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
