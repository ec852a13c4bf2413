"""Watch what runs already, until the time is up, the health check passes or the user leaves."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from capadvise.model.escape import printable
from capadvise.workflow.notice import notice
from capadvise.workflow.record import Wishes, over_of, unsaid
from capadvise.workflow.reports import judge_and_keep_so_far, preload

if TYPE_CHECKING:
    from collections.abc import Callable

    from capadvise.observe.supervise.command import Command
    from capadvise.observe.supervise.event_loop import Onlooker
    from capadvise.targets.kubernetes.cri.bundle import CriContainer
    from capadvise.targets.kubernetes.pods import Pods
    from capadvise.targets.running.target import Running
    from capadvise.workflow.protocols import Over, ShowLive

_KEEPS = "Ctrl-C ends the recording, the target keeps running"


def record_running(running: Running, command: Command, wishes: Wishes) -> Over:
    """A process, a container or a unit."""
    from capadvise.targets.running.record_running import attach

    command = replace(command, argv=running.target.argv)
    save = partial(judge_and_keep_so_far, output=wishes.output)

    if (show_live := wishes.on_screen) is None:

        def begun(processes: int) -> None:
            if not wishes.quiet:
                notice(_watching(running, processes))

        seen = attach(running, command, meanwhile=preload, begun=begun, save=save)
        return over_of(seen, wishes)

    def job(onlooker: Onlooker) -> list[Over]:
        here = replace(command, announcer=None)
        seen = attach(running, here, meanwhile=preload, onlooker=onlooker, save=save)
        return [over_of(seen, wishes, say=unsaid)]

    return _on_screen(running.target.name, job, command, show_live, several=False)[0]


def record_pods(pods: Pods, command: Command, wishes: Wishes) -> list[Over]:
    """The containers of pods, each with a report. Raises CannotObserve where none ran."""
    from capadvise.targets.kubernetes.record_pods import attach_pods

    several = pods.several
    save = partial(judge_and_keep_so_far, output=wishes.output, several=several)
    if (show_live := wishes.on_screen) is None:

        def begun(containers: list[CriContainer], processes: int) -> None:
            if not wishes.quiet:
                notice(_watching_pods(pods, containers, processes))

        seen = attach_pods(pods, command, meanwhile=preload, begun=begun, save=save)
        return [over_of(one, wishes, several=several) for one in seen]

    def job(onlooker: Onlooker) -> list[Over]:
        here = replace(command, announcer=None)
        seen = attach_pods(pods, here, meanwhile=preload, onlooker=onlooker, save=save)
        return [over_of(one, wishes, several=several, say=unsaid) for one in seen]

    return _on_screen(str(pods), job, command, show_live, several=True)


def _on_screen(
    name: str,
    job: Callable[[Onlooker], list[Over]],
    command: Command,
    show_live: ShowLive,
    *,
    several: bool,
) -> list[Over]:
    from capadvise.workflow.live import LiveRecorder

    recorder = LiveRecorder(
        ("attach", name),
        lambda _, onlooker: job(onlooker),
        check=command.check,
        has_terminal=False,
        several=several,
    )
    return show_live(recorder)


def _watching(running: Running, processes: int) -> str:
    target = running.target
    name = target.name
    if target.kind == "container":
        name = f"{target.engine or ''} container {name}".lstrip()
    elif target.kind == "unit":
        name = target.unit
    if running.restart:
        return f"watching {name}, which is restarted now; {_KEEPS}"
    return f"watching {name}, pid {running.pid}, {_many(processes)}; {_KEEPS}"


def _watching_pods(pods: Pods, containers: list[CriContainer], processes: int) -> str:
    names = ", ".join(sorted({one.name for one in containers})) or "no container yet"
    many = f", {_many(processes)}" if containers else ""
    return f"watching pod {pods}: {printable(names)}{many}; {_KEEPS}"


def _many(processes: int) -> str:
    return f"{processes} process{'es' * (processes != 1)}"
