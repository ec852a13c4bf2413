"""Site rules: the meaning of a check, by the kernel functions that led to it.

A rule names the function that checks (``at``), if needed a caller further out (``below``), its
capabilities, and the meaning. The rules are in ``catalog/sites/*.yaml`` in order of precedence: the
first that matches decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache

from capadvise.catalog.askers import Asker, NamespaceScope, joined
from capadvise.model.caps import Cap, CapSet


class Meaning(StrEnum):
    """The effect of the kernel's answer (``capadvise help judgement`` has the table)."""

    DECIDES = "decides"
    """If refused, the call fails."""
    EITHER_OR = "either-or"
    """If refused, a second check follows, and either answer is enough."""
    SILENT = "silent"
    """If refused, the call succeeds with another outcome; used only where the condition holds."""
    SELF_RESTRICTING = "self-restricting"
    """The program gives something up: losing it makes the program less safe."""
    OPTIONAL = "optional"
    """If refused, the program usually goes on: the call succeeds with less data, or fails with the
    error that the rule names."""
    ADVISORY = "advisory"
    """The answer changes only accounting."""
    LOOKING = "looking"
    """If refused, a process cannot be inspected: that defeats a program that reads chosen
    processes, and only shortens the list of one that goes through all."""
    FOREIGN_CREDENTIALS = "foreign-credentials"
    """Checked against another's credentials (an overlayfs mounter)."""


@dataclass(frozen=True, slots=True)
class When:
    """A condition on an argument of the system call."""

    arg: str
    mask: int | None = None
    values: frozenset[int] | None = None

    def holds(self, args: Mapping[str, int]) -> bool | None:
        """True if it holds; None if the argument was not recorded."""
        value = args.get(self.arg)
        if value is None:
            return None
        if self.mask is not None:
            return bool(value & self.mask)
        return value in (self.values or ())


@dataclass(frozen=True, slots=True)
class SiteRule:
    """One rule. ``at``, ``below`` and ``not_below`` are function names or globs; in ``at``, ``a<b``
    means that ``a`` made the check and ``b`` called it directly."""

    id: str
    at: tuple[str, ...]
    meaning: Meaning
    text: str
    """The activity of the program, to follow "needed for": ``binding a port below 1024``."""
    caps: CapSet | None = None
    """None: any capability."""
    below: tuple[str, ...] = ()
    not_below: tuple[str, ...] = ()
    alternatives: tuple[Cap, ...] = ()
    """Each of these alone answers the same question."""
    when: When | None = None
    implies: CapSet = frozenset()
    """Also needed, without any check, if root does this in its own user namespace."""
    lost: str | None = None
    """The loss without it, if nothing fails, or if the condition of ``when`` does not hold."""
    harmless: bool = False
    """Where the rule says that the capability is not needed, that is certain: a refusal could by no
    means change what the program sees."""
    refused: str | None = None
    """The error of a refused call, if known. An optional check with it makes the call fail, and
    programs go on anyway."""
    doubt: str | None = None
    """The reason why the check alone does not show that the capability is needed."""
    scope: NamespaceScope | None = None
    """The user namespace in which it must be held; None if no stock kernel was examined."""
    limit: str | None = None
    """The limit that was exceeded, if the kernel checks only then."""
    co_syscalls: frozenset[str] = frozenset()
    """A program that also caused a check in one of these system calls has another purpose, and this
    check is incidental."""
    answers: frozenset[int] = frozenset()
    """Results (negative errnos) that answer the caller's question, such as the end of a list: a
    refusal would not."""
    since: str | None = None
    until: str | None = None
    source: str = ""

    def matches(self, cap: Cap, site: Sequence[str]) -> bool:
        """True if the rule covers this capability at this site (innermost function first)."""
        if self.caps is not None and cap not in self.caps:
            return False
        if not any(_at(pattern, site) for pattern in self.at):
            return False
        outer = site[1:]
        if self.below and not any(among(frame, self.below) for frame in outer):
            return False
        return not any(among(frame, self.not_below) for frame in outer)


def _at(pattern: str, site: Sequence[str]) -> bool:
    names = pattern.split("<")
    if len(names) > len(site):
        return False
    return all(among(frame, (name,)) for name, frame in zip(names, site, strict=False))


_WRAPPERS = (
    r"(cap_capable|security_capable|ns_capable\w*|capable|capable_noaudit|capable_wrt_inode_uidgid"
    r"|privileged_wrt_inode_uidgid|file_ns_capable|has_(ns_)?capability\w*|sk_(ns_|net_)?capable"
    r"|netlink_(ns_|net_)?capable|__netlink_ns_capable|bpf_token_capable|bpf_ns_capable"
    r"|sockopt_(ns_)?capable|checkpoint_restore_ns_capable|perfmon_capable|bpf_capable"
    r"|apparmor_capable|selinux_capable)\Z"
)
"""Functions that pass a question on; the asker is the first frame that is none of them."""


def is_wrapper(function: str) -> bool:
    """True if it only passes on the question of its caller."""
    return re.match(_WRAPPERS, function) is not None


def asker(site: Sequence[str]) -> Sequence[str]:
    """The site, from the function on that makes the check."""
    for index, frame in enumerate(site):
        if not is_wrapper(frame):
            return site[index:]
    return ()


class Sites:
    """All rules, in order of precedence."""

    def __init__(
        self,
        at: Sequence[Sequence[str]],
        rule: Callable[[int], SiteRule],
        askers: Callable[[str], Sequence[Asker]] = lambda _: (),
    ) -> None:
        """``at``: the checking functions of each rule. ``rule`` makes one: a judgement needs few of
        four hundred. ``askers``: the rows of a function."""
        self._at, self._rule = at, lru_cache(maxsize=None)(rule)
        self._askers = lru_cache(maxsize=4096)(askers)
        self._match = lru_cache(maxsize=1 << 14)(self._first_match)
        self._of_asker = lru_cache(maxsize=4096)(self._rules_of_asker)

    @cached_property
    def rules(self) -> tuple[SiteRule, ...]:
        """All of them."""
        return tuple(map(self._rule, range(len(self._at))))

    def match(
        self, cap: Cap, site: tuple[str, ...], *, own_mounts: bool = False
    ) -> SiteRule | None:
        """The rule that decides about this check; None for an unknown call site.

        With ``own_mounts`` the target itself is the mounter whose credentials overlayfs uses, so
        that no check is foreign.
        """
        return self._match(cap, site, own_mounts)

    def scope(self, cap: Cap, site: tuple[str, ...]) -> NamespaceScope | None:
        """The user namespace in which the capability must be held; None if unknown."""
        rows = self._askers((*asker(site), "")[0])
        exact = joined(row.scope for row in rows if row.cap in (cap, None))
        if exact not in (None, NamespaceScope.BOTH):
            return exact
        rule = self.match(cap, site)
        return (rule.scope if rule else None) or exact

    def _first_match(self, cap: Cap, site: tuple[str, ...], own_mounts: bool) -> SiteRule | None:
        inner = asker(site)
        for rule in self._of_asker(inner[0] if inner else ""):
            foreign = rule.meaning is Meaning.FOREIGN_CREDENTIALS
            if rule.matches(cap, inner) and not (own_mounts and foreign):
                return rule
        rows = self._askers(inner[0]) if inner else ()
        judged = (row for row in rows if row.meaning and row.cap in (cap, None))
        return next(map(rule_of_asker, judged), None)

    def _rules_of_asker(self, name: str) -> tuple[SiteRule, ...]:
        """The rules that can cover the checks of one function: there are far fewer functions than
        call sites, and far fewer rules for one than in all."""
        return tuple(map(self._rule, sorted(self._by_asker.of(name))))

    @cached_property
    def _by_asker(self) -> Patterns:
        askers = ((n, at.partition("<")[0]) for n, each in enumerate(self._at) for at in each)
        return Patterns(askers)


def rule_of_asker(row: Asker) -> SiteRule:
    """Make a rule from the table of functions, if no rule exists."""
    return SiteRule(
        id=f"asker:{row.function}",
        at=(row.function,),
        meaning=Meaning(row.meaning),
        text=row.text,
        caps=None if row.cap is None else frozenset({row.cap}),
        alternatives=row.alternatives,
        lost=row.lost or None,
        harmless=row.meaning == Meaning.ADVISORY,
        refused=row.refused or None,
        scope=row.scope,
        since=row.kernels[0],
        until=row.kernels[-1],
        source=f"source {row.source}",
    )


def among(name: str, patterns: Iterable[str]) -> bool:
    """True if a name is one of these; ``*`` stands for anything."""
    return any(like(name, pattern) if "*" in pattern else pattern == name for pattern in patterns)


class Patterns:
    """Numbered patterns, of which a name matches few. Names are looked up; only patterns with ``*``
    are tried in turn."""

    def __init__(self, numbered: Iterable[tuple[int, str]]) -> None:
        self._names: dict[str, set[int]] = {}
        self._patterns: list[tuple[int, str]] = []
        for number, pattern in numbered:
            if "*" in pattern:
                self._patterns.append((number, pattern))
            else:
                self._names.setdefault(pattern, set()).add(number)

    def of(self, name: str) -> set[int]:
        """The numbers of the patterns that match."""
        matching = {number for number, pattern in self._patterns if like(name, pattern)}
        return matching | self._names.get(name, set())


def like(name: str, pattern: str) -> bool:
    """``fnmatchcase`` for patterns whose only special character is ``*``: turning a hundred of them
    into regular expressions would take longer than all the rest of a short run's judgement."""
    first, *inner, last = pattern.split("*")
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in inner:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
