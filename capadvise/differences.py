"""What a trial left behind, and what was lost in comparison with one that had more. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Observed:
    """What a trial left behind, to be compared with the one that had everything."""

    exit_status: int | None
    stderr: tuple[str, ...] = ()
    """Lines, numbers blanked out."""
    files: tuple[tuple[str, str], ...] = ()
    """Path below the scratch directory → owner, group, mode, file capabilities."""
    credentials: tuple[tuple[str, int, int], ...] = ()
    """(program, uid, gid) of the processes at check time."""


def compare(full: Observed, less: Observed) -> list[str]:
    """What was lost, in sentences: each is a difference to the run that had everything."""
    lost = []
    if full.exit_status != less.exit_status:
        lost.append(f"it exits with {less.exit_status} instead of {full.exit_status}")
    for line in [line for line in less.stderr if line not in full.stderr][:3]:
        lost.append(f"it says: {line}")
    before, after = dict(full.files), dict(less.files)
    for path in sorted(set(before) | set(after)):
        if before.get(path) != after.get(path):
            was, now = before.get(path, "missing"), after.get(path, "missing")
            lost.append(f"{path} is {now} instead of {was}")
    for program, uid, gid in less.credentials:
        if (program, uid, gid) not in full.credentials:
            lost.append(f"{program} runs as {uid}:{gid}")
    return lost
