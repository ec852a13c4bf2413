"""Odd programs that misunderstand an answer, or accept it."""

from __future__ import annotations

from tests.support.odd_program import (
    CLOSED,
    FOREIGN,
    LISTENER,
    OTHER,
    OWN,
    PYTHON,
    READABLE,
    TMPFS,
    py,
    sh,
)

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
    OTHER.replace("120", "3"),
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
