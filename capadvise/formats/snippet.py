"""What a format gets to render, made from a report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from capadvise.catalog import Catalog
from capadvise.catalog.capabilities import Risk
from capadvise.formats.comments import PORT_START, comment, one_line
from capadvise.formats.object_names import POD_SPEC, is_object_name
from capadvise.judgement.decide import Need
from capadvise.judgement.hardening import NO_NEW_PRIVILEGES
from capadvise.judgement.report import Report
from capadvise.model.caps import NAMES, Cap, CapSet, parse_set
from capadvise.model.errors import BadInput
from capadvise.model.escape import printable
from capadvise.model.posture import Sharing
from capadvise.model.recording import Namespace
from capadvise.model.target import CLIENTS, Target, is_user
from capadvise.model.workload import needs_no_port_below
from capadvise.report.lamps import RisksHere

if TYPE_CHECKING:
    from capadvise.report.sheet import Sheet

_BIND = parse_set(["NET_BIND_SERVICE"])
_OF_THE_HOST = parse_set(["MKNOD", "SYS_RAWIO", "SYS_MODULE", "SYS_ADMIN", "SYS_BOOT"])
LONGEST_REASON = 90
"""Characters of a comment beside a capability: a line of a file stays one line."""
YAML_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


@dataclass(frozen=True, slots=True)
class Kept:
    """A capability of the set, and what is known of it."""

    cap: Cap
    verdict: str
    proof: str
    reason: str
    risk: str | None
    lost_without: str | None = None
    uncertain: str | None = None


@dataclass(frozen=True, slots=True)
class Snippet:
    """All that a format can say. Every text is one line that is safe in a comment."""

    name: str
    """Letters, digits, ``.``, ``_``, ``-``; begins with a letter; no word of YAML."""
    caps: tuple[tuple[Cap, str], ...]
    """In the order of their numbers, each with its reason: what was seen, in one short line."""
    notes: tuple[str, ...] = ()
    """What who reads the file must know: settings of the host, what would do harm."""
    cautions: tuple[str, ...] = ()
    """What the recording did not see, and which needs are uncertain: for who makes the file, on a
    terminal or in a page, and never in a configuration file."""
    user: str = "0:0"
    """``uid``, ``uid:gid``, or names."""
    of_image: bool = False
    """The image sets a user of its own, which is to stay: ``user`` is another one's name for it."""
    of_process: bool = False
    """The user is that of a process that ran already: it may have begun as another one."""
    own_user: bool = False
    """The container began as the user that its image or its configuration sets."""
    argv: tuple[str, ...] = ()
    """The target's command, as it was: hostile."""
    by_manager: bool = False
    """That command is one to an engine or to systemd, which start the program itself."""
    host_network: bool = False
    """It has the machine's network, of which no container may change a setting."""
    privileged: bool | None = None
    """Whether it was started so; None: nobody knows."""
    no_new_privileges: bool | None = False
    """No set-id program and none with file capabilities was started: forbidding it does no harm.
    None: nobody looked at all that was started."""
    default_seccomp: bool = False
    """Nothing was seen that the default seccomp profile never lets through."""
    kept: tuple[Kept, ...] = ()
    set_name: str = "recommended"
    hardening: tuple[str, ...] | None = None
    """Lines of a systemd unit that were proven together with this set; None: none were tried."""
    owner: tuple[str, str, str] | None = None
    """Of a pod's container: kind and name of the workload, and its own name."""
    minimal: CapSet | None = None
    """The minimal set, whichever this is; None: it is not proven."""
    digest: str = ""
    """``sha256:…`` of the report's file; empty where a format has no use for it."""
    variant: str = ""
    """Of a known program: how it is started."""
    sheet: Callable[[], Sheet] | None = field(default=None, compare=False)
    """What pages are made of: it takes milliseconds that no configuration needs."""

    @property
    def set_title(self) -> str:
        """``the floor``, ``the recommended set``."""
        return "the floor" if self.set_name == "floor" else f"the {self.set_name} set"

    @property
    def root(self) -> bool:
        """Whether the user is uid 0, which gets what the bounding set holds."""
        user = self.ids[0]
        return user == "root" or (user.isdecimal() and int(user) == 0)

    @property
    def says_user(self) -> bool:
        """Whether a file has to set the user."""
        return not self.root and not self.of_image

    @property
    def ids(self) -> tuple[str, str | None]:
        """User and group."""
        user, _, group = self.user.partition(":")
        return user, group or None

    @property
    def only_low_ports(self) -> bool:
        """Whether NET_BIND_SERVICE is all that is needed, by a user whom a sysctl serves better."""
        return not self.root and {cap for cap, _ in self.caps} == _BIND

    @property
    def unprivileged(self) -> bool:
        """Whether ``privileged: false`` is to be said: it was privileged, or nobody knows and
        nothing needed reaches for devices or the kernel."""
        if self.privileged is not None:
            return self.privileged
        return self.default_seccomp and not _OF_THE_HOST & {cap for cap, _ in self.caps}

    @property
    def file_capabilities(self) -> str:
        """As ``setcap`` takes them; a number where there is no name."""
        return setcap_words(cap for cap, _ in self.caps)

    def comments(self, indent: str = "", more: tuple[str, ...] = ()) -> str:
        """Which set it is, the notes and more, as comment lines."""
        notes = (f"capadvise: {self.set_title}", *self.notes, *more)
        return "".join(comment(note, indent) for note in notes)


def setcap_words(caps: Iterable[Cap]) -> str:
    """``cap_chown,cap_kill=ep``."""
    named = (cap.name.lower() if cap < len(NAMES) else str(int(cap)) for cap in caps)
    return f"{','.join(named)}=ep"


def snippet_of(
    report: Report, caps: CapSet, catalog: Catalog, *, set_name: str = "recommended"
) -> Snippet:
    """What every format renders of a report and a set of it (or of the user's own choice).

    Raises BadInput for a report whose user is no user.
    """
    user = report.target.user or "0:0"
    if not is_user(user):
        raise BadInput(f"the report's user {user!r:.60} is not of the form uid:gid")
    needs = [report.proposal.need(cap) for cap in sorted(caps)]
    risks = RisksHere(report, catalog)
    return Snippet(
        name=safe_name(report.target.name),
        caps=tuple((need.cap, short_reason(need)) for need in needs),
        notes=tuple(map(one_line, _notes(report, caps))),
        cautions=tuple(map(one_line, _cautions(report, caps))),
        user=user,
        of_process=report.target.kind == "process",
        own_user=_has_own_user(report),
        argv=report.target.argv,
        by_manager=_is_by_manager(report.target),
        host_network=_on_host_network(report),
        privileged=_was_privileged(report),
        no_new_privileges=_no_new_privileges(report),
        default_seccomp=_default_seccomp(report, catalog),
        kept=tuple(_kept(need, risks.get(need.cap)) for need in needs),
        set_name=set_name,
        hardening=_hardening(report, caps),
        owner=_owner(report),
        minimal=report.proposal.minimal,
        sheet=partial(_sheet, report, caps, catalog, set_name),
    )


def _owner(report: Report) -> tuple[str, str, str] | None:
    """As a report says it, which anybody can write: names that Kubernetes takes, and no others."""
    kind, _, name = (report.target.owner or "").partition("/")
    known = kind in POD_SPEC and is_object_name(name) and is_object_name(report.target.name)
    return (kind, name, report.target.name) if known else None


def _no_new_privileges(report: Report) -> bool | None:
    """Not where trials of a unit's options have left it out."""
    hardening = report.proven and report.proven.hardening
    tried = dict(hardening.left_out) if hardening else {}
    return False if NO_NEW_PRIVILEGES in tried else gains_nothing(report)


def _hardening(report: Report, caps: CapSet) -> tuple[str, ...] | None:
    hardening = report.proven and report.proven.hardening
    return hardening.lines if hardening and hardening.caps == caps else None


def _on_host_network(report: Report) -> bool:
    """One that ends at once is gone before its namespaces are read: then its options tell."""
    sharing = report.posture.namespaces.get("net")
    said = {"--network=host", "--net=host"} & set(report.target.argv)
    return report.target.kind == "container" and (sharing is Sharing.HOST or bool(said))


def _is_by_manager(target: Target) -> bool:
    """``docker run``, ``systemctl restart``; of what was attached to, it is the process's own."""
    is_client = not CLIENTS.isdisjoint(PurePath(word).name for word in target.argv)
    return target.kind == "unit" or (target.kind == "container" and is_client)


def _has_own_user(report: Report) -> bool:
    """A service's own configuration is what is patched; of ``docker run`` nothing else is known
    where its options say another user."""
    target = report.target
    said = any(word.startswith("--user=") for word in target.argv)
    return target.kind == "container" and not said


def _was_privileged(report: Report) -> bool | None:
    """Where the engine described it no more, its command line tells, if it is not in a file."""
    target = report.target
    if target.privileged is not None:
        return target.privileged
    if target.kind != "container" or target.service is not None or "run" not in target.argv:
        return None
    return any(word.startswith("--privileged") for word in target.argv)


def _sheet(report: Report, caps: CapSet, catalog: Catalog, set_name: str) -> Sheet:
    from capadvise.report.sheet import sheet_of

    return sheet_of(report, caps, catalog, set_name)


def _kept(need: Need, risk: Risk | None) -> Kept:
    return Kept(
        need.cap,
        str(need.verdict),
        str(need.proof),
        one_line(need.why),
        None if risk is None else str(risk),
        need.lost_without and one_line(need.lost_without),
        need.uncertain and one_line(need.uncertain),
    )


def safe_name(name: str) -> str:
    """What a service, a container or a unit can be called after it."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:63].strip("-._") or "app"
    if not re.match(r"[A-Za-z]", safe) or safe.lower() in YAML_WORDS:
        safe = f"app-{safe}"[:63]
    return safe


def short_reason(need: Need) -> str:
    """What a reviewer of the file reads: who does what, to what.

    ``chown: changing a file's owner or group (uid 999)``; without the remarks in brackets
    that the catalog makes. At most ``LONGEST_REASON`` characters.
    """
    decided = max(need.evidence, key=lambda item: item.effect, default=None)
    what = re.sub(r"\s+\([^)]*\)", "", need.reason.split(";")[0])
    if decided is None:
        return one_line(_cut(what, LONGEST_REASON))
    check = decided.check
    detail = f" ({_cut(check.detail, LONGEST_REASON // 2)})" if check.detail else ""
    text = f"{printable(check.program) or '?'}: {what}"
    return one_line(_cut(text, LONGEST_REASON - len(detail)) + detail)


def _cut(text: str, room: int) -> str:
    shown = printable(text)
    return shown if len(shown) <= room else f"{shown[: room - 1]}…"


def _cautions(report: Report, caps: CapSet) -> Iterator[str]:
    hardening = report.proven and report.proven.hardening
    if hardening and hardening.caps != caps:
        yield "its options were proven with another set: they are left out"
    for caution in report.proposal.cautions:
        yield f"caution: {printable(caution)}"
    for need in report.proposal.needs:
        if need.uncertain and need.cap in caps:
            yield f"{need.cap.short} is uncertain: {printable(need.uncertain)}"


def _notes(report: Report, caps: CapSet) -> Iterator[str]:
    if report.partial:
        yield "partial: its start was not observed, and the next one may need more than this set"
    start = report.posture.sysctls.get(PORT_START, "")
    high = needs_no_port_below(1024, report.workload.check)
    if start.isdecimal() and int(start) < 1024 and not caps & _BIND and not high:
        yield (
            f"recorded where {PORT_START} is {start}: elsewhere, a port below 1024 needs that "
            "setting, or NET_BIND_SERVICE"
        )
    match gains_nothing(report):
        case False:
            yield "no_new_privs left out: it runs a set-id program, or one with file capabilities"
        case None:
            yield "no_new_privs left out: the start was not seen, and it may run a set-id program"


def gains_nothing(report: Report) -> bool | None:
    """Whether no program that was started gave more than its starter had. Retries alone and audit
    records do not tell, nor does what was watched too late."""
    recordings = report.recordings
    if any(recording.setid_exec for recording in recordings):
        return False
    blind = any(item.attached or item.host.observer in ("retry", "audit") for item in recordings)
    return None if blind else True


def _default_seccomp(report: Report, catalog: Catalog) -> bool:
    """Only calls that ask for a capability are recorded: of others nothing is known."""
    closed = catalog.closed_calls
    return not any(
        recording.io_uring
        or any(check.syscall in closed or check.ns is Namespace.CHILD for check in recording.checks)
        for recording in report.recordings
    )
