"""Old spellings go on working; what is misspelt, or is a file of another kind, is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from capadvise.cli import main
from capadvise.cli.parser import build_parser
from capadvise.kernel import procfs
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.observe.ftrace import instances
from capadvise.report.save import save
from capadvise.targets.client.answer import NoAnswer
from capadvise.targets.running import target
from capadvise.targets.systemd import manager
from tests.support.screens import CATALOG, NGINX

COMPOSE = "services: {web: {image: x, cap_drop: [ALL], security_opt: [no-new-privileges]}}\n"
WORKLOAD = "name: w\ncommand: /bin/true\nkind: oneshot\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of each kind."""
    monkeypatch.chdir(tmp_path)
    save(Path("web.json"), NGINX, CATALOG)
    for name, text in {
        "compose.yaml": COMPOSE,
        "prod.yaml": COMPOSE,
        "work.yaml": WORKLOAD,
        "pod.yaml": "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: web, image: x}]}\n",
        "web.service": "[Service]\nExecStart=/usr/sbin/nginx\n",
        "db.container": "[Container]\nImage=x\n",
        "audit.log": 'type=AVC msg=audit(1:1): apparmor="DENIED" operation="capable"\n',
        "server.sh": "#!/bin/sh\n",
    }.items():
        Path(name).write_text(text)
    return tmp_path


OLD = [
    ("check compose.yaml --output text", "check compose.yaml --format text", "--format text"),
    ("check compose.yaml --output json", "check compose.yaml --format json", "--format json"),
    ("check compose.yaml --output=sarif", "check compose.yaml --format sarif", "--format sarif"),
    ("check --output github -- compose.yaml", "check --format github compose.yaml", "github"),
    (
        "check --format github --output json compose.yaml",
        "check --format json compose.yaml",
        "json",
    ),
    (
        "known nginx --format docker --set floor",
        "known nginx --format docker --set minimal",
        "--set",
    ),
    (
        "known nginx --format docker --set=floor",
        "known nginx --format docker --set minimal",
        "--set",
    ),
    (
        "known nginx --format podman --set floor",
        "known nginx --format podman --set minimal",
        "--set",
    ),
]
"""What README, the action, the hook or the pages once showed → what it is now, and the word that
the line on stderr has."""


@pytest.mark.parametrize(("old", "new", "named"), OLD)
def test_an_old_spelling_does_the_same_and_says_so_in_a_line(
    old: str, new: str, named: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(new.split())
    expected = capsys.readouterr()
    assert main(old.split()) == code
    printed = capsys.readouterr()
    assert printed.out == expected.out
    (line,) = [x for x in printed.err.splitlines() if x not in expected.err.splitlines()]
    assert line.startswith("capadvise: ")
    assert named in line
    assert " is now " in line


def test_emit_takes_the_old_name_of_the_minimal_set(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without trials there is none: the error is the same."""
    errors = []
    for name in ("minimal", "floor"):
        assert main(["emit", "web.json", "--format", "docker", "--set", name]) == 2
        errors.append(capsys.readouterr().err)
    assert errors[1] == f"capadvise: --set floor is now --set minimal\n{errors[0]}"


def test_copies_of_the_process_are_no_more_and_stop_nobody() -> None:
    assert build_parser("run").parse_args(["run", "--copies", "--", "true"]).command


def test_output_is_a_file_everywhere(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "compose.yaml", "--format", "json"]) == 0
    printed = capsys.readouterr().out
    for option in ("-o", "--output"):
        assert main(["check", "compose.yaml", "--format", "json", option, "found.txt"]) == 0
        assert capsys.readouterr().out == ""
        assert Path("found.txt").read_text() == printed
    assert main(["check", "compose.yaml", "--output", "./json"]) == 0
    assert capsys.readouterr().err == ""
    assert Path("json").read_text().startswith("compose.yaml")
    assert main(["check", "compose.yaml", "-o", "."]) == 2


def test_the_version_of_json_reaches_the_command() -> None:
    """Also where the option is abbreviated, as it could be before there were versions."""
    for words in (["attach", "1"], ["diff", "a", "b"], ["inspect"], ["watch"], ["prove", "r"]):
        parser = build_parser(words[0])
        given = [parser.parse_args([*words, *more]).json for more in ([], ["--json"], ["--js"])]
        assert given == [0, 2, 2], words
        assert [parser.parse_args([*words, f"--json={n}"]).json for n in (1, 2)] == [1, 2]


def test_verbose_reaches_every_page_with_a_result() -> None:
    for words in (
        ["run", "-v", "--", "true"],
        ["attach", "-v", "1"],
        ["prove", "--verbose", "r"],
        ["kubernetes", "record", "-v", "deploy/x", "--image", "i", "-o", "d"],
        ["kubernetes", "prove", "-v", "deploy/x", "r", "-o", "p"],
    ):
        assert build_parser(words[0]).parse_args(words).verbose, words


@pytest.mark.parametrize(
    ("typed", "error", "hint"),
    [
        ("run --chek x -- true", "run has no option --chek", "did you mean --check?"),
        ("run --chek=x -- true", "run has no option --chek", "did you mean --check?"),
        ("prove --harde", None, ""),
        ("prove --hardn", "prove has no option --hardn", "did you mean --harden?"),
        ("kubernetes record --canry", "record has no option --canry", "did you mean --canary?"),
        ("rnu", "no command 'rnu'", "did you mean capadvise run?"),
        ("kubernetes recrod", "no command 'recrod'", "did you mean capadvise kubernetes record?"),
        ("catalog lst", "catalog has no command 'lst'", "did you mean capadvise catalog list?"),
        ("run --format compose -- x", "run has no option --format", "emit, check and known have"),
        ("check x --prove", "check has no option --prove", "run has --prove: capadvise run ["),
        ("emit x --format compse", "--format: 'compse' is none of", "--format compose?"),
        ("completions basch", "'basch' is none of bash, zsh, fish", "did you mean bash?"),
        ("watch --json=3", "--json: takes no value: '3'", "capadvise watch --help"),
        ("--vrsion", "capadvise has no option --vrsion", "did you mean --version?"),
    ],
)
def test_what_is_misspelt_is_named_with_the_nearest(
    typed: str, error: str | None, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(typed.split())
    assert caught.value.code == 2
    usage, *said = capsys.readouterr().err.splitlines()
    if error is not None:
        assert usage.startswith(f"usage: capadvise {typed.split()[0]}"[: len(usage)]) or (
            "no command" in error or "capadvise has" in error
        )
        assert error in said[0]
        assert hint in said[1]


@pytest.mark.parametrize(
    ("typed", "error", "hint"),
    [
        ("prove compose.yaml", "compose.yaml is a compose file; prove takes a report or a",
         "run --prove -- docker compose up"),
        ("prove prod.yaml", "is a compose file", "run --prove -- docker compose -f prod.yaml up"),
        ("prove web.service", "is a unit", "run --prove -- systemctl restart web.service"),
        ("prove db.container", "is a quadlet", "run --prove -- systemctl restart db.service"),
        ("prove pod.yaml", "is a Kubernetes manifest", "kubectl capadvise record"),
        ("prove server.sh", "is a program", "run --prove -- ./server.sh"),
        ("prove audit.log", "is an audit log", "capadvise import audit.log"),
        ("emit compose.yaml --format compose", "emit takes a report",
         "capadvise emit REPORT --format compose --into compose.yaml"),
        ("explain compose.yaml", "explain takes a report", "capadvise check compose.yaml"),
        ("explain work.yaml", "work.yaml is a workload file", "prove work.yaml"),
        ("merge web.json work.yaml", "merge takes a report", "prove work.yaml"),
        ("diff web.json web.service", "diff takes a report", "capadvise check web.service"),
        ("check web.json", "web.json is a report; check takes configuration files",
         "capadvise check FILE --against web.json"),
        ("check compose.yaml --against prod.yaml", "check --against takes a report", "check prod"),
        ("import web.json", "import takes an audit log", "capadvise explain web.json"),
        ("kubernetes keep deploy/x -n x pod.yaml", "kubernetes keep takes a report", "check pod"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_named_with_what_to_type(
    typed: str, error: str, hint: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert error in lines[0]
    assert hint in lines[1]


def test_the_gate_does_not_pass_over_a_workload_file_in_silence(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its ``kind`` makes it look like an object of Kubernetes."""
    main(["check", "work.yaml"])
    assert "work.yaml is a workload file; check takes configuration" in capsys.readouterr().err


def test_a_mistake_in_a_file_of_the_right_kind_is_still_the_error(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("work.yaml").write_text(WORKLOAD.replace("command", "comand"))
    assert main(["prove", "work.yaml"]) == 2
    assert "unknown key 'comand'" in capsys.readouterr().err
    Path("web.json").write_text(json.dumps({"schema": "capadvise.report/1"}))
    assert main(["explain", "web.json"]) == 2
    assert "is missing" in capsys.readouterr().err


def test_a_name_that_is_no_process_is_that_of_a_container_a_unit_or_a_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def by_name(name: str) -> None:
        if name != "web":
            raise BadInput(f"no container {name}")

    def known(name: str) -> SimpleNamespace:
        if name != "db.service":
            raise BadInput(f"there is no unit {name}")
        return SimpleNamespace(name=name)

    monkeypatch.setattr(target, "by_name", by_name)
    monkeypatch.setattr(manager, "BOOTED", "/")
    monkeypatch.setattr(manager, "known", known)
    own = procfs.comm(os.getpid())
    for name, meant in {
        "web": "did you mean container:web?",
        "db": "did you mean db.service?",
        own: "a process of that name?",
        "nobody-has-this": "inspect container:NAME",
    }.items():
        assert main(["inspect", name]) == 2
        assert meant in capsys.readouterr().err
    with pytest.raises(BadInput) as caught:
        target.find("db")
    assert caught.value.hint == "did you mean db.service?"
    assert target.find("container:web") is None  # the container that by_name finds


def test_a_missing_file_of_exceptions_is_missing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "compose.yaml", "--exceptions", "gone.yaml"]) == 2
    assert "gone.yaml: No such file or directory" in capsys.readouterr().err


def test_the_hint_for_root_repeats_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("sys.argv", ["/usr/lib/capadvise.py", "attach", "--for", "10m", "a b"])
    with pytest.raises(CannotObserve) as caught:
        instances.require_place()
    assert caught.value.hint == "run it as root: sudo capadvise attach --for 10m 'a b'"


@pytest.mark.parametrize("typed", ["attach web.service", "run -- systemctl restart web.service"])
def test_where_systemd_does_not_run_that_is_said(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def down(*_: object) -> None:
        raise NoAnswer("systemctl: Failed to connect to bus: Host is down")

    monkeypatch.setattr("capadvise.cli.commands.attach.require", lambda: None)
    monkeypatch.setattr(manager, "BOOTED", "/nonexistent")
    monkeypatch.setattr(manager.shutil, "which", lambda _: "/bin/systemctl")
    monkeypatch.setattr(manager, "answer_of", down)
    assert main(typed.split()) == 3
    assert "systemd does not run here" in capsys.readouterr().err


def test_a_title_that_a_process_gave_itself_has_no_empty_words(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    for written, words in {
        b"redis-server *:7799\0\0\0\0\0": ("redis-server *:7799",),
        b"a\0\0b\0": ("a", "", "b"),
        b"\0\0": (),
        b"": (),
    }.items():
        (tmp_path / "7" / "cmdline").write_bytes(written)
        assert procfs.arguments(7, tmp_path) == words
