"""Turn the arguments of ``check`` into sources: find, read and resolve files, or report why not."""

import json
import os
import stat
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from errno import EACCES
from glob import escape, glob
from os.path import normpath
from pathlib import Path, PurePath

from capadvise.catalog import Catalog
from capadvise.config import LANGUAGES, can_be_ours, languages, recognise
from capadvise.config.compose.files import NAMES, named_by_env
from capadvise.config.declared import Declared
from capadvise.config.foreign import FOREIGN
from capadvise.config.kubernetes import KUBERNETES
from capadvise.config.language import Language
from capadvise.config.oci.file import filtered
from capadvise.config.systemd import SYSTEMD
from capadvise.config.units.names import called_after, drop_in_folders, dropped_in, template_of
from capadvise.config.yaml.tree import template_hint
from capadvise.gate.accepting import Acceptance, comments
from capadvise.gate.finding import Reached
from capadvise.gate.outcome import Remark, Resolver, Source, Unusable
from capadvise.model.errors import BadInput
from capadvise.model.input_file import text as text_of

_OF_STDIN = "standard input is YAML or JSON; units and quadlets are recognised by name"


@dataclass(slots=True)
class Gathered:
    """Everything that was gathered from the arguments."""

    sources: list[Source] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)
    acceptances: list[Acceptance] = field(default_factory=list)
    """The acceptances in comments of the files."""
    skipped: int = 0
    """The number of files in folders that are not ours."""


@dataclass(slots=True)
class _Read:
    """The files that are ours, in the order in which they were met."""

    gathered: Gathered
    texts: dict[str, str] = field(default_factory=dict)
    languages: dict[str, Language] = field(default_factory=dict)
    templates: set[str] = field(default_factory=set)
    """Templates of a chart, from which helm makes manifests."""
    unnamed: set[str] = field(default_factory=set)
    """Files that were met in a folder: nobody named them."""
    seen: set[str] = field(default_factory=set)

    def visit(self, path: str, *, in_folder: bool) -> None:
        """Read a file, and those that its consumer reads with it."""
        if (known := normpath(path)) in self.seen and path != STDIN:
            return
        self.seen.add(known)
        try:
            text = read_text(path, named=not in_folder)
            language = self._language(path, text, in_folder=in_folder)
            more: list[str] = []
            if language is not None:
                with _in(path, text):
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
                # A file of another tool can name some without any container.
                self.visit(other, in_folder=language is FOREIGN)

    def _language(self, path: str, text: str, *, in_folder: bool) -> Language | None:
        """The language of a file. In a folder, a file that is not YAML at all is not ours, except a
        template; and a file of another program may look like ours."""
        with _in(path, text):
            try:
                language = recognise(path, text)
            except BadInput as error:
                others = path.endswith(".conf") or (
                    path.endswith(".json") and not can_be_ours(text)
                )
                if in_folder and others:
                    return None
                if in_folder and error.hint is not None and error.hint == template_hint(text):
                    self.templates.add(path)  # what readers disagree about has another hint
                    return KUBERNETES
                raise
            if in_folder:
                return language if language is not None and language.meant(path, text) else None
        if language is None:
            *titles, last = (each.title for each in languages("read"))
            raise BadInput(
                f"{path}: neither {', '.join(titles)} nor {last}",
                hint="units and quadlets are recognised by name: *.service, *.conf, *.container",
            )
        return language


def gather(arguments: Sequence[str], catalog: Catalog, resolver: Resolver) -> Gathered:
    """Read everything; a file that cannot be used does not stop the rest."""
    gathered = Gathered()
    read = _Read(gathered)
    for path, in_folder in paths_of(arguments):
        read.visit(path, in_folder=in_folder)
    gathered.sources += map(_nothing, empty_folders(arguments, read.languages))
    firsts: set[str] = set()
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
        remarks = left_out(language, group, read.texts, read.seen)
        gathered.sources.append(replace(source, remarks=(*source.remarks, *remarks)))
    return gathered


def gather_units(groups: Iterable[Sequence[str]], catalog: Catalog, resolver: Resolver) -> Gathered:
    """Read units that are already known: each group is a unit's file and its drop-ins."""
    gathered = Gathered()
    for group in groups:
        try:
            texts = {path: read_text(path) for path in group}
            if "[Service]" in texts[group[0]]:  # else it runs nothing
                gathered.sources.append(_source(group, SYSTEMD, texts, catalog, resolver))
        except BadInput as error:
            gathered.unusable.append(Unusable(group[0], str(error), error.hint))
    return gathered


def _nothing(folder: str) -> Source:
    """A source for a folder without any file that we know: the user who named it expected one."""
    remark = Remark(folder, 1, f"no {_titles('or', article=False)} is in this folder")
    return Source((folder,), KUBERNETES, (), (), remarks=(remark,))


def _titles(last: str, *, article: bool = True) -> str:
    """The kinds of files: ``a compose file, a Kubernetes manifest or a unit``."""
    every = (language.title for language in languages("read"))
    *titles, title = every if article else (each.partition(" ")[2] for each in every)
    return f"{', '.join(titles)} {last} {title}"


def _of_last(source: Source) -> Source:
    """Keep the services that the last of several files mentions: the others were judged."""
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
    """Read one file, or several that belong together. Raises BadInput with file and line."""
    first = paths[0]
    if language.pods:
        from capadvise.config.kubernetes.files import only_refers

        if only_refers(first, texts[first]):
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


def _referring(
    path: str, resolver: Resolver, catalog: Catalog, *, template: bool = False
) -> Source:
    """A kustomization or a chart, rendered if its tool is here and the user asks for it."""
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
    from capadvise.config.kubernetes.files import references
    from capadvise.config.kubernetes.manifests import DIALECT, host_volumes
    from capadvise.config.yaml.reader import Documents

    for kind, tool, line in references(text):
        yield Remark(path, line, f"{kind} includes other files, which {tool} resolves")
    for title, volume, line in host_volumes(Documents(text, DIALECT)):
        for reached in volume.exposed(line, writable=True):
            what = f"{title} gives {reached.what} of a node to every pod that claims it"
            yield Remark(path, line, what)


def _levels(path: str, text: str, catalog: Catalog) -> tuple[Reached, ...]:
    from capadvise.gate.pod_security import pod_level, pods

    with _in(path, text):
        return tuple(map(pod_level, pods(text, catalog)))


def _declared(path: str, language: Language, text: str) -> tuple[Declared, ...]:
    with _in(path, text):
        return language.read(text, path)


@contextmanager
def _in(path: str, text: str) -> Iterator[None]:
    """Put the file's name in front of an error in its text."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{path}: {error}", hint=error.hint or template_hint(text)) from error


def read_text(path: str, *, named: bool = False) -> str:
    """Read a file and keep its line ends: some readers take a lone carriage return for one.
    ``named``: by the user, who may mean a pipe."""
    return text_of(sys.stdin.fileno() if path == STDIN else path, pipes=named)


# ---------------------------------------------------------- files and folders

STDIN = "-"
_ENDINGS = tuple({each for language in LANGUAGES.values() for each in language.endings})


def paths_of(arguments: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield (path, True if it was met in a folder), each path once."""
    seen: set[str] = set()
    for argument in arguments:
        inside = _walk(argument) if argument != STDIN and os.path.isdir(argument) else None
        for path in [argument] if inside is None else inside:
            if path not in seen:
                seen.add(path)
                yield path, inside is not None


def _walk(folder: str) -> Iterator[str]:
    """The files of a tree that can be ours, in the order of their names, and folders that cannot be
    read. A link to a file counts, as its consumer follows it too; a link to a folder is followed
    only if the folder holds drop-ins."""
    unreadable: list[str] = []
    walk = os.walk(folder, onerror=lambda error: unreadable.append(str(error.filename)))
    for root, folders, names in walk:
        folders[:] = sorted(name for name in folders if name not in (".git", "node_modules"))
        paths = [os.path.join(root, name) for name in sorted(names)]
        for link in (os.path.join(root, name) for name in folders):
            if os.path.islink(link) and dropped_in(os.path.join(link, "a.conf")):
                paths += sorted(glob(f"{escape(link)}/*.conf"))
        yield from filter(_can_be_read, paths)
    yield from unreadable


def _can_be_read(path: str) -> bool:
    """True if a path has an ending of ours and is a file, or masks a drop-in (``/dev/null``). A
    file that we may not read is an error later."""
    name = os.path.basename(path)
    if not name.endswith(_ENDINGS):
        return False
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.errno == EACCES  # else it is a link to nothing
    return stat.S_ISREG(mode) or (dropped_in(path) and os.path.realpath(path) == os.devnull)


def in_chart(path: str) -> bool:
    """True if helm makes a manifest of a file, with the values of its chart."""
    return "templates" in Path(path).parts and any(
        (folder / "Chart.yaml").exists() for folder in Path(path).parents
    )


def empty_folders(arguments: Sequence[str], paths: Iterable[str]) -> list[str]:
    """The folders that the user named and that hold none of these files."""
    judged = [os.path.abspath(path) for path in paths]
    folders = [each for each in arguments if each != STDIN and os.path.isdir(each)]
    return [
        each
        for each in folders
        if not any(path.startswith(os.path.join(os.path.abspath(each), "")) for path in judged)
    ]


def with_profiles(source: Source, folder: str) -> Source:
    """Judge the seccomp filters of its services."""
    return replace(source, declared=tuple(_with_profiles(x, folder) for x in source.declared))


def _with_profiles(declared: Declared, folder: str) -> Declared:
    """Read the seccomp filters that stand in files of their own: some let everything through."""
    for path, line in declared.profiles:
        try:
            profile = json.loads(read_text(os.path.join(folder, path)))
        except (BadInput, ValueError, RecursionError):
            unread = (f"its seccomp profile {path} could not be read", line)
            declared = replace(declared, unjudged=(*declared.unjudged, unread))
            continue
        opened = filtered(profile, f"seccomp={path}", line)
        filters = (*declared.filters, profile)
        declared = replace(declared, exposed=(*declared.exposed, *opened), filters=filters)
    return declared


def left_out(
    language: Language, group: Sequence[str], texts: dict[str, str], known: set[str]
) -> Iterator[Remark]:
    """Yield a remark for each override or drop-in beside the files that nobody named, and for each
    file that these or ``.env`` name and that could not be read. ``known``: the normalized paths of
    all files that were met."""
    seen: set[str] = set()  # of its own: a copy of all known files for each would be quadratic
    for path in group:
        for beside, why in language.unasked(path):
            if (place := normpath(beside)) not in seen and place not in known:
                seen.add(place)
                yield Remark(path, 1, f"{beside} was not named: {why}")
        for used in language.used_by(path, texts[path]):
            if normpath(used) not in known:
                yield Remark(path, 1, f"{used}, which it names, could not be read")


# ---------------------------------------- files that make one project; pure

_OVERRIDES = tuple(f"{stem}.override" for stem in NAMES)


def projects(
    paths: Sequence[str],
    unnamed: Container[str] = (),
    together: Callable[[str], list[str]] = lambda path: [],
) -> list[list[str]]:
    """Group the files that belong together; each other file is a group by itself.

    A compose file is an override of an earlier one in the same folder when it has the same name
    with a further part: ``compose.override.yaml`` and ``compose.prod.yaml`` of ``compose.yaml``.
    They count in the order given. A file that is called override belongs to ``compose.yaml`` and to
    ``docker-compose.yml`` alike. Docker compose reads only the first such override that nobody
    named (``unnamed``: met in a folder); each other one makes a project of its own with the file
    that it overrides. ``together`` returns files that make one project whatever their names: no
    override is read with these. A drop-in belongs to each unit beside its folder; the drop-ins of
    an instance make it a unit beside its template.
    """
    grouping = _Grouping(unnamed)
    known = {normpath(path): path for path in paths}
    # A folder lists compose.override.yaml before compose.yaml.
    ordered = sorted(dict.fromkeys(paths), key=lambda p: p in unnamed and _main(p) is None)
    drop_ins: dict[str, dict[str, str]] = {}
    for path in filter(dropped_in, ordered):
        drop_ins.setdefault(str(PurePath(path).parent), {})[PurePath(path).name] = path
    for path in ordered:
        if not dropped_in(path):
            named = [known[place] for x in together(path) if (place := normpath(x)) in known]
            grouping.add(path, named)
    for group in grouping.groups.values():
        group += _dropped_into(group[0], drop_ins)
    read = {folder for path in grouping.groups for folder in drop_in_folders(path)}
    instances = list(_instances(grouping.groups, drop_ins, read))
    read |= {str(PurePath(path).parent) for group in instances for path in group[1:]}
    alone = [[p] for p in filter(dropped_in, ordered) if str(PurePath(p).parent) not in read]
    return [*grouping.groups.values(), *grouping.variants, *instances, *alone]


class _Grouping:
    """The projects so far; files are added one after the other."""

    def __init__(self, unnamed: Container[str]) -> None:
        self.unnamed = unnamed
        self.groups: dict[str, list[str]] = {}
        """First file → the files of its project."""
        self.variants: list[list[str]] = []
        self.mains: dict[tuple[str, str], str] = {}
        self.taken: set[str] = set()

    def add(self, path: str, named: list[str]) -> None:
        """Put a file where it belongs. ``named``: a project that the user made of it and others."""
        if path in self.taken:
            return
        if named:
            for other in named:
                self.groups.pop(other, None)  # it was met first
            self.groups[path] = named
            self.taken.update(named)
            self.mains |= {name: path for name in map(_main, named) if name is not None}
        elif (main := self._main_of(path)) is None:
            self.groups[path] = [path]
            if (name := _main(path)) is not None:
                self.mains[name] = path
        elif path not in self.unnamed:
            self.groups[main].append(path)
        elif _is_override(path) and main not in self.taken:
            self._add_override(self.groups[main], path)
        else:
            self.variants.append([*self.groups[main], path])

    def _main_of(self, path: str) -> str | None:
        """The compose file that an override is for."""
        folder, stem = _main(path, parts=2) or ("", "")
        names = [(folder, each) for each in (stem, *(NAMES if _is_override(path) else ()))]
        return next((self.mains[name] for name in names if name in self.mains), None)

    def _add_override(self, group: list[str], path: str) -> None:
        """Docker compose takes the first of several overrides."""
        for at, other in enumerate(group):
            if _is_override(other):
                group[at], path = sorted((other, path), key=_rank)
                self.variants.append([*group, path])
                return
        group.append(path)


def _dropped_into(path: str, drop_ins: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The drop-ins of a unit in the order of their names. If two have the same name, the one in the
    more special folder counts (unit_file_find_dropin_paths)."""
    by_name: dict[str, str] = {}
    for folder in drop_in_folders(path):
        for name, drop_in in drop_ins.get(folder, {}).items():
            by_name.setdefault(name, drop_in)
    return [by_name[name] for name in sorted(by_name)]


def _is_override(path: str) -> bool:
    return PurePath(path).stem in _OVERRIDES


def _rank(override: str) -> tuple[int, bool]:
    """The place of an override in the order in which docker compose looks for one."""
    place = PurePath(override)
    return _OVERRIDES.index(place.stem), place.suffix != ".yml"


def _instances(
    paths: Iterable[str], drop_ins: Mapping[str, Mapping[str, str]], read: Container[str]
) -> Iterator[list[str]]:
    """Yield the instances that have drop-ins and no file of their own."""
    known = {normpath(path): path for path in paths}
    for folder in drop_ins:
        unit = folder.removesuffix(".d")
        template = None if folder in read else template_of(unit)
        if template in known:
            yield [known[template], *_dropped_into(unit, drop_ins)]


def _main(path: str, parts: int = 1) -> tuple[str, str] | None:
    """(folder, name) of a compose file; with two ``parts``, of the file that it overrides."""
    place = PurePath(path)
    stem, *endings = place.name.split(".")
    return (str(place.parent), stem) if stem in NAMES and len(endings) == parts else None
