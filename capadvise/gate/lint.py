"""What can be said of one service without having seen it run. Pure; one function for each rule."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator

from capadvise.caps import NAMES, Cap
from capadvise.gate.consumers import ALL, Prefix, Winner
from capadvise.gate.finding import Finding, Severity
from capadvise.gate.service import Service
from capadvise.report.escape import printable


def lint(service: Service) -> tuple[Finding, ...]:
    """All findings, rule by rule."""
    return tuple(item for rule in LINTS for item in rule(service))


def _privileged(service: Service) -> Iterator[Finding]:
    if service.declared.privileged:
        yield service.finding(
            "privileged",
            "privileged",
            "it is privileged",
            "That is every capability, every device and no seccomp or AppArmor: root on the host.",
            "Remove it and add what `capadvise run` finds that it needs.",
        )


def _add_all(service: Service) -> Iterator[Finding]:
    for name in service.declared.add:
        if service.consumer.parse(name) == ALL and ALL not in _beaten(service):
            beats = (
                f" In {service.consumer.title} it beats the drop of ALL."
                if service.consumer.drops_all(service.declared)
                else ""
            )
            yield service.finding(
                "add-all",
                name,
                f"it adds {printable(name)}",
                f"Every capability, SYS_ADMIN and SYS_MODULE among them: root on the host.{beats}",
                "Drop ALL and add what `capadvise run` finds that it needs.",
            )


def _beaten(service: Service) -> set[Cap | str | None]:
    """Additions that a drop takes back or makes impossible."""
    if service.consumer.winner is Winner.ADD:
        return set()
    return {service.consumer.parse(name) for name in service.declared.drop}


def _root_equivalent(service: Service) -> Iterator[Finding]:
    beaten = _beaten(service)
    for name in dict.fromkeys((*service.declared.add, *(service.declared.ambient or ()))):
        cap = service.consumer.parse(name)
        if not isinstance(cap, Cap) or cap in beaten or service.catalog.risk(cap) != "root":
            continue
        entry = service.catalog.entry(cap)
        why = entry.risk_reason if entry else ""
        attack = f" An attacker could: {_lower(entry.attack[0].what)}" if entry else ""
        known = cap in service.needed
        yield service.finding(
            "root-equivalent",
            name,
            f"it adds {cap.short}" + (", which its report shows a need for" if known else ""),
            f"Root-equivalent on the host. {why}{attack}",
            f"`capadvise explain {cap.short}` names a way to do without for each of its uses.",
            severity=Severity.WARNING if known else Severity.ERROR,
        )


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _ignored_names(service: Service) -> Iterator[Finding]:
    consumer, declared = service.consumer, service.declared
    drop = [name for name in declared.drop if consumer.takes_all or name != ALL]
    for name in dict.fromkeys((*drop, *declared.add, *(declared.ambient or ()))):
        if "$" in name or consumer.parse(name) is not None:
            continue
        title = "Kubernetes" if consumer.prefix is Prefix.MUST_NOT else consumer.title
        why = (
            f"{title} refuses to start a container with it."
            if consumer.refuses
            else f"{title} does not know the name and leaves it out without a word."
        )
        meant = _meant(name)
        yield service.finding(
            "ignored-name",
            name,
            f"{printable(name)!r} is no capability's name here",
            why,
            f"Write {consumer.spelled(meant)}." if meant is not None else "Remove it.",
        )


def _meant(name: str) -> Cap | None:
    """The capability that somebody meant, if one is near."""
    bare = name.upper().removeprefix("CAP_")
    near = difflib.get_close_matches(bare, NAMES, n=1, cutoff=0.8)
    return Cap.parse(near[0]) if near else None


def _spelling(service: Service) -> Iterator[Finding]:
    if service.consumer.prefix is not Prefix.MUST_NOT:
        return
    for name in dict.fromkeys((*service.declared.drop, *service.declared.add)):
        cap = service.consumer.parse(name)
        right = cap.short if isinstance(cap, Cap) else cap
        if right is not None and name != right:
            yield service.finding(
                "spelling",
                name,
                f"{name!r} is spelled in lower case",
                "The container gets what is meant, but Pod Security Admission compares names "
                "exactly and does not match this one.",
                f"Write {right}.",
            )


def _add_and_drop(service: Service) -> Iterator[Finding]:
    consumer, declared = service.consumer, service.declared
    dropped = {consumer.parse(name) for name in declared.drop} - {None}
    said = {
        Winner.ADD: f"{consumer.title} adds it: dropping it has no effect",
        Winner.DROP: f"{consumer.title} drops it: adding it has no effect",
        Winner.NEITHER: f"{consumer.title} refuses to start the container",
    }[consumer.winner]
    for name in dict.fromkeys(declared.add):
        what = consumer.parse(name)
        if what in dropped and not (what == ALL and consumer.winner is Winner.ADD):
            yield service.finding(
                "add-and-drop",
                name,
                f"{printable(name)} is both added and dropped",
                f"{said}.",
                "Remove one of the two.",
            )


def _no_drop_all(service: Service) -> Iterator[Finding]:
    consumer, declared = service.consumer, service.declared
    added = {consumer.parse(name) for name in declared.add}
    if declared.privileged or consumer.drops_all(declared) or ALL in added:
        return
    kept = service.granted - {cap for cap in added if isinstance(cap, Cap)}
    if not kept:
        return
    if consumer.runtime is None:
        yield service.finding(
            "no-drop-all",
            "",
            "its capabilities are not bounded",
            f"A set-id program gains {len(kept)} capabilities."
            if _bounded_only(service)
            else f"As root it starts with {len(kept)} capabilities, and any set-id program gains "
            "them.",
            "Set CapabilityBoundingSet= to what `capadvise run` finds that it needs.",
        )
        return
    yield service.finding(
        "no-drop-all",
        "",
        "it does not drop ALL",
        f"It starts with {consumer.title}'s default set, of which {len(kept)} are left: "
        f"{', '.join(cap.short for cap in sorted(kept))}.",
        "Drop ALL and add what `capadvise run` finds that it needs.",
    )


def _user(service: Service) -> str:
    return (service.declared.user or "root").partition(":")[0]


def _bounded_only(service: Service) -> bool:
    """Whether it starts as a user for whom additions only bound what can be gained."""
    uid = _user(service)
    return service.consumer.bounds_only and uid not in ("0", "root", "") and "$" not in uid


def _useless_add(service: Service) -> Iterator[Finding]:
    declared = service.declared
    if not _bounded_only(service):
        return
    uid = _user(service)
    parse = service.consumer.parse
    caps = {parse(name) for name in declared.add} - {None, *map(parse, declared.ambient or ())}
    if declared.privileged or not caps:
        return
    names = ", ".join(sorted(cap.short if isinstance(cap, Cap) else ALL for cap in caps))
    gain = (
        "With no_new_privs nothing can gain it either."
        if declared.no_new_privileges
        else "Only programs with file capabilities and set-id programs gain it."
    )
    yield service.finding(
        "useless-add",
        declared.add[0],
        f"it adds {names} for user {printable(uid)}",
        f"For a user other than root the additions only bound what can be gained. {gain}",
        f"Add them to {service.consumer.ambient}."
        if service.consumer.ambient
        else "Remove them, give the program file capabilities (setcap), or start as root and drop.",
    )


def _escalation(service: Service) -> Iterator[Finding]:
    declared = service.declared
    if declared.no_new_privileges is not False or declared.privileged or not service.granted:
        return
    many = len(service.granted)
    yield service.finding(
        "escalation",
        "no_new_privileges",
        "it lets programs gain privileges",
        f"A set-id program or one with file capabilities can gain the {many} "
        f"capabilit{'y' if many == 1 else 'ies'} that the container is bounded by.",
        "Set allowPrivilegeEscalation: false."
        if service.consumer.prefix is Prefix.MUST_NOT
        else "Set no-new-privileges:true.",
    )


def _rejected(service: Service) -> Iterator[Finding]:
    """Validation of the API server (ValidateSecurityContext), which spells it so."""
    declared = service.declared
    if service.consumer.prefix is not Prefix.MUST_NOT or not declared.no_new_privileges:
        return
    for at in [*["privileged"] * declared.privileged, *declared.add]:
        if at in ("privileged", "CAP_SYS_ADMIN"):
            yield service.finding(
                "rejected",
                at,
                f"{at} together with allowPrivilegeEscalation: false",
                "Kubernetes refuses the pod.",
                f"Remove {at}.",
            )


def _duplicates(service: Service) -> Iterator[Finding]:
    for verb, names in (("adds", service.declared.add), ("drops", service.declared.drop)):
        found = [(name, service.consumer.parse(name)) for name in names]
        count = Counter(what for _, what in found if what is not None)
        for what in [what for what, times in count.items() if times > 1]:
            name = [name for name, meant in found if meant == what][-1]
            yield service.finding(
                "duplicate",
                name,
                f"it {verb} {what.short if isinstance(what, Cap) else what} twice",
                "Once is enough; the other can be forgotten when the list is changed.",
                "Remove one.",
            )


def _unresolved(service: Service) -> Iterator[Finding]:
    """What is left open must not pass the gate unseen."""
    for key, _ in service.declared.unresolved:
        yield service.finding(
            "unresolved",
            key,
            f"{printable(key)} was not resolved",
            "It has a variable in it, or takes what another service says: that is not judged.",
            "Run the gate where docker compose works and the variables are set.",
            severity=Severity.WARNING if key == "user" else None,
        )


LINTS: tuple[Callable[[Service], Iterator[Finding]], ...] = (
    _privileged,
    _add_all,
    _root_equivalent,
    _ignored_names,
    _spelling,
    _add_and_drop,
    _no_drop_all,
    _useless_add,
    _escalation,
    _rejected,
    _duplicates,
    _unresolved,
)
