"""The rules that judge one service without a report. Pure; one function for each rule."""

from collections import Counter
from collections.abc import Callable, Iterator

from capadvise.catalog.capabilities import Entry, Risk
from capadvise.catalog.circumstances import Circumstance, Known
from capadvise.config.consumer import ALL, Winner
from capadvise.config.declared import NEW, Exposure, ExposureAt, has_group, may_be_root
from capadvise.gate.finding import Finding, Severity
from capadvise.gate.service import Service, circumstances_of
from capadvise.judgement.harm import ambient_refused, file_capabilities_refused, makes_root
from capadvise.judgement.risk import remaining
from capadvise.model.caps import NAMES, Cap, CapSet
from capadvise.model.escape import printable
from capadvise.model.wording import it_or_them, set_text

_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


def lint(service: Service) -> tuple[Finding, ...]:
    """All findings, rule by rule. Windows has no capabilities to drop, and some files have no usual
    place for a set: that rule is left out there."""
    keeps = service.declared.windows or service.consumer.keeps_defaults
    rules = [rule for rule in LINTS if rule is not _no_drop_all or not keeps]
    return tuple(item for rule in rules for item in rule(service))


def _privileged(service: Service) -> Iterator[Finding]:
    if service.declared.privileged:
        yield service.says("privileged", "privileged")


def _add_all(service: Service) -> Iterator[Finding]:
    for name in service.declared.add:
        if service.consumer.parse(name) == ALL and ALL not in service.beaten():
            beats = (
                f" In {service.consumer.title} it beats the drop of ALL."
                if service.consumer.drops_all(service.declared)
                else ""
            )
            yield service.says("add-all", name, name=printable(name), beats=beats)


def _ignored_names(service: Service) -> Iterator[Finding]:
    consumer, declared = service.consumer, service.declared
    drop = [name for name in declared.drop if consumer.takes_all or name != ALL]
    for name in dict.fromkeys((*drop, *declared.add, *(declared.ambient or ()))):
        if "$" in name or consumer.parse(name) is not None:
            continue
        title = "Kubernetes" if consumer.pod_security else consumer.title
        why = (
            f"{title} refuses to start a container with it."
            if consumer.refuses
            else f"{title} does not know the name and ignores it silently."
        )
        meant = _meant(name)
        if consumer.pod_security and meant is not None and name.upper() == meant.name:
            why = f"{title} ignores it silently, but `podman kube play` grants it."
        yield service.finding(
            "ignored-name",
            name,
            f"{printable(name)!r} is not a capability name here",
            why,
            f"Write {consumer.spelled(meant)}."
            if meant is not None and meant.short not in consumer.lacks
            else "Remove it.",
        )


def _meant(name: str) -> Cap | None:
    from difflib import get_close_matches  # most names are right

    bare = name.upper().removeprefix("CAP_")
    near = get_close_matches(bare, NAMES, n=1, cutoff=0.8)
    return Cap.parse(near[0]) if near else None


def _spelling(service: Service) -> Iterator[Finding]:
    if not service.consumer.pod_security:
        return
    for name in dict.fromkeys((*service.declared.drop, *service.declared.add)):
        cap = service.consumer.parse(name)
        right = cap.short if isinstance(cap, Cap) else cap
        if right is not None and name != right:
            yield service.says("spelling", name, name=repr(name), right=right)


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
            yield service.says("add-and-drop", name, name=printable(name), effect=said)


def _no_drop_all(service: Service) -> Iterator[Finding]:
    consumer, declared = service.consumer, service.declared
    added = {consumer.parse(name) for name in declared.add}
    if declared.privileged or consumer.drops_all(declared) or ALL in added:
        return
    if service.bounded_only:
        added |= {consumer.parse(name) for name in declared.ambient or ()}
    kept = service.granted - {cap for cap in added if isinstance(cap, Cap)}
    if not kept:
        return
    if consumer.runtime is None:
        held = f"{len(kept)} {'capability' if len(kept) == 1 else 'capabilities'}"
        gains = f"As root it starts with {held}, and any set-id program gains the same"
        gains = f"A set-id program gains {held}" if service.bounded_only else gains
        yield service.says("no-drop-all unit", "", gains=gains)
    else:
        kept_defaults = f"{_kept_defaults(service, kept)}: {set_text(kept)}"
        yield service.says("no-drop-all", "", kept=kept_defaults)


def _kept_defaults(service: Service, kept: CapSet) -> str:
    """All, some or one of the runtime's default set; a user other than root starts with none."""
    title, every = service.consumer.title, len(service.usual)
    if len(kept) == every:
        defaults = f"{title}'s {every} defaults"
    else:
        defaults = f"{len(kept)} of {title}'s {every} defaults"
    if not service.bounded_only:
        return f"It keeps {defaults}"
    return f"Its user starts with none, but a set-id program gains {defaults}"


def _useless_add(service: Service) -> Iterator[Finding]:
    declared = service.declared
    if not service.bounded_only:
        return
    uid = service.uid
    parse = service.consumer.parse
    caps = {parse(name) for name in declared.add} - {None, *map(parse, declared.ambient or ())}
    if declared.privileged or not caps:
        return
    names = ", ".join(sorted(cap.short if isinstance(cap, Cap) else ALL for cap in caps))
    gain = (
        "With no_new_privs, no program can gain them either."
        if declared.no_new_privileges
        else "Only set-id programs and programs with file capabilities gain them."
    )
    yield service.finding(
        "useless-add",
        declared.add[0],
        f"it adds {names} for user {printable(uid)}",
        "A user other than root does not get added capabilities: they only limit what it "
        f"can gain. {gain}",
        _instead_of_adding(service, {cap for cap in caps if cap is not None}),
    )


def _instead_of_adding(service: Service, caps: set[Cap | str]) -> str:
    """The remedy for additions that have no effect. It makes neither the user root nor each
    user who starts a file."""
    known = frozenset(cap for cap in caps if isinstance(cap, Cap))
    if service.consumer.ambient:
        far = {*ambient_refused(known, service.catalog)}
        remove = [ALL] * (ALL in caps) + [cap.short for cap in sorted(far)]
        rest = [cap.short for cap in sorted(known - far)]
        if not remove:
            return f"Add them to {service.consumer.ambient}."
        ambient = service.consumer.ambient
        more = f" Add {', '.join(rest)} to {ambient}." if rest else ""
        return f"Remove {', '.join(remove)}: in {ambient} it makes the user root.{more}"
    if ALL in caps or file_capabilities_refused(known, (), service.catalog, image=True):
        return "Remove them."
    return (
        "Remove them, or give the program in the image file capabilities (setcap; no shell, no "
        "interpreter): every user in the container who starts it then has them."
    )


def _escalation(service: Service) -> Iterator[Finding]:
    declared = service.declared
    if declared.no_new_privileges is not False or declared.privileged or not service.granted:
        return
    many = len(service.granted)
    caps = f"{many} capabilit{'y' if many == 1 else 'ies'}"
    yield service.says("escalation", "no_new_privileges", caps=caps, key=service.consumer.no_gain)


def _rejected(service: Service) -> Iterator[Finding]:
    """The combinations that the consumer refuses, as its language says."""
    for what, why in service.declared.refused:
        yield service.says("rejected", what, what=printable(what), why=why)


def _duplicates(service: Service) -> Iterator[Finding]:
    for verb, names in (("adds", service.declared.add), ("drops", service.declared.drop)):
        named = [(name, service.consumer.parse(name)) for name in names]
        count = Counter(what for _, what in named if what is not None)
        for what in [what for what, times in count.items() if times > 1]:
            name = [name for name, meant in named if meant == what][-1]
            short = what.short if isinstance(what, Cap) else str(what)
            yield service.says("duplicate", name, verb=verb, cap=short)


def _variables(service: Service) -> Iterator[Finding]:
    """Values that depend on the environment: elsewhere they may be others."""
    if sources := [source for source, _ in service.declared.variables]:
        names = ", ".join(printable(each)[:60] for each in dict.fromkeys(sources))
        yield service.says("variable source", sources[0], names=names, severity=_NOTE)
    if service.declared.unresolved:
        return
    for _, written in service.written:
        for key, _ in written.unresolved:
            if key != "extends":
                severity = _NOTE if key == "user" else None
                yield service.says("variable", key, key=printable(key), severity=severity)


def _unresolved(service: Service) -> Iterator[Finding]:
    """Values that nobody resolved: they must not pass the gate unseen."""
    for key, _ in service.declared.unresolved:
        severity = _WARNING if key == "user" else None
        yield service.says("unresolved", key, key=printable(key), severity=severity)


# ------------------------------------------------------------------------------ risks


def _risky_capabilities(service: Service) -> Iterator[Finding]:
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
        makes = _makes_root(service, cap)
        if there.risk is Risk.ROOT or makes:
            yield service.finding(
                "root-equivalent",
                name,
                f"it adds {cap.short}{suffix}",
                f"Root-equivalent on the host. {makes or there.because + attack}",
                remedy,
                severity=_root_severity(service, entry, circumstances),
                since="" if there.risk is Risk.ROOT else NEW,
            )
        elif cap in service.usual:
            continue
        elif there.risk is Risk.HIGH:
            yield service.finding(
                "high-risk",
                name,
                f"it adds {cap.short}{suffix}",
                f"{there.because}{attack}",
                remedy,
                severity=_NOTE if needed else _WARNING,
            )
        elif not needed:
            rest.append((name, cap))
    yield from _beyond_default(service, rest)


def _makes_root(service: Service, cap: Cap) -> str:
    """A sentence if a unit gives another user than root what makes that user root."""
    ambient = map(service.consumer.parse, service.declared.ambient or ())
    other = service.consumer.on_host and not may_be_root(service.declared.user)
    if not other or cap not in ambient or not makes_root(cap, service.catalog):
        return ""
    return f"In the ambient set it makes the user {printable(service.uid)} root."


def _root_severity(service: Service, entry: Entry, circumstances: Known) -> Severity:
    """A warning if its report needs it, or if it is root-equivalent only since a unit sees the
    host's processes, as each one does. (It can have a network of its own.)"""
    there, unseen = (
        remaining(entry, {**circumstances, **more}).risk
        for more in ({}, {Circumstance.HOST_PROCESSES: False})
    )
    only_here = service.consumer.on_host and there is Risk.ROOT and unseen is not Risk.ROOT
    return _WARNING if only_here or entry.cap in service.needed else _ERROR


def _beyond_default(service: Service, rest: list[tuple[str, Cap]]) -> Iterator[Finding]:
    if rest:
        caps: CapSet = frozenset(cap for _, cap in rest)
        them = it_or_them(caps)
        yield service.says("beyond-default", rest[0][0], caps=set_text(caps), them=them)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


# ------------------------------------------------------------------------------ exposures

_OF_PRIVILEGED = (Exposure.UNFILTERED, Exposure.UNCONFINED, Exposure.UNMASKED, Exposure.DISK)
"""A privileged container has these in any case."""
_OF_ROOT = (Exposure.CONTROL_SOCKET, Exposure.SYSTEM_FOLDER, Exposure.DISK)
"""Another user than root reaches these only if owner or mode allow it."""


def _exposures(service: Service) -> Iterator[Finding]:
    """Mounts, namespaces, devices and commands that give power over the host."""
    for item in dict.fromkeys(service.declared.exposed):
        fact = service.catalog.exposures.get(item.kind)
        if fact is None or (service.declared.privileged and item.kind in _OF_PRIVILEGED):
            continue
        yield service.finding(
            *(fact.rule, item.what, fact.says.format(printable(item.what)[:120])),
            *(fact.why, fact.remedy),
            severity=_severity(service, item, Severity(fact.severity)),
            line=item.line,
            since=item.since or fact.since,
        )


def _severity(service: Service, item: ExposureAt, usual: Severity) -> Severity:
    grouped = service.declared.groups or has_group(service.declared.user)
    if item.kind in _OF_ROOT and service.bounded_only and not grouped:
        return _WARNING
    if item.kind is Exposure.PRIVILEGED_COMMAND and service.consumer.on_host:
        return _ERROR if item.what.startswith("ExecStart=") else _WARNING
    return usual


def _withheld(service: Service) -> Iterator[Finding]:
    """Capabilities that a unit adds and another of its settings takes away."""
    settings = dict(service.declared.withheld)
    parse = service.consumer.parse
    for name in dict.fromkeys(service.declared.add):
        cap = parse(name)
        if isinstance(cap, Cap) and cap.short in settings:
            key, removed = settings[cap.short], printable(name)
            yield service.says("withheld", name, cap=cap.short, key=key, name=removed)


def _not_judged(service: Service) -> Iterator[Finding]:
    """Settings outside of the file that may grant more."""
    for what, _ in service.declared.unjudged:
        yield service.says("not-judged", what, what=printable(what)[:160])


LINTS: tuple[Callable[[Service], Iterator[Finding]], ...] = (
    _privileged,
    _add_all,
    _ignored_names,
    _spelling,
    _add_and_drop,
    _no_drop_all,
    _useless_add,
    _escalation,
    _rejected,
    _duplicates,
    _unresolved,
    _variables,
    _risky_capabilities,
    _exposures,
    _withheld,
    _not_judged,
)
