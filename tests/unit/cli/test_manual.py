"""The pages of ``capadvise help``, the manual page, and what shells complete."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from capadvise.cli import main
from capadvise.cli.commands.completions import script
from capadvise.cli.manual import FOLDER, TOPICS, page
from tests.generate.__main__ import PAGES
from tests.generate.facts.sites import KEYS, parse_rules
from tests.generate.options import Note, notes, program
from tests.support.cost import loaded
from tests.support.required import tool
from tests.support.terminal import Terminal
from tests.support.wait import until


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_what_it_is_made_of(name: str) -> None:
    same = (FOLDER / name).read_text(encoding="utf-8") == PAGES[name]()
    assert same, "run: python -m tests.generate"


def test_every_page_has_a_name_and_every_name_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert {f"{topic}.md" for topic in TOPICS} == {path.name for path in FOLDER.glob("*.md")}
    assert main(["help"]) == 0
    listed = [line for line in capsys.readouterr().out.splitlines() if line[0] != " "]
    assert [line.split()[0] for line in listed] == list(TOPICS)
    assert main(["help", "poetry"]) == 2
    assert "there is no page 'poetry'" in capsys.readouterr().err


TREE = FOLDER.parents[1]
_PLACES = (TREE.glob("*.md"), (TREE / "capadvise").rglob("*.md"), (TREE / "demos").rglob("*.md"))
WRITTEN = sorted(path for place in _PLACES for path in place)


def test_every_link_leads_somewhere() -> None:
    dead = []
    for path in WRITTEN:
        text = re.sub(r"(?s)```.*?```", "", path.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)]+)\)", text):
            file, _, anchor = target.partition("#")
            linked = (path.parent / file).resolve() if file else path
            if "://" not in file and not (linked.exists() and (not anchor or _has(linked, anchor))):
                dead.append(f"{path.relative_to(TREE)}: {target}")
    assert dead == []


def _has(linked: Path, anchor: str) -> bool:
    """Whether a page has a heading of this name."""
    heads = re.findall(r"(?m)^#+ (.+)$", linked.read_text(encoding="utf-8"))
    return anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_what_contributors_are_sent_to_is_there() -> None:
    package = FOLDER.parent
    places = (package.parent, package)
    named = re.findall(r"`([\w/.]+(?:\.py|\.yaml|\.json|/))`", page("contributing"))
    assert len(named) > 40
    for path in named:
        if "NAME" not in path:
            assert any((place / path).exists() for place in places), path
    rules = re.findall(r"(?ms)^   ```yaml\n(.*?)^   ```", page("contributing"))
    assert [parse_rules(Path("page"), textwrap.dedent(rule))[0].id for rule in rules] == [
        "bind-port4"
    ]
    explained = set(re.findall(r"`(\w+)`", page("contributing"))) | set(
        re.findall(r"(\w+):", rules[0])
    )
    assert set(KEYS) <= explained


def test_the_map_names_every_room() -> None:
    """A newcomer finds a behaviour by its room."""
    package = FOLDER.parent
    rooms = {f"`{path.parent.name}/`" for path in package.glob("*/__init__.py")}
    rooms |= {f"`tests/{path.parent.name}/`" for path in package.parent.glob("tests/*/__init__.py")}
    the_map = page("contributing").partition("## The map")[2].partition("## ")[0]
    assert {room for room in rooms if room not in the_map} == set()


@pytest.mark.parametrize("name", ["capabilities.md", "sites.md", "command-line.md", "report.md"])
def test_every_row_of_a_table_has_as_many_cells_as_its_head(name: str) -> None:
    columns = 0
    for line in PAGES[name]().splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        cells = line.replace("\\|", "").count("|")
        columns = columns or cells
        assert cells == columns, line


def test_every_option_says_what_it_does() -> None:
    silent = [
        f"{command.name} {option.written}"
        for command in program().commands
        for option in command.options
        if option.names and not option.help
    ]
    assert silent == []


def test_examples_are_code() -> None:
    assert notes("One\ntwo.\n\n  a  b\n    c\n\nexample: x -- y\n\nexamples:\n  p\n  q\n") == (
        Note("One two."),
        Note("a  b\n  c", code=True),
        Note("x -- y", code=True),
        Note("p\nq", code=True),
    )


def test_the_manual_page_is_clean_troff() -> None:
    path = str(FOLDER / "capadvise.1")
    groff = [tool("groff"), "-ww", "-man", "-Tutf8", "-z", path]
    done = subprocess.run(groff, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lint = subprocess.run([tool("mandoc"), "-Tlint", path], capture_output=True, text=True)
    said = [line for line in lint.stdout.splitlines() if "missing date" not in line]
    assert said == [], "a page without a date is meant: it would be another one each day"


LINES = [
    ("rev", "review"),
    ("catalog sho", "catalog show"),
    ("catalog show SYS_AD", "catalog show SYS_ADMIN"),
    ("explain SYS_AD", "explain SYS_ADMIN"),
    ("explain we", "explain web.json"),
    ("emit web.json --form", "emit web.json --format"),
    ("emit web.json --format kub", "emit web.json --format kubernetes"),
    ("help judg", "help judgement"),
    ("run --check x -- cat we", "run --check x -- cat web.json"),
]
"""What is typed after ``capadvise`` before the tab → what the command gets."""


@pytest.mark.parametrize(
    ("start", "load"),
    [
        (["bash", "--norc", "--noprofile", "-i"], ". ./_capadvise"),
        (["zsh", "-f", "-i"], "fpath=($PWD $fpath); autoload -U compinit; compinit -u -D"),
    ],
)
def test_a_shell_completes(start: list[str], load: str, tmp_path: Path) -> None:
    """As it is typed in a terminal."""
    tool(start[0])
    (tmp_path / "web.json").touch()
    (tmp_path / "_capadvise").write_text(script(start[0]) + "\n")
    terminal = Terminal(start, tmp_path, {"TERM": "dumb", "HISTFILE": ""})
    try:
        terminal.type(f"{load}; capadvise() {{ echo GO''T \"$@\"; }}; capadvise\n")
        assert _got(terminal) == ""
        for typed, completed in LINES:
            terminal.type(f"capadvise {typed}\t\n")
            assert _got(terminal) == completed
    finally:
        terminal.close()


def _got(terminal: Terminal) -> str:
    """The words that the command got."""
    match = until(
        lambda: re.search(r"(?m)^GOT ?(.*?) *\r\n", terminal.read()), shows=lambda: terminal.seen
    )
    terminal.seen = ""
    return match[1]


def test_fish_completes(tmp_path: Path) -> None:
    (tmp_path / "web.json").touch()
    (tmp_path / "c.fish").write_text(script("fish"))
    fish = tool("fish")
    for typed, completed in LINES:
        done = subprocess.run(
            [
                fish,
                "--no-config",
                "-c",
                "source c.fish; complete -C $argv[1]",
                f"capadvise {typed}",
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"HOME": str(tmp_path)},
        )
        offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
        assert completed.split()[-1] in offered, (typed, done)


def test_completions_cost_nothing_elsewhere() -> None:
    assert "shtab" not in loaded("import capadvise.cli.parser; capadvise.cli.parser.build_parser()")
