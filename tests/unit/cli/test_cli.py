"""The command line: help, errors, exit codes, and what importing it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from capadvise.cli import command_of, main
from capadvise.cli.parser import build_parser, subcommands
from capadvise.kernel import sudo
from capadvise.model.caps import NAMES
from capadvise.report.save import save
from tests.support.cost import loaded
from tests.support.screens import CATALOG, NGINX


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["run"], 2, "no command to run"),
        (["run", "--"], 2, "no command to run"),
        (["run", "--user", "", "--", "true"], 2, "--user is empty"),
        (["explain", "SYS_ADMIN", "--site", "may_mount"], 2, "cannot be combined"),
        (["explain", __file__], 2, "not a JSON file"),
        (["emit", "/nonexistent", "--format", "compose"], 2, "/nonexistent: No such file"),
        (["explain"], 2, "explain what?"),
        (["explain", "SYS_GOD"], 2, "'SYS_GOD' is neither a capability nor a report file"),
        (["explain", "--site", "no_such_function"], 2, "the catalog has no rule for"),
        (["catalog", "show", "x\x1b"], 2, "'x\\x1b'"),
    ],
)
def test_errors_name_the_thing(
    argv: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("capadvise: error: ")
    assert said in captured.err
    assert "\x1b" not in captured.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["explain", "sys_admin"], "CAP_SYS_ADMIN (number 21"),
        (
            ["explain", "--site", "__inet_bind"],
            "NET_BIND_SERVICE is checked: binding an IPv4 port",
        ),
        (["explain", "--site", "capable_noaudit"], "checks a capability for its caller"),
        (["catalog", "list"], "10  NET_BIND_SERVICE   low"),
        (["catalog", "show", "CAP_NET_RAW"], "CAP_NET_RAW (number 13"),
        (["catalog", "check"], f"{len(NAMES)} capabilities"),
    ],
)
def test_answers_go_to_stdout(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 0
    captured = capsys.readouterr()
    assert said in captured.out
    assert captured.err == ""
    if argv[0] == "explain":
        commands = "  $ "  # stay on one line, to be pasted
        assert all(len(x) <= 80 or x.startswith(commands) for x in captured.out.splitlines())


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--vrsion"], "no option --vrsion"),
        (["no-such-verb"], "no-such-verb"),
        (["emit", "x", "--format", "lisp"], "lisp"),
        (["run", "--for", "soon", "--", "true"], "'soon' is not a time: seconds, or 90s"),
        (["run", "--for", "0", "--", "true"], "'0' is not a time: seconds, or 90s"),
        (["watch", "--for", "7w"], "'7w' is not a time: seconds, or 90s"),
        (["diff", "a", "b", "c\x1b"], "c\\x1b"),
    ],
)
def test_wrong_use_exits_with_2(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    usage, error, hint = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: capadvise")
    assert hint.startswith("capadvise: hint: ")
    assert error.startswith("capadvise: error: ")
    assert said in error


def test_the_command_line_loads_nothing_slow() -> None:
    slow = {
        "textual",
        "yaml",
        "prctl",
        "ptrace",
        "subprocess",
        "capadvise.observe.supervise.record",
    }
    assert not slow & loaded("import capadvise.cli")


def test_before_a_run_starts_nothing_is_loaded_that_judges_or_tries() -> None:
    """Its target waits for every import."""
    later = {
        "capadvise.judgement.decide",
        "capadvise.catalog",
        "capadvise.report.text",
        "capadvise.proof.plan",
    }
    later |= {"capadvise.proof.trials", "concurrent.futures", "logging"}
    assert not later & loaded("import capadvise.cli, capadvise.cli.commands.run")


def test_before_the_target_executes_no_catalog_is_loaded() -> None:
    """It takes 20 ms, and can be read while the target runs."""
    assert "capadvise.catalog" not in loaded("import capadvise.observe.supervise.record_command")


@pytest.mark.parametrize("name", ["run", "emit", "help"])
def test_the_parser_of_one_subcommand_is_that_of_all(name: str) -> None:
    alone = {verb: parser.format_help() for verb, _, parser in subcommands(build_parser(name))}
    of_all = {verb: parser.format_help() for verb, _, parser in subcommands(build_parser())}
    assert alone == {name: of_all[name]}


def test_every_subcommand_of_the_parser_has_a_command() -> None:
    names = [name for name, _, _ in subcommands(build_parser())]
    assert len(names) > 15
    assert [name for name in names if not callable(command_of(name))] == []


def test_a_quiet_run_loads_nothing_for_words_and_checks() -> None:
    script = (
        "import capadvise.cli.commands.run, capadvise.observe.supervise.record_command\n"
        "from capadvise.workflow.reports import preload; preload(shown=False)"
    )
    others = {"datetime", "hashlib", "tempfile", "random", "textwrap", "capadvise.report.text"}
    assert not others & loaded(script)


def test_a_run_reads_no_yaml() -> None:
    """11 ms for the library and 40 ms for the files would be lost at each start."""
    script = (
        "import capadvise.cli.commands.run\n"
        "from capadvise.workflow.reports import preload; preload()"
    )
    assert "yaml" not in loaded(script)


@pytest.mark.parametrize("what", ["SYS_ADMIN", "a report"])
def test_explain_reads_no_yaml(tmp_path: Path, what: str) -> None:
    save(tmp_path / "r.json", NGINX, CATALOG)
    asked = str(tmp_path / "r.json") if what == "a report" else what
    assert "yaml" not in loaded(f"from capadvise.cli import main; main(['explain', {asked!r}])")


def test_a_closed_pipe_is_no_traceback() -> None:
    capadvise = Path(sys.executable).with_name("capadvise")
    words = ["sh", "-c", '"$0" explain SYS_ADMIN | head -n 1', capadvise]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stderr == ""


def test_no_process_holds_both_gpl_libraries() -> None:
    """python-ptrace is GPL-2.0-only and python-prctl GPL: see the README on licences."""
    package = Path(__file__).parents[3] / "capadvise"
    users = {
        path.relative_to(package).as_posix(): {
            name for name in ("prctl", "ptrace") if f"import {name}" in path.read_text()
        }
        for path in package.rglob("*.py")
    }
    assert {path for path, names in users.items() if names} == {"observe/supervise/launcher.py"}


def test_review_without_a_terminal_names_the_command_that_needs_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nginx report.json"
    save(path, NGINX, CATALOG)
    assert main(["review", str(path)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "capadvise: error: review needs a terminal",
        f"capadvise: hint: capadvise explain '{path}' prints the same as text",
    ]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("/home/ann/.local/bin/capadvise", "sudo /home/ann/.local/bin/capadvise"),
        ("/home/an n/bin/capadvise", "sudo '/home/an n/bin/capadvise'"),
        ("/usr/lib/python3/cli.py", "sudo capadvise"),
        (f"{sys.prefix}/bin/capadvise", "sudo capadvise"),
    ],
)
def test_a_hint_names_the_command_that_sudo_finds(
    program: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """pipx and uv install below a home, where sudo does not look."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", [program])
    monkeypatch.setattr(sudo, "SECURE_PATH", str(tmp_path))
    assert sudo.as_root() == said
    (tmp_path / "capadvise").touch(0o755)
    assert sudo.as_root() == "sudo capadvise"


def test_root_needs_no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert sudo.as_root() == "capadvise"
