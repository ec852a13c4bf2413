"""The rules about power over the host: capabilities by their risk where the service runs, and
mounts, namespaces and devices that give the same power. Pure; one function for each rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from capadvise.catalog.capabilities import Entry, Risk
from capadvise.catalog.circumstances import Circumstance, Known
from capadvise.config.declared import Exposure, ExposureAt, has_group
from capadvise.gate.finding import Finding, Severity
from capadvise.gate.service import Service, circumstances_of
from capadvise.model.caps import Cap, CapSet
from capadvise.model.escape import printable
from capadvise.report.risk import remaining

_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


def risky_capabilities(service: Service) -> Iterator[Finding]:
    """Judge each added capability by its risk where the service runs."""
    circumstances = circumstances_of(service.declared, service.consumer)
    rest = []
    for name, cap in service.added():
        entry = service.catalog.entry(cap)
        if entry is None:
            continue
        there = remaining(entry, circumstances)
        needed = cap in service.needed
        attack = f" An attacker could: {_lower(there.possible[0].what)}" if there.possible else ""
        remedy = f"`capadvise explain {cap.short}` shows what to do instead, for each of its uses."
        suffix = ", which its report shows a need for" if needed else ""
        if there.risk is Risk.ROOT:
            only_here = service.consumer.on_host and _by_processes(entry, circumstances)
            yield service.finding(
                "root-equivalent",
                name,
                f"it adds {cap.short}{suffix}",
                f"Root-equivalent on the host. {there.because}{attack}",
                remedy,
                severity=_WARNING if needed or only_here else _ERROR,
            )
        elif cap in service.usual:
            continue
        elif there.risk is Risk.HIGH:
            yield service.finding(
                "high-risk",
                name,
                f"it adds {cap.short}{suffix}",
                f"Its risk is high. {there.because}{attack}",
                remedy,
                severity=_NOTE if needed else _WARNING,
            )
        elif not needed:
            rest.append((name, cap))
    yield from _beyond_default(service, rest)


def _by_processes(entry: Entry, circumstances: Known) -> bool:
    """True if it is root-equivalent only since a unit sees the host's processes, as each one does;
    of its network, the unit can say otherwise."""
    unseen = {**circumstances, Circumstance.HOST_PROCESSES: False}
    return remaining(entry, unseen).risk is not Risk.ROOT


def _beyond_default(service: Service, rest: list[tuple[str, Cap]]) -> Iterator[Finding]:
    if rest:
        caps: CapSet = frozenset(cap for _, cap in rest)
        yield service.finding(
            "beyond-default",
            rest[0][0],
            f"it adds {', '.join(cap.short for cap in sorted(caps))}",
            "Container engines do not grant it by default, and no report shows a need for it.",
            "Record the service with `capadvise run`: the report shows whether it needs them.",
        )


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


# ------------------------------------------------------------------------------ exposures

_NO_SOCKET = "Put a proxy in between that passes only the calls it needs."
_OWN_NAMESPACE = "Remove it: a namespace of its own is the default."
_EXPOSURES: dict[Exposure, tuple[str, Severity, str, str]] = {
    Exposure.CONTROL_SOCKET: (
        "control-socket",
        _ERROR,
        "Whoever can connect to it can start a privileged container: root-equivalent on the "
        "host, without any capability, even where it is mounted read-only.",
        _NO_SOCKET,
    ),
    Exposure.SYSTEM_BUS: (
        "control-socket",
        _WARNING,
        "Over the system bus, uid 0 can start and change services of the host.",
        _NO_SOCKET,
    ),
    Exposure.SYSTEM_FOLDER: (
        "host-folder",
        _ERROR,
        "Root in the container can change programs or settings of the host: root-equivalent.",
        "Mount what it needs, read-only.",
    ),
    Exposure.READABLE_FOLDER: (
        "host-folder",
        _WARNING,
        "Secrets of the host can be read there.",
        "Mount only what it needs.",
    ),
    Exposure.HOST_KERNEL: (
        "host-folder",
        _NOTE,
        "It sees the host's processes and devices, read-only.",
        "Usual for monitoring; remove it elsewhere.",
    ),
    Exposure.DISK: (
        "host-device",
        _ERROR,
        "Access to a disk or to the memory of the host is root-equivalent: file "
        "permissions do not apply there.",
        "Pass in only the devices that it needs.",
    ),
    Exposure.HOST_NETWORK: (
        "host-namespace",
        _WARNING,
        "It reaches what listens on the host's loopback, and its abstract sockets.",
        _OWN_NAMESPACE,
    ),
    Exposure.HOST_PROCESSES: (
        "host-namespace",
        _WARNING,
        "It sees the host's processes, and can signal those of its own user.",
        _OWN_NAMESPACE,
    ),
    Exposure.HOST_IPC: (
        "host-namespace",
        _WARNING,
        "It reaches the host's shared memory.",
        _OWN_NAMESPACE,
    ),
    Exposure.HOST_CGROUP: (
        "host-namespace",
        _WARNING,
        "It sees the host's control groups.",
        _OWN_NAMESPACE,
    ),
    Exposure.UNFILTERED: (
        "unconfined",
        _WARNING,
        "Without the seccomp filter every system call of the kernel can be attacked.",
        "Keep the default profile, or write one for it.",
    ),
    Exposure.UNCONFINED: (
        "unconfined",
        _WARNING,
        "Without AppArmor or SELinux nothing stops mounts and writes to /proc.",
        "Keep the default profile, or write one for it.",
    ),
    Exposure.UNMASKED: (
        "unconfined",
        _WARNING,
        "Files in /proc and /sys that change the host are writable.",
        "Leave them masked.",
    ),
    Exposure.PRIVILEGED_COMMAND: (
        "privileged-command",
        _ERROR,
        "It runs with all capabilities, whatever the service's own set is.",
        "Run it with the service's own rights.",
    ),
    Exposure.WINDOWS_HOST: (
        "privileged",
        _ERROR,
        "It is a process of the node, with all rights of its user there.",
        "Remove it.",
    ),
    Exposure.HOST_COMMAND: (
        "host-command",
        _WARNING,
        "It runs on the host as root, outside of the container.",
        "Remove it, or accept it with a reason.",
    ),
}
_OF_PRIVILEGED = (Exposure.UNFILTERED, Exposure.UNCONFINED, Exposure.UNMASKED, Exposure.DISK)
"""A privileged container has these in any case."""
_OF_ROOT = (Exposure.CONTROL_SOCKET, Exposure.SYSTEM_FOLDER, Exposure.DISK)
"""Another user than root reaches these only if owner or mode allow it."""


def exposures(service: Service) -> Iterator[Finding]:
    """Mounts, namespaces, devices and commands that give power over the host."""
    for item in dict.fromkeys(service.declared.exposed):
        if item.kind not in _EXPOSURES:
            continue
        if service.declared.privileged and item.kind in _OF_PRIVILEGED:
            continue
        rule, _, why, remedy = _EXPOSURES[item.kind]
        before, after = _WORDS.get(item.kind, ("it has", ""))
        what = f"{before} {printable(item.what)[:120]}{after}"
        severity = _severity(service, item)
        yield service.finding(rule, item.what, what, why, remedy, severity=severity, line=item.line)


_WORDS = {
    Exposure.CONTROL_SOCKET: ("it reaches", ""),
    Exposure.SYSTEM_BUS: ("it reaches", ""),
    Exposure.SYSTEM_FOLDER: ("it mounts", " of the host, writable"),
    Exposure.READABLE_FOLDER: ("it mounts", " of the host, read-only"),
    Exposure.HOST_KERNEL: ("it mounts", " of the host, read-only"),
    Exposure.DISK: ("it gets", " of the host"),
    Exposure.PRIVILEGED_COMMAND: ("it runs", ""),
    Exposure.HOST_COMMAND: ("it runs", ""),
}


def _severity(service: Service, item: ExposureAt) -> Severity:
    severity = _EXPOSURES[item.kind][1]
    grouped = service.declared.groups or has_group(service.declared.user)
    if item.kind in _OF_ROOT and service.bounded_only and not grouped:
        return _WARNING
    if item.kind is Exposure.PRIVILEGED_COMMAND and service.consumer.on_host:
        return _ERROR if item.what.startswith("ExecStart=") else _WARNING
    return severity


def withheld(service: Service) -> Iterator[Finding]:
    """Capabilities that a unit adds and another of its settings takes away."""
    settings = dict(service.declared.withheld)
    parse = service.consumer.parse
    for name in dict.fromkeys(service.declared.add):
        cap = parse(name)
        if isinstance(cap, Cap) and cap.short in settings:
            yield service.finding(
                "withheld",
                name,
                f"it adds {cap.short}, which {settings[cap.short]}= takes away",
                "The service does not get it.",
                f"Remove {printable(name)}. The setting protects the machine.",
            )


def not_judged(service: Service) -> Iterator[Finding]:
    """Settings outside of the file that may grant more."""
    for what, _ in service.declared.unjudged:
        yield service.finding(
            "not-judged",
            what,
            f"not judged: {printable(what)[:160]}",
            "It may grant the service more than this file shows.",
            "Review it, and accept it with a reason.",
        )


POWERS: tuple[Callable[[Service], Iterator[Finding]], ...] = (
    risky_capabilities,
    exposures,
    withheld,
    not_judged,
)
