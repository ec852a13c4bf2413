"""What the README shows in its console blocks: commands, and what they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]
README = (TOP / "README.md").read_text()


@dataclass(frozen=True)
class Step:
    """A command, without sudo, and its output."""

    command: str
    output: str


def steps(text: str) -> Iterator[Step]:
    """The commands of a transcript."""
    for part in re.split(r"(?m)^\$ (?:sudo )?", text)[1:]:
        command, _, output = part.partition("\n")
        yield Step(command, output)


STEPS = [
    step for block in re.findall(r"(?ms)^```console\n(.*?)^```", README) for step in steps(block)
]
"""What the README shows."""
_CHANGES = {
    r"\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d": "DATE",
    r"\[\d+\]": "[PID]",
    r"\b\d+\.\d\s+s\b": "TIME",
    r"\broot\s+here\s+holds\s+(?:all\s+)?\d+": "root here holds all",
    r"\b\d+\s+capability\s+checks": "N capability checks",
    r"\b\d+\s+trials?\b": "N trials",
    r"\bdocker\s+\d+[^\s']*": "docker VERSION",
}
"""What is another one in each run, or on each machine."""


def of_a_day(text: str) -> str:
    """A text without its date, and the number of trials: output that chance changes takes more."""
    text = re.sub(r"\b\d{4}-\d\d-\d\d\b", "DAY", text)
    return re.sub(r"\b\d+ trials, DAY", "N trials, DAY", text)


def words(text: str) -> str:
    """A text without what changes from run to run; where lines end depends on that, too."""
    text = of_a_day(text)
    for pattern, name in _CHANGES.items():
        text = re.sub(pattern, name, text)
    return " ".join(text.split())


def assert_shows(expected: str, printed: str) -> None:
    """Lines of ``…`` stand for anything."""
    parts = re.split(r"(?m)^…\n", expected)
    pattern = ".*".join(re.escape(words(part)) for part in parts)
    assert re.fullmatch(pattern, words(printed)), f"{words(expected)}\n≠\n{words(printed)}"
