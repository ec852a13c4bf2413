"""One capability, explained for people who have never heard of capabilities, at 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from capadvise.catalog import Catalog
from capadvise.catalog.capabilities import WHERE_TO, EditPlace, Edits, Entry, Risk, Use
from capadvise.model.caps import Cap
from capadvise.report.lines import bullet, edit_lines, listed, paragraph, sentence

_IN_SHORT = (
    EditPlace.COMPOSE,
    EditPlace.DOCKERFILE,
    EditPlace.PROGRAM,
    EditPlace.SYSCTL,
    EditPlace.HOST,
)
"""Edits that are worth showing to everybody, the first of them that there is."""


def capability_text(cap: Cap, catalog: Catalog, *, whole: bool = False) -> Iterator[str]:
    """What the catalog knows of one capability; with ``whole``, each use with its remediation."""
    entry = catalog.entry(cap)
    if entry is None:
        yield f"{cap.name}: a capability that this catalog does not know yet."
        return
    yield f"{cap.name} (number {int(cap)}, since Linux {entry.since})"
    yield sentence(entry.summary)
    yield from ("", "What it allows")
    for text in entry.allows:
        yield from bullet(text)
    yield from ("", f"Risk: {entry.risk}{_scale(entry)}")
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
    yield from ("", "A command that needs it", f"  $ {entry.example_needs}")
    yield from ("and one that works without it", f"  $ {entry.example_without}", "")
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


def _scale(entry: Entry) -> str:
    meaning = "root-equivalent on the host; " * (entry.risk is Risk.ROOT)
    return f" ({meaning}the scale is low, medium, high, root)"


def _edits(edits: Edits, *, whole: bool) -> Iterator[str]:
    """What to write: all of it, or only the first of the common places."""
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
    """Which runtimes grant a capability unasked, and whether a pod may add it."""
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
