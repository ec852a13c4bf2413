"""The table of the clients' options, against what the clients print."""

from __future__ import annotations

import re
import subprocess

import pytest

from capadvise.config.run.pflag import Grammar

_OPTION = re.compile(r"^ +(?:-(?P<letter>\w), )? *--(?P<name>[\w-]+)(?P<value> \S+)?(?:   *\S.*)?$")


@pytest.mark.parametrize(
    ("command", "listed"),
    [
        ("docker", "docker"),
        ("docker run", "run"),
        ("docker create", "run"),
        ("docker compose", "compose"),
        ("docker compose up", "compose up"),
        ("docker compose run", "compose run"),
        ("podman", "podman"),
        ("podman run", "run"),
        ("podman create", "run"),
    ],
)
def test_the_table_is_what_the_client_prints(command: str, listed: str) -> None:
    grammar = Grammar.of(listed)
    printed = subprocess.run(
        [*command.split(), "--help"], capture_output=True, text=True, check=True
    ).stdout
    options = [match for line in printed.splitlines() if (match := _OPTION.match(line))]
    assert len(options) > 8
    flags = {option["name"] for option in options if not option["value"]}
    assert flags - grammar.flags == set()
    assert {option["name"] for option in options if option["value"]} & grammar.flags == set()
    letters = {option["letter"]: option["name"] for option in options if option["letter"]}
    assert {letter: grammar.letters.get(letter) for letter in letters} == letters
