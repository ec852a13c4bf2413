"""YAML (and JSON) documents in spellings that readers could take differently."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

Draw = st.DrawFn
Pairs = list[tuple[str, Any]]
"""A mapping, in which a key may stand twice."""

JUDGED = ("privileged", "capabilities", "cap_add", "cap_drop", "add", "drop", "securityContext")
"""Keys that are disguised most: a document that is odd at its top is refused at once."""


@dataclass
class Map:
    """Keys and values to write, in this order."""

    pairs: Pairs


@dataclass
class Writer:
    """Writes a document; what is anchored stands before it."""

    draw: Draw
    own_tags: tuple[str, ...] = ()
    """Tags of the consumer's own."""
    anchors: list[str] = field(default_factory=list)
    oddities: int = -1
    """How many are left: a document that is odd everywhere is refused for the first of them."""

    def odd(self, percent: int) -> bool:
        if self.oddities < 0:
            self.oddities = self.draw(st.sampled_from([0, 1, 1, 1, 2, 2, 3, 6]))
        if not self.oddities or self.draw(st.integers(1, 100)) > percent:
            return False
        self.oddities -= 1
        return True

    def chance(self, percent: int) -> bool:
        return self.draw(st.integers(1, 100)) <= percent

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    # -------------------------------------------------------------------------- scalars

    def key(self, name: str) -> str:
        """A key, mostly plain."""
        if not self.odd(25 if name in JUDGED else 2):
            return name
        return str(
            self.pick(
                f'"{name}"',
                f"'{name}'",
                self.escaped(name),
                f"!!str {name}",
                f"! {name}",
                f"!x {name}",
                f"!!binary {base64.b64encode(name.encode()).decode()}",
                f"&k{len(self.anchors)} {name}",
                name.upper(),
                name.capitalize(),
                f"{name} ",
                self.aliased(name),
            )
        )

    def escaped(self, text: str) -> str:
        at = self.draw(st.integers(0, max(len(text) - 1, 0)))
        code = ord(text[at]) if text else 0
        how = self.pick(f"\\x{code:02x}", f"\\u{code:04x}", f"\\U{code:08x}")
        return f'"{text[:at]}{how}{text[at + 1 :]}"'

    def scalar(self, value: Any) -> str:
        text = json.dumps(value) if isinstance(value, bool) or "$" in value else str(value)
        if not self.odd(40 if isinstance(value, bool) else 6):
            return text
        choices = [
            *(f'"{text}"', f"'{text}'", self.escaped(text), f"!!str {text}", f"! {text}"),
            *(f"!x {text}", f"!!binary {base64.b64encode(text.encode()).decode()}"),
            *(f"!!null {text}", self.aliased(text), f"&s{len(self.anchors)} {text}"),
        ]
        if isinstance(value, bool):
            choices += ["yes", "On", "y", "1", "TRUE", "!!bool yes", '!!bool "true"', "0x1", "t"]
            choices += ["no", "Off", "n", "~", "null", "!!int 1"]
        choices += [f"{tag} {text}" for tag in self.own_tags]
        return str(self.pick(*choices))

    def aliased(self, written: str) -> str:
        name = f"a{len(self.anchors)}"
        self.anchors.append(f"x-{name}: &{name} {written}")
        return f"*{name} "

    # -------------------------------------------------------------------------- collections

    def tag(self) -> str:
        tags = ("!!null ", "!!map ", "!!seq ", "!x ", "!!set ", "!!omap ", "! ", "!!str ")
        return (
            str(self.pick(*tags, *(f"{tag} " for tag in self.own_tags))) if self.chance(6) else ""
        )

    def flow(self, value: Any) -> str:
        """On one line."""
        if isinstance(value, Map):
            written = "{" + ", ".join(self.flow_pairs(value.pairs)) + "}"
        elif isinstance(value, list):
            written = "[" + ", ".join(self.flow(item) for item in value) + "]"
        else:
            return self.scalar(value)
        written = self.tag() + written
        return self.aliased(written) if self.chance(10) else written

    def flow_pairs(self, pairs: Pairs) -> list[str]:
        return [
            f"<<: {self.merged(value)}" if key == "<<" else f"{self.key(key)}: {self.flow(value)}"
            for key, value in pairs
        ]

    def merged(self, value: Any) -> str:
        """What stands behind a merge key: a mapping, an alias of one, or a list of them."""
        written = self.flow_plain(value)
        how = self.pick("inline", "alias", "alias", "list", "mixed")
        if how == "inline":
            return written
        alias = self.aliased(written)
        other = self.aliased(self.pick("{}", "{privileged: false}", "{add: []}"))
        return {
            "alias": alias,
            "list": f"[{alias}, {other}]",
            "mixed": f"[{other}, {written}]",
        }[how]

    def flow_plain(self, value: Any) -> str:
        if isinstance(value, Map):
            return "{" + ", ".join(self.flow_pairs(value.pairs)) + "}"
        return self.flow(value)

    def block(self, value: Any, indent: int) -> str:
        """What stands behind a colon."""
        if not isinstance(value, (Map, list)) or not value or self.chance(35):
            return f" {self.flow(value)}\n"
        pad = " " * indent
        head = f" {self.tag()}".rstrip() + "\n"
        if isinstance(value, list):
            return head + "".join(f"{pad}-{self.item(item, indent + 2)}" for item in value)
        return head + "".join(self.pair(key, item, pad, indent) for key, item in value.pairs)

    def item(self, value: Any, indent: int) -> str:
        if not isinstance(value, Map) or self.chance(30):
            return f" {self.flow(value)}\n"
        pad = " " * indent
        lines = "".join(self.pair(key, item, pad, indent) for key, item in value.pairs)
        return " " + lines.removeprefix(pad)

    def pair(self, key: str, value: Any, pad: str, indent: int) -> str:
        if key == "<<":
            return f"{pad}{self.pick('<<', '<<', '<<', '!!merge <<')}: {self.merged(value)}\n"
        if self.odd(3):
            return f"{pad}? {self.key(key)}\n{pad}: {self.flow(value)}\n"
        noise = self.pick("", "", "", f"{pad}# note\n", "\n")
        return f"{noise}{pad}{self.key(key)}:{self.block(value, indent + 2)}"

    def document(self, top: Map) -> str:
        body = "".join(self.pair(key, value, "", 0) for key, value in top.pairs)
        return "".join(f"{line}\n" for line in self.anchors) + body


def shuffled(draw: Draw, pairs: Pairs) -> Pairs:
    """The same pairs in another order."""
    return list(draw(st.permutations(pairs)))


def disguised(draw: Draw, safe: Pairs, danger: Pairs) -> Map:
    """A mapping that says what is safe, with what is dangerous in it in some way: beside it, before
    or after it, merged, or not at all."""
    how = draw(st.sampled_from(["only", "beside", "merged", "merged", "merged twice", "safe"]))
    first = draw(st.booleans())
    if how == "safe" or not danger:
        return Map(shuffled(draw, safe))
    if how == "only":
        return Map(shuffled(draw, danger))
    if how == "beside":
        return Map([*danger, *safe] if first else [*safe, *danger])
    merge: Pairs = [("<<", Map(danger))]
    if how == "merged twice":
        merge = [("<<", Map([])), ("<<", Map(danger))] if first else merge * 2
    kept = [pair for pair in safe if draw(st.booleans())] or safe
    return Map([*merge, *kept] if first else [*kept, *merge])


def framed(draw: Draw, text: str, *, separators: bool) -> str:
    """The document in a file: marks, line breaks, other documents around it."""
    head = draw(
        st.sampled_from(["", "", "", "---\n", "--- # first\n", "\ufeff", "%YAML 1.1\n---\n"])
    )
    more = ["", "", "", "", "...\n", "# end\n", "---\n", "\r", "\t\n"]
    tail = draw(st.sampled_from(more))
    if separators and draw(st.integers(1, 100)) <= 15:
        between = ["--- \n", "---\t# x\n", "--- {}\n---\n", "...\n---\n", "\r---\r", "\u2028---\n"]
        text = "kind: List\nitems: []\n" + draw(st.sampled_from(between)) + text
    if draw(st.integers(1, 100)) <= 5:
        text = text.replace("\n", draw(st.sampled_from(["\r\n", "\r", "\u0085", "\u2028"])))
    return head + text + tail
