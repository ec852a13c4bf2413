"""What recordings could not see: cautions, and capabilities of which nothing is known. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from capadvise.model.caps import SYS_ADMIN, Cap
from capadvise.model.recording import Namespace, Recording

_SYS_PTRACE = Cap.parse("SYS_PTRACE")
_IO_URING = ("DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "NET_RAW", "NET_BIND_SERVICE")
"""What the operations of io_uring workers (open, rename, unlink, link, socket, bind) can be asked
for."""
_MOST_NUMBERS = 5
"""More runs than that are counted, not listed."""


def unseen(recordings: Sequence[Recording]) -> Iterable[tuple[Cap, str]]:
    """Capabilities whose checks can have been made where nobody looks, or were lost, and why."""
    if any(recording.io_uring for recording in recordings):
        for name in _IO_URING:
            yield (
                Cap.parse(name),
                "io_uring was used: the checks of its worker threads were not observed",
            )
    if any(recording.lost.sys_admin for recording in recordings):
        yield SYS_ADMIN, "events were dropped"
    if any(recording.lost.lookups for recording in recordings):
        yield _SYS_PTRACE, "events were dropped"


def cautions_of(recordings: Sequence[Recording]) -> Iterable[str]:
    """The cautions of all runs, each once, with the numbers of its runs where there are several."""
    runs: dict[str, list[int]] = {}
    for number, recording in enumerate(recordings, 1):
        for caution in _cautions(recording):
            runs.setdefault(caution, []).append(number)
    for caution, numbers in runs.items():
        yield caution if len(recordings) == 1 else f"{_runs(numbers, len(recordings))}: {caution}"


def _runs(numbers: Sequence[int], of: int) -> str:
    if len(numbers) == of:
        return "each run"
    if len(numbers) > _MOST_NUMBERS:
        return f"{len(numbers)} of {of} runs"
    return f"run{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _refused_by_the_host(recording: Recording) -> list[str]:
    """Calls that no capability of the target would have let through."""
    return sorted(
        {
            check.syscall
            for check in recording.checks
            if check.ns is Namespace.HOST and check.syscall and (check.result or 0) < 0
        }
    )


def _cautions(recording: Recording) -> Iterable[str]:
    lost = recording.lost
    if lost.signal:
        yield f"{lost.signal} events dropped: needs can be missing"
    if lost.sys_admin:
        yield (f"{lost.sys_admin} events of {SYS_ADMIN} dropped: its absence is unconfirmed")
    if lost.lookups:
        yield f"{lost.lookups} lookups in /proc dropped: needs of {_SYS_PTRACE} can be missing"
    yield from recording.cautions
    if recording.host.observer == "audit":
        yield "an audit log holds refusals only: it does not show what was granted and needed"
    elif recording.attached and not recording.restarted:
        yield "it was already running: its start was not observed"
    if recording.io_uring:
        yield "io_uring was used: the checks of its worker threads were not observed"
    if recording.interrupted:
        yield "it was stopped: what it does later, such as a reload, was not observed"
    elif recording.succeeded is False:
        yield "the run failed: what a successful run needs was not observed"
    if refused := _refused_by_the_host(recording):
        yield (
            f"{', '.join(refused)} failed, which is checked against the host's user namespace: "
            "capabilities in the target's own user namespace do not count there"
        )
