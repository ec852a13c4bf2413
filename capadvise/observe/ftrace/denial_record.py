"""What the program of refused checks writes, and what it has to know of the kernel. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CAP, CALL, UID, RELATION, PROGRAM, GROUP, STACK = 0, 4, 8, 12, 16, 32, 40
FRAMES = 28
KEY_SIZE = STACK + 8 * FRAMES
THREAD, ARGUMENTS, IDS, SETS, PATH = 264, 272, 320, 352, 392
PATH_SIZE, ADDRESS_SIZE = 256, 28
ADDRESS = 16
"""Added to the number of an argument that is the address of a socket."""
NAMES, LEVELS, NAME_SIZE = PATH + PATH_SIZE, 6, 96
"""The control group and those above it, the innermost first."""
RECORD_SIZE = NAMES + LEVELS * NAME_SIZE
"""Where the parts of a record stand. It begins with what is its key in the kernel's table."""
OUTSIDE, OWN = 2, 4
"""Bits of RELATION: the process is in another user namespace than the machine's; the check was
against the namespace that the process is in."""
NO_CALL = 0xFFFFFFFF
NO_CAP = 0xFFFFFFFF
"""In the place of the capability: a call that was refused without a check that was told."""
ERROR, FILTERED = STACK, STACK + 4
"""Where such a call has its error, 0 for SIGSYS, and whether a seccomp filter answered it."""
ASKED_SIZE = 24


@dataclass(frozen=True, slots=True)
class KernelLayout:
    """Where the kernel keeps things, in bytes."""

    call: int
    call_size: int
    arguments: tuple[int, ...]
    """Of ``struct pt_regs``: the number of the call, how many bytes it has, and the arguments as
    they were at its begin."""
    named: int | None
    """Of ``struct pt_regs``: the register that named the call, where the kernel forgets the number
    itself before it delivers a signal; it has 4 bytes."""
    ids: int
    sets: int
    users: int
    """Of ``struct cred``."""
    above: int
    """Of ``struct user_namespace``: the one above it."""
    seccomp: int
    exit_code: int
    cred: int
    groups: int
    """Of ``struct task_struct``."""
    group: int
    """Of ``struct css_set``: the group of version 2, or a subsystem's state."""
    of_state: int | None
    """Of ``struct cgroup_subsys_state``; None for version 2."""
    group2: int
    """Of ``struct css_set``: the group of version 2, which tells where the process is in none of
    the subsystem's."""
    node: int
    """Of ``struct cgroup``."""
    node_id: int
    node_name: int
    node_parent: int
    """Of ``struct kernfs_node``."""


@dataclass(frozen=True, slots=True)
class CheckArguments:
    """Where the program finds the arguments and the answer of a check, in 8 bytes each."""

    cred: int
    namespace: int
    cap: int
    answer: int


TRACEPOINT = CheckArguments(cred=0, namespace=8, cap=24, answer=32)
"""``capability:cap_capable``"""
FUNCTION = CheckArguments(cred=0, namespace=8, cap=16, answer=32)
"""At the return of ``cap_capable()``."""


@dataclass(frozen=True, slots=True)
class DenialMaps:
    """Descriptors."""

    scratch: int
    """One record for each processor."""
    counts: int
    ring: int
    paths: int
    """By the number of a call: which of its arguments is a path, counted from 1, or ADDRESS and
    which one is the address of a socket."""
    dropped: int
    """How many records the ring did not take."""
    failed: int
    """Process → its name, of those that did not end with 0."""
    asked: int | None = None
    """By thread: its last call in which a check was refused. Where the end of each is seen."""
    ended: int | None = None
    """By thread that a seccomp filter stands before: 1 where the end of a call was seen, and not
    the begin of the next one yet."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Numbers of system calls."""

    memory: Iterable[int]
    """Those in which CAP_SYS_ADMIN is only asked for in accounting."""
    clone: int | None
    clone3: int | None
