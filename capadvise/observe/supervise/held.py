"""A command before its exec: the state that can only be read then, or with capabilities that we
give up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capadvise.kernel import procfs
from capadvise.kernel.posture.own_state import OwnState, own_state, own_sysctls
from capadvise.observe.audit.live import AuditListener
from capadvise.observe.supervise.observation import working_directory

if TYPE_CHECKING:
    from capadvise.model.caps import Sets


@dataclass(frozen=True, slots=True)
class HeldCommand:
    """The state of a command that is held."""

    cwd: str
    sets: Sets
    own: OwnState
    sysctls: dict[str, str]
    processes: frozenset[int]
    """Those of this machine."""
    audit: AuditListener | None

    @classmethod
    def read(cls, pid: int) -> HeldCommand:
        """Read the state of this process. Raises OSError if it is gone."""
        return cls(
            working_directory(),
            procfs.capability_sets(pid),
            own_state(procfs.PROC / str(pid)),
            own_sysctls(),
            frozenset(procfs.processes()),
            AuditListener.open(),
        )
