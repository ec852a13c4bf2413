"""What ``emit`` prints or patches passes ``check``; and the workflow of the README gates."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from capadvise.cli import main
from capadvise.config import LANGUAGES, languages
from capadvise.config.snippet_from import snippet_of
from capadvise.gate.against import against
from capadvise.gate.finding import Severity
from capadvise.gate.lint import lint
from capadvise.gate.outcome import Source, examine
from capadvise.gate.service import Service
from capadvise.judgement.decide import Need, Proof, Proposal, Verdict
from capadvise.judgement.report import Report
from capadvise.model.caps import NAMES, Cap
from capadvise.model.errors import CannotPatch
from tests.support.gate_files import gated_folder
from tests.support.languages import WRITTEN
from tests.support.recordings import BIND, CATALOG, report_of
from tests.support.usual_notes import besides_usual


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return gated_folder(tmp_path, monkeypatch)


@settings(max_examples=50, deadline=None)
@given(
    caps=st.frozensets(st.sampled_from([Cap(n) for n in range(len(NAMES))])),
    user=st.sampled_from(["0:0", "33:33"]),
)
def test_what_emit_prints_passes_the_gate(caps: frozenset[Cap], user: str) -> None:
    """But for what is as good as root, which no snippet makes harmless, and what is added for a
    user who does not get it, which its comment says too."""
    made = report_of(BIND)
    made = replace(made, target=replace(made.target, user=user))
    answer = snippet_of(made, caps, CATALOG)
    expected = {"root-equivalent", "useless-add", "high-risk", "beyond-default"}
    for kind in (each.name for each in languages("consumer") if each.can("render")):
        declared = LANGUAGES[kind].read(LANGUAGES[kind].render(answer))
        source = Source(("f",), LANGUAGES[kind], declared, (("f", declared),))
        (service,) = examine(source, CATALOG, None).services
        rules = {item.rule for item in besides_usual(service.findings, kind)}
        lacks = set(map(Cap.parse, LANGUAGES[kind].judged_by.lacks))
        if lacks & caps:  # it says so in a note of the file, and the gate does
            assert "ignored-name" in rules
            continue
        assert service.granted == caps, kind
        assert rules <= expected, kind


def written(name: str, caps: frozenset[Cap], user: str = "0:0") -> Report:
    """A report that recommends the set."""
    made = report_of(BIND)
    needs = tuple(Need(cap, Verdict.NEEDED, Proof.CALL_SITE, "it") for cap in sorted(caps))
    return replace(
        made,
        target=replace(made.target, name=name, user=user),
        proposal=Proposal(needs, caps),
    )


ENTRIES = st.lists(st.sampled_from([*NAMES[:20], "ALL", "cap_chown"]), max_size=4, unique=True)


@settings(max_examples=50, deadline=None)
@given(
    caps=st.frozensets(st.sampled_from([Cap(n) for n in range(len(NAMES))])),
    add=ENTRIES,
    drop=ENTRIES,
    privileged=st.booleans(),
)
def test_what_is_patched_passes_the_gate(
    caps: frozenset[Cap], add: list[str], drop: list[str], privileged: bool
) -> None:
    """Whatever the file said before, afterwards it grants what the report recommends."""
    made = written("web", caps)
    answer = snippet_of(made, caps, CATALOG)
    for kind in (each.name for each in languages("edit")):
        text = WRITTEN[kind](add, drop, privileged)
        if caps & set(map(Cap.parse, LANGUAGES[kind].judged_by.lacks)):
            with pytest.raises(CannotPatch, match="does not take"):
                LANGUAGES[kind].patch(text, None, answer)
            continue
        patched = LANGUAGES[kind].patch(text, None, answer).text
        (declared,) = LANGUAGES[kind].read(patched)
        service = Service.of(declared, (("f", declared),), LANGUAGES[kind].judged_by, CATALOG, caps)
        findings = [*lint(service), *against(service, made.proposal, "web.json", "recorded once")]
        assert [item for item in findings if item.severity is Severity.ERROR] == [], patched


def test_emit_into_makes_the_gate_pass(place: Path) -> None:
    """The three commands of the README, one after the other."""
    assert main(["check", "compose.yaml", "--against", "baseline/db.json"]) == 1
    emit = ["emit", "baseline/db.json", "--format", "compose", "--into", "compose.yaml"]
    Path("compose.yaml").write_text("services:\n  db:\n    image: x\n    privileged: true\n")
    assert main(["check", "compose.yaml", "--against", "baseline"]) == 1
    assert main([*emit, "--service", "db"]) == 0
    assert main(["check", "compose.yaml", "--against", "baseline", "--strict"]) == 0


def test_the_workflow_of_the_readme_gates(place: Path) -> None:
    """Its step that calls capadvise, as GitHub runs it, on files that fail and files that pass."""
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    (text,) = re.findall(r"```yaml\n(on: .*?)```", readme, re.DOTALL)
    assert len(text.splitlines()) <= 10
    steps = yaml.safe_load(text)["jobs"]["capabilities"]["steps"]
    (step,) = [run for item in steps if (run := item.get("run", "")).startswith("capadvise")]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def judged(text: str) -> list[str]:
        """Without the known programs, by which the program of a report is recognized, too: their
        table changes when it is made again."""
        odd = r" The report: [^.]*\.| The (image|unit) name suggests .*shows the proof\."
        lines = [line for line in text.splitlines() if "known-needs" not in line]
        return [re.sub(odd, "", line) for line in lines]

    def run() -> subprocess.CompletedProcess[str]:
        argv = ["bash", "-e", "-c", step]
        return subprocess.run(
            argv, capture_output=True, text=True, env={**os.environ, "PATH": path}
        )

    failed = run()
    assert failed.returncode == 1
    golden = Path(__file__).parents[1].joinpath("golden") / "check-github.txt"
    assert judged(failed.stdout) == judged(golden.read_text())
    Path("compose.yaml").write_text("services: {db: {cap_drop: [ALL], cap_add: [CHOWN]}}\n")
    passed = run()
    assert (passed.returncode, passed.stdout, passed.stderr) == (0, "", "")
