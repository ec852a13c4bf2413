"""What a program, a container or a file calls itself, in everything that capadvise prints: it stays
a name. Each output has the same structure as with an ordinary name."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from capadvise.cli import main
from capadvise.report.load import load
from tests.fuzz.strategies import steering
from tests.support.hostile_reports import CATALOG, hostile, shown

NAMES = {
    "lines": "a\nprivileged: true\r\n  - b",
    "escape sequences": "a\x1b]0;owned\x07\x1b[2J\x9b31m",
    "directions": "a\u202egpj.exe\u2066\u2028b",
    "a workflow command": "::error file=x::owned",
    "workflow commands where lines are wrapped": "::add-mask::x ::stop-commands::y " * 9,
    "workflow commands in long words": "x" * 70 + "::error::" + "y" * 71 + "##[group]##vso[x]",
    "a page": "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'",
    "markdown": "| a | [x](http://x) ![y](z) `b` **c** <b>d</b>\\",
    "a shell": "$(touch owned)`touch owned`;touch owned|touch owned&\\",
    "quotes": "'\"'; touch owned; \"'\\",
    "a comment": "x # y */ --> ]]> # \\",
    "yaml": "- &a !!python/object {<<: *a, ? x: |\n",
    "specifiers": "%i%n${HOME}$$ %(x)s {0} \\x41",
    "an option": "--privileged",
    "percent": "%0A::error::x",
}
ORDINARY = "ordinary"
_COMMANDS = re.compile(r"^\s*::[a-z-]+(\s[^:]*)?::|##(vso|teamcity)?\[", re.MULTILINE)
"""What the log of a CI job is read for: GitHub's runner (after blanks, too), Azure, TeamCity."""


class Tags(HTMLParser):
    """The elements of a page, with their attributes' names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, ...]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, *(name for name, _ in attrs)))


def shape(value: Any) -> Any:
    """A document without its texts."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value)


def compose(text: str) -> Any:
    (service,) = yaml.safe_load(text)["services"].values()
    return service


def directives(text: str) -> list[str]:
    """The lines of a unit file that are no comment."""
    return [line for line in text.splitlines() if not line.startswith(("#", ";"))]


def blocks(text: str) -> list[str]:
    """What Markdown makes of it, links and elements included."""
    parsed = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    return [inner.type for token in parsed for inner in (token, *(token.children or ()))]


STRUCTURES: dict[str, Callable[[str], Any]] = {
    "html": lambda text: Tags(text).seen,
    "svg": lambda text: Tags(text).seen,
    "markdown": blocks,
    "compose": compose,
    "kubernetes": lambda text: shape(yaml.safe_load(text)),
    "systemd": directives,
    "quadlet": directives,
    "oci": lambda text: shape(json.loads(text)),
    "sarif": lambda text: shape(json.loads(text)),
    "json": lambda text: shape(json.loads(text)),
}


def outputs(name: str, folder: Path, target: str = "command") -> dict[str, str]:
    path = folder / "report.json"
    raw = hostile(name)
    raw["target"]["kind"] = target
    raw["target"] |= {key: name for key in ("image", "container", "service", "pod")}
    path.write_text(json.dumps(raw))
    return dict(shown(load(path, CATALOG)))


@pytest.mark.parametrize("target", ["command", "unit"])
@pytest.mark.parametrize("kind", NAMES)
def test_a_name_stays_a_name_in_every_output(kind: str, target: str, tmp_path: Path) -> None:
    ordinary = outputs(ORDINARY, tmp_path, target)
    given = outputs(NAMES[kind], tmp_path, target)
    for output, text in given.items():
        assert not steering(text), output
        assert not _COMMANDS.search(text), output
        if output in STRUCTURES:
            assert STRUCTURES[output](text) == STRUCTURES[output](ordinary[output]), output


@pytest.mark.parametrize("kind", NAMES)
def test_a_shell_gets_it_as_one_word(kind: str, tmp_path: Path) -> None:
    """Snippets for a shell are executed, with a program of ours in place of what they call."""
    for output in ("docker", "podman", "setcap", "setpriv"):
        counts = []
        for name in (ORDINARY, NAMES[kind]):
            text = outputs(name, tmp_path)[output]
            words = text if output.startswith("set") else f"{output} \\\n{_last_line(text)}"
            script = f"{output}() {{ echo $#; }}\n{words}"
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
            counts.append(done.stdout)
        assert counts[0] == counts[1], output
        assert counts[0].strip().isdecimal(), output
        assert not (tmp_path / "owned").exists(), output


def _last_line(text: str) -> str:
    return text.splitlines()[-1]


@pytest.mark.parametrize("output", ["text", "json", "sarif", "github"])
@pytest.mark.parametrize("kind", NAMES)
def test_a_file_and_its_services_may_be_called_anything(
    kind: str,
    output: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path(f"{NAMES[kind].replace('/', '_')[:60]}.yaml")
    service = {"image": "x", "privileged": True, "cap_add": [NAMES[kind]]}
    file.write_text(json.dumps({"services": {NAMES[kind]: service}}))
    assert main(["check", "--strict", "--format", output, "--", str(file)]) != 0
    given = capsys.readouterr().out
    assert given
    assert not steering(given)
    if output == "github":
        commands = given.splitlines()
        assert all(re.fullmatch("::(error|warning|notice) [^:]*::.*", line) for line in commands)
    elif output == "text":
        assert not _COMMANDS.search(given)
    else:
        assert json.loads(given)
