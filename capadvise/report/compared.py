"""A recording compared with the proof of the same program in the catalog. Pure.

A known set is that of one version, run in one way: a difference is a hint where to look, and no
defect of either.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from capadvise.catalog.known_index import (
    INITS,
    STARTERS,
    KnownIndex,
    KnownRow,
    KnownSets,
    other_version,
)
from capadvise.config.snippet import PORT_START
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, CapSet
from capadvise.model.escape import printable
from capadvise.model.wording import set_text


@dataclass(frozen=True, slots=True)
class Comparison:
    """A report and the variant of a known program that comes nearest to it."""

    program: KnownRow
    variant: KnownSets
    minimal: bool
    """The minimal sets are compared; else, before trials or of a choice, the recommended ones."""
    more: CapSet
    """Capabilities that only the report has."""
    less: CapSet
    """Capabilities that only the known set has."""
    other: str | None
    """A remark on the version; unescaped."""


def compared(report: Report, index: KnownIndex, caps: CapSet | None = None) -> Comparison | None:
    """None where nothing is known of the program, or not of its start by such a user. ``caps``: the
    user's own choice, which can hold what is optional."""
    name = _name(report, index)
    if name is None:
        return None
    program = index.row(name)
    root = report.target.user.partition(":")[0] in ("0", "root")
    variants = [one for one in program.variants if (one.user == "root") is root]
    if not variants:
        return None
    proven = report.proven
    is_proven = caps is None and proven is not None and proven.conclusive
    minimal = report.proposal.minimal if is_proven else None
    if caps is None:
        caps = report.proposal.recommended if minimal is None else minimal

    def set_of(variant: KnownSets) -> CapSet:
        return variant.recommended if minimal is None else variant.minimal

    nearest = min(variants, key=lambda one: len(set_of(one) ^ caps))
    of_known = set_of(nearest)
    image = report.target.image or ""
    is_its_own = index.by_image(image) == name  # the tag of another image is no version of it
    other = other_version(name, program.version, image) if is_its_own else None
    more, less = caps - of_known, of_known - caps
    return Comparison(program, nearest, minimal is not None, more, less, other)


def _name(report: Report, index: KnownIndex) -> str | None:
    """By the unit or the image, where the program that they stand for was seen in it; else by what
    was executed: whatever image that was in."""
    target, runs = report.target, report.recordings
    executed = runs[0].program or (PurePosixPath(target.argv[0]).name if target.argv else "")
    programs = {executed, *(check.program for run in runs for check in run.checks)}
    seen = {name for program in programs - STARTERS if (name := index.by_command(program))}
    named = index.by_unit(target.name) if target.kind == "unit" else None
    named = named or index.by_image(target.image or "")
    if named in seen:
        return named
    if executed in INITS:
        return seen.pop() if len(seen) == 1 else None
    return None if executed in STARTERS else index.by_command(executed)


def compared_lines(report: Report, index: KnownIndex) -> Iterator[str]:
    """The same in a sentence or two, for people; nothing where nothing is known."""
    comparison = compared(report, index)
    if comparison is None:
        return
    program, variant = comparison.program, comparison.variant
    name = f"{program.name} {program.upstream} ({variant.name})"
    caps = variant.minimal if comparison.minimal else variant.recommended
    which = "minimal" if comparison.minimal else "recommended"
    if not (comparison.more or comparison.less):
        text = f"As known for {name}: the same {which} set was proven there."
    else:
        text = f"Known for {name}: the {which} set is {set_text(caps) if caps else 'empty'}."
        if comparison.more:
            text += f" Here also needed: {set_text(comparison.more)}."
        checked = {need.cap for need in report.proposal.needs}
        tried = comparison.less & checked if comparison.minimal else frozenset[Cap]()
        for named, not_ in (
            (tried, "Not needed here"),
            (comparison.less - tried, "Not observed here"),
        ):
            if named:
                text += f" {not_}: {set_text(named)}{_open_ports(report, named)}."
        text += f" `capadvise known {program.name}` shows why."
    yield printable(f"{text} {comparison.other}" if comparison.other else text)


def _open_ports(report: Report, less: CapSet) -> str:
    """docker's own networks let everybody bind low ports: that is no difference of the program."""
    start = report.posture.sysctls.get(PORT_START, "")
    opened = start.isdecimal() and int(start) < 1024
    return f" ({PORT_START} is {start})" if opened and _BIND in less else ""


_BIND = Cap.parse("NET_BIND_SERVICE")


def compared_in_short(report: Report, index: KnownIndex, caps: CapSet) -> str | None:
    """One line for a screen: ``Known for nginx 1.26.3: 4 → 3 (−KILL)``."""
    comparison = compared(report, index, caps)
    if comparison is None:
        return None
    name = f"{comparison.program.name} {comparison.program.upstream}"
    changes = [f"+{cap.short}" for cap in sorted(comparison.more)]
    changes += [f"−{cap.short}" for cap in sorted(comparison.less)]
    if not changes:
        return printable(f"As known for {name}")
    known = len(caps) - len(comparison.more) + len(comparison.less)
    return printable(f"Known for {name}: {known} → {len(caps)} ({', '.join(changes)})")
