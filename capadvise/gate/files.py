"""From the arguments of ``check`` to what is judged: files found, read, resolved, or reported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from capadvise.catalog import Catalog
from capadvise.formats import FORMATS, compose, host_paths, manifests, quadlet, systemd
from capadvise.formats.declared import Declared
from capadvise.formats.yaml_reader import Documents
from capadvise.formats.yaml_tree import template_hint
from capadvise.gate.accepting import Acceptance, comments
from capadvise.gate.finding import Reached
from capadvise.gate.outcome import Remark, Resolver, Source, Unusable
from capadvise.gate.paths import (
    STDIN,
    empty_folders,
    in_chart,
    left_out,
    named_together,
    paths_of,
    read_with,
    used_by,
    with_profiles,
)
from capadvise.gate.projects import projects
from capadvise.gate.sources import (
    called_after,
    can_be_ours,
    dropped_in,
    is_compose,
    recognize,
    refers,
    service_name,
    unit_section,
    unit_suffix,
)
from capadvise.model.errors import BadInput

MAX_CHARACTERS = 16 << 20
"""A larger file is no configuration."""
_ONLY = {"systemd": "service", "quadlet": "container", "oci": "process"}
"""What ``read`` calls the service of a file that has but one, and no name for it."""


_OF_STDIN = "standard input is YAML or JSON; units and quadlets are recognised by name"


@dataclass(slots=True)
class Gathered:
    """All that the arguments come to."""

    sources: list[Source] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)
    acceptances: list[Acceptance] = field(default_factory=list)
    """What comments in the files accept."""
    skipped: int = 0
    """Files of a folder that are nothing of ours."""


@dataclass(slots=True)
class _Read:
    """The files that are ours, in the order in which they were met."""

    gathered: Gathered
    texts: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    unnamed: set[str] = field(default_factory=set)
    """Those that lay in a folder: nobody named them."""
    seen: set[str] = field(default_factory=set)

    def visit(self, path: str, *, in_folder: bool) -> None:
        """A file, and those that its consumer reads with it."""
        if (known := os.path.normpath(path)) in self.seen and path != STDIN:
            return
        self.seen.add(known)
        try:
            text = _text(path)
            kind = _kind(path, text, in_folder=in_folder)
            more = () if kind is None else (*read_with(path), *used_by(path, text))
        except BadInput as error:
            hint = error.hint or (_OF_STDIN if path == STDIN else None)
            self.gathered.unusable.append(Unusable(path, str(error), hint))
            return
        if kind is None:
            self.gathered.skipped += 1
            return
        self.texts[path], self.kinds[path] = text, kind
        if in_folder:
            self.unnamed.add(path)
        for other in more:
            if os.path.isfile(other):
                self.visit(other, in_folder=False)


def gather(arguments: Sequence[str], catalog: Catalog, resolver: Resolver) -> Gathered:
    """Read everything; what cannot be used does not stop the rest."""
    gathered = Gathered()
    read = _Read(gathered)
    for path, in_folder in paths_of(arguments):
        read.visit(path, in_folder=in_folder)
    gathered.sources += map(_nothing, empty_folders(arguments, read.kinds))
    firsts: set[str] = set()
    known = set(map(os.path.normpath, read.texts))
    for group in projects(list(read.kinds), read.unnamed, named_together):
        try:
            source = _source(group, read.kinds[group[0]], read.texts, catalog, resolver)
            if group[0] in firsts:
                source = _of_last(source)
            else:
                gathered.acceptances += [
                    item for path in group for item in comments(path, read.texts[path])
                ]
        except BadInput as error:
            hint = template_hint(read.texts[group[0]])
            if hint is None or error.hint != hint or not in_chart(group[0]):
                gathered.unusable.append(Unusable(group[0], str(error), error.hint))
                continue
            source = _referring(group[0], "template", resolver, catalog)
        firsts.add(group[0])
        remarks = left_out(group, read.texts, known)
        gathered.sources.append(replace(source, remarks=(*source.remarks, *remarks)))
    return gathered


def gather_units(groups: Iterable[Sequence[str]], catalog: Catalog, resolver: Resolver) -> Gathered:
    """Units that are known already: the file of each, and its drop-ins."""
    gathered = Gathered()
    for group in groups:
        try:
            texts = {path: _text(path) for path in group}
            if "[Service]" in texts[group[0]]:  # else it runs nothing
                gathered.sources.append(_source(group, "systemd", texts, catalog, resolver))
        except BadInput as error:
            gathered.unusable.append(Unusable(group[0], str(error), error.hint))
    return gathered


def _nothing(folder: str) -> Source:
    """A folder in which nothing was judged: whoever named it expected something."""
    what = "no compose file, manifest, quadlet, unit or bundle is in this folder"
    return Source((folder,), "kubernetes", (), (), remarks=(Remark(folder, 1, what),))


def _of_last(source: Source) -> Source:
    """The services that the last of several files says something of: the others were judged."""
    named = {item.service for item in source.written[-1][1]}
    return replace(source, declared=tuple(x for x in source.declared if x.service in named))


# ------------------------------------------------------------------------------ recognizing


def _kind(path: str, text: str, *, in_folder: bool) -> str | None:
    """The format. In a folder, what is no YAML at all is nothing of ours, but for a template."""
    with _in(path, text):
        try:
            kind = recognize(path, text)
        except BadInput as error:
            if in_folder and path.endswith(".json") and not can_be_ours(text):
                return None
            if in_folder and error.hint is not None and error.hint == template_hint(text):
                return "template"  # no YAML at all: what readers disagree about has another hint
            raise
    return _kind_in_folder(path, text, kind) if in_folder else _named(path, kind)


def _named(path: str, kind: str | None) -> str:
    """The format of a file that somebody named."""
    if kind is None:
        raise BadInput(
            f"{path}: neither a compose file, a Kubernetes manifest, a quadlet, a unit nor "
            "config.json",
            hint="units and quadlets are recognised by name: *.service, *.conf, *.container",
        )
    return kind


def _kind_in_folder(path: str, text: str, kind: str | None) -> str | None:
    """The format of a file of a folder: others are called as ours are."""
    if kind == "compose" and not is_compose(path, text):
        return None
    if kind == "systemd" and not dropped_in(path) and f"[{unit_section(path)}]" not in text:
        return None  # it runs nothing, or is of D-Bus or avahi
    return kind


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
        folder = os.path.dirname(first)
        source = resolver.compose(source, [texts[path] for path in paths])
        return with_profiles(source, folder)
    if kind == "kubernetes":
        pods = _levels(first, texts[first], catalog)
        return replace(source, pods=pods, remarks=tuple(_references(first, texts[first])))
    if kind == "quadlet" and unit_suffix(first) != ".container":
        return replace(source, declared=tuple(item for _, items in written for item in items))
    every = [texts[path] for path in paths]
    if len(paths) > 1:  # a unit and its drop-ins
        with _in(", ".join(paths), ""):
            whole = _together(kind, first, every)
        source = replace(
            source, declared=tuple(map(partial(_called, called_after(paths), kind), whole))
        )
    source = with_profiles(source, os.path.dirname(first))
    return source if kind == "oci" else resolver.unit(source, every, catalog)


def _referring(path: str, kind: str, resolver: Resolver, catalog: Catalog) -> Source:
    """A kustomization or a chart: what it comes to, where something here resolves it."""
    if kind == "template" and resolver.covers(path):
        return Source((path,), "kubernetes", (), ())
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
    for name, folder, line in manifests.host_volumes(Documents(text, manifests.DIALECT)):
        if any(host_paths.mounted(folder, line, writable=True)):
            what = f"PersistentVolume/{name} gives {folder} of a node to whoever claims it"
            yield Remark(path, line, what)


def _together(kind: str, first: str, texts: list[str]) -> tuple[Declared, ...]:
    if kind == "systemd":
        return systemd.read_together(texts, section=unit_section(first))
    return quadlet.read_together(texts)


def _levels(path: str, text: str, catalog: Catalog) -> tuple[Reached, ...]:
    from capadvise.gate.kubernetes.pod import pods
    from capadvise.gate.kubernetes.pod_security import reached

    with _in(path, text):
        return tuple(map(reached, pods(text, catalog)))


def _declared(path: str, kind: str, text: str) -> tuple[Declared, ...]:
    with _in(path, text):
        if kind == "systemd":
            services = systemd.read(text, section=unit_section(path), drop_in=dropped_in(path))
        elif kind == "quadlet":
            services = _quadlet(path, text)
        elif kind == "compose":
            services = compose.read(text, folder=os.path.dirname(os.path.abspath(path)))
        else:
            services = FORMATS[kind].read(text)
    return tuple(_called(path, kind, item) for item in services)


def _quadlet(path: str, text: str) -> tuple[Declared, ...]:
    suffix = unit_suffix(path)
    if suffix == ".container":
        return quadlet.read(text, drop_in=dropped_in(path))
    return quadlet.read_other(text, suffix, drop_in=dropped_in(path))


def _called(path: str, kind: str, declared: Declared) -> Declared:
    """By its own name, where the file has none for it."""
    has_none = declared.service == _ONLY.get(kind)
    if has_none:
        return replace(declared, service=service_name(path, kind))
    return replace(declared, aliases=(service_name(path, kind),)) if kind in _ONLY else declared


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
