"""HCL and TOML as the tree that YAML becomes, and JSON with comments as JSON: enough to find keys
with their lines. A value that only its program can compute has the tag EXPRESSION."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

from capadvise.config.yaml.tree import MAX_CHARACTERS, Mapping, Node, Scalar, Sequence
from capadvise.model.errors import BadInput

EXPRESSION = "!expression"
_MAX_DEPTH = 100
Pair = tuple[Node, Node]
_TOKEN = re.compile(
    r"(?P<blank>[ \t\r]+|#[^\n]*|//[^\n]*|/\*.*?(?:\*/|\Z))|(?P<newline>\n)"
    r'|(?P<text>"(?:[^"\\\n]|\\.)*(?:"|(?=\n)|\Z))|(?P<raw>\'[^\'\n]*\'?)'
    r"|(?P<heredoc><<[-~]?(?P<mark>[\w.-]+)\r?\n)|(?P<word>[\w.$-]+)|(?P<other>.)",
    re.DOTALL,
)
"""Each alternative takes what it begins with, so that hostile text costs one pass. TOML has no
``//`` outside of its texts."""
_COMMENTED = r'"(?:[^"\\\n]|\\.)*"?|(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))'
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def without_comments(text: str) -> str:
    """JSON with blanks in the place of its comments: everything else keeps its place."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found[0]) if found["comment"] else found[0]

    return re.sub(_COMMENTED, blank, text, flags=re.DOTALL)


def hcl(text: str) -> Mapping:
    """The body of a file. A block is a key whose labels are keys below it, as in HCL's JSON; a key
    can come several times. Raises BadInput, with the line."""
    return _Parser(text).body("")


def toml(text: str) -> Mapping:
    """The same for TOML: a header is a path of keys."""
    try:
        tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        said = re.search(r"line (\d+)", str(error))
        raise BadInput(f"line {said[1] if said else 1}: not TOML: {error}") from error
    return _Parser(text, toml=True).body("")


class _Parser:
    def __init__(self, text: str, *, toml: bool = False) -> None:
        if len(text) > MAX_CHARACTERS:
            raise BadInput(f"{len(text)} characters are too many: the limit is {MAX_CHARACTERS}")
        self.text = text
        self.toml = toml
        self.at = 0
        self.depth = 0
        self.lines = [found.start() for found in re.finditer("\n", text)]

    def line(self, at: int) -> int:
        return bisect_right(self.lines, at - 1) + 1

    def wrong(self, expected: str) -> BadInput:
        return BadInput(f"line {self.line(self.at)}: {expected} is expected here")

    def scalar(self, start: int, value: str, style: str = "", tag: str | None = None) -> Scalar:
        return Scalar(start, self.at, self.line(start), None, tag, value, style)

    def next(self, *, newlines: bool = False) -> re.Match[str] | None:
        """The next token, not taken yet."""
        while (token := _TOKEN.match(self.text, self.at)) is not None:
            if not (token["blank"] or (newlines and token["newline"])):
                return token
            self.at = token.end()
        return None

    def takes(self, *signs: str, newlines: bool = False) -> bool:
        token = self.next(newlines=newlines)
        if token is None or token[0] not in signs:
            return False
        self.at = token.end()
        return True

    def body(self, end: str) -> Mapping:
        """Keys and values up to the closing bracket, which is taken; at the top, to the end."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise BadInput(f"line {self.line(self.at)}: it is nested too deeply")
        start = self.at
        pairs: list[Pair] = []
        sections: list[tuple[Scalar, list[Pair]]] = []
        while self.next(newlines=True) is not None:
            if end and self.takes(end):
                break
            if self.takes(",", ";"):
                continue
            if self.toml and not end and self.takes("["):
                sections.append((self.header(), []))
                continue
            (sections[-1][1] if sections else pairs).append(self.pair())
        else:
            if end:
                raise self.wrong(f"{end!r}")
        self.depth -= 1
        for key, inner in sections:
            pairs.append(
                (key, Mapping(key.start, key.end, key.line, None, None, tuple(inner), True))
            )
        return Mapping(start, self.at, self.line(start), None, None, tuple(pairs), bool(end))

    def header(self) -> Scalar:
        """``[runners.docker]``: the rest of its line."""
        start = self.at
        end = self.text.find("\n", start)
        self.at = end if end >= 0 else len(self.text)
        parts = self.text[start : self.at].strip().strip("[]").split(".")
        return self.scalar(start, ".".join(part.strip(" \t\"'") for part in parts))

    def pair(self) -> Pair:
        keys = []
        while (token := self.next()) is not None and not token["newline"]:
            start = self.at
            if token["text"] or token["raw"] or token["word"]:
                self.at = token.end()
                keys.append(self.scalar(start, _unquoted(token)))
            elif token[0] == "(" and not keys:
                keys.append(self.expression(start))
            else:
                break
        if not keys:
            raise self.wrong("a key")
        if self.takes("=", ":"):
            value = self.value()
        elif self.takes("{"):
            value = self.body("}")
        else:
            raise self.wrong("'=' or '{'")
        for key in reversed(keys[1:]):
            value = Mapping(key.start, self.at, key.line, None, None, ((key, value),), True)
        return keys[0], value

    def value(self) -> Node:
        """A literal, if nothing follows that makes an expression of it."""
        if (token := self.next(newlines=True)) is None:
            raise self.wrong("a value")
        start = self.at
        node: Node | None = None
        self.at = token.end()
        following = self.next(newlines=True) if token[0] in "[{" else None
        if token["text"] or token["raw"]:
            node = self.scalar(start, _unquoted(token), token[0][0])
        elif token["heredoc"]:
            node = self.heredoc(start, token["mark"])
        elif token["word"]:
            known = re.fullmatch(r"true|false|null|[-+]?\d[\w.+-]*", token[0])
            node = self.scalar(start, token[0], tag=None if known else EXPRESSION)
        elif following is not None and following[0] == "for":
            return self.expression(start)
        elif token[0] == "[":
            node = self.list(start)
        elif token[0] == "{":
            node = self.body("}")
        after = self.next()
        if node is None or not (after is None or after["newline"] or after[0] in ",]})"):
            return self.expression(start)
        return node

    def heredoc(self, start: int, mark: str) -> Scalar:
        end = re.compile(rf"^[ \t]*{re.escape(mark)}[ \t\r]*$", re.MULTILINE)
        found = end.search(self.text, self.at)
        if found is None:
            raise self.wrong(f"the end of {mark}")
        value = self.text[self.at : found.start()]
        self.at = found.end()
        return self.scalar(start, value, "|")

    def list(self, start: int) -> Sequence:
        items: list[Node] = []
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise BadInput(f"line {self.line(start)}: it is nested too deeply")
        while not self.takes("]", newlines=True):
            if self.next(newlines=True) is None:
                raise self.wrong("']'")
            if not self.takes(","):
                items.append(self.value())
        self.depth -= 1
        return Sequence(start, self.at, self.line(start), None, None, tuple(items), True)

    def expression(self, start: int) -> Scalar:
        """Everything to the end of the expression, as one text."""
        self.at, open_, parts = start, 0, list[str]()
        while (token := _TOKEN.match(self.text, self.at)) is not None:
            if open_ == 0 and (token["newline"] or token[0] in ",]})"):
                break
            open_ += (token[0] in "[({") - (token[0] in "])}") if token["other"] else 0
            parts.append(" " if token["blank"] else token[0])
            self.at = token.end()
            if open_ == 0 and token[0] == ")" and self.text[start] == "(":
                break
        return self.scalar(start, "".join(parts).strip(), tag=EXPRESSION)


def _unquoted(token: re.Match[str]) -> str:
    if token["text"] is None:
        return token[0].strip("'") if token["raw"] else token[0]
    return re.sub(r"\\(.)", lambda at: _ESCAPES.get(at[1], at[1]), token[0][1:-1], flags=re.DOTALL)
