"""Record a command or the containers that a client starts; judge, save, and prove where asked."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.errors import BadInput
from capadvise.linux.engines.cli.invocation import Invocation, behind, existing, recognize
from capadvise.linux.ftrace.kallsyms import Reading
from capadvise.linux.kernel.sudo import with_sudo
from capadvise.linux.supervise.observation import working_directory
from capadvise.workflow.notice import notice
from capadvise.workflow.reports import judge_and_save, keep, preload
from capadvise.workflow.screens import has_screens

if TYPE_CHECKING:
    from capadvise.linux.supervise.command import Command
    from capadvise.report.model import Report
    from capadvise.tui.protocols import Over


@dataclass(frozen=True, slots=True)
class Wishes:
    """What happens to a recording."""

    output: str | None = None
    prove: bool = False
    replace: bool = False
    """A container that is up is stopped meanwhile, instead of recording beside it."""
    quiet: bool = False
    screens: bool = False
    """The TUI, where there is a terminal for it."""


def container_client(argv: Sequence[str]) -> Invocation | None:
    """How a command starts containers; None where it starts none. Raises BadInput where it does so
    in a way that hides them."""
    invocation = recognize(argv)
    if invocation is not None:
        return invocation
    if hidden := behind(argv):
        raise BadInput(
            f"{argv[0]} would start {hidden.engine}, whose containers are then not seen",
            hint=f"sudo capadvise run -- {shlex.join(hidden.argv())}",
        )
    if container := existing(argv):
        raise BadInput(
            f"{container}: a container that exists has the capabilities that it was made with",
            hint="capadvise run -- docker run …, or watch it with: capadvise attach CONTAINER",
        )
    return None


def record_command(command: Command, wishes: Wishes) -> Over:
    """Record a command to its end. Raises CannotObserve or CannotStart when nothing ran."""
    screens = wishes.screens and has_screens()
    table = None if screens or os.geteuid() != 0 else Reading()
    from capadvise.linux.supervise.record import choose, observe  # while the symbols are being read

    command, alone = choose(command)
    if command.unobserved and command.user and os.geteuid() != 0:
        raise BadInput("--user needs root", hint=with_sudo())
    if alone and not wishes.quiet:
        notice(f"{alone}: retries alone show what it needs")
    with _kept(wishes) as before:
        if screens:
            return _on_screen(command, wishes, before)
        observation = observe(command, meanwhile=preload, table=table)
        from capadvise.tui.protocols import Over  # what it knows of is loaded by now

        report, path = judge_and_save(observation, wishes.output)
        if wishes.prove:
            report, path = _prove_and_save(report, path, before)
        return Over(report, path, observation.check_passed, observation.check_said)


@contextmanager
def _kept(wishes: Wishes) -> Iterator[dict[str, str] | None]:
    """The working directory as it is now, for trials: a first start sees it so."""
    if not wishes.prove:
        yield None
        return
    from capadvise.linux.kernel import before
    from capadvise.linux.kernel.scratch import scratch

    with scratch() as folder:
        store = folder / "cwd"
        yield {"cwd": str(store)} if before.keep(working_directory(), store) else None


def _on_screen(command: Command, wishes: Wishes, before: dict[str, str] | None) -> Over:
    from capadvise.linux.supervise.command import resolve
    from capadvise.workflow.live import live

    resolve(command.argv[0])  # what cannot be started is said without any screen
    command = replace(command, doubt=None)  # a screen is no place for lines on stderr
    return live(
        command,
        lambda observation: judge_and_save(observation, wishes.output, say=lambda _: None),
        prove=wishes.prove,
        before=before,
    )


def record_containers(
    invocation: Invocation, command: Command, wishes: Wishes, show: Callable[[Over], object]
) -> tuple[list[Report], int | None]:
    """Record what the client starts, which is the target, not the client: a report on each, which
    is shown as soon as it is there, and the client's exit status."""
    from capadvise.linux.engines.record.record import observe_containers
    from capadvise.tui.protocols import Over

    until_healthy = wishes.prove and command.check is None and command.seconds is None
    reports = []
    with _data_kept(invocation, wishes) as before:
        run = observe_containers(
            *(invocation, command, preload),
            until_healthy=until_healthy,
            in_its_place=wishes.replace,
            say=(lambda sentence: None) if wishes.quiet else notice,
        )
        for one in run.each:
            report, path = judge_and_save(one, wishes.output, several=is_several(invocation))
            if wishes.prove:
                report, path = _prove_and_save(report, path, before)
            show(Over(report, path, one.check_passed, one.check_said))
            reports.append(report)
    for name in run.swept:
        notice(
            f"{name}: stopped and removed: an earlier capadvise was killed, and had given it every "
            "capability"
        )
    if run.removed and not wishes.quiet:
        notice(
            f"{', '.join(run.removed)}: removed: the recording gave it every capability; your own "
            "command makes it anew"
        )
    return reports, run.status


@contextmanager
def _data_kept(invocation: Invocation, wishes: Wishes) -> Iterator[dict[str, str] | None]:
    """What the containers write to as it is now, for trials."""
    if not wishes.prove:
        yield None
        return
    from capadvise.linux.engines.record.data import keep_before
    from capadvise.linux.engines.record.record import engine_of
    from capadvise.linux.kernel.scratch import scratch

    client = engine_of(invocation)
    with scratch() as folder:
        yield keep_before(invocation, client, folder)


def is_several(invocation: Invocation | None) -> bool:
    """Whether there can be a report for each of several services."""
    return invocation is not None and invocation.verb == "compose up"


def _prove_and_save(
    report: Report, path: Path | None, before: dict[str, str] | None
) -> tuple[Report, Path | None]:
    from capadvise.workflow.prove import prove_report

    report = prove_report(report, before)
    return report, None if path is None else keep(path, report)
