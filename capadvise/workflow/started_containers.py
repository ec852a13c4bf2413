"""Containers and units that a recorded command started: they are children of their engine or of
systemd, so the recording does not cover them. A caution names them and the command that records
them."""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from capadvise.kernel.sudo import as_root
from capadvise.targets.client.invocation import (
    Invocation,
    builds,
    existing,
    recognize,
    starts_otherwise,
)
from capadvise.targets.systemd.invocation import started

if TYPE_CHECKING:
    from capadvise.judgement.report import Report
    from capadvise.observe.supervise.observation import Observation


def with_started_containers(observation: Observation) -> Observation:
    """The observation, with a caution for each start of a container in its recording."""
    cautions = tuple(dict.fromkeys(_cautions(observation)))
    if not cautions or not observation.recordings:
        return observation
    first, *rest = observation.recordings
    first = replace(first, cautions=(*first.cautions, *cautions), started_containers=True)
    return replace(observation, recordings=(first, *rest))


def of_containers(report: Report) -> str | None:
    """The caution of a report whose command had an engine or systemd start something: it names the
    command to record."""
    runs = (run for run in report.recordings if run.started_containers)
    return next((one for run in runs for one in run.cautions if "; to record " in one), None)


def _cautions(observation: Observation) -> Iterator[str]:
    name = observation.target.name
    alone = f"and this report is about {name} alone"
    for uid, words in observation.engine_clients:
        if invocation := recognize(words):
            typed = shlex.join((*_become(uid), *invocation.argv()))
            yield (
                f"{name} started {_what(invocation)}, {alone}; to record what runs in it: "
                f"{as_root()} run -- {typed}"
            )
        elif other := starts_otherwise(words):
            what, instead = other
            yield (
                f"{name} started containers ({what}), {alone}; to record them: "
                f"{instead.replace('capadvise ', f'{as_root()} ')}"
            )
        elif of_existing := existing(words):
            what, instead = of_existing
            yield (
                f"{name} had an engine act on containers ({what}), {alone}; to record one: "
                f"{as_root()} run -- {instead} …"
            )
        elif units := started(words):
            yield (
                f"{name} had systemd start {', '.join(units)}, {alone}; to record one: "
                f"{as_root()} run -- {shlex.join(('systemctl', 'restart', units[0]))}"
            )
        elif build := builds(words):
            yield (
                f"{name} had an image built ({build}): its steps were run by the builder, "
                f"{alone}; to record one: {as_root()} run -- docker run IMAGE STEP"
            )


def _become(uid: int) -> Sequence[str]:
    """The words in front of a call that make it as another user."""
    if uid == os.geteuid():
        return ()
    name = f"#{uid}"
    with suppress(KeyError):
        name = pwd.getpwuid(uid).pw_name
    return ("sudo", "-u", name)


def _what(invocation: Invocation) -> str:
    if invocation.verb == "run":
        return f"the container {invocation.name or f'of {invocation.image or invocation.rootfs}'}"
    return f"services of a compose project{''.join(f' {one}' for one in invocation.rest[:3])}"
