"""As whom a container was configured to start; what runs may have changed to another user since."""

from __future__ import annotations

from pathlib import Path

from capadvise.targets.client.container import Container

_LARGEST = 1 << 20
"""Of a file with users or groups: more is none."""


def configured_user(container: Container) -> str | None:
    """``uid:gid`` as they are called inside; None where a name stands for nobody there."""
    user, _, group = container.user.partition(":")
    if not user:
        return "0:0"
    uid, gid = (user, "0") if user.isdecimal() else _entry(container, "passwd", user)
    if group:
        gid = group if group.isdecimal() else _entry(container, "group", group)[0]
    return f"{uid}:{gid}" if uid and gid else None


def _entry(container: Container, kind: str, name: str) -> tuple[str, str]:
    """The number of a user or group, and of a user its group; empty where there is none."""
    path = Path(f"/proc/{container.pid}/root/etc/{kind}")
    try:
        with path.open(errors="replace") as file:
            text = file.read(_LARGEST)
    except OSError:
        return "", ""
    return entry_of(text, name)


def entry_of(text: str, name: str) -> tuple[str, str]:
    """The third and the fourth field of a line of passwd(5) or group(5)."""
    for line in text.splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 3 and fields[2].isdecimal():
            return fields[2], fields[3]
    return "", ""
