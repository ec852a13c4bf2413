"""What is granted, allowed or frowned on without anybody asking: ``catalog/baselines/*.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capadvise import strict
from capadvise.caps import Cap, CapSet
from capadvise.catalog import values
from capadvise.dataclass import dataclass
from capadvise.errors import BadInput

RUNTIMES = ("docker", "podman", "containerd", "cri-o")
FILES = (*RUNTIMES, "pod-security", "linters")


@dataclass(frozen=True, slots=True)
class Runtime:
    """A container runtime, and what a container gets that says nothing about capabilities."""

    name: str
    grants: CapSet
    notes: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class PodSecurity:
    """What the levels of the Kubernetes Pod Security Standards let a pod add."""

    baseline_addable: CapSet
    restricted_addable: CapSet
    restricted_requires_drop_all: bool
    notes: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Linter:
    """A tool that reads manifests, and its rules about capabilities."""

    tool: str
    rules: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Baselines:
    """All of the folder."""

    runtimes: tuple[Runtime, ...]
    pod_security: PodSecurity
    linters: tuple[Linter, ...]

    def default(self, engine: str | None) -> Runtime:
        """What an engine grants; of one that is not known, or none at all, what docker does."""
        named = {runtime.name: runtime for runtime in self.runtimes}
        return named.get(engine or "", named["docker"])

    def granting(self, cap: Cap) -> tuple[str, ...]:
        """The runtimes that grant a capability by default."""
        return tuple(runtime.name for runtime in self.runtimes if cap in runtime.grants)


def baselines_of(folder: Path, raw: Mapping[str, Any]) -> Baselines:
    """The whole folder; ``raw``: what each file holds. Raises BadInput with file and line."""
    path = {name: folder / f"{name}.yaml" for name in FILES}
    return Baselines(
        tuple(runtime_of(path[name], raw[name]) for name in RUNTIMES),
        pod_security_of(path["pod-security"], raw["pod-security"]),
        linters_of(path["linters"], raw["linters"]),
    )


def runtime_of(path: Path, raw: Any) -> Runtime:
    """What one runtime's file holds; its name must be that of the file."""
    strict.keys(path, raw, required=("name", "grants", "notes", "source"))
    _name(path, raw)
    return Runtime(
        name=raw["name"],
        grants=frozenset(values.caps(path, raw, "grants")),
        notes=values.texts(path, raw, "notes"),
        source=values.text(path, raw, "source"),
    )


def pod_security_of(path: Path, raw: Any) -> PodSecurity:
    """What ``pod-security.yaml`` holds."""
    flag = "restricted_requires_drop_all"
    sets = ("baseline_addable", "restricted_addable")
    strict.keys(path, raw, required=("name", *sets, flag, "notes", "source"))
    _name(path, raw)
    if not isinstance(raw[flag], bool):
        raise BadInput(f"{values.at(path, raw)}: {flag!r} must be true or false")
    return PodSecurity(
        baseline_addable=frozenset(values.caps(path, raw, "baseline_addable")),
        restricted_addable=frozenset(values.caps(path, raw, "restricted_addable")),
        restricted_requires_drop_all=raw[flag],
        notes=values.texts(path, raw, "notes"),
        source=values.text(path, raw, "source"),
    )


def linters_of(path: Path, raw: Any) -> tuple[Linter, ...]:
    """What ``linters.yaml`` holds."""
    strict.keys(path, raw, required=("linters",))
    if not isinstance(raw["linters"], list):
        raise BadInput(f"{path}: 'linters' must be a list")
    linters: dict[str, Linter] = {}
    for item in raw["linters"]:
        strict.keys(path, item, required=("tool", "rules", "source"))
        tool = values.text(path, item, "tool")
        if tool in linters:
            raise BadInput(f"{values.at(path, item)}: linter {tool!r} appears twice")
        rules, source = values.texts(path, item, "rules"), values.text(path, item, "source")
        linters[tool] = Linter(tool, rules, source)
    return tuple(linters.values())


def _name(path: Path, raw: dict[str, object]) -> None:
    if raw["name"] != path.stem:
        raise BadInput(f"{values.at(path, raw)}: name {raw['name']!r} is not that of the file")
