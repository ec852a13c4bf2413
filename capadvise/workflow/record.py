"""Record a command, containers that a client starts, a unit, or what runs already; judge, save, and
prove if asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from capadvise.kernel.sudo import with_sudo
from capadvise.model.errors import BadInput, Declined
from capadvise.model.escape import printable
from capadvise.model.wording import it_or_them
from capadvise.observe.ftrace.kallsyms import Reading
from capadvise.observe.supervise.observation import working_directory
from capadvise.targets.client.invocation import Invocation, existing, recognize, starts_otherwise
from capadvise.workflow.notice import confirmed, has_screens, notice, progress
from capadvise.workflow.reports import judge_and_keep_so_far, judge_and_save, keep, preload

if TYPE_CHECKING:
    from pathlib import Path

    from capadvise.observe.supervise.command import Command
    from capadvise.observe.supervise.event_loop import Onlooker
    from capadvise.observe.supervise.observation import Observation
    from capadvise.proof.trials.stages import Stages
    from capadvise.targets.kubernetes.cri.bundle import CriContainer
    from capadvise.targets.kubernetes.pods import Pods
    from capadvise.targets.running.target import Running
    from capadvise.targets.systemd.invocation import UnitOrder
    from capadvise.workflow.jobs import Ways
    from capadvise.workflow.live import LiveRecorder
    from capadvise.workflow.protocols import Over, ShowLive

_HOW_LONG = (
    "recording until the containers end: press Ctrl-C to stop them, or give it a time with "
    "--for SECONDS"
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """The user's wishes for a recording."""

    output: str | None = None
    prove: bool = False
    twice: bool = False
    """Run a command that ends by itself once more if something is in doubt."""
    harden: bool = False
    """Try options of systemd for a unit, too."""
    replace: bool = False
    """Stop a container that is up, and record in its place instead of beside it."""
    allow_actions: bool = False
    downtime: float | None = None
    """For units: see ``Ways``."""
    quiet: bool = False
    screens: ShowLive | None = None
    """Shows the recording, if there is a terminal for it."""

    @property
    def trials(self) -> bool:
        return self.prove or self.twice

    @property
    def on_screen(self) -> ShowLive | None:
        """The screens, if this terminal can show them."""
        if self.screens is None or not has_screens():
            return None
        if find_spec("pyte") is None:  # the single file has none, since it is LGPL
            notice("text instead of the TUI, which needs the Python module pyte: pip install pyte")
            return None
        return self.screens

    @property
    def say(self) -> Callable[[str], object]:
        """Prints a line on stderr, unless the user wants quiet."""
        return unsaid if self.quiet else notice


def container_client(argv: Sequence[str]) -> Invocation | None:
    """The invocation by which a command starts containers; None if it starts none. Raises BadInput
    if their start cannot be recorded."""
    invocation = recognize(argv)
    if invocation is not None:
        return invocation
    if of_existing := existing(argv):
        words, instead = of_existing
        raise BadInput(
            f"{words}: a container keeps the capabilities that it was created with",
            hint=f"capadvise run -- {instead} …, or watch it with: capadvise attach CONTAINER",
        )
    if other := starts_otherwise(argv):
        words, instead = other
        raise BadInput(f"{words}: its containers cannot be recorded from their start", hint=instead)
    return None


def record_command(command: Command, wishes: Wishes) -> Over:
    """Record a command to its end. Raises CannotObserve or CannotStart when nothing ran."""
    show_live = wishes.on_screen
    table = None if show_live or os.geteuid() != 0 else Reading()
    from capadvise.observe.supervise.record import (  # while the symbols are being read
        choose,
        observe,
    )

    command, alone = choose(command)
    if command.unobserved and command.user and os.geteuid() != 0:
        raise BadInput("--user needs root", hint=with_sudo())
    if alone and not wishes.quiet:
        notice(f"{alone}: only retries show what it needs")
    with _kept(wishes, _keep_directory) as before:
        if show_live:
            return _command_on_screen(command, wishes, before, show_live)
        meanwhile = partial(preload, shown=not wishes.quiet)
        command = replace(command, settings_count=wishes.trials)
        seen = observe(command, meanwhile=meanwhile, table=table)
        over = over_of(seen, wishes)
        if before is None:
            return over
        before |= {"changed": "\n".join(seen.changed)}
        return proven_over(over, before, twice=not wishes.prove)


@contextmanager
def _kept(
    wishes: Wishes, keep: Callable[[Path], dict[str, str]]
) -> Iterator[dict[str, str] | None]:
    """Keep data as it is now, so that trials begin with it; None if there will be no trials."""
    if not wishes.trials:
        yield None
        return
    from capadvise.kernel import own_streams
    from capadvise.kernel.scratch import scratch

    with scratch() as folder:
        yield keep(folder) | own_streams.state()


def _keep_directory(folder: Path) -> dict[str, str]:
    from capadvise.kernel import folders

    store = folder / "cwd"
    kept = str(store) if folders.keep(working_directory(), store) else ""
    return {"cwd": kept, "tmp": json.dumps(os.listdir("/tmp"))}


def _command_on_screen(
    command: Command, wishes: Wishes, before: dict[str, str] | None, show_live: ShowLive
) -> Over:
    from capadvise.observe.supervise.command import resolve

    resolve(command.argv[0])  # an error is for stderr, not for the screen
    recorder = live_command(command, lambda observation: over_of(observation, wishes, say=unsaid))
    return show_live(recorder, prove=wishes.prove, before=before)[0]


def live_command(command: Command, finish: Callable[[Observation], Over]) -> LiveRecorder:
    """A recorder of a command, for the screens. ``finish`` judges and saves the observation."""
    from capadvise.observe.supervise.record import observe
    from capadvise.workflow.live import LiveRecorder

    command = replace(command, announcer=None)  # a screen is no place for lines on stderr

    def job(terminal: int, onlooker: Onlooker) -> list[Over]:
        here = replace(command, terminal=terminal)
        return [finish(observe(here, meanwhile=preload, onlooker=onlooker))]

    return LiveRecorder(command.argv, job, check=command.check)


def unsaid(_: str) -> None:
    """Print nothing: for quiet runs, and for screens, which lines on stderr would spoil."""


def over_of(
    observation: Observation,
    wishes: Wishes,
    *,
    several: bool = False,
    say: Callable[[str], object] = notice,
) -> Over:
    from capadvise.workflow.protocols import Over
    from capadvise.workflow.started_containers import with_started_containers

    observation = with_started_containers(observation)
    report, path = judge_and_save(observation, wishes.output, several=several, say=say)
    return Over(report, path, observation.check_passed, observation.check_said)


def proven_over(
    over: Over,
    before: dict[str, str] | None,
    stages: Stages | None = None,
    *,
    twice: bool = False,
    ways: Ways | None = None,
) -> Over:
    from capadvise.workflow.prove import prove_report

    report, interrupted = prove_report(
        over.report, over.path, before, stages, twice=twice, ways=ways
    )
    path = over.path and keep(over.path, report)
    return replace(over, report=report, path=path, interrupted=interrupted)


def record_containers(
    invocation: Invocation, command: Command, wishes: Wishes, show: Callable[[Over], object]
) -> tuple[list[Over], int | None]:
    """Record the containers that the client starts, and show each as soon as its report is there.
    Returns them, and the client's exit status. Ctrl-C in a proof ends all proofs."""
    several = is_several(invocation)
    if wishes.replace:
        _ask_to_stop(invocation)
    show_live = None if several and wishes.prove else wishes.on_screen
    with _kept(wishes, partial(_keep_data, invocation)) as before:
        if show_live:
            recording = (invocation, command, wishes, before)
            return _containers_on_screen(*recording, show, show_live)
        from capadvise.targets.containers.record import observe_containers

        if invocation.detached and not (command.check or command.seconds or wishes.prove):
            wishes.say(_HOW_LONG)
        with _stages() as stages:
            run = observe_containers(
                *(invocation, command, partial(_begin, stages) if wishes.prove else preload),
                until_healthy=_until_healthy(command, wishes),
                in_its_place=wishes.replace,
                say=wishes.say,
            )
            overs = _shown(run.each, wishes, before, stages, show, several=several)
    _note_containers(run.swept, run.removed, wishes)
    return overs, run.status


def _shown(
    each: Sequence[Observation],
    wishes: Wishes,
    before: dict[str, str] | None,
    stages: Stages,
    show: Callable[[Over], object],
    *,
    several: bool,
) -> list[Over]:
    overs: list[Over] = []
    for number, one in enumerate(each, 1):
        over = over_of(one, wishes, several=several)
        if wishes.prove and len(each) > 1:
            progress(f"service {number} of {len(each)}, {over.report.target.name}:")
        if wishes.prove and not any(earlier.interrupted for earlier in overs):
            over = proven_over(over, before, stages)
        show(over)
        overs.append(over)
    return overs


@contextmanager
def _stages() -> Iterator[Stages]:
    from capadvise.proof.trials.stages import Stages

    stages = Stages()
    try:
        yield stages
    finally:
        stages.close()


def _begin(stages: Stages) -> None:
    """Prepare the proof while the recording waits for its target."""
    preload()
    import capadvise.workflow.prove  # noqa: F401

    stages.begin()


def _ask_to_stop(invocation: Invocation) -> None:
    """Ask before a running container is stopped. Raises Declined if the user says no."""
    from capadvise.targets.containers.prepare import would_stop
    from capadvise.targets.containers.record import engine_of

    up = would_stop(invocation, engine_of(invocation))
    names = ", ".join(sorted(one.name for one in up))
    if up and not confirmed(f"stop {names} now, record in its place, and start it again?"):
        raise Declined(
            "nothing was stopped", hint="without --replace, the recording runs beside what is up"
        )


def _until_healthy(command: Command, wishes: Wishes) -> bool:
    return wishes.prove and command.check is None and command.seconds is None


def _containers_on_screen(
    invocation: Invocation,
    command: Command,
    wishes: Wishes,
    before: dict[str, str] | None,
    show: Callable[[Over], object],
    show_live: ShowLive,
) -> tuple[list[Over], int | None]:
    from capadvise.targets.containers.record import engine_of, observe_containers
    from capadvise.workflow.live import LiveRecorder

    engine_of(invocation)  # an error is for stderr, not for the screen
    command = replace(command, announcer=None)
    several = is_several(invocation)
    ends, leaving = os.pipe()

    def job(terminal: int, onlooker: Onlooker) -> list[Over]:
        said: list[str] = []
        run = observe_containers(
            *(invocation, replace(command, terminal=terminal), preload),
            until_healthy=_until_healthy(command, wishes),
            in_its_place=wishes.replace,
            say=said.append,
            onlooker=onlooker,
        )
        os.write(leaving, json.dumps([run.swept, run.removed, run.status, said[:20]]).encode())
        return [over_of(one, wishes, several=several, say=unsaid) for one in run.each]

    recorder = LiveRecorder(command.argv, job, check=command.check, several=True)
    os.close(leaving)
    overs = show_live(recorder, prove=wishes.prove, before=before)
    with os.fdopen(ends, "rb") as file:
        swept, removed, status, said = json.loads(file.read() or b"[[], [], null, []]")
    for sentence in said:
        notice(sentence)
    for over in overs:
        show(over)
    _note_containers(swept, removed, wishes)
    return overs, status


def _note_containers(swept: Sequence[str], removed: Sequence[str], wishes: Wishes) -> None:
    for name in swept:
        notice(
            f"{name}: stopped and removed: an earlier capadvise, which was killed, had given it "
            "every capability"
        )
    if removed and not wishes.quiet:
        it = it_or_them(removed)
        notice(
            f"{', '.join(removed)}: removed, since the recording gave {it} every capability; your "
            f"own command creates {it} again"
        )


def _keep_data(invocation: Invocation, folder: Path) -> dict[str, str]:
    from capadvise.targets.containers.data import keep_before
    from capadvise.targets.containers.record import engine_of

    return keep_before(invocation, engine_of(invocation), folder)


def is_several(invocation: Invocation | None) -> bool:
    """True if the client can start several services, each with a report."""
    return invocation is not None and invocation.verb == "compose up"


# ---------------------------------------------------------------------- units


def unit_order(argv: Sequence[str]) -> UnitOrder | None:
    """The unit that a command starts; None for another command. Raises BadInput if its start cannot
    be recorded."""
    if not any(word.endswith(("systemctl", "systemd-run", "machinectl")) for word in argv[:4]):
        return None
    from capadvise.targets.systemd.invocation import recognize  # most commands start no unit

    return recognize(argv)


def record_unit(order: UnitOrder, command: Command, wishes: Wishes) -> tuple[Over, int | None]:
    """Record a unit from its start to its end, and leave it as it was before. Returns the recording
    and systemctl's exit status. Raises CannotObserve and BadInput if nothing ran."""
    from capadvise.targets.systemd.invocation import order_for
    from capadvise.targets.systemd.manager import known
    from capadvise.targets.systemd.record import WATCHED, active_check, observe_unit

    asked, order = order.unit, order_for(order)
    if order.unit != asked:
        wishes.say(f"{asked} starts {order.unit}, which is recorded")
    if _until_healthy(command, wishes) and not known(order.unit).oneshot:
        long = command.check_after or WATCHED
        command = replace(command, check=active_check(order.unit), check_after=long)
    if (show_live := wishes.on_screen) is not None:
        over, status = _unit_on_screen(order, command, wishes, show_live)
        return _hardened_over(over, wishes) if wishes.harden else over, status
    allow = wishes.allow_actions
    run = observe_unit(order, command, preload, say=wishes.say, allow_actions=allow)
    over = over_of(run.seen, wishes)
    if wishes.prove:
        over = proven_over(over, None, ways=_ways(wishes))
    if wishes.harden and not over.interrupted:
        over = _hardened_over(over, wishes)
    return over, run.status


def _ways(wishes: Wishes) -> Ways:
    from capadvise.workflow.jobs import Ways

    return Ways(allow_actions=wishes.allow_actions, downtime=wishes.downtime)


def _hardened_over(over: Over, wishes: Wishes) -> Over:
    from capadvise.workflow.harden import hardened

    report = hardened(over.report, ways=_ways(wishes))
    return replace(over, report=report, path=over.path and keep(over.path, report))


def _unit_on_screen(
    order: UnitOrder, command: Command, wishes: Wishes, show_live: ShowLive
) -> tuple[Over, int | None]:
    from capadvise.targets.systemd.record import observe_unit
    from capadvise.workflow.live import LiveRecorder

    command = replace(command, announcer=None)

    def job(terminal: int, onlooker: Onlooker) -> list[Over]:
        here = replace(command, terminal=terminal)
        allow = wishes.allow_actions
        run = observe_unit(order, here, preload, onlooker=onlooker, allow_actions=allow)
        return [over_of(run.seen, wishes, say=unsaid)]

    recorder = LiveRecorder(command.argv, job, check=command.check)
    over = show_live(recorder, prove=wishes.prove)[0]
    return over, over.report.recording.exit_status


# ---------------------------------------------------------------- what runs already


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
