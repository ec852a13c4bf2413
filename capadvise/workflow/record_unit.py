"""Record a unit that systemctl starts; judge, save, and prove where asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from capadvise.workflow.notice import notice
from capadvise.workflow.record import Wishes, over_of, proven_over
from capadvise.workflow.reports import keep, preload

if TYPE_CHECKING:
    from capadvise.observe.supervise.command import Command
    from capadvise.observe.supervise.onlooker import Onlooker
    from capadvise.targets.systemd.invocation import UnitOrder
    from capadvise.workflow.protocols import Over, ShowLive


def unit_order(argv: Sequence[str]) -> UnitOrder | None:
    """The unit that a command starts; None for any other. Raises BadInput where it starts one in a
    way that cannot be recorded."""
    if not any(word.endswith(("systemctl", "systemd-run", "machinectl")) for word in argv[:4]):
        return None
    from capadvise.targets.systemd.invocation import recognize  # most runs do without

    return recognize(argv)


def record_unit(order: UnitOrder, command: Command, wishes: Wishes) -> tuple[Over, int | None]:
    """Record it from its start to its end, and systemctl's exit status. The unit is as it was then.
    Raises CannotObserve and BadInput where nothing ran."""
    from capadvise.targets.systemd.invocation import order_for
    from capadvise.targets.systemd.manager import known
    from capadvise.targets.systemd.record import SETTLES, active_check, observe_unit

    say: Callable[[str], object] = (lambda sentence: None) if wishes.quiet else notice
    asked, order = order.unit, order_for(order)
    if order.unit != asked:
        say(f"{asked} starts {order.unit}, which is recorded")
    unasked = wishes.prove and command.check is None and command.seconds is None
    if unasked and not known(order.unit).oneshot:
        command = replace(command, check=active_check(order.unit), check_after=SETTLES)
    if (show_live := wishes.on_screen) is not None:
        over, status = _on_screen(order, command, wishes, show_live)
        return hardened_over(over) if wishes.harden else over, status
    run = observe_unit(order, command, preload, say=say)
    over = over_of(run.seen, wishes)
    if wishes.prove:
        over = proven_over(over, None)
    return hardened_over(over) if wishes.harden and not over.interrupted else over, run.status


def hardened_over(over: Over) -> Over:
    """With the options of systemd that it works with, and saved so."""
    from capadvise.workflow.harden import hardened

    report = hardened(over.report)
    return replace(over, report=report, path=over.path and keep(over.path, report))


def _on_screen(
    order: UnitOrder, command: Command, wishes: Wishes, show_live: ShowLive
) -> tuple[Over, int | None]:
    from capadvise.targets.systemd.record import observe_unit
    from capadvise.workflow.live import LiveRecorder

    command = replace(command, announcer=None)

    def job(terminal: int, onlooker: Onlooker) -> list[Over]:
        here = replace(command, terminal=terminal)
        run = observe_unit(order, here, preload, onlooker=onlooker)
        return [over_of(run.seen, wishes, say=lambda sentence: None)]

    recorder = LiveRecorder(command.argv, job, check=command.check)
    over = show_live(recorder, prove=wishes.prove)[0]
    return over, over.report.recording.exit_status
