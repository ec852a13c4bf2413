"""What ``systemd-analyze security`` shows of a unit."""

from __future__ import annotations

import json
import re

from capadvise.config.snippet import Snippet
from capadvise.model.caps import NAMES


def is_given(shown: str, snippet: Snippet) -> bool | None:
    """Whether systemd gives a unit what is meant, by what ``systemd-analyze security`` shows."""
    groups = held_groups(shown)
    wanted = {cap.name for cap, _ in snippet.caps}
    if groups is None:
        return None
    return all(held is not wanted.isdisjoint(group) for group, held in groups.items())


def held_groups(shown: str) -> dict[frozenset[str], bool] | None:
    """Groups of capabilities, and whether a unit may hold any of one, of the JSON of
    ``systemd-analyze security``; None where it is none."""
    try:
        rows = json.loads(shown)
    except ValueError:
        return None
    groups = {}
    for row in rows:
        _, is_group, group = str(row["name"]).partition("CapabilityBoundingSet=~")
        if is_group:
            groups[frozenset(members(group))] = not row["set"]
    return groups


def members(group: str) -> set[str]:
    """``CAP_SYS_(NICE|RESOURCE)`` and ``CAP_MAC_*`` as names."""
    pattern = re.compile(group.replace("*", "[A-Z_]*"))
    return {f"CAP_{name}" for name in NAMES if pattern.fullmatch(f"CAP_{name}")}
