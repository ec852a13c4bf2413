"""The refused capability checks of the whole machine, and the calls that were refused without one:
the kernel counts them, and sends the first of each kind. Nothing outlives this process: the kernel
ends the programs with their descriptors.

It takes Linux 5.15, BPF, BTF and the kernel's symbols.
"""

import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from capadvise.kernel import btf, libc, syscalls, uapi
from capadvise.kernel.sudo import with_sudo
from capadvise.model.errors import CannotObserve
from capadvise.observe.ftrace import denial_programs
from capadvise.observe.ftrace import denial_programs as at
from capadvise.observe.ftrace.denial_programs import (
    FUNCTION,
    TRACEPOINT,
    Calls,
    DenialMaps,
    KernelLayout,
    program,
)

KINDS = 4096
"""The most kinds of refusals that are counted; the kernel forgets the least recently seen."""
_RING = 1 << 20
_BUSY, _DISCARDED = 1 << 31, 1 << 30
_ENDED = 1024
"""The most processes that ended with a failure that are remembered."""
_THREADS = 16384
"""The most threads that are followed from call to call, if the end of each call is seen."""
_MOST_PATHS = 512
"""System calls have lower numbers."""
_MEMORY = ("mmap", "munmap", "brk", "mremap", "mprotect", "execve", "execveat", "fork", "vfork")
_MEMBERS = {
    "pt_regs": ("orig_ax", "di", "si", "dx", "r10", "r8", "r9", "syscallno", "orig_x0"),
    "user_pt_regs": ("regs",),
    "cred": ("uid", "user_ns", "cap_inheritable"),
    "user_namespace": ("parent",),
    "task_struct": ("cgroups", "seccomp", "cred", "exit_code"),
    "css_set": ("dfl_cgrp", "subsys"),
    "cgroup_subsys_state": ("cgroup",),
    "cgroup": ("kn",),
    "kernfs_node": ("id", "name", "parent", "__parent"),
}
_CHECK, _EXEC = "cap_capable", "cap_bprm_creds_from_file"
_NOT_SUPPORTED = 524
"""ENOTSUPP of linux/errno.h, which has no text."""
_SUBSYSTEM = "pids_cgrp_id"
"""With version 1, this subsystem's group is used: all engines and systemd use it."""
_RECORD = struct.Struct(
    f"<4I16sQ{8 * at.FRAMES}sII6Q8I5Q{at.PATH_SIZE}s{at.LEVELS * at.NAME_SIZE}s"
)


@dataclass(frozen=True, slots=True)
class RefusedCheck:
    """The first of its kind. Program, path and groups are hostile."""

    key: bytes
    """The key by which the kernel counts it."""
    cap: int | None
    """None: a call that was refused without one."""
    error: int
    """The error of such a call; 0: it was sent SIGSYS."""
    filtered: bool
    """A seccomp filter answered it."""
    call: int | None
    """The number of the system call; None: there is none, as at a page fault."""
    relation: int
    program: str
    group: int
    stack: bytes
    thread: int
    process: int
    arguments: tuple[int, ...]
    uids: tuple[int, int, int]
    """Real, effective, saved; those of the machine's user namespace."""
    gids: tuple[int, int, int]
    permitted: int
    bounding: int
    pointed: bytes
    """The path that the call was given, with what follows it; or the address of a socket."""
    groups: tuple[str, ...]
    """The control group, from the outermost that was read."""


class MachineRefusals:
    """The programs, and the refusals that they report."""

    def __init__(self, numbers: Mapping[str, int], *, every_call: bool = False) -> None:
        """``numbers``: of system calls, by name. ``every_call``: see the end of each call, too.
        Raises CannotObserve."""
        self._layout, functions = _layout()
        self._numbers = numbers
        self._fds: list[int] = []
        try:
            self._maps = self._make_maps(every_call=every_call)
            self._attach(functions)
            self._ring = _Ring(self._maps.ring)
        except OSError as error:
            self.close()
            takes = "it takes Linux 5.15 or later; see: capadvise doctor"
            hint = with_sudo() if os.geteuid() else takes
            raise CannotObserve(
                f"the kernel refuses the BPF program: {error.strerror}", hint=hint
            ) from error

    def _make_maps(self, *, every_call: bool) -> DenialMaps:
        def made(kind: int, key: int, value: int, entries: int) -> int:
            self._fds.append(libc.bpf_map(kind, key, value, entries))
            return self._fds[-1]

        lru = uapi.BPF_MAP_TYPE_LRU_HASH
        maps = DenialMaps(
            scratch=made(uapi.BPF_MAP_TYPE_PERCPU_ARRAY, 4, at.RECORD_SIZE, 1),
            counts=made(lru, at.KEY_SIZE, 8, KINDS),
            ring=made(uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, _RING),
            paths=made(uapi.BPF_MAP_TYPE_ARRAY, 4, 8, _MOST_PATHS),
            dropped=made(uapi.BPF_MAP_TYPE_ARRAY, 4, 8, 1),
            failed=made(lru, 4, 16, _ENDED),
            asked=made(lru, 4, at.ASKED_SIZE, _THREADS) if every_call else None,
            ended=made(lru, 4, 8, _THREADS) if every_call else None,
        )
        for name, number in self._numbers.items():
            kinds = [kind for _, kind in syscalls.signature(name)]
            kind = next((kind for kind in ("path", "address") if kind in kinds), None)
            if kind and number < _MOST_PATHS:
                place = struct.pack("<Q", kinds.index(kind) + (1 if kind == "path" else at.ADDRESS))
                libc.bpf_update(maps.paths, struct.pack("<I", number), place)
        return maps

    def _attach(self, functions: Mapping[str, int]) -> None:
        get = self._numbers.get
        memory = [self._numbers[name] for name in _MEMORY if name in self._numbers]
        calls = Calls(memory, get("clone"), get("clone3"))

        own = os.getpid()

        def code(context: at.CheckArguments) -> bytes:
            return program(context, self._layout, self._maps, calls, own)

        raw, layout, maps = uapi.BPF_PROG_TYPE_RAW_TRACEPOINT, self._layout, self._maps
        self._run(raw, denial_programs.at_exit(layout, maps, own), "sched_process_exit")
        self._run(raw, denial_programs.at_signal(layout, maps, own), "signal_deliver")
        if maps.ended is not None:
            self._run(raw, denial_programs.at_begin(layout, maps.ended), "sys_enter")
            self._run(raw, denial_programs.at_end(layout, maps, own), "sys_exit")
        elif _EXEC in functions:
            with suppress(OSError):  # a kernel that runs no programs at its functions
                in_exec = denial_programs.at_exec(layout, maps, own)
                self._run(uapi.BPF_PROG_TYPE_TRACING, in_exec, None, functions[_EXEC])
        try:
            self._run(raw, code(TRACEPOINT), "cap_capable")
            return
        except FileNotFoundError:  # before Linux 6.14
            pass
        if _CHECK not in functions:
            raise CannotObserve("this kernel shows no capability checks to BPF programs")
        try:
            self._run(uapi.BPF_PROG_TYPE_TRACING, code(FUNCTION), None, functions[_CHECK])
        except OSError as error:
            if error.errno != _NOT_SUPPORTED:
                raise
            raise CannotObserve(
                "this kernel runs no BPF programs at its functions; on aarch64 it takes Linux 6.4"
            ) from error

    def _run(self, kind: int, code: bytes, tracepoint: str | None, function: int = 0) -> None:
        as_ = uapi.BPF_TRACE_FEXIT if function else 0
        loaded = libc.bpf_load_program(kind, code, as_, function)
        try:
            self._fds.append(libc.bpf_raw_tracepoint(tracepoint, loaded))
        finally:
            os.close(loaded)

    @property
    def fd(self) -> int:
        """Readable when there is news."""
        return self._maps.ring

    def read(self, most: int) -> list[RefusedCheck]:
        """The new refusals, the oldest first."""
        return [_denial(record) for record in self._ring.records(most)]

    def counts(self) -> Iterator[tuple[bytes, int]]:
        """How often each kind was seen so far."""
        for key, value in libc.bpf_entries(self._maps.counts, at.KEY_SIZE, 8):
            yield key, struct.unpack("<Q", value)[0]

    def failed(self, process: int, program: str) -> bool:
        """True if a process failed a short time ago while it ran this program."""
        name = libc.bpf_lookup(self._maps.failed, struct.pack("<I", process), 16)
        return name is not None and _text(name) == program

    def dropped(self) -> int:
        """How many records of new kinds were lost: too many came at once."""
        _, value = next(libc.bpf_entries(self._maps.dropped, 4, 8))
        return int(struct.unpack("<Q", value)[0])

    def close(self) -> None:
        """End the programs."""
        for fd in reversed(self._fds):
            os.close(fd)
        self._fds = []


class _Ring:
    """A BPF ring buffer: kernel/bpf/ringbuf.c describes its pages."""

    def __init__(self, fd: int) -> None:
        page = mmap.PAGESIZE
        self._read = mmap.mmap(fd, page)
        flags, access = mmap.MAP_SHARED, mmap.PROT_READ
        self._written = mmap.mmap(fd, page + 2 * _RING, flags, access, offset=page)

    def records(self, most: int) -> Iterator[bytes]:
        """Complete records; the space of each is released once it was taken."""
        page = mmap.PAGESIZE
        (consumed,) = struct.unpack_from("<Q", self._read)
        for _ in range(most):
            (produced,) = struct.unpack_from("<Q", self._written)
            if consumed >= produced:
                return
            start = page + (consumed & (_RING - 1))
            (head,) = struct.unpack_from("<I", self._written, start)
            if head & _BUSY:
                return
            length = head & ~(_BUSY | _DISCARDED)
            record = self._written[start + 8 : start + 8 + length]
            consumed += (length + 15) & ~7
            struct.pack_into("<Q", self._read, 0, consumed)
            if not head & _DISCARDED:
                yield record


def _denial(record: bytes) -> RefusedCheck:
    fields = _RECORD.unpack(record)
    cap, call, _, relation, program, group, stack, thread, process = fields[:9]
    arguments, ids, sets = fields[9:15], fields[15:23], fields[23:28]
    path, names = fields[28:]
    size = at.NAME_SIZE
    without = cap == at.NO_CAP
    error, filtered = struct.unpack_from("<II", stack) if without else (0, 0)
    levels = [_text(names[place : place + size]) for place in range(0, len(names), size)]
    return RefusedCheck(
        key=record[: at.KEY_SIZE],
        cap=None if without else cap,
        error=error,
        filtered=bool(filtered),
        call=None if call == at.NO_CALL else call,
        relation=relation,
        program=_text(program),
        group=group,
        stack=stack.rstrip(b"\0") + b"\0" * (-len(stack.rstrip(b"\0")) % 8),
        thread=thread,
        process=process,
        arguments=tuple(arguments),
        uids=(ids[0], ids[4], ids[2]),
        gids=(ids[1], ids[5], ids[3]),
        permitted=sets[1],
        bounding=sets[3],
        pointed=path,
        groups=tuple(filter(None, reversed(levels))),
    )


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="backslashreplace")


def registers(
    offsets: Mapping[tuple[str, str], int],
) -> tuple[int, int, tuple[int, ...], int | None]:
    """In ``struct pt_regs``: the offset and size of the number of a call, the offsets of its
    arguments, and ``KernelLayout.named``. Raises KeyError for an unknown processor."""
    if ("pt_regs", "orig_ax") in offsets:  # x86-64
        names = ("di", "si", "dx", "r10", "r8", "r9")
        arguments = tuple(offsets["pt_regs", name] for name in names)
        return offsets["pt_regs", "orig_ax"], 8, arguments, None
    # aarch64: a call's result takes the place of its first argument. pt_regs begins with
    # user_pt_regs; the 4 bytes behind the number are not set (arch/arm64/include/asm/ptrace.h).
    call, first = offsets["pt_regs", "syscallno"], offsets["pt_regs", "orig_x0"]
    x0 = offsets["user_pt_regs", "regs"]
    return call, 4, (first, *(x0 + 8 * number for number in range(1, 6))), x0 + 8 * 8


def _layout() -> tuple[KernelLayout, Mapping[str, int]]:
    """The layout of this kernel's structures, and the BTF numbers of its functions."""
    known = btf.load(_MEMBERS, enumerators=(_SUBSYSTEM,), functions=(_CHECK, _EXEC))
    offsets = known.offsets
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    version1 = not unified and _SUBSYSTEM in known.enumerators
    try:
        call, call_size, arguments, named = registers(offsets)
        state = 8 * known.enumerators.get(_SUBSYSTEM, 0)
        parent = offsets.get(("kernfs_node", "parent"))
        layout = KernelLayout(
            call=call,
            call_size=call_size,
            arguments=arguments,
            named=named,
            ids=offsets["cred", "uid"],
            sets=offsets["cred", "cap_inheritable"],
            users=offsets["cred", "user_ns"],
            above=offsets["user_namespace", "parent"],
            seccomp=offsets["task_struct", "seccomp"],
            exit_code=offsets["task_struct", "exit_code"],
            cred=offsets["task_struct", "cred"],
            groups=offsets["task_struct", "cgroups"],
            group=offsets["css_set", "subsys"] + state,
            group2=offsets["css_set", "dfl_cgrp"],
            of_state=offsets["cgroup_subsys_state", "cgroup"] if version1 else None,
            node=offsets["cgroup", "kn"],
            node_id=offsets["kernfs_node", "id"],
            node_name=offsets["kernfs_node", "name"],
            node_parent=offsets["kernfs_node", "__parent"] if parent is None else parent,
        )
    except KeyError as error:
        raise CannotObserve(f"this kernel has no {'.'.join(error.args[0])}") from error
    return layout, known.functions
