"""Command-line options as the clients' parser (pflag) reads them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Option:
    """One option by its long name; ``value`` is None where it was given without one."""

    name: str
    value: str | None = None

    @property
    def word(self) -> str:
        """One word of a command line."""
        return f"--{self.name}" if self.value is None else f"--{self.name}={self.value}"


@dataclass(frozen=True, slots=True)
class Grammar:
    """The options of a command. Every option without a name here takes a value."""

    flags: frozenset[str]
    """Long names of the options that take no value."""
    letters: Mapping[str, str]
    """Letter → long name."""

    @classmethod
    @lru_cache
    def of(cls, command: str) -> Grammar:
        """The options of a command in the catalog's ``clients.yaml``."""
        from capadvise.catalog import default  # a target that is no client does not wait for it

        options = default().clients[command]
        return cls(frozenset(options["flags"]), options["letters"])

    def parse(self, words: Sequence[str]) -> tuple[tuple[Option, ...], tuple[str, ...]]:
        """The options at the front, and the rest, which begins with the first other word."""
        options: list[Option] = []
        at = 0
        while at < len(words):
            word = words[at]
            if word == "--":
                at += 1
                break
            if word.startswith("--"):
                name, equals, value = word[2:].partition("=")
                if equals:
                    options.append(Option(name, value))
                elif name in self.flags:
                    options.append(Option(name))
                else:
                    at += 1
                    options.append(Option(name, words[at] if at < len(words) else ""))
            elif word.startswith("-") and len(word) > 1:
                at = self._letters(words, at, options)
            else:
                break
            at += 1
        return tuple(options), tuple(words[at:])

    def _letters(self, words: Sequence[str], at: int, options: list[Option]) -> int:
        """``-it``, ``-p80:80``, ``-p 80:80``, ``-itp=80:80``; the index of the last word used."""
        text = words[at][1:]
        while text:
            name = self.letters.get(text[0], text[0])
            text = text[1:]
            if name in self.flags and not text.startswith("="):
                options.append(Option(name))
                continue
            if not text:
                at += 1
                text = words[at] if at < len(words) else ""
            options.append(Option(name, text.removeprefix("=")))
            break
        return at


def words(options: Iterable[Option]) -> tuple[str, ...]:
    """Options as a command line again."""
    return tuple(option.word for option in options)


def value_of(options: Iterable[Option], name: str) -> str | None:
    """The last value of an option; None where it was not given."""
    return next((o.value or "" for o in reversed(tuple(options)) if o.name == name), None)


def is_on(options: Iterable[Option], name: str) -> bool:
    """True if a flag is set."""
    said = [option.value for option in options if option.name == name]
    return bool(said) and said[-1] not in ("false", "0", "f", "F", "FALSE", "False")
