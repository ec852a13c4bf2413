"""Kernel addresses to function names, from ``/proc/kallsyms``, and stacks to call sites."""

from __future__ import annotations

import os
import re
import struct
import threading
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from io import FileIO
from pathlib import Path

from capadvise.kernel import procfs
from capadvise.model.errors import CannotObserve

KALLSYMS = Path("/proc/kallsyms")
_HEAD = 4096
"""Bytes: some ninety symbols, of which the first may lie at address 0 (those of each processor)."""

_UNNAMED = "kernel functions are shown as addresses: {}"

# Compiled when first used: each target would wait for them.
_SUFFIX = rb"\.(?:isra|part|cold|constprop|llvm)\b.*"
_NOISE = (
    r"(?:__traceiter_|trace_event_|perf_trace_|__bpf_trace_|trampoline|trace_|stack_trace).*"
    r"|cap_capable|security_capable|do_syscall_64|x64_sys_call|entry_SYSCALL\w*|ret_from_fork\w*"
    r"|do_syscall_x64|el0\w*|invoke_syscall\w*|do_el0_svc|stacktrace_trigger|event_triggers_\w+"
)
"""Frames that every stack has, or that the tracer itself adds: named, never counted."""
_CHECK = frozenset({"cap_capable", "arch_rethook_trampoline", "return_to_handler"})
"""The function between the tracer's own frames and the call site: the one with the tracepoint or
the entry probe, or the stand-in for it at a return probe."""
_SYSCALL = r"__(?:x64|ia32|arm64|do|se)_(?:compat_)?sys_(\w+)|(?:compat_)?ksys_(\w+)|__sys_(\w+)"
_RENAMED = {"mmap_pgoff": "mmap", "newuname": "uname"}
_HELPERS = {
    "vm_mmap_pgoff": "mmap",
    "kernel_clone": "clone",
    "do_faccessat": "faccessat",
    "do_seccomp": "seccomp",
    "do_handle_open": "open_by_handle_at",
    "do_sendfile": "sendfile",
    "do_msgsnd": "msgsnd",
    "do_msgrcv": "msgrcv",
    "do_semtimedop": "semtimedop",
    "do_arch_prctl_64": "arch_prctl",
    "do_futimesat": "futimesat",
    "kernel_mbind": "mbind",
    "kernel_set_mempolicy": "set_mempolicy",
    "path_getxattrat": "getxattr",
    "path_listxattrat": "listxattr",
}
"""Functions that a call's entry function jumps to, which removes the entry from the stack
(disassembly of 6.12 and 7.3). Several calls jump to the last four: the most usual one stands for
them."""


def _to_see_addresses(restricted: str | None) -> str:
    """The way to the addresses (kallsyms_show_value): 0 and 1 show them to whoever has SYSLOG, 2
    to nobody."""
    if restricted == "2":
        return (
            "as root: sysctl kernel.kptr_restrict=1 shows them to processes with CAP_SYSLOG, on "
            "the whole machine; put it back afterwards"
        )
    return "run it as root with CAP_SYSLOG, which shows the addresses"


class Symbols:
    """The kernel's symbol table as text. The core kernel's part is sorted, so it is searched as
    it stands: parsing 120,000 lines would cost more than a short run."""

    def __init__(self, table: bytes | Callable[[], bytes]) -> None:
        """``table`` may be a function, called at the first use."""
        self._given = table
        self._known: dict[int, str] = {}
        self.cautions: tuple[str, ...] = ()
        """The problem of a table that came late."""

    @classmethod
    def load(cls, path: Path = KALLSYMS) -> Symbols:
        """Read the running kernel's table. Raises CannotObserve as ``Reading.result``."""
        return cls.whole(path, path.read_bytes)

    @classmethod
    def whole(cls, path: Path, read: Callable[[], bytes]) -> Symbols:
        """Read a whole table. Raises CannotObserve if it is useless."""
        try:
            table = read()
        except OSError as error:
            raise CannotObserve(f"cannot read {path}: {error.strerror}") from error
        symbols = cls(table)
        try:
            hidden = not table or symbols._line(symbols._core_end // 2)[0] == 0
        except (ValueError, IndexError) as error:
            raise CannotObserve(f"{path} is not a symbol table") from error
        if hidden:
            raise CannotObserve(
                f"{path} hides the kernel's addresses (kernel.kptr_restrict is "
                f"{procfs.sysctl('kernel.kptr_restrict')}), so call sites cannot be named",
                hint=_to_see_addresses(procfs.sysctl("kernel.kptr_restrict")),
            )
        return symbols

    @cached_property
    def _table(self) -> bytes:
        try:
            return self._given if isinstance(self._given, bytes) else self._given()
        except CannotObserve as error:  # the target runs already
            self.cautions = (_UNNAMED.format(error),)
            return b""

    @cached_property
    def _core_end(self) -> int:
        modules = self._table.find(b"\t[")
        return len(self._table) if modules < 0 else self._table.rfind(b"\n", 0, modules) + 1

    def name(self, address: int) -> str:
        """The function that an address lies in; its hexadecimal value where there is none."""
        if address not in self._known:
            self._known[address] = self._find(address)
        return self._known[address]

    def address(self, name: str) -> int:
        """The address of a symbol of the core kernel; 0 if it is not listed."""
        at = self._table.find(b" %s\n" % name.encode(), 0, self._core_end)
        return self._line(at)[0] if at >= 0 else 0

    def _find(self, address: int) -> str:
        addresses, names = self._modules
        index = bisect_right(addresses, address) - 1
        # A module lies apart from the core kernel; whichever symbol is nearer is the one.
        best, name = (addresses[index], names[index]) if index >= 0 else (-1, b"")
        low, high = 0, self._core_end
        while low < high:
            start = self._start_of_line((low + high) // 2)
            value, label, following = self._line_at(start)
            if value <= address:
                if value >= best:
                    best, name = value, label
                low = following
            else:
                high = start
        if best < 0:
            return f"0x{address:x}"
        return re.sub(_SUFFIX, b"", name).decode(errors="backslashreplace")

    @cached_property
    def _modules(self) -> tuple[list[int], list[bytes]]:
        lines = (line.split() for line in self._table[self._core_end :].splitlines())
        pairs = sorted((int(line[0], 16), line[2]) for line in lines if len(line) >= 3)
        return [value for value, _ in pairs], [name for _, name in pairs]

    def _start_of_line(self, at: int) -> int:
        return self._table.rfind(b"\n", 0, at) + 1

    def _line(self, at: int) -> tuple[int, bytes, int]:
        return self._line_at(self._start_of_line(at))

    def _line_at(self, start: int) -> tuple[int, bytes, int]:
        end = self._table.find(b"\n", start)
        end = len(self._table) if end < 0 else end
        fields = self._table[start:end].split()
        return int(fields[0], 16), fields[2], end + 1


class Reading:
    """The symbol table, being read. The kernel writes it in 40 ms, 4 KB a call. Another process
    reads it: in a thread of ours each call would wait for Python's lock. No target waits for it."""

    def __init__(self, path: Path = KALLSYMS) -> None:
        self._path = path
        self._late: FileIO
        """A second handle on the table: once the target runs, we have no CAP_SYSLOG, and would read
        zeros."""
        self._copy = os.fdopen(os.memfd_create("symbols"), "rb")
        self._cat, self._status = 0, -1
        self._reaping = threading.Lock()
        with suppress(OSError):  # without subprocess, which takes as long to load as all else here
            streams = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, self._copy.fileno(), 1),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ]
            words = ["cat", str(path)]
            self._cat = os.posix_spawnp("cat", words, os.environ, file_actions=streams)

    def result(self) -> Symbols:
        """Symbols that wait for the table at their first use. Raises CannotObserve if the kernel
        hides its addresses (kernel.kptr_restrict)."""
        if not self._cat:
            return Symbols.load(self._path)
        Symbols.whole(self._path, self._head)
        return Symbols(self._whole)

    def _head(self) -> bytes:
        self._late = self._path.open("rb", buffering=0)
        return self._late.read(_HEAD).rpartition(b"\n")[0]

    def _whole(self) -> bytes:
        with self._copy, self._late:
            if self.reap():  # as it is where no file may grow (ulimit -f)
                self._late.seek(0)
                return Symbols.whole(self._path, self._late.readall)._table
            self._copy.seek(0)
            return self._copy.read()

    def reap(self) -> bool:
        """Wait for the process that reads it, which would stay a zombie if no symbol is looked up.
        True if it failed."""
        with self._reaping:
            if self._status < 0 and self._cat:
                self._status = 0
                with suppress(ChildProcessError):  # reaped with all others
                    self._status = os.waitpid(self._cat, 0)[1]
            return self._status > 0


_INNERMOST = 20
"""A check function further out than so many frames belongs to another check, which this one
interrupted."""


def call_site(symbols: Symbols, stack: bytes) -> tuple[str, ...]:
    """The functions of a stack, innermost first, without entry code and the tracer's own."""
    addresses = struct.unpack_from(f"<{len(stack) // 8}Q", stack)
    names = [symbols.name(address) for address in addresses if address != 2**64 - 1]
    inner = next((at for at, name in enumerate(names[:_INNERMOST]) if name in _CHECK), -1)
    names = names[inner + 1 :]
    return tuple(name for name in names if not re.fullmatch(_NOISE, name))


def syscall_of(site: tuple[str, ...]) -> str | None:
    """The system call at the outer end of a call site; None for page faults and other entries
    without a call."""
    for frame in reversed(site):
        if match := re.fullmatch(_SYSCALL, frame):
            name: str = next(filter(None, match.groups()))
            return _RENAMED.get(name, name)
    for frame in reversed(site):
        if frame in _HELPERS:
            return _HELPERS[frame]
    if site and site[-1].startswith("io_uring_"):  # its set-up loses its entry frame
        return "io_uring_setup"
    return None
