"""What a command reads from standard input, its trials read, too."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.runs import CAPADVISE, Run

pytestmark = pytest.mark.kernel


def test_trials_read_the_file_that_the_command_read(run: Run, tmp_path: Path) -> None:
    """A shell with empty input does nothing, and so none was the minimal set."""
    script, report = tmp_path / "script", tmp_path / "again.json"
    script.write_text("touch f; chown nobody f || exit 1; rm f\n")
    with script.open() as given:
        result = run("sh", options=("--prove",), stdin=given)
    assert result.minimal == {"CHOWN"}
    report.write_text(json.dumps(result.report))
    words = [CAPADVISE, "prove", "-o", str(report), str(report)]
    with script.open() as given:
        subprocess.run(words, check=True, capture_output=True, stdin=given)
    assert json.loads(report.read_text())["proposal"]["minimal"] == ["CAP_CHOWN"]


def test_that_trials_do_not_have_what_came_through_a_pipe_is_said(run: Run) -> None:
    reads = "touch f; grep -q data && chown nobody f"
    result = run("sh", "-c", reads, options=("--prove",), input="data\n")
    said = " ".join(result.stderr.split())
    assert result.code == 1
    assert "in trials it fails even with every capability" in said
    assert "the trials had no input" in said
