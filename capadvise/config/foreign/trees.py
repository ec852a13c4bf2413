"""HCL, TOML, and JSON with comments as the tree that YAML becomes, with the line of each key. A
value that only its tool can compute is a scalar with the tag EXPRESSION."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from typing import Any

from capadvise.config.yaml.tree import MAX_CHARACTERS, Mapping, Node, Scalar, Sequence, documents
from capadvise.model.errors import BadInput

EXPRESSION = "!expression"
MAX_SIGNS = 100_000
"""Nobody maintains a larger file of this kind, and each sign takes some microseconds."""
Pairs = list[tuple[Node, Node]]
_COMMENTED = r'"(?:[^"\\\n]|\\.)*+"?|(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))'
_TEXT = r'[^"{}]|"(?:[^"\\\n]|\\.)*+"'
_INNER = rf"(?:{_TEXT}|\{{(?:{_TEXT}|\{{(?:{_TEXT})*+\}})*+\}})*+"
_QUOTE = rf'"(?:[^"\\$%\n]|\\.|(?:\$\$|%%)\{{|[$%](?!\{{)|[$%]\{{{_INNER}\}})*+"'
"""``"${f("}")}"`` is one text."""
_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\ufeff]++|#[^\n]*|//[^\n]*|/\*.*?(?:\*/|\Z))|(?P<newline>\n)"
    rf"|(?P<quote>{_QUOTE})|<<[-~]?(?P<mark>[\w.-]++)\r?\n(?P<heredoc>.*?)"
    r"(?:^[ \t]*(?P=mark)[ \t\r]*$|\Z)"
    r"|(?P<function>(?:(?:json|yaml)encode|yamldecode|tolist|toset)\()"
    r"|(?P<word>[\w.$-]++|\([^()\n]*+\)(?=[ \t]*=[^=>]))|(?P<sign>.|\Z)",
    re.DOTALL | re.MULTILINE,
)
"""The functions have the value of their argument; a word in brackets is a key that is computed."""
_ASSIGNED = re.compile(r"(?<![=!<>])=(?![=>])")
_LITERAL = r"true|false|null|[-+]?\d[\w.+-]*"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def roots(text: str, path: str) -> tuple[Node, ...]:
    """The documents of a file, in the language that its name tells. Raises BadInput, with the line,
    for what is not in that language."""
    if len(text) > MAX_CHARACTERS:
        raise BadInput(f"{len(text)} characters are too many: the limit is {MAX_CHARACTERS}")
    if sum(map(text.count, ("\n", ",", '"', "=", "{", "[", "("))) > MAX_SIGNS:
        raise BadInput(f"more than {MAX_SIGNS} values and signs are too many")
    is_json = re.match(r"\s*\{", text) is not None
    try:
        if path.endswith(".toml"):
            return (_toml(text),)
        if path.endswith((".hcl", ".nomad", ".tf", ".tofu")) and not is_json:
            return (_Hcl(text).inside(""),)
    except RecursionError as error:
        raise BadInput("line 1: it is nested too deeply") from error
    return documents(_without_comments(text) if path.endswith(".json") else text)


def scalar(value: str, line: int, tag: str | None = None, style: str = "") -> Scalar:
    """A value that stands in no YAML text."""
    return Scalar(0, 0, line, None, tag, value, style)


def mapping(pairs: Pairs, line: int) -> Mapping:
    """The same for keys and values."""
    return Mapping(0, 0, line, None, None, tuple(pairs), True)


def sequence(items: list[Node], line: int) -> Sequence:
    """The same for a list."""
    return Sequence(0, 0, line, None, None, tuple(items), True)


def _without_comments(text: str) -> str:
    """JSON with blanks in the place of its comments: everything else keeps its place."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found[0]) if found["comment"] else found[0]

    return re.sub(_COMMENTED, blank, text, flags=re.DOTALL)


def _toml(text: str) -> Node:
    lines: dict[str, list[int]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if key := re.match(r"[\s\[]*+([^=\]#]{1,200})", line):
            lines.setdefault(key[1].strip().rpartition(".")[2].strip("\"'"), []).append(number)
    try:
        return _of_toml(tomllib.loads(text), "", 1, lines)
    except tomllib.TOMLDecodeError as error:
        said = re.search(r"line (\d+)", str(error))
        raise BadInput(f"line {said[1] if said else 1}: not TOML: {error}") from error


def _of_toml(value: Any, key: str, line: int, lines: dict[str, list[int]]) -> Node:
    """``lines``: where each key begins a line. Each item of a list of tables has a header."""

    def next_line(name: str, line: int) -> int:
        known = lines.get(name, [])
        at = bisect_left(known, line)
        return known[at] if at < len(known) else line

    if isinstance(value, dict):
        places = {name: next_line(name, line) for name in value}
        pairs: Pairs = [
            (scalar(name, at), _of_toml(value[name], name, at, lines))
            for name, at in places.items()
        ]
        return mapping(pairs, line)
    if not isinstance(value, list):
        said = str(value).lower() if isinstance(value, bool) else str(value)
        return scalar(said, line, style='"' if isinstance(value, str) else "")
    items: list[Node] = []
    for each in value:
        items.append(_of_toml(each, key, line, lines))
        line = next_line(key, line + 1) if isinstance(each, dict) else line
    return sequence(items, line)


class _Hcl:
    """A block is a key whose labels are keys below it, as in HCL's JSON; a key can come often."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.ends = [end.start() for end in re.finditer("\n", text)]

    def line(self, at: int) -> int:
        return bisect_left(self.ends, at) + 1

    def next(self, *, newlines: bool = False) -> re.Match[str]:
        """The next token, not taken yet; an empty sign at the end."""
        while True:
            token = _TOKEN.match(self.text, self.at)
            assert token is not None, "the last alternative takes everything"
            if not (token["blank"] or (newlines and token["newline"])):
                return token
            self.at = token.end()

    def inside(self, end: str) -> Node:
        """A list, or keys and values, up to the closing bracket, which is taken."""
        line = self.line(self.at)
        items: list[Node] = []
        pairs: Pairs = []
        while (token := self.next(newlines=True))["sign"] != end:
            if token[0] in (",", ";"):
                self.at = token.end()
            elif end == "]" and token[0]:
                items.append(self.value())
            else:
                pairs.append(self.pair())
        self.at = token.end()
        return sequence(items, line) if end == "]" else mapping(pairs, line)

    def pair(self) -> tuple[Node, Node]:
        keys: list[Scalar] = []
        while (token := self.next())["word"] or token["quote"]:
            keys.append(self.scalar(token))
        if not keys or token[0] not in ("=", ":", "{"):
            expected = "'=' or '{'" if keys else "a key"
            raise BadInput(f"line {self.line(self.at)}: {expected} is expected here")
        self.at = token.end()
        value = self.inside("}") if token[0] == "{" else self.value()
        for key in reversed(keys[1:]):
            value = mapping([(key, value)], key.line)
        return keys[0], value

    def scalar(self, token: re.Match[str]) -> Scalar:
        line, self.at = self.line(token.start()), token.end()
        if token["mark"]:
            return scalar(token["heredoc"], line, style="|")
        if token["word"]:
            known = re.fullmatch(_LITERAL, token[0])
            return scalar(token[0], line, None if known else EXPRESSION)
        value = re.sub(r"\\(.)", lambda at: _ESCAPES.get(at[1], at[1]), token[0][1:-1], flags=re.S)
        return scalar(value, line, style='"')

    def value(self) -> Node:
        """A literal, if nothing follows that makes an expression of it."""
        token = self.next(newlines=True)
        start = self.at
        if token["sign"]:
            self.at = token.end()
            if token[0] not in ("[", "{") or self.next(newlines=True)[0] == "for":
                return self.rest(start, token[0] in ("[", "{", "("))
            node = self.inside("]" if token[0] == "[" else "}")
        elif token["function"]:
            self.at = token.end()
            node = self.value()
            if (end := self.next(newlines=True))[0] != ")":
                return self.rest(start, 1)
            self.at = end.end()
        elif token[0]:
            node = self.scalar(token)
        else:
            raise BadInput(f"line {self.line(start)}: a value is expected here")
        after = self.next()
        is_all = after["newline"] or after[0] in ("", ",", "]", ")", "}")
        return node if is_all else self.rest(start)

    def rest(self, start: int, depth: int = 0) -> Scalar:
        """An expression, of which some is taken, with ``depth`` open brackets."""
        while (token := self.next(newlines=depth > 0))[0]:
            closes = token["sign"] in ("]", ")", "}")
            if depth == 0 and (closes or token["newline"] or token["sign"] == ","):
                break
            if depth == 0 and _ASSIGNED.match(self.text, token.start()):
                raise BadInput(f"line {self.line(token.start())}: a line end is expected before =")
            self.at = token.end()
            depth += -1 if closes else token["sign"] in ("[", "(", "{") or bool(token["function"])
        return scalar(self.text[start : self.at].strip(), self.line(start), EXPRESSION)
