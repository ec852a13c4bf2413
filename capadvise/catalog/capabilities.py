"""Facts about each capability: one YAML file each in ``catalog/capabilities``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any

from capadvise.catalog import values
from capadvise.catalog.circumstances import Where, parse_where
from capadvise.model import strict
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput


class Risk(IntEnum):
    """How far a capability takes an attacker; ``ROOT`` is root-equivalent on the host."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    ROOT = 4

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Condition:
    """The risk differs if ``when`` holds."""

    when: str
    risk: Risk
    reason: str
    where: Where
    """``when`` in a form that a program can judge."""


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack that the capability permits after the program was taken over."""

    what: str
    reference: str
    where: Where = ()
    """The circumstances that it needs."""


@dataclass(frozen=True, slots=True)
class Use:
    """One distinct use of a capability that has many (CAP_SYS_ADMIN)."""

    name: str
    what: str
    functions: tuple[str, ...]
    """The kernel functions that check it; globs. ``sys_NAME`` is the call itself, for evidence that
    has no call site."""
    narrower: tuple[Cap, ...]
    """Capabilities that grant this use alone."""
    remediation: str
    gains: str
    initial_only: bool
    """The kernel requires the capability in the initial user namespace: in its own, the program
    gets nothing from it."""
    edits: Edits = ()
    covers: tuple[str, ...] = ()
    """Uses that the same remediation also ends, if they are seen beside this one: a program that
    makes a user namespace may mount in it."""


@dataclass(frozen=True, slots=True)
class Example:
    """A command that needs the capability, and one that does the same without it."""

    needs: str
    without: str


@dataclass(frozen=True, slots=True)
class Entry:
    """The content of one file. ``catalog/README.md`` explains the fields."""

    cap: Cap
    number: int
    since: str
    summary: str
    allows: tuple[str, ...]
    syscalls: tuple[str, ...]
    errno: tuple[str, ...]
    silent: tuple[str, ...]
    alternatives: tuple[tuple[tuple[Cap, ...], str], ...]
    user_namespace: str
    risk: Risk
    risk_reason: str
    attack: tuple[Attack, ...]
    remediation: tuple[Remediation, ...]
    example: Example
    references: tuple[str, ...]
    risk_conditions: tuple[Condition, ...] = ()
    uses: tuple[Use, ...] = ()


def file_name(cap: Cap) -> str:
    """The file that describes a capability: ``net_raw.yaml``."""
    return f"{cap.short.lower()}.yaml"


def raw_entry(folder: Path, cap: Cap) -> Any:
    """Read the file of one capability. Raises BadInput if it is not YAML."""
    path = folder / file_name(cap)
    try:
        return strict.load(path, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error


def entry_of(path: Path, raw: Any) -> Entry:
    """Check the content of one capability's file."""
    entry = values.record(Entry, path, raw, own=_OF_ENTRY, keys={"cap": "name"})
    if entry.cap != entry.number or path.name != file_name(entry.cap):
        raise BadInput(f"{path}: name {raw['name']}, number {raw['number']} and file do not agree")
    return entry


def _initial_only(path: Path, raw: Any, key: str) -> bool:
    namespace = values.text(path, raw, key)
    if namespace not in ("owner", "initial"):
        at = strict.place(path, raw, key)
        raise BadInput(f"{at}: namespace {namespace!r} is neither owner nor initial")
    return namespace == "initial"


def _alternative(path: Path, raw: Any) -> tuple[tuple[Cap, ...], str]:
    strict.keys(path, raw, required=("caps", "for"))
    return values.caps(path, raw, "caps"), values.text(path, raw, "for")


def _risk(path: Path, raw: Any, key: str) -> Risk:
    value = raw[key]
    if value not in {str(risk) for risk in Risk}:
        at = strict.place(path, raw, key)
        raise BadInput(f"{at}: risk {value!r} is none of {', '.join(map(str, Risk))}")
    return Risk[str(value).upper()]


class EditPlace(IntEnum):
    """The place of an edit; the easier one has the lower number."""

    COMPOSE = 0
    """Below the service in a compose file."""
    DOCKER = 1
    """Options of ``docker run``."""
    KUBERNETES = 2
    """Below ``spec:`` of the pod."""
    PODMAN = 3
    """Options of ``podman run``."""
    SYSTEMD = 4
    """In the unit of the service."""
    DOCKERFILE = 5
    PROGRAM = 6
    """The command line or configuration of the program."""
    SYSCTL = 7
    """A setting of the host, ``name=value``."""
    HOST = 8
    """A command on the host."""

    @property
    def key(self) -> str:
        """Its name in the catalog's files."""
        return self.name.lower()


LABELS: Mapping[EditPlace, str] = {
    EditPlace.COMPOSE: "compose",
    EditPlace.DOCKER: "docker run",
    EditPlace.KUBERNETES: "Kubernetes",
    EditPlace.PODMAN: "podman run",
    EditPlace.SYSTEMD: "systemd",
    EditPlace.DOCKERFILE: "Dockerfile",
    EditPlace.PROGRAM: "program",
    EditPlace.SYSCTL: "host sysctl",
    EditPlace.HOST: "host shell",
}
WHERE_TO = (
    "Where to write it: compose, below the service; Kubernetes, below the pod's spec (Helm: the "
    "template); systemd, in the [Service] section; program, where it is called or configured; host "
    "sysctl, with sysctl -w and in /etc/sysctl.d. Names, numbers and paths are examples."
)
"""Their names for the reader of edits."""

Edits = tuple[tuple[EditPlace, str], ...]
"""(place, text to write), the easiest first; the text can have several lines."""


@dataclass(frozen=True, slots=True)
class Remediation:
    """A way to do without: the need, and the advice."""

    need: str
    do: str
    sites: tuple[str, ...] | None = None
    """The site rules (globs over their ids) of the uses that this answers: None is every use, and
    an empty list is advice for something that was not seen."""
    edits: Edits = ()


def _remediations(path: Path, raw: Any, key: str) -> tuple[Remediation, ...]:
    """An advice with ``opens`` is never the first."""
    own = {"do": _with_harm, "sites": values.texts, "edits": _parse_edits}
    remediations: tuple[Remediation, ...] = _list_of(Remediation, own, beside=("opens",))(
        path, raw, key
    )
    if remediations and "opens" in raw[key][0]:
        at = strict.place(path, raw[key][0], "opens")
        raise BadInput(f"{at}: the first remediation must not open anything")
    return remediations


def _with_harm(path: Path, raw: Any, key: str) -> str:
    """An advice, with what it opens at its end: every reader of the advice reads that."""
    opens = f" It opens something: {values.text(path, raw, 'opens')}." if "opens" in raw else ""
    return f"{values.text(path, raw, key)}{opens}"


def _parse_edits(path: Path, raw: Any, key: str) -> Edits:
    """The mapping ``edits``, sorted by place."""
    edits = raw[key]
    keys = [place.key for place in EditPlace]
    strict.keys(path, edits, required=(), optional=keys)
    for key in edits:
        if key != strict.LINE and not (isinstance(edits[key], str) and edits[key].strip()):
            raise BadInput(f"{strict.place(path, edits, key)}: {key!r} must be a text")
    return tuple((place, edits[place.key].strip("\n")) for place in EditPlace if place.key in edits)


def _list_of(kind: Callable[..., Any], own: Mapping[str, values.Read], **more: Any) -> values.Read:
    read = partial(values.record, kind, own=own, **more)
    return lambda path, raw, key: values.items(path, raw, key, read)


_OF_USE = {"remediation": _with_harm, "initial_only": _initial_only, "edits": _parse_edits}
_OF_ENTRY: Mapping[str, values.Read] = {
    "alternatives": lambda path, raw, key: values.items(path, raw, key, _alternative),
    "risk": _risk,
    "risk_conditions": _list_of(Condition, {"risk": _risk, "where": parse_where}),
    "attack": _list_of(Attack, {"where": parse_where}),
    "remediation": _remediations,
    "uses": _list_of(Use, _OF_USE, keys={"initial_only": "namespace"}, beside=("opens",)),
}
"""How the fields of an entry are read whose types do not say it."""
