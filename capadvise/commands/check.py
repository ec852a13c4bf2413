"""``capadvise check``: the gate. What configuration files grant, against rules and reports."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.catalog import Catalog, default
from capadvise.errors import BadInput, Exit
from capadvise.formats import FORMATS, quadlet, systemd
from capadvise.formats.declared import Declared
from capadvise.formats.yaml_tree import template_hint
from capadvise.gate.outcome import Outcome, Source, examine
from capadvise.gate.sources import dropped_in, projects, read_besides, recognize, service_name
from capadvise.report.escape import printable
from capadvise.workflow.notice import notice

if TYPE_CHECKING:
    from capadvise.gate.finding import Reached

MAX_CHARACTERS = 16 << 20
"""A larger file is no configuration."""


def command(args: argparse.Namespace) -> int:
    """Print what was found; 1 when the gate failed."""
    catalog = default()
    sources = [_source(paths, catalog) for paths in projects(args.files)]
    for source in sources:
        if not source.declared:
            notice(
                f"note: {source.paths[0]}: no service or container that could be judged is in it"
            )
    for path in _left_out(args.files):
        notice(
            f"note: {path} was not named, and is not judged: whoever reads the others reads it too"
        )
    count = sum(len(source.declared) for source in sources)
    baseline = None
    if args.against:
        from capadvise.gate.baseline import Baseline

        baseline = Baseline(Path(args.against), catalog, alone=count == 1)
    files = tuple(examine(source, catalog, baseline) for source in sources)
    outcome = Outcome(files, strict=args.strict)
    if baseline is not None and baseline.single and not any(s.report for s in outcome.services):
        name = printable(baseline.report(baseline.paths[0]).target.name)
        raise BadInput(
            f"{args.against}: it is of {name!r}, and no service is called so",
            hint="call the report SERVICE.json",
        )
    _print(outcome, args.output)
    return Exit.OK if outcome.passed else Exit.FAILED


def _print(outcome: Outcome, output: str) -> None:
    if output == "text":
        from capadvise.gate.text import outcome_text

        print("\n".join(outcome_text(outcome)))
        return
    from capadvise.gate import machine

    match output:
        case "json":
            print(machine.outcome_json(outcome))
        case "sarif":
            print(machine.outcome_sarif(outcome))
        case _:
            for line in machine.outcome_github(outcome):
                print(line)


_INCLUDE = re.compile(r"""^\s*\{?\s*["']?include["']?\s*:""", re.MULTILINE)
_UNITS = {"quadlet": quadlet, "systemd": systemd}
_ONLY = {"systemd": "service", "quadlet": "container", "oci": "process"}
"""What ``read`` calls the service of a file that has but one, and no name for it."""


def _source(paths: Sequence[str], catalog: Catalog) -> Source:
    """One file, or several that belong together. Raises BadInput with file and line."""
    texts = {path: _text(path) for path in paths}
    kind = recognize(paths[0], texts[paths[0]])
    written = tuple((path, _declared(path, kind, text)) for path, text in texts.items())
    source = Source(tuple(paths), kind, written[0][1], written)
    if kind == "compose":
        return _resolve(source, texts.values())
    if kind == "kubernetes":
        return replace(source, pods=_levels(paths[0], texts[paths[0]], catalog))
    if len(paths) > 1:  # a unit and its drop-ins
        with _in(", ".join(paths), ""):
            whole = _UNITS[kind].read_together(list(texts.values()))
        return replace(source, declared=tuple(map(partial(_called, paths[0], kind), whole)))
    return source


def _levels(path: str, text: str, catalog: Catalog) -> tuple[Reached, ...]:
    from capadvise.gate.pod import pods
    from capadvise.gate.pod_security import reached

    with _in(path, text):
        return tuple(map(reached, pods(text, catalog)))


def _resolve(source: Source, texts: Iterable[str]) -> Source:
    """What docker compose makes of it, where that is not what is written. That takes it 80 ms."""
    open_ends = any(item.unresolved for _, items in source.written for item in items)
    includes = any(_INCLUDE.search(text) for text in texts)
    if len(source.paths) == 1 and not open_ends and not includes:
        return source
    from capadvise.linux.engines.record.compose import NotResolved, resolved

    files, why = ", ".join(source.paths), ""
    for variables in (True, False):
        try:
            text = resolved(source.paths, variables=variables)
        except NotResolved as error:
            why = why or str(error)
            continue
        if why:
            notice(f"note: {files}: judged without its variables: {why}")
        return replace(source, declared=_declared("docker compose", "compose", text))
    if includes:
        raise BadInput(
            f"{files}: what it includes cannot be judged: {why}",
            hint="run the gate where docker compose works, or check the included files",
        )
    notice(f"note: {files}: judged as written, without extends and overrides: {why}")
    # Not the last word of each service: an override must not hide what it does not repeat.
    return replace(source, declared=tuple(item for _, items in source.written for item in items))


def _left_out(paths: Sequence[str]) -> list[str]:
    """Overrides and drop-ins that lie beside the files."""
    besides = {Path(found) for path in paths for each in read_besides(path) for found in glob(each)}
    return sorted(map(str, besides - set(map(Path, paths))))


def _declared(path: str, kind: str, text: str) -> tuple[Declared, ...]:
    with _in(path, text):
        if dropped_in(path):  # it need not speak of what is judged
            services = _UNITS[kind].read(text, drop_in=True)
        else:
            services = FORMATS[kind].read(text)
    return tuple(_called(path, kind, item) for item in services)


def _called(path: str, kind: str, declared: Declared) -> Declared:
    """By its own name, where the file has none for it."""
    has_none = declared.service == _ONLY.get(kind)
    return replace(declared, service=service_name(path, kind)) if has_none else declared


@contextmanager
def _in(path: str, text: str) -> Iterator[None]:
    """What is wrong in a text is said with the file's name."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{path}: {error}", hint=error.hint or template_hint(text)) from error


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:  # a pipe or a device has no size to ask for
            text = file.read(MAX_CHARACTERS + 1)
        if len(text) > MAX_CHARACTERS:
            raise BadInput(f"{path}: too large for a configuration")
        return text
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8") from error
