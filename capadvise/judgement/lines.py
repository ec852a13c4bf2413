"""Compares the lines that trials printed, and learns which of their parts vary. Pure.

The lines of two trials of one set that are not equal are paired by their words. The words of a pair
that differ vary, the others do not: ``pid 17: 104 files`` and ``pid 23: 104 files`` teach ``pid *:
104 files``. Order and repetition do not count.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

OWN_CAPS = r"(?<=Cap(?:Inh|Prm|Eff|Bnd|Amb):\t)[0-9a-f]{16}"
"""As /proc shows them: they are others in each trial of another set."""
_NUMBER = r"\b[\dN]+(?:[.,][\dN]+)?(?:e[-+]?[\dN]+)?\s?"
_TIMES = re.compile(
    rf"{OWN_CAPS}"
    r"|(?<![\w:])\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d+)?(?![\w:])"
    rf"|{_NUMBER}(?:[nuµm]?s|secs?|seconds?|min|minutes?)\b"
    rf"|{_NUMBER}[kKMGT]?i?[bB](?:it)?/s(?:ec)?\b"
)
"""Times of day, durations and speeds vary even where two trials happen to agree."""
_PROGRESS = re.compile(r"^\.+(?=\d)|\.{2,}")
"""Dots that a program prints while it waits, also before the first word of the next line."""
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:[0-9a-f]{2}:){5,}[0-9a-f]{2}(?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9+/=_-])"
    r"(?=[A-Za-z0-9+/_-]*[A-Z])(?=[A-Za-z0-9+/_-]*[a-z])(?=[A-Za-z0-9+/_-]*[0-9])"
    r"[A-Za-z0-9+/_-]{12,}=*(?![A-Za-z0-9+/=_-])"
    r"|(?<![^\s=:(,\[])-\d+|[A-Za-z0-9_]+|[^A-Za-z0-9_]"
)
"""Addresses of network cards, UUIDs, base64, numbers with a sign, words, other characters."""
_DIGITS, _WORD = "\0#", "\0*"
_WORDS = r"[^\s,;()\[\]<>\"']+"
_LONG = 6
_MOST_PAIRED = 200
Tokens = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LineNoise:
    """The variable parts of the lines of one stream."""

    templates: tuple[Tokens, ...] = ()
    shapes: frozenset[str] = frozenset()
    """Lines that are printed only sometimes, with ``*`` for numbers and random words."""
    loose: frozenset[str] = frozenset()
    """The outlines of lines that are another each time."""

    def known(self, line: str) -> str:
        """The line with ``*`` for what varies."""
        tokens = _tokens(line)
        for template in self.templates:
            if len(template) == len(tokens) and all(map(_fits_one, template, tokens)):
                return "".join("*" if part[0] == "\0" else part for part in template)
        return "".join(tokens)

    def covers(self, line: str) -> bool:
        """True if it says nothing that the line is there or not."""
        return shape_of(line) in self.shapes or _outline(line) in self.loose

    def changed(self, full: Sequence[str], less: Sequence[str]) -> tuple[list[str], list[str]]:
        """The lines that are gone and those that are new, each once."""
        return self._only(full, less), self._only(less, full)

    def _only(self, these: Sequence[str], others: Sequence[str]) -> list[str]:
        if these == others:
            return []
        known = {self.known(line) for line in others}
        only = {self.known(line): line for line in reversed(these)}
        return [
            line
            for shape, line in reversed(only.items())
            if shape and shape not in known and not self.covers(line)
        ]


QUIET = LineNoise()


def learn_lines(noise: LineNoise, one: Sequence[str], other: Sequence[str]) -> LineNoise:
    """Add the differences between two trials of one set."""
    mine, theirs = noise.changed(one, other)
    templates = list[Tokens]()
    for line in mine[:_MOST_PAIRED]:
        candidates = theirs[:_MOST_PAIRED]
        pairs = ((_alike(_tokens(line), _tokens(each)), each) for each in candidates)
        likeness, partner = max(pairs, default=(0.0, ""))
        if likeness:
            templates.append(_template(_tokens(line), _tokens(partner)))
            theirs.remove(partner)
    merged = tuple(_merged((*noise.templates, *templates)))
    noise = replace(noise, templates=merged)
    mine, theirs = noise.changed(one, other)
    loose = {_outline(line) for line in (*mine, *theirs)} if mine and theirs else set()
    shapes = noise.shapes | {shape_of(line) for line in (*mine, *theirs)}
    return replace(noise, shapes=shapes, loose=noise.loose | loose)


@lru_cache(maxsize=4096)
def _tokens(line: str) -> Tokens:
    return tuple(_TOKEN.findall(_TIMES.sub("*", _PROGRESS.sub("", line))))


def _outline(line: str) -> str:
    return re.sub(r"[A-Za-z0-9+/_=-]+", "w", line)


def shape_of(line: str) -> str:
    """The line with ``*`` for words with a number (in standard errors ``N``) or with letters of
    both cases after their first."""
    return re.sub(_WORDS, lambda word: "*" if _has_number(word[0]) else word[0], line)


def _has_number(word: str) -> bool:
    mixed = any(map(str.isupper, word[1:])) and any(map(str.islower, word))
    return mixed or "N" in word or any(map(str.isdecimal, word))


def _fits_one(part: str, token: str) -> bool:
    if part[0] == token[0] == "\0":
        return True
    if part == _DIGITS:
        return _is_number(token)
    if part.startswith(_WORD):
        size = part[len(_WORD) :]
        return _is_word(token) and size in ("", str(len(token)))
    return part == token


def _alike(one: Tokens, other: Tokens) -> float:
    """The part of the words that is equal, if these can be one line; 0: they cannot."""
    if len(one) != len(other):
        return 0.0
    pairs = list(zip(one, other, strict=True))
    varying = [(mine, theirs) for mine, theirs in pairs if mine != theirs]
    if not all(_is_word(mine) and _is_word(theirs) for mine, theirs in varying):
        return 0.0
    words = sum(map(_is_word, one))
    equal = words - len(varying)
    if all(_may_be_random(mine, theirs) for mine, theirs in varying):
        return 0.5 + equal / max(1, words)
    return equal / words if 2 * equal >= words else 0.0


def _is_number(token: str) -> bool:
    return token.removeprefix("-").isdecimal()


def _is_word(token: str) -> bool:
    return token.isalnum() or token == "_" or len(token) > 1


def _may_be_random(one: str, other: str) -> bool:
    """True for numbers, hexadecimal digits and words of one length, as random names are."""
    long = len(one) == len(other) >= _LONG
    return long or (_has_number(one) and _has_number(other))


def _template(one: Tokens, other: Tokens) -> Tokens:
    return tuple(_variable(m, t) if m != t else m for m, t in zip(one, other, strict=True))


def _variable(mine: str, theirs: str) -> str:
    if all(word == _DIGITS or _is_number(word) for word in (mine, theirs)):
        return _DIGITS
    sizes = {
        part[len(_WORD) :] if part.startswith(_WORD) else str(len(part)) for part in (mine, theirs)
    }
    if _DIGITS in (mine, theirs) or len(sizes) > 1:
        return _WORD
    return _WORD + sizes.pop()


def _merged(templates: Iterable[Tokens]) -> Iterator[Tokens]:
    """Join the templates that differ only where at least one of them varies."""
    kept = list[Tokens]()
    for template in templates:
        for at, other in enumerate(kept):
            if len(other) == len(template) and all(
                _fits_one(m, t) or _fits_one(t, m) for m, t in zip(template, other, strict=True)
            ):
                kept[at] = _template(other, template)
                break
        else:
            kept.append(template)
    yield from kept
