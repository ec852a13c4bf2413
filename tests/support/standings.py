"""A report for each standing, for the table tests of all surfaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from capadvise.judgement.conclusion import Standing
from capadvise.judgement.decide import decide_all
from capadvise.judgement.proven import Proven, Trial, conclude
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet, parse_set
from capadvise.model.posture import Posture
from capadvise.model.recording import Check, Lost, Recording
from capadvise.model.target import Target
from capadvise.model.workload import Workload
from tests.support.recordings import CATALOG, FULL, HOST, check, recording

CHOWN = check(
    "CHOWN",
    "capable_wrt_inode_uidgid setattr_prepare ext4_setattr notify_change chown_common do_fchownat",
    "chown",
    detail="uid 33",
)
NICE = check("SYS_NICE", "capable can_nice set_user_nice __x64_sys_setpriority", "setpriority")
NEEDS = parse_set(["CHOWN"])


def _report(*runs: Recording, check: str | None = None) -> Report:
    """A command of root, recorded in these runs."""
    return Report(
        Target("command", "web", ("web", "--serve"), "/srv", "0:0"),
        Workload(check=check),
        Posture({}),
        runs,
        decide_all(runs, CATALOG),
    )


def _run(*checks: Check, **more: object) -> Recording:
    return recording(*checks, **{"host": replace(HOST, lsm=())} | more)


def _proven(report: Report, minimal: CapSet | None, *trials: Trial, sound: bool = True) -> Report:
    proven = Proven("command", trials, minimal, recommended_sound=sound, date="2026-11-30")
    return replace(report, proposal=conclude(report.proposal, proven), proven=proven)


def _trial(caps: CapSet, *, passed: bool, why: str = "") -> Trial:
    return Trial(caps, passed, 0.5, differences=(why,) if why else ())


def _trials(needs: CapSet) -> tuple[Trial, ...]:
    fails = () if not needs else (_trial(frozenset(), passed=False, why="exited with 1"),)
    return (_trial(FULL, passed=True), *fails, _trial(needs, passed=True))


def _checks(needs: CapSet) -> tuple[Check, ...]:
    return (CHOWN,) if needs else ()


def _recorded(needs: CapSet, **more: object) -> Report:
    return _report(_run(*_checks(needs), **more))


def _likely(needs: CapSet) -> Report:
    doubt = check("MKNOD", "unknown_function_of_a_new_kernel __x64_sys_x", "ioctl", result=-1)
    report = _report(_run(*_checks(needs)))
    unsure = replace(_report(_run(doubt)).proposal.need(doubt.cap), uncertain="unknown call site")
    others = tuple(need for need in report.proposal.needs if need.cap != doubt.cap)
    return replace(report, proposal=replace(report.proposal, needs=(*others, unsure)))


def _minimal(needs: CapSet) -> Report:
    return _proven(_recorded(needs), needs, *_trials(needs))


def _above_minimal(needs: CapSet) -> Report:
    """It works without SYS_NICE, and loses something."""
    whole = needs | {NICE.cap}
    trials = (
        *_trials(needs),
        replace(_trial(needs, passed=True, why="its niceness differs"), without=NICE.cap),
        _trial(whole, passed=True),
    )
    return _proven(_report(_run(*_checks(needs), NICE)), needs, *trials)


SYSCTL = "net.ipv4.ip_unprivileged_port_start=0"
BIND = check("NET_BIND_SERVICE", "ns_capable __inet_bind __sys_bind", "bind", detail="tcp [::]:80")


def with_sysctl() -> Report:
    """Its minimal set is CHOWN and NET_BIND_SERVICE; CHOWN passes together with a sysctl."""
    both = NEEDS | {BIND.cap}
    alone = _trial(NEEDS, passed=False, why="exited with 1")
    beside = replace(_trial(NEEDS, passed=True), without=BIND.cap, instead=(SYSCTL,))
    trials = (*_trials(both), replace(alone, without=BIND.cap), beside)
    return _proven(_report(_run(CHOWN, BIND)), both, *trials)


def _refuted(needs: CapSet) -> Report:
    report = _recorded(needs)
    trials = (_trial(FULL, passed=True), _trial(needs, passed=False, why="exited with 1"))
    proven = Proven("command", trials, FULL, complete=False, date="2026-11-30")
    return replace(report, proven=proven)


_MAKERS: dict[Standing, Callable[[CapSet], Report]] = {
    Standing.NOT_JUDGED: lambda _: _report(
        _run(host=replace(HOST, observer="retry", lsm=()), cautions=("seen in part",))
    ),
    Standing.RUN_FAILED: lambda needs: _recorded(needs, exit_status=139, succeeded=False),
    Standing.CHECK_FAILED: lambda needs: replace(
        _recorded(needs, succeeded=False), workload=Workload(check="false")
    ),
    Standing.RECORDED: _recorded,
    Standing.PARTIAL: lambda needs: _recorded(needs, lost=Lost(7, 0)),
    Standing.LIKELY: _likely,
    Standing.PROVEN_MINIMAL: _minimal,
    Standing.PROVEN: _above_minimal,
    Standing.NOT_PROVEN: lambda needs: _proven(
        _recorded(needs), None, _trial(FULL, passed=False, why="exited with 1")
    ),
    Standing.CONTRADICTED: _refuted,
}
STANDINGS = tuple(_MAKERS)
"""All but ``OTHER_PROGRAM``, which is no report's own."""


def report_with(standing: Standing, *, needs: bool = True) -> Report:
    """A report of this standing. ``needs``: with a need of CHOWN."""
    return _MAKERS[standing](NEEDS if needs else frozenset())
