"""What can be done in one language, and which program reads it. The same questions for each.

A language is a folder. Its ``__init__`` holds this value and nothing heavy, since every command
loads it; what the language does is in modules of the folder that are loaded when they are asked:

- ``recognise``: ``claims(file)``, and ``meant(path, text)`` if it ``has_doubles``;
- ``file``: ``render(snippet)``, ``read(text, path)``; for what holds one service,
  ``service_name(path)``; for what has drop-ins, ``read_together(texts, path)``;
- ``edit``: ``patch`` and ``restrain``, as ``patched.Editor`` has them;
- ``shown``: ``read(shown, name)`` of what its consumer's command shows, if in an ``own_form``;
- the module that ``project`` names: ``unasked(path)``; ``together(path)`` and ``beside`` if it
  ``joins`` files, ``used_by(path, text)`` if it has ``drop_ins``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any

from capadvise.config.consumer import Consumer, capability_number
from capadvise.model.errors import BadInput, CannotPatch

if TYPE_CHECKING:
    from pathlib import Path

    from capadvise.config.declared import Declared
    from capadvise.config.patched import Patched
    from capadvise.config.recognised import UnknownFile
    from capadvise.config.snippet import Snippet
    from capadvise.model.caps import CapSet
    from capadvise.model.target import Target

QUESTIONS = ("recognise", "read", "expose", "render", "edit", "consumer", "lines", "ask", "name")
"""What a language answers, or else says in ``cannot``."""


class Resolves(Enum):
    """What ``check`` asks a consumer before it judges."""

    NOTHING = 0
    PROJECT = 1
    """What it makes of several files, where what is written is not all that counts."""
    UNIT = 2
    """How it starts what a unit says, with ``--resolve``."""
    BOUNDS = 3
    """What a unit may hold at most, with ``--resolve``."""


@dataclass(frozen=True, slots=True)
class ConsumerCommand:
    """The program that reads a language, and how it is asked what it makes of a file."""

    title: str
    commands: tuple[tuple[str, ...], ...]
    """The first that is installed and takes the file is heard. ``{folder}`` is where the file lies,
    ``{name}`` what it is called."""
    beside: bool = False
    """It wants the file in a folder, a temporary one, with those that it refers to; else it reads
    its standard input."""
    own_form: bool = False
    """What it shows is not written in the language: ``shown`` reads it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    verifies_drop_ins: bool = False
    """``systemd-analyze verify`` says whether a drop-in is right."""


@dataclass(frozen=True, slots=True)
class Language:
    """One configuration language."""

    name: str
    """As ``--format`` takes it."""
    module: str
    """The module that renders, and reads where the language has a file."""
    title: str = ""
    """What its file is called: ``a compose file``."""
    consumer: Consumer | None = None
    command: ConsumerCommand | None = None
    resolves: Resolves = Resolves.NOTHING
    file_name: str = ""
    """What a new file is called if nobody says otherwise; empty: ``capadvise.NAME``."""
    endings: tuple[str, ...] = ()
    """How the names of its files end."""
    edited: tuple[str, ...] = ()
    """How those end that ``edit`` changes; a drop-in counts as its unit."""
    keys: tuple[str, ...] = ()
    """Keys at the top by which a JSON file is known to be of it."""
    service: str = ""
    """What ``read`` calls the service of a file that has but one and does not name it. Empty: a
    file has several, each with its name."""
    has_doubles: bool = False
    """Other programs have files that look the same."""
    drop_ins: bool = False
    """Its files are units, known by their names. Drop-ins in ``NAME.d`` change what one says, and
    can be there without it."""
    project: str = ""
    """The module that knows which other files are read with one."""
    joins: bool = False
    """Its consumer joins what several files say of one service: ``beside`` of ``project`` reads
    the others."""
    pods: bool = False
    """Its services are containers of pods, whose Pod Security level is that of the pod."""
    engine: str | None = None
    """What always starts what it configures, as ``catalog/baselines`` calls it; None: whichever
    engine the target had."""
    for_command: bool = False
    """What it renders starts or changes the program that was recorded: a set alone is not enough.
    """
    lines: str = ""
    """What a person pastes into a file; ``{short}``, ``{full}`` and ``{json}`` are the
    capabilities, the last ones in quotes."""
    devices: str = ""
    """How a service is given a device of the host."""
    filter_note: str = ""
    """Where the engine's seccomp filter is applied, if not always."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """Question → why the language has no answer."""

    def can(self, question: str) -> bool:
        """Whether it answers one of ``QUESTIONS``."""
        return question not in self.cannot

    @property
    def judged_by(self) -> Consumer:
        """Its consumer, of a language that has files."""
        assert self.consumer is not None, self.name
        return self.consumer

    def _part(self, name: str) -> Any:
        """A module of the folder."""
        return import_module(f"{self.module.rpartition('.')[0]}.{name}")

    # -------------------------------------------------------------------------- reading

    def named(self, path: str) -> bool:
        """Whether a file is of it by its name alone, as units are."""
        if not self.drop_ins:
            return False
        from capadvise.config.units.names import dropped_in, unit_suffix

        suffix = unit_suffix(path)
        by_unit = suffix in self.endings and suffix != ".conf"
        return by_unit or (".conf" in self.endings and dropped_in(path))

    def claims(self, file: UnknownFile) -> bool:
        """Whether a file is of it by what is in it. Raises BadInput where it is so by half."""
        asked = self.can("recognise") and not self.drop_ins
        return asked and bool(self._part("recognise").claims(file))

    def meant(self, path: str, text: str) -> bool:
        """Whether a file that nobody named says something of services, where other programs have
        files that look the same."""
        return not self.has_doubles or bool(self._part("recognise").meant(path, text))

    def read(self, text: str, path: str = "") -> tuple[Declared, ...]:
        """What a file declares. Raises BadInput, with the line, for what is not such a file."""
        if reason := self.cannot.get("read"):
            raise BadInput(f"{self.name} cannot be read: {reason}")
        services: tuple[Declared, ...] = import_module(self.module).read(text, path)
        return self.called(services, path) if path else services

    def read_together(self, texts: Sequence[str], path: str) -> tuple[Declared, ...]:
        """What a file and its drop-ins declare; ``path``: what they are called after."""
        services: tuple[Declared, ...] = import_module(self.module).read_together(texts, path)
        return self.called(services, path)

    def called(self, services: tuple[Declared, ...], path: str) -> tuple[Declared, ...]:
        """The only service of a file has the file's name, besides its own."""
        if not self.service:
            return services
        name: str = import_module(self.module).service_name(path)
        return tuple(
            replace(one, service=name)
            if one.service == self.service
            else replace(one, aliases=(name,))
            for one in services
        )

    def together(self, path: str) -> list[str]:
        """The files that its consumer makes one of with a file, in its order."""
        return list(import_module(self.project).together(path)) if self.joins else []

    def unasked(self, path: str) -> list[tuple[str, str]]:
        """Files that its consumer reads unasked with a file, each with why."""
        return list(import_module(self.project).unasked(path)) if self.project else []

    def said_beside(self, path: Path, service: str, target: Target) -> list[tuple[str, Declared]]:
        """What other files of its project say of a service, where its consumer joins what they
        say."""
        if not self.joins:
            return []
        return list(import_module(self.project).beside(path, service, target))

    def used_by(self, path: str, text: str) -> tuple[str, ...]:
        """Files that a file names. Raises BadInput."""
        return tuple(import_module(self.project).used_by(path, text)) if self.drop_ins else ()

    # -------------------------------------------------------------------------- writing

    def render(self, snippet: Snippet) -> str:
        """The snippet in this language, ending with a line end."""
        text: str = import_module(self.module).render(snippet)
        return text

    def patch(self, text: str, service: str | None, snippet: Snippet) -> Patched:
        """The text of a file with a set in it. ``service``: ``[KIND/]NAME[/CONTAINER]``; None: the
        only one. Raises BadInput for a text that is no such file, CannotPatch where more would
        change than is meant."""
        if reason := self.cannot.get("edit"):
            raise BadInput(f"{self.name} cannot be patched: {reason}")
        lacks = self.judged_by.lacks
        if lacking := [cap.short for cap, _ in snippet.caps if cap.short in lacks]:
            raise CannotPatch(f"{self.judged_by.title} does not take {', '.join(lacking)}")
        from capadvise.config.patched import container_number, effective, the_one

        def read(body: str, name: str) -> Declared | None:
            drop_in = f"x{self.edited[0]}.d/x.conf" if self.drop_ins else ""
            services = import_module(self.module).read(body, drop_in)
            return the_one(services, "" if self.service else name)

        number = capability_number if self.judged_by.takes_numbers else container_number
        return effective(self._part("edit"), read, number, text, service, snippet)

    def is_given(self, shown: str, name: str, service: str, snippet: Snippet) -> bool | None:
        """Whether a service gets what is meant, by what its command shows of a file; None where
        that does not tell."""
        from capadvise.config.patched import has, the_one

        if self.resolves is Resolves.BOUNDS:
            given: bool | None = self._part("shown").is_given(shown, snippet)
            return given
        own_form = self.command is not None and self.command.own_form
        services = self._part("shown").read(shown, name) if own_form else self.read(shown)
        one = the_one(services, "" if self.service else service)
        return None if one is None else has(one, snippet)

    def pasted(self, caps: CapSet) -> str:
        """The few lines that give a service a set; empty where nobody pastes."""
        short = [cap.short for cap in sorted(caps)]
        full = " ".join(cap.name for cap in sorted(caps))
        quoted = ", ".join(f'"{name}"' for name in short)
        text = self.lines.replace("{short}", ", ".join(short))
        return text.replace("{full}", full).replace("{json}", quoted)
