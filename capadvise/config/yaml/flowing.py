"""Flow collections, JSON among them: ``[a, b]`` and ``{a: b}``, on one line or on several."""

from __future__ import annotations

import re
from collections.abc import Sequence as Parts

from capadvise.config.text_edits import TextEdit, line_end, line_start
from capadvise.config.yaml.tree import Mapping, Node, Scalar, Sequence

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
    properties = _PROPERTIES.match(text, node.start, node.end)
    return properties.end() if properties else node.start


def edit(text: str, node: Sequence | Mapping, keep: Parts[bool], new: Parts[str]) -> list[TextEdit]:
    """Take out the parts that are not to be kept, and add new ones after the last."""
    parts = spans(node)
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
    if not text[line_start(text, start) : start].strip():
        return _line_break(text, start)
    before = text[:start]
    return before[len(before.rstrip(" \t")) :] if len(parts) > 1 else " "


def _line_break(text: str, start: int) -> str:
    """A line break, and as much white space as there is before ``start``."""
    first = line_start(text, start)
    return ("\r\n" if text[:first].endswith("\r\n") else "\n") + text[first:start]


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
    """Where the comma after a part is."""
    at = _gap(text, end)
    return at if text.startswith(",", at) else None


def _behind_comment(text: str, end: int) -> int:
    """The end of the line, where nothing but a comma and a comment are left of it."""
    rest = text[end : line_end(text, end)].rstrip("\r\n")
    return end + len(rest) if re.fullmatch(r"[ \t]*,?[ \t]+#.*", rest) else end


def _gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at


def skip(text: str, at: int) -> int:
    """The offset behind blanks."""
    return at + len(text[at:]) - len(text[at:].lstrip(" \t"))
