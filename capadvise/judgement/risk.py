"""The risk of a capability in one place, and its words; the place that the risks of a report are
judged in. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capadvise.catalog import Catalog, default
from capadvise.catalog.capabilities import Attack, Condition, Entry, Risk
from capadvise.catalog.circumstances import Circumstance, Known, Where, agrees, holds
from capadvise.model.caps import Cap

if TYPE_CHECKING:
    from capadvise.judgement.decide import Proposal
    from capadvise.judgement.report import Report  # the gate does without
    from capadvise.model.posture import Posture

_RISKS = {"root": "root-equivalent"}


def risk_word(risk: object) -> str:
    """The word for a level of risk; None is one that nobody knows."""
    return "unknown" if risk is None else _RISKS.get(str(risk), str(risk))


def risk_of(risk: object) -> str:
    """The same, to stand by itself: ``high risk``, ``root-equivalent``."""
    word = risk_word(risk)
    return word if word in _RISKS.values() else f"{word} risk"


@dataclass(frozen=True, slots=True)
class Remaining:
    """The attacks that a capability still allows in one place."""

    risk: Risk
    because: str
    """Why it is this risk, with what of the place decides."""
    possible: tuple[Attack, ...]
    depends: tuple[tuple[Attack, str], ...]
    """(attack, what it hangs on that is not known)."""
    closed: tuple[tuple[Attack, str], ...]
    """(attack, what stands in its way)."""
    worse: tuple[Condition, ...]
    """Conditions of which it is not known whether they hold, and that would make it worse."""


def remaining(entry: Entry, known: Known) -> Remaining:
    """The risk of a capability, and what can be done with it, where this is known."""
    risk, because = _risk(entry, known)
    judged = [(attack, holds(attack.where, known)) for attack in entry.attack]
    return Remaining(
        risk,
        because,
        tuple(attack for attack, can in judged if can),
        tuple((a, _said(a.where, known, None)) for a, can in judged if can is None),
        tuple((a, _said(a.where, known, False)) for a, can in judged if can is False),
        tuple(c for c in entry.risk_conditions if c.risk > risk and holds(c.where, known) is None),
    )


_USUAL = (Circumstance.HOST_USER, True)
"""Nothing to speak of."""


def _risk(entry: Entry, known: Known) -> tuple[Risk, str]:
    """The risk: a condition that makes it worse decides, else one that makes it better, else the
    entry itself."""
    there = [c for c in entry.risk_conditions if c.where and holds(c.where, known)]
    worse = [c for c in there if c.risk > entry.risk]
    better = [c for c in there if c.risk < entry.risk]
    deciding = max(worse, key=lambda c: c.risk, default=None) or min(
        better, key=lambda c: c.risk, default=None
    )
    if deciding is None:
        return entry.risk, entry.risk_reason
    told = _said(tuple(item for item in deciding.where if item != _USUAL), known, True)
    return deciding.risk, f"{deciding.reason} ({told})" if told else deciding.reason


def _said(where: Where, known: Known, holds: bool | None) -> str:
    """The conditions that hold, that do not, or that are unknown (None), as the reader finds them:
    ``it has a network of its own``; an unknown one as it is wanted."""
    texts = default().texts["circumstances"]
    said = [
        (c, wanted != (holds is False)) for c, wanted in where if agrees(c, wanted, known) is holds
    ]
    return " and ".join(texts[c if so else f"not {c}"] for c, so in said)


_NAMESPACES = {
    Circumstance.HOST_USER: "user",
    Circumstance.HOST_NETWORK: "net",
    Circumstance.HOST_PROCESSES: "pid",
    Circumstance.HOST_IPC: "ipc",
    Circumstance.HOST_NAME: "uts",
}
_DISKS = ("devices", "device")
_CONFINING = frozenset({"apparmor", "selinux", "smack"})


def circumstances_of(report: Report) -> Known:
    """Each circumstance according to the recorded posture; None if the posture does not say."""
    posture = report.posture
    facts: dict[Circumstance, bool | None] = {
        circumstance: _of_host(posture, name) for circumstance, name in _NAMESPACES.items()
    }
    if facts[Circumstance.HOST_PROCESSES]:
        facts[Circumstance.SHARED_PROCESSES] = True
    if posture.root is not None:
        exposed = posture.root.exposed
        host = posture.root.host is True
        facts[Circumstance.HOST_FILES] = host or any(
            mount.writable and mount.kind in ("host-root", "host-folder") for mount in exposed
        )
        facts[Circumstance.ENGINE_SOCKET] = host or any(
            mount.kind == "engine-socket" for mount in exposed
        )
        facts[Circumstance.HOST_DEVICE] = host or any(mount.kind in _DISKS for mount in exposed)
    if posture.cgroup is not None:
        facts[Circumstance.CGROUP_V1] = posture.cgroup.version != "v2"
        facts[Circumstance.WRITABLE_CGROUP] = posture.cgroup.writable
        facts[Circumstance.UNLIMITED_MEMORY] = not any(
            "mem" in name for name in posture.cgroup.limits
        )
    if posture.seccomp is not None and not opened_for_recording(report):
        facts[Circumstance.UNFILTERED] = posture.seccomp.mode == "off"
    facts[Circumstance.UNCONFINED] = _unconfined(report)
    return facts


def _of_host(posture: Posture, name: str) -> bool | None:
    from capadvise.model.posture import Sharing  # its eight classes are no matter for most words

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
    here = circumstances_of(report)
    return {
        **{circumstance: False for circumstance in _NAMESPACES},
        Circumstance.HOST_USER: True,
        Circumstance.SHARED_PROCESSES: False,
        Circumstance.CGROUP_V1: here.get(Circumstance.CGROUP_V1),
        Circumstance.WRITABLE_CGROUP: False,
        Circumstance.UNLIMITED_MEMORY: True,
        Circumstance.UNFILTERED: False,
        Circumstance.UNCONFINED: here.get(Circumstance.UNCONFINED),
    }


def judged_in(report: Report) -> tuple[Known, str]:
    """The place that risks are judged in, and what to say of it where it is not the one in which
    it ran: a plain program's risks are those of the container that it is meant for."""
    if in_no_container(report):
        return docker_defaults(report), "In a container with docker's default options"
    return circumstances_of(report), ""


_PLACED = ("container", "unit")
"""Kinds of targets that run where they are meant to."""


def on_the_host(report: Report) -> bool:
    """True if it ran as a plain program of the machine, in no container."""
    root = report.posture.root
    return report.target.kind not in _PLACED and root is not None and root.host is True


def in_no_container(report: Report) -> bool:
    """True if no container is known: then its risks are those in a future container."""
    told = bool(report.posture.namespaces)
    return on_the_host(report) or (report.target.kind not in _PLACED and not told)


def opened_for_recording(report: Report) -> bool:
    """``run`` starts containers with everything and without a filter, so that no check is hidden:
    what filter it has otherwise is then not known."""
    seccomp = report.posture.seccomp
    everything = Cap.parse("SYS_MODULE") in report.recording.held.bounding
    off = seccomp is not None and seccomp.mode == "off"
    return off and everything and report.target.kind == "container"


Risks = Mapping[Cap, Risk]
"""The risk of each capability in one place, if the catalog knows the capability."""


class RisksHere(Mapping[Cap, Risk]):
    """The risk of each capability in the place where it runs, looked up on demand: a catalog entry
    takes a millisecond to read. Capabilities that the catalog does not know are missing."""

    def __init__(self, report: Report, catalog: Catalog) -> None:
        self._place, _ = judged_in(report)
        self._catalog = catalog
        self._caps = all_caps(report.recording.host.last_cap, report.proposal)
        self._risks: dict[Cap, Risk | None] = {}

    def __getitem__(self, cap: Cap) -> Risk:
        if cap not in self._risks:
            entry = self._catalog.entry(cap)
            self._risks[cap] = remaining(entry, self._place).risk if entry else None
        risk = self._risks[cap]
        if risk is None:
            raise KeyError(cap)
        return risk

    def __iter__(self) -> Iterator[Cap]:
        """The usually worst first, so that a search for the worst ends soon."""
        usual = usual_risks(self._caps, self._catalog)
        return iter(sorted(usual, key=lambda cap: -usual[cap]))

    def __len__(self) -> int:
        return len(usual_risks(self._caps, self._catalog))


def usual_risks(caps: Collection[Cap], catalog: Catalog) -> dict[Cap, Risk]:
    """The risks of capabilities in an unknown place."""
    words = {cap: catalog.risk(cap) for cap in caps}
    return {cap: Risk[word.upper()] for cap, word in words.items() if word}


def all_caps(last_cap: int, proposal: Proposal) -> tuple[Cap, ...]:
    """All that the kernel knows, and what else was seen."""
    return tuple(sorted({*map(Cap, range(last_cap + 1)), *(n.cap for n in proposal.needs)}))


def worst(caps: Collection[Cap], risks: Risks) -> str:
    """The word for the highest risk among these; one that nobody knows is the highest."""
    if not caps:
        return "none"
    worst_known: Risk | None = None
    for cap in risks:
        if cap in caps and (worst_known is None or risks[cap] > worst_known):
            worst_known = risks[cap]
        if worst_known is Risk.ROOT:
            return risk_word(worst_known)
    return risk_word(worst_known if all(cap in risks for cap in caps) else None)
