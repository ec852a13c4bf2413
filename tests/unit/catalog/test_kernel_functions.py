"""The kernel functions that the catalog names: each is somewhere, and what names them can fire."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from capadvise.catalog import SiteRule, default
from capadvise.model.caps import NAMES, Cap
from tests.kernels import functions
from tests.kernels.named import (
    COMMAND,
    LIST,
    Function,
    Naming,
    dump,
    namings,
    of_rules,
    parse,
    wrong,
)

KNOWN = parse(LIST.read_text(encoding="utf-8"))
KERNELS = {kernel for row in KNOWN.values() for kernel in row.kernels}
CALLS = {name for table in default().syscalls.numbers.values() for name in table}


def test_everything_that_names_functions_can_fire() -> None:
    lines = [line for naming in namings() for line in wrong(naming, KNOWN, KERNELS, CALLS)]
    assert not lines, "\n".join(lines)


def test_the_list_holds_what_the_catalog_names_and_no_more() -> None:
    names = {name for naming in namings() for name in naming.functions()}
    assert list(KNOWN) == sorted(names), f"run: {COMMAND} --here"
    assert all(row.kernels or row.source or row.why for row in KNOWN.values())
    assert dump(KNOWN.values(), functions.HEAD) == LIST.read_text(encoding="utf-8")


RULE = """
- id: house-test
  meaning: decides
  text: testing a house
  source: measured
  at: [{}]
  {}
"""
OLD, NEW, ARM = ("amd64", "5.10"), ("amd64", "7.3"), ("arm64", "7.3")
FEW = {
    row.name: row
    for row in (
        Function("house_open", frozenset([OLD, NEW, ARM])),
        Function("house_close", frozenset([OLD])),
        Function("house_paint", frozenset([NEW])),
        Function("house_*", frozenset([OLD, NEW, ARM])),
        Function("__arm64_sys_house", frozenset([ARM])),
        Function("house_inlined", frozenset(), ("5.10", "7.3"), "fs/house.c"),
        Function("house_removed", frozenset(), ("5.10",), "fs/house.c"),
        Function("castle_open", frozenset(), why="CONFIG_CASTLE, fs/castle.c of 5.10-7.3"),
    )
}


def rule(at: str, more: str) -> Naming:
    (naming,) = of_rules(Path("1-houses.yaml"), RULE.format(at, more))
    return naming


@pytest.mark.parametrize(
    ("at", "more"),
    [
        ("house_open", ""),
        ("house_inlined, house_open", ""),
        ("house_open<house_close", ""),
        ('"house_open<*<house_paint"', ""),
        ('"house_*"', ""),
        ("__arm64_sys_house", ""),
        ("castle_open<house_open", ""),
        ('"process:holds-capabilities<openat"', ""),
        ("house_open", "below: [house_close, house_inlined]"),
        ("house_open", "not_below: [house_inlined]"),
        ("house_close", 'until: "5.10"'),
    ],
)
def test_a_rule_that_can_fire(at: str, more: str) -> None:
    assert wrong(rule(at, more), FEW, (OLD, NEW, ARM), CALLS) == []


@pytest.mark.parametrize(
    ("at", "more", "said"),
    [
        ("house_test_open", "", "'house_test_open' is not in tests/kernels/functions.tsv"),
        ("house_opens", "", "(the nearest is 'house_open')"),
        ("house_test_open", "", "`python -m tests.kernels.functions --here` looks for it"),
        ("house_open, house_opens", "", "'house_opens' is not in"),
        ("house_open", "below: [house_clse]", "'house_clse' is not in"),
        ("house_open", "not_below: [house_clse]", "'house_clse' is not in"),
        ("house_open<house_clse", "", "'house_clse' is not in"),
        ('"process:holds-capability"', "", "'process:holds-capability' is not in"),
        ('"process:holds-capabilities<opnat"', "", "'opnat' is no system call (the nearest is 'o"),
        ("house_inlined", "", "can house_inlined stand in a stack"),
        ("house_close<house_paint", "", "can house_close<house_paint stand in a stack"),
        ("__arm64_sys_house<house_close", "", "it cannot fire"),
        ("house_open", "below: [house_inlined]", "can house_open, below house_inlined, stand"),
        ("house_close", "below: [house_paint]", "it cannot fire"),
        ("house_close", 'since: "6.1"', "'house_close' is in Linux 5.10 alone, and the rule spea"),
        ("house_open, house_removed", 'since: "6.1"', "'house_removed' is in Linux 5.10 alone"),
        ("house_paint", 'until: "6.12"', "'house_paint' is in Linux 7.3 alone"),
    ],
)
def test_a_rule_that_cannot_fire_is_told_with_its_line(at: str, more: str, said: str) -> None:
    (line,) = wrong(rule(at, more), FEW, (OLD, NEW, ARM), CALLS)
    assert line.startswith("1-houses.yaml: line 6: house-test: ")
    assert said in line


def test_the_list_reads_as_it_was_written() -> None:
    text = dump(FEW.values(), "What it is.\nAnd how.")
    assert parse(text) == FEW
    assert text.startswith("# What it is.\n# And how.\n# function\tamd64\tarm64\t")


def test_the_running_kernel_adds_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "symbols_here", lambda: {"house_test_open", "house_close"})
    names = ("house_close", "house_test_open", "house_test_*", "nowhere")
    rows = {row.name: row for row in functions.here(names, FEW)}
    assert rows["house_close"] == FEW["house_close"]
    ((_, series),) = rows["house_test_open"].kernels
    assert series.count(".") == 1
    assert rows["house_test_*"].kernels == rows["house_test_open"].kernels
    assert not rows["nowhere"].kernels


def test_a_definition_is_told_from_a_call_and_a_declaration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = b"""
static int one(struct file *file,
\t       int flags)
{
\ttwo(file);
}
int three(void);
#define four(x) { x }
static const struct name *
five(int a) __must_hold(a)
{
}
"""
    files = [("drivers/a.c", text), ("fs/b.c", text), ("kernel/c.c", b"\nint six;\n")]
    monkeypatch.setattr(functions, "_sources", lambda _: iter(files))
    names = ("one", "two", "three", "four", "five", "six")
    assert functions.defined_in(Path("x"), names) == {"one": "fs/b.c", "five": "fs/b.c"}


def decides_at(name: str, rule: SiteRule) -> Iterator[str]:
    """The rules that decide about checks at this function, below each caller that a rule names."""
    rules = default().sites.rules
    callers = rule.below or ("", *{caller for each in rules for caller in each.not_below})
    caps = rule.caps or frozenset(map(Cap, range(len(NAMES))))
    chain = tuple(each.replace("*", "x").replace("?", "x") for each in name.split("<"))
    for caller, cap, own in product(callers, caps, (False, True)):
        site = (*chain, *filter(None, [caller.replace("*", "x")]))
        if decided := default().sites.match(cap, site, own_mounts=own):
            yield decided.id


def test_no_rule_stands_behind_another_one_that_takes_all_its_checks() -> None:
    """The first rule that matches decides: one behind it would never fire."""
    behind = {
        (rule.id, name): sorted(deciding)
        for rule in default().sites.rules
        for name in rule.at
        if rule.id not in (deciding := set(decides_at(name, rule)))
    }
    assert behind == {}, "put the more special rule first"
