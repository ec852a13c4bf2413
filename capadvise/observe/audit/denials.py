"""From audit records to refusals, and from those to a recording. Pure."""

import datetime
import errno
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from capadvise.catalog import Catalog
from capadvise.catalog.syscalls import Syscalls
from capadvise.kernel.posture.cbpf import Action
from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.model.recording import (
    UNKNOWN_CALL,
    AuditDenial,
    Check,
    Held,
    Host,
    Lost,
    Namespace,
    Origin,
    Recording,
    RefusedBy,
    RefusedCall,
    Told,
)
from capadvise.observe.audit.records import Record

_CAPABILITY_CLASSES = frozenset(["capability", "capability2", "cap_userns", "cap2_userns"])
"""SELinux's classes for capabilities: numbers below and above 32, and in user namespaces."""
_OF_USER_NAMESPACES = frozenset(["cap_userns", "cap2_userns"])
_UNPRIVILEGED = "unprivileged_userns"
"""The profile that AppArmor gives to whoever makes a user namespace without the right to do so: it
allows no capability there (Ubuntu 23.10 and later)."""
_MAKES_ONE = "userns_create"
"""The operation of making one: a profile without the rule, or none where each program needs one."""
_NEEDS_RULE = 'the program needs a profile with the rule "userns,"'
_ACTION_MASK = 0xFFFF0000
"""SECCOMP_RET_ACTION, linux/seccomp.h: below it are data."""
_SIGSYS = ("31", "SIGSYS")
_READ_SEARCH, _OVERRIDE = Cap.parse("DAC_READ_SEARCH"), Cap.parse("DAC_OVERRIDE")
_REFUSALS = frozenset({errno.EPERM, errno.EACCES})


@dataclass(frozen=True, slots=True)
class Denial:
    """One refusal, or one check that was only logged. Names are hostile."""

    by: RefusedBy
    pid: int | None
    program: str
    time: float | None
    evidence: str
    syscall: str | None = None
    errno: str | None = None
    cap: Cap | None = None
    """The capability that was checked, if it was a capability check."""
    refused: bool = True
    """False: it was only noted (complain mode, permissive mode, a rule to log what is granted)."""
    uid: int | None = None
    exe: str | None = None
    in_user_namespace: bool = False
    """The capability was checked against a user namespace that somebody made, not the host's."""


def counted(denials: Iterable[Denial]) -> tuple[AuditDenial, ...]:
    """The refusals as a recording keeps them, with counts."""
    counts = Counter(
        AuditDenial(
            *(denial.syscall or UNKNOWN_CALL, denial.errno or "EPERM", denial.program, denial.by),
            *(denial.evidence, denial.exe is not None, 0),
        )
        for denial in denials
        if denial.refused and denial.by is not RefusedBy.UNKNOWN
    )
    return tuple(replace(denial, count=count) for denial, count in counts.items())


def denials(records: Iterable[Record], syscalls: Syscalls) -> list[Denial]:
    """The refusals in some records. Records of one event belong together: the system call's says
    in which call the others were made. They may come in any order, and others between them."""
    events: dict[str, list[Record]] = {}
    for record in records:
        events.setdefault(record.event, []).append(record)
    known: list[Denial] = []
    for together in events.values():
        calls = [record for record in together if record.type == "SYSCALL"]
        call = calls[-1] if calls else None
        refused = [
            denial
            for record in together
            if record is not call and (denial := _denial(record, call, syscalls))
        ]
        if call is not None and not refused and (denial := _failed(call, syscalls)):
            refused = [denial]
        known += _answered_by_the_last(refused)
    return known


def sends_signal(record: Record) -> bool:
    """True if a seccomp filter sent SIGSYS or killed: a record does not distinguish the two."""
    return record.type == "SECCOMP" and record.fields.get("sig") in _SIGSYS


def _answered_by_the_last(denials: list[Denial]) -> list[Denial]:
    """In one call the kernel checks DAC_OVERRIDE after it refused DAC_READ_SEARCH, and either would
    suffice: generic_permission()."""
    caps = {denial.cap for denial in denials if denial.refused}
    if not caps >= {_READ_SEARCH, _OVERRIDE}:
        return denials
    return [denial for denial in denials if denial.cap != _READ_SEARCH]


def _denial(record: Record, call: Record | None, syscalls: Syscalls) -> Denial | None:
    if record.type == "SECCOMP":
        return _seccomp(record, syscalls)
    if "apparmor" in record.fields:
        return _apparmor(record, call, syscalls)
    if record.verdict is not None and record.type != "USER_AVC":
        return _selinux(record, call, syscalls)
    return None


def _apparmor(record: Record, call: Record | None, syscalls: Syscalls) -> Denial | None:
    fields = record.fields
    word, operation = fields["apparmor"], fields.get("operation", "")
    if word not in ("DENIED", "ALLOWED", "AUDIT") or not operation:
        return None
    cap = _cap(fields.get("capname"), fields.get("capability")) if operation == "capable" else None
    what = f"capability {cap.short}" if cap is not None else operation
    on = f" of {name}" if (name := fields.get("name")) else ""
    evidence = f"AppArmor's profile {fields.get('profile', '?')} does not allow {what}{on}"
    refused = word == "DENIED"
    made = _denial_by_mac(record, call, syscalls, evidence, cap, operation, refused)
    if operation == _MAKES_ONE:
        return replace(made, evidence=f"{evidence}: {_NEEDS_RULE}")
    if _UNPRIVILEGED not in re.split(r"//&?", fields.get("profile", "")):
        return made
    why = f"{evidence} in a user namespace: {_NEEDS_RULE}"
    return replace(made, evidence=why, in_user_namespace=True)


def _selinux(record: Record, call: Record | None, syscalls: Syscalls) -> Denial | None:
    fields = record.fields
    kind = fields.get("tclass", "")
    what = " ".join(record.permissions)
    if not what or not kind:
        return None
    cap = _cap(record.permissions[0], fields.get("capability"))
    if kind not in _CAPABILITY_CLASSES:
        cap = None
    source = fields.get("scontext", "?")
    on = f" {name}" if (name := fields.get("name") or fields.get("path")) else ""
    evidence = f"SELinux does not allow {source} {{ {what} }} on {kind}{on}"
    refused = record.verdict == "denied" and fields.get("permissive") != "1"
    inside = kind in _OF_USER_NAMESPACES
    evidence += ", in a user namespace" * inside
    made = _denial_by_mac(record, call, syscalls, evidence, cap, what, refused)
    return replace(made, in_user_namespace=inside)


def _seccomp(record: Record, syscalls: Syscalls) -> Denial | None:
    fields = record.fields
    name = _call_name(fields, syscalls)
    if fields.get("sig") in _SIGSYS:
        return _denial_from(
            RefusedBy.SECCOMP, record, "a seccomp filter sent SIGSYS", name, "SIGSYS"
        )
    code = _number(fields.get("code"), 16)
    if code is None or code & _ACTION_MASK != Action.ERRNO:
        return None  # logged, or handed to a tracer: not refused
    error = errno.errorcode.get(code & 0xFFFF)
    return _denial_from(RefusedBy.SECCOMP, record, "a seccomp filter answered", name, error)


def _failed(call: Record, syscalls: Syscalls) -> Denial | None:
    """A system call that failed with EPERM or EACCES; the log does not say what refused it."""
    fields = call.fields
    text = fields.get("exit", "")
    error = text.partition("(")[0] if text[:1] == "E" else ""
    number = _number(text, 10)
    if number is not None and -number in _REFUSALS:
        error = errno.errorcode[-number]
    if error not in ("EPERM", "EACCES") or fields.get("success") == "yes":
        return None
    evidence = "a system call failed; the log does not say what refused it"
    return _denial_from(RefusedBy.UNKNOWN, call, evidence, _call_name(fields, syscalls), error)


def _denial_by_mac(
    record: Record, call: Record | None, syscalls: Syscalls,
    evidence: str, cap: Cap | None, operation: str, refused: bool,
) -> Denial:  # fmt: skip
    """A security module's denial, completed from the record of the system call."""
    failed = _failed(call, syscalls) if call else None
    name = (_call_name(call.fields, syscalls) if call else None) or printable(operation)
    error = (failed.errno if failed else None) or ("EPERM" if cap is not None else "EACCES")
    made = _denial_from(RefusedBy.MAC, record, evidence, name, error, call)
    return replace(made, cap=cap, refused=refused)


def _denial_from(
    by: RefusedBy, record: Record, evidence: str, syscall: str | None, error: str | None,
    call: Record | None = None,
) -> Denial:  # fmt: skip
    fields = {**(call.fields if call else {}), **record.fields}
    return Denial(
        by, _number(fields.get("pid"), 10), _program(fields), record.time, evidence,
        syscall, error, exe=fields.get("exe"),
        uid=_number(fields.get("euid") or fields.get("fsuid") or fields.get("uid"), 10),
    )  # fmt: skip


def _program(fields: Mapping[str, str]) -> str:
    """Its name; Android's logs have none, but SELinux's type is called after it."""
    context = fields.get("scontext", "").split(":")
    return fields.get("comm") or (context[2] if len(context) > 2 else "?")


def _call_name(fields: Mapping[str, str], syscalls: Syscalls) -> str | None:
    """The call of a record: by number and architecture, or by name where it was interpreted."""
    text = fields.get("syscall", "")
    number, arch = _number(text, 10), _number(fields.get("arch"), 16)
    if number is None:
        return text if re.fullmatch(r"[a-z_0-9]{2,32}", text) else None
    return syscalls.name(arch or 0, number) or f"call {number}"


def _cap(name: str | None, number: str | None) -> Cap | None:
    """By its name, or its number; interpreted logs have the name in the place of the number."""
    for text in (name, number):
        try:
            return Cap.parse(text or "")
        except ValueError:
            continue
    known = _number(number, 10)
    return Cap(known) if known is not None and 0 <= known <= 63 else None


def _number(text: str | None, base: int) -> int | None:
    if not text or len(text) > 20 or "_" in text:
        return None
    try:
        return int(text, base)
    except ValueError:
        return None


def programs(denials: Sequence[Denial]) -> Counter[str]:
    """How often each program was refused something."""
    return Counter(denial.program for denial in denials)


_Checks = dict[tuple[Cap, bool, str | None, bool, int | None, bool], list[Denial]]
_Refusals = Counter[tuple[str, str, RefusedBy, str, str]]


def _distinct(denials: Sequence[Denial], catalog: Catalog) -> tuple[_Checks, _Refusals]:
    """The checks that the records show, and the refused calls with how often they were refused."""
    checks: _Checks = {}
    refusals: _Refusals = Counter()
    for denial in denials:
        cap, inferred = denial.cap, False
        if cap is None and denial.by is RefusedBy.UNKNOWN:
            cap, inferred = _the_only(denial, catalog), True
        if cap is not None:
            inside = denial.in_user_namespace
            key = (cap, not denial.refused, denial.syscall, inferred, denial.uid, inside)
            checks.setdefault(key, []).append(denial)
        if denial.refused:
            call, error = denial.syscall or "?", denial.errno or "EPERM"
            refusals[call, error, denial.by, denial.program, _evidence(denial, catalog)] += 1
    return checks, refusals


def recorded(denials: Sequence[Denial], catalog: Catalog) -> Recording:
    """The recording of one program. A log does not tell what the program held: the recording says
    nothing."""
    times = [denial.time for denial in denials if denial.time is not None]
    begin, end = (min(times), max(times)) if times else (0.0, 0.0)
    checks, refusals = _distinct(denials, catalog)
    started = datetime.datetime.fromtimestamp(begin, datetime.UTC)
    nothing = Held(frozenset(), frozenset(), frozenset())
    return Recording(
        host=Host("", "", 40, "audit", ()),
        held=nothing,
        started=started.isoformat(timespec="milliseconds"),
        seconds=round(end - begin, 3),
        exit_status=None,
        checks=tuple(
            Check(
                id=number,
                cap=cap,
                granted=granted,
                ns=Namespace.CHILD if inside else Namespace.TARGET,
                site=(),
                origin=Origin.AUDIT_ERROR if inferred else Origin.AUDIT,
                program=same[0].program,
                pid=same[0].pid or 0,
                count=len(same),
                first=round((same[0].time or begin) - begin, 3),
                syscall=syscall,
                result=None if granted else -1,
                uid=uid,
            )
            for number, (
                (cap, granted, syscall, inferred, uid, inside),
                same,
            ) in enumerate(checks.items(), start=1)
        ),
        refused_calls=tuple(
            RefusedCall(call, code, program, count, told=Told(by, evidence))
            for (call, code, by, program, evidence), count in sorted(refusals.items())
        ),
        lost=Lost(),
        attached=True,
    )


def _the_only(denial: Denial, catalog: Catalog) -> Cap | None:
    """The capability, if only one can have been missing (``catalog/errnos.yaml``)."""
    candidates = _candidates(denial, catalog)
    return candidates[0] if len(candidates) == 1 else None


def _candidates(denial: Denial, catalog: Catalog) -> tuple[Cap, ...]:
    return catalog.errnos.get((denial.syscall or "", denial.errno or ""), ())


def _evidence(denial: Denial, catalog: Catalog) -> str:
    candidates = _candidates(denial, catalog) if denial.by is RefusedBy.UNKNOWN else ()
    if not candidates:
        return denial.evidence
    names = " or ".join(cap.short for cap in candidates)
    return f"{denial.evidence}; {names} may have been missing"
