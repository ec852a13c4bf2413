"""Defaults of engines and clusters: the capabilities that they grant or allow, and the system calls
that their seccomp profiles open with one: ``catalog/baselines/*.yaml`` and ``seccomp.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass

from capadvise.model.caps import Cap, CapSet


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
