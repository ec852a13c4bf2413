"""What a unit is changed to for a recording or a trial. Pure.

Everything else stays as the unit says: its user, namespaces, directories, environment, sockets.
"""

from __future__ import annotations

from collections.abc import Iterable

from capadvise.model.caps import CapSet
from capadvise.targets.systemd.unit import ServiceUnit

_ALWAYS = """\
# By capadvise, for as long as it observes this unit. It is removed then.
[Unit]
StartLimitIntervalSec=0
[Service]
Restart=no
"""
"""Starts that fail are not to be counted, and one that fails is to be seen to fail."""
_UNHIDDEN = """\
SystemCallFilter=
NoNewPrivileges=no
"""
"""A filter answers before the kernel checks, and of what a set-id program gains nothing is seen."""


def for_recording(unit: ServiceUnit) -> str:
    """Every capability, and nothing that hides a check."""
    ambient = "AmbientCapabilities=\n" if unit.is_root else "AmbientCapabilities=~\n"
    return f"{_ALWAYS}{_UNHIDDEN}CapabilityBoundingSet=~\n{ambient}"


def for_trial(unit: ServiceUnit, caps: CapSet, options: Iterable[str] = ()) -> str:
    """Exactly these, and ``options``; the rest of its confinement is as in production."""
    names = " ".join(cap.name for cap in sorted(caps))
    bounding = "CapabilityBoundingSet=\n" + (f"CapabilityBoundingSet={names}\n" if names else "")
    ambient = "AmbientCapabilities=\n"
    if names and not unit.is_root:
        ambient += f"AmbientCapabilities={names}\n"
    return _ALWAYS + bounding + ambient + "".join(f"{line}\n" for line in options)
