"""A recording passes each option on that trials respect, and each field of a workload is tried.

Whoever adds a field to ``Workload`` adds a row to ``ROWS`` (``tests/support/respected.py``), which
``tests/kernel/test_respected.py`` tries. Whoever adds an option that trials are to respect gives
``Command`` and ``Workload`` a field of the same name, and ``Command.workload`` carries it over.
"""

from __future__ import annotations

import argparse
import ast
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import capadvise
from capadvise.cli.commands import run
from capadvise.cli.commands.run import asked
from capadvise.cli.parser import build_parser
from capadvise.model.workload import Workload
from capadvise.observe.supervise.command import Command
from tests.support.respected import ROWS


def test_each_field_is_tried() -> None:
    assert list(ROWS) == [each.name for each in fields(Workload)]


_OTHER: dict[str, Any] = {"check_after": 7.0}
"""Options of a command that trials respect, besides its kind and its check → another value."""


def test_what_run_and_attach_are_asked_reaches_the_command() -> None:
    named = {each.name for each in fields(Command)}
    for verb, words in {"run": ("-o", "r", "--", "true"), "attach": ("1",)}.items():
        args = vars(build_parser(verb).parse_args([verb, *words]))
        options = {name: f"what {name} says" for name in args.keys() & named}
        assert {"check", "check_after", "kind", "seconds"} <= options.keys()
        given = argparse.Namespace(**(args | options))
        made = asked(given) if verb == "attach" else run._target(("true",), given)
        assert {name: getattr(made, name) for name in options} == options


def test_what_a_command_has_in_common_with_a_workload_is_carried_over() -> None:
    common = {each.name for each in fields(Command)} & {each.name for each in fields(Workload)}
    assert common == {"kind", "check", *_OTHER}
    made = replace(Command(("true",)), **_OTHER).workload("daemon", "true")
    assert made == Workload("daemon", check="true", **_OTHER)
    assert Command(("true",), check_after=7.0).workload("oneshot", None) == Workload()


def test_each_recorder_leaves_the_workload_to_the_command() -> None:
    """One that made its own would forget the next option."""
    package = Path(capadvise.__file__).parent
    makers = set()
    for room in ("observe", "targets"):
        for path in sorted((package / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(func=ast.Name("Workload")):
                        makers.add(str(path.relative_to(package)))
    assert makers == {"observe/supervise/command.py"}
