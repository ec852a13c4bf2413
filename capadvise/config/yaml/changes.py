"""Changes to a mapping of a YAML text: entries added, taken out, their lists changed. Each function
returns edits; nothing else of the text moves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Parts
from dataclasses import dataclass

from capadvise.config.text_edits import TextEdit, insert_lines, line_end, line_start, replace_lines
from capadvise.config.yaml.layout import (
    Item,
    Layout,
    Listing,
    Tree,
    body,
    column,
    comment,
    dash,
    entry,
    flow,
    layout,
    local,
    source,
)
from capadvise.config.yaml.tree import (
    Alias,
    Mapping,
    Node,
    Scalar,
    Sequence,
    is_merge,
    target,
    written,
)

Pair = tuple[Node, Node]


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text."""

    text: str
    root: Node
    layout: Layout

    @classmethod
    def of(cls, text: str, root: Node) -> Document:
        return cls(text, root, layout(text, root))

    def aliases(self, of: Node) -> list[Alias]:
        """The other places that use a node, in the order of the text."""
        return [
            node for node in written(self.root) if isinstance(node, Alias) and node.target is of
        ]


def change(
    doc: Document,
    mapping: Mapping,
    gone: Iterable[Pair],
    new: dict[str, Tree],
    *,
    after: Pair | None = None,
) -> list[TextEdit]:
    """Take entries out and add others: in the place of the first that goes, else behind ``after``,
    else at the end."""
    gone = list(gone)
    edits = [edit for _, value in gone for edit in hand_on(doc, value)]
    if mapping.flow:
        parts = [entry(key, tree, _quote_of(mapping)) for key, tree in new.items()]
        going = [key for key, _ in gone]
        keep = [key not in going for key, _ in mapping.pairs]
        if parts or gone:
            edits += _edit_flow(doc.text, mapping, keep, parts)
        return edits
    text, at = doc.text, column(doc.text, mapping.pairs[0][0].start)
    look = local(text, mapping, doc.layout)
    lines = [line for key, tree in new.items() for line in look.lines(key, tree, at)]
    for pair in gone:
        key = pair[0].start
        if not text[line_start(text, key) : key].strip():
            edits += replace_lines(text, pair[0].start, pair[1].end, lines)
            lines = []
        else:
            edits += _behind_dash(text, mapping, pair)
    if lines:
        edits.append(insert_lines(text, (after or mapping.pairs[-1])[1].end, lines))
    return edits


def _behind_dash(text: str, mapping: Mapping, pair: Pair) -> list[TextEdit]:
    """Remove the entry that stands on the line of its mapping's dash: the dash stays."""
    key, value = pair
    following = [name for name, _ in mapping.pairs if name.start > key.start]
    end = line_end(text, value.end)
    if following and not text[end : following[0].start].strip():
        return [TextEdit(key.start, following[0].start)]
    return [TextEdit(key.start, value.end)]


def open_up(doc: Document, within: Mapping, pair: Pair, tree: dict[str, Tree]) -> list[TextEdit]:
    """Give a mapping to a key whose value is nothing, ``{}`` or an alias, in lines of its own if it
    can have them. The target of an alias is merged in."""
    key, value = pair
    text = doc.text
    edits = hand_on(doc, value)
    if isinstance(value, Alias):
        tree = {"<<": text[value.start : value.end], **tree}
    if within.flow:
        space = "" if value.end > value.start else " "
        return [*edits, TextEdit(value.start, value.end, space + flow(tree, _quote_of(within)))]
    start = text.index(":", key.end) + 1
    at = column(text, key.start) + doc.layout.step
    lines = [line for name, item in tree.items() for line in doc.layout.lines(name, item, at)]
    edits += [TextEdit(start, value.end)] if value.end > start else []
    return [*edits, insert_lines(text, value.end, lines)]


def merged(mapping: Mapping) -> Mapping:
    """The entries that a mapping takes from elsewhere."""
    pairs = tuple(pair for pair in mapping.pairs if is_merge(pair[0]))
    return Mapping(mapping.start, mapping.end, mapping.line, None, None, pairs, mapping.flow)


# ------------------------------------------------------------------------------ lists


def _staying(
    value: Sequence, wanted: set[str], fits: Callable[[str], str | None]
) -> tuple[list[str], set[str | None]]:
    """For each entry the wanted name that it stays for, or nothing; and all names there are."""
    keep: list[str] = []
    seen: set[str | None] = set()
    for item in value.items:
        entry = target(item)
        name = fits(entry.value) if isinstance(entry, Scalar) else None
        keep.append(name if name is not None and name in wanted - seen else "")
        seen.add(name)
    return keep, seen


def _respelled(value: Sequence, keep: list[str]) -> Iterator[TextEdit]:
    for item, name in zip(value.items, keep, strict=True):
        if name and isinstance(item, Scalar) and item.value != name:
            yield TextEdit(item.start, item.end, f"{item.style}{name}{item.style}")


def change_list(
    doc: Document,
    value: Sequence,
    want: Listing,
    fits: Callable[[str], str | None],
    *,
    exact: bool = False,
) -> list[TextEdit]:
    """Make a list hold the wanted items and nothing else. An item that stays keeps its line and its
    comment: ``fits`` gives the wanted name of a written one, or None. With ``exact`` its spelling
    changes to the wanted one."""
    keep, seen = _staying(value, {item.text for item in want.items}, fits)
    edits = list(_respelled(value, keep)) if exact else []
    new = [item for item in want.items if item.text not in seen]
    quote = _quote_of(value)
    quoted = [Item(quote + item.text + quote, item.comment) for item in new]
    stays = [bool(name) for name in keep]
    if value.flow and (new or not all(stays)):
        edits += _edit_flow(doc.text, value, stays, [item.text for item in quoted])
    elif not value.flow:
        edits += _change_lines(doc.text, value, stays, quoted)
    return edits


def _change_lines(text: str, value: Sequence, keep: list[bool], new: list[Item]) -> list[TextEdit]:
    """``value`` is a block list; new entries come after its last one, or replace it."""
    first = dash(text, value.items[0])
    lead = text[line_start(text, first) : first] + text[first : value.items[0].start]
    lines = [f"{lead}{item.text}{comment(item)}" for item in new]
    edits: list[TextEdit] = []
    for item, stays in reversed(list(zip(value.items, keep, strict=True))):
        if not stays:
            edits += replace_lines(text, dash(text, item), item.end, lines)
        elif lines:
            edits.append(insert_lines(text, item.end, lines))
        lines = []
    return edits


def release(doc: Document, node: Node) -> list[TextEdit]:
    """Cuts after which a change to an anchored node changes no other place."""
    moved = _hand_on(doc, node, node)
    if not moved or node.anchor is None:
        return []
    begin, end = node.start, node.start + 1 + len(node.anchor)
    if doc.text[end] in "\r\n":
        begin = len(doc.text[:begin].rstrip(" "))
    else:
        end = _skip(doc.text, end)
    return [TextEdit(begin, end), *moved]


def hand_on(doc: Document, gone: Node) -> list[TextEdit]:
    """Cuts after which nothing outside of a node needs what is anchored in it."""
    return [edit for node in written(gone) if node.anchor for edit in _hand_on(doc, node, gone)]


def _hand_on(doc: Document, node: Node, gone: Node) -> list[TextEdit]:
    """The anchor moves to the first of its aliases, with what it stood for."""
    for alias in doc.aliases(node):
        if not gone.start <= alias.start < gone.end:
            moved = f"&{node.anchor} {flow(source(doc.text, node))}"
            return [TextEdit(alias.start, alias.end, moved)]
    return []


Span = tuple[int, int]

_GAP = re.compile(r"(?:[ \t\r\n]|(?<=\s)#[^\n]*)*")
"""White space and comments."""


def _spans(node: Sequence | Mapping) -> list[Span]:
    """From where to where each part goes; a pair is one part."""
    if isinstance(node, Sequence):
        return [(item.start, item.end) for item in node.items]
    return [(key.start, value.end) for key, value in node.pairs]


def _quote_of(node: Sequence | Mapping) -> str:
    """The quotes that its keys or items stand in."""
    each = node.items if isinstance(node, Sequence) else [key for key, _ in node.pairs]
    first = next(iter(each), None)
    return first.style if isinstance(first, Scalar) and first.style in ("'", '"') else ""


def _edit_flow(
    text: str, node: Sequence | Mapping, keep: Parts[bool], new: Parts[str]
) -> list[TextEdit]:
    """Take out the parts that are not to be kept, and add new ones after the last."""
    parts = _spans(node)
    if not parts:
        return [TextEdit(body(text, node) + 1, node.end - 1, ", ".join(new))]
    kept = [index for index, stays in enumerate(keep) if stays]
    between = _between(text, parts)
    if not kept:
        return [_instead(text, parts, between, new)]
    last = kept[-1]
    edits = [
        _take_out(text, (parts[index + 1][0], parts[following - 1][1]), parts[following][0])
        for index, following in zip([-1, *kept], kept, strict=False)
        if following > index + 1
    ]
    if last < len(parts) - 1 and not new:
        edits += _take_off(text, parts[last:])
    elif last < len(parts) - 1:  # new ones in the place of those that end it
        edits.append(_instead(text, parts[last + 1 :], between, new))
    elif new:
        edits += _append(text, parts[last][1], between, new)
    return edits


def _instead(text: str, parts: Parts[Span], between: str, new: Parts[str]) -> TextEdit:
    """New parts in the place of those that end a collection, with the comment on the last line."""
    end = _behind_comment(text, parts[-1][1]) if "\n" in between else parts[-1][1]
    comma = "," if end > parts[-1][1] and _comma(text, parts[-1][1]) else ""
    return TextEdit(parts[0][0], end, ("," + between).join(new) + comma)


def _between(text: str, parts: Parts[Span]) -> str:
    """The white space before a part that follows another."""
    start = parts[-1][0]
    first = line_start(text, start)
    if not text[first:start].strip():
        return ("\r\n" if text[:first].endswith("\r\n") else "\n") + text[first:start]
    before = text[:start]
    return before[len(before.rstrip(" \t")) :] if len(parts) > 1 else " "


def _take_out(text: str, run: Span, following: int) -> TextEdit:
    """Remove parts that another follows, and their lines where they have them for themselves."""
    first, end = line_start(text, run[0]), line_end(text, run[1])
    if not text[first : run[0]].strip() and end <= following:
        return TextEdit(first, end)
    return TextEdit(run[0], following)


def _take_off(text: str, parts: Parts[Span]) -> list[TextEdit]:
    """Remove all parts but the first, with the comma after it."""
    (_, kept), (start, _), end = parts[0], parts[1], parts[-1][1]
    if "#" not in text[kept:start]:
        return [TextEdit(kept, _behind_comment(text, end) if "\n" in text[kept:start] else end)]
    comma = _comma(text, kept) or kept
    return [TextEdit(comma, comma + 1), TextEdit(line_start(text, start), line_end(text, end))]


def _append(text: str, end: int, between: str, new: Parts[str]) -> list[TextEdit]:
    """Add parts behind the last one; a comment on its line stays on it."""
    behind = _behind_comment(text, end)
    if "\n" not in between or behind == end:
        return [TextEdit(end, end, "".join("," + between + part for part in new))]
    comma = _comma(text, end)
    added = between + ("," + between).join(new) + ("," if comma else "")
    return [*([] if comma else [TextEdit(end, end, ",")]), TextEdit(behind, behind, added)]


def _comma(text: str, end: int) -> int | None:
    gap = _GAP.match(text, end)
    at = gap.end() if gap else end
    return at if text.startswith(",", at) else None


def _behind_comment(text: str, end: int) -> int:
    """The end of the line, where nothing but a comma and a comment are left of it."""
    rest = text[end : line_end(text, end)].rstrip("\r\n")
    return end + len(rest) if re.fullmatch(r"[ \t]*,?[ \t]+#.*", rest) else end


def _skip(text: str, at: int) -> int:
    return at + len(text[at:]) - len(text[at:].lstrip(" \t"))
