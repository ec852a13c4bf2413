"""What is granted, allowed or frowned on without anybody asking: ``catalog/baselines/*.yaml``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capadvise import strict
from capadvise.caps import Cap, CapSet
from capadvise.catalog import values
from capadvise.errors import BadInput

RUNTIMES = ("docker", "podman", "containerd", "cri-o")


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


def load_baselines(folder: Path, read: Callable[[Path], str]) -> Baselines:
    """The whole folder. Raises BadInput with file and line."""
    pods, linters = folder / "pod-security.yaml", folder / "linters.yaml"
    paths = [folder / f"{name}.yaml" for name in RUNTIMES]
    return Baselines(
        tuple(parse_runtime(path, read(path)) for path in paths),
        parse_pod_security(pods, read(pods)),
        parse_linters(linters, read(linters)),
    )


def parse_runtime(path: Path, text: str) -> Runtime:
    """The text of one runtime's file; its name must be that of the file."""
    raw = strict.load(path, text)
    strict.keys(path, raw, required=("name", "grants", "notes", "source"))
    _name(path, raw)
    return Runtime(
        name=raw["name"],
        grants=frozenset(values.caps(path, raw, "grants")),
        notes=values.texts(path, raw, "notes"),
        source=values.text(path, raw, "source"),
    )


def parse_pod_security(path: Path, text: str) -> PodSecurity:
    """The text of ``pod-security.yaml``."""
    raw = strict.load(path, text)
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


def parse_linters(path: Path, text: str) -> tuple[Linter, ...]:
    """The text of ``linters.yaml``."""
    raw = strict.load(path, text)
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
