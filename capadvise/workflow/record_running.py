"""Watch what runs already, until the time is up, the health check passes or the user leaves."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from capadvise.model.escape import printable
from capadvise.workflow.record import Wishes, over_of, unsaid
from capadvise.workflow.reports import judge_and_keep_so_far, preload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from capadvise.observe.supervise.command import Command
    from capadvise.observe.supervise.event_loop import Onlooker
    from capadvise.observe.supervise.observation import Observation
    from capadvise.targets.kubernetes.cri.bundle import CriContainer
    from capadvise.targets.kubernetes.pods import Pods
    from capadvise.targets.running.target import Running
    from capadvise.workflow.protocols import Over

_KEEPS = "Ctrl-C ends the recording, the target keeps running"


def record_running(running: Running, command: Command, wishes: Wishes) -> Over:
    """A process, a container or a unit."""
    from capadvise.targets.running.record_running import attach

    def observe(command: Command, **options: Any) -> list[Observation]:
        return [attach(running, command, **options)]

    def begun(processes: int) -> None:
        wishes.say(_watching(running, processes))

    command, name = replace(command, argv=running.target.argv), running.target.name
    return _recorded(name, observe, command, wishes, begun, several=False)[0]


def record_pods(pods: Pods, command: Command, wishes: Wishes) -> list[Over]:
    """The containers of pods, each with a report. Raises CannotObserve where none ran."""
    from capadvise.targets.kubernetes.record_pods import attach_pods

    def begun(containers: list[CriContainer], processes: int) -> None:
        wishes.say(_watching_pods(pods, containers, processes))

    observe = partial(attach_pods, pods)
    return _recorded(str(pods), observe, command, wishes, begun, several=pods.several)


def _recorded(
    name: str,
    observe: Callable[..., Iterable[Observation]],
    command: Command,
    wishes: Wishes,
    begun: Callable[..., None],
    *,
    several: bool,
) -> list[Over]:
    """Record on the screens if there are any; else call ``begun`` with what is recorded."""
    save = partial(judge_and_keep_so_far, output=wishes.output, several=several)
    if (show_live := wishes.on_screen) is None:
        seen = observe(command, meanwhile=preload, begun=begun, save=save)
        return [over_of(one, wishes, several=several) for one in seen]
    from capadvise.workflow.live import LiveRecorder

    silent = replace(command, announcer=None)

    def job(_terminal: int, onlooker: Onlooker) -> list[Over]:
        seen = observe(silent, meanwhile=preload, onlooker=onlooker, save=save)
        return [over_of(one, wishes, several=several, say=unsaid) for one in seen]

    argv = ("attach", name)
    return show_live(
        LiveRecorder(argv, job, check=command.check, has_terminal=False, several=several)
    )


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
