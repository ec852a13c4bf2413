"""Every number that README and pages say of capadvise is counted here, or stands in
``tests/support/measured.yaml`` with how it is measured again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from capadvise.catalog import default
from capadvise.config import RENDERED
from capadvise.model.caps import NAMES, Cap
from tests.generate.__main__ import PAGES

TOP = Path(__file__).parents[2]
DOCS = TOP / "capadvise" / "docs"
MEASURED: dict[str, dict[str, Any]] = yaml.safe_load(
    (TOP / "tests/support/measured.yaml").read_text()
)
WRITTEN = [
    TOP / "README.md",
    TOP / "capadvise" / "SECURITY.md",
    *sorted(path for path in DOCS.glob("*.md") if path.name not in {*PAGES, "changelog.md"}),
    *sorted((TOP / "demos").rglob("*.md")),
]
ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen \
sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
WORDS = {word: n for n, word in enumerate(ONES.split(), 1)}
WORDS |= {word: 10 * n for n, word in enumerate(TENS.split(), 2)}
NOUNS = "programs units languages capabilities rules uses variants images tools daemons"
_NUMBER = rf"\d[\d,]*\d|\d|(?:{'|'.join(WORDS)})(?:-(?:{'|'.join(WORDS)}))?"
_CLAIM = re.compile(
    rf"(?<![\w.,×/-])({_NUMBER})\]?,?((?:\s+[a-z][a-z-]*){{0,3}}?)\s+({'|'.join(NOUNS.split())})\b",
    re.IGNORECASE,
)


def test_every_number_is_counted() -> None:
    facts = counted()
    wrong = [
        f"{place}: {text!r}: {noun} are {sorted(facts[noun])}"
        for place, text, number, noun in claims()
        if number not in facts[noun] and text not in OF_OTHERS.get(place, ())
    ]
    assert wrong == []


def test_numbers_are_found_as_people_write_them() -> None:
    text = (
        "Thirty-five units, 160 programs of\nDebian, 9 languages; 1,200 site rules, [34 units](x)"
    )
    assert [(number, noun) for _, number, noun in claims_in(text)] == [
        *((35, "units"), (160, "programs"), (9, "languages"), (1200, "rules"), (34, "units"))
    ]


def test_what_is_said_of_others_is_still_said() -> None:
    said = {(place, text) for place, text, _, _ in claims()}
    listed = {(place, text) for place, texts in OF_OTHERS.items() for text in texts}
    assert listed - said == set()


def test_what_was_measured_is_quoted_as_it_was() -> None:
    one, userns = MEASURED["one-recording"], MEASURED["user-namespaces"]
    assert one["programs"] == lots()[0] + lots()[1]
    readme = " ".join((TOP / "README.md").read_text().split())
    quoted = re.search(r"Of (\d+) programs .* works for (\d+), .* smallest one for (\d+)", readme)
    assert quoted
    assert [int(n) for n in quoted.groups()] == [one[k] for k in ("programs", "works", "smallest")]
    page = " ".join((DOCS / "user-namespaces.md").read_text().split())
    agreed = [userns[k] for k in ("agreed", "programs", "later-agreed", "later-programs")]
    assert "{} of {} programs, and for {} of {}".format(*agreed) in page


def counted() -> dict[str, set[int]]:
    """Noun → what may be said of it."""
    catalog = default()
    known = [catalog.known.program(name) for name in catalog.known.names()]
    admin = catalog.entry(Cap.parse("SYS_ADMIN"))
    assert admin is not None
    recipes = yaml.safe_load((TOP / "tests/units/recipes.yaml").read_text())
    tools, daemons = lots()
    measured = {
        value
        for numbers in MEASURED.values()
        for key, value in numbers.items()
        if key.endswith("programs")
    }
    return {
        "programs": {len(known), tools + daemons, *measured},
        "units": {proven_units(), len(recipes)},
        "languages": {len(RENDERED)},
        "capabilities": {len(NAMES)},
        "rules": {len(catalog.sites.rules)},
        "uses": {len(admin.uses)},
        "variants": {sum(len(program.variants) for program in known)},
        "images": {len(list((TOP / "tests/images/recipes").glob("*")))},
        "tools": {tools},
        "daemons": {daemons},
    }


def lots() -> tuple[int, int]:
    """The tools and the daemons that were drawn by lot."""
    texts = ((TOP / f"tests/bench/workloads/lot-{kind}.yaml") for kind in ("tools", "daemons"))
    tools, daemons = (len(re.findall(r"(?m)^name:", path.read_text())) for path in texts)
    return tools, daemons


def proven_units() -> int:
    """The units of both tables of the page, each once; without the one that is not proven."""
    page = (DOCS / "units.md").read_text()
    measured = page.partition("## What was measured")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:] for line in measured.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row[0].strip() not in ("unit", "---")]
    proven = [row[0] for row in rows if not any("not proven" in cell for cell in row)]
    return len({re.sub(r" \(.*?\)", "", name).strip() for name in proven})


def claims() -> Iterator[tuple[str, str, int, str]]:
    """Place, words, number and noun of each claim."""
    for path in WRITTEN:
        text = _FENCE.sub(_commented, path.read_text(encoding="utf-8"))
        for said, number, noun in claims_in(text):
            yield str(path.relative_to(TOP)), said, number, noun


_FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```")


def _commented(block: re.Match[str]) -> str:
    """Commands have comments; what they print is held against them elsewhere."""
    return block[2] if block[1] == "sh" else ""


def claims_in(text: str) -> Iterator[tuple[str, int, str]]:
    """Words, number and noun. "Two programs" is no count of capadvise's, "nine languages" is."""
    for match in _CLAIM.finditer(text):
        number = match[1].lower()
        value = (
            int(number.replace(",", ""))
            if number[0].isdecimal()
            else sum(WORDS[part] for part in number.split("-"))
        )
        if number[0].isdecimal() or value > 9 or match[3].lower() == "languages":
            yield " ".join(match[0].split()), value, match[3].lower()


OF_OTHERS = {
    "README.md": ("5 capabilities",),  # of nginx's unit: 4 in the minimal set, CHOWN recommended
    "capadvise/docs/comparison.md": ("18 capabilities",),  # that shh knows
}
"""Page → numbers that are not of capadvise, but of an example or of another tool."""


def test_the_demos_of_sys_admin_are_counted() -> None:
    pairs = len(list((TOP / "demos/sys-admin").glob("*/compose.yaml")))
    assert (
        f"{list(WORDS)[pairs - 1]} programs with SYS_ADMIN" in (TOP / "demos/README.md").read_text()
    )
