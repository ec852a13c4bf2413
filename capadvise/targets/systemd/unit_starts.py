"""The start of a unit, seen in the kernel's own events below its manager.

The manager forks for each command, and the child (``systemd-executor``) prepares what the unit says
and executes it: everything before the exec is not the unit's. Several units may start at a time: a
command is known by its program, in the order in which the manager executes them, and, if the
process still lives when its exec is reported, by its control group and its words.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile

from capadvise.kernel import procfs
from capadvise.kernel.posture.read import Machine, posture_of
from capadvise.model.posture import Posture
from capadvise.model.recording import Phase
from capadvise.observe.tracking.tasks import Scope, Task
from capadvise.targets.systemd import manager
from capadvise.targets.systemd.unit import ServiceUnit, UnitCommand


class UnitStarts:
    """Says which threads are the unit's. See ``tasks.Starts``."""

    def __init__(self, unit: ServiceUnit, scope: Scope | None = None, manager: int = 0) -> None:
        """``scope``: the scope of a unit that runs already. ``manager``: see ``Scope``."""
        self._manager = 0 if unit.own_root else manager
        self._unit, self._next = unit, 0
        self._machine = Machine.read()
        self.scope = scope
        self.stopping = scope is None and unit.runs
        """Its manager was asked to stop it: at the end, or first, by a restart."""
        self.posture: Posture | None = None
        """The main process's posture, or that of one before it; None if all were gone."""
        self.main_seen = False
        """True if ``posture`` is the main process's complete one."""
        self.user = (0, 0)
        """uid and gid of the main process at its exec."""
        self.privileged: set[str] = set()
        """Programs of commands with ``+``, which were executed."""

    def called(self, pid: int, task: Task, call: str, values: Sequence[int]) -> None:
        """Nothing begins with a call."""

    def executed(self, time: int, pid: int, task: Task, path: str) -> None:
        """A program below the manager: perhaps one of the unit's commands."""
        if task.runtime or in_unit(pid, self._unit.name) is False:
            return
        command = self._command(pid, path)
        if command is None:
            return
        if command.privileged:  # it has everything whatever the unit's set is
            task.runtime = pid
            self.privileged.add(path)
            return
        if self.scope is None:
            self.scope = Scope(1, pid, time, task.namespace, manager=self._manager)
        task.scope, task.since, task.phase = self.scope, time, command.phase
        if command.setting == "ExecStart" or self.posture is None:
            self.user = task.uids.effective, task.gids.effective
            self.look(pid, main=command.setting == "ExecStart")

    def unknown(self, pid: int) -> Scope | None:
        """The scope by the control group, if a fork was lost."""
        return self.scope if in_unit(pid, self._unit.name) else None

    def _command(self, pid: int, path: str) -> UnitCommand | None:
        """The command with the words of this process, else the next one that executes this program;
        after the last one, the first. While the unit stops, one for its stop."""
        numbered = list(enumerate(self._unit.commands, 1))
        ordered = (*numbered[self._next :], *numbered[: self._next])
        of_program = [(number, command) for number, command in ordered if command.starts(path)]
        if len(of_program) > 1:
            words = " ".join(procfs.arguments(pid))
            of_program.sort(
                key=lambda one: (one[1].words != words, self.stopping and not self._stops(one[1]))
            )
        for number, command in of_program:
            self._next = number
            # behind the last one of its stop, a restart goes on with its start
            self.stopping &= self._stops(command) and number < len(numbered)
            return command
        return None

    @staticmethod
    def _stops(command: UnitCommand) -> bool:
        return command.phase is Phase.STOP_COMMAND

    def look(self, pid: int, *, main: bool = True) -> None:
        """See what restrains a process. If the process has ended since, only a part was seen."""
        with suppress(OSError):
            posture = posture_of(pid, self._machine)
            whole = procfs.state(pid) not in ("", "Z")
            if whole or self.posture is None:
                self.posture = posture
            self.main_seen |= whole and main


def in_unit(pid: int, name: str) -> bool | None:
    """True if a process is in the control group of a unit; None if it is gone.

    A unit of the same name in a container, or of a user's own manager, is another one.
    """
    groups = procfs.cgroup(pid).splitlines()
    if all(line.endswith(":/") for line in groups):  # one that has ended is in the root's
        return None
    return any(is_of(line.split(":", 2)[2], name, manager.group()) for line in groups)


def is_of(group: str, name: str, top: str) -> bool:
    """True if a control group is a unit's, or below it: only slices are above. Pure."""
    if not group.startswith(f"{top}/"):
        return False
    parts = group.removeprefix(top).split("/")[1:]
    above = list(takewhile(lambda part: part.endswith(".slice"), parts))
    return parts[len(above) : len(above) + 1] == [name]


def processes(name: str) -> list[int]:
    """The processes of a unit."""
    return [pid for pid in procfs.processes() if in_unit(pid, name)]


def first_process(unit: ServiceUnit) -> int:
    """The unit's main process, else one that the manager has started; 0: none."""
    keeper = manager.pid()
    pids = processes(unit.name)
    if keeper == 1 and unit.main in pids:
        return unit.main
    below = [pid for pid in pids if procfs.parent(pid) == keeper]
    return next(iter((*below, *pids)), 0)
