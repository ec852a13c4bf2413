"""Checks ``catalog/baselines/*.yaml``, ``seccomp.yaml`` and ``exposures.yaml``."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from capadvise.catalog.baselines import Baselines, PodSecurity, Profile, Runtime
from capadvise.catalog.exposures import ExposureFact
from capadvise.model import strict
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput
from tests.generate.facts import values

_T = TypeVar("_T")
RUNTIMES = ("docker", "podman", "containerd", "cri-o")
FILES = (*RUNTIMES, "pod-security")
ENGINES = ("docker", "podman")


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


def exposures_of(path: Path, raw: Any) -> Mapping[str, ExposureFact]:
    """Check the file and return its facts by kind; ``path`` is for messages. Raises BadInput with
    file and line."""
    kinds = [kind for kind in raw if kind != strict.LINE]
    return {kind: values.record(ExposureFact, path, raw[kind]) for kind in kinds}
