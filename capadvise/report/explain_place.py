"""The place where the target ran, in plain words, and what of it decides about risks. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from capadvise.caps import Cap
from capadvise.catalog.circumstances import Circumstance as C
from capadvise.catalog.circumstances import Known
from capadvise.posture import Posture, Sharing
from capadvise.report.escape import printable
from capadvise.report.inspection_words import PLAIN
from capadvise.report.model import Report

_NAMESPACES = {
    C.HOST_USER: "user",
    C.HOST_NETWORK: "net",
    C.HOST_PROCESSES: "pid",
    C.HOST_IPC: "ipc",
    C.HOST_NAME: "uts",
}
_DISKS = ("devices", "device")
_CONFINING = frozenset({"apparmor", "selinux", "smack"})


def known(report: Report) -> Known:
    """What the recorded posture says of each circumstance; None where it says nothing."""
    posture = report.posture
    facts: dict[C, bool | None] = {
        circumstance: _of_host(posture, name) for circumstance, name in _NAMESPACES.items()
    }
    if facts[C.HOST_PROCESSES]:
        facts[C.SHARED_PROCESSES] = True
    if posture.root is not None:
        exposed = posture.root.exposed
        host = posture.root.host is True
        facts[C.HOST_FILES] = host or any(
            mount.writable and mount.kind in ("host-root", "host-folder") for mount in exposed
        )
        facts[C.ENGINE_SOCKET] = host or any(mount.kind == "engine-socket" for mount in exposed)
        facts[C.HOST_DEVICE] = host or any(mount.kind in _DISKS for mount in exposed)
    if posture.cgroup is not None:
        facts[C.CGROUP_V1] = posture.cgroup.version != "v2"
        facts[C.WRITABLE_CGROUP] = posture.cgroup.writable
        facts[C.UNLIMITED_MEMORY] = not any("mem" in name for name in posture.cgroup.limits)
    if posture.seccomp is not None and not _opened_for_recording(report):
        facts[C.UNFILTERED] = posture.seccomp.mode == "off"
    facts[C.UNCONFINED] = _unconfined(report)
    return facts


def _of_host(posture: Posture, name: str) -> bool | None:
    sharing = posture.namespaces.get(name, Sharing.UNKNOWN)
    return None if sharing is Sharing.UNKNOWN else sharing is Sharing.HOST


def _unconfined(report: Report) -> bool | None:
    mac = report.posture.mac
    if mac is not None:
        return mac.mode in ("unconfined", "complain", "permissive")
    if report.posture.cgroup is not None:  # it was looked at thoroughly, and nothing was there
        return True
    active = {name for recording in report.recordings for name in recording.host.lsm}
    return None if active & _CONFINING or not active else True


def docker_defaults(report: Report) -> Known:
    """A container that docker makes without any option, on the host of the recording. Volumes and
    devices are the user's own choice: whether there are any is not known."""
    here = known(report)
    return {
        **{circumstance: False for circumstance in _NAMESPACES},
        C.HOST_USER: True,
        C.SHARED_PROCESSES: False,
        C.CGROUP_V1: here.get(C.CGROUP_V1),
        C.WRITABLE_CGROUP: False,
        C.UNLIMITED_MEMORY: True,
        C.UNFILTERED: False,
        C.UNCONFINED: here.get(C.UNCONFINED),
    }


def judged_in(report: Report) -> tuple[Known, str]:
    """The place that risks are judged in, and what to say of it where it is not the one in which
    it ran: a plain program's risks are those of the container that it is meant for."""
    if in_no_container(report):
        return docker_defaults(report), "In a container with docker's default options"
    return known(report), ""


_PLACED = ("container", "unit")
"""Kinds of targets that run where they are meant to."""


def on_the_host(report: Report) -> bool:
    """Whether it ran as a plain program of the machine, in no container."""
    root = report.posture.root
    return report.target.kind not in _PLACED and root is not None and root.host is True


def in_no_container(report: Report) -> bool:
    """Whether nothing of a container is known: then its risks are those of one to come."""
    told = bool(report.posture.namespaces)
    return on_the_host(report) or (report.target.kind not in _PLACED and not told)


def place_sentences(report: Report) -> Iterator[str]:
    """Where it ran, for people who know docker."""
    posture = report.posture
    if on_the_host(report):
        yield _a_plain_program(report)
    elif report.target.kind == "container":
        yield f"It ran in a container{_image(report)}."
    elif report.target.kind == "unit":
        yield "It ran as a service of this machine, confined as its unit says."
    if posture.sandbox:
        yield (
            f"Its kernel is not the host's but the one of {printable(posture.sandbox)}: what "
            "follows applies to that one."
        )
    shared = [name for name, s in posture.namespaces.items() if s is Sharing.HOST]
    own = [name for name, s in posture.namespaces.items() if s is Sharing.OWN]
    if shared or own:
        yield f"Namespaces shared with the host: {_names(shared)}; its own: {_names(own)}."
    if facts := _restraints(report):
        yield f"Besides: {', '.join(facts)}."


def _a_plain_program(report: Report) -> str:
    user = report.posture.user
    owner = user is not None and user.uid == 0 and known(report).get(C.HOST_USER) is True
    return "It ran directly on the host, not in a container." + (
        " As root it owns the host's files (/etc/shadow, /root), whatever its capabilities: run "
        "it in a container or as its own user first."
        if owner
        else ""
    )


def _restraints(report: Report) -> list[str]:
    posture = report.posture
    facts = [
        _seccomp(report),
        "no_new_privs is set" if posture.no_new_privs else "",
        printable(f"{posture.mac.module} {posture.mac.label}") if posture.mac else "",
        printable(f"cgroups {posture.cgroup.version}") if posture.cgroup else "",
    ]
    return [fact for fact in facts if fact]


def _image(report: Report) -> str:
    return f" of the image {printable(report.target.image)}" if report.target.image else ""


def _seccomp(report: Report) -> str:
    seccomp = report.posture.seccomp
    if seccomp is None:
        return ""
    if _opened_for_recording(report):
        return "no seccomp filter (disabled for the recording)"
    return "no seccomp filter" if seccomp.mode == "off" else "a seccomp filter"


def _opened_for_recording(report: Report) -> bool:
    """``run`` starts containers with everything and without a filter, so that no check is hidden:
    what filter it has otherwise is then not known."""
    seccomp = report.posture.seccomp
    everything = Cap.parse("SYS_MODULE") in report.recording.held.bounding
    off = seccomp is not None and seccomp.mode == "off"
    return off and everything and report.target.kind == "container"


def _names(names: list[str]) -> str:
    return ", ".join(PLAIN.get(name, name) for name in names) or "none"
