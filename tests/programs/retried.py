"""Programs that could notice EPERM retries: each prints what it saw, one behaviour each.

Usage: retried.py NAME, in a folder ``foreign`` of which belongs to another user (mode 0700), with
a file ``secret`` (mode 0600) in it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import queue
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
SECRET, OTHER = "foreign/secret", 65534


def said(call: object, *args: object) -> str:
    """``ok``, or the name of the error."""
    try:
        call(*args)  # type: ignore[operator]
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def read(path: str = SECRET) -> str:
    with open(path) as file:
        return file.read()


def threads() -> None:
    """Many threads open a file of somebody else's at the same time."""
    good = []

    def work() -> None:
        for _ in range(10):
            fd = os.open(SECRET, os.O_RDONLY)
            os.close(fd)
        good.append(1)

    started = [threading.Thread(target=work) for _ in range(50)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    print(len(good))


def exec_from_thread() -> None:
    """A thread that is not the leader becomes another program."""
    threading.Thread(target=lambda: os.execv("/bin/cat", ["cat", SECRET])).start()
    time.sleep(30)


def exec_foreign() -> None:
    """It becomes a program that only its owner may execute."""
    shutil.copy("/bin/true", "program")
    os.chmod("program", 0o700)
    os.chown("program", OTHER, OTHER)
    os.execv("program", ["program"])


def int80() -> None:
    """Calls of 32 bits in a program of 64."""
    LIBC.mmap.restype = ctypes.c_void_p
    at = LIBC.mmap(None, 4096, 7, 0x62, -1, 0)  # PRIVATE, ANONYMOUS, 32BIT
    code = bytes.fromhex("53 89f8 89f3 4189c8 89d1 4489c2 cd80 5b 4898 c3")
    ctypes.memmove(at, code, len(code))
    call = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_uint] * 4)(at)
    own, secret = at + 1000, at + 2000
    ctypes.memmove(own, b"own\0", 4)
    ctypes.memmove(secret, SECRET.encode() + b"\0", len(SECRET) + 1)
    print(call(212, own, 5, 5), os.stat("own").st_uid)  # chown32
    print(call(182, own, 6, 6), os.stat("own").st_uid)  # chown
    print(call(5, secret, 0, 0) > 2, call(5, at + 3000, 0, 0))  # open
    print(call(15, own, 0o2755, 0), oct(os.stat("own").st_mode))  # chmod
    print(bytes((ctypes.c_char * 96).from_address(at + 4000)).strip(b"\0"))


def x32() -> None:
    """A call of a kind that retries do not know (getpid of x32)."""
    print(LIBC.syscall(0x40000000 + 39), ctypes.get_errno())


def no_stack() -> None:
    """A call while the stack pointer points nowhere."""
    LIBC.mmap.restype = ctypes.c_void_p
    at = LIBC.mmap(None, 4096, 7, 0x22, -1, 0)
    # mov r8,rsp; xor esp,esp; mov eax,92 (chown); syscall; mov rsp,r8; ret
    code = bytes.fromhex("4989e0 31e4 b85c000000 0f05 4c89c4 c3")
    ctypes.memmove(at, code, len(code))
    chown = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_char_p, ctypes.c_long, ctypes.c_long)(at)
    print(chown(b"own", 5, 5), os.stat("own").st_uid)


def held_open() -> None:
    """With a file of /proc open each call stops: also those that the filter stops at times."""
    with open("/proc/self/stat"):
        print(os.access(SECRET, os.R_OK, effective_ids=True), os.access("own", os.R_OK))
        print(said(os.chown, "own", 5, 5))
        kept = os.dup(0)
    os.close(kept)


def killed_from_outside() -> None:
    """Children that are refused things until somebody kills them, whose pids it prints."""
    for _ in range(int(sys.argv[2])):
        child = os.fork()
        if child == 0:
            while True:
                said(os.link, "foreign", "other")
        print(child, flush=True)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
            os._exit(1)


def killed() -> None:
    """Children are killed while they are refused things, and while they make others."""
    for number in range(60):
        child = os.fork()
        if child == 0:
            while True:
                said(os.link, "foreign", "other")  # of a directory: refused whatever one has
                if number % 2 and os.fork() == 0:
                    os._exit(0)
        time.sleep(0.002 * (number % 10))
        os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def program_of_32_bits() -> None:
    """Another program, whose calls are of 32 bits and whose stack is low."""
    base, size = 0x08048000, 52 + 32
    code = bytes.fromhex("b8d4000000 bb00000000 b906000000 ba06000000 cd80")
    code += bytes.fromhex("89c3 f7db b801000000 cd80")  # exit(-result)
    path = (base + size + len(code)).to_bytes(4, "little")
    code = code[:6] + path + code[10:] + b"own\0"
    total = size + len(code)
    header = b"\x7fELF\1\1\1" + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + size, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    header += struct.pack("<8I", 1, 0, base, base, total, total, 5, 4096)
    with open("program", "wb") as file:
        file.write(header + code)
    os.chmod("program", 0o700)
    print(subprocess.run(["./program"]).returncode, os.stat("own").st_uid)


def spawn() -> None:
    """vfork and posix_spawn: a child in the parent's memory."""
    print(subprocess.run(["cat", SECRET], capture_output=True, text=True).stdout)
    pid = os.posix_spawn("/bin/cat", ["cat", SECRET], os.environ)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def signals() -> None:
    """Signals arrive in the middle of refused calls; their handler is refused things, too."""
    handled = []
    signal.signal(signal.SIGALRM, lambda *_: handled.append(said(os.stat, SECRET)))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    results = set()
    while len(handled) < 50:
        results.add(said(lambda: os.close(os.open(SECRET, os.O_RDONLY))))
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(results, set(handled))


def interrupted() -> None:
    """A call that blocks is interrupted by a signal, and made again by the kernel."""
    os.mkfifo("foreign/fifo", 0o600)
    os.chown("foreign/fifo", OTHER, OTHER)
    signalled, signals = os.pipe()
    os.set_blocking(signals, False)
    signal.set_wakeup_fd(signals)  # is told at once: a handler of Python's waits for the call's end
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, False)
    if os.fork() == 0:
        for _ in range(3):
            os.read(signalled, 1)
        with open("foreign/fifo", "w") as file:
            file.write("through")
        os._exit(0)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    print(read("foreign/fifo"))
    signal.setitimer(signal.ITIMER_REAL, 0)

    def give_up(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)  # at Python's end, it would be its end
        raise TimeoutError

    signal.signal(signal.SIGALRM, give_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        read("foreign/fifo")
    except TimeoutError:
        print("gave up")


def once() -> None:
    """Calls with side effects have them once."""
    print(said(os.mkdir, "foreign/new"), said(os.mkdir, "foreign/new"))
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    print(said(os.open, "foreign/file", flags), said(os.open, "foreign/file", flags))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
    (became, becomes), (sent, sends) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(sends)
        os.setuid(OTHER)
        os.write(becomes, b".")
        os.read(sent, 1)
        count = 0
        while signal.sigtimedwait({signal.SIGRTMIN}, 0):  # these queue up
            count += 1
        print("signals", count, flush=True)
        os._exit(0)
    os.read(became, 1)
    for _ in range(3):
        os.kill(child, signal.SIGRTMIN)
    os.close(sends)
    os.wait()


def seccomp() -> None:
    """A filter of its own that kills whoever calls capset."""
    number = {"x86_64": 126, "aarch64": 91}[os.uname().machine]
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x80000000), (6, 0, 0, 0x7FFF0000)]
    raw = b"".join(struct.pack("<HBBI", *item) for item in code)
    buffer = ctypes.create_string_buffer(raw, len(raw))
    program = struct.pack("@HP", len(code), ctypes.addressof(buffer))
    print(said(read))
    LIBC.prctl(38, 1, 0, 0, 0)
    print(LIBC.prctl(22, 2, ctypes.create_string_buffer(program, len(program)), 0, 0))
    print(said(read), said(os.chown, SECRET, OTHER, OTHER), said(os.stat, SECRET))
    print(subprocess.run(["cat", SECRET], capture_output=True, text=True).stdout)


def listener() -> None:
    """Another thread of it answers a call: let it go on (seccomp_unotify(2))."""
    seccomp, chown = {"x86_64": (317, 92), "aarch64": (277, 54)}[os.uname().machine]
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, chown), (6, 0, 0, 0x7FC00000), (6, 0, 0, 0x7FFF0000)]
    raw = b"".join(struct.pack("<HBBI", *item) for item in code)
    buffer = ctypes.create_string_buffer(raw, len(raw))
    program = struct.pack("@HP", len(code), ctypes.addressof(buffer))
    installed: queue.Queue[int] = queue.Queue()

    def answer() -> None:
        fd, notice = installed.get(), bytearray(80)
        fcntl.ioctl(fd, 0xC0502100, notice)  # SECCOMP_IOCTL_NOTIF_RECV
        go_on = struct.pack("<QqiI", struct.unpack_from("<Q", notice)[0], 0, 0, 1)
        fcntl.ioctl(fd, 0xC0182101, go_on)  # SECCOMP_IOCTL_NOTIF_SEND

    thread = threading.Thread(target=answer)
    thread.start()
    LIBC.prctl(38, 1, 0, 0, 0)
    installed.put(LIBC.syscall(seccomp, 1, 8, ctypes.create_string_buffer(program, len(program))))
    print(said(os.chown, "own", OTHER, OTHER))
    thread.join()


def view() -> None:
    """What a program sees of its own capabilities."""
    header = ctypes.create_string_buffer(struct.pack("<Ii", 0x20080522, 0), 8)
    data = ctypes.create_string_buffer(24)
    print(said(read), LIBC.capget(header, data), data.raw.hex())
    with open("/proc/self/status") as file:
        print([line for line in file if line.startswith("Cap")])
    print(subprocess.run(["capsh", "--print"], capture_output=True, text=True).stdout)


def switch() -> None:
    """Another user and back again: the effective set goes and comes."""
    print(said(read))
    os.seteuid(OTHER)
    print(said(os.chown, "own", 5, 5), said(read), said(os.kill, 1, 0))
    os.seteuid(0)
    print(said(os.chown, "own", 5, 5), said(read))
    LIBC.prctl(8, 1, 0, 0, 0)
    os.setresuid(OTHER, OTHER, OTHER)
    print(said(os.chown, "own", 6, 6), said(socket.sethostname, socket.gethostname()))
    view_sets()


def view_sets() -> None:
    with open("/proc/self/status") as file:
        print([line.split()[1] for line in file if line.startswith(("CapPrm", "CapInh"))])


def own_set() -> None:
    """It gives up one capability of its effective set: that one is not raised for it."""
    header = ctypes.create_string_buffer(struct.pack("<Ii", 0x20080522, 0), 8)
    data = ctypes.create_string_buffer(24)
    LIBC.capget(header, data)
    sets = list(struct.unpack("<6I", data.raw))
    sets[0] &= ~(1 << 13)  # NET_RAW
    print(LIBC.capset(header, ctypes.create_string_buffer(struct.pack("<6I", *sets), 24)))
    print(said(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1), said(os.chown, "own", 5, 5))
    LIBC.capget(header, data)
    print(struct.unpack("<6I", data.raw) == tuple(sets))


def set_gid() -> None:
    """The set-gid bit, which is lost without an error."""
    os.chown("own", 0, OTHER)
    os.chmod("own", 0o2755)
    print(oct(os.stat("own").st_mode))
    fd = os.open("own", os.O_WRONLY)
    os.fchmod(fd, 0o6711)
    os.write(fd, b"x")
    print(oct(os.stat("own").st_mode))
    os.chown("own", OTHER, OTHER)
    os.chmod("own", 0o4755)
    os.chown("own", 7, 7)  # the bit is to go: that is a chmod of somebody else's file, too
    print(oct(os.stat("own").st_mode))


def silent() -> None:
    """Files of /proc that show less without an error."""
    with open("/proc/kallsyms") as file:
        print(file.read(16) > "0000000000000001")
    child = subprocess.Popen(["setpriv", "--reuid", str(OTHER), "sleep", "30"])
    while os.stat(f"/proc/{child.pid}").st_uid != OTHER:
        time.sleep(0.01)
    with open(f"/proc/{child.pid}/stat") as file:
        print(file.read().split()[27] != "0")  # the start of its stack
    child.kill()


def namespace() -> None:
    """A user namespace of its own, with root mapped into it."""
    print(subprocess.run(["unshare", "-Ur", "id", "-u"], capture_output=True, text=True))
    print(said(read))


def limits() -> None:
    """Errors that are not EPERM: locked memory."""
    import resource

    resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))
    memory = ctypes.create_string_buffer(1 << 20)
    print(LIBC.mlock(memory, 1 << 20), ctypes.get_errno())


def stops() -> None:
    """Stopped and continued, in the middle of refused calls."""
    child = os.fork()
    if child == 0:

        def work() -> None:
            while not os.path.exists("enough"):
                os.close(os.open(SECRET, os.O_RDONLY))
                said(os.link, "foreign", "other")  # of a directory: tried again and again

        others = [threading.Thread(target=work) for _ in range(3)]
        for thread in others:
            thread.start()
        work()
        for thread in others:
            thread.join()
        os._exit(7)
    for _ in range(20):
        time.sleep(0.02)
        os.kill(child, signal.SIGSTOP)
        os.kill(child, signal.SIGCONT)
    os.kill(child, signal.SIGSTOP)
    _, status = os.waitpid(child, os.WUNTRACED)
    print(os.WIFSTOPPED(status), os.WSTOPSIG(status) == signal.SIGSTOP)
    time.sleep(0.1)
    with open(f"/proc/{child}/stat") as file:
        print(file.read().split()[2] in "Tt")
    os.mkdir("enough")
    os.kill(child, signal.SIGCONT)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def attach_blocked() -> None:
    """It traces a process that cannot be stopped, and that ends."""
    child = os.fork()
    if child == 0:
        LIBC.syscall(
            {"x86_64": 56, "aarch64": 220}[os.uname().machine], 0x4011, 0, 0, 0, 0
        )  # VFORK
        time.sleep(1)  # the child of it: its maker waits for its end
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(0)
    time.sleep(0.3)
    LIBC.ptrace(16, child, None, None)  # PTRACE_ATTACH
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0x40000000)[1]) < 0)


def traced() -> None:
    """It traces others itself."""
    print(subprocess.run(["strace", "-o", "trace", "true"], capture_output=True, text=True))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
