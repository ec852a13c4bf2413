"""What the gate does with folders, with what it cannot judge, and with what somebody accepts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import pytest

from capadvise.catalog import default
from capadvise.cli import main
from capadvise.config import LANGUAGES
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.granted import granted
from capadvise.config.systemd import file as systemd
from capadvise.gate.against import own_users
from capadvise.gate.finding import Finding, Severity
from capadvise.gate.gathering import projects
from capadvise.gate.lint import lint
from capadvise.gate.pod_security import service_level
from capadvise.gate.service import Service
from capadvise.judgement.report import Report
from capadvise.model.caps import NAMES, parse_set
from capadvise.model.posture import Posture, Sharing
from capadvise.report.save import save
from tests.support.cost import at_most
from tests.support.recordings import BIND, CHOWN, RECORDING, report, report_of
from tests.support.recordings import check as asked
from tests.support.usual_notes import besides_usual, usual

CATALOG = default()
Out = pytest.CaptureFixture[str]
GOOD = "services: {web: {image: x, cap_drop: [ALL]}}\n"
BAD = "services:\n  dind:\n    image: x\n    cap_drop: [ALL]\n    privileged: true\n"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(capsys: Out, *argv: str) -> tuple[int, Any]:
    status = main(["check", *argv, "--format", "json"])
    return status, json.loads(capsys.readouterr().out)


def rules(answer: Any) -> list[tuple[str, str | None]]:
    """(rule, why it is accepted) of all findings but those that every service gets."""
    return [
        (finding["rule"], finding["accepted"])
        for file in answer["files"]
        for finding in (
            *file["findings"],
            *(item for service in file["services"] for item in service["findings"]),
        )
        if finding["rule"] not in (usual(file["format"]) if file["format"] else ())
    ]


# ------------------------------------------------------------------------------ files


def test_a_folder_is_walked_and_what_is_not_ours_is_counted(capsys: Out) -> None:
    for path, text in {
        "a/compose.yaml": GOOD,
        "a/b/pod.yml": "kind: Pod\nspec: {containers: [{name: c}]}\n",
        "a/web.service": "[Service]\nExecStart=/bin/true\nCapabilityBoundingSet=\n",
        "a/.github/FUNDING.yml": "github: somebody\n",
        "a/.gitlab-ci.yml": "include: [x]\nservices: [postgres]\ntest: {script: [x]}\n",
        "a/package.json": "{}",
        "a/.git/x.yaml": BAD,
        "a/README.md": "text",
    }.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    status, answer = check(capsys, "a")
    assert status == 0
    names = sorted(path for file in answer["files"] for path in file["paths"])
    assert names == ["a/.gitlab-ci.yml", "a/b/pod.yml", "a/compose.yaml", "a/web.service"]
    assert answer["skipped"] == 2


def test_one_unusable_file_does_not_hide_the_others(capsys: Out) -> None:
    Path("broken.yaml").write_text("kind: Pod\nspec: {hostPID: true, hostPID: false}\n")
    Path("compose.yaml").write_text(BAD)
    status, answer = check(capsys, "broken.yaml", "compose.yaml")
    assert status == 2
    assert rules(answer) == [("privileged", None)]
    (unusable,) = answer["unusable"]
    assert unusable["message"] == "broken.yaml: line 2: key 'hostPID' appears twice"
    assert main(["check", "."]) == 2
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("failed: 1 error in 1 service of 1 file, 1 file co")


def stream(text: bytes) -> TextIO:
    """A file as standard input."""
    Path("typed").write_bytes(text)
    return open("typed")


def test_standard_input_is_a_file(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    monkeypatch.setattr(sys, "stdin", stream(BAD.encode()))
    status, answer = check(capsys, "-")
    assert (status, rules(answer)) == (1, [("privileged", None)])
    assert answer["files"][0]["paths"] == ["-"]


def test_a_folder_with_nothing_in_it_is_no_pass(
    monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """A gate that is pointed at the wrong place would pass for ever."""
    Path("empty").mkdir()
    Path("empty/notes.yaml").write_text("a: b\n")
    status, answer = check(capsys, "empty")
    assert (status, rules(answer), answer["skipped"]) == (0, [("not-judged", None)], 1)
    assert check(capsys, "empty", "--strict")[0] == 1
    Path("empty/compose.yaml").write_text(GOOD)
    assert check(capsys, "empty", "--strict")[0] == 0


def test_the_last_line_says_what_could_not_be_judged(capsys: Out) -> None:
    assert main(["check", "nosuch"]) == 2
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "failed: 1 file could not be judged"


def test_units_on_standard_input_are_told_how(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    text = b"[Service]\nExecStart=/bin/x\n"
    monkeypatch.setattr(sys, "stdin", stream(text))
    assert main(["check", "-"]) == 2
    assert "units and quadlets are recognised by name" in capsys.readouterr().err


def test_projects_are_found_in_time_that_grows_with_the_files() -> None:
    """Each file is looked up, not held against every other one."""
    names = ("compose.yaml", "compose.x.yaml")
    paths = [f"{number}/{name}" for name in names for number in range(500)]
    with at_most(600 * len(paths)):
        assert len(projects(paths)) == 500


def test_what_is_not_judged_fails_a_strict_gate(capsys: Out) -> None:
    for path, text, what in (
        ("kustomization.yaml", "resources: [a.yaml]\n", "includes other files"),
        ("app.yaml", "apiVersion: x\nkind: HelmRelease\nspec: {}\n", "Flux resolves"),
        ("web.container", "[Container]\nImage=x\nDropCapability=all\nPod=a.pod\n", "joins a pod"),
    ):
        Path(path).write_text(text)
        assert main(["check", path]) == 0
        assert what in " ".join(capsys.readouterr().out.split())
        assert main(["check", path, "--strict"]) == 1
        capsys.readouterr()


def test_a_chart_in_a_folder_is_not_passed_over(capsys: Out) -> None:
    Path("templates").mkdir()
    Path("Chart.yaml").write_text("apiVersion: v2\nname: x\n")
    Path("templates/pod.yaml").write_text("kind: Pod\n{{- if .x }}\nspec: {}\n{{- end }}\n")
    status, answer = check(capsys, ".", "--strict")
    assert status == 1
    assert {rule for rule, _ in rules(answer)} == {"not-judged"}


def test_files_that_env_names_are_asked_for(capsys: Out) -> None:
    Path("compose.yaml").write_text(GOOD)
    Path(".env").write_text("COMPOSE_FILE=compose.yaml:other.yaml\n")
    status, answer = check(capsys, "compose.yaml", "--strict")
    assert (status, rules(answer)) == (1, [("not-judged", None)])


# ------------------------------------------------------------------------------ accepting


def test_a_comment_accepts_with_a_reason(capsys: Out) -> None:
    for comment in (
        "privileged: true # capadvise: accept privileged, reason: it starts containers",
        "# capadvise: accept privileged, add-all, reason: it starts containers\n"
        "    privileged: true",
    ):
        Path("compose.yaml").write_text(BAD.replace("privileged: true", comment))
        status, answer = check(capsys, "compose.yaml", "--strict")
        assert (status, rules(answer)) == (0, [("privileged", "it starts containers")])
        assert check(capsys, "compose.yaml", "--no-inline")[0] == 1
        assert main(["check", "compose.yaml"]) == 0
        said = capsys.readouterr().out
        assert "it is privileged [privileged]: it starts" in " ".join(said.split())
        assert "1 accepted" in said


@pytest.mark.parametrize(
    ("comment", "rule"),
    [
        ("# capadvise: accept add-all, reason: x", "privileged"),
        ("# capadvise: accept privileged, until: 2020-01-01, reason: x", "privileged"),
    ],
)
def test_what_accepts_nothing_or_has_expired_is_a_finding(
    comment: str, rule: str, capsys: Out
) -> None:
    Path("compose.yaml").write_text(BAD.replace("true", f"true {comment}"))
    status, answer = check(capsys, "compose.yaml")
    assert status == 1
    assert sorted(rules(answer)) == [(rule, None), ("unused-exception", None)]


@pytest.mark.parametrize(
    "comment", ["# capadvise: accept privileged", "# capadvise: accept all, reason: x"]
)
def test_a_comment_that_cannot_be_read_is_refused(comment: str, capsys: Out) -> None:
    Path("compose.yaml").write_text(f"{comment}\n{GOOD}")
    assert main(["check", "compose.yaml"]) == 2
    assert "compose.yaml: line 1: " in capsys.readouterr().err


EXCEPTIONS = """exceptions:
- rule: privileged
  path: "*.yaml"
  service: dind
  owner: team-ci
  reason: it starts containers
  expires: {expires}
"""


@pytest.mark.parametrize(
    ("expires", "status", "found"),
    [
        (
            "2999-01-01",
            1,
            [("privileged", "it starts containers"), ("unused-exception", None)],
        ),
        ("2020-01-01", 1, [("privileged", None), ("unused-exception", None)]),
    ],
)
def test_a_file_of_exceptions_has_owners_and_an_end(
    expires: str, status: int, found: list[tuple[str, str | None]], capsys: Out
) -> None:
    Path("compose.yaml").write_text(BAD)
    Path("accepted").write_text(EXCEPTIONS.format(expires=expires))
    answer = check(capsys, "compose.yaml", "--exceptions", "accepted", "--strict")
    assert (answer[0], sorted(rules(answer[1]))) == (status, found)
    Path("accepted").write_text(
        EXCEPTIONS.replace("  owner: team-ci\n", "").format(expires=expires)
    )
    assert main(["check", "compose.yaml", "--exceptions", "accepted"]) == 2
    assert "accepted: line 2: key 'owner' is missing" in capsys.readouterr().err


# ------------------------------------------------------------------------------ risk in its place


def findings(kind: str, declared: Declared, *needed: str) -> list[tuple[str, str]]:
    service = Service.of(
        declared, (("f", declared),), LANGUAGES[kind].judged_by, CATALOG, parse_set(list(needed))
    )
    return [(item.rule, str(item.severity)) for item in besides_usual(lint(service), kind)]


def declared(*add: str, exposed: tuple[Exposure, ...] = (), **more: Any) -> Declared:
    there = tuple(ExposureAt(kind, kind.value, 1) for kind in exposed)
    return Declared("web", 1, ("ALL",), add, exposed=there, **more)


PROCESSES, NETWORK = Exposure.HOST_PROCESSES, Exposure.HOST_NETWORK
OWN = dict.fromkeys(("mnt", "net", "uts", "ipc", "pid"), Sharing.OWN)
FITTING = replace(
    report_of(asked("SYS_ADMIN", "__x64_sys_sethostname", "sethostname"), CHOWN),
    posture=Posture(namespaces={**OWN, "user": Sharing.HOST}),
)
"""Of a container that sets its host name."""


@pytest.mark.parametrize(
    ("kind", "service", "found"),
    [
        ("compose", declared("SYS_PTRACE"), [("beyond-default", "note")]),
        (
            "compose",
            declared("SYS_PTRACE", exposed=(PROCESSES,)),
            [("root-equivalent", "error"), ("host-namespace", "warning")],
        ),
        ("compose", declared("NET_ADMIN"), [("high-risk", "warning")]),
        (
            "compose",
            declared("NET_ADMIN", exposed=(NETWORK,)),
            [("root-equivalent", "error"), ("host-namespace", "warning")],
        ),
        ("compose", declared(exposed=(Exposure.CONTROL_SOCKET,)), [("control-socket", "error")]),
        (
            "compose",
            declared(exposed=(Exposure.CONTROL_SOCKET,), user="1000"),
            [("control-socket", "warning")],
        ),
        ("compose", declared(exposed=(Exposure.HOST_KERNEL,)), [("host-folder", "note")]),
        ("compose", declared(exposed=(Exposure.HOST_NAME,)), []),
        ("systemd", declared("CAP_SYS_PTRACE"), [("root-equivalent", "warning")]),
        (
            "systemd",
            declared("CAP_MKNOD", withheld=(("MKNOD", "PrivateDevices"),)),
            [("withheld", "warning")],
        ),
        (
            "systemd",
            declared("CAP_SYS_MODULE", withheld=(("SYS_MODULE", "ProtectKernelModules"),)),
            [("withheld", "warning")],
        ),
        ("kubernetes", Declared("web", windows=True), []),
        ("kubernetes", declared("SYS_ADMIN", windows=True), [("root-equivalent", "error")]),
    ],
)
def test_a_capability_is_judged_where_it_stands(
    kind: str, service: Declared, found: list[tuple[str, str]]
) -> None:
    assert findings(kind, service) == found


def test_a_need_that_a_report_shows_is_held_against_nobody() -> None:
    assert findings("compose", declared("NET_ADMIN"), "NET_ADMIN") == [("high-risk", "note")]
    assert findings("compose", declared("IPC_LOCK"), "IPC_LOCK") == []


def of_user_namespaces(kind: str, service: Declared, known: Report = FITTING) -> list[Finding]:
    judged = Service.of(service, (("f", service),), LANGUAGES[kind].judged_by, CATALOG)
    return list(own_users(judged, known, "web.json"))


def test_where_a_user_namespace_would_hold_the_rest_it_is_a_finding() -> None:
    (found,) = of_user_namespaces("kubernetes", declared("SYS_ADMIN"))
    assert (found.rule, found.severity) == ("user-namespace", Severity.NOTE)
    assert found.what == (
        "it would run in a user namespace of its own, where the risk of SYS_ADMIN is high, not "
        "root-equivalent"
    )
    assert "hostUsers: false" in found.remedy
    for kind, remedy in (("compose", "userns-remap"), ("quadlet", "UserNS=auto")):
        (found,) = of_user_namespaces(kind, declared("CAP_SYS_ADMIN"))
        assert remedy in found.remedy


@pytest.mark.parametrize(
    ("service", "known"),
    [
        (declared("CHOWN"), FITTING),  # its risk is the same there
        (declared("SYS_ADMIN", exposed=(NETWORK,)), FITTING),  # Kubernetes refuses both together
        (declared("SYS_ADMIN", exposed=(Exposure.OWN_USERS,)), FITTING),
        (declared("SYS_ADMIN"), replace(FITTING, posture=Posture())),  # nobody knows
        (declared("SYS_ADMIN", privileged=True), FITTING),
    ],
)
def test_elsewhere_it_is_none(service: Declared, known: Report) -> None:
    assert of_user_namespaces("kubernetes", service, known) == []


def test_the_gate_tells_it_of_a_pod(capsys: Out) -> None:
    save(Path("web.json"), FITTING, CATALOG)
    pod = "kind: Pod\nspec: {containers: [{name: web, securityContext: %s}]}\n"
    lists = "{capabilities: {drop: [ALL], add: [CHOWN, SYS_ADMIN]}}"
    Path("pod.yaml").write_text(pod % lists)
    found = rules(check(capsys, "pod.yaml", "--against", "web.json")[1])
    assert ("user-namespace", None) in found
    Path("pod.yaml").write_text(pod.replace("spec: {", "spec: {hostUsers: false, ") % lists)
    found = rules(check(capsys, "pod.yaml", "--against", "web.json")[1])
    assert "user-namespace" not in dict(found)


@pytest.mark.parametrize(
    ("lines", "held", "expected"),
    [
        ("DynamicUser=yes", [], []),
        ("DynamicUser=yes\nAmbientCapabilities=CAP_CHOWN", ["CHOWN"], []),
        ("User=www-data\nNoNewPrivileges=yes\nAmbientCapabilities=CAP_CHOWN", ["CHOWN"], []),
        ("User=www-data\nNoNewPrivileges=no", NAMES, ["no-drop-all"]),
        ("User=%i\nNoNewPrivileges=yes", NAMES, ["no-drop-all"]),
        ("NoNewPrivileges=yes", NAMES, ["no-drop-all"]),
    ],
)
def test_what_no_program_can_gain_is_not_held(
    lines: str, held: Sequence[str], expected: list[str]
) -> None:
    """The bounding set of a unit's user counts for set-id programs alone."""
    (read,) = systemd.read(f"[Service]\nExecStart=/bin/x\n{lines}\n")
    assert granted(read, LANGUAGES["systemd"].judged_by, CATALOG) == parse_set(held)
    rules_of = [rule for rule, _ in findings("systemd", read) if rule == "no-drop-all"]
    assert rules_of == expected


@pytest.mark.parametrize(
    ("setting", "own"),
    [("identity", True), ("yes", True), ("no", False), ("", False), ("yes\nPrivateUsers=0", False)],
)
def test_a_unit_can_have_a_user_namespace_of_its_own(setting: str, own: bool) -> None:
    (read,) = systemd.read(f"[Service]\nExecStart=/bin/x\nPrivateUsers={setting}\n")
    assert read.exposes(Exposure.OWN_USERS) is own


def test_what_a_setting_takes_away_is_not_granted() -> None:
    service = declared("CAP_MKNOD", "CAP_CHOWN", withheld=(("MKNOD", "PrivateDevices"),))
    assert granted(service, LANGUAGES["systemd"].judged_by, CATALOG) == parse_set(["CHOWN"])


@pytest.mark.parametrize(
    ("service", "level"),
    [
        (declared(user="1000", no_new_privileges=True), "restricted"),
        (declared("NET_BIND_SERVICE", user="1000", no_new_privileges=True), "restricted"),
        (declared("CHOWN", user="1000", no_new_privileges=True), "baseline"),
        (declared(), "baseline"),
        (declared("NET_ADMIN"), "privileged"),
        (declared(exposed=(NETWORK,)), "privileged"),
        (declared(privileged=True), "privileged"),
    ],
)
def test_every_format_has_a_level(service: Declared, level: str) -> None:
    assert service_level(service, LANGUAGES["compose"].judged_by, CATALOG).level == level


def test_a_level_can_be_required(capsys: Out) -> None:
    Path("compose.yaml").write_text(GOOD)
    Path("pod.yaml").write_text("kind: Pod\nspec: {hostPID: true, containers: [{name: c}]}\n")
    assert check(capsys, "compose.yaml", "--require", "baseline")[0] == 0
    for path in ("compose.yaml", "pod.yaml"):
        status, answer = check(capsys, path, "--require", "restricted")
        assert (status, "pod-security" in dict(rules(answer))) == (1, True)


# ------------------------------------------------------------------------------ order, fixing


def test_the_worst_comes_first_and_what_is_the_same_comes_once(capsys: Out) -> None:
    many = "".join(f"  s{n}: {{image: x}}\n" for n in range(5))
    Path("a.yaml").write_text(f"services:\n{many}")
    Path("b.yaml").write_text(BAD)
    main(["check", "a.yaml", "b.yaml"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["b.yaml", "  error, line 5: dind: it is privileged [privileged]"]
    assert sum("[no-drop-all]" in line for line in lines) == 1
    assert any("warning, lines 2, 3, 4, 5, 6: s0, s1, s2, s3, s4: it does" in x for x in lines)
    assert lines[-1] == "failed: 1 error, 5 warnings in 6 services of 2 files"


def test_what_a_report_recommends_is_shown_and_can_be_applied(capsys: Out) -> None:
    save(Path("baseline/dind.json"), report_of(BIND, CHOWN), CATALOG)
    Path("compose.yaml").write_text(BAD)
    assert main(["check", "compose.yaml", "--against", "baseline"]) == 1
    assert "        cap_add: [CHOWN, NET_BIND_SERVICE]" in capsys.readouterr().out
    argv = ["check", "compose.yaml", "--against", "baseline", "--strict"]
    assert main([*argv, "--fix"]) == 0
    assert "-    privileged: true" in capsys.readouterr().out
    assert main(argv) == 0


def test_what_saw_no_start_is_not_applied(capsys: Out) -> None:
    """Nor is what would change the services that extend the one that is meant."""
    recording = replace(RECORDING, attached=True)
    save(Path("baseline/dind.json"), report(recording), CATALOG)
    Path("compose.yaml").write_text(BAD)
    main(["check", "compose.yaml", "--against", "baseline", "--fix"])
    assert "its start was not observed" in capsys.readouterr().err
    assert Path("compose.yaml").read_text() == BAD
    save(Path("baseline/dind.json"), report_of(BIND, CHOWN), CATALOG)
    Path("compose.yaml").write_text(BAD + "  other: {extends: dind}\n")
    main(["check", "compose.yaml", "--against", "baseline", "--fix"])
    said = capsys.readouterr().err
    assert "dind: other extends dind: its capabilities would change too (emit --into" in said
    assert "privileged: true" in Path("compose.yaml").read_text()


def test_notes_never_fail_the_gate(capsys: Out) -> None:
    Path("compose.yaml").write_text(GOOD.replace("]}}", "], cap_add: [SYS_NICE]}}"))
    status, answer = check(capsys, "compose.yaml", "--strict")
    assert (status, rules(answer)) == (0, [("beyond-default", None)])
    assert main(["check", "compose.yaml", "--format", "github"]) == 0
    assert capsys.readouterr().out.startswith("::notice file=compose.yaml,line=1,")
    assert Severity.NOTE.rank > Severity.WARNING.rank


# ------------------------------------------------------------------------------ known services

KNOWN = {
    "calico-node.yaml": [("privileged", "error"), ("host-folder", "error")],
    "dind.compose.yaml": [("privileged", "error")],
    "hardened.compose.yaml": [],
    "merged.pod.yaml": None,
    "netdata.compose.yaml": [("root-equivalent", "error"), ("control-socket", "error")],
    "node-exporter.compose.yaml": [("control-socket", "error"), ("host-namespace", "warning")],
    "restricted.pod.yaml": [],
    "traefik.compose.yaml": [("control-socket", "error")],
    "wireguard.compose.yaml": [("root-equivalent", "error"), ("host-folder", "error")],
    "workflow.yaml": [("privileged", "error")],
}
"""The worst of each file; None for one that is refused. docs/gate.md shows the same ten."""
FOLDER = Path(__file__).parents[2] / "data" / "gate"


@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.iterdir()))
def test_known_services_are_judged_as_an_engineer_would(file: str, capsys: Out) -> None:
    status, answer = check(capsys, str(FOLDER / file))
    worst = KNOWN[file]
    if worst is None:
        assert status == 2
        return
    said = [
        (finding["rule"], finding["severity"])
        for each in answer["files"]
        for service in each["services"]
        for finding in service["findings"]
    ]
    assert set(worst) <= set(said)
    errors = {rule for rule, severity in said if severity == "error"}
    assert errors == {rule for rule, severity in worst if severity == "error"}


PAGE = Path(__file__).parents[3] / "capadvise" / "docs" / "gate.md"
SHOWN = re.findall(
    r"\$ capadvise (check \S+)\n(.*?)(?=\$ capadvise|\Z)",
    "\n".join(re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)),
    re.DOTALL,
)


@pytest.mark.parametrize(("command", "shown"), SHOWN)
def test_the_page_shows_what_is_printed(
    command: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.chdir(FOLDER)
    main(command.split())
    said = capsys.readouterr()
    printed, at = said.err + said.out, 0
    for part in shown.split("…\n"):
        assert part.strip("\n") in printed[at:], part
        at = printed.index(part.strip("\n"), at)
