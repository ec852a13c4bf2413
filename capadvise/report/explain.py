"""Explanations for people who have never heard of capabilities, at 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from capadvise.caps import Cap
from capadvise.catalog import Catalog, Rule
from capadvise.catalog.capabilities import Entry, Use
from capadvise.decide import Need
from capadvise.judge import Effect
from capadvise.report.escape import printable
from capadvise.report.model import Report
from capadvise.report.text import evidence_line, judged_function

WIDTH = 80


def _paragraph(text: str, indent: str = "  ") -> Iterator[str]:
    yield from textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _bullet(text: str, indent: str = "  ") -> Iterator[str]:
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=f"{indent}- ", subsequent_indent=f"{indent}  "
    )


def capability_text(cap: Cap, catalog: Catalog, *, whole: bool = False) -> Iterator[str]:
    """What the catalog knows of one capability; with ``whole``, each use with its way out."""
    entry = catalog.entry(cap)
    if entry is None:
        yield f"{cap.name}: a capability that this catalog does not know yet."
        return
    yield f"{cap.name} (number {int(cap)}, since Linux {entry.since})"
    yield entry.summary
    yield ""
    yield f"Risk: {entry.risk}"
    yield from _paragraph(entry.risk_reason)
    for condition in entry.risk_conditions:
        yield from _bullet(f"{condition.risk} where {condition.when}: {condition.reason}")
    yield ""
    yield "What it allows"
    for text in entry.allows:
        yield from _bullet(text)
    yield ""
    yield "What an attacker gains"
    for attack in entry.attack:
        yield from _bullet(attack.what + (f" ({attack.reference})" if attack.reference else ""))
    yield ""
    yield "What to do instead"
    for instead in entry.instead:
        yield from _bullet(f"{instead.need}: {instead.do}")
    if entry.uses:
        yield ""
        yield "Its uses, one by one"
        for use in entry.uses:
            yield from _use_text(use) if whole else _bullet(f"{use.name}: {use.what}")
    yield ""
    yield "Without it"
    errors = _listed(entry.errno, "or")
    yield from _paragraph(f"Calls fail with {errors}." if errors else "No call fails.")
    for text in entry.silent:
        yield from _bullet(f"without an error: {text}")
    yield ""
    yield "Who grants it by default"
    for text in defaults_sentences(cap, catalog):
        yield from _bullet(text)
    yield ""
    yield "What it opens in seccomp"
    for text in seccomp_sentences(entry, catalog, most=200 if whole else 8):
        yield from _bullet(text)
    yield ""
    yield "A command that needs it"
    yield f"  $ {entry.example_needs}"
    yield "and one that does without"
    yield f"  $ {entry.example_without}"
    yield ""
    if whole:
        yield from _paragraph("Sources: " + ", ".join(entry.references), "")
        return
    yield "What next"
    yield from _bullet("`capadvise run -- COMMAND` shows what your program uses it for.")
    yield from _bullet(f"`capadvise catalog show {cap.short}` has all details and sources.")


def defaults_sentences(cap: Cap, catalog: Catalog) -> Iterator[str]:
    """Which runtimes grant a capability unasked, and whether a pod may add it."""
    runtimes = [runtime.name for runtime in catalog.baselines.runtimes]
    granting = catalog.baselines.granting(cap)
    others = [name for name in runtimes if name not in granting]
    if not granting:
        yield f"None of {_listed(runtimes, 'and')}: it has to be added."
    else:
        but = f"; not {_listed(others, 'or')}" if others else ""
        yield f"{_listed(granting, 'and')}{but}."
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
        yield f"docker's default profile opens with it {_listed(shown, 'and')}."
        yield (
            "The capability is useless while its calls are closed, and a call that is let "
            "through without it is usually still refused by the kernel: it takes both."
        )
    else:
        yield "No system call: docker's default profile opens the same ones without it."
    if closed := [call for call in entry.syscalls if call in profile.never]:
        yield f"Closed in docker even with it: {_listed(closed, 'and')}."


def _listed(names: Sequence[str], word: str) -> str:
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _use_text(use: Use) -> Iterator[str]:
    yield from _bullet(f"{use.name}: {use.what}")
    yield from _paragraph(f"Instead: {use.instead}", "      ")
    if use.narrower:
        names = ", ".join(cap.short for cap in use.narrower)
        yield from _paragraph(f"Narrower: {names}", "      ")


def rule_text(rule: Rule) -> Iterator[str]:
    """One site rule, for ``explain --site``."""
    caps = ", ".join(cap.short for cap in sorted(rule.caps)) if rule.caps else "any capability"
    yield f"{rule.id}: {caps}, {rule.meaning}"
    yield from _paragraph(f"{rule.text[:1].upper()}{rule.text[1:]}.")
    yield from _paragraph(f"asked by {', '.join(rule.at)}")
    if rule.below:
        yield from _paragraph(f"called from {', '.join(rule.below)}")
    if rule.either:
        yield from _paragraph(f"{' or '.join(c.short for c in rule.either)} would do as well")
    if rule.lost:
        yield from _paragraph(f"lost without it: {rule.lost}")
    yield from _paragraph(f"source: {rule.source}")


def report_text(report: Report, catalog: Catalog) -> Iterator[str]:
    """What a report's set is needed for, what it risks, and the way out of each member."""
    proposal = report.proposal
    needed = [need for need in proposal.needs if need.cap in proposal.recommended]
    if not needed:
        yield "No need for any capability was seen."
    else:
        yield f"It needs {len(needed)} of {report.recording.host.last_cap + 1} capabilities."
    for need in needed:
        yield ""
        entry = catalog.entry(need.cap)
        yield f"{need.cap.name}: {entry.summary if entry else 'unknown to this catalog'}"
        yield from _paragraph(f"Needed for: {need.reason}.")
        for judged in need.evidence[:5]:
            if judged.effect is Effect.USED:
                yield from _bullet(evidence_line(judged))
        if need.alternatives:
            others = " or ".join("+".join(c.short for c in caps) for caps in need.alternatives)
            yield from _paragraph(f"Instead of it, {others} would do.")
        if need.uncertain:
            yield from _paragraph(f"Uncertain: {need.uncertain}.")
        if need.lost_without:
            yield from _paragraph(f"Without it: {printable(need.lost_without)}.")
        if entry:
            yield from _entry_text(entry, need)
    for caution in proposal.cautions:
        yield ""
        yield from _paragraph(f"Caution: {caution}.", "")


def _entry_text(entry: Entry, need: Need) -> Iterator[str]:
    yield from _paragraph(f"Risk: {entry.risk}. {entry.risk_reason}")
    uses = [use for use in entry.uses if _is_seen(use, need)]
    if uses:
        yield from _paragraph("Of its many uses, these were seen:")
        for use in uses:
            yield from _use_text(use)
            yield from _paragraph(f"An attacker gains: {use.gains}", "      ")
        return
    yield from _paragraph("What an attacker gains:")
    for attack in entry.attack:
        yield from _bullet(attack.what, "    ")
    yield from _paragraph("What to do instead:")
    for instead in entry.instead:
        yield from _bullet(f"{instead.need}: {instead.do}", "    ")


def _is_seen(use: Use, need: Need) -> bool:
    return any(
        fnmatchcase(judged_function(judged), name)
        for judged in need.evidence
        if judged.effect is Effect.USED
        for name in use.functions
    )
