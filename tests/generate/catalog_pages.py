"""The catalog as three pages of Markdown: capabilities, site rules and known programs. Each has
only the facts of the catalog, in its order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from capadvise.catalog import Catalog, SiteRule
from capadvise.catalog.capabilities import WHERE_TO, Edits, Entry
from capadvise.catalog.known import KnownProgram, Published, Variant
from capadvise.judgement.risk import risk_word
from capadvise.model.caps import NAMES, Cap, CapSet
from capadvise.model.wording import set_text
from capadvise.report.explain import defaults_sentences, seccomp_sentences
from capadvise.report.lines import edit_lines
from tests.generate.words import code, head, prose, row

_CAPABILITIES = """\
# Capabilities

What capadvise knows of each capability: what it permits, what an attacker gains by it, what to do
instead, and who grants it. Change `catalog/capabilities/`, not this page. The kernel functions that
check each one are in [sites](sites.md).
"""
_SITES = """\
# Site rules

What a capability check [means](judgement.md#meanings), by the kernel function that makes it. The
first rule that matches decides; a rule for several capabilities appears under each of them. Change
`catalog/sites/`, not this page. `a<b` means that `a` makes the check and was called by `b`.
"""


_TABLE = Path(__file__).parents[2] / "catalog" / "unchecked.yaml"
_UNCHECKED = """
## Needs without a check

The kernel makes no check for these, or no probe sees it. They come from the kernel's source and
machine code; one may be missing. Each has commands in `tests/kernel/rows.py`, and
`python -m tests.kernels.matrix --unchecked` tries them on each kernel and prints if the kernels
agree. Change `catalog/unchecked.yaml`, not this page. The kernel checks the others that one might
expect here: resource limits of other processes (SYS_RESOURCE), and a new bounding set (SETPCAP).
"""


def unchecked() -> list[Mapping[str, str]]:
    """The needs that no check shows."""
    table: list[Mapping[str, str]] = yaml.safe_load(_TABLE.read_text())
    return table


def capabilities_page(catalog: Catalog) -> str:
    """All capabilities, in the order of their numbers."""
    entries = _entries(catalog)
    lines = [*_CAPABILITIES.splitlines(), *_overview(entries, catalog)]
    for entry in entries:
        lines += _entry(entry, catalog)
    return "\n".join(lines) + "\n"


def sites_page(catalog: Catalog) -> str:
    """All site rules, by capability."""
    rules = catalog.sites.rules
    lines = _SITES.splitlines()
    for entry in _entries(catalog):
        own = [rule for rule in rules if rule.caps is not None and entry.cap in rule.caps]
        lines += _rules(entry.cap.name, own)
    lines += _rules("Any capability", [rule for rule in rules if rule.caps is None])
    lines += [*_UNCHECKED.splitlines(), ""]
    lines += head("capability", "needed for", "compared by", "without it", "kernels", "seen by")
    for one in unchecked():
        where = prose(f"{one['at']}: {one['rule']}")
        cells = (one["caps"], prose(one["doing"]), where, one["without"], one["kernels"])
        lines.append(row(*cells, prose(one["seen"])))
    return "\n".join(lines) + "\n"


def _entries(catalog: Catalog) -> list[Entry]:
    return [e for number in range(len(NAMES)) if (e := catalog.entry(Cap(number))) is not None]


def _overview(entries: Sequence[Entry], catalog: Catalog) -> Iterator[str]:
    yield from ("", prose(WHERE_TO), "", "## All capabilities", "")
    yield from head("number", "name", "risk", "summary", "granted by default in")
    for entry in entries:
        link = f"[{entry.cap.name}](#{entry.cap.name.lower()})"
        granting = ", ".join(catalog.baselines.granting(entry.cap)) or "–"
        yield row(str(int(entry.cap)), link, str(entry.risk), prose(entry.summary), granting)


def _entry(entry: Entry, catalog: Catalog) -> Iterator[str]:
    yield from ("", f"## {entry.cap.name}", "")
    yield f"{entry.summary}. Number {int(entry.cap)}, since Linux {entry.since}."
    yield from ("", f"**Risk: {entry.risk}.** {prose(entry.risk_reason)}")
    yield from _section(
        "Another risk, depending on the posture",
        (f"{each.risk} where {each.when}: {each.reason}" for each in entry.risk_conditions),
    )
    yield from _section("What it allows", entry.allows)
    yield from _section(
        "What an attacker gains",
        (f"{each.what} ({each.reference})" for each in entry.attack),
    )
    yield from ("", "**What to do instead**", "")
    for way in entry.remediation:
        yield f"- {prose(f'{way.need}: {way.do}')}"
        yield from _edits(way.edits)
    yield from _section(
        "Other capabilities that do the same",
        (f"{', '.join(c.name for c in caps)}: {what}" for caps, what in entry.alternatives),
    )
    yield from _uses(entry)
    yield from _refusal(entry)
    yield from _section("Who grants it by default", defaults_sentences(entry.cap, catalog))
    opened = seccomp_sentences(entry, catalog, most=len(entry.syscalls) + 100)
    yield from _section("What it unlocks in seccomp", opened)
    yield from ("", "**In a user namespace.** " + prose(entry.user_namespace))
    yield from ("", "A command that needs it, and one that works without it:", "")
    yield from ("```sh", entry.example.needs, entry.example.without, "```")
    yield from _section("References", entry.references)


def _uses(entry: Entry) -> Iterator[str]:
    for use in entry.uses:
        yield from ("", f"### {entry.cap.short}: {use.name}", "", prose(use.what), "")
        yield f"- Instead: {prose(use.remediation)}"
        yield from _edits(use.edits)
        yield f"- An attacker gains: {prose(use.gains)}"
        if use.initial_only:
            yield "- Only in the initial user namespace."
        if use.narrower:
            yield f"- Narrower: {', '.join(cap.name for cap in use.narrower)}"
        yield f"- Checked by: {code(use.functions)}"


def _edits(edits: Edits) -> Iterator[str]:
    """The lines to write, as part of the list item before them."""
    if edits:
        yield from ("", "  ```", *(f"  {line}" for line in edit_lines(edits, "")), "  ```", "")


def _refusal(entry: Entry) -> Iterator[str]:
    errors = f"Calls fail with {', '.join(entry.errno)}." if entry.errno else "No call fails."
    yield from ("", f"**Without it.** {errors} Checked in {code(entry.syscalls)}.")
    if entry.silent:
        yield ""
        yield from (f"- Without an error: {prose(text)}" for text in entry.silent)


def _rules(title: str, rules: Sequence[SiteRule]) -> Iterator[str]:
    if not rules:
        return
    yield from ("", f"## {title}", "")
    yield from head("rule", "checked by", "meaning", "what the program was doing", "source")
    for rule in rules:
        text = rule.text + (f" (lost without it: {rule.lost})" if rule.lost else "")
        asked = code(rule.at) + (f" below {code(rule.below)}" if rule.below else "")
        asked += f", not below {code(rule.not_below)}" if rule.not_below else ""
        yield row(rule.id, asked, _meaning(rule), prose(text), prose(rule.source))


def _meaning(rule: SiteRule) -> str:
    """The meaning of a refusal, its condition, and the kernels that have it."""
    text = str(rule.meaning)
    if rule.alternatives:
        text += f": or {', '.join(cap.short for cap in rule.alternatives)}"
    if rule.when is not None:
        text += f", depending on the call's {code([rule.when.arg])}"
    if rule.implies:
        text += f"; also needs {set_text(rule.implies)}"
    since = f"Linux {rule.since} and later" if rule.since else ""
    until = f"up to Linux {rule.until}" if rule.until else ""
    return "; ".join(filter(None, (text, since, until)))


def _section(title: str, texts: Iterable[str]) -> Iterator[str]:
    if lines := [f"- {prose(text)}" for text in texts]:
        yield from ("", f"**{title}**", "", *lines)


_KNOWN = """\
# Known programs

The sets of {programs} programs in {variants} variants. Each was found by trials: with the minimal
set the program starts, passes its check, stops, starts again and passes once more; without any one
member it fails. `capadvise known nginx` shows one with its reasons, its command and its check, and
`capadvise known nginx --format compose` prints its set. The name can be that of a program, a Debian
package, an image or a unit. `check` uses the table for services that have no report; `run`,
`explain` and `review` say what differs from it.

**What it does not say.** A row is one version, Debian's, run as its variant says. An image's
entrypoint can do more, and so can your configuration: `capadvise run --prove` proves yours.

To prove rows again, in a checkout as root: `python -m tests.proven.run nginx redis`, or without
names all of them. `--compare` writes nothing, and says where a set is another one now.

"Recommended adds": without it nothing fails, but something is lost that a trial noticed. The risk
is the highest of a set: of docker's default, and of the minimal one.
"""

_PUBLISHED = """\

## Beside what others publish

Sets that others publish for {programs} of these programs, whole ones and no additions to a default,
beside the minimal set of one variant. `capadvise known NAME` names the source.

"""


def known_page(catalog: Catalog) -> str:
    """All programs, by name."""
    programs = [catalog.known.program(name) for name in catalog.known.names()]
    variants = sum(len(program.variants) for program in programs)
    lines = _KNOWN.format(programs=len(programs), variants=variants).splitlines()
    lines += ["", *head(*_TITLES)]
    lines += [
        _known_row(program, each, catalog) for program in programs for each in program.variants
    ]
    published = [program for program in programs if program.published]
    if published:
        lines += _PUBLISHED.format(programs=len(published)).splitlines()
        lines += head(*_PUBLISHED_TITLES)
        lines += [_published(program, one) for program in published for one in program.published]
    return "\n".join(lines) + "\n"


_PUBLISHED_TITLES = ("program", "variant", "whose set", "beyond ours", "without", "why")


def _published(program: KnownProgram, one: Published) -> str:
    variant = program.beside(one)
    minimal = variant.minimal
    more, less = _short_names(one.caps - minimal), _short_names(minimal - one.caps)
    why = "the same" if one.caps == minimal else one.difference
    return row(program.name, prose(variant.name), prose(one.what), more, less, prose(why))


_TITLES = (
    *("program", "version", "variant", "minimal set", "recommended adds"),
    *("docker's default", "risk", "user namespace"),
)


def _known_row(program: KnownProgram, variant: Variant, catalog: Catalog) -> str:
    usual = catalog.baselines.default("docker").grants
    risks = [_worst(caps, catalog) for caps in (usual, variant.minimal)]
    return row(
        program.name,
        program.upstream,
        prose(variant.name),
        _short_names(variant.minimal),
        _short_names(variant.recommended - variant.minimal),
        f"{len(usual)} → {len(variant.minimal)}",
        " → ".join(risks),
        variant.user_namespace.partition(":")[0],
    )


def _worst(caps: CapSet, catalog: Catalog) -> str:
    worst = max(caps, key=catalog.risk_rank, default=None)
    return "none" if worst is None else risk_word(catalog.risk(worst))


def _short_names(caps: CapSet) -> str:
    return ", ".join(cap.short for cap in sorted(caps)) or "–"
