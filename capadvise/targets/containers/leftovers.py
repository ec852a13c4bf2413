"""What a capadvise that was killed together with its guardian has left in an engine."""

from __future__ import annotations

import re
from contextlib import suppress

from capadvise.kernel import procfs
from capadvise.targets.client.client import (
    RECORDING_LABEL,
    STOPPED_LABEL,
    TRIAL_LABEL,
    Client,
    EngineError,
)

_OUR_PROJECT = re.compile(r"capadvise-(?:recording|trial)-(\d+-\d+)")


def sweep(client: Client) -> tuple[str, ...]:
    """Its containers are removed, and what it stopped is started again. Names of those that had
    every capability.

    One that has ended once and runs again has been started by its user, and stays.
    """
    client.remove(_abandoned(client, TRIAL_LABEL))
    known = [client.find(container) for container in _abandoned(client, RECORDING_LABEL)]
    lost = [one for one in known if one is not None and not (one.running and one.has_ended)]
    client.remove(one.id for one in lost)
    stopped = (one.labels.get(STOPPED_LABEL, "") for one in lost)
    with suppress(EngineError):  # it may be gone since
        client.start({name for names in stopped for name in names.split(",") if name})
    _sweep_networks(client)
    return tuple(one.name for one in lost)


def _abandoned(client: Client, label: str) -> list[str]:
    """Ids of the containers whose label names a process that is gone."""
    marks = client.values_of(label)
    return [container for container, mark in marks.items() if not procfs.is_marked(mark)]


def _sweep_networks(client: Client) -> None:
    """Networks and volumes of compose projects of ours, and networks that were made besides."""
    for kind in ("network", "volume"):
        for name in client.names(kind, "capadvise-"):
            ours = _OUR_PROJECT.match(name)
            if ours and not procfs.is_marked(ours[1]):
                with suppress(EngineError):
                    client.call(kind, "rm", name)
    for network, mark in client.labelled_networks(TRIAL_LABEL).items():
        if not procfs.is_marked(mark):
            with suppress(EngineError):  # others may use it by now
                client.call("network", "rm", network)
