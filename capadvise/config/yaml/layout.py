"""The look of new lines, which is that of the lines around them."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from capadvise.config.text_edits import line_start
from capadvise.config.yaml.tree import Alias, Mapping, Node, Scalar, Sequence, is_text, written
from capadvise.model.errors import CannotPatch


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of a list, with what a comment at its end says."""

    text: str
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A list to write. ``tag`` stands before it: ``!override``."""

    items: tuple[Item, ...]
    tag: str | None = None


Tree = str | Item | Listing | dict[str, "Tree"]
"""A value to write. A str is YAML already; an item gets the quotes that stand around it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """``step`` and ``dash``: by how many columns a mapping or a list is indented in a mapping."""

    step: int = 2
    dash: int = 2

    def lines(self, key: str, tree: Tree, column: int) -> list[str]:
        """An entry of a block mapping, without line breaks."""
        head = " " * column + key + ":"
        if isinstance(tree, dict) and tree:
            inner = [self.lines(name, item, column + self.step) for name, item in tree.items()]
            return [head, *(line for lines in inner for line in lines)]
        if isinstance(tree, Listing) and tree.items:
            pad = " " * (column + self.dash)
            tag = f" {tree.tag}" if tree.tag else ""
            return [head + tag, *(f"{pad}- {item.text}{comment(item)}" for item in tree.items)]
        return [f"{head} {flow(tree)}"]


def comment(item: Item) -> str:
    return f" # {item.comment}" if item.comment else ""


def flow(tree: Tree, quote: str = "") -> str:
    """The same on one line, without comments. With ``"`` as the quote it is JSON."""
    if isinstance(tree, Item):
        return quote + tree.text + quote
    if isinstance(tree, dict):
        return "{" + ", ".join(entry(key, item, quote) for key, item in tree.items()) + "}"
    if isinstance(tree, Listing):
        tag = f"{tree.tag} " if tree.tag else ""
        return f"{tag}[{', '.join(flow(item, quote) for item in tree.items)}]"
    return tree


def entry(key: str, tree: Tree, quote: str) -> str:
    """An entry of a flow mapping."""
    own = "" if key[:1] in ("'", '"') else quote
    return f"{own}{key}{own}: {flow(tree, quote)}"


def source(text: str, node: Node, within: Node | None = None) -> Tree:
    """The value of a node, to be written elsewhere in the same document, without its anchors;
    aliases of anchors in it are written out. Raises CannotPatch for a tagged mapping."""
    within = within or node
    if isinstance(node, Alias):
        if within.start <= node.target.start < within.end:
            return source(text, node.target, within)
        return text[node.start : node.end]
    if isinstance(node, Sequence):
        items = tuple(Item(flow(source(text, item, within))) for item in node.items)
        return Listing(items, node.tag)
    if isinstance(node, Mapping):
        if node.tag:
            raise CannotPatch(f"a mapping with the tag {node.tag} is shared by an alias")
        return {
            flow(source(text, name, within)): source(text, inner, within)
            for name, inner in node.pairs
        }
    assert isinstance(node, Scalar)
    return f"{node.tag} {_scalar(text, node)}" if node.tag else _scalar(text, node)


def _scalar(text: str, node: Scalar) -> str:
    """A scalar on one line, as it may stand in a flow collection."""
    if not node.style and not is_text(node.value):
        return node.value
    said = text[body(text, node) : node.end]
    if node.style in ("'", '"') and "\n" not in said:
        return said
    return json.dumps(node.value, ensure_ascii=False)


_PROPERTIES = re.compile(r"(?:[&!][^\s\[\]{},]*\s*)*")


def body(text: str, node: Node) -> int:
    """The offset of a node behind its anchor and tag."""
    properties = _PROPERTIES.match(text, node.start, node.end)
    return properties.end() if properties else node.start


def column(text: str, at: int) -> int:
    return at - line_start(text, at)


def dash(text: str, item: Node) -> int:
    """The offset of the dash before an item of a block list."""
    return text.rindex("-", 0, item.start)


def layout(text: str, root: Node) -> Layout:
    """The most usual of a document."""
    steps: Counter[int] = Counter()
    dashes: Counter[int] = Counter()
    for key, value in _pairs(root):
        if isinstance(value, Mapping) and not value.flow and value.pairs:
            inner = value.pairs[0][0]
            steps[column(text, inner.start) - column(text, key.start)] += 1
        if isinstance(value, Sequence) and not value.flow and value.items:
            dashes[column(text, dash(text, value.items[0])) - column(text, key.start)] += 1
    step = max(steps, key=lambda n: steps[n], default=2)
    return Layout(step, max(dashes, key=lambda n: dashes[n], default=step))


def local(text: str, mapping: Mapping, usual: Layout) -> Layout:
    """The layout of the lists in one mapping, if it has some."""
    for key, value in mapping.pairs:
        if isinstance(value, Sequence) and not value.flow and value.items:
            indent = column(text, dash(text, value.items[0])) - column(text, key.start)
            return Layout(usual.step, indent)
    return usual


def _pairs(root: Node) -> Iterator[tuple[Node, Node]]:
    """All entries of all block mappings of a document, aliases not followed."""
    for node in written(root):
        if isinstance(node, Mapping) and not node.flow:
            yield from node.pairs
