"""YAML as a tree with the place of each node in the text; aliases stay aliases.

One tree for reading (``reader``) and for patching (``edit``), so that the two cannot disagree. A
text is changed by edits at offsets (``text_edits``), never written again: the owner of the file
keeps every byte that need not change. The text is hostile: its size is bounded, and so is the
expansion of its aliases.
"""

import re
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Mapping_
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from capadvise.model.errors import BadInput

MERGE = "<<"
MAX_CHARACTERS = 4 << 20
"""A larger file is no configuration that a person keeps."""
MAX_VALUES = 500_000
"""A node takes about 300 bytes: two bytes of text (``a,``) must not become gigabytes."""
MAX_EXPANDED = 1_000_000
"""Nodes after all aliases are followed; a few lines of aliases can stand for billions."""
_LINE_ENDS = "\r(?!\n)|[\x85\u2028\u2029]"
_NULLS = ("", "~", "null", "Null", "NULL")


@dataclass(slots=True, eq=False)
class Node:
    """``start`` and ``end`` are offsets into the text; an anchor and a tag belong to the node. The
    end of a block collection is the end of what it holds."""

    start: int
    end: int
    line: int
    """Counted from 1."""
    anchor: str | None
    tag: str | None


@dataclass(slots=True, eq=False)
class Scalar(Node):
    value: str
    style: str
    """Empty for a plain one, else the character that it begins with."""

    @property
    def is_null(self) -> bool:
        """Nothing is written there, or null."""
        return not self.style and self.tag is None and self.value in _NULLS


@dataclass(slots=True, eq=False)
class Sequence(Node):
    items: tuple[Node, ...]
    flow: bool


@dataclass(slots=True, eq=False)
class Mapping(Node):
    pairs: tuple[tuple[Node, Node], ...]
    flow: bool

    def own(self, key: str) -> tuple[Scalar, Node] | None:
        """The pair of a key that is written here, not merged in."""
        for name, value in self.pairs:
            if isinstance(name, Scalar) and name.value == key:
                return name, value
        return None


@dataclass(slots=True, eq=False)
class Alias(Node):
    target: Node


EMPTY = Scalar(0, 0, 1, None, None, "", "")


@lru_cache(maxsize=4)  # a manifest is read for its services and for its pods
def documents(text: str) -> tuple[Node, ...]:
    """The root of each document. Raises BadInput, with the line, for what is not YAML, for what is
    too large, and where aliases stand for more than MAX_EXPANDED nodes."""
    import yaml  # here: 11 ms that `emit` need not spend

    if len(text) > MAX_CHARACTERS:
        raise BadInput(f"{len(text)} characters are too many: the limit is {MAX_CHARACTERS}")
    if sum(map(text.count, (",", "\n", ": ", "- ", "[", "{"))) > MAX_VALUES:
        raise BadInput(f"more than {MAX_VALUES} values are too many")
    if odd := re.search(_LINE_ENDS, text):
        at = text.count("\n", 0, odd.start()) + 1
        raise ambiguous(at, "a line end that not every YAML reader accepts")
    # libyaml is what the Go consumers' parser was translated from: it takes the same tabs.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        roots = tuple(_Builder(text, yaml.parse(text, Loader=loader)).documents())
        sizes: dict[int, int] = {}
        if "*" in text and sum(_size(root, sizes) for root in roots) > MAX_EXPANDED:
            raise BadInput("its aliases expand to too much")
        return roots
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1 if mark else '?'}"
        raise BadInput(f"{where}: {error.problem}", hint=template_hint(text)) from error
    except yaml.reader.ReaderError as error:
        at = text.count("\n", 0, error.position) + 1
        raise BadInput(f"line {at}: {error.reason}") from error
    except RecursionError as error:
        raise BadInput("line 1: it is nested too deeply") from error
    except yaml.YAMLError as error:
        raise BadInput(f"not YAML: {str(error).splitlines()[0]}") from error


def template_hint(text: str) -> str | None:
    """The hint for a file that is no YAML yet."""
    if "{{" not in text:
        return None
    return "a Helm template is not YAML: use the output of `helm template`, or set its values"


def ambiguous(line: int, what: str) -> BadInput:
    """The error for what two readers of the same file could read differently."""
    return BadInput(
        f"line {line}: ambiguous: {what}",
        hint="programs that read this file disagree about it: write it in a plain form",
    )


class _Builder:
    """Events to nodes."""

    def __init__(self, text: str, events: Iterator[Any]) -> None:
        self.text = text
        self.events = events
        self.anchors: dict[str, Node] = {}

    def documents(self) -> Iterator[Node]:
        for event in self.events:
            if type(event).__name__ == "DocumentStartEvent":
                if event.tags:
                    raise ambiguous(event.start_mark.line + 1, "a %TAG directive")
                self.anchors = {}
                yield self.node(next(self.events))

    def node(self, event: Any) -> Node:
        kind = type(event).__name__
        start, end, anchor = event.start_mark.index, event.end_mark.index, event.anchor
        line = event.start_mark.line + 1
        if kind == "AliasEvent":
            if anchor not in self.anchors or self.anchors[anchor] is EMPTY:
                raise BadInput(f"line {line}: the alias {anchor!r} has no anchor before it")
            return Alias(start, end, line, None, None, self.anchors[anchor])
        if anchor:
            self.anchors[anchor] = EMPTY  # until it is whole
        node: Node
        if kind == "ScalarEvent":
            style = event.style or ""
            end = self.scalar_end(start, end, style)
            node = Scalar(start, end, line, anchor, event.tag, event.value, style)
        else:
            node = self.collection(event, kind, start, line)
        if anchor:
            if self.anchors[anchor] is not EMPTY:  # which of the two a reader keeps differs
                raise ambiguous(line, f"the anchor {anchor!r:.60} is defined again inside itself")
            self.anchors[anchor] = node
        return node

    def collection(self, event: Any, kind: str, start: int, line: int) -> Node:
        parts, last = self.parts()
        inner = tuple(parts)
        flow = event.flow_style is True
        end = last.end_mark.index if flow or not inner else inner[-1].end
        if kind == "SequenceStartEvent":
            return Sequence(start, end, line, event.anchor, event.tag, inner, flow)
        pairs = tuple(zip(inner[::2], inner[1::2], strict=True))
        return Mapping(start, end, line, event.anchor, event.tag, pairs, flow)

    def parts(self) -> tuple[list[Node], Any]:
        """The nodes in a collection, and the event of its end."""
        inner: list[Node] = []
        for event in self.events:
            if type(event).__name__ in ("SequenceEndEvent", "MappingEndEvent"):
                return inner, event
            inner.append(self.node(event))
        raise AssertionError("the parser's events do not balance")

    def scalar_end(self, start: int, end: int, style: str) -> int:
        """Blank lines after a block scalar belong to it only where it says ``+``."""
        if style not in ("|", ">"):
            return end
        header = self.text[start:end].partition("\n")[0].partition("#")[0]
        if "+" not in header:
            return start + len(self.text[start:end].rstrip())
        line_start = self.text.rfind("\n", 0, end) + 1
        return line_start - 1 if not self.text[line_start:end].strip() and line_start else end


def target(node: Node) -> Node:
    """The node itself, or what its alias stands for."""
    return node.target if isinstance(node, Alias) else node


def entries(node: Node) -> dict[str, Node]:
    """All entries of a mapping by key, merged ones too; empty for anything else. The mapping's own
    entries win over merged ones, and the first of several merged mappings wins. Keys that are no
    scalars are left out. ``reader`` refuses mappings that readers disagree about."""
    node = target(node)
    if not isinstance(node, Mapping):
        return {}
    merged: dict[str, Node] = {}
    for name, value in reversed(node.pairs):
        if is_merge(name):
            for source in reversed(merge_sources(value)):
                merged |= entries(source)
    own = {
        name.value: value
        for name, value in node.pairs
        if isinstance(name, Scalar) and not is_merge(name)
    }
    return merged | own


def is_merge(key: Node) -> bool:
    return isinstance(key, Scalar) and key.value == MERGE and not key.style


def merge_sources(value: Node) -> tuple[Node, ...]:
    """The sources of a merge key: one mapping, or a list of them."""
    sources = target(value)
    return sources.items if isinstance(sources, Sequence) else (sources,)


def value(node: Node, instead: Mapping_[int, Any] | None = None) -> Any:
    """The value that a loader would make of a node, with scalars as (tag, text or not, value):
    enough to compare two texts. ``instead`` has other values for some nodes, by ``id``."""
    node = target(node)
    if instead and id(node) in instead:
        return instead[id(node)]
    if isinstance(node, Scalar):
        return (node.tag, bool(node.style) or is_text(node.value), node.value)
    if isinstance(node, Sequence):
        return (node.tag, [value(item, instead) for item in node.items])
    named = {name: value(item, instead) for name, item in entries(node).items()}
    assert isinstance(node, Mapping)
    odd = [(value(k), value(v)) for k, v in node.pairs if not isinstance(k, Scalar)]
    return (node.tag, named, odd)


def is_text(plain: str) -> bool:
    """True if a plain scalar means the same in quotes: no number, switch or date is written with
    these characters. In a flow collection it has to stand in quotes."""
    beside = plain.startswith((":", "?")) or plain.endswith(":")
    return beside or not set(plain).isdisjoint(",[]{}\n")


def inner_nodes(node: Node) -> tuple[Node, ...]:
    """The nodes in a collection: items, or keys and values; nothing for a scalar or an alias."""
    if isinstance(node, Sequence):
        return node.items
    if isinstance(node, Mapping):
        return tuple(part for pair in node.pairs for part in pair)
    return ()


def written(node: Node) -> Iterator[Node]:
    """All nodes that are written in a node, itself first; aliases are not followed."""
    yield node
    for part in inner_nodes(node):
        yield from written(part)


def _size(node: Node, known: dict[int, int]) -> int:
    node = target(node)
    if id(node) not in known:
        known[id(node)] = 1 + sum(_size(part, known) for part in inner_nodes(node))
    return known[id(node)]


_OFF = ("", "~", "null", "false", "no", "off", "n", "f", "0")


def text(node: Node | None) -> str | None:
    """The text of a scalar."""
    scalar = None if node is None else target(node)
    return scalar.value if isinstance(scalar, Scalar) else None


def is_on(node: Node | None) -> bool:
    """True if a switch is on, or may be: ``${PRIVILEGED}`` is settled elsewhere."""
    said = text(node)
    return said is not None and said.lower() not in _OFF


def names(node: Node | None) -> tuple[str, ...]:
    """The scalars of a list."""
    listed = None if node is None else target(node)
    items = listed.items if isinstance(listed, Sequence) and listed.tag != "!reset" else ()
    return tuple(item.value for item in map(target, items) if isinstance(item, Scalar))


def same(node: Node | None, want: frozenset[str], fits: Callable[[str], str | None]) -> bool:
    """True if a list holds exactly these names."""
    said = [fits(name) for name in names(node)]
    return len(said) == len(want) and set(said) == want
