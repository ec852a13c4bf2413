"""A user namespace of its own for a container's trials, by the engine's own means."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from capadvise.config.run.pflag import Option
from capadvise.judgement.user_namespace import USUAL_IDS
from capadvise.model.errors import BadInput
from capadvise.model.posture import Posture, Sharing
from capadvise.targets.client.client import Client
from capadvise.targets.client.invocation import Invocation

_CHOOSING = frozenset(("userns", "uidmap", "gidmap", "subuidname", "subgidname"))
"""By which podman's users, and docker's ``--userns=host``, choose a user namespace."""
_FIRST = 1 << 31
"""Of the host's ids that are mapped: beyond all that systems assign."""
_OURS = tuple(Option(name, f"0:{_FIRST}:{USUAL_IDS}") for name in ("uidmap", "gidmap"))
_REMAPPED = ("name=userns", "name=rootless")
"""What a docker says of itself that gives every container one."""


def chosen(invocation: Invocation, client: Client, posture: Posture) -> Invocation:
    """With one for the container, unless it had one when it was recorded. Raises BadInput where it
    cannot have one."""
    if posture.namespaces.get("user") is Sharing.OWN:
        return invocation
    kept = tuple(option for option in invocation.options if option.name not in _CHOOSING)
    if client.engine == "podman":
        return replace(invocation, options=(*kept, *_OURS))
    said = client.call("info", "--format", "{{json .SecurityOptions}}")
    if not any(word in said for word in _REMAPPED):
        raise BadInput(
            "the containers of this docker share the host's user namespace",
            hint="a docker daemon with --userns-remap=default gives them one, and has images and "
            "volumes of its own: record the container there, or with podman",
        )
    return replace(invocation, options=kept)


def first_id(invocation: Invocation) -> int:
    """The host's id of the container's root, where ``chosen`` has given it a user namespace."""
    return _FIRST if set(_OURS) <= set(invocation.options) else 0


def shift(path: Path, first: int) -> None:
    """Give a trial's data to the mapped ids, as an idmapped mount shows it. What belongs to an id
    that is not mapped stays."""
    inside = (
        os.path.join(at, name)
        for at, folders, files in os.walk(path)
        for name in (*folders, *files)
    )
    for place in (str(path), *inside):
        status = os.lstat(place)
        uid, gid = (one + first * (one < USUAL_IDS) for one in (status.st_uid, status.st_gid))
        os.lchown(place, uid, gid)
