"""Explanations for people who have never heard of capabilities, at 80 columns: one capability, or
the kernel function that asks for one (``explain --site``)."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache

from capadvise.catalog import Catalog, Meaning, SiteRule, default
from capadvise.catalog.askers import NamespaceScope, joined
from capadvise.catalog.capabilities import WHERE_TO, EditPlace, Edits, Entry, Risk, Use
from capadvise.catalog.sites import Patterns, Sites, among, rule_of_asker
from capadvise.model.caps import Cap
from capadvise.report.lines import bullet, edit_lines, listed, paragraph, sentence

_IN_SHORT = (
    EditPlace.COMPOSE,
    EditPlace.DOCKERFILE,
    EditPlace.PROGRAM,
    EditPlace.SYSCTL,
    EditPlace.HOST,
)
"""Edits for everybody; the first one that exists is shown."""


def capability_text(cap: Cap, catalog: Catalog, *, whole: bool = False) -> Iterator[str]:
    """The catalog's knowledge of one capability; with ``whole``, each use with its remediation."""
    entry = catalog.entry(cap)
    if entry is None:
        yield f"{cap.name}: a capability that this catalog does not know yet."
        return
    yield f"{cap.name} (number {int(cap)}, since Linux {entry.since})"
    yield sentence(entry.summary)
    yield from ("", "What it allows")
    for text in entry.allows:
        yield from bullet(text)
    meaning = "root-equivalent on the host; " * (entry.risk is Risk.ROOT)
    yield from ("", f"Risk: {entry.risk} ({meaning}the scale is low, medium, high, root)")
    yield from paragraph(entry.risk_reason)
    for condition in entry.risk_conditions:
        yield from bullet(f"{condition.risk} where {condition.when}: {condition.reason}")
    yield from ("", "What an attacker gains")
    for attack in entry.attack:
        yield from bullet(f"{attack.what} [{attack.reference}]")
    yield from ("", "What to do instead")
    for way in entry.remediation:
        yield from bullet(f"{way.need}: {way.do}")
        yield from _edits(way.edits, whole=whole)
    if entry.uses:
        yield from _uses(entry, whole=whole)
    yield from ("", "Without it")
    errors = listed(entry.errno, "or")
    yield from paragraph(f"Calls fail with {errors}." if errors else "No call fails.")
    for text in entry.silent:
        yield from bullet(f"without an error: {text}")
    yield from ("", "Who grants it by default")
    for text in defaults_sentences(cap, catalog):
        yield from bullet(text)
    yield from ("", "What it unlocks in seccomp, the system call filter")
    for text in seccomp_sentences(entry, catalog, most=200 if whole else 8):
        yield from bullet(text)
    yield from ("", "In its own user namespace (rootless engines, userns-remap)")
    yield from paragraph(entry.user_namespace)
    yield from ("", "A command that needs it", f"  $ {entry.example.needs}")
    yield from ("and one that works without it", f"  $ {entry.example.without}", "")
    if whole:
        yield from paragraph(WHERE_TO, "")
        yield ""
        yield from paragraph("Sources: " + ", ".join(entry.references), "")
        return
    yield "What next"
    yield from bullet(
        "`capadvise run -- COMMAND` shows whether your program needs it, and what for."
    )
    yield from bullet(f"`capadvise catalog show {cap.short}` has every edit and all sources.")


def _edits(edits: Edits, *, whole: bool) -> Iterator[str]:
    """The edits: all of them, or only the first of the common places."""
    common = [edit for edit in edits if edit[0] in _IN_SHORT]
    yield from edit_lines(edits if whole else tuple(common[:1]), "    ")


def _uses(entry: Entry, *, whole: bool) -> Iterator[str]:
    """The separate uses of a capability that has many, those that never matter last."""
    matter = [use for use in entry.uses if not _is_nothing(use)]
    yield from ("", f"Its {len(matter)} uses, one by one")
    if not whole:
        yield from paragraph("Each has its own remediation; a report names those that were seen.")
    for use in matter:
        if whole:
            yield from _whole_use(use)
        else:
            only = f" Narrower: {listed([c.short for c in use.narrower], 'or')}." * bool(
                use.narrower
            )
            yield from bullet(f"{use.name}: {use.what}{only}")
    yield from ("", "Checked all the time, never a reason to grant it")
    for use in entry.uses:
        if _is_nothing(use):
            yield from bullet(f"{use.name}: {use.what}")


def _is_nothing(use: Use) -> bool:
    return use.remediation.startswith("Drop it")


def _whole_use(use: Use) -> Iterator[str]:
    yield from bullet(f"{use.name}: {use.what}")
    yield from paragraph(f"Instead: {use.remediation}", "      ")
    if use.narrower:
        names = listed([cap.short for cap in use.narrower], "or")
        yield from paragraph(f"Narrower: {names}", "      ")
    yield from _edits(use.edits, whole=True)
    yield from paragraph(f"An attacker gains: {use.gains}", "      ")


def defaults_sentences(cap: Cap, catalog: Catalog) -> Iterator[str]:
    """The runtimes that grant a capability by default, and the Pod Security levels that allow
    it."""
    runtimes = [runtime.name for runtime in catalog.baselines.runtimes]
    granting = catalog.baselines.granting(cap)
    others = [name for name in runtimes if name not in granting]
    if not granting:
        yield f"None of {listed(runtimes)}: it must be added."
    else:
        but = f"; not {listed(others, 'or')}" if others else ""
        yield f"{listed(granting)}{but}."
    pods = catalog.baselines.pod_security
    if cap in pods.restricted_addable:
        yield "Kubernetes lets a pod add it at the Pod Security levels baseline and restricted."
    elif cap in pods.baseline_addable:
        yield "Kubernetes lets a pod add it at the Pod Security level baseline, not at restricted."
    else:
        yield "Kubernetes lets a pod add it only at the Pod Security level privileged."


def seccomp_sentences(entry: Entry, catalog: Catalog, *, most: int) -> Iterator[str]:
    """The calls that docker's profile ties to a capability; at most so many by name."""
    profile = catalog.seccomp["docker"]
    opened = profile.opens.get(entry.cap, ())
    known = [call for call in entry.syscalls if call in opened]  # the telling ones come first
    calls = [*known, *(call for call in opened if call not in known)]
    if calls:
        shown = calls[:most] + [f"{len(calls) - most} more"] * (len(calls) > most)
        yield f"With it, docker's default profile allows {listed(shown)}."
        yield (
            "The capability is useless while its calls are closed, and a call that is let "
            "through without it is usually still refused by the kernel: it takes both."
        )
    else:
        yield "No system call: docker's default profile allows the same calls without it."
    if closed := [call for call in entry.syscalls if call in profile.never]:
        yield f"Blocked in docker even with it: {listed(closed)}."


def rules_of(function: str, catalog: Catalog) -> list[SiteRule]:
    """The rules that name a kernel function: exactly, else within a longer name (``sethostname``
    for ``__x64_sys_sethostname``)."""
    rules = _named(catalog.sites)
    exact = [rules[number][0] for number in sorted(_patterns(catalog.sites).of(function))]
    exact += [rule_of_asker(a) for a in catalog.askers if a.function == function and a.meaning]
    return exact or [
        rule for rule, names in rules if len(function) > 3 and any(function in n for n in names)
    ]


def similar(function: str, catalog: Catalog) -> list[str]:
    """Functions that the catalog knows and that are spelled nearly so."""
    known = {name for _, names in _named(catalog.sites) for name in names}
    known |= {asker.function for asker in catalog.askers}
    return get_close_matches(function, sorted(known), n=3)


@lru_cache(maxsize=1)
def _named(sites: Sites) -> list[tuple[SiteRule, list[str]]]:
    """Each rule and all its functions; ``a<b`` is two of them, and ``*`` is none."""
    return [
        (rule, [name for at in (*rule.at, *rule.below) for name in at.split("<") if name != "*"])
        for rule in sites.rules
    ]


@lru_cache(maxsize=1)
def _patterns(sites: Sites) -> Patterns:
    rules = enumerate(_named(sites))
    return Patterns((number, name) for number, (_, names) in rules for name in names)


def wrapper_text(function: str) -> Iterator[str]:
    """The text for a function that is in every call site of its kind, and says nothing of the
    reason."""
    yield from paragraph(
        f"{function}: a kernel function that checks a capability for its caller. The caller "
        "decides what is checked: explain the next function of the call site instead.",
        "",
    )


def site_text(function: str, rules: Sequence[SiteRule], catalog: Catalog) -> Iterator[str]:
    """The catalog's rules for the places where this function asks."""
    what = (
        "stands where a call site would, for checks that the kernel was not seen making"
        if ":" in function  # as in the values of recording.Origin, and in no kernel function
        else "a kernel function that checks capabilities"
    )
    times = f"; the catalog has {len(rules)} rules for it" if len(rules) > 1 else ""
    yield from paragraph(f"{function}: {what}{times}.", "")
    for rule in rules:
        yield ""
        yield from _rule(rule, _scope(rule, function, catalog), catalog)


def _rule(rule: SiteRule, scope: NamespaceScope | None, catalog: Catalog) -> Iterator[str]:
    caps = listed([cap.short for cap in sorted(rule.caps)], "or") if rule.caps else "any capability"
    functions = [function for at in rule.at for function in at.split("<")]
    overlay = any(map(catalog.signs.is_of_overlay, functions))
    where = " (on overlayfs, such as a container's root)" if overlay else ""
    yield from paragraph(f"{caps} is checked: {rule.text}{where}", "")
    yield from bullet(f"Refused, {_refused(rule)}")
    for text in _remarks(rule, catalog):
        yield from bullet(text)
    for text in _callers(rule, scope):
        yield from bullet(text)
    yield from bullet(sentence(f"rule {rule.id}, meaning {rule.meaning}, source: {rule.source}"))


def _remarks(rule: SiteRule, catalog: Catalog) -> Iterator[str]:
    if rule.doubt:
        yield f"Uncertain: {rule.doubt}."
    if rule.lost:
        yield f"Lost without it: {rule.lost}"
    if rule.alternatives:
        others = listed([cap.short for cap in rule.alternatives], "or")
        yield f"{others} would be enough, too."
    if rule.when:
        yield f"Only for some values of the argument {rule.when.arg}."
    for cap in sorted(rule.caps or ()):
        entry = catalog.entry(cap)
        for use in entry.uses if entry else ():
            if any(among(name, use.functions) for at in rule.at for name in at.split("<")[:1]):
                yield f"Instead of {cap.short}: {use.remediation}"


def _callers(rule: SiteRule, scope: NamespaceScope | None) -> Iterator[str]:
    yield f"Checked by {_chains(rule.at)}"
    if rule.below:
        yield f"when called from {_chains(rule.below)}"
    if rule.not_below:
        yield f"and not from {_chains(rule.not_below)}"
    if scope:
        yield default().texts["scopes"][scope]


def _scope(rule: SiteRule, function: str, catalog: Catalog) -> NamespaceScope | None:
    """The user namespace that this function asks about; else that of all functions of the rule."""
    caps = [cap for cap in sorted(rule.caps or ()) if rule.scope is not None]
    return joined(filter(None, (catalog.sites.scope(cap, (function,)) for cap in caps)))


def _refused(rule: SiteRule) -> str:
    said = default().texts["refused"][rule.meaning]
    if rule.refused is None or rule.meaning is Meaning.EITHER_OR:
        return said
    if rule.meaning is Meaning.OPTIONAL:
        return f"the call fails with {rule.refused}, and programs usually go on."
    return said.replace("the call fails", f"the call fails with {rule.refused}")


def _chains(names: Sequence[str]) -> str:
    """``f ← g`` where g called f directly."""
    return ", ".join(names).replace("<", " ← ")
