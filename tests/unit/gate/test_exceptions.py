"""An exception is for one thing: what is added beside it fails again."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from capadvise.cli import main

Out = pytest.CaptureFixture[str]
SOON = (date.today() + timedelta(days=30)).isoformat()
SERVICE = "services:\n  web:\n    image: x\n    cap_drop: [ALL]\n    {}\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def check(capsys: Out, *more: str) -> tuple[int, list[tuple[str, str, str | None]]]:
    """The status, and (rule, what, why it is accepted)."""
    status = main(["check", "compose.yaml", "--format", "json", *more])
    answer = json.loads(capsys.readouterr().out)
    (file,) = answer["files"]
    findings = [item for each in (*file["services"], file) for item in each["findings"]]
    return status, [(item["rule"], item["what"], item["accepted"]) for item in findings]


def live(found: list[tuple[str, str, str | None]]) -> list[str]:
    return [f"{rule}: {what}" for rule, what, accepted in found if accepted is None]


def compose(line: str) -> None:
    Path("compose.yaml").write_text(SERVICE.format(line))


def exceptions(*entries: dict[str, Any]) -> None:
    usual = {"path": "*.yaml", "owner": "me", "reason": "why not", "expires": SOON}
    text = yaml.safe_dump({"exceptions": [usual | entry for entry in entries]})
    Path("accepted").write_text(text)


@pytest.mark.parametrize(
    ("line", "rule", "what", "more"),
    [
        ("cap_add: [SYS_ADMIN{}]", "root-equivalent", "SYS_ADMIN", ", SYS_MODULE"),
        ("volumes: [/etc:/a{}]", "host-folder", "/etc", ", /root:/b"),
        ("security_opt: ['apparmor:unconfined'{}]", "unconfined", "apparmor:unconfined",
         ", 'label:disable'"),
    ],
)  # fmt: skip
def test_an_exception_is_for_one_thing(
    line: str, rule: str, what: str, more: str, capsys: Out
) -> None:
    said = f"# capadvise: accept {rule}, what: {what}, reason: it is mine"
    for comment, arguments in ((f" {said}", ()), ("", ("--exceptions", "accepted"))):
        exceptions({"rule": rule, "what": what})
        compose(line.format("") + comment)
        assert check(capsys, "--strict", *arguments)[0] == 0
        compose(line.format(more) + comment)
        status, found = check(capsys, "--strict", *arguments)
        assert (status, len(live(found))) == (1, 1)
        assert any(item[:1] == (rule,) and item[2] for item in found), "the other is accepted still"


def test_a_comment_without_a_thing_accepts_one_only(capsys: Out) -> None:
    comment = "# capadvise: accept root-equivalent, reason: it is mine"
    compose(f"cap_add: [SYS_ADMIN] {comment}")
    assert check(capsys, "--strict")[0] == 0
    compose(f"cap_add: [SYS_ADMIN, SYS_MODULE] {comment}")
    status, found = check(capsys)
    assert status == 1
    assert len(live(found)) == 3
    assert any("SYS_ADMIN and SYS_MODULE" in what for what in live(found))


def test_read_only_is_another_thing(capsys: Out) -> None:
    exceptions({"rule": "host-folder", "what": "/etc (warning)"})
    compose("volumes: [/etc:/a:ro]")
    assert check(capsys, "--strict", "--exceptions", "accepted")[0] == 0
    compose("volumes: [/etc:/a]")
    assert check(capsys, "--exceptions", "accepted")[0] == 1


def test_an_older_file_covers_what_it_covered_and_is_upgraded(capsys: Out) -> None:
    exceptions({"rule": "root-equivalent", "expires": "2999-01-01"})
    compose("cap_add: [SYS_ADMIN, SYS_MODULE]")
    status, found = check(capsys, "--exceptions", "accepted")
    assert (status, [said.partition(":")[0] for said in live(found)]) == (0, ["unused-exception"])
    assert "names no thing" in live(found)[0]
    arguments = ("--exceptions", "accepted", "--write-exceptions", "--upgrade")
    assert main(["check", "compose.yaml", *arguments]) == 0
    assert check(capsys, "--exceptions", "accepted", "--strict") == (0, found[:2])
    entries = yaml.safe_load(Path("accepted").read_text())["exceptions"]
    assert [each["what"] for each in entries] == ["SYS_ADMIN", "SYS_MODULE"]
    assert entries[0]["expires"] <= date.today() + timedelta(days=366)
    compose("cap_add: [SYS_ADMIN, SYS_MODULE, SYS_RAWIO]")
    assert check(capsys, "--exceptions", "accepted")[0] == 1


def test_exceptions_are_written(capsys: Out) -> None:
    compose("cap_add: [SYS_ADMIN]\n    privileged: true\n    volumes: ['/etc/\\x1b[1m:/a', /:/b]")
    arguments = ["check", "compose.yaml", "--strict", "--exceptions", "new.yaml"]
    assert main([*arguments, "--write-exceptions"]) == 2
    assert "--owner NAME --reason TEXT" in capsys.readouterr().err
    more = ["--write-exceptions", "--owner", "team: é", "--reason", 'it\'s "mine" # so']
    assert main([*arguments, *more]) == 0
    assert "\x1b" not in Path("new.yaml").read_text()
    assert check(capsys, *arguments[2:])[0] == 0
    assert main([*arguments, *more]) == 0, "again: nothing is left to write"
    compose("cap_add: [SYS_ADMIN, BPF]\n    privileged: true")
    assert check(capsys, *arguments[2:])[0] == 1
    assert main(["check", "compose.yaml", "--write-exceptions"]) == 2


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"owner": ""}, "accepted: line 2: owner is empty"),
        ({"reason": "  "}, "accepted: line 2: reason is empty"),
        ({"what": ""}, "accepted: line 2: what is empty"),
        ({"what": "x", "expires": "9999-12-31"}, "accepted: line 2: expires in more than a year"),
    ],
)
def test_an_exception_has_an_owner_a_reason_and_an_end(
    entry: dict[str, str], error: str, capsys: Out
) -> None:
    compose("privileged: true")
    exceptions({"rule": "privileged", **entry})
    assert main(["check", "compose.yaml", "--exceptions", "accepted"]) == 2
    assert error in capsys.readouterr().err


ACCEPT = "# capadvise: accept privileged, reason: x"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (f"command: |\n      a\n      {ACCEPT}\n    privileged: true", 1),
        (f"command: >-\n      a {ACCEPT}\n    privileged: true", 1),
        (f"command: |\n      a\n    {ACCEPT}\n    privileged: true", 0),
        (f'labels: ["{ACCEPT}"]\n    privileged: true', 1),
        (f"labels: ['a\n      {ACCEPT}']\n    privileged: true", 1),
        (f"command: a\n    {ACCEPT}\n    privileged: true", 0),
        (f"command: a#b\n    privileged: true {ACCEPT}", 0),
        (f"privileged: true\t{ACCEPT}", 0),
    ],
)
def test_a_comment_is_one_for_its_reader(text: str, status: int, capsys: Out) -> None:
    compose(text)
    assert check(capsys)[0] == status


ALL = "# capadvise: accept add-all, reason: x"
HCL = 'resource "docker_container" "a" {\n'


@pytest.mark.parametrize(
    ("name", "text", "status"),
    [
        ("a.service", f"[Service]\nExecStart=+/bin/a\n{ACCEPT}\nUser=a\n", 1),
        ("a.container", f"[Container]\n{ALL}\nAddCapability=all\n", 0),
        ("a.container", f"[Container]\nUser=a\nAddCapability=all {ALL}\n", 1),
        ("a.tf", f"{HCL}{ACCEPT}\n privileged = true\n}}\n", 0),
        ("a.tf", f"{HCL}privileged = true {ACCEPT}\n}}\n", 0),
        ("a.tf", f"{HCL}env = <<E\n{ACCEPT}\nE\nprivileged = true\n}}\n", 1),
        ("a.tf", f'{HCL}env = "{ACCEPT}"\nprivileged = true\n}}\n', 1),
        ("a.toml", f'[[runners]]\nname = """\n{ACCEPT}"""\ndocker.privileged = true\n', 1),
        ("a.toml", f"[[runners]]\n{ACCEPT}\ndocker.privileged = true\n", 0),
    ],
)
def test_comments_of_other_languages(name: str, text: str, status: int) -> None:
    Path(name).write_text(text)
    assert main(["check", name]) == status
