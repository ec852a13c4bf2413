"""Control sequences in what a target writes: those that pyte takes for something else are left out.
Pure."""

from __future__ import annotations

import re

_STRINGS = re.compile(r"\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|(?=\x1b))")
"""Titles, clipboards, colours, device strings: nothing of them is shown."""
_CSI = re.compile(r"\x1b\[([ -?]*)([@-~])")
_PLAIN = re.compile(r"(\??)([0-9:;]*)")
_CONTROLS = r"\x00-\x17\x19\x1c-\x1f"
"""Those that do not end a sequence in which they stand."""
_MIXED = re.compile(rf"\x1b\[[ -?]*[{_CONTROLS}][ -?{_CONTROLS}]*")
_BROKEN_OFF = re.compile(r"\x1b\[[ -?]*(?=\x1b)")
UNFINISHED = re.compile(rf"\x1b(?:\[[ -?{_CONTROLS}]*|[\]PX^_][^\x07\x1b\x9c]*\x1b?|[ -/]*)\Z")
"""What may go on in the next piece."""
SEQUENCE = re.compile(rf"{_STRINGS.pattern}|{_CSI.pattern}|\x1b[ -/]*[0-~]")
_STRANGE = re.compile(r"[^\x00-\x7e]+")
_PARAMETERS = {"m": 32, "h": 16, "l": 16, "H": 2, "f": 2, "r": 2}
"""How many parameters a sequence has; one, for the others."""
_ERASES = {"J": 3, "K": 2}
"""The largest parameter that has a meaning."""


def understood(text: str) -> str:
    """What pyte does the right thing with."""
    if "\x1b" in text:
        text = _MIXED.sub(_controls_first, _STRINGS.sub("", text))
        text = _CSI.sub(_known, _BROKEN_OFF.sub("", text))
    return _STRANGE.sub(_shown, text)


def _controls_first(match: re.Match[str]) -> str:
    """A terminal obeys them at once, before the sequence."""
    within = match[0][1:]
    controls = "".join(char for char in within if char < " ")
    return controls + "\x1b" + "".join(char for char in within if char >= " ")


def _known(match: re.Match[str]) -> str:
    """A control sequence as pyte takes it; nothing where it has another meaning than pyte knows."""
    final, plain = match[2], _PLAIN.fullmatch(match[1])
    if plain is None or (plain[1] and final not in "hl"):
        return ""
    mark, text = plain.groups()
    numbers = text.replace(":", ";").split(";")[: _PARAMETERS.get(final, 1)]
    if final in _ERASES and int(numbers[0] or 0) > _ERASES[final]:
        return ""
    return f"\x1b[{mark}{';'.join(number[:4] for number in numbers)}{final}"


def _shown(match: re.Match[str]) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in match[0])
