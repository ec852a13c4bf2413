"""Who a container or a unit runs as, as files spell it."""

from __future__ import annotations

import re

_OTHER_UID = r"[1-9][0-9]*"
_NUMBER = r"[-+.]?[0-9][\w.+-]*"


def is_root(user: str | None) -> bool:
    """Whether a ``user:``, ``User=`` or ``runAsUser`` is root, says nothing, or is a number in a
    spelling (``00``, ``0x0``, ``+0``) that some reader takes for 0."""
    name = (user or "").partition(":")[0]
    odd = re.fullmatch(_NUMBER, name) is not None and re.fullmatch(_OTHER_UID, name) is None
    return name in ("", "root") or odd


def has_group(user: str | None) -> bool:
    """Whether ``user:group`` names a group that is not the user's own, nobody's or root's."""
    name, _, group = (user or "").partition(":")
    return group not in ("", name, "0", "root", "65534", "nobody", "nogroup")


def may_be_root(user: str | None) -> bool:
    """The same, or what is settled elsewhere: a variable, a specifier."""
    return is_root(user) or not set((user or "").partition(":")[0]).isdisjoint("$%")
