"""A trial of a unit: restarted under a drop-in with the trial's set, for each round again."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capadvise.judgement.hardening import NO_NEW_PRIVILEGES
from capadvise.kernel.folders import copy_plain
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.observation import Observation
from capadvise.targets.systemd import drop_in, manager, safety
from capadvise.targets.systemd.drop_in import change_of, changed, undo_abandoned
from capadvise.targets.systemd.invocation import recognize, restart_of
from capadvise.targets.systemd.record import run_unit
from capadvise.targets.systemd.unit import ServiceUnit

_LINES = "200"


@dataclass(frozen=True, slots=True)
class UnitTrial:
    """A unit that is under the trial's drop-in."""

    unit: ServiceUnit

    def run(
        self,
        number: int,
        command: Command,
        seen: Callable[[tuple[Observation, Sequence[object]]], None],
        _: object,
    ) -> None:
        """Run one round, and give ``seen`` the result. The unit's journal goes to our standard
        error. No files are compared: they are the unit's own, and stay from trial to trial."""
        began = time.time()
        order = restart_of(self.unit.name)
        run = run_unit(order, self.unit, command, at_end=lambda: self._print_log(began))
        seen((run.seen, ()))

    def _print_log(self, began: float) -> None:
        since = f"@{began:.3f}"
        words = ["journalctl", "--quiet", "--no-pager", "--output=cat", f"--lines={_LINES}"]
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                [*words, f"--since={since}", f"_SYSTEMD_UNIT={self.unit.name}"],
                stdin=subprocess.DEVNULL,
                stdout=2,
                stderr=subprocess.DEVNULL,
                timeout=10,
            )


@contextmanager
def unit_trial(plan: dict[str, Any], top: Path, out: Path, err: Path) -> Iterator[UnitTrial]:
    """Prepare a trial, and restore the unit at the end. Raises CannotObserve if systemd does not
    answer, and BadInput for a unit that must not be restarted."""
    order = recognize(tuple(plan["argv"]))
    if order is None:
        raise BadInput("the report's command starts no unit")
    undo_abandoned()
    unit = manager.known(order.unit)
    change = change_of(unit)
    safety.require_restartable(unit, change.around, allow=plan["allow_actions"])
    caps = frozenset(Cap.parse(name) for name in plan["caps"])
    lines = [*plan["options"], *([NO_NEW_PRIVILEGES] if plan["no_new_privs"] else ())]
    for number, path in enumerate(plan["uncapped"]):
        with suppress(OSError):  # it is in a root folder of the unit's own
            copy_plain(path, copy := top / f"uncapped{number}")
            lines.append(f"BindReadOnlyPaths={copy}:{path}")
    with changed(change, drop_in.for_trial(unit, caps, lines)):
        if plan["options"]:
            plan["exposure"] = manager.exposure(unit.name)
        try:
            yield UnitTrial(unit)
        finally:  # signals wait until the unit is restored
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
