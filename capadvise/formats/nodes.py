"""YAML as nodes that know their lines: for files that belong to somebody else.

Unlike ``strict``, which reads our own files, it lets unknown keys be. Nothing is constructed: a
text stays a text. Anchors and merge keys (``<<``) are resolved as the engines do. The text is
hostile: its size and the work that merging makes are bounded.
"""

from __future__ import annotations

from typing import Any

from capadvise.errors import BadInput

Node = Any
"""A ``yaml.Node``. The library is imported where it is used: 11 ms that ``emit`` need not spend."""

MAX_BYTES = 4 << 20
"""A larger file is no configuration that a person keeps."""
_MAX_VALUES = 500_000
"""A node takes about 300 bytes: two bytes of text (``a,``) must not become gigabytes."""
_MAX_WORK = 500_000
"""Keys and items looked at in a file, those behind aliases each time: a bomb has billions."""

_TAG = "tag:yaml.org,2002:"

Mapping = dict[str, Node]
"""Key → node."""


class Documents:
    """All documents of one text. The methods raise BadInput with the line where a node is not of
    the type that is asked for."""

    def __init__(self, text: str) -> None:
        import yaml

        if len(text) > MAX_BYTES:
            raise BadInput(f"{len(text)} characters are too many: the limit is {MAX_BYTES}")
        if sum(map(text.count, (",", "\n", ": ", "- ", "[", "{"))) > _MAX_VALUES:
            raise BadInput(f"more than {_MAX_VALUES} values are too many")
        self._merged: dict[int, Mapping] = {}
        self._work = 0
        try:
            self.roots: tuple[Node, ...] = tuple(
                yaml.compose_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            )
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"line {mark.line + 1 if mark else '?'}"
            raise BadInput(f"{where}: {error.problem}", hint=template_hint(text)) from error
        except yaml.reader.ReaderError as error:
            at = text.count("\n", 0, error.position) + 1
            raise BadInput(f"line {at}: {error.reason}") from error
        except (yaml.YAMLError, RecursionError) as error:
            raise BadInput(f"not YAML: {error}") from error

    def mapping(self, node: Node | None, what: str) -> Mapping:
        """Keys and values, merge keys resolved; empty for None and for null."""
        if node is None or is_null(node):
            return {}
        if node.id != "mapping":
            raise wrong(node, what, "keys and values")
        self._spend(1, node)
        if id(node) not in self._merged:
            self._merged[id(node)] = {}  # what merges itself merges nothing
            self._merged[id(node)] = self._merge(node, what)
        return self._merged[id(node)]

    def _merge(self, node: Node, what: str) -> Mapping:
        own: Mapping = {}
        merged: Mapping = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                sources = value.value if value.id == "sequence" else [value]
                for source in sources:
                    found = self.mapping(source, what)
                    self._spend(len(found), node)
                    merged = found | merged  # what stands first wins
            elif key.id != "scalar":
                raise wrong(key, f"a key of {what}", "a text")
            elif key.value in own:
                raise BadInput(f"line {line(key)}: key {key.value!r:.80} appears twice")
            else:
                own[key.value] = value
        return merged | own

    def _spend(self, count: int, node: Node) -> None:
        self._work += count
        if self._work > _MAX_WORK:
            raise BadInput(f"line {line(node)}: too much is repeated by aliases")

    def items(self, node: Node | None, what: str) -> list[Node]:
        """The items of a list; empty for None and for null."""
        if node is None or is_null(node):
            return []
        if node.id != "sequence":
            raise wrong(node, what, "a list")
        self._spend(len(node.value), node)
        return list(node.value)

    def texts(self, node: Node | None, what: str) -> list[tuple[str, int]]:
        """The texts of a list, each with its line."""
        return [(text(item, f"an item of {what}"), line(item)) for item in self.items(node, what)]


def template_hint(text: str) -> str | None:
    """What to do with a file that is no YAML yet."""
    if "{{" not in text:
        return None
    return "a Helm template is not YAML: take what `helm template` renders, or set its values"


def text(node: Node, what: str) -> str:
    """A scalar as written: ``1000`` and ``"1000"`` are the same."""
    if node.id != "scalar" or is_null(node):
        raise wrong(node, what, "a text")
    value: str = node.value
    return value


def optional_text(node: Node | None, what: str) -> str | None:
    """As ``text``; None for None and for null."""
    return None if node is None or is_null(node) else text(node, what)


def flag(node: Node | None, what: str) -> bool | None:
    """True or false, unquoted; None for None and for null."""
    if node is None or is_null(node):
        return None
    if node.id != "scalar" or node.tag != f"{_TAG}bool":
        raise wrong(node, what, "true or false")
    return node.value.lower() in ("true", "yes", "on")


def key_lines(node: Node | None) -> dict[str, int]:
    """The line of each key that a mapping has of its own; empty for anything else."""
    pairs = node.value if node is not None and node.id == "mapping" else []
    return {key.value: line(key) for key, _ in pairs if key.id == "scalar"}


def is_null(node: Node) -> bool:
    """Nothing is written there, or null, or compose is told to forget what other files say."""
    return node.tag in (f"{_TAG}null", "!reset")


def line(node: Node) -> int:
    """Counted from 1."""
    number: int = node.start_mark.line
    return number + 1


def wrong(node: Node, what: str, expected: str) -> BadInput:
    """The error for a value of another type."""
    return BadInput(f"line {line(node)}: {what} must be {expected}")
