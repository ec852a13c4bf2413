"""Why a kernel function asks for a capability, for ``explain --site``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache

from capadvise.catalog import Catalog, Meaning, SiteRule
from capadvise.catalog.askers import NamespaceScope, joined
from capadvise.catalog.sites import Patterns, Sites, among, rule_of_asker
from capadvise.report.lines import bullet, listed, paragraph, sentence

_REFUSED = {
    Meaning.DECIDES: "the call fails.",
    Meaning.EITHER_OR: "the kernel checks another one next: either is enough.",
    Meaning.SILENT: "the call succeeds with a different outcome.",
    Meaning.SELF_RESTRICTING: (
        "the call fails. Programs use it to drop privileges: without it "
        "they may keep running privileged."
    ),
    Meaning.OPTIONAL: "the call succeeds with less, or says no.",
    Meaning.ADVISORY: "nothing changes for the program. Never a reason to grant it.",
    Meaning.LOOKING: (
        "the process cannot be inspected: that matters to a debugger, not to ps or top."
    ),
    Meaning.FOREIGN_CREDENTIALS: (
        "nothing happens to the program: the check is against the credentials of whoever "
        "mounted the overlay."
    ),
}


_SCOPE = {
    NamespaceScope.INITIAL: "It counts only in the host's user namespace.",
    NamespaceScope.OWNER: "It counts in the user namespace that owns the object.",
    NamespaceScope.BOTH: "Whether it counts in another user namespace depends on the operation.",
}


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
    """Of a function that is in every call site of its kind, and says nothing of the reason."""
    yield from paragraph(
        f"{function}: a kernel function that checks a capability for its caller. What the check is "
        "about, the caller tells: explain the next function of the call site instead.",
        "",
    )


def site_text(function: str, rules: Sequence[SiteRule], catalog: Catalog) -> Iterator[str]:
    """What is known of the places where this function asks."""
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
        yield _SCOPE[scope]


def _scope(rule: SiteRule, function: str, catalog: Catalog) -> NamespaceScope | None:
    """Whose user namespace this function asks about; else that of all functions of the rule."""
    caps = [cap for cap in sorted(rule.caps or ()) if rule.scope is not None]
    return joined(filter(None, (catalog.sites.scope(cap, (function,)) for cap in caps)))


def _refused(rule: SiteRule) -> str:
    said = _REFUSED[rule.meaning]
    if rule.refused is None or rule.meaning is Meaning.EITHER_OR:
        return said
    if rule.meaning is Meaning.OPTIONAL:
        return f"the call fails with {rule.refused}, and programs usually go on."
    return said.replace("the call fails", f"the call fails with {rule.refused}")


def _chains(names: Sequence[str]) -> str:
    """``f ← g`` where g called f directly."""
    return ", ".join(names).replace("<", " ← ")
