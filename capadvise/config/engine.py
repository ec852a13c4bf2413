"""Rules that docker and Kubernetes share: for a user other than root, added capabilities go into
the bounding set alone, since these engines raise no ambient set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capadvise.config.snippet import PORT_START, SETCAP_UNTRIED

if TYPE_CHECKING:
    from capadvise.config.snippet import Snippet


def no_new_privileges(snippet: Snippet) -> bool:
    """True if the file should forbid new privileges: not if file capabilities are the way to
    work."""
    by_sysctl = snippet.only_low_ports and not snippet.host_network
    way_without = snippet.root or not snippet.caps or by_sysctl
    return bool(snippet.no_new_privileges) and way_without


def sysctls(snippet: Snippet) -> dict[str, str]:
    """Sysctls that replace a capability which has no effect for this user, and those that stand
    beside the set."""
    if snippet.host_network:
        return {}
    return ({PORT_START: "0"} if snippet.only_low_ports else {}) | dict(snippet.sysctls)


def notes(snippet: Snippet) -> Iterator[str]:
    """Conditions under which the snippet works."""
    if not snippet.caps:
        return
    if snippet.root:
        if not snippet.own_user:
            yield (
                "recorded as root: if the image sets another user, start it as user 0, or these "
                "have no effect"
            )
    elif snippet.only_low_ports and snippet.host_network:
        yield (
            f"user {snippet.user} does not get NET_BIND_SERVICE at its start, and with host "
            f"networking the engine refuses the sysctl: set {PORT_START} on the host, publish a "
            f"port of a network of its own instead, or {_setcap(snippet)}"
        )
    elif snippet.only_low_ports:
        yield f"user {snippet.user} can bind low ports because of the sysctl"
    else:
        yield (
            f"user {snippet.user} does not get these at its start; {_setcap(snippet)}, or start as "
            "root and let it switch user"
        )
    if not snippet.only_low_ports and any(
        cap.short == "NET_BIND_SERVICE" for cap, _ in snippet.caps
    ):
        yield (
            f"the sysctl {PORT_START}=0 lets every user bind low ports, without "
            "NET_BIND_SERVICE; docker and containerd 2 set it in container networks"
        )


def _setcap(snippet: Snippet) -> str:
    return (
        f"give the program in the image file capabilities (setcap {snippet.file_capabilities} "
        f"PROGRAM) and leave no_new_privs off ({SETCAP_UNTRIED})"
    )
