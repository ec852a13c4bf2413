"""One function a trigger: what needs a capability, and the same thing done without the need.

    triggers.py NAME[,NAME…] needs|without [PID [SHMID]]

Several are done one after the other, each in a child process. PID is a process and SHMID a segment
of shared memory (mode 644) of another user. The current directory holds the files that ``furnish``
of test_triggers.py made. Exit status 0: the operation did its job. Nothing here changes the
machine for longer than the call lasts.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.shmat.restype = ctypes.c_long
libc.mmap.argtypes = [ctypes.c_long, ctypes.c_long, *[ctypes.c_int] * 3, ctypes.c_long]
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int]
libc.mlock.argtypes = [ctypes.c_long, ctypes.c_long]
libc.setxattr.argtypes = [*[ctypes.c_char_p] * 3, ctypes.c_size_t, ctypes.c_int]
libc.syscall.restype = ctypes.c_long

PERF_EVENT_OPEN, FANOTIFY_INIT = 298, 300
NAME_TO_HANDLE_AT, OPEN_BY_HANDLE_AT = 303, 304
BPF, LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 321, 444, 446
NOBODY = 65534

TRIGGERS: dict[str, Callable[[bool], None]] = {}


def trigger(function: Callable[[bool], None]) -> Callable[[bool], None]:
    """Enter a function under its name."""
    TRIGGERS[function.__name__] = function
    return function


def call(name: str, *args: object) -> int:
    """A function of libc; OSError where it fails."""
    result = getattr(libc, name)(*args)
    if result == -1:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return int(result)


def syscall(number: int, *args: object) -> int:
    """A system call by number."""
    wide = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    return call("syscall", ctypes.c_long(number), *wide)


def in_child(function: Callable[[], object]) -> None:
    """Do something in a child process; fail as it fails."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(1)


def foreign_pid() -> int:
    """The process of another user."""
    return int(sys.argv[3])


# ------------------------------------------------------------------------------ files


@trigger
def chown(needs: bool) -> None:
    os.chown("own", -1, NOBODY if needs else os.getgid())


@trigger
def write_file(needs: bool) -> None:
    os.close(os.open("foreign" if needs else "open", os.O_WRONLY))


@trigger
def read_file(needs: bool) -> None:
    os.close(os.open("foreign" if needs else "open", os.O_RDONLY))


@trigger
def open_by_handle(needs: bool) -> None:
    if not needs:
        os.close(os.open("own", os.O_RDONLY))
        return
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
    mount = ctypes.c_int()
    here = os.open(".", os.O_RDONLY)
    syscall(NAME_TO_HANDLE_AT, here, b"own", handle, ctypes.byref(mount), 0)
    syscall(OPEN_BY_HANDLE_AT, here, handle, os.O_RDONLY)


@trigger
def chmod_foreign(needs: bool) -> None:
    os.chmod("foreign" if needs else "own", 0o640)


@trigger
def setgid_chmod(needs: bool) -> None:
    mode = 0o2755 if needs else 0o755
    os.chmod("grouped", mode)
    if os.stat("grouped").st_mode & 0o7777 != mode:
        raise SystemExit("the kernel took a bit away")


@trigger
def setid_write(needs: bool) -> None:
    """A set-id file that is written to keeps its set-id bits only with FSETID."""
    Path("setid" if needs else "own").write_bytes(b"x")
    if not os.stat("setid").st_mode & 0o4000:
        raise SystemExit("the kernel took a bit away")


@trigger
def noatime(needs: bool) -> None:
    os.close(os.open("open" if needs else "own", os.O_RDONLY | os.O_NOATIME))


@trigger
def immutable(needs: bool) -> None:
    get, put = 0x80086601, 0x40086602
    flag = 0x10 if needs else 0x40  # FS_IMMUTABLE_FL, FS_NODUMP_FL
    with open("own", "rb") as file:
        before = struct.unpack("i", fcntl.ioctl(file, get, bytes(8))[:4])[0]
        fcntl.ioctl(file, put, struct.pack("l", before | flag))
        fcntl.ioctl(file, put, struct.pack("l", before))


@trigger
def mknod(needs: bool) -> None:
    if needs:
        os.mknod("null", 0o20600, os.makedev(1, 3))
    else:
        os.mkfifo("fifo")


@trigger
def lease(needs: bool) -> None:
    with open("open" if needs else "own", "rb") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)


@trigger
def filecaps(needs: bool) -> None:
    value = struct.pack("<5I", 0x02000000, 1 << 13, 0, 0, 0)
    name = b"security.capability" if needs else b"user.capability"
    call("setxattr", b"own", name, value, len(value), 0)


@trigger
def trusted_write(needs: bool) -> None:
    call("setxattr", b"own", b"trusted.x" if needs else b"user.x", b"1", 1, 0)


@trigger
def trusted_read(needs: bool) -> None:
    os.getxattr("own", "trusted.there" if needs else "user.there")


@trigger
def fibmap(needs: bool) -> None:
    with open("own", "rb") as file:
        if needs:
            fcntl.ioctl(file, 1, struct.pack("i", 0))
        else:
            fiemap = struct.pack("QQIIII", 0, 1 << 40, 0, 0, 0, 0)
            fcntl.ioctl(file, 0xC020660B, fiemap)


# ------------------------------------------------------------------------------ identity


@trigger
def setuid(needs: bool) -> None:
    os.setuid(NOBODY if needs else os.getuid())


@trigger
def setgid(needs: bool) -> None:
    os.setgid(NOBODY if needs else os.getgid())


@trigger
def setresuid(needs: bool) -> None:
    wanted = NOBODY if needs else os.getuid()
    os.setresuid(wanted, wanted, wanted)


@trigger
def setresgid(needs: bool) -> None:
    wanted = NOBODY if needs else os.getgid()
    os.setresgid(wanted, wanted, wanted)


@trigger
def setfsuid(needs: bool) -> None:
    wanted = NOBODY if needs else os.getuid()
    libc.setfsuid(wanted)
    if libc.setfsuid(-1) != wanted:
        raise SystemExit("the id did not change")


@trigger
def setfsgid(needs: bool) -> None:
    wanted = NOBODY if needs else os.getgid()
    libc.setfsgid(wanted)
    if libc.setfsgid(-1) != wanted:
        raise SystemExit("the id did not change")


@trigger
def setgroups(needs: bool) -> None:
    if needs:
        os.setgroups([])
    os.getgroups()


@trigger
def bounding_drop(needs: bool) -> None:
    """Give a capability up, for good or only for now."""
    if needs:
        call("prctl", 24, 30, 0, 0, 0)
        return
    header, data = struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    call("capget", header, data)
    words = list(struct.unpack("6I", data.raw))
    words[0] &= ~(1 << 30)
    words[1] &= ~(1 << 30)
    call("capset", header, struct.pack("6I", *words))


@trigger
def chroot(needs: bool) -> None:
    if needs:
        os.chroot("/")
    os.chdir("/")


@trigger
def setid_exec(needs: bool) -> None:
    """Start a set-uid program while somebody shares the file system state with the process:
    it gets its rights only with SETUID. The other way nobody shares it."""
    clone_fs = 0x200 if needs else 0
    child = syscall(56, clone_fs | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os.execv("setid", ["cat", "secret"])
    if os.waitpid(child, 0)[1]:
        raise SystemExit(1)


# ------------------------------------------------------------------------------ processes


@trigger
def kill(needs: bool) -> None:
    """Send a signal that its receiver ignores, or only ask whether the process exists."""
    with suppress(PermissionError) if not needs else nullcontext():
        os.kill(foreign_pid(), signal.SIGWINCH if needs else 0)


@trigger
def ptrace(needs: bool) -> None:
    seize = 0x4206
    if needs:
        call("ptrace", seize, foreign_pid(), None, None)
        return
    child = os.fork()
    if child == 0:
        time.sleep(30)
    call("ptrace", seize, child, None, None)
    os.kill(child, signal.SIGKILL)


@trigger
def proc_stat(needs: bool) -> None:
    Path(f"/proc/{foreign_pid() if needs else os.getpid()}/stat").read_text()


@trigger
def nice(needs: bool) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -5 if needs else 5)


@trigger
def rlimit(needs: bool) -> None:
    """Lower a hard limit and raise it again, or raise the soft limit only."""
    limit = resource.RLIMIT_CORE
    if needs:
        resource.setrlimit(limit, (0, 0))
    resource.setrlimit(limit, (0, 4096) if needs else (0, resource.getrlimit(limit)[1]))


@trigger
def unshare_uts(needs: bool) -> None:
    call("unshare", 0x04000000 if needs else 0x200)  # CLONE_NEWUTS, CLONE_FS


@trigger
def sethostname(needs: bool) -> None:
    name = socket.gethostname()
    if needs:
        socket.sethostname(name)


@trigger
def last_pid(needs: bool) -> None:
    path = Path("/proc/sys/kernel/ns_last_pid")
    pid = path.read_text()
    if needs:
        path.write_text(pid)


@trigger
def seccomp(needs: bool) -> None:
    """A filter that lets everything through."""
    if not needs:
        call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(code))
    call("prctl", 22, 2, program, 0, 0)


@trigger
def landlock(needs: bool) -> None:
    """Forbid itself to make block devices."""
    if not needs:
        call("prctl", 38, 1, 0, 0, 0)
    ruleset = syscall(LANDLOCK_CREATE_RULESET, struct.pack("Q", 1 << 11), 8, 0)
    syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)


# ------------------------------------------------------------------------------ memory and IPC


@trigger
def mlock(needs: bool) -> None:
    hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, hard))
    size = 1 << 20
    call("mlock", call("mmap", 0, size, 3, 0x22, -1, 0), size if needs else 4096)


@trigger
def mmap_zero(needs: bool) -> None:
    call("mmap", 0, 4096, 1, 0x32 if needs else 0x22, -1, 0)  # MAP_FIXED or not


@trigger
def shm_foreign(needs: bool) -> None:
    call("shmat", int(sys.argv[4]), 0, 0 if needs else 0o10000)  # SHM_RDONLY


@trigger
def shm_lock(needs: bool) -> None:
    segment = call("shmget", 0, 4096, 0o600)
    if needs:
        call("shmctl", segment, 11, None)  # SHM_LOCK
    call("shmctl", segment, 0, None)


# ------------------------------------------------------------------------------ network


@trigger
def bind_port(needs: bool) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 80 if needs else 8080))


@trigger
def raw_socket(needs: bool) -> None:
    kind = socket.SOCK_RAW if needs else socket.SOCK_DGRAM
    socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP if needs else 0).close()


@trigger
def interface_flags(needs: bool) -> None:
    get, put = 0x8913, 0x8914
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = fcntl.ioctl(handle, get, struct.pack("16s16x8x", b"lo"))
        if needs:
            fcntl.ioctl(handle, put, request)


@trigger
def all_namespaces(needs: bool) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as handle:
        if needs:
            handle.setsockopt(270, 8, 1)  # SOL_NETLINK, NETLINK_LISTEN_ALL_NSID
        handle.bind((0, 1))


def audit(kind: int, text: bytes = b"") -> None:
    """A message to the kernel's audit system, and its answer."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as handle:
        length = 16 + len(text)
        handle.send(struct.pack("IHHII", length, kind, 5, 1, 0) + text)
        answer = handle.recv(8192)
    if struct.unpack("H", answer[4:6])[0] == 2 and (code := -struct.unpack("i", answer[16:20])[0]):
        raise OSError(code, os.strerror(code))


@trigger
def audit_control(needs: bool) -> None:
    if needs:
        audit(1000)  # AUDIT_GET
    else:
        Path("/proc/self/loginuid").read_text()


@trigger
def audit_message(needs: bool) -> None:
    if needs:
        audit(1107, b"op=test\0")
    else:
        Path("/proc/self/loginuid").read_text()


@trigger
def audit_read(needs: bool) -> None:
    protocol = 9 if needs else 15  # NETLINK_AUDIT, NETLINK_KOBJECT_UEVENT
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as handle:
        handle.bind((0, 1))


@trigger
def audit_fanotify(needs: bool) -> None:
    """Watch files, with or without a note of each decision in the audit log."""
    syscall(FANOTIFY_INIT, 0x44 if needs else 0x04, 0)  # FAN_CLASS_CONTENT, FAN_ENABLE_AUDIT


# ------------------------------------------------------------------------------ the system


@trigger
def umh_bounds(needs: bool) -> None:
    """Write the limits of the kernel's helper programs as they stand, or read them."""
    path = Path("/proc/sys/kernel/usermodehelper/bset")
    bounds = path.read_text()
    if needs:
        path.write_text(bounds)


@trigger
def acct(needs: bool) -> None:
    if needs:
        call("acct", None)
    resource.getrusage(resource.RUSAGE_SELF)


@trigger
def reboot(needs: bool) -> None:
    """Say of Ctrl-Alt-Del what holds already. Anything but 0 and 1 must not reach the call."""
    holds = Path("/proc/sys/kernel/ctrl-alt-del").read_text().strip()
    if needs:
        call("reboot", ctypes.c_int({"0": 0x00000000, "1": 0x89ABCDEF}[holds]))


@trigger
def reboot_bad_magic(needs: bool) -> None:
    if needs:
        try:
            syscall(169, 0, 0, 0, 0)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise


@trigger
def clock_settime(needs: bool) -> None:
    now = time.clock_gettime_ns(time.CLOCK_REALTIME)
    if needs:
        time.clock_settime_ns(time.CLOCK_REALTIME, now)


@trigger
def adjtimex(needs: bool) -> None:
    timex = ctypes.create_string_buffer(208)
    call("adjtimex", timex)
    if needs:
        timex[0:4] = struct.pack("I", 0x4000)  # ADJ_TICK
        call("adjtimex", timex)


@trigger
def vhangup(needs: bool) -> None:
    def in_a_session_of_its_own() -> None:
        os.setsid()
        if needs:
            call("vhangup")

    in_child(in_a_session_of_its_own)


@trigger
def console_mode(needs: bool) -> None:
    console = os.open("/dev/tty0", os.O_RDONLY | os.O_NOCTTY)
    mode = struct.unpack("l", fcntl.ioctl(console, 0x4B3B, bytes(8)))[0]
    if needs:
        fcntl.ioctl(console, 0x4B3A, mode)


@trigger
def syslog(needs: bool) -> None:
    if needs:
        call("klogctl", 3, ctypes.create_string_buffer(64), 64)
    else:
        os.close(os.open("/dev/kmsg", os.O_WRONLY))


@trigger
def kmsg(needs: bool) -> None:
    os.close(os.open("/dev/kmsg", os.O_RDONLY if needs else os.O_WRONLY))


@trigger
def kallsyms(needs: bool) -> None:
    """The addresses; without SYSLOG they are zeros."""
    with open("/proc/kallsyms" if needs else "/proc/version") as file:
        if needs and not any(int(file.readline().split()[0], 16) for _ in range(2000)):
            raise SystemExit("zeros")


@trigger
def alarm_timer(needs: bool) -> None:
    call("timerfd_create", 9 if needs else 7, 0)  # CLOCK_BOOTTIME_ALARM, CLOCK_BOOTTIME


@trigger
def perf(needs: bool) -> None:
    """Count the processor time of this process, in the kernel too or not."""
    flags = 0 if needs else 0x60  # exclude_kernel, exclude_hv
    event = struct.pack("IIQQQQQ", 1, 112, 0, 0, 0, 0, flags)
    syscall(PERF_EVENT_OPEN, ctypes.create_string_buffer(event, 112), 0, -1, -1, 0)


@trigger
def bpf_map(needs: bool) -> None:
    """A BPF map, or a classic packet filter."""
    if needs:
        map_create = ctypes.create_string_buffer(struct.pack("IIII", 1, 4, 4, 1), 72)
        syscall(BPF, 0, map_create, 72)
        return
    code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0xFFFF))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        handle.setsockopt(1, 26, struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))


def main(names: str, variant: str, *_: str) -> None:
    needs = {"needs": True, "without": False}[variant]
    todo = [TRIGGERS[name] for name in names.split(",")]
    if len(todo) == 1:
        todo[0](needs)
        return
    for function in todo:
        in_child(partial(function, needs))


if __name__ == "__main__":
    main(*sys.argv[1:])
