"""``check --fix`` writes as ``emit --into`` does: what that one looks at, this one does, too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.cli import main
from capadvise.config.compose import COMPOSE
from capadvise.config.language import Language
from capadvise.gate.patching import patching
from capadvise.model.errors import CannotPatch
from capadvise.model.recording import Recording
from capadvise.model.target import Target
from capadvise.report.save import save
from capadvise.workflow import ask_consumer
from capadvise.workflow.patch_file import confirm
from tests.support.patching import USUAL, snippet
from tests.support.recordings import BIND, CATALOG, CHOWN, report, report_of

GRANTS = "services:\n  web:\n    image: nginx\n    cap_add: [SYS_ADMIN]\n"
PLAIN = "services:\n  web:\n    image: nginx\n"
NO_NEW_PRIVILEGES = "services:\n  web:\n    security_opt: [no-new-privileges:true]\n"
Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "base" / "web.json", report_of(BIND, CHOWN), CATALOG)
    return tmp_path


def recorded(target: Target | None = None, recording: Recording | None = None) -> None:
    """Another report of web."""
    made = report_of(BIND) if recording is None else report(recording)
    save(Path("base/web.json"), replace(made, target=target or made.target), CATALOG)


def fix(capsys: Out, *files: str) -> tuple[str, str]:
    main(["check", *(files or ("compose.yaml",)), "--against", "base", "--fix"])
    said = capsys.readouterr()
    return said.out, said.err


@pytest.mark.parametrize("other", ["compose.override.yaml", "compose.prod.yaml"])
def test_an_option_that_another_file_has_is_not_said_twice(other: str, capsys: Out) -> None:
    """docker compose refuses it: of the files that it finds, and of those that were named."""
    Path("compose.yaml").write_text(GRANTS)
    Path(other).write_text(NO_NEW_PRIVILEGES)
    fix(capsys, "compose.yaml", *([other] if "prod" in other else []))
    text = Path("compose.yaml").read_text()
    assert "NET_BIND_SERVICE" in text
    assert "no-new-privileges" not in text


def test_what_another_file_gives_is_said(capsys: Out) -> None:
    Path("compose.yaml").write_text(GRANTS)
    Path("compose.override.yaml").write_text("services:\n  web:\n    cap_add: [NET_ADMIN]\n")
    said = fix(capsys)[1]
    assert "note: web: compose.override.yaml gives web NET_ADMIN, and docker compose joins" in said
    assert "compose.yaml: web: written" in said


def test_the_file_that_grants_something_is_the_one_that_is_changed(capsys: Out) -> None:
    Path("compose.yaml").write_text(PLAIN)
    Path("compose.override.yaml").write_text("services:\n  web:\n    cap_add: [NET_ADMIN]\n")
    assert "passed" in fix(capsys)[0].splitlines()[-1]
    assert Path("compose.yaml").read_text() == PLAIN
    assert "NET_ADMIN" not in Path("compose.override.yaml").read_text()


def test_what_a_recording_cannot_tell_of_privileged_is_said(capsys: Out) -> None:
    Path("compose.yaml").write_text(PLAIN + "    privileged: true\n")
    said = fix(capsys)[1]
    assert "note: web: devices of the host: unknown" in said
    assert "compose.yaml: web: written" in said


def test_a_report_that_saw_no_start_adds_what_is_missing(capsys: Out) -> None:
    attached = replace(report_of(BIND).recording, attached=True)
    recorded(recording=attached)
    file = Path("compose.yaml")
    file.write_text(PLAIN + "    cap_drop: [ALL]\n    cap_add: [KILL]\n")
    assert "kept although no need was seen: KILL" in fix(capsys)[1]
    assert "KILL" in file.read_text()
    assert "NET_BIND_SERVICE" in file.read_text()
    file.write_text(PLAIN)  # the engine's own set has it
    assert "takes nothing away: its start was not observed" in fix(capsys)[1]
    assert file.read_text() == PLAIN


EXTENDS = "services:\n  base: {image: x, cap_add: [KILL]}\n  web: {extends: base}\n"


def test_podman_compose_gets_no_tag_that_it_does_not_read(capsys: Out) -> None:
    target = Target(*("container", "web", ("podman-compose", "up"), "/", "0:0"), service="web")
    recorded(target=target)
    Path("compose.yaml").write_text(EXTENDS)
    assert "podman-compose does not read" in fix(capsys)[1]
    assert Path("compose.yaml").read_text() == EXTENDS
    recorded()
    fix(capsys)
    assert "!override" in Path("compose.yaml").read_text()


def test_what_needs_no_change_is_not_spoken_of(capsys: Out) -> None:
    Path("compose.yaml").write_text(GRANTS)
    assert "written" in fix(capsys)[1]
    assert fix(capsys)[1] == ""


def test_a_program_that_answers_in_another_way_is_named(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    def ask(language: Language, paths: list[str], texts: list[str]) -> str:
        raise ValueError("no JSON")

    monkeypatch.setattr(ask_consumer, "ask", ask)
    (file := place / "compose.yaml").write_text(GRANTS)
    made = patching(file, COMPOSE, "web", snippet(USUAL), report_of(BIND))
    with pytest.raises(CannotPatch, match="docker compose could not be asked: no JSON"):
        confirm(made)
