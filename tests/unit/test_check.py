"""The gate on the command line: files, outputs, exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Sarif

from capadvise.caps import NAMES, Cap
from capadvise.cli import main
from capadvise.decide import Need, Proof, Proposal, Verdict
from capadvise.errors import BadInput
from capadvise.formats import FORMATS
from capadvise.formats.edit import PATCHES
from capadvise.formats.snippet import snippet_of
from capadvise.gate.against import against
from capadvise.gate.consumers import CONSUMERS
from capadvise.gate.finding import RULES, Severity
from capadvise.gate.lint import lint
from capadvise.gate.outcome import Source, examine
from capadvise.gate.projects import projects
from capadvise.gate.service import Service
from capadvise.gate.sources import recognize, service_name
from capadvise.report.model import Report
from capadvise.report.save import save
from tests.support.cost import loaded
from tests.support.golden import assert_golden
from tests.support.known import nginx_alone
from tests.support.recordings import BIND, CATALOG, CHOWN, report_of

COMPOSE = """\
services:
  web:
    image: nginx
    cap_drop: [ALL]
    cap_add:
      - CHOWN
      - NET_BIND_SERVICE
  db:
    image: postgres
    cap_drop: [ALL]
    cap_add: [CHOWN, SYS_ADMIN]
  cache:
    image: nginx:1
    cap_add: [SYS_ADM]
    privileged: true
  quiet:
    image: quiet
    cap_drop: [ALL]
"""
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      hostNetwork: true
      containers:
      - name: app
        securityContext:
          runAsUser: 1000
          capabilities:
            drop: [ALL]
            add: [NET_RAW]
---
kind: Pod
metadata: {name: sound}
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: app
    securityContext:
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files above and reports; the gate is run in it, as in CI."""
    nginx_alone(monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("compose.yaml").write_text(COMPOSE)
    Path("pods.yaml").write_text(MANIFEST)
    save(Path("baseline/web.json"), report_of(BIND, CHOWN), CATALOG)
    save(Path("baseline/db.json"), report_of(CHOWN), CATALOG)
    return tmp_path


# ------------------------------------------------------------------------------ outputs

OUTPUTS = [
    ("check-text.txt", ["compose.yaml", "--against", "baseline"]),
    ("check-lint.txt", ["pods.yaml", "compose.yaml"]),
    ("check-json.json", ["pods.yaml", "compose.yaml", "--against", "baseline", "--output", "json"]),
    ("check-sarif.json", ["compose.yaml", "--against", "baseline", "--output", "sarif"]),
    ("check-github.txt", ["compose.yaml", "--against", "baseline", "--output", "github"]),
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
    main(["check", *argv, "--output", "sarif"])
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
    assert main(["check", "x,y:z.yaml", "--output", "github"]) == 1
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
        ({"/dev/zero": None}, "/dev/zero: too large for a configuration"),
        ({"--against": None, "/dev/zero": None}, "/dev/zero: larger than 64 MiB"),
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
    assert "capadvise.formats.compose" in modules
    slow = {"textual", "ctypes", "subprocess", "socket", "asyncio", "jsonschema", "prctl", "ptrace"}
    assert not modules & slow
    every_start = {"capadvise.linux", "capadvise.linux.kernel", "capadvise.linux.kernel.odd_start"}
    rest = modules - every_start  # what every command begins with
    assert not [name for name in rest if name.startswith(("capadvise.linux", "capadvise.tui"))]


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ("gone", "gone: No such file or directory"),
        ("compose.yaml", "compose.yaml: not a JSON file"),
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


# ------------------------------------------------------------------------------ which files


def test_what_an_output_cannot_hold_is_escaped(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal that is not UTF-8, and a file name that is not."""
    name = os.fsdecode(b"x\xff.yaml")
    Path(name).write_text("services: {web: {privileged: true}}\n")
    for output in ("text", "json", "sarif", "github"):
        held = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(held, "latin-1"))
        assert main(["check", name, "--output", output]) == 1
        assert held.getvalue().decode("latin-1")
        if output == "sarif":
            assert '"uri": "x%FF.yaml"' in held.getvalue().decode()


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("compose.yaml", "", "compose"),
        ("docker-compose.prod.yml", "x-a: 1\n", "compose"),
        ("stack.yml", "# c\nname: x\nservices:\n  a: {}\n", "compose"),
        ("stack.yml", "include: [a.yaml]\n", "compose"),
        ("stack.json", '{"services": {}}', "compose"),
        ("a.yaml", "apiVersion: v1\nkind: Pod\n", "kubernetes"),
        ("a.yaml", "---\n# c\nkind: List\n", "kubernetes"),
        ("compose.yaml", 'apiVersion: v1\n"kind": Pod\n', "kubernetes"),
        ("a.json", '{\n  "kind": "Pod"\n}', "kubernetes"),
        ("a.json", '{"items": [], "apiVersion": "v1"}', "kubernetes"),
        ("compose.yaml", "services:\n  kind:\n    image: a\n", "compose"),
        ("a.yaml", "  kind: Pod\n  spec: {}\n", "kubernetes"),
        ("web.container", "[Container]\n", "quadlet"),
        ("web.service", "[Service]\n", "systemd"),
        ("web.service.d/10-caps.conf", "[Service]\n", "systemd"),
        ("web.container.d/10-caps.conf", "[Container]\n", "quadlet"),
        ("config.json", '{"ociVersion": "1.0.2"}', "oci"),
    ],
)
def test_files_are_recognized(path: str, text: str, kind: str) -> None:
    assert recognize(path, text) == kind


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("units/web.service", "systemd", "web"),
        ("web@.service", "systemd", "web"),
        ("web.service.d/10-caps.conf", "systemd", "web"),
        ("x/web.container", "quadlet", "web"),
        ("web.container.d/10.conf", "quadlet", "web"),
        ("bundles/web/config.json", "oci", "web"),
        ("config.json", "oci", "process"),
    ],
)
def test_the_only_service_of_a_file_is_called_after_it(path: str, kind: str, name: str) -> None:
    assert service_name(path, kind) == name


def test_a_unit_is_judged_together_with_its_drop_ins(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("web.service").write_text(
        "[Service]\nExecStart=/bin/x\nCapabilityBoundingSet=CAP_SYS_ADMIN\n"
    )
    Path("web.service.d").mkdir()
    Path("web.service.d/9.conf").write_text(
        "[Service]\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_CHOWN CAP_NET_BIND_SERVICE\n"
    )
    Path("web.service.d/1.conf").write_text("[Service]\nCapabilityBoundingSet=CAP_SYS_MODULE\n")
    files = ["web.service.d/9.conf", "web.service", "web.service.d/1.conf"]
    assert main(["check", *files, "--strict", "--against", "baseline"]) == 0
    assert "matches its report: web" in capsys.readouterr().out
    assert main(["check", files[1], "--output", "github"]) == 1
    assert main(["check", *files[1:], "--output", "github"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("::error file=web.service.d/1.conf,line=2,title=capadvise root-equ")


def test_a_drop_in_need_not_speak_of_capabilities(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for unit, text in (
        ("web.service", "[Service]\nCapabilityBoundingSet=\n"),
        ("web.container", "[Container]\nDropCapability=all\n"),
    ):
        Path(unit).write_text(text)
        Path(f"{unit}.d").mkdir()
        Path(f"{unit}.d/a.conf").write_text("[Unit]\nAfter=x\n")
        assert main(["check", unit, f"{unit}.d/a.conf", "--strict"]) == 0
        assert "a.conf" not in capsys.readouterr().err
        assert main(["check", unit]) == 0
        assert f"not judged: {unit}.d/a.conf was not named" in capsys.readouterr().out
        assert main(["check", unit, "--strict"]) == 1
        capsys.readouterr()
        assert main(["check", f"{unit}.d/a.conf", "--output", "github"]) == 0
        assert ",line=1," in capsys.readouterr().out


def test_an_override_that_was_not_named_is_judged_and_a_drop_in_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("compose.override.yml").write_text("services: {quiet: {privileged: true}}\n")
    assert main(["check", "./compose.yaml"]) == 1
    assert "compose.override.yml, line 1: quiet: it is privileged" in capsys.readouterr().out
    Path("[a]").mkdir()
    Path("[a]/web.service").write_text("[Service]\n")
    Path("[a]/web.service.d").mkdir()
    Path("[a]/web.service.d/b.conf").touch()
    main(["check", "[a]/web.service"])
    assert "[a]/web.service.d/b.conf was not named" in capsys.readouterr().out


def test_a_file_without_anything_to_judge_says_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x.yaml").write_text("kind: ConfigMap\ndata: {}\n")
    assert main(["check", "x.yaml"]) == 0
    assert "note: x.yaml: it holds no service or container" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "a: 1\n", "x:\n      kind: Pod\n", "{}"])
def test_other_files_are_not(text: str) -> None:
    assert recognize("x.yaml", text) is None


@pytest.mark.parametrize(
    "text",
    [
        "kind: Pod\nservices: {a: {image: x}}\n",
        '{"ociVersion": "1.0.2", "kind": "Pod", "process": {}}',
        "services: {a: {image: x}}\n---\nkind: Pod\n",
    ],
)
def test_what_two_formats_claim_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="line 1: ambiguous"):
        recognize("x.yaml", text)


@pytest.mark.parametrize(
    ("paths", "groups"),
    [
        (["compose.yaml", "compose.override.yaml"], ["compose.yaml compose.override.yaml"]),
        (
            ["compose.yml", "compose.a.yml", "compose.b.yml"],
            ["compose.yml compose.a.yml compose.b.yml"],
        ),
        (["a/compose.yaml", "b/compose.prod.yaml"], ["a/compose.yaml", "b/compose.prod.yaml"]),
        (["docker-compose.yml", "compose.prod.yml"], ["docker-compose.yml", "compose.prod.yml"]),
        (["compose.prod.yaml", "compose.yaml"], ["compose.prod.yaml", "compose.yaml"]),
        (["a.yaml", "a.b.yaml"], ["a.yaml", "a.b.yaml"]),
        (["compose.yaml", "compose.yaml"], ["compose.yaml"]),
        (["a.service", "b.service.d/1.conf"], ["a.service", "b.service.d/1.conf"]),
        (
            ["a.service.d/2.conf", "a.service.d/1.conf", "a.service"],
            ["a.service a.service.d/1.conf a.service.d/2.conf"],
        ),
    ],
)
def test_overrides_belong_to_the_file_that_they_are_called_after(
    paths: list[str], groups: list[str]
) -> None:
    assert [" ".join(group) for group in projects(paths)] == groups


def test_without_docker_files_are_judged_as_written_and_that_is_said(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(place))
    Path("compose.yaml").write_text(
        "services: {a: {cap_drop: [ALL], user: $UID}, b: {extends: a, cap_drop: [ALL]}}\n"
    )
    assert main(["check", "compose.yaml"]) == 1  # it could hide anything
    captured = capsys.readouterr()
    assert "warning, line 1: a: user was not resolved [unresolved]" in captured.out
    assert "error, line 1: b: extends was not resolved [unresolved]" in captured.out
    said = "judged as written, without extends and overrides: docker compose is not installed"
    assert said in " ".join(captured.out.split())
    assert captured.err == ""


def test_without_docker_what_is_included_is_not_taken_to_be_good(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(place))
    Path("compose.yaml").write_text("include: [other.yaml]\n")
    assert main(["check", "compose.yaml"]) == 2
    assert "what it includes cannot be judged: docker compose is" in capsys.readouterr().err


def test_without_docker_an_override_hides_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(place))
    Path("compose.yaml").write_text("services: {a: {cap_drop: [ALL], privileged: true}}\n")
    Path("compose.override.yaml").write_text("services: {a: {cap_drop: [ALL], ports: [80]}}\n")
    assert main(["check", "compose.yaml", "compose.override.yaml"]) == 1


# ------------------------------------------------------------------------------ round trip


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
    for kind in CONSUMERS:
        declared = FORMATS[kind].read(FORMATS[kind].render(answer))
        source = Source(("f",), kind, declared, (("f", declared),))
        (service,) = examine(source, CATALOG, None).services
        assert service.granted == caps, kind
        assert {item.rule for item in service.findings} <= expected, kind


def written(name: str, caps: frozenset[Cap], user: str = "0:0") -> Report:
    """A report that recommends the set."""
    made = report_of(BIND)
    needs = tuple(Need(cap, Verdict.USED, Proof.CALL_SITE, "it") for cap in sorted(caps))
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
    lists = {"cap_add": add, "cap_drop": drop, "privileged": privileged}
    compose = yaml.safe_dump({"services": {"web": {"image": "x", **lists}}})
    context = {"privileged": privileged, "capabilities": {"add": add, "drop": drop}}
    container = {"name": "web", "securityContext": context}
    pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    files = {
        "compose": compose,
        "kubernetes": yaml.safe_dump(pod),
        "quadlet": _container_file(add, drop, privileged=privileged),
        "systemd": _service_file(add, drop),
    }
    assert files.keys() == PATCHES.keys()
    for kind, text in files.items():
        patched = PATCHES[kind](text, None, answer).text
        (declared,) = FORMATS[kind].read(patched)
        service = Service.of(declared, (("f", declared),), CONSUMERS[kind], CATALOG, caps)
        findings = [*lint(service), *against(service, made.proposal, "web.json")]
        assert [item for item in findings if item.severity is Severity.ERROR] == [], patched


def _container_file(add: list[str], drop: list[str], *, privileged: bool) -> str:
    """Quotes in some places: what one parser takes off, the other has to."""
    lines = [f'AddCapability="{name}"' for name in add] + [f"DropCapability={' '.join(drop)}"]
    args = ['PodmanArgs="--privileged" --init'] if privileged else []
    return "\n".join(["[Container]", "Image=x", *lines, *args, ""])


def _service_file(add: list[str], drop: list[str]) -> str:
    names = [name.upper() if name.startswith("cap_") else f"CAP_{name}" for name in add]
    lines = [f'CapabilityBoundingSet="{" ".join(names)}"'] if names else []
    lines += [f"CapabilityBoundingSet=~'CAP_{name}'" for name in drop]
    return "\n".join(["[Service]", "ExecStart=/bin/true", *lines, ""])


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
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (text,) = re.findall(r"```yaml\n(on: .*?)```", readme, re.DOTALL)
    assert len(text.splitlines()) <= 10
    steps = yaml.safe_load(text)["jobs"]["capabilities"]["steps"]
    (step,) = [run for item in steps if (run := item.get("run", "")).startswith("capadvise")]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def judged(text: str) -> list[str]:
        """Without what is known of the program: the table changes when it is made again."""
        return [line for line in text.splitlines() if "known-needs" not in line]

    def run() -> subprocess.CompletedProcess[str]:
        argv = ["bash", "-e", "-c", step]
        return subprocess.run(
            argv, capture_output=True, text=True, env={**os.environ, "PATH": path}
        )

    failed = run()
    assert failed.returncode == 1
    golden = Path(__file__).with_name("golden") / "check-github.txt"
    assert judged(failed.stdout) == judged(golden.read_text())
    Path("compose.yaml").write_text("services: {db: {cap_drop: [ALL], cap_add: [CHOWN]}}\n")
    passed = run()
    assert (passed.returncode, passed.stdout, passed.stderr) == (0, "", "")


def test_a_file_is_read_without_what_judges_recordings() -> None:
    """It would take as long as the rest of the start."""
    code = "import sys, capadvise.commands.check; print(sys.modules.keys() & {*sys.argv[1:]})"
    judges = ["capadvise.decide", "capadvise.judge", "capadvise.formats.snippet"]
    done = subprocess.run([sys.executable, "-c", code, *judges], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
