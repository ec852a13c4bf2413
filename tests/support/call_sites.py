"""Call sites of each meaning, with a rule each, and checks that are made there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.catalog.sites import SiteRule, Sites
from capadvise.judgement.decide import Verdict
from capadvise.model.caps import Cap, CapSet
from capadvise.model.recording import Check, Held, Namespace, Recording
from tests.generate.facts.sites import parse_rules
from tests.support import recordings
from tests.support.recordings import FULL

RULES = """
- {id: decides, at: [decides], meaning: decides, text: doing it, source: test}
- {id: list, at: [list], meaning: decides, text: t, source: test, answers: [ENOENT],
   co_syscalls: [perf_event_open]}
- {id: cond, at: [cond], meaning: decides, text: t, source: test, when: {arg: cmd, in: [7]}}
- {id: either, at: [either], meaning: either-or, text: t, source: test,
   alternatives: [CAP_SYS_ADMIN]}
- {id: read, at: [read], caps: [CAP_DAC_READ_SEARCH], meaning: either-or, text: reading,
   source: test, alternatives: [CAP_DAC_OVERRIDE]}
- {id: write, at: [read], caps: [CAP_DAC_OVERRIDE], meaning: decides, text: writing, source: test}
- {id: silent, at: [silent], meaning: silent, text: t, lost: a bit, source: test,
   when: {arg: mode, mask: 1024}}
- {id: self, at: [self], meaning: self-restricting, text: t, source: test}
- {id: optional, at: [optional], meaning: optional, text: t, lost: a field, source: test}
- {id: advisory, at: [advisory], meaning: advisory, text: t, source: test}
- {id: looking, at: [looking], meaning: looking, text: t, lost: a link, source: test}
- {id: mapping, at: [mapping], meaning: decides, text: t, implies: [CAP_SETFCAP], source: test}
- {id: foreign, at: [foreign], meaning: foreign-credentials, text: t, source: test}
"""
CHECK = Check(1, Cap(13), True, Namespace.TARGET, ("ns_capable", "decides"), "p", 1, 1, 0.0)
EPERM = -1
NEEDED, INCIDENTAL, DENIED = Verdict.NEEDED, Verdict.INCIDENTAL, Verdict.DENIED
OVERRIDE = Cap(1)


def sites_of(rules: Sequence[SiteRule]) -> Sites:
    """A collection of rules that exist already."""
    return Sites([rule.at for rule in rules], rules.__getitem__)


class Facts(Catalog):
    """The rules above, and the shipped preference list."""

    def __init__(self) -> None:
        super().__init__(Path(__file__).parents[2] / "catalog")
        self.__dict__["sites"] = sites_of(parse_rules(Path("test"), RULES))


FACTS = Facts()


def recorded(*checks: Check, permitted: CapSet = FULL, **more: object) -> Recording:
    """Of a run that held these, and of which nobody knows whether it did its job."""
    held = Held(permitted, permitted, frozenset())
    return recordings.recording(*checks, **{"held": held, "succeeded": None, **more})


def at(site: str, **change: object) -> Check:
    """A check at this call site."""
    return replace(CHECK, site=("ns_capable", site), **change)  # type: ignore[arg-type]


def looking(program: str, **change: object) -> Check:
    """A check for looking at another process."""
    return at("looking", cap=Cap(19), program=program, **change)
