"""One check: what it says of its capability. Pure: the table from call site to verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from capadvise.caps import Cap, CapSet
from capadvise.catalog import Meaning, Rule
from capadvise.recording import Check, Namespace, Phase, Recording, Retried


class Effect(IntEnum):
    """What one check says of its capability; the highest decides."""

    DENIED = 0
    ADVISORY = 1
    TOLERATED = 2
    """Refused in a run that ended well all the same."""
    USED = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """A check and what it says."""

    check: Check
    rule: Rule | None
    effect: Effect
    why: str
    either: tuple[Cap, ...] = ()
    self_restricting: bool = False
    uncertain: str | None = None
    lost: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What of the whole recording bears on each check."""

    permitted: CapSet
    """What the target could have had."""
    succeeded: bool
    """The run ended well."""
    own_mounts: bool
    """The target mounted an overlay itself: then the mounter's credentials are its own."""
    listers: frozenset[str]
    """Programs that went through the processes of others, as ps and usermod do."""
    descriptor_readers: frozenset[str]
    """Programs that were let into the descriptors of other users' processes."""
    map_readers: frozenset[str]
    """Programs that read the memory maps of few processes."""
    memory_opens: dict[str, int]
    """How often a program opened environ, maps, io or the like of a process."""
    calls: frozenset[tuple[str, str | None]]
    """The system calls in which each program was asked."""
    foreign_readers: frozenset[str]
    """Programs that were let into files that their user may not read."""

    @classmethod
    def of(cls, recording: Recording) -> Context:
        """The context of a recording."""
        checks = recording.checks
        opens: Counter[str] = Counter()
        for check in checks:
            if check.granted and not _FILES_OF_PROCESSES.isdisjoint(check.site):
                opens[check.program] += check.count
        return cls(
            permitted=recording.held.permitted,
            succeeded=recording.succeeded is True,
            own_mounts=any("ovl_fill_super" in check.site for check in checks),
            listers=_listers(checks),
            descriptor_readers=frozenset(
                c.program for c in checks if "proc_fd_permission" in c.site and c.granted
            ),
            map_readers=_map_readers(checks),
            memory_opens=dict(opens),
            calls=frozenset((c.program, c.syscall) for c in checks),
            foreign_readers=frozenset(
                c.program
                for c in checks
                if c.cap in (_DAC_READ_SEARCH, _DAC_OVERRIDE) and c.granted and "may_open" in c.site
            ),
        )


def _listers(checks: Sequence[Check]) -> frozenset[str]:
    """Those that read the state of processes (ps, top), and those that follow the links of very
    many (usermod and start-stop-daemon look for processes that are in their way, or run already):
    nobody chooses so many."""
    links: Counter[str] = Counter()
    for check in checks:
        if not _LINKS.isdisjoint(check.site):
            links[check.program] += check.count
    many = {program for program, count in links.items() if count >= _MANY_LINKS}
    return frozenset(many | {c.program for c in checks if "do_task_stat" in c.site})


def _map_readers(checks: Sequence[Check]) -> frozenset[str]:
    """Those that read the memory maps of processes, and the state of a few at most: pmap reads the
    state of the one that it was told of. Who goes through all meets more of them."""
    states: Counter[str] = Counter()
    for check in checks:
        if "do_task_stat" in check.site:
            states[check.program] += check.count
    readers = {c.program for c in checks if not _MAPS.isdisjoint(c.site)}
    return frozenset(program for program in readers if states[program] <= _FEW_STATES)


_MAPS = frozenset({"pid_maps_open", "pid_smaps_open", "smaps_rollup_open", "do_maps_open"})
_FEW_STATES = 3


_FILES_OF_PROCESSES = frozenset({"proc_mem_open", "do_io_accounting"})
"""Kernel functions that ask whether files of a process may be read that its user alone can open."""
_LINKS = frozenset({"call_proc_get_link", "proc_ns_readlink", "proc_ns_get_link"})
"""Kernel functions that ask whether exe, root, cwd or a namespace of a process may be followed."""
_MANY_LINKS = 40
_PERFMON = Cap.parse("PERFMON")
_DAC_OVERRIDE = Cap.parse("DAC_OVERRIDE")
_DAC_READ_SEARCH = Cap.parse("DAC_READ_SEARCH")
_SETFCAP = Cap.parse("SETFCAP")
_IN_PASSING = (Meaning.ADVISORY, Meaning.OPTIONAL, Meaning.FOREIGN_CREDENTIALS)
_UNKNOWN_SITE = "unknown call site"
_ROOT_MAP = "mapping root into a user namespace that it made"
_NETLINK = "a netlink request; the kernel's answer would hold the refusal"
_ASKED = {
    **dict.fromkeys(("sendto", "sendmsg", "sendmmsg"), _NETLINK),
    **dict.fromkeys(("clone", "clone3", "unshare"), _ROOT_MAP),
    "setfsuid": "accessing files as another user",
    "setfsgid": "accessing files as another group",
}
"""Calls that do not fail for want of a capability → what their arguments ask for."""
_GIVES_UP = frozenset(
    (
        *("setuid", "setreuid", "setresuid", "setgid", "setregid", "setresgid", "setgroups"),
        *("chroot", "prctl", "capset"),
    )
)
"""Calls by which a program gives up rights."""
_FAILED_ANYWAY = frozenset({-2, -20, -22, -19, -6, -38, -61, -95})
"""ENOENT, ENOTDIR, EINVAL, ENODEV, ENXIO, ENOSYS, ENODATA, EOPNOTSUPP: with or without the
capability the call comes to nothing. Other errors (EBUSY, EEXIST, EAGAIN) tell the caller
something that a refusal would not."""


def judge(check: Check, rule: Rule | None, context: Context) -> Judged:
    """What one check says of its capability."""
    if check.retried is not None:
        return _retried(check, check.retried)
    if check.ns is Namespace.CHILD:
        return Judged(
            check, rule, Effect.ADVISORY, "privileged in a user namespace that it made itself"
        )
    if check.ns is Namespace.HOST and (rule is None or rule.meaning not in _IN_PASSING):
        effect = Effect.ADVISORY if check.granted else Effect.DENIED
        return Judged(check, rule, effect, _asked_of_the_host(check, rule))
    if rule is None:
        return _decides(check, context, None, "asked by code that the catalog does not know")
    match rule.meaning:
        case Meaning.ADVISORY | Meaning.OPTIONAL:
            return Judged(check, rule, Effect.ADVISORY, rule.text, lost=rule.lost)
        case Meaning.FOREIGN_CREDENTIALS:
            return Judged(check, rule, Effect.ADVISORY, rule.text)
        case Meaning.SILENT:
            return _silent(check, rule)
        case Meaning.LOOKING if not _looks_at_chosen(check, context):
            return Judged(check, rule, Effect.ADVISORY, rule.text, lost=rule.lost)
    if _holds(check, rule) is False:
        return Judged(check, rule, Effect.ADVISORY, rule.text)
    if any((check.program, call) in context.calls for call in rule.beside):
        return Judged(check, rule, Effect.ADVISORY, f"{rule.text}, by the way", lost=rule.lost)
    if _is_a_lister_reading_processes(check, context):
        return Judged(check, rule, Effect.ADVISORY, "reading files of the processes that it lists")
    return _decides(check, context, rule, rule.text)


def _asked_of_the_host(check: Check, rule: Rule | None) -> str:
    """Whatever a process holds in its own user namespace, it holds nothing in those above."""
    what = rule.text if rule else "something that the catalog does not know"
    return f"{what}: asked of the host, where its user namespace's capabilities do not count"


def _retried(check: Check, how: Retried) -> Judged:
    """What a call says that was made again with more: no call site, but a fact."""
    call = check.syscall or "a call"
    either: tuple[Cap, ...] = ()
    uncertain = None
    match how:
        case Retried.PROBE:
            return Judged(check, None, Effect.ADVISORY, "asking whether it would be allowed")
        case Retried.ASKED:
            why = _ASKED.get(call, "what its arguments ask for")
            if check.cap == _SETFCAP:
                uncertain = "no check is made for it: concluded from what was done"
        case Retried.REFUSED:
            why = f"calling {call}, which fails with {check.without}"
            either = (_DAC_OVERRIDE,) if check.cap == _DAC_READ_SEARCH else ()
            uncertain = (
                "refused even with it, since a user namespace cannot grant it; or something else "
                "refuses, as the permissions of a file"
            )
        case Retried.ONE_OF:
            why = f"calling {call}, which fails with {check.without} without these together"
            uncertain = "with everything it succeeds, with none of the likely ones alone"
        case Retried.SHOWN:
            lacking = f"fails with {check.without}" if check.without else "loses a set-gid bit"
            why = f"calling {call}, which {lacking} without it"
            if check.result in _FAILED_ANYWAY:
                return Judged(check, None, Effect.ADVISORY, f"{why}, and fails anyway with it")
            if check.cap == _DAC_READ_SEARCH and call != "open_by_handle_at":
                either = (_DAC_OVERRIDE,)
    mark = how is Retried.SHOWN and call in _GIVES_UP
    lost = "the set-gid bit" if how is Retried.SHOWN and not check.without else None
    return Judged(check, None, Effect.USED, why, either, mark, uncertain, lost)


def _holds(check: Check, rule: Rule) -> bool | None:
    return rule.when.holds(dict(check.args)) if rule.when else True


def _silent(check: Check, rule: Rule) -> Judged:
    """The call succeeds either way: only the argument tells whether the outcome differs."""
    holds = _holds(check, rule)
    if holds is False:
        return Judged(check, rule, Effect.ADVISORY, rule.text)
    uncertain = None if holds else "the argument that decides was not recorded"
    return Judged(check, rule, Effect.USED, rule.text, uncertain=uncertain, lost=rule.lost)


def _decides(check: Check, context: Context, rule: Rule | None, why: str) -> Judged:
    """A refusal would make the call fail."""
    mark = rule is not None and rule.meaning is Meaning.SELF_RESTRICTING
    uncertain = None if rule else _UNKNOWN_SITE
    if check.granted:
        answers = rule.answers if rule else ()
        if check.result in _FAILED_ANYWAY and check.result not in answers:
            return Judged(check, rule, Effect.ADVISORY, f"{why}, which failed anyway")
        if check.phase is Phase.STOP:
            return Judged(check, rule, Effect.ADVISORY, f"{why}, while it was being stopped")
        either = rule.either if rule else ()
        return Judged(check, rule, Effect.USED, why, either, mark, uncertain)
    failed = check.result is not None and check.result < 0
    if (failed or check.in_request) and check.cap not in context.permitted:
        # A run that ends well is itself a trial without what it could not have.
        effect = Effect.TOLERATED if context.succeeded else Effect.USED
        either = rule.either if rule else ()
        return Judged(check, rule, effect, why, either, mark, uncertain)
    return Judged(check, rule, Effect.DENIED, why, (), mark, uncertain)


def _looks_at_chosen(check: Check, context: Context) -> bool:
    """Whether the program looks into chosen processes, so that a refusal defeats it, or goes
    through all of them (ps, top) and shows less. lsof and fuser go through all, too, but for the
    sake of the descriptors: those that were let in there need to follow the links as well."""
    if check.cap == _PERFMON and check.program not in context.foreign_readers:
        return False  # Linux 6.18 asks it first, of one's own processes too: mm_access
    if check.program in context.descriptor_readers and check.cap != _PERFMON:
        return True
    if check.program in context.map_readers and not _MAPS.isdisjoint(check.site):
        return True
    return check.program not in context.listers


def _is_a_lister_reading_processes(check: Check, context: Context) -> bool:
    """ps opens the environ of every process, pidstat its io, and does without. A path is not
    recorded, but each such file asks for PERFMON or SYS_PTRACE too, when opened or read."""
    return (
        check.cap == _DAC_READ_SEARCH
        and check.program in context.listers
        and "may_open" in check.site
        and check.count <= context.memory_opens.get(check.program, 0)
    )


def one_question(judged: Sequence[Judged]) -> list[Judged]:
    """Two refusals that are one question: the kernel asks for the second capability where the first
    is refused, and either would have let the call through. Where the second was asked more often
    than the first, it was asked alone, too (a file was opened for writing), and stays as it is."""
    asked: Counter[tuple[object, Cap]] = Counter()
    for item in judged:
        if _refused(item):
            asked[_call(item), item.check.cap] += item.check.count
    first: dict[tuple[object, Cap], set[Cap]] = {}
    for item in judged:
        call, cap = _call(item), item.check.cap
        for second in item.either if _refused(item) else ():
            if 0 < asked[call, second] <= asked[call, cap]:
                first.setdefault((call, second), set()).add(cap)
    return [
        replace(item, either=(*item.either, *sorted(first.get((_call(item), item.check.cap), ()))))
        if _refused(item)
        else item
        for item in judged
    ]


def _refused(item: Judged) -> bool:
    return item.effect >= Effect.TOLERATED and not item.check.granted


def _call(item: Judged) -> tuple[object, ...]:
    return item.check.program, item.check.syscall, item.check.site


def implied(check: Check, rule: Rule | None) -> frozenset[Cap]:
    """Capabilities that are needed though the kernel never asks for them: mapping user 0 of the
    parent into a new user namespace needs SETFCAP in the sets of whoever made it (create_user_ns
    reads the bit itself, since Linux 5.12). Only root maps its own id 0."""
    if rule is None or check.ns is not Namespace.CHILD or not check.granted or check.uid != 0:
        return frozenset()
    return rule.implies
