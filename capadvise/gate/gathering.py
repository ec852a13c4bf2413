"""From the arguments of ``check`` to what is judged: files found, read, resolved, or reported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from capadvise.catalog import Catalog
from capadvise.config import LANGUAGES, can_be_ours, host_paths, languages, recognise
from capadvise.config.compose.project import named_by_env
from capadvise.config.declared import Declared
from capadvise.config.kubernetes import KUBERNETES
from capadvise.config.language import Language
from capadvise.config.units.names import called_after
from capadvise.config.yaml.tree import template_hint
from capadvise.gate.accepting import Acceptance, comments
from capadvise.gate.finding import Reached
from capadvise.gate.outcome import Remark, Resolver, Source, Unusable
from capadvise.gate.paths import STDIN, empty_folders, in_chart, left_out, paths_of, with_profiles
from capadvise.gate.projects import projects
from capadvise.model.errors import BadInput

MAX_CHARACTERS = 16 << 20
"""A larger file is no configuration."""
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
    languages: dict[str, Language] = field(default_factory=dict)
    templates: set[str] = field(default_factory=set)
    """Those of a chart, of which helm makes manifests."""
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
            language = self._language(path, text, in_folder=in_folder)
            more: list[str] = []
            if language is not None:
                more += [*language.together(path), *language.used_by(path, text)]
        except BadInput as error:
            hint = error.hint or (_OF_STDIN if path == STDIN else None)
            self.gathered.unusable.append(Unusable(path, str(error), hint))
            return
        if language is None:
            self.gathered.skipped += 1
            return
        self.texts[path], self.languages[path] = text, language
        if in_folder:
            self.unnamed.add(path)
        for other in more:
            if os.path.isfile(other):
                self.visit(other, in_folder=False)

    def _language(self, path: str, text: str, *, in_folder: bool) -> Language | None:
        """The language of a file. In a folder, what is no YAML at all is nothing of ours, but for
        a template, and others are written as ours are."""
        with _in(path, text):
            try:
                language = recognise(path, text)
            except BadInput as error:
                if in_folder and path.endswith(".json") and not can_be_ours(text):
                    return None
                if in_folder and error.hint is not None and error.hint == template_hint(text):
                    self.templates.add(path)  # what readers disagree about has another hint
                    return KUBERNETES
                raise
        if in_folder:
            return language if language is not None and language.meant(path, text) else None
        if language is None:
            raise BadInput(
                f"{path}: neither {_titles('nor')}",
                hint="units and quadlets are recognised by name: *.service, *.conf, *.container",
            )
        return language


def gather(arguments: Sequence[str], catalog: Catalog, resolver: Resolver) -> Gathered:
    """Read everything; what cannot be used does not stop the rest."""
    gathered = Gathered()
    read = _Read(gathered)
    for path, in_folder in paths_of(arguments):
        read.visit(path, in_folder=in_folder)
    gathered.sources += map(_nothing, empty_folders(arguments, read.languages))
    firsts: set[str] = set()
    known = set(map(os.path.normpath, read.texts))
    for group in projects(list(read.languages), read.unnamed, named_by_env):
        first, language = group[0], read.languages[group[0]]
        try:
            source = (
                _referring(first, resolver, catalog, template=True)
                if first in read.templates
                else _source(group, language, read.texts, catalog, resolver)
            )
            if first in firsts:
                source = _of_last(source)
            else:
                gathered.acceptances += [
                    item for path in group for item in comments(path, read.texts[path])
                ]
        except BadInput as error:
            hint = template_hint(read.texts[first])
            if hint is None or error.hint != hint or not in_chart(first):
                gathered.unusable.append(Unusable(first, str(error), error.hint))
                continue
            source = _referring(first, resolver, catalog, template=True)
        firsts.add(first)
        remarks = left_out(language, group, read.texts, known)
        gathered.sources.append(replace(source, remarks=(*source.remarks, *remarks)))
    return gathered


def gather_units(groups: Iterable[Sequence[str]], catalog: Catalog, resolver: Resolver) -> Gathered:
    """Units that are known already: the file of each, and its drop-ins."""
    gathered = Gathered()
    for group in groups:
        try:
            texts = {path: _text(path) for path in group}
            if "[Service]" in texts[group[0]]:  # else it runs nothing
                gathered.sources.append(
                    _source(group, LANGUAGES["systemd"], texts, catalog, resolver)
                )
        except BadInput as error:
            gathered.unusable.append(Unusable(group[0], str(error), error.hint))
    return gathered


def _nothing(folder: str) -> Source:
    """A folder in which nothing was judged: whoever named it expected something."""
    remark = Remark(folder, 1, f"no {_titles('or', article=False)} is in this folder")
    return Source((folder,), KUBERNETES, (), (), remarks=(remark,))


def _titles(last: str, *, article: bool = True) -> str:
    """What is judged: ``a compose file, a Kubernetes manifest or a unit``."""
    every = (language.title for language in languages("read"))
    *titles, title = every if article else (each.partition(" ")[2] for each in every)
    return f"{', '.join(titles)} {last} {title}"


def _of_last(source: Source) -> Source:
    """The services that the last of several files says something of: the others were judged."""
    named = {item.service for item in source.written[-1][1]}
    return replace(source, declared=tuple(x for x in source.declared if x.service in named))


# ------------------------------------------------------------------------------ reading


def _source(
    paths: Sequence[str],
    language: Language,
    texts: dict[str, str],
    catalog: Catalog,
    resolver: Resolver,
) -> Source:
    """One file, or several that belong together. Raises BadInput with file and line."""
    first = paths[0]
    if language.pods and _only_refers(first, texts[first]):
        return _referring(first, resolver, catalog)
    written = tuple((path, _declared(path, language, texts[path])) for path in paths)
    source = Source(tuple(paths), language, written[0][1], written)
    if language.pods:
        pods = _levels(first, texts[first], catalog)
        return replace(source, pods=pods, remarks=tuple(_references(first, texts[first])))
    every = [texts[path] for path in paths]
    if language.drop_ins and len(paths) > 1:
        with _in(", ".join(paths), ""):
            whole = language.read_together(every, called_after(paths))
        source = replace(source, declared=whole)
    source = resolver.resolved(source, every, catalog)
    return with_profiles(source, os.path.dirname(first))


def _only_refers(path: str, text: str) -> bool:
    from capadvise.config.kubernetes.recognise import only_refers

    return only_refers(path, text)


def _referring(
    path: str, resolver: Resolver, catalog: Catalog, *, template: bool = False
) -> Source:
    """A kustomization or a chart: what it comes to, where something here resolves it."""
    if template and resolver.covers(path):
        return Source((path,), KUBERNETES, (), ())
    rendered = None if template else resolver.folder(path)
    if rendered is None:
        what = "a template" if template else "it includes other files"
        remark = Remark(path, 1, f"{path}: {what}: use --resolve where its tool is installed")
        return Source((path,), KUBERNETES, (), (), remarks=(remark,))
    declared = _declared(path, KUBERNETES, rendered)
    return Source((path,), KUBERNETES, declared, (), pods=_levels(path, rendered, catalog))


def _references(path: str, text: str) -> Iterator[Remark]:
    from capadvise.config.kubernetes.manifests import DIALECT, host_volumes
    from capadvise.config.kubernetes.recognise import references
    from capadvise.config.yaml.reader import Documents

    for kind, tool, line in references(text):
        yield Remark(path, line, f"{kind} includes other files, which {tool} resolves")
    for name, folder, line in host_volumes(Documents(text, DIALECT)):
        if any(host_paths.mounted(folder, line, writable=True)):
            what = f"PersistentVolume/{name} gives {folder} of a node to whoever claims it"
            yield Remark(path, line, what)


def _levels(path: str, text: str, catalog: Catalog) -> tuple[Reached, ...]:
    from capadvise.gate.kubernetes.pod import pods
    from capadvise.gate.kubernetes.pod_security import reached

    with _in(path, text):
        return tuple(map(reached, pods(text, catalog)))


def _declared(path: str, language: Language, text: str) -> tuple[Declared, ...]:
    with _in(path, text):
        return language.read(text, path)


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
