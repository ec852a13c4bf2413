"""The facts: capabilities, call sites, errors. They are loaded on demand, each file at most once.

All of it may be imported: ``default()`` is the catalog, the modules hold the types of its facts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capadvise.catalog.askers import ASKERS, Asker, asker_of, rows_by_function
from capadvise.catalog.signs import Signs
from capadvise.catalog.sites import Meaning, SiteRule, Sites
from capadvise.model import input_file
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import BadInput
from capadvise.model.from_json import value_of

if TYPE_CHECKING:  # `run` needs none of these, and must start quickly
    from capadvise.catalog.baselines import Baselines, Profile
    from capadvise.catalog.capabilities import Entry
    from capadvise.catalog.exposures import ExposureFact
    from capadvise.catalog.host import HostFacts
    from capadvise.catalog.known import Known
    from capadvise.catalog.known_index import KnownIndex
    from capadvise.catalog.syscalls import Syscalls

__all__ = ["Catalog", "Meaning", "SiteRule", "Sites", "default"]


COMPILED = "compiled.json"
_ARM64 = "__arm64_sys_"
"""Begins the entry functions of system calls on arm64. They check what others check elsewhere."""


class Catalog:
    """A folder of facts. Nothing is read before it is asked for: start-up must be quick."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[Cap, Entry | None] = {}

    def entry(self, cap: Cap) -> Entry | None:
        """The entry of a capability; None for one newer than the catalog."""
        from capadvise.catalog.capabilities import Entry

        if cap not in self._entries:
            text = self._compiled["entries"].get(cap.name)
            self._entries[cap] = value_of(Entry, json.loads(text)) if text else None
        return self._entries[cap]

    def risk(self, cap: Cap) -> str | None:
        """How far a capability takes an attacker; None for one newer than the catalog."""
        risk: str | None = self._compiled["risk"].get(cap.name)
        return risk

    def risk_rank(self, cap: Cap) -> int:
        """Its risk as a number, to compare; one newer than the catalog has the highest."""
        levels = ("low", "medium", "high", "root")
        level = self.risk(cap)
        return levels.index(level) if level in levels else len(levels)

    def preload(self) -> None:
        """Read the files of every judgement, at a moment when there is time."""
        _ = self.sites, self.preference, self.signs

    @cached_property
    def _compiled(self) -> dict[str, Any]:
        """The facts of the YAML files, which would take 80 ms of each start:
        ``python -m tests.generate`` makes this file of them."""
        path = self.folder / COMPILED
        try:
            facts: dict[str, Any] = json.loads(input_file.text(path))
        except ValueError as error:
            raise BadInput(f"{path}: {error}") from error
        return facts

    def load(self) -> None:
        """Read all files of a judgement, for processes that are forked from this one."""
        self.sites.match(Cap(0), ("cap_capable",))
        _ = self.signs, self.errnos, self.preference

    @cached_property
    def sites(self) -> Sites:
        """The site rules."""
        raw = self._compiled["sites"]
        at = [each["at"] for each in raw]
        return Sites(at, lambda number: value_of(SiteRule, raw[number]), self._askers_of)

    @cached_property
    def askers(self) -> tuple[Asker, ...]:
        """The kernel functions that make checks, in stock kernels."""
        lines = input_file.text(self.folder / ASKERS).splitlines()
        return tuple(asker_of(line) for line in lines if not line.startswith("#"))

    def _askers_of(self, function: str) -> tuple[Asker, ...]:
        names = [function]
        if function.startswith(_ARM64):
            call = function.removeprefix(_ARM64)
            names += [f"__x64_sys_{call}", f"__do_sys_{call}"]
        rows = next((self._asker_rows[name] for name in names if name in self._asker_rows), [])
        return tuple(map(asker_of, rows))

    @cached_property
    def _asker_rows(self) -> Mapping[str, list[str]]:
        return rows_by_function(input_file.text(self.folder / ASKERS))

    @cached_property
    def preference(self) -> tuple[Cap, ...]:
        """If two capabilities do the same, the one that comes first here is proposed."""
        return tuple(map(Cap.parse, self._compiled["preference"]))

    def rank(self, cap: Cap) -> int:
        """Its place in the order of preference; others come last."""
        return self.preference.index(cap) if cap in self.preference else len(self.preference)

    @cached_property
    def removal_order(self) -> tuple[Cap, ...]:
        """The order in which trials remove capabilities; others come after."""
        return tuple(map(Cap.parse, self._compiled["removal_order"]))

    @cached_property
    def signs(self) -> Signs:
        """The evidence that call sites give about programs."""
        signs: Signs = value_of(Signs, self._compiled["signs"])
        return signs

    @property
    def closed_calls(self) -> frozenset[str]:
        """System calls that docker's default seccomp profile never lets through; RuntimeDefault of
        containerd and CRI-O is close to it."""
        return frozenset(self._compiled["seccomp"]["docker"]["never"])

    @property
    def pod_addable(self) -> Mapping[str, CapSet]:
        """Level of the Pod Security Standards → what a pod may add there."""
        allowed = self._compiled["baselines"]["pod_security"]
        return {
            level: frozenset(map(Cap.parse, allowed[f"{level}_addable"]))
            for level in ("baseline", "restricted")
        }

    @cached_property
    def errnos(self) -> Mapping[tuple[str, str], tuple[Cap, ...]]:
        """(system call, error) → the capabilities that may have been missing, in order."""
        return {
            (call, code): tuple(map(Cap, caps))
            for (call, code), caps in (
                (key.split(" "), caps) for key, caps in self._compiled["errnos"].items()
            )
        }

    @cached_property
    def baselines(self) -> Baselines:
        """The grants of runtimes by default, and the capabilities that Kubernetes lets a pod
        add."""
        from capadvise.catalog.baselines import Baselines

        baselines: Baselines = value_of(Baselines, self._compiled["baselines"])
        return baselines

    @cached_property
    def exposures(self) -> Mapping[str, ExposureFact]:
        """Kind of exposure → what ``check`` says of it."""
        from capadvise.catalog.exposures import ExposureFact

        exposures = self._compiled["exposures"]
        return {kind: value_of(ExposureFact, exposure) for kind, exposure in exposures.items()}

    @cached_property
    def host(self) -> HostFacts:
        """The host's files, devices and file systems, and what they give."""
        from capadvise.catalog.host import HostFacts

        return HostFacts(self._compiled["host"])

    @property
    def platforms(self) -> Mapping[str, Any]:
        """Name of a platform → its title, and what it refuses (``platforms.yaml``)."""
        platforms: Mapping[str, Any] = self._compiled["platforms"]
        return platforms

    @cached_property
    def names(self) -> Mapping[str, frozenset[str]]:
        """The lists of ``names.yaml``, which says what each is: shells, folders of the system …"""
        return {key: frozenset(names) for key, names in self._compiled["names"].items()}

    @property
    def texts(self) -> Mapping[str, Mapping[str, str]]:
        """The texts for people of ``texts.yaml``, by what they describe."""
        texts: Mapping[str, Mapping[str, str]] = self._compiled["texts"]
        return texts

    @property
    def clients(self) -> Mapping[str, Mapping[str, Any]]:
        """Command of a client → its flags, and the letters of its options (``clients.yaml``)."""
        clients: Mapping[str, Mapping[str, Any]] = self._compiled["clients"]
        return clients

    @property
    def foreign(self) -> Mapping[str, Any]:
        """The places of containers in files of other tools, and their keys (``foreign.yaml``)."""
        foreign: Mapping[str, Any] = self._compiled["foreign"]
        return foreign

    @cached_property
    def known_index(self) -> KnownIndex:
        """The names of known programs, and their sets."""
        from capadvise.catalog.known_index import KnownIndex

        return KnownIndex(self.folder)

    @cached_property
    def known(self) -> Known:
        """Programs that were proven before."""
        from capadvise.catalog.known import Known

        return Known(self.known_index)

    @cached_property
    def syscalls(self) -> Syscalls:
        """Names and numbers of system calls."""
        from capadvise.catalog.syscalls import parse_syscalls

        return parse_syscalls(input_file.text(self.folder / "syscalls.tsv"))

    @cached_property
    def seccomp(self) -> Mapping[str, Profile]:
        """Engine → the system calls that its default seccomp profile ties to capabilities."""
        from capadvise.catalog.baselines import Profile

        profiles = self._compiled["seccomp"]
        return {engine: value_of(Profile, profile) for engine, profile in profiles.items()}


@lru_cache(maxsize=1)
def default() -> Catalog:
    """The catalog that ships with this package; from a checkout, the one beside it."""
    packaged = Path(__file__).parent / "data"
    return Catalog(packaged if packaged.is_dir() else Path(__file__).parents[2] / "catalog")
