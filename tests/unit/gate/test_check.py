"""The gate on the command line: outputs and exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Sarif

from capadvise.cli import main
from capadvise.gate.finding import RULES
from capadvise.report.save import save
from tests.support.cost import loaded
from tests.support.gate_files import gated_folder
from tests.support.golden import assert_golden
from tests.support.recordings import BIND, CATALOG, report_of


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return gated_folder(tmp_path, monkeypatch)


# ------------------------------------------------------------------------------ outputs

OUTPUTS = [
    ("check-text.txt", ["compose.yaml", "--against", "baseline"]),
    ("check-lint.txt", ["pods.yaml", "compose.yaml"]),
    ("check-json.json", ["pods.yaml", "compose.yaml", "--against", "baseline", "--format", "json"]),
    ("check-sarif.json", ["compose.yaml", "--against", "baseline", "--format", "sarif"]),
    ("check-github.txt", ["compose.yaml", "--against", "baseline", "--format", "github"]),
]


@pytest.mark.parametrize(("golden", "argv"), OUTPUTS)
def test_outputs(
    golden: str, argv: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *argv]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    assert_golden(golden, captured.out)


def test_the_page_for_people_fits_a_terminal(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", "compose.yaml", "pods.yaml", "--against", "baseline"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def sarif(argv: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    main(["check", *argv, "--format", "sarif"])
    return json.loads(capsys.readouterr().out)


def test_sarif_keeps_to_its_schema(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The model is made from the schema of SARIF 2.1.0; it refuses unknown keys and values."""
    found = sarif(["compose.yaml", "pods.yaml", "--against", "baseline"], capsys)
    Sarif.model_validate(found)
    (run,) = found["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(RULES)
    for result in run["results"]:
        assert list(RULES)[result["ruleIndex"]] == result["ruleId"]


def test_sarif_paths_are_relative_and_encoded(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder := place / "a b").mkdir()
    (folder / "compose.yaml").write_text("services: {a: {privileged: true}}\n")
    found = sarif([str(folder / "compose.yaml")], capsys)
    (result,) = found["runs"][0]["results"]
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "a%20b/compose.yaml"


def test_github_commands_cannot_be_forged(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = '"a\\n::error::%0A b": {privileged: true}'
    (place / "x,y:z.yaml").write_text(f"services: {{{hostile}}}\n")
    assert main(["check", "x,y:z.yaml", "--format", "github"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "::error file=x%2Cy%3Az.yaml,line=1,title=capadvise privileged::"
        "a\\n\\x3a:error::%250A b: it is"
    )


def test_hostile_names_do_not_reach_the_terminal(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x.yaml").write_text('services: {"\\e[2Jweb": {cap_add: ["\\e[1mALL", "a\\nb"]}}\n')
    assert main(["check", "x.yaml"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "'a\\\\nb' is not a capability" in out


def test_what_an_output_cannot_hold_is_escaped(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal that is not UTF-8, and a file name that is not."""
    name = os.fsdecode(b"x\xff.yaml")
    Path(name).write_text("services: {web: {privileged: true}}\n")
    for output in ("text", "json", "sarif", "github"):
        held = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(held, "latin-1"))
        assert main(["check", name, "--format", output]) == 1
        assert held.getvalue().decode("latin-1")
        if output == "sarif":
            assert '"uri": "x%FF.yaml"' in held.getvalue().decode()


# ------------------------------------------------------------------------------ exit codes


@pytest.mark.parametrize(
    ("service", "strict", "code"),
    [
        ("{cap_drop: [ALL]}", True, 0),
        ("{cap_add: [CHOWN]}", False, 0),
        ("{cap_add: [CHOWN]}", True, 1),
        ("{cap_add: [ALL]}", False, 1),
    ],
)
def test_errors_fail_the_gate_and_warnings_do_if_asked(
    service: str, strict: bool, code: int, place: Path
) -> None:
    Path("x.yaml").write_text(f"services: {{web: {service}}}\n")
    assert main(["check", "x.yaml", *["--strict"] * strict]) == code


def test_a_service_without_a_report_is_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x.yaml").write_text("services: {new: {cap_drop: [ALL]}}\n")
    assert main(["check", "x.yaml", "--against", "baseline"]) == 1
    assert "error, line 1: new: no report says what it needs" in capsys.readouterr().out
    assert main(["check", "x.yaml", "--against", "baseline", "--strict", "--allow-unknown"]) == 0


def test_one_report_for_one_service_needs_no_name(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x.yaml").write_text("services: {other: {cap_drop: [ALL], cap_add: [CHOWN]}}\n")
    assert main(["check", "x.yaml", "--against", "baseline/db.json"]) == 0
    assert "matches its report: other" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"gone.yaml": None}, "gone.yaml: No such file or directory"),
        ({"x.yaml": b"\xff\xfe\xff"}, "x.yaml: not UTF-8"),
        ({"x.yaml": b"just text\n"}, "x.yaml: neither a compose file, a Kubernetes manifest"),
        ({"x.yaml": b"services: [\n"}, "x.yaml: line 2: "),
        ({"x.yaml": b"services: {a: {cap_add: {b: c}}}\n"}, "x.yaml: line 1: cap_add must be"),
        ({"x.yaml": b"kind: Pod\nspec: {containers: 5}\n"}, "x.yaml: line 2: containers must be"),
        ({"x.yaml": b"kind: Pod\nspec: {hostPID: no, volumes: 5}\n"}, "x.yaml: line 2: volumes"),
        ({"x.yaml": b"{{ if x }}\nkind: Pod\n"}, "x.yaml: line 2: "),
        ({"x.yaml": b"kind: {{ x }}\n"}, "x.yaml: line 1: kind must be a text\ncapadvise: hint: a"),
        ({"/dev/zero": None}, "/dev/zero: a device, which is not read as a file"),
        (
            {"--against": None, "/dev/zero": None},
            "/dev/zero: a device, which is not read as a file",
        ),
    ],
)
def test_a_bad_file_is_one_line(
    files: dict[str, bytes | None], said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in files.items():
        if content is not None:
            Path(name).write_bytes(content)
    against = "--against" in files
    assert main(["check", "compose.yaml", *files]) == 2
    captured = capsys.readouterr()
    assert ("1 file could not be judged" in captured.out) is not against
    assert ("cache: it is privileged" in captured.out) is not against  # the rest is judged
    assert captured.err.startswith(f"capadvise: error: {said}")
    assert len([x for x in captured.err.splitlines() if "hint:" not in x]) == 1


def test_an_answer_that_cannot_be_written_is_no_pass(place: Path) -> None:
    argv = [Path(sys.executable).with_name("capadvise"), "check", "compose.yaml"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True)
    said = "capadvise: error: cannot write: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_the_gate_loads_what_it_reads_with_and_no_more(place: Path) -> None:
    """Start-up is most of what it takes; ``tests/bench/gate.py`` measures it."""
    modules = loaded("from capadvise.cli import main; main(['check', 'compose.yaml'])")
    assert "capadvise.config.compose.file" in modules
    slow = {"textual", "ctypes", "subprocess", "socket", "asyncio", "jsonschema", "prctl", "ptrace"}
    assert not modules & slow
    every_start = {"capadvise.linux", "capadvise.kernel", "capadvise.kernel.odd_start"}
    rest = modules - every_start  # what every command begins with
    assert not [name for name in rest if name.startswith(("capadvise.linux", "capadvise.tui"))]


def test_a_file_is_read_without_what_judges_recordings() -> None:
    """It would take as long as the rest of the start."""
    code = "import sys, capadvise.cli.commands.check; print(sys.modules.keys() & {*sys.argv[1:]})"
    judges = [f"capadvise.judgement.{name}" for name in ("decide", "judge", "report")]
    done = subprocess.run([sys.executable, "-c", code, *judges], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ("gone", "gone: No such file or directory"),
        ("compose.yaml", "compose.yaml is a compose file; check --against takes a report"),
        (".", "this folder holds no report (*.json)"),
        ("other.json", "other.json: it is of 'nginx', and no service has that name"),
    ],
)
def test_a_bad_baseline_is_one_line(
    against: str, said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if against == "other.json":
        save(Path(against), report_of(BIND), CATALOG)
    assert main(["check", "compose.yaml", "--against", against]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


@pytest.mark.parametrize("text", ["kind: [a, b]\n", '{"kind": ["{name}: only services"]}\n'])
def test_a_list_of_kinds_is_another_program_s(
    text: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ended the check of a whole folder; with a version it is an object, and is refused."""
    Path("project").mkdir()
    Path("project/other.yaml").write_text(text)
    Path("compose.yaml").rename("project/compose.yaml")
    Path("bad.yaml").write_text("apiVersion: v1\nkind: [Pod]\n")
    assert main(["check", "project"]) == 1
    assert "1 file of other kinds skipped" in capsys.readouterr().out.replace("\n", " ")
    assert main(["check", "bad.yaml"]) == 2
