"""What goes on, in one line."""

from __future__ import annotations

import signal

from textual.content import Content

from capadvise.model.recording import Recording
from capadvise.tui.events import clock
from capadvise.tui.livetab import health_text
from capadvise.tui.look import end_text, ended_well
from capadvise.tui.state import TargetState
from capadvise.workflow.protocols import LiveSource


def doing(
    source: LiveSource | None, state: TargetState, *, hint: bool = False, frozen: bool = False
) -> Content:
    """Of a recording: its time, what was seen and dropped; of a review: where it comes from.
    ``hint``: say how to go on."""
    if source is None:
        return _recorded(state)
    if state.over is not None:
        head = _ended(state)
        return Content.assemble(head, " · ", ("Enter: review", "bold")) if hint else head
    parts = [_recording(state, frozen=frozen), *_seen(source, state)]
    if state.now.health is not None:
        parts.insert(1, health_text(state.now))
    elif source.check and state.now.seconds:
        parts.insert(1, Content.styled("health check pending", "dim"))
    return Content(" · ").join(parts)


def _recording(state: TargetState, *, frozen: bool) -> Content:
    now, note = state.now, ("  display frozen", "$text-warning") if frozen else ""
    if not now.seconds:
        return Content("starting …")
    if now.stopping is not None:
        left = f"{max(now.stopping, 0):.0f} s"
        return Content.assemble(("■ stopping", "bold $text-warning"), f", killed in {left}")
    if now.ended:
        return Content.assemble(("■ ", "bold"), "exited", note)
    whole = f"{int(now.seconds)} s" if now.seconds < 60 else clock(now.seconds)
    return Content.assemble(("● ", "$text-error"), f"recording {whole}", note)


def _seen(source: LiveSource, state: TargetState) -> list[Content]:
    """What the observer is, and what it lost: that first, there may be no room for the rest."""
    now, observer = state.now, source.observer
    lost = now.lost.total
    checks = sum(tally.count for tally in now.tallies)
    dropped = Content.styled(f"{lost} events dropped", "bold $text-warning")
    parts = [dropped] if lost else []
    parts.append(Content(f"{checks} capability check{'s' * (checks != 1)}"))
    if observer:
        notes = [observer] if lost else ["none dropped", observer]
        parts += [Content.styled(text, "dim") for text in notes]
    return parts


def _ended(state: TargetState) -> Content:
    over = state.over
    seconds = clock(over.report.recording.seconds if over else state.now.seconds)
    status = over.report.recording.exit_status if over else None
    if over is not None and (over.check_passed or _passed(over.report.recording)):
        return Content.assemble(
            ("✓ ", "bold $text-success"), f"health check passed after {seconds}, so it was stopped"
        )
    if over is not None and over.report.recording.attached:
        return Content(f"■ detached after {seconds}")
    if over is not None and over.report.recording.interrupted:
        how = ("■ ", "bold") if ended_well(status) else Content.assemble(end_text(status), " · ")
        return Content.assemble(how, f"you stopped it after {seconds}")
    return Content.assemble(end_text(status), f" after {seconds}")


def _passed(recording: Recording) -> bool:
    """Of a saved report: what succeeded and ended by SIGTERM was stopped as its check passed."""
    return recording.succeeded is True and recording.exit_status == 128 + signal.SIGTERM


def _recorded(state: TargetState) -> Content:
    assert state.over is not None
    recordings = state.over.report.recordings
    checks = sum(check.count for item in recordings for check in item.checks)
    lost = sum(item.lost.total for item in recordings)
    seconds = clock(sum(item.seconds for item in recordings))
    runs = f"{len(recordings)} runs, " if len(recordings) > 1 else ""
    return Content.assemble(
        (f"{lost} events dropped · " if lost else "", "bold $text-warning"),
        f"{runs}{seconds} recorded · {checks} capability check{'s' * (checks != 1)}",
        (f" · {recordings[0].host.observer}", "dim"),
    )
