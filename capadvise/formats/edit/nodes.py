"""YAML as a tree of places: what stands where in a text, aliases kept as aliases.

The tree is for finding; a text is changed by cutting and inserting (``cuts``), never written anew:
whoever owns the file keeps every byte that need not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Mapping_
from dataclasses import dataclass
from typing import Any

from capadvise.errors import BadInput
from capadvise.formats.nodes import template_hint

MERGE = "<<"
MAX_EXPANDED = 1_000_000
"""Nodes after all aliases are followed; a few lines of aliases can stand for billions."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """``start`` and ``end`` are offsets into the text; an anchor and a tag belong to the node. The
    end of a block collection is the end of what it holds."""

    start: int
    end: int
    anchor: str | None
    tag: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Scalar(Node):
    value: str
    style: str
    """Empty for a plain one, else the character that it begins with."""


@dataclass(frozen=True, slots=True, eq=False)
class Sequence(Node):
    items: tuple[Node, ...]
    flow: bool


@dataclass(frozen=True, slots=True, eq=False)
class Mapping(Node):
    pairs: tuple[tuple[Node, Node], ...]
    flow: bool

    def own(self, key: str) -> tuple[Scalar, Node] | None:
        """The entry of a key that is written here, not merged in."""
        for name, value in self.pairs:
            if isinstance(name, Scalar) and name.value == key:
                return name, value
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Alias(Node):
    target: Node


def documents(text: str) -> tuple[Node, ...]:
    """The root of each document. Raises BadInput, with the line, for what is not YAML, and where
    aliases stand for more than MAX_EXPANDED nodes."""
    import yaml  # here: 11 ms

    # libyaml is what the Go consumers' parser was translated from: it takes the same tabs.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        roots = tuple(_Builder(text, yaml.parse(text, Loader=loader)).documents())
        if sum(_size(root, {}) for root in roots) > MAX_EXPANDED:
            raise BadInput("its aliases stand for too much")
        return roots
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise BadInput(f"line {line}: {error.problem}", hint=template_hint(text)) from error
    except yaml.YAMLError as error:
        raise BadInput(str(error).splitlines()[0]) from error
    except RecursionError as error:
        raise BadInput("it is nested too deeply") from error


class _Builder:
    """Events to nodes."""

    def __init__(self, text: str, events: Iterator[Any]) -> None:
        self.text = text
        self.events = events
        self.anchors: dict[str, Node] = {}

    def documents(self) -> Iterator[Node]:
        for event in self.events:
            if type(event).__name__ == "DocumentStartEvent":
                self.anchors = {}
                yield self.node(next(self.events))

    def node(self, event: Any) -> Node:
        kind = type(event).__name__
        start, end, anchor = event.start_mark.index, event.end_mark.index, event.anchor
        tag = getattr(event, "tag", None)
        if kind == "AliasEvent":
            if anchor not in self.anchors:
                line = event.start_mark.line + 1
                raise BadInput(f"line {line}: the alias {anchor!r} has no anchor before it")
            return Alias(start, end, None, None, self.anchors[anchor])
        found: Node
        if kind == "ScalarEvent":
            style = event.style or ""
            end = self.scalar_end(start, end, style)
            found = Scalar(start, end, anchor, tag, event.value, style)
        else:
            parts, last = self.parts()
            inner = tuple(parts)
            flow = event.flow_style is True
            end = last.end_mark.index if flow or not inner else inner[-1].end
            if kind == "SequenceStartEvent":
                found = Sequence(start, end, anchor, tag, inner, flow)
            else:
                pairs = tuple(zip(inner[::2], inner[1::2], strict=True))
                found = Mapping(start, end, anchor, tag, pairs, flow)
        if anchor:
            self.anchors[anchor] = found
        return found

    def parts(self) -> tuple[list[Node], Any]:
        """What a collection holds, and the event of its end."""
        found: list[Node] = []
        for event in self.events:
            if type(event).__name__ in ("SequenceEndEvent", "MappingEndEvent"):
                return found, event
            found.append(self.node(event))
        raise AssertionError("the parser balances its events")

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
    """All entries of a mapping by key, merged ones too; empty for anything else. Keys that are no
    scalars are left out."""
    node = target(node)
    if not isinstance(node, Mapping):
        return {}
    found: dict[str, Node] = {}
    for name, value in reversed(node.pairs):
        if is_merge(name):
            sources = target(value)
            several = sources.items if isinstance(sources, Sequence) else (sources,)
            for source in reversed(several):
                found |= entries(source)
    found |= {
        name.value: value
        for name, value in node.pairs
        if isinstance(name, Scalar) and not is_merge(name)
    }
    return found


def is_merge(key: Node) -> bool:
    return isinstance(key, Scalar) and key.value == MERGE and not key.style


def value(node: Node, instead: Mapping_[int, Any] | None = None) -> Any:
    """What a loader would make of it, with scalars as (tag, text or not, what is said): enough to
    tell whether two texts say the same. ``instead`` has other values for some nodes, by ``id``."""
    node = target(node)
    if instead and id(node) in instead:
        return instead[id(node)]
    if isinstance(node, Scalar):
        return (node.tag, bool(node.style) or is_text(node.value), node.value)
    if isinstance(node, Sequence):
        return (node.tag, [value(item, instead) for item in node.items])
    found = {name: value(item, instead) for name, item in entries(node).items()}
    assert isinstance(node, Mapping)
    odd = [(value(k), value(v)) for k, v in node.pairs if not isinstance(k, Scalar)]
    return (node.tag, found, odd)


def is_text(plain: str) -> bool:
    """Whether a plain scalar means the same in quotes: no number, switch or date is written with
    these. In a flow collection it has to stand in quotes."""
    beside = plain.startswith((":", "?")) or plain.endswith(":")
    return beside or not set(plain).isdisjoint(",[]{}\n")


def _size(node: Node, known: dict[int, int]) -> int:
    node = target(node)
    if id(node) not in known:
        if isinstance(node, Sequence):
            inner = list(node.items)
        elif isinstance(node, Mapping):
            inner = [part for pair in node.pairs for part in pair]
        else:
            inner = []
        known[id(node)] = 1 + sum(_size(part, known) for part in inner)
    return known[id(node)]
