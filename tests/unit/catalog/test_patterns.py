"""The catalog's patterns of function names."""

from __future__ import annotations

import fnmatch
from fnmatch import fnmatchcase

import pytest

from capadvise.catalog import default
from capadvise.catalog.sites import Patterns, among, like

PATTERNS = sorted(
    {
        name
        for rule in default().sites.rules
        for pattern in (*rule.at, *rule.below, *rule.not_below)
        for name in pattern.split("<")
    }
)
NAMES = sorted({asker.function for asker in default().askers} | set(PATTERNS))


def test_of_a_pattern_only_the_star_is_special() -> None:
    assert [pattern for pattern in PATTERNS if set(pattern) & set("?[]")] == []


def test_every_pattern_means_what_a_shell_takes_it_for() -> None:
    wrong = {
        pattern
        for pattern in PATTERNS
        if "*" in pattern
        and [name for name in NAMES if like(name, pattern)] != fnmatch.filter(NAMES, pattern)
    }
    assert wrong == set()


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        *(("", "*"), ("ab", "*"), ("ab", "a*b"), ("a", "a*a"), ("aa", "a*a"), ("aXa", "a**a")),
        *(("listxattr", "*xattr*list*"), ("xattr_list", "*xattr*list*"), ("abab", "*ab*ab*ab*")),
        *(("abcab", "ab*c*ab"), ("abab", "ab*b*ab"), ("sys_brk", "*_sys_*"), ("xbrk", "*brk")),
    ],
)
def test_the_star(name: str, pattern: str) -> None:
    assert among(name, (pattern,)) == fnmatchcase(name, pattern)


def test_many_patterns_match_as_each_alone_does() -> None:
    many = Patterns(enumerate(PATTERNS))
    for name in NAMES[::20]:
        alone = {n for n, pattern in enumerate(PATTERNS) if among(name, (pattern,))}
        assert many.of(name) == alone, name
