"""Configuration languages: one module each. ``FORMATS`` is all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from capadvise.caps import Cap, CapSet
from capadvise.decide import Proposal
from capadvise.formats import compose, docker, kubernetes
from capadvise.formats.declared import Declared
from capadvise.formats.snippet import Snippet

_YAML_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


@dataclass(frozen=True, slots=True)
class Format:
    """What can be done in one language."""

    render: Callable[[Snippet], str]
    read: Callable[[str], tuple[Declared, ...]] | None = None
    """What a file declares. Raises BadInput, with the line, for what is not such a file. None for
    an output that is no configuration."""


FORMATS: dict[str, Format] = {
    "compose": Format(compose.render, compose.read),
    "docker": Format(docker.render),
    "kubernetes": Format(kubernetes.render, kubernetes.read),
}


def snippet(proposal: Proposal, caps: CapSet, *, name: str, user: str) -> Snippet:
    """What every format renders. ``name`` and ``user`` (``uid:gid``) come from the target."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "app"
    if not re.match(r"[A-Za-z]", safe) or safe.lower() in _YAML_WORDS:
        safe = f"app-{safe}"
    lines = tuple((cap, proposal.need(cap).reason) for cap in sorted(caps))
    uncertain = [need for need in proposal.needs if need.uncertain and need.cap in caps]
    notes = (
        *(f"caution: {caution}" for caution in proposal.cautions),
        *(f"{need.cap.short} is uncertain: {need.uncertain}" for need in uncertain),
        *_notes(caps, user),
    )
    return Snippet(safe, lines, notes)


def _notes(caps: CapSet, user: str) -> Iterator[str]:
    """What must be said so that the snippet works where it is pasted."""
    if Cap.parse("NET_BIND_SERVICE") in caps:
        yield (
            "NET_BIND_SERVICE is not needed in a docker container with a network of its own: "
            "there net.ipv4.ip_unprivileged_port_start is 0"
        )
    if caps and user.partition(":")[0] != "0":
        yield (
            "for a user other than root, docker and Kubernetes put cap_add into the bounding set "
            "alone: start as root and drop, or give the program file capabilities (setcap)"
        )
