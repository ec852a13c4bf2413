"""Snippets of reports and of known programs."""

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath

from capadvise.catalog import Catalog
from capadvise.catalog.known import KnownProgram, Variant
from capadvise.catalog.known_index import repository
from capadvise.config.kubernetes.manifests import POD_SPEC, is_object_name
from capadvise.config.snippet import PORT_START, YAML_WORDS, Snippet, one_line
from capadvise.judgement.conclusion import conclude_report
from capadvise.judgement.decide import Need
from capadvise.judgement.flags import Flag, default_seccomp, fits_default_seccomp, no_new_privs
from capadvise.judgement.opening import Opening
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet, parse_set
from capadvise.model.errors import BadInput
from capadvise.model.escape import printable
from capadvise.model.posture import Sharing
from capadvise.model.target import CLIENTS, Target, is_user
from capadvise.model.workload import needs_no_port_below

_BIND = parse_set(["NET_BIND_SERVICE"])
LONGEST_REASON = 90
"""Characters of a comment beside a capability: a line of a file stays one line."""


def snippet_of(
    report: Report,
    caps: CapSet,
    catalog: Catalog,
    *,
    set_name: str = "recommended",
    beside: tuple[str, ...] = (),
) -> Snippet:
    """The snippet of a report and a set of it (or of the user's own choice). ``beside``: what
    stands beside the set, as ``PassedSet`` has it.

    Raises BadInput for a report whose user is no user.
    """
    user = report.target.user or "0:0"
    if not is_user(user):
        raise BadInput(f"the report's user {user!r:.60} is not of the form uid:gid")
    opening = report.proven.opening if report.proven and beside else None
    needs = [report.proposal.need(cap) for cap in sorted(caps)]
    forbids, seccomp = no_new_privs(report, caps), default_seccomp(report, caps, catalog)
    return Snippet(
        name=safe_name(report.target.name),
        caps=tuple((need.cap, short_reason(need)) for need in needs),
        notes=tuple(
            map(one_line, (*_on_beside(report, beside, opening), *_notes(report, caps, forbids)))
        ),
        seccomp_note=one_line(seccomp.why),
        cautions=tuple(map(one_line, _cautions(report, caps))),
        user=user,
        of_process=report.target.kind == "process",
        own_user=_has_own_user(report),
        argv=report.target.argv,
        by_manager=_is_by_manager(report.target),
        host_network=_on_host_network(report),
        privileged=_was_privileged(report),
        no_new_privileges=forbids.written,
        default_seccomp=seccomp.written is True,
        stays_inside=fits_default_seccomp(report, catalog),
        set_name=set_name,
        rests_on=one_line(conclude_report(report, catalog, caps, beside=beside).rests_on),
        hardening=_hardening(report, caps),
        owner=_owner(report),
        minimal=report.proposal.minimal,
        sysctls=tuple(_sysctls(beside)),
        opening=opening,
        report=report,
    )


_USERS = (
    "the price: everybody in the container can make user namespaces, and reach kernel code "
    "(netfilter, file systems) that has had exploitable defects; SYS_ADMIN gives the same and more"
)
_ON_USERS = re.compile("userns|user_namespaces")
_SYSCTL = re.compile(r"([a-z][a-z0-9_.]{2,80})=([0-9]{1,10})")
"""Written into a file: no other text of a report is."""


def _sysctls(beside: Iterable[str]) -> Iterator[tuple[str, str]]:
    for words in beside:
        if said := _SYSCTL.fullmatch(words):
            yield said[1], said[2]


def _on_beside(report: Report, beside: tuple[str, ...], opening: Opening | None) -> Iterator[str]:
    if opening:
        yield opening.sentence
        yield f"capadvise emit --without {opening.without.short} writes the seccomp profile"
        if opening.makes_users:
            yield _USERS
            said = report.posture.sysctls.items()
            there = ", ".join(f"{name}={value}" for name, value in said if _ON_USERS.search(name))
            yield f"recorded where {there}: a host that forbids user namespaces refuses it"
    elif beside:
        yield f"this set passed its trial together with {', '.join(beside)}, and needs it"


def _owner(report: Report) -> tuple[str, str, str] | None:
    """The report's owner, which anybody can write: only if Kubernetes takes the names."""
    kind, _, name = (report.target.owner or "").partition("/")
    known = kind in POD_SPEC and is_object_name(name) and is_object_name(report.target.name)
    return (kind, name, report.target.name) if known else None


def _hardening(report: Report, caps: CapSet) -> tuple[str, ...] | None:
    hardening = report.proven and report.proven.hardening
    return hardening.lines if hardening and hardening.caps == caps else None


def _on_host_network(report: Report) -> bool:
    """One that ends at once is gone before its namespaces are read: then its options tell."""
    sharing = report.posture.namespaces.get("net")
    said = {"--network=host", "--net=host"} & set(report.target.argv)
    return report.target.kind == "container" and (sharing is Sharing.HOST or bool(said))


def _is_by_manager(target: Target) -> bool:
    """``docker run``, ``systemctl restart``; for an attached target, the process's own."""
    is_client = not CLIENTS.isdisjoint(PurePath(word).name for word in target.argv)
    return target.kind == "unit" or (target.kind == "container" and is_client)


def _has_own_user(report: Report) -> bool:
    """A service's own configuration is what is patched; of ``docker run`` nothing else is known
    where its options say another user."""
    target = report.target
    said = any(word.startswith("--user=") for word in target.argv)
    return target.kind == "container" and not said


def _was_privileged(report: Report) -> bool | None:
    """If the engine no longer described it, its command line tells, unless it is in a file."""
    target = report.target
    if target.privileged is not None:
        return target.privileged
    if target.kind != "container" or target.service is not None or "run" not in target.argv:
        return None
    return any(word.startswith("--privileged") for word in target.argv)


def safe_name(name: str) -> str:
    """A name for a service, a container or a unit."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:63].strip("-._") or "app"
    if not re.match(r"[A-Za-z]", safe) or safe.lower() in YAML_WORDS:
        safe = f"app-{safe}"[:63]
    return safe


def short_reason(need: Need) -> str:
    """The reason of a need for a reviewer of the file: ``chown: changing a file's owner or group
    (uid 999)``.

    The remarks in brackets that the catalog makes are left out. At most ``LONGEST_REASON``
    characters.
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


def _notes(report: Report, caps: CapSet, forbids: Flag) -> Iterator[str]:
    start = report.posture.sysctls.get(PORT_START, "")
    high = needs_no_port_below(1024, report.workload.check)
    if start.isdecimal() and int(start) < 1024 and not caps & _BIND and not high:
        yield (
            f"recorded where {PORT_START} is {start}: elsewhere, a port below 1024 needs that "
            "setting, or NET_BIND_SERVICE"
        )
    if forbids.why:
        yield f"no_new_privs left out: {printable(forbids.why)}"


def known_snippet(
    program: KnownProgram, variant: Variant, *, set_name: str, asked: str = ""
) -> Snippet:
    """The snippet of one variant. ``asked``: the word that the program was looked up by, perhaps an
    image."""
    caps = variant.minimal if set_name == "minimal" else variant.recommended
    needs = [need for need in variant.needs if need.cap in caps]
    reasons = (need.why.partition(" (")[0].partition(";")[0] for need in needs)
    proven = f"{program.name} {program.upstream}, {variant.name}: proven on {program.made.date}"
    return Snippet(
        name=program.name,
        caps=tuple(zip((need.cap for need in needs), map(one_line, reasons), strict=True)),
        notes=(one_line(proven), _OTHERWISE, f"no_new_privs left out: {_UNTRIED}"),
        user=variant.user,
        of_image=repository(asked) in program.images_of_users,
        own_user=repository(asked) in program.images,
        no_new_privileges=None,
        seccomp_note=_UNTRIED,
        stays_inside=True,
        set_name=set_name,
        minimal=variant.minimal,
    )


_UNTRIED = "no trial of this proof ran with it"
_OTHERWISE = "For another version or configuration, or an image's entrypoint, prove it yourself."
