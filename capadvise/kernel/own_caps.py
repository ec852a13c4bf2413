"""The capabilities that the supervisor keeps once all is set up: capadvise's advice to itself.

``keep`` cuts the permitted and effective sets of the *calling thread*, for capset(2) knows no
processes; threads that it starts later inherit that. A thread that is started before the end of the
set-up must call ``keep`` first. Its children have no more than it has: the guardian is forked
before.

The limit of this: the supervisor stays uid 0, and what it *executes* as root gets the bounding set
again, which check scripts, trials and engine clients need. It takes power from mistakes and from
single system calls that somebody tricks it into, not from code that runs in it.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from capadvise.kernel import libc


class KeptCap(NamedTuple):
    """One capability, and what for."""

    name: str
    number: int
    why: str
    sudo: bool = False
    """Only where sudo started us."""
    before: tuple[int, int] | None = None
    """Only on kernels that are older than this one."""

    def applies(self, *, sudo: bool, kernel: str = os.uname().release) -> bool:
        """True if this capability is kept."""
        version = re.match(r"(\d+)\.(\d+)", kernel)
        old = self.before is None or (
            version is not None and (int(version[1]), int(version[2])) < self.before
        )
        return old and (sudo or not self.sudo)


TABLE = (
    KeptCap("CHOWN", 0, "gives the report to the user who called sudo", sudo=True),
    KeptCap(
        "DAC_OVERRIDE",
        1,
        "writes the report into the caller's folder; /proc/PID/fd of processes of other users",
    ),
    KeptCap(
        "KILL",
        5,
        "kills what a dead guardian leaves, whatever its user, and a check that takes too long",
    ),
    KeptCap(
        "SYS_PTRACE",
        19,
        "reads the program, sockets, namespaces and root of the target's processes",
    ),
    # Until "bpf: refine kernel.unprivileged_bpf_disabled behaviour", each bpf(2) takes it.
    KeptCap("BPF", 39, "reads what its BPF programs have noted", before=(5, 19)),
)
"""The capabilities that the supervisor keeps. It needs none for the trace buffers: they are open,
and root's."""

GUARDIAN = frozenset([5])
"""The guardian keeps KILL while the target runs."""


def kept() -> frozenset[int]:
    """The numbers of the capabilities that the supervisor keeps."""
    sudo = "SUDO_UID" in os.environ
    return frozenset(row.number for row in TABLE if row.applies(sudo=sudo))


def keep(numbers: Iterable[int] | None = None) -> None:
    """Give up all else, in the calling thread. Only as root: what another user executes would not
    get it back. If a seccomp filter refuses capset(2), we keep all that we have."""
    if os.geteuid() != 0:
        return
    mask = sum(1 << number for number in (kept() if numbers is None else numbers))
    with suppress(OSError):
        _, permitted, inheritable = libc.capget()
        libc.capset(permitted & mask, permitted & mask, inheritable)
