"""Flow collections, JSON among them: ``[a, b]`` and ``{a: b}``, on one line or on several."""

from __future__ import annotations

import re
from collections.abc import Sequence as Parts

from capadvise.formats.edit.cuts import Cut, line_end, line_start
from capadvise.formats.edit.nodes import Mapping, Node, Scalar, Sequence

Span = tuple[int, int]

_PROPERTIES = re.compile(r"(?:[&!][^\s\[\]{},]*\s*)*")
_GAP = re.compile(r"(?:[ \t\r\n]|(?<=\s)#[^\n]*)*")
"""White space and comments."""


def spans(node: Sequence | Mapping) -> list[Span]:
    """From where to where each part goes; a pair is one part."""
    if isinstance(node, Sequence):
        return [(item.start, item.end) for item in node.items]
    return [(key.start, value.end) for key, value in node.pairs]


def quote(node: Node) -> str:
    """The quotes that its keys or items stand in."""
    first: Node | None = None
    if isinstance(node, Sequence) and node.items:
        first = node.items[0]
    if isinstance(node, Mapping) and node.pairs:
        first = node.pairs[0][0]
    return first.style if isinstance(first, Scalar) and first.style in ("'", '"') else ""


def body(text: str, node: Node) -> int:
    """Where a node begins behind its anchor and tag."""
    found = _PROPERTIES.match(text, node.start, node.end)
    return found.end() if found else node.start


def edit(text: str, node: Sequence | Mapping, keep: Parts[bool], new: Parts[str]) -> list[Cut]:
    """Take out the parts that are not to be kept, and add new ones after the last."""
    parts = spans(node)
    if not parts:
        return [Cut(body(text, node) + 1, node.end - 1, ", ".join(new))]
    kept = [index for index, stays in enumerate(keep) if stays]
    between = _between(text, parts)
    if not kept:
        return [Cut(parts[0][0], parts[-1][1], ("," + between).join(new))]
    last = kept[-1]
    cuts = [
        _take_out(text, parts[index], parts[index + 1][0])
        for index in range(last)
        if index not in kept
    ]
    if last < len(parts) - 1 and not new:
        cuts += _take_off(text, parts[last:])
    elif last < len(parts) - 1:  # new ones in the place of those that end it
        cuts.append(Cut(parts[last + 1][0], parts[-1][1], ("," + between).join(new)))
    elif new:
        cuts += _append(text, parts[last][1], between, new)
    return cuts


def _between(text: str, parts: Parts[Span]) -> str:
    """The white space before a part that follows another."""
    start = parts[-1][0]
    if not text[line_start(text, start) : start].strip():
        return _line_break(text, start)
    before = text[:start]
    return before[len(before.rstrip(" \t")) :] if len(parts) > 1 else " "


def _line_break(text: str, start: int) -> str:
    """A line break, and as much white space as there is before ``start``."""
    first = line_start(text, start)
    return ("\r\n" if text[:first].endswith("\r\n") else "\n") + text[first:start]


def _take_out(text: str, part: Span, following: int) -> Cut:
    """Remove a part that others follow, and its lines where it has them for itself."""
    first, end = line_start(text, part[0]), line_end(text, part[1])
    if not text[first : part[0]].strip() and end <= following:
        return Cut(first, end)
    return Cut(part[0], following)


def _take_off(text: str, parts: Parts[Span]) -> list[Cut]:
    """Remove all parts but the first, with the comma after it."""
    comma = text.index(",", _gap(text, parts[0][1]))
    if "#" not in text[parts[0][1] : parts[1][0]]:
        return [Cut(parts[0][1], parts[-1][1])]
    return [Cut(comma, comma + 1), Cut(line_start(text, parts[1][0]) - 1, parts[-1][1])]


def _append(text: str, end: int, between: str, new: Parts[str]) -> list[Cut]:
    after = _gap(text, end)
    comma = text.startswith(",", after)
    rest = text[after + comma : line_end(text, after)].rstrip("\r\n")
    if "\n" in between and rest.lstrip().startswith("#"):
        added = ("," + between).join(new) + ("," if comma else "")
        cuts = [Cut(after + comma + len(rest), after + comma + len(rest), between + added)]
        return cuts if comma else [Cut(end, end, ","), *cuts]
    return [Cut(end, end, "".join("," + between + part for part in new))]


def _gap(text: str, at: int) -> int:
    found = _GAP.match(text, at)
    return found.end() if found else at


def skip(text: str, at: int) -> int:
    """The offset behind blanks."""
    return at + len(text[at:]) - len(text[at:].lstrip(" \t"))
