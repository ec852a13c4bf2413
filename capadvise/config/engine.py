"""Rules that docker and Kubernetes share: for a user other than root, added capabilities go into
the bounding set alone, since these engines raise no ambient set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capadvise.catalog import default
from capadvise.config.snippet import PORT_START, SETCAP_UNTRIED, one_line
from capadvise.judgement.harm import file_capabilities_refused

if TYPE_CHECKING:
    from capadvise.config.snippet import Snippet


def no_new_privileges(snippet: Snippet) -> bool:
    """True if the file should forbid new privileges: not if file capabilities are the way to
    work."""
    by_sysctl = snippet.only_low_ports and not snippet.host_network
    way_without = snippet.root or not snippet.caps or by_sysctl
    return bool(snippet.no_new_privileges) and way_without


def opened(snippet: Snippet, unmasked: str = "systempaths=unconfined") -> list[str]:
    """The security options of an opening. ``unmasked``: how the engine calls that."""
    if (opening := snippet.opening) is None:
        return []
    profile = [f"seccomp=./{snippet.profile_name}"] if opening.calls else []
    return [*profile, *([unmasked] if opening.unmasked else [])]


def sysctls(snippet: Snippet) -> dict[str, str]:
    """Sysctls that replace a capability which has no effect for this user, and those that stand
    beside the set."""
    if snippet.host_network:
        return {}
    return ({PORT_START: "0"} if snippet.only_low_ports else {}) | dict(snippet.sysctls)


_FREE = {
    "docker": "docker 20.10 and later need no NET_BIND_SERVICE in a network of the container's own",
    "kubernetes": "with containerd 2, a pod's own network needs no NET_BIND_SERVICE",
}
"""A note on low ports that anybody may bind (the sysctl is 0), by the reader of the file."""


def notes(snippet: Snippet, consumer: str = "docker") -> Iterator[str]:
    """Conditions under which the snippet works, for what reads the file."""
    if consumer == "kubernetes" and snippet.seccomp_note and not snippet.opening:
        yield f"seccompProfile left out: {snippet.seccomp_note}"
    if not snippet.caps:
        return
    if snippet.root:
        if not snippet.own_user:
            yield (
                "recorded as root: if the image sets another user, these have no effect: record it "
                "as that user"
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
        yield f"user {snippet.user} does not get these at its start; {_setcap(snippet)}"
    binds = any(cap.short == "NET_BIND_SERVICE" for cap, _ in snippet.caps)
    if binds and not snippet.only_low_ports and not snippet.host_network:
        yield f"{_FREE[consumer]}: remove it there"


def _setcap(snippet: Snippet) -> str:
    caps = frozenset(cap for cap, _ in snippet.caps)
    programs = snippet.argv[:1] if not snippet.by_manager else ()
    if why := file_capabilities_refused(caps, programs, default(), image=True):
        return f"do not give its program file capabilities: {one_line(why)}"
    return (
        "give the program in the image (no shell, no interpreter) file capabilities (setcap "
        f"{snippet.file_capabilities} PROGRAM) and leave no_new_privs off ({SETCAP_UNTRIED})"
    )
