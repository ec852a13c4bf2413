"""What real commands need, row by row. The truth of each row was found by trial."""

from __future__ import annotations

import platform
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parents[1] / "programs"
PYTHON = sys.executable
IN_SHELL = shlex.quote(PYTHON)
_PROGRAMS = shlex.quote(str(PROGRAMS))


@dataclass(frozen=True)
class Row:
    """A command, its circumstances, and its answer."""

    command: str
    """Words, split as a shell does; ``sh: …`` is given to a shell as it stands."""
    want: str
    never: str = "SYS_ADMIN"
    setup: str = ""
    net: str | None = None
    options: tuple[str, ...] = ()
    check: str = ""
    """Shell, run afterwards in the same directory: the command did its job."""
    machine: str = ""
    """The only one that it is for, as ``uname -m`` says it."""
    unchecked: str = ""
    """Its need without a check, by the id in ``catalog/unchecked.yaml``."""

    @property
    def argv(self) -> list[str]:
        if self.command.startswith("sh: "):
            return ["sh", "-c", self.command.removeprefix("sh: ")]
        return shlex.split(self.command)


FOREIGN = "echo x > f; chown nobody:nogroup f; chmod 600 f"
SHUT = "mkdir d; cp /bin/true d; chown nobody d; chmod 700 d"
SERVER = f"{IN_SHELL} -m http.server"
LOW_PORT = "sysctl -qw net.ipv4.ip_unprivileged_port_start="
HOLDER = "sleep 600 >/dev/null 2>&1 & echo $! > pid"
"""A process of the same user that the target did not start."""
TRACED = "(until grep -q 'TracerPid:.[1-9]' /proc/$(cat pid)/status; do sleep 0.1; done;"
OTHER = """
setpriv --reuid=65534 --clear-groups sleep 600 >/dev/null 2>&1 & echo $! > pid
until grep -q sleep /proc/$(cat pid)/comm; do sleep 0.1; done
"""
"""A process of another user."""
ROOTLESS = """
setpriv --reuid=65534 --clear-groups unshare -U sleep 600 >/dev/null 2>&1 & echo $! > pid
until grep -q sleep /proc/$(cat pid)/comm; do sleep 0.1; done
"""
"""A process of another user in a user namespace that the user made."""
OVERLAY = """
mkdir base; mount -t tmpfs none base; cd base; mkdir l u w ../m; touch l/f
mount -t overlay -o lowerdir=l,upperdir=u,workdir=w overlay ../m
"""
AHEAD = 'import os; assert os.access("d", os.W_OK); os.setuid(65534)'
"""Asks about its folder as root, and ends at a no (yadifad)."""
CONTINUED = """sh: mkfifo p; exec 3<>p; {}setpriv --reuid=65534 --clear-groups cat <p 3>&- &
until grep -q cat /proc/$!/comm; do sleep 0.1; done; kill -CONT $! || exit; exec 3>&-; wait"""
"""SIGCONT for a process of another user."""
GETFD = f"""{IN_SHELL} -c 'import ctypes, os, sys
fd = os.pidfd_open(int(sys.argv[1])); sys.exit(ctypes.CDLL(None).syscall(438, fd, 0, 0) < 0)'"""
"""pidfd_getfd(2) of the first descriptor of a process."""
UNSET = 'import os; os.getxattr("f", "trusted.none")'

_ROWS = [
    Row("true", ""),
    Row("id", ""),
    Row("ls -l /tmp", ""),
    Row("bash -c true;true", ""),
    Row("find /etc/apt", ""),
    Row("sh: sysctl -a >/dev/null 2>&1", ""),
    Row("sh: read -r mtu </sys/class/net/lo/mtu; echo $mtu >/sys/class/net/lo/mtu", "NET_ADMIN"),
    Row("tar cf a.tar /etc/apt", ""),
    Row(
        f"{SERVER} 80",
        "NET_BIND_SERVICE",
        net=LOW_PORT + "1024",
        options=("--check", "curl -fs localhost"),
    ),
    Row(f"{SERVER} 80", "", net=LOW_PORT + "80", options=("--check", "curl -fs localhost")),
    Row("sh: mount -t tmpfs none m", "SYS_ADMIN", never="", setup="mkdir m", check="umount m"),
    Row(
        "ping -c1 127.0.0.1",
        "NET_RAW",
        never="SETPCAP SETUID SYS_ADMIN",
        net="sysctl -qw net.ipv4.ping_group_range='1 0'",
    ),
    Row("chown nobody f", "CHOWN", setup="touch f", check='test "$(stat -c %U f)" = nobody'),
    Row(
        f"{IN_SHELL} {_PROGRAMS}/int80_chown.py f 65534",
        "CHOWN",
        setup="touch f",
        check='test "$(stat -c %U f)" = nobody',
        machine="x86_64",
    ),
    Row("chmod 644 f", "FOWNER", setup=FOREIGN, check='test "$(stat -c %a f)" = 644'),
    Row("tar --atime-preserve=system -cf t f", "FOWNER", setup="echo x > f; chown nobody f"),
    # systemd-cgls asks so of each group: where no such attribute is, nobody sees it
    Row(f"sh: {IN_SHELL} -c '{UNSET}' 2>/dev/null; test $? = 1", "", setup="touch f"),
    Row(f"sh: {IN_SHELL} -c '{AHEAD}'", "DAC_OVERRIDE SETUID", setup="mkdir d; chown nobody d"),
    Row("mknod n c 1 3", "MKNOD", check="test -c n"),
    Row("unshare --uts sh -c true", "SYS_ADMIN", never=""),
    Row(f"{IN_SHELL} {_PROGRAMS}/isolated.py", "SYS_ADMIN", never=""),
    Row("chroot / true", "SYS_CHROOT"),
    Row("nice -n -5 true", "SYS_NICE"),
    Row("sh: date -s @$(date +%s)", "SYS_TIME"),
    Row("ip link add name a type veth peer name b", "NET_ADMIN", net="true"),
    Row(f"sh: ulimit -l 64; {IN_SHELL} {_PROGRAMS}/lock_all.py", "IPC_LOCK"),
    Row("cat f", "DAC_OVERRIDE", setup=FOREIGN),
    Row("sh: ./d/true", "DAC_OVERRIDE", setup=SHUT),
    Row('sh: env PATH="$PWD/d:$PATH" id', "", never="DAC_OVERRIDE DAC_READ_SEARCH", setup=SHUT),
    Row("sh: echo y >/dev/stderr", ""),
    Row(CONTINUED.format(""), "SETGID SETUID", never="KILL SYS_ADMIN"),
    Row(CONTINUED.format("setsid "), "KILL SETGID SETUID"),
    Row(f"{IN_SHELL} {_PROGRAMS}/continued.py group", "SETGID SETUID", never="KILL SYS_ADMIN"),
    Row(f"{IN_SHELL} {_PROGRAMS}/continued.py after_setsid", "KILL SETGID SETUID"),
    Row("sh: echo y >> f", "DAC_OVERRIDE", setup=FOREIGN, check="grep -q y f"),
    Row(
        "setpriv --reuid 65534 --regid 65534 --clear-groups true",
        "SETGID SETUID",
        never="SETPCAP SYS_ADMIN",
    ),
    Row("su nobody -s /bin/sh -c id", "SETGID SETUID", never="SETPCAP SYS_ADMIN"),
    Row("ps aux", "", never="SYS_PTRACE SYS_ADMIN PERFMON"),
    Row("dmesg", "SYSLOG", setup="sysctl -qw kernel.dmesg_restrict=1"),
    Row(
        "install -o nobody -g nogroup -m 2755 f g",
        "CHOWN FOWNER FSETID",
        setup="echo x > f",
        check='test "$(stat -c %U:%a g)" = nobody:2755',
    ),
    Row(
        "install -o nobody -g nogroup -m 0755 f g",
        "CHOWN FOWNER",
        setup="echo x > f",
        check='test "$(stat -c %U:%a g)" = nobody:755',
    ),
    Row("cat /proc/sys/net/ipv4/ip_forward", "", never="NET_ADMIN SYS_ADMIN"),
    Row(f"{IN_SHELL} {_PROGRAMS}/io_uring_setup.py", "", never="IPC_LOCK SYS_ADMIN"),
    Row("sh: ipcrm -m $(ipcmk -M 4096 | grep -o '[0-9]*$')", "", never="IPC_LOCK SYS_ADMIN"),
    Row(f"{IN_SHELL} {_PROGRAMS}/memfd_write.py", ""),
    Row(
        "sh: (setsid sh -c 'sleep 1; chown nobody f') & exit 0",
        "CHOWN",
        setup="touch f",
        check='test "$(stat -c %U f)" = nobody',
    ),
    Row(
        f"{IN_SHELL} {_PROGRAMS}/many_children.py 9000 f",
        "CHOWN",
        setup="touch f",
        check='test "$(stat -c %U f)" = nobody',
    ),
    # No check shows these: catalog/unchecked.yaml.
    Row("unshare -Urm mount -t tmpfs none /mnt", "SETFCAP", unchecked="uid-map"),
    Row(
        "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+net_raw"
        " --ambient-caps=+net_raw true",
        "NET_RAW SETGID SETUID",
        never="SETPCAP SYS_ADMIN",
        unchecked="ambient",
    ),
    Row("./t", "SYS_NICE", setup="cp /bin/true t; setcap cap_sys_nice=ep t", unchecked="exec-file"),
    Row("sh: ./t && :", "", setup="cp /bin/true t; setcap cap_sys_nice=p t", unchecked="exec-file"),
    Row(
        "setpriv --no-new-privs ./t",
        "SYS_NICE",
        setup="cp /bin/true t; setcap cap_sys_nice=ep t",
        unchecked="exec-file",
    ),
    Row(f"{IN_SHELL} {_PROGRAMS}/own_set.py 2000", "NET_RAW", unchecked="capset"),
    Row(
        f"""{IN_SHELL} -c 'import ctypes, sys
sys.exit(ctypes.CDLL(None).prctl(28, 1 << 2, 0, 0, 0) != 0)'""",
        "SETPCAP",
        unchecked="securebits",
    ),
    Row(
        f"""{IN_SHELL} -c 'import mmap, ctypes, sys
c = ctypes.CDLL(None); c.mmap.restype = ctypes.c_void_p
sys.exit(c.mmap(None, 4096, 3, 0x32, -1, ctypes.c_long(0)) is not None)'""",
        "SYS_RAWIO",
        unchecked="low-address",
    ),
    Row(
        "sh: renice -n 5 -p $(cat pid)",
        "SYS_NICE",
        setup=HOLDER,
        check="kill $(cat pid)",
        unchecked="holder-nice",
    ),
    Row(
        f"sh: {TRACED} kill $(cat pid)) & strace -p $(cat pid) 2>/dev/null; true",
        "SYS_PTRACE",
        setup=HOLDER,
        unchecked="holder-trace",
    ),
    Row(
        f"sh: {GETFD} $(cat pid)",
        "SYS_PTRACE",
        setup=HOLDER,
        check="kill $(cat pid)",
        unchecked="holder-trace",
    ),
    *(
        Row(
            f"sh: {command}",
            "SYS_PTRACE",
            setup=HOLDER,
            check="kill $(cat pid)",
            unchecked="holder-trace",
        )
        for command in (
            "readlink /proc/$(cat pid)/exe",
            "cd /proc/$(cat pid)/cwd",
            "cat /proc/$(cat pid)/root/dev/null",
            "cat /proc/$(cat pid)/fdinfo/0",
            "readlink /proc/$(cat pid)/ns/net",
            "stat -L /proc/$(cat pid)/exe",
            "test -e /proc/$(cat pid)/root/dev/null",
        )
    ),
    Row("sh: test -L /proc/$(cat pid)/exe; kill $(cat pid)", "", never="SYS_PTRACE", setup=HOLDER),
    Row("sh: stat -L /proc/1/root; true", "", never="SYS_PTRACE"),
    # Who goes through all processes, as fuser does, may be there for their descriptors.
    Row(
        "sh: for p in /proc/$(cat pid)*; do test -e $p/fd/0; done",
        "SYS_PTRACE",
        setup=HOLDER,
        check="kill $(cat pid)",
    ),
    Row(
        "sh: for p in /proc/$(cat pid)*; do test -e $p/exe; done; kill $(cat pid)",
        "",
        never="SYS_PTRACE",
        setup=HOLDER,
    ),
    Row("sh: nsenter -t $(cat pid) -u true", "SYS_ADMIN SYS_PTRACE", never="", setup=HOLDER),
    Row("sh: cat /proc/$(cat pid)/comm; kill $(cat pid)", "", setup=HOLDER),
    Row("sh: readlink /proc/1/exe; true", "", never="SYS_PTRACE SYS_ADMIN"),
    # A list is shorter without; one process that was chosen is what it is about.
    Row("sh: ps e -p $(cat pid) -o args=", "DAC_OVERRIDE SYS_PTRACE", setup=OTHER),
    Row("ps axe -o args=", "", never="SYS_PTRACE PERFMON DAC_READ_SEARCH", setup=OTHER),
    # What another user's namespace holds is not one's own, as what one made is.
    Row("sh: kill $(cat pid)", "KILL", setup=ROOTLESS),
    Row(
        "sh: nsenter -t $(cat pid) -U --preserve-credentials true",
        "SYS_ADMIN SYS_PTRACE",
        never="SETFCAP",
        setup=ROOTLESS,
        check="kill $(cat pid)",
    ),
    Row(
        "setpriv --reuid=65534 --regid=65534 --clear-groups unshare -Ur true",
        "SETGID SETUID",
        never="SYS_ADMIN SETFCAP",
    ),
    Row(
        "chown nobody m/f",
        "CHOWN",
        never="DAC_OVERRIDE DAC_READ_SEARCH SYS_ADMIN",
        setup=OVERLAY,
        check='test "$(stat -c %U m/f)" = nobody; umount m; umount base',
    ),
]
ROWS = [row for row in _ROWS if row.machine in ("", platform.machine())]
"""Those for the machine that this runs on."""
