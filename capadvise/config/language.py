"""One configuration language, and the program that reads it: each answers the same questions.

A language is a folder. Its ``__init__`` holds this value and nothing heavy, since every command
loads it. The other modules of the folder are loaded when somebody asks them:

- ``file`` has ``render(snippet)`` and ``read(text, path)``; ``service_name(path)`` if a file holds
  one service; ``read_together(texts, path)`` if the language has drop-ins; and, if its consumer's
  command answers in its own form, ``read_shown(shown, name)``;
- ``edit`` has ``patch`` and ``restrain``, as ``patched.Editor`` describes them;
- the module that ``files`` names knows which files are of the language: ``claims(file)``, and
  ``meant(path, text)`` if the language ``has_doubles``; and which files the consumer reads with
  one: ``unasked(path)`` if it ``joins`` files or has ``drop_ins``, ``together(path)`` and
  ``beside`` if it ``joins`` files, ``used_by(path, text)`` if it has ``drop_ins`` or is known
  ``by_name``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from capadvise.config.consumer import Consumer, capability_number
from capadvise.model.errors import BadInput, CannotPatch

if TYPE_CHECKING:
    from pathlib import Path

    from capadvise.config.declared import Declared
    from capadvise.config.patched import Patched
    from capadvise.config.snippet import Snippet
    from capadvise.config.yaml.tree import Node
    from capadvise.model.caps import CapSet
    from capadvise.model.target import Target


QUESTIONS = ("recognise", "read", "expose", "render", "edit", "consumer", "lines", "ask", "name")
"""A language answers each, or says in ``cannot`` why not."""


class UnknownFile:
    """A file of which nobody has said in which language it is; JSON is YAML, too."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text

    @property
    def name(self) -> str:
        """Without its folder."""
        return PurePath(self.path).name

    @cached_property
    def roots(self) -> tuple[Node, ...]:
        """One for each document. Raises BadInput, with the line, for what is not YAML."""
        from capadvise.config.yaml.reader import Documents

        return tuple(Documents(self.text).roots)

    @cached_property
    def json(self) -> object:
        """The value; None for what is not JSON."""
        import json

        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None


class Resolves(Enum):
    """The question that ``check`` puts to a consumer before it judges."""

    NOTHING = 0
    PROJECT = 1
    """The result of several files, where the files alone do not tell."""
    UNIT = 2
    """The command that it starts for a unit, with ``--resolve``."""
    BOUNDS = 3
    """The most that a unit may hold, with ``--resolve``."""


@dataclass(frozen=True, slots=True)
class ConsumerCommand:
    """The program that reads a language, and the command that shows its reading of a file."""

    title: str
    commands: tuple[tuple[str, ...], ...]
    """The first that is installed and takes the file answers. ``{folder}`` is the file's folder,
    ``{name}`` its name."""
    beside: bool = False
    """It wants the file in a folder, a temporary one, with those that it refers to; else it reads
    its standard input."""
    own_form: bool = False
    """Its answer is not written in the language: ``read_shown`` reads it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    verifies_drop_ins: bool = False
    """``systemd-analyze verify`` says whether a drop-in is right."""


@dataclass(frozen=True, slots=True)
class Language:
    """One configuration language."""

    name: str
    """The value of ``--format``."""
    module: str
    """The module that renders, and reads where the language has a file."""
    title: str = ""
    """A file of it, in a sentence: ``a compose file``."""
    consumer: Consumer | None = None
    command: ConsumerCommand | None = None
    resolves: Resolves = Resolves.NOTHING
    file_name: str = ""
    """The name of a new file if nobody says otherwise; empty: ``capadvise.NAME``."""
    endings: tuple[str, ...] = ()
    """Endings of the names of its files."""
    edited: tuple[str, ...] = ()
    """Endings of the files that ``edit`` changes; a drop-in counts as its unit."""
    keys: tuple[str, ...] = ()
    """Top-level keys that only a JSON file of this language has."""
    service: str = ""
    """The name that ``read`` gives to the only service of a file. Empty: a file has several
    services, each with its own name."""
    by_name: bool = False
    """The names of some files show it, as ``named(path)`` tells; its files name others."""
    has_doubles: bool = False
    """Files of other programs look the same."""
    drop_ins: bool = False
    """Its files are units, known by their names. Drop-ins in ``NAME.d`` change what one says, and
    can be there without it."""
    files: str = ""
    """The module that knows its files."""
    joins: bool = False
    """Its consumer joins what several files say of one service."""
    pods: bool = False
    """Its services are containers of pods: the pod has the Pod Security level."""
    engine: str | None = None
    """The engine that always starts its services, as ``catalog/baselines`` calls it; None: the
    engine of the target."""
    for_command: bool = False
    """Its output starts or changes the recorded program: a set alone is not enough."""
    reads: tuple[str, ...] = ()
    """Keys that name files which its consumer reads with a file."""
    lines: str = ""
    """Lines to paste into a file; ``{short}``, ``{full}`` and ``{json}`` are the capabilities, the
    last ones in quotes."""
    devices: str = ""
    """The setting that gives a service a device of the host."""
    filter_note: str = ""
    """The condition under which the engine applies its seccomp filter, if there is one."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """Question → the reason why the language has no answer."""

    def can(self, question: str) -> bool:
        """True if it answers one of ``QUESTIONS``."""
        return question not in self.cannot

    @property
    def judged_by(self) -> Consumer:
        """The consumer of a language that has files."""
        assert self.consumer is not None, self.name
        return self.consumer

    @property
    def _file(self) -> Any:
        return import_module(self.module)

    @property
    def _files(self) -> Any:
        return import_module(self.files)

    # -------------------------------------------------------------------------- reading

    def named(self, path: str) -> bool:
        """True if the name of a file alone shows this language, as that of a unit does."""
        if self.by_name:
            return bool(self._files.named(path))
        if not self.drop_ins:
            return False
        from capadvise.config.units.names import dropped_in, unit_suffix
        from capadvise.model.target import IDLE_KINDS

        suffix = unit_suffix(path)
        if suffix in self.endings and suffix != ".conf":
            return True
        # A drop-in can be of a kind that nobody here knows.
        return ".conf" in self.endings and (dropped_in(path) or suffix in IDLE_KINDS)

    def claims(self, file: UnknownFile) -> bool:
        """True if the content of a file shows this language. Raises BadInput if only half does."""
        asked = self.can("recognise") and not self.drop_ins
        return asked and bool(self._files.claims(file))

    def meant(self, path: str, text: str) -> bool:
        """True if a file that nobody named is about services, and not another program's file
        that looks the same."""
        return not self.has_doubles or bool(self._files.meant(path, text))

    def read(self, text: str, path: str = "") -> tuple[Declared, ...]:
        """The services of a file. Raises BadInput, with the line, if it is no such file."""
        if reason := self.cannot.get("read"):
            raise BadInput(f"{self.name} cannot be read: {reason}")
        services: tuple[Declared, ...] = self._file.read(text, path)
        return self._named_after(path, services) if path else services

    def read_together(self, texts: Sequence[str], path: str) -> tuple[Declared, ...]:
        """The services of a file and its drop-ins, named after ``path``."""
        services: tuple[Declared, ...] = self._file.read_together(texts, path)
        return self._named_after(path, services)

    def _named_after(self, path: str, services: tuple[Declared, ...]) -> tuple[Declared, ...]:
        """Give the only service of a file the file's name, or add it to its own name."""
        if not self.service:
            return services
        name: str = self._file.service_name(path)
        return tuple(
            replace(one, service=name)
            if one.service == self.service
            else replace(one, aliases=(name,))
            for one in services
        )

    def together(self, path: str) -> list[str]:
        """The files that its consumer joins to one, in its order, for one of them."""
        return list(self._files.together(path)) if self.joins else []

    def unasked(self, path: str) -> list[tuple[str, str]]:
        """Files that its consumer also reads when it reads a file, each with the reason."""
        return list(self._files.unasked(path)) if self.joins or self.drop_ins else []

    def declared_beside(
        self, path: Path, service: str, target: Target
    ) -> list[tuple[str, Declared]]:
        """The same service in other files of its project, where its consumer joins them."""
        return list(self._files.beside(path, service, target)) if self.joins else []

    def used_by(self, path: str, text: str) -> tuple[str, ...]:
        """Files that a file names. Raises BadInput."""
        names_others = self.drop_ins or self.by_name
        return tuple(self._files.used_by(path, text)) if names_others else ()

    # -------------------------------------------------------------------------- writing

    def render(self, snippet: Snippet) -> str:
        """The snippet in this language, ending with a line end."""
        if reason := self.cannot.get("render"):
            raise BadInput(f"{self.name} cannot be written: {reason}")
        text: str = self._file.render(snippet)
        return text

    def patch(self, text: str, service: str | None, snippet: Snippet) -> Patched:
        """The text of a file with a set in it. ``service``: ``[KIND/]NAME[/CONTAINER]``; None: the
        only one. Raises BadInput if the text is no such file, CannotPatch if more would change
        than the set."""
        if reason := self.cannot.get("edit"):
            raise BadInput(f"{self.name} cannot be patched: {reason}")
        lacks = self.judged_by.lacks
        if lacking := [cap.short for cap, _ in snippet.caps if cap.short in lacks]:
            raise CannotPatch(f"{self.judged_by.title} does not take {', '.join(lacking)}")
        from capadvise.config.patched import container_number, effective, the_one

        def read(body: str, name: str) -> Declared | None:
            drop_in = f"x{self.edited[0]}.d/x.conf" if self.drop_ins else ""
            services = self._file.read(body, drop_in)
            return the_one(services, "" if self.service else name)

        number = capability_number if self.judged_by.takes_numbers else container_number
        editor = import_module(f"{self.module.rpartition('.')[0]}.edit")
        return effective(editor, read, number, text, service, snippet)

    def is_given(self, shown: str, name: str, service: str, snippet: Snippet) -> bool | None:
        """True if the answer of its command for a file gives a service the set; None if that does
        not tell."""
        from capadvise.config.patched import has, the_one

        if self.resolves is Resolves.BOUNDS:
            given: bool | None = self._file.is_given(shown, snippet)
            return given
        own_form = self.command is not None and self.command.own_form
        services = self._file.read_shown(shown, name) if own_form else self.read(shown)
        one = the_one(services, "" if self.service else service)
        return None if one is None else has(one, snippet)

    def pasted(self, caps: CapSet) -> str:
        """The few lines that give a service a set; empty if there are none to paste."""
        short = [cap.short for cap in sorted(caps)]
        full = " ".join(cap.name for cap in sorted(caps))
        quoted = ", ".join(f'"{name}"' for name in short)
        text = self.lines.replace("{short}", ", ".join(short))
        return text.replace("{full}", full).replace("{json}", quoted)
