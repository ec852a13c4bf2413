"""Defaults of engines and clusters: the capabilities that they grant or allow, and the system calls
that their seccomp profiles open with one: ``catalog/baselines/*.yaml`` and ``seccomp.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from capadvise.catalog import values
from capadvise.model import strict
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import BadInput

_T = TypeVar("_T")
RUNTIMES = ("docker", "podman", "containerd", "cri-o")
FILES = (*RUNTIMES, "pod-security")
ENGINES = ("docker", "podman")


@dataclass(frozen=True, slots=True)
class Runtime:
    """A container runtime, and its grants to a container whose configuration names no
    capabilities."""

    name: str
    grants: CapSet
    notes: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class PodSecurity:
    """The capabilities that a pod may add, by level of the Kubernetes Pod Security Standards."""

    name: str
    baseline_addable: CapSet
    restricted_addable: CapSet
    notes: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Baselines:
    """The content of the folder."""

    runtimes: tuple[Runtime, ...]
    pod_security: PodSecurity

    def default(self, engine: str | None) -> Runtime:
        """The grants of an engine; docker's for an unknown engine, or none."""
        named = {runtime.name: runtime for runtime in self.runtimes}
        return named.get(engine or "", named["docker"])

    def granting(self, cap: Cap) -> tuple[str, ...]:
        """The runtimes that grant a capability by default."""
        return tuple(runtime.name for runtime in self.runtimes if cap in runtime.grants)


def baselines_of(folder: Path, raw: Mapping[str, Any]) -> Baselines:
    """Check the folder; ``raw``: the content of each file. Raises BadInput with file and line."""
    path = {name: folder / f"{name}.yaml" for name in FILES}
    return Baselines(
        tuple(runtime_of(path[name], raw[name]) for name in RUNTIMES),
        pod_security_of(path["pod-security"], raw["pod-security"]),
    )


def runtime_of(path: Path, raw: Any) -> Runtime:
    """Check one runtime's file; its name must be that of the file."""
    return _named(path, values.record(Runtime, path, raw), raw)


def pod_security_of(path: Path, raw: Any) -> PodSecurity:
    """Check ``pod-security.yaml``."""
    return _named(path, values.record(PodSecurity, path, raw), raw)


def _named(path: Path, facts: _T, raw: Any) -> _T:
    if raw["name"] != path.stem:
        raise BadInput(
            f"{strict.place(path, raw, 'name')}: name {raw['name']!r} is not that of the file"
        )
    return facts


@dataclass(frozen=True, slots=True)
class Profile:
    """The default profile of one engine, as far as capabilities change it."""

    opens: Mapping[Cap, tuple[str, ...]]
    """The calls that adding a capability opens; most open none and are not listed."""
    never: tuple[str, ...]
    """Calls that stay closed whatever is added."""
    apparmor: tuple[str, ...]
    """Calls that the engine's AppArmor profile refuses."""
    notes: tuple[str, ...]
    source: str


def profiles_of(path: Path, raw: Any) -> Mapping[str, Profile]:
    """Check ``seccomp.yaml`` and return the profiles by engine; ``path`` is for messages.

    Raises BadInput with file and line.
    """
    strict.keys(path, raw, required=ENGINES)
    return MappingProxyType({engine: _profile(path, raw[engine]) for engine in ENGINES})


def _profile(path: Path, raw: Any) -> Profile:
    return values.record(Profile, path, raw, own={"opens": _opens})


def _opens(path: Path, raw: Any, key: str) -> Mapping[Cap, tuple[str, ...]]:
    opens = raw[key]
    if not isinstance(opens, Mapping):
        raise BadInput(
            f"{strict.place(path, raw, key)}: {key!r} must map capabilities to system calls"
        )
    names = [name for name in opens if name != strict.LINE]
    return MappingProxyType(
        {values.cap(path, opens, name): values.texts(path, opens, name) for name in names}
    )
