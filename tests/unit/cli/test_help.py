"""A page as people read it: as wide as the terminal, with commands in the place of links, in a
pager."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from capadvise.cli import main
from capadvise.cli.manual import TOPICS, page
from capadvise.cli.manual.terminal import rendered
from capadvise.cli.parser import build_parser, subcommands
from tests.support.cost import loaded
from tests.support.terminal import Terminal
from tests.support.wait import until

VERBS = """
accept ask build change check choose combine compare demand disable emit end explain fail find
give ignore impersonate judge let list look make name open patch print prove read record restart run
say show start stop take treat use wait warn watch write
"""
CAPADVISE = str(Path(sys.executable).with_name("capadvise"))


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("topic", [each for each in TOPICS if each not in ("known", "sites")])
def test_no_line_is_wider_than_the_terminal(topic: str, columns: int) -> None:
    text = rendered(page(topic), columns, TOPICS, styled=False)
    assert max(map(len, text.splitlines())) <= columns
    assert "\x1b" not in text
    assert "| --- |" not in text


def test_links_are_commands_or_words() -> None:
    written = """\
Read [how it decides](judgement.md#meanings) ([attach](containers.md#attach), [trials](trials.md)).
Not [here](#below), nor [a file](../../demos/x/README.md); [the web](https://example.org/a).

```
as [it](judgement.md) stands
```
"""
    text = " ".join(rendered(written, 100, TOPICS, styled=False).split())
    assert text == (
        "Read how it decides (capadvise help judgement) (attach: capadvise help containers, "
        "capadvise help trials). Not here, nor a file; the web (https://example.org/a). "
        "as [it](judgement.md) stands"
    )


def test_a_table_that_does_not_fit_is_a_paragraph_for_each_row() -> None:
    table = "| I have | type | and get |\n| --- | --- | --- |\n| a | `b c` | d ([e](start.md)) |\n"
    fits = rendered(table, 60, TOPICS, styled=False).splitlines()
    assert [line.split("  ")[0] for line in fits if line] == ["I have", "a"]
    narrow = rendered(table, 30, TOPICS, styled=False).splitlines()
    assert [line for line in narrow if line] == [
        "a",
        "    b c",
        "    d (e: capadvise help",
        "    start)",
    ]


def test_alone_it_shows_the_start_page(capsys: pytest.CaptureFixture[str]) -> None:
    """A person wants the page: no error, and exit code 0."""
    assert main([]) == 0
    alone = capsys.readouterr()
    assert main(["help", "start"]) == 0
    assert alone == capsys.readouterr()
    assert "sudo capadvise run --prove" in alone.out
    assert alone.err == ""


def test_help_of_a_command_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["help", "run"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: capadvise run [options] -- COMMAND")
    assert main(["help", "judgment"]) == 2
    assert "did you mean capadvise help judgement?" in capsys.readouterr().err


@pytest.mark.parametrize("pager", ["sed s/^/PAGED/", "", "no-such-pager -x"])
def test_a_terminal_gets_the_pager_of_the_user(pager: str, tmp_path: Path) -> None:
    shell = ["sh", "-c", f"{CAPADVISE} help retries; echo E''ND"]
    terminal = Terminal(shell, tmp_path, {"TERM": "xterm", "PAGER": pager})
    try:
        until(lambda: "END" in terminal.read(), shows=lambda: terminal.seen)
        assert ("PAGED" in terminal.seen) is pager.startswith("sed")
        assert "\x1b[1m" in terminal.seen
        assert "--retry" in terminal.seen
    finally:
        terminal.close()


def test_only_help_loads_what_renders() -> None:
    modules = loaded("import capadvise.cli, capadvise.cli.parser as p; p.build_parser()")
    assert not {"rich", "textual", "pygments", "difflib"} & modules
    modules = loaded("from capadvise.cli import main; main(['help'])")
    assert not {"rich", "textual"} & modules


def test_each_help_text_begins_with_a_verb() -> None:
    """Rule 4: the effect, in the imperative, never the mechanism."""
    said = []
    pending = [build_parser()]
    for parser in pending:
        for _, summary, child in subcommands(parser):
            pending.append(child)
            said.append(summary)
        said += [each.help for each in parser._actions if each.help and each.option_strings]
    first = {re.split(r"[ ,;]", text)[0].lower() for text in said if "SUPPRESS" not in text}
    assert first - set(VERBS.split()) == set()


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_help_is_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for examples, which are copied, and names that cannot be broken."""
    monkeypatch.setenv("COLUMNS", str(columns))
    for _, _, parser in subcommands(build_parser()):
        notes, _, _ = parser.format_help().partition("example")
        wide = [line for line in notes.splitlines() if len(line) > columns and " " in line.strip()]
        assert [
            line
            for line in wide
            if line[:12] not in ("usage: capad", "  capadvise ") and "{" not in line
        ] == []
