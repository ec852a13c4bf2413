"""What a configuration file says of one service: what every format's ``read`` returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Declared:
    """As written, not as the runtime takes it: names are not corrected, nothing is filled in."""

    service: str
    """As ``--service`` takes it: ``web``; for Kubernetes ``Deployment/web/app``. Where a file holds
    one that has no name, the language's own word for it."""
    line: int = 1
    """Where the service begins in its file, counted from 1."""
    drop: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    ambient: tuple[str, ...] | None = None
    """What a user other than root has at the start. None: the language cannot say it, or did not
    (systemd), or it follows from ``add`` (podman, quadlet)."""
    privileged: bool = False
    user: str | None = None
    """None: the image or the unit's default decides."""
    no_new_privileges: bool | None = None
    """Kubernetes: ``allowPrivilegeEscalation: false``. None: not said."""
    lines: tuple[tuple[str, int], ...] = ()
    """(what, line) of single entries: ``privileged``, ``user``, ``no_new_privileges``, or a
    capability as written. None for a format without lines (JSON)."""
    unresolved: tuple[tuple[str, int], ...] = ()
    """(key, line) of what only the engine can fill in: a compose service that ``extends``
    another, and values of ours with a variable in them."""
