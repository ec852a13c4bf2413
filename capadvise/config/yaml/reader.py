"""Typed reading of YAML nodes, as consumers decode them: for files that belong to others.

Unlike ``strict``, which reads our own files, it ignores unknown keys. Nothing is constructed: a
text stays a text. A value that two readers could read differently is refused as ambiguous, with its
line: tags, keys that are no plain texts, merge keys where readers disagree about the winner.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from capadvise.config.yaml.tree import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    ambiguous,
    documents,
    entries,
    inner_nodes,
    is_merge,
    merge_sources,
    target,
)
from capadvise.model.errors import BadInput

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = (None, f"{_TAG}str")
_TRUE, _FALSE = (
    frozenset(spelled for word in words for spelled in (word, word.upper(), word.capitalize()))
    for words in (("true", "yes", "on"), ("false", "no", "off"))
)

Entries = dict[str, Node]
"""Key → node, aliases and merge keys resolved."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Differences between the consumers of languages."""

    tags: frozenset[str] = frozenset()
    """Tags of its own that a list or a mapping may have."""
    merge_wins: bool = False
    """A merge key overrides what stands before it in its mapping (Go's YAML 2, as kubectl has it),
    where YAML says that it never does."""
    names: frozenset[str] = frozenset()
    """Keys that are judged: another spelling of one (``Privileged``) is refused, since some
    decoders take it for the same."""

    def is_lookalike(self, key: str) -> bool:
        """True if a decoder that ignores case would take a key for one that is judged."""
        return key not in self.names and key.casefold() in _without_case(self.names)


@lru_cache
def _without_case(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)


class Documents:
    """All documents of one text. The methods raise BadInput with the line where a node is not of
    the type that is asked for, or where it is ambiguous."""

    def __init__(self, text: str | tuple[Node, ...], dialect: Dialect | None = None) -> None:
        self.roots = documents(text) if isinstance(text, str) else text
        self._dialect = dialect or Dialect()
        self._entries: dict[int, Entries] = {}
        self._inside: list[tuple[Node, ...]] = []

    def inside(self, node: Scalar) -> tuple[Node, ...]:
        """The roots of a text in the text, with the lines of the whole."""
        above = node.line - (node.style not in ("|", ">"))
        self._inside.append(documents("\n" * above + node.value))  # entries go by the ids of nodes
        return self._inside[-1]

    def mapping(self, node: Node | None, what: str) -> Entries:
        """Keys and values, merge keys resolved; empty for None and for null."""
        if node is None or is_null(node):
            return {}
        node = target(node)
        if not isinstance(node, Mapping):
            raise wrong(node, what, "keys and values")
        if id(node) not in self._entries:
            self._check_pairs(node, what)
            self._entries[id(node)] = {
                key: target(item)
                for key, item in entries(node).items()
                if not self._is_forgotten(target(item))
            }
        return self._entries[id(node)]

    def inner(self, keys: Entries, *path: str) -> Entries:
        """Keys and values further inside; empty if there are none."""
        for key in path:
            keys = self.mapping(keys.get(key), key)
        return keys

    def _is_forgotten(self, node: Node) -> bool:
        """True if compose must forget an entry, here and in other files."""
        return node.tag == "!reset" and "!reset" in self._dialect.tags

    def _check_pairs(self, node: Mapping, what: str) -> None:
        """Refuse a mapping of which two readers could make different things."""
        self._check_tag(node, what)
        own: set[str] = set()
        merges = 0
        for key, value in node.pairs:
            if is_merge(key) and key.tag is None:
                merges += 1
                self._check_merge(key, value, own if self._dialect.merge_wins else (), what)
                continue
            if not isinstance(key, Scalar):
                raise wrong(key, f"a key of {what}", "a text")
            if key.tag is not None:
                raise ambiguous(key.line, f"a key of {what} has the tag {key.tag!r:.60}")
            if key.value in own:
                raise BadInput(f"line {key.line}: key {key.value!r:.80} appears twice")
            if self._dialect.is_lookalike(key.value):
                raise ambiguous(key.line, f"the key {key.value!r:.60} differs in case only")
            own.add(key.value)
        if merges > 1:
            raise ambiguous(node.line, f"{what} has the merge key << twice")
        if merges and any(value.tag == "!reset" for _, value in node.pairs):
            raise ambiguous(node.line, f"{what} has << beside !reset: the merged keys come back")

    def _check_merge(self, key: Node, value: Node, before: Iterable[str], what: str) -> None:
        for source in merge_sources(value):
            if not isinstance(target(source), Mapping):
                raise ambiguous(key.line, f"<< in {what} does not merge keys and values")
            merged = self.mapping(source, what)
            if again := [name for name in before if name in merged]:
                raise ambiguous(key.line, f"<< comes after {again[0]!r:.60}, which it has as well")

    def _check_tag(self, node: Node, what: str) -> None:
        kind = "seq" if isinstance(node, Sequence) else "map"
        if node.tag not in (None, f"{_TAG}{kind}", *self._dialect.tags):
            raise ambiguous(node.line, f"{what} has the tag {node.tag!r:.60}")

    def items(self, node: Node | None, what: str) -> list[Node]:
        """The items of a list; empty for None and for null."""
        if node is None or is_null(node):
            return []
        node = target(node)
        if not isinstance(node, Sequence):
            raise wrong(node, what, "a list")
        self._check_tag(node, what)
        return [target(item) for item in node.items]

    def texts(self, node: Node | None, what: str) -> list[tuple[str, int]]:
        """The texts of a list, each with its line."""
        return [(text(item, f"an item of {what}"), item.line) for item in self.items(node, what)]


def text(node: Node, what: str) -> str:
    """A scalar as written: ``1000`` and ``"1000"`` are the same."""
    node = target(node)
    if not isinstance(node, Scalar) or node.is_null:
        raise wrong(node, what, "a text")
    if node.tag not in _TEXT_TAGS:
        raise ambiguous(node.line, f"{what} has the tag {node.tag!r:.60}")
    return node.value


def optional_text(node: Node | None, what: str) -> str | None:
    """The same; None for None and for null."""
    return None if node is None or is_null(node) else text(node, what)


def text_at(keys: Entries, key: str) -> str:
    """The text of a key; empty if it has none."""
    return optional_text(keys.get(key), key) or ""


def any_text(node: Node | None) -> str | None:
    """The value of a node that is one value: for a key that need not be right to be judged."""
    node = None if node is None else target(node)
    return node.value if isinstance(node, Scalar) and not node.is_null else None


def command_words(node: Node | None) -> tuple[str, ...]:
    """The words of a command, a text or a list of texts."""
    node = None if node is None else target(node)
    if isinstance(node, Sequence):
        return tuple(any_text(item) or "" for item in node.items)
    return tuple((any_text(node) or "").split())


def flag(node: Node | None, what: str) -> bool | None:
    """True or false, unquoted; None for None and for null."""
    if node is None or is_null(node):
        return None
    node = target(node)
    said = node.value if isinstance(node, Scalar) and not node.style else ""
    if node.tag is not None or said not in _TRUE | _FALSE:
        raise wrong(node, what, "true or false")
    return said in _TRUE


def key_lines(node: Node | None) -> dict[str, int]:
    """The line of each key that a mapping has of its own; empty for anything else."""
    node = None if node is None else target(node)
    pairs = node.pairs if isinstance(node, Mapping) else ()
    return {key.value: key.line for key, _ in pairs if isinstance(key, Scalar)}


def is_null(node: Node) -> bool:
    """Nothing is written there, or null."""
    node = target(node)
    return isinstance(node, Scalar) and node.is_null


def line(node: Node) -> int:
    """The line of a node, or of the target of its alias, counted from 1."""
    return target(node).line


class WrongType(BadInput):
    """A value of another type than its key has elsewhere."""


def wrong(node: Node, what: str, expected: str) -> WrongType:
    """The error for a value of another type."""
    return WrongType(f"line {line(node)}: {what} must be {expected}")


def texts_below(source: str, keys: Collection[str]) -> Iterator[str]:
    """All scalars of a text that stand below one of these keys, or anywhere if there are none.
    Raises BadInput for what is no YAML."""
    roots = documents(source)
    if keys:
        inside = [entries(node) for root in roots for node in walk(root)]
        roots = tuple(each[key] for each in inside for key in keys if key in each)
    every = (node for root in roots for node in walk(root))
    return (node.value for node in every if isinstance(node, Scalar))


def walk(node: Node) -> Iterable[Node]:
    """A node and all that it holds, each once, aliases followed."""
    seen: set[int] = set()
    rest = [node]
    while rest:
        node = target(rest.pop())
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            rest += reversed(inner_nodes(node))
