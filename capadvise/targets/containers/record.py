"""Observing containers that a client starts: ``docker run``, ``podman run``, ``docker compose``."""

import os
import pwd
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from capadvise.config.run.pflag import is_on
from capadvise.kernel import own_caps
from capadvise.kernel.process_tree import remove_containers
from capadvise.kernel.scratch import LARGE, scratch
from capadvise.kernel.sudo import with_sudo
from capadvise.model.errors import CannotObserve, CannotStart
from capadvise.model.workload import implicit_check
from capadvise.observe.audit.live import AuditListener
from capadvise.observe.ftrace.instances import require
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.command_subject import CommandSubject
from capadvise.observe.supervise.decisions import Limits
from capadvise.observe.supervise.event_loop import EventLoop, Onlooker
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.session import Session, Tracing, everything, session
from capadvise.observe.supervise.sources import CheckTracker, NoTracker, Sources
from capadvise.observe.tracking.tracker import Tracker
from capadvise.targets.client.client import (
    RECORDING_LABEL,
    RM,
    RM_DEPENDENT,
    Client,
    EngineError,
    made_for,
    rm_by_label,
)
from capadvise.targets.client.container import LONGEST_GRACE, PROJECT_LABEL
from capadvise.targets.client.invocation import Invocation
from capadvise.targets.containers import compose, podman_compose
from capadvise.targets.containers.beside import check_of
from capadvise.targets.containers.container_starts import ContainerStarts, StartedContainer
from capadvise.targets.containers.container_subject import ContainerSubject
from capadvise.targets.containers.containers import ContainerState, Roster
from capadvise.targets.containers.in_place import sweep
from capadvise.targets.containers.prepare import Start, for_recording
from capadvise.targets.containers.registry import ENGINES
from capadvise.targets.containers.seen import Run, observation, observations, so_far

_STOP_SECONDS = 1800.0
"""Seconds for containers to stop: a database can have a ``stop_grace_period`` of minutes."""


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """The result of a run of containers."""

    each: tuple[Observation, ...]
    """One for each container, or for each service of a project."""
    status: int | None
    """The exit status of the client; if the client is detached, of its container."""
    removed: tuple[str, ...]
    """Names of the containers that the user's command would have left, with every capability."""
    last_output: tuple[str, ...] = ()
    """The last output of detached containers that failed."""
    swept: tuple[str, ...] = ()
    """Names of the containers of a killed capadvise that ran until now."""


def engine_of(invocation: Invocation) -> Client:
    """The engine of a call, on this machine. Raises CannotObserve."""
    if invocation.engine == "podman" and os.geteuid() != 0:
        if invocation.compose:
            raise podman_compose.rootless()
        raise CannotObserve(
            "only root can observe the containers of a rootless podman",
            hint=with_sudo(f"run -- sudo -u {_own_name()} {shlex.join(invocation.argv())}"),
        )
    require()
    client = ENGINES[invocation.engine].require(Client(invocation.engine, invocation.client))
    if invocation.engine == "podman" and len(invocation.compose) > 1:  # sudo -u ann podman-compose
        podman_compose.require_rootful(client)
    return client


def _own_name() -> str:
    with suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return f"#{os.geteuid()}"


def observe_containers(
    invocation: Invocation,
    command: Command,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    until_healthy: bool = False,
    in_its_place: bool = False,
    say: Callable[[str], object] = lambda sentence: None,
    onlooker: Onlooker | None = None,
) -> ContainerRun:
    """Run containers with every capability, and return an observation of each.

    ``until_healthy``: their own health checks end the run. ``in_its_place``: containers that are up
    are stopped for the recording, else none of them is touched; ``say`` is called before. Raises
    CannotObserve or CannotStart if nothing ran.
    """
    client = engine_of(invocation)
    swept = sweep(client)
    with scratch(LARGE) as folder:
        start = for_recording(invocation, client, folder, say, in_its_place=in_its_place)
        with _stopped_for_recording(start, say):
            seen = run_containers(
                start, command, meanwhile, until_healthy=until_healthy, onlooker=onlooker
            )
        for sentence in seen.last_output:
            say(sentence)
        for one in seen.each:
            if words := implicit_check(one.workload.check):
                say(f"{one.target.name} has no health check: trials see that it {words}")
        return replace(seen, swept=swept)


@contextmanager
def _stopped_for_recording(start: Start, say: Callable[[str], object]) -> Iterator[None]:
    """Start the stopped containers again at the end. If capadvise is killed, the guardian or the
    next capadvise does it; signals that would end capadvise wait until the containers are up."""
    ending = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM) if start.stopped else ()
    handlers = {number: signal.getsignal(number) for number in ending}
    ignored = signal.SIG_IGN, None
    before = {number: one for number, one in handlers.items() if one not in ignored}
    for number in before:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for one in start.stopped:
            try:
                start.client.start([one.id])
            except EngineError as error:
                say(f"{one.name} could not be started again: {error}")
        for number, handler in before.items():
            signal.signal(number, handler)


def run_containers(
    start: Start,
    command: Command,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    until_healthy: bool = False,
    onlooker: Onlooker | None = None,
    at_end: Callable[[Run], None] | None = None,
    leave: bool = False,
    judged_by: str | None = None,
    seen: Callable[[ContainerRun], None] = lambda _: None,
) -> ContainerRun:
    """Start containers, follow them to their end, and return the observations. ``at_end`` is called
    before they are removed; with ``leave`` they stay for the next round. ``judged_by``: the health
    check of a trial. ``seen`` receives the result before the trace buffers are removed."""
    engine = ENGINES[start.client.engine]
    untraced = engine.untraced if command.unobserved else None
    roster = (untraced or engine.roster)(start.client, start.label, ContainerStarts())
    with session(
        replace(command, argv=start.argv, user=None, caps=None),
        tracing=None if untraced else _tracing(start, command),
        sweep=[*_removal(start), *_restart(start)],
        meanwhile=meanwhile,
    ) as ready:
        run = _run(start, command, ready, roster, until_healthy=until_healthy, judged_by=judged_by)
        own_caps.keep()
        if start.stopped:
            start.client.call("stop", *(one.id for one in start.stopped), seconds=_STOP_SECONDS)
        roster.open()
        try:
            run.loop.count_from(ready.release())
            run.loop.run(
                None if onlooker is None else lambda: onlooker(run.loop, lambda: so_far(run))
            )
            each = tuple(observations(run))
            if at_end is not None:
                at_end(run)
                each = each or (
                    observation(run, ContainerState(""), StartedContainer(0, None), ()),
                )
        finally:
            roster.close()
        recorded = start.label.startswith(RECORDING_LABEL)
        last_output = tuple(run.subject.last_output()) if recorded else ()
        removed = _removed(start, roster) if recorded else ()
        if each and (leave or recorded):
            ready.guardian.leave_containers()
        if not each:
            raise _not_seen(run)
        result = ContainerRun(each, run.subject.status, removed, last_output)
        seen(result)
    return result


def _removed(start: Start, roster: Roster) -> tuple[str, ...]:
    """Remove the containers; the names of those that the user's command would have left."""
    ours = start.project or start.stopped or start.beside or is_on(start.invocation.options, "rm")
    left = () if ours else tuple(roster.left())
    for _ in range(2):  # one may just have been made
        with suppress(EngineError):
            start.client.remove_labelled(start.label)
    remove_containers(other_removal(start))
    return left


def _tracing(start: Start, command: Command) -> Tracing:
    missing = everything() if command.caps is None else everything() - command.caps
    ancestors = ENGINES[start.client.engine].ancestors(start.client)
    closable = start.closable.union(start.closed)
    return Tracing(missing=missing, closable=closable, also=ancestors, containers=True)


def _run(
    start: Start,
    command: Command,
    ready: Session,
    roster: Roster,
    *,
    until_healthy: bool,
    judged_by: str | None,
) -> Run:
    recorded = start.label.startswith(RECORDING_LABEL)
    subject = ContainerSubject(
        CommandSubject(ready.guardian, ready.held, own_terminal=command.terminal is not None),
        roster,
        patience=LONGEST_GRACE if recorded else command.patience,
        detached=start.invocation.detached,
        target=start.target,
        until_healthy=until_healthy,
        judged_by=judged_by,
    )
    # The engine that stops them waits for itself.
    stop_patience = 2 * subject.patience
    limits = Limits(
        *(command.kind, command.seconds, command.patience, stop_patience), ends_by_interrupt=True
    )
    sources = Sources(ready.buffers, _tracker(ready, start, roster.starts), AuditListener.open())
    asked = replace(command, check=_reaching(start, command.check))
    loop = EventLoop(subject, sources, ready.signals, asked, limits)
    return Run(start, loop, subject, command)


def _tracker(ready: Session, start: Start, starts: ContainerStarts) -> CheckTracker:
    if (trace := ready.trace) is None:
        return NoTracker(None)
    starts.container_of = trace.buffers.pointers.container_of
    return Tracker(
        *(trace.buffers.types, trace.symbols, starts, ready.held, 0, 0),
        early=starts.sighted,
        opened_by=start.closed,
        pointers=trace.buffers.pointers,
    )


def _reaching(start: Start, check: str | None) -> str | None:
    """A health check from the host, so that it reaches this recording or trial."""
    if check is None:
        return None
    if start.compose:
        check = compose.with_service_names(check, start.client.argv, start.compose, start.names)
    return check_of(check, dict(start.ports)) if start.ports else check


def _removal(start: Start) -> list[list[list[str]]]:
    """The pairs of commands for ``process_tree.remove_containers``."""
    containers = rm_by_label(start.client.argv, start.label, _rm_words(start))
    return [containers, *other_removal(start)]


def other_removal(start: Start) -> list[list[list[str]]]:
    """The commands that remove all of a compose project of our own, but only the additions to a
    project of the user, and for podman-compose the pod if it is empty."""
    client, rm = list(start.client.argv), _rm_words(start)
    pairs: list[list[list[str]]] = []
    if start.project:
        pairs.append(rm_by_label(client, f"{PROJECT_LABEL}={start.project}", rm))
        for kind, listing in made_for(start.project).items():
            pairs.append([[*client, *listing], [*client, kind, "rm"]])
    elif start.others:
        pairs.append(rm_by_label(client, start.others, rm))
        networks = [*client, "network", "ls", "--quiet", f"--filter=label={start.others}"]
        pairs.append([networks, [*client, "network", "rm"]])
    if start.compose and start.client.engine == "podman":
        pod = f"--filter=name=^{re.escape(podman_compose.pod_of(start.compose))}$"
        empty = () if start.project else ("--filter=ctr-number=0",)
        pods = [*client, "pod", "ls", "--quiet", "--no-trunc", pod, *empty]
        pairs.insert(0, [pods, [*client, "pod", "rm", "--force"]])
    return pairs


def _rm_words(start: Start) -> tuple[str, ...]:
    return RM_DEPENDENT if start.compose and start.client.engine == "podman" else RM


def _restart(start: Start) -> list[list[list[str]]]:
    """The commands by which the guardian starts stopped containers again, if we cannot."""
    client = list(start.client.argv)
    listing = [*client, "ps", "--all", "--quiet", "--no-trunc"]
    filters = [f"--filter=id={one.id}" for one in start.stopped]
    return [[[*listing, *filters], [*client, "start"]]] if filters else []


def _not_seen(run: Run) -> Exception:
    status, invocation = run.subject.client_status, run.start.invocation
    client = (invocation.compose or invocation.client)[0]
    if invocation.verb == "run" and status in (126, 127):
        return CannotStart(
            f"{client} could not start the container's command", exists=status == 126
        )
    if status:
        return CannotObserve(f"{client} started no container: it ended with {status}")
    if invocation.compose and invocation.engine == "podman":  # it ends with 0 whatever failed
        return CannotObserve(
            "podman-compose started no container",
            hint="its output says why; `podman-compose up` alone must work first",
        )
    return CannotObserve(
        "the container was not observed: an engine started it that is not being traced",
        hint="run `capadvise doctor`",
    )
