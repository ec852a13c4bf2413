"""Files as people write them: the gate says nothing of most of their mounts, devices and keys.

A line that its author would agree with has ``# found: RULE`` at its end; anything else that the
gate says of what a line reaches of the host is noise.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from capadvise.cli import main

FOLDER = Path(__file__).parents[2] / "data" / "honest"
FILES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file())
REACH = (
    *("control-socket", "host-folder", "host-device", "host-namespace", "host-command"),
    *("unconfined", "not-judged", "privileged-command"),
)


def said(file: str, capsys: pytest.CaptureFixture[str]) -> set[tuple[int, str]]:
    """(line, rule) of the findings about what the file reaches of the host."""
    main(["check", "--format", "json", str(FOLDER / file)])
    files = json.loads(capsys.readouterr().out)["files"]
    found = [x for each in files for service in each["services"] for x in service["findings"]]
    return {(each["line"], each["rule"]) for each in found if each["rule"] in REACH}


def agreed(file: str) -> set[tuple[int, str]]:
    lines = (FOLDER / file).read_text().splitlines()
    named = ((n, re.search(r"# found: (\S+)$", line)) for n, line in enumerate(lines, 1))
    return {(n, rule[1]) for n, rule in named if rule}


def test_at_most_one_line_in_ten_is_noise(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(FILES) >= 40
    lines = {file: said(file, capsys) for file in FILES}
    noise = {file: extra for file in FILES if (extra := lines[file] - agreed(file))}
    every = sum(map(len, lines.values()))
    assert sum(map(len, noise.values())) * 10 <= every, noise


@pytest.mark.parametrize("file", [file for file in FILES if agreed(file)])
def test_what_an_author_agrees_with_is_said(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert agreed(file) <= said(file, capsys)


FEATURES = {
    (file, name): text
    for file, each in yaml.safe_load((FOLDER.parent / "honest-features.yaml").read_text()).items()
    for name, text in each.items()
}


@pytest.mark.parametrize(("file", "name"), FEATURES)
def test_features_as_people_use_them_are_quiet(
    file: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(FEATURES) >= 30
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FEATURES[file, name])
    main(["check", "--format", "json", str(path)])
    files = json.loads(capsys.readouterr().out)["files"]
    every = [x for each in files for service in each["services"] for x in service["findings"]]
    every += [x for each in files for x in each["findings"]]
    noise = (*REACH, "rejected", "root-equivalent", "ignored-name")
    assert [(x["rule"], x["what"]) for x in every if x["rule"] in noise] == []
