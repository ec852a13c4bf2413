"""What a container's seccomp filter refuses for want of a capability."""

from __future__ import annotations

from capadvise.catalog import default
from capadvise.model.caps import Cap, CapSet

_KERNEL_NAMES = {"umount2": "umount", "clock_settime64": "clock_settime"}
"""Where the kernel's name for a call is another one than that of the profiles."""


def opened_by(engine: str, missing: CapSet) -> dict[str, Cap]:
    """What an engine's default seccomp filter would let through with another capability: call →
    that which the catalog prefers."""
    catalog = default()
    opens = catalog.seccomp.get(engine, catalog.seccomp["docker"]).opens
    opened: dict[str, Cap] = {}
    for cap in sorted(missing & set(opens), key=lambda cap: (-catalog.rank(cap), -cap)):
        opened |= {_KERNEL_NAMES.get(call, call): cap for call in opens[cap]}
    return opened
