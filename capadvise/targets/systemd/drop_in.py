"""Drop-ins for a recording or a trial, and their removal, however the run ends.

Everything else stays as the unit says: its user, namespaces, directories, environment, sockets.
Before anything is changed, a file notes how to undo it, and the note is removed last: capadvise
undoes the change, or its guardian if capadvise is killed, or the next capadvise if both are.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from capadvise.kernel import procfs
from capadvise.model.caps import CapSet
from capadvise.model.errors import CannotObserve
from capadvise.targets.client.answer import last_line
from capadvise.targets.systemd import manager
from capadvise.targets.systemd.neighbours import Neighbours, neighbours_of
from capadvise.targets.systemd.refusals import refused
from capadvise.targets.systemd.unit import ServiceUnit

_ALWAYS = Path(__file__).with_suffix(".conf").read_text(encoding="utf-8")
"""Failed starts do not count, one that fails is seen to fail, and neither it nor an end has an
effect on the machine."""
_UNHIDDEN = """\
SystemCallFilter=
NoNewPrivileges=no
"""
"""A filter answers before the kernel checks; NoNewPrivileges hides what set-id programs gain."""


def for_recording(unit: ServiceUnit) -> str:
    """The drop-in that grants every capability and hides no check."""
    ambient = "AmbientCapabilities=\n" if unit.is_root else "AmbientCapabilities=~\n"
    return f"{_ALWAYS}{_UNHIDDEN}CapabilityBoundingSet=~\n{ambient}"


def for_trial(unit: ServiceUnit, caps: CapSet, options: Iterable[str] = ()) -> str:
    """The drop-in that grants exactly this set, with ``options``; other confinement stays."""
    names = " ".join(cap.name for cap in sorted(caps))
    bounding = "CapabilityBoundingSet=\n" + (f"CapabilityBoundingSet={names}\n" if names else "")
    ambient = "AmbientCapabilities=\n"
    if names and not unit.is_root:
        ambient += f"AmbientCapabilities={names}\n"
    return _ALWAYS + bounding + ambient + "".join(f"{line}\n" for line in options)


_DROP_INS = Path("/run/systemd/system")
_NOTES = Path("/run/capadvise-units")
_SCRIPT = Path(__file__).with_suffix(".sh").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class UnitChange:
    """A change of a unit by a drop-in."""

    unit: str
    before: str
    """Its ``ActiveState``."""
    mark: str
    """The mark of the process that makes it."""
    activators: tuple[str, ...] = ()
    """Sockets and others that are up, and start it."""
    around: Neighbours = field(default_factory=Neighbours)

    @property
    def drop_in(self) -> Path:
        """The drop-in's path: the last one by name counts."""
        return _DROP_INS / f"{self.unit}.d" / f"zzz-capadvise-{self.mark}.conf"

    @property
    def note(self) -> Path:
        """The file that says how to undo the change."""
        return _NOTES / f"{self.unit}.{self.mark}"

    @property
    def removal(self) -> list[str]:
        """The command that undoes it."""
        files = str(self.drop_in), str(self.note)
        around = (" ".join(names) for names in (self.around.stops, self.around.starts))
        words = [self.before, self.unit, *files, *around]
        return ["sh", "-c", _SCRIPT, "capadvise", *words, *self.activators]

    @property
    def sweep(self) -> list[list[str]]:
        """The commands for the guardian: see ``process_tree.remove_containers``."""
        return [["ls", "-d", "--", str(self.note)], self.removal]


def change_of(unit: ServiceUnit) -> UnitChange:
    """The change of a unit in its present state, not made yet."""
    up = tuple(name for name in unit.activators if manager.show(name).runs)
    return UnitChange(unit.name, unit.active, procfs.mark(), up, neighbours_of(unit.name))


@contextmanager
def changed(change: UnitChange, text: str) -> Iterator[None]:
    """The unit with a drop-in, which takes effect at its next start. Raises CannotObserve if it
    would not, or if the unit cannot be brought back to its former state."""
    _require_alone(change)
    _require_last(change)
    _NOTES.mkdir(mode=0o700, exist_ok=True)
    _write(change.note, json.dumps(change.removal))
    try:
        change.drop_in.parent.mkdir(mode=0o755, exist_ok=True)
        _write(change.drop_in, text)
        manager.reload()
        manager.stop_all(change.around.stops)
        yield
    finally:
        problem = _undo(change.removal)
    if problem:
        names = " or ".join((change.unit, *change.around.starts))
        raise refused("lost", CannotObserve, name=change.unit, names=names, problem=problem)


def _write(path: Path, text: str) -> None:
    """Write a new file that only root can change, whatever the umask is."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o644), "w", encoding="utf-8") as file:
        file.write(text)


def _require_alone(change: UnitChange) -> None:
    """Raise CannotObserve if another live process has changed the unit: the last one to end would
    restore the state that the other one made."""
    for _, unit, pid, alive in _notes():
        if alive and unit == change.unit:
            raise refused("busy", CannotObserve, name=unit, pid=pid)


def _require_last(change: UnitChange) -> None:
    """Raise CannotObserve if there is a later drop-in: it could take back what ours says."""
    for path in manager.drop_ins(change.unit):
        if Path(path).name > change.drop_in.name:
            raise refused("later", CannotObserve, name=change.unit, path=path)


def undo_abandoned(dead: int = 0) -> tuple[str, ...]:
    """Undo the changes of a capadvise that was killed together with its guardian; the names of the
    units. ``dead``: a process that has ended, but may be in /proc for a moment."""
    units = []
    for note, unit, pid, alive in _notes():
        if not alive or pid == str(dead):
            with suppress(OSError, ValueError):
                _undo(json.loads(note.read_text()))
                units.append(unit)
    return tuple(units)


def _notes() -> list[tuple[Path, str, str, bool]]:
    """The notes: the unit and the process of each, and whether the process lives."""
    notes = []
    for path in sorted(_NOTES.glob("*")) if _NOTES.is_dir() else ():
        unit, _, mark = path.name.rpartition(".")
        notes.append((path, unit, mark.partition("-")[0], procfs.is_marked(mark)))
    return notes


def _undo(removal: list[str]) -> str:
    """Run the removal; returns the problem, or an empty text."""
    try:
        done = subprocess.run(
            removal,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=manager.STOP_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return (last_line(done.stderr) or f"exit {done.returncode}") if done.returncode else ""
