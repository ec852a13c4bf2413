"""From the arguments of ``check`` to what is judged: files found, read, resolved, or reported."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from glob import glob
from pathlib import Path, PurePath

from capadvise.catalog import Catalog
from capadvise.errors import BadInput
from capadvise.formats import FORMATS, compose, quadlet, systemd
from capadvise.formats.declared import Declared
from capadvise.formats.yaml_tree import template_hint
from capadvise.gate.accepting import Acceptance, comments
from capadvise.gate.finding import Reached
from capadvise.gate.outcome import Remark, Source, Unusable
from capadvise.gate.sources import (
    CHARTS,
    UNIT_KINDS,
    dropped_in,
    projects,
    read_besides,
    recognize,
    refers,
    service_name,
    unit_section,
)
from capadvise.workflow.gate_resolve import Resolver

MAX_CHARACTERS = 16 << 20
"""A larger file is no configuration."""
STDIN = "-"
_ENDINGS = (".yaml", ".yml", ".container", ".conf", *UNIT_KINDS)
_UNITS = {"quadlet": quadlet, "systemd": systemd}
_ONLY = {"systemd": "service", "quadlet": "container", "oci": "process"}
"""What ``read`` calls the service of a file that has but one, and no name for it."""


@dataclass
class Gathered:
    """All that the arguments come to."""

    sources: list[Source] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)
    acceptances: list[Acceptance] = field(default_factory=list)
    """What comments in the files accept."""
    skipped: int = 0
    """Files of a folder that are nothing of ours."""


def gather(arguments: Sequence[str], catalog: Catalog, *, resolve: bool = False) -> Gathered:
    """Read everything; what cannot be used does not stop the rest."""
    gathered = Gathered()
    paths: list[str] = []
    texts: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for path, in_folder in _paths(arguments):
        try:
            texts[path] = _text(path)
            kind = _kind(path, texts[path], in_folder=in_folder)
        except BadInput as error:
            gathered.unusable.append(Unusable(path, str(error), error.hint))
            continue
        if kind is None:
            gathered.skipped += 1
            continue
        kinds[path] = kind
        paths.append(path)
    resolver = Resolver(always=resolve)
    for group in projects(paths):
        try:
            source = _source(group, kinds[group[0]], texts, catalog, resolver)
            accepted = [item for path in group for item in comments(path, texts[path])]
        except BadInput as error:
            gathered.unusable.append(Unusable(group[0], str(error), error.hint))
            continue
        gathered.sources.append(replace(source, remarks=(*source.remarks, *_left_out(group))))
        gathered.acceptances += accepted
    return gathered


# ------------------------------------------------------------------------------ finding files


def _paths(arguments: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """(path, whether it was found in a folder), each once."""
    seen: set[str] = set()
    for argument in arguments:
        inside = _walk(argument) if argument != STDIN and os.path.isdir(argument) else None
        for path in [argument] if inside is None else inside:
            if path not in seen:
                seen.add(path)
                yield path, inside is not None


def _walk(folder: str) -> Iterator[str]:
    """The files of a tree that can be ours, in the order of their names; links are not followed."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in (".git", "node_modules"))
        for name in sorted(names):
            path = os.path.join(root, name)
            wanted = name.endswith(_ENDINGS) or name in (*CHARTS, "config.json")
            if (wanted or name.endswith(".json")) and stat.S_ISREG(os.lstat(path).st_mode):
                yield path


def _kind(path: str, text: str, *, in_folder: bool) -> str | None:
    """The format. In a folder, what is no YAML at all is nothing of ours, but for a template."""
    with _in(path, text):
        try:
            kind = recognize(path, text)
        except BadInput:
            if in_folder and path.endswith(".json"):
                return None
            if in_folder and "{{" in text:
                return "template"
            raise
    if kind is None and not in_folder:
        raise BadInput(
            f"{path}: neither a compose file, a Kubernetes manifest, a quadlet, a unit nor "
            "config.json",
            hint="units and quadlets are recognised by name: *.service, *.conf, *.container",
        )
    if in_folder and kind == "compose" and not _is_compose(path, text):
        return None
    return kind


def _is_compose(path: str, text: str) -> bool:
    """Other programs have files with services, too."""
    if PurePath(path).name.startswith(("compose", "docker-compose")):
        return True
    try:
        return any(item.service for item in compose.read(text)) and "image:" in text
    except BadInput:
        return False


def _left_out(group: Sequence[str]) -> Iterator[Remark]:
    """Overrides and drop-ins that lie beside the files, and files that ``.env`` names."""
    named = set(map(Path, group))
    for pattern in (each for path in group for each in read_besides(path)):
        for beside in sorted(glob(pattern)):
            if Path(beside) not in named:
                yield Remark(group[0], 1, f"{beside} was not named: reading {group[0]} includes it")
    place = Path(group[0])
    if place.name.startswith(("compose", "docker-compose")):
        yield from _named_by_env(place, named)


def _named_by_env(place: Path, named: set[Path]) -> Iterator[Remark]:
    try:
        lines = (place.parent / ".env").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        key, _, value = line.partition("=")
        if key.strip().removeprefix("export ").strip() == "COMPOSE_FILE":
            for name in value.strip().strip("\"'").split(":"):
                if place.parent / name not in named:
                    yield Remark(str(place), 1, f"{name} was not named: .env makes compose read it")


# ------------------------------------------------------------------------------ reading


def _source(
    paths: Sequence[str],
    kind: str,
    texts: dict[str, str],
    catalog: Catalog,
    resolver: Resolver,
) -> Source:
    """One file, or several that belong together. Raises BadInput with file and line."""
    first = paths[0]
    if kind in ("template", "referring"):
        return _referring(first, kind, resolver, catalog)
    written = tuple((path, _declared(path, kind, texts[path])) for path in paths)
    source = Source(tuple(paths), kind, written[0][1], written)
    if kind == "compose":
        return resolver.compose(source, [texts[path] for path in paths])
    if kind == "kubernetes":
        pods = _levels(first, texts[first], catalog)
        return replace(source, pods=pods, remarks=tuple(_references(first, texts[first])))
    if len(paths) > 1:  # a unit and its drop-ins
        with _in(", ".join(paths), ""):
            whole = _together(kind, first, [texts[path] for path in paths])
        return replace(source, declared=tuple(map(partial(_called, first, kind), whole)))
    return source


def _referring(path: str, kind: str, resolver: Resolver, catalog: Catalog) -> Source:
    """A kustomization or a chart: what it comes to, where something here resolves it."""
    rendered = None if kind == "template" else resolver.folder(path)
    if rendered is None:
        what = "a template" if kind == "template" else "it includes other files"
        remark = Remark(path, 1, f"{path}: {what}: use --resolve where its tool is installed")
        return Source((path,), "kubernetes", (), (), remarks=(remark,))
    return Source(
        (path,),
        "kubernetes",
        _declared(path, "kubernetes", rendered),
        (),
        pods=_levels(path, rendered, catalog),
    )


def _references(path: str, text: str) -> Iterator[Remark]:
    for kind, tool, line in refers(text):
        yield Remark(path, line, f"{kind} includes other files, which {tool} resolves")


def _together(kind: str, first: str, texts: list[str]) -> tuple[Declared, ...]:
    if kind == "systemd":
        return systemd.read_together(texts, section=unit_section(first))
    return quadlet.read_together(texts)


def _levels(path: str, text: str, catalog: Catalog) -> tuple[Reached, ...]:
    from capadvise.gate.pod import pods
    from capadvise.gate.pod_security import reached

    with _in(path, text):
        return tuple(map(reached, pods(text, catalog)))


def _declared(path: str, kind: str, text: str) -> tuple[Declared, ...]:
    with _in(path, text):
        if kind == "systemd":
            services = systemd.read(text, section=unit_section(path), drop_in=dropped_in(path))
        elif kind == "quadlet":
            services = quadlet.read(text, drop_in=dropped_in(path))
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
    """Line ends as they are: a lone carriage return is one to some readers."""
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(4 * MAX_CHARACTERS + 1)
        else:
            with open(path, "rb") as file:  # a pipe or a device has no size to ask for
                data = file.read(4 * MAX_CHARACTERS + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8") from error
    if len(text) > MAX_CHARACTERS:
        raise BadInput(f"{path}: too large for a configuration")
    return text
