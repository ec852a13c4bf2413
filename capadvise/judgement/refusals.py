"""Tells what refused a call, in one word, with the evidence. Pure.

The kernel's order decides. A seccomp filter comes before the call's own code: the trace shows the
call's end but not its beginning. Then come the plain file modes, whose refusal leads to a
capability check. Then come the security modules, which leave only an audit record.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from capadvise.catalog import Catalog
from capadvise.catalog.signs import Sign, Signs
from capadvise.catalog.sites import Meaning, SiteRule
from capadvise.judgement.incidental import EXECUTES
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.model.posture import Mac
from capadvise.model.recording import (
    UNKNOWN_CALL,
    AuditDenial,
    CapableFile,
    Check,
    DeniedCheck,
    Namespace,
    Recording,
    RefusedBy,
    RefusedCall,
)
from capadvise.model.seccomp_profile import KERNEL_NAMES

_OF_FILES = parse_set(["DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER"])
"""Capabilities that override modes and owners of files."""
_HARMLESS = frozenset(
    {Meaning.ADVISORY, Meaning.OPTIONAL, Meaning.SILENT, Meaning.FOREIGN_CREDENTIALS}
)
"""A refusal at such a site makes no call fail."""
TEXTS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
"""``limits``: errors that only a limit gives, in the calls where they are recorded. ``others``:
mechanisms that refuse the use of a file without a check: may_open(), may_create_in_sticky(),
generic_permission() for ids that are not mapped, devcgroup_check_permission(). ``ping``: EACCES of
ping_init_sock(). ``debian``: its patch of copy_process(), which returns EAGAIN for limits.
``hidden``: by apparmor_capget(); named keeps only what capget(2) shows it."""
FILE_CALLS = frozenset(TEXTS["files"])
_CONFINING = frozenset({"enforce", "kill"})
_CURE = "without them (setcap -r) it can be executed"
_COMM = 15
"""Bytes of a program's name in an audit record: TASK_COMM_LEN."""
_MOST = 4096
"""The most times that one record is counted: as many as a recorder keeps."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A system call that was refused ``count`` times, and what refused it."""

    syscall: str
    errno: str
    by: RefusedBy
    program: str
    count: int
    evidence: str = ""
    """The evidence, as a sentence."""


def refusals(recording: Recording, catalog: Catalog, mac: Mac | None) -> tuple[Refusal, ...]:
    """The refusals of a recording, with those that end up equal counted together. ``mac`` is the
    security module's label of the target."""
    counts: Counter[Refusal] = Counter()
    for call in (*recording.refused_calls, *_shown_by_checks(recording, catalog)):
        one = refusal(call, catalog, mac, recording.held.permitted, recording.capable_files)
        counts[one] += call.count
    judged = tuple(replace(item, count=times) for item, times in counts.items())
    return with_denials(judged, recording.audit)


def refusal(
    item: RefusedCall,
    catalog: Catalog,
    mac: Mac | None,
    held: CapSet = frozenset(),
    files: Iterable[CapableFile] = (),
) -> Refusal:
    """Judge one refused call, without a count. ``held``: what the target could have had;
    ``files``: those that it may not have been able to execute."""
    refused = [file for file in files if file.refused_to == item.program]
    if refused and item.syscall in EXECUTES and item.errno == "EPERM" and not item.denied:
        by, evidence = (
            RefusedBy.CAPABILITY,
            f"{refused[0].words}, which the bounding set lacks; {_CURE}",
        )
    elif item.told is not None:
        by, evidence = item.told.by, item.told.evidence
    else:
        by, evidence = _refuser(item, catalog, mac, held)
    return Refusal(item.syscall, item.errno, by, item.program, 0, evidence)


def _shown_by_checks(recording: Recording, catalog: Catalog) -> Iterator[RefusedCall]:
    """Refusals that only a check shows. Other evidence takes precedence: retries make calls fail
    that the target never saw fail, except in a user namespace below, and older reports have already
    counted them."""
    retried = "retry" in recording.host.observer
    if not retried and any(call.told for call in recording.refused_calls):
        return
    for check in recording.checks:
        if retried and check.ns is not Namespace.HOST:
            continue
        asked = DeniedCheck(check.cap, check.site, check.ns)
        error = _error_without_end(check, catalog.signs)
        if error and _rule(asked, check.syscall, catalog) is not None:
            call = check.syscall or UNKNOWN_CALL
            yield RefusedCall(call, error, check.program, check.count, check.uid, None, (asked,))


def _refuser(
    item: RefusedCall, catalog: Catalog, mac: Mac | None, held: CapSet
) -> tuple[RefusedBy, str]:
    if item.errno == "SIGSYS":
        return RefusedBy.SECCOMP, "a seccomp filter sent SIGSYS"
    if item.entered is False:
        return RefusedBy.SECCOMP, "a seccomp filter answered before the kernel's own code"
    if item.errno == "EROFS":
        return RefusedBy.MOUNT, "the file system is mounted read-only"
    rules = ((question, _rule(question, item.syscall, catalog)) for question in item.denied)
    asked = [(question, rule) for question, rule in rules if rule is not None]
    return (
        _by_capability(item, asked, held, catalog.signs, mac)
        if asked
        else _by_something_else(item, mac)
    )


def _rule(question: DeniedCheck, call: str | None, catalog: Catalog) -> SiteRule | None:
    """The rule of a refused check that can have made the call fail."""
    rule = catalog.sites.match(question.cap, question.site)
    if rule is None:
        return _UNKNOWN
    executes = call in EXECUTES and catalog.signs.shows(Sign.PERMISSION, question.site)
    fails = rule.meaning is Meaning.OPTIONAL and (rule.refused is not None or executes)
    return None if rule.meaning in _HARMLESS and not fails else rule


_UNKNOWN = SiteRule("", (), Meaning.DECIDES, "an unknown call site")


def _error_without_end(check: Check, signs: Signs) -> str | None:
    """The error of a refusal that is not in the call's result. generic_permission() checks
    DAC_OVERRIDE last, so its refusal is known if the call's end was not recorded. A netlink request
    is refused in the message that answers it."""
    if check.granted or (check.result is not None and check.result < 0):
        return None
    if signs.shows(Sign.NETLINK_REQUEST, check.site):
        return "EPERM"
    last = check.cap == _DAC_OVERRIDE and signs.shows(Sign.PERMISSION, check.site)
    return "EACCES" if last and check.result is None else None


_DAC_OVERRIDE = Cap.parse("DAC_OVERRIDE")


def _makes_users(site: tuple[str, ...], signs: Signs) -> bool:
    """True for the check before a user namespace: for other namespaces, a function below asks."""
    return signs.shows(Sign.FORK, site) and not signs.shows(Sign.CLONED_NAMESPACES, site)


def _by_capability(
    item: RefusedCall,
    asked: Sequence[tuple[DeniedCheck, SiteRule]],
    held: CapSet,
    signs: Signs,
    mac: Mac | None,
) -> tuple[RefusedBy, str]:
    """The kernel checked capabilities that the task did not have."""
    makes_users = item.errno == "EPERM" and any(
        _makes_users(question.site, signs) for question, _ in asked
    )
    for question, rule in asked:
        if rule.limit and question.ns is not Namespace.HOST and not makes_users:
            return RefusedBy.LIMIT, f"{rule.limit}; {question.cap.short} would lift it"
    caps = frozenset(question.cap for question, _ in asked)
    wanted, what = _named(caps), TEXTS["debian"] if makes_users else asked[0][1].text
    foreign = (Namespace.HOST, Namespace.TARGET) if item.own_namespace else (Namespace.HOST,)
    if all(question.ns in foreign for question, _ in asked):
        return (
            RefusedBy.NAMESPACE,
            f"{what}: {wanted} was checked against a user namespace that the process does not own",
        )
    if caps <= _OF_FILES and item.uid:
        return RefusedBy.MODE, f"owner and mode of a file; {wanted} would override them"
    missing = _given_up(item.program, mac) if caps <= held else "is missing"
    return RefusedBy.CAPABILITY, f"{what}: {wanted} was checked and {missing}"


def _given_up(program: str, mac: Mac | None) -> str:
    """AppArmor profiles have the name of the program that they confine."""
    why = "had been given up by the program itself"
    if mac is None or (mac.module, mac.mode) != ("apparmor", "enforce"):
        return why
    return (
        f"{why}: {TEXTS['hidden'].format(mac.label)}"
        if PurePath(mac.label).name == program
        else why
    )


def _by_something_else(item: RefusedCall, mac: Mac | None) -> tuple[RefusedBy, str]:
    """The kernel made no capability check, or none that matters."""
    if limit := TEXTS["limits"].get(item.errno):
        return RefusedBy.LIMIT, limit
    why = "no capability check refused it"
    if mac is not None and mac.mode in _CONFINING:
        why += f"; {mac.module}, which confines it, may have refused: see the audit log"
    elif item.own_namespace and item.errno == "EPERM":
        why += f"; {TEXTS['ubuntu']}"
    elif item.syscall in FILE_CALLS and item.errno in TEXTS["others"]:
        if item.errno == "EACCES" and "exec" in item.syscall:
            return RefusedBy.MODE, f"{why}: not executable, or on a noexec mount"
        if item.errno == "EACCES" and item.own_namespace:
            return RefusedBy.MODE, f"{why}: its owner is not mapped in the user namespace"
        why += f", and the mode bits did not: perhaps {TEXTS['others'][item.errno]}"
    elif (item.syscall, item.errno) == ("socket", "EACCES"):
        why += f"; {TEXTS['ping']}"
    return RefusedBy.UNKNOWN, why


def _named(caps: CapSet) -> str:
    return " or ".join(cap.short for cap in sorted(caps))


def with_denials(
    refusals: Sequence[Refusal], denials: Iterable[AuditDenial]
) -> tuple[Refusal, ...]:
    """Join refusals with the audit records about them; records about other refusals are added."""
    counts = Counter({replace(item, count=0): item.count for item in refusals})
    for denial in denials:
        for _ in range(min(denial.count, _MOST)):
            _count(counts, denial)
    return tuple(
        replace(item, count=count)
        for item, count in sorted(counts.items(), key=lambda pair: _order(pair[0]))
        if count > 0
    )


def _order(item: Refusal) -> tuple[str, str, str]:
    return item.syscall, item.errno, item.program


def _count(counts: Counter[Refusal], denial: AuditDenial) -> None:
    call = KERNEL_NAMES.get(denial.syscall, denial.syscall)
    same = [item for item in counts if counts[item] > 0 and _matches(item, denial, call)]
    known = [item for item in same if item.by is denial.by and item.syscall == call]
    if known and denial.by is RefusedBy.SECCOMP:
        return  # the trace has it already
    seen = next((item for item in same if item.by is not denial.by or not known), None)
    program, code = denial.program, denial.errno
    if seen is not None:
        counts[seen] -= 1
        program, call = seen.program, call if seen.syscall == UNKNOWN_CALL else seen.syscall
        code = seen.errno
    counts[Refusal(call, code, denial.by, program, 0, denial.evidence)] += 1


def _matches(item: Refusal, denial: AuditDenial, call: str) -> bool:
    if item.program[:_COMM] != denial.program[:_COMM]:
        return False
    if denial.by is RefusedBy.SECCOMP:
        return item.errno == denial.errno and item.syscall in (call, UNKNOWN_CALL)
    named = item.syscall == call and item.errno == denial.errno
    unnamed = not denial.of_a_call and item.by is RefusedBy.UNKNOWN
    return item.by is not RefusedBy.SECCOMP and (named or unnamed)
