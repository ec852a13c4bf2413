"""The one conclusion of a report: what the target is granted today, what it needs, how far that can
be trusted, and what to do next. Pure; every surface renders it, and none concludes by itself."""

import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from capadvise.catalog import Catalog, default
from capadvise.judgement.decide import (
    ALREADY_RUNNING,
    RUN_FAILED,
    WAS_STOPPED,
    Doubt,
    Need,
    trace_gaps,
)
from capadvise.judgement.differences import examples
from capadvise.judgement.judge import WHILE_STOPPED
from capadvise.judgement.opening import Opening
from capadvise.judgement.proven import Proven, Trial
from capadvise.judgement.report import Report
from capadvise.judgement.risk import Risks, RisksHere, worst
from capadvise.model.caps import Cap, CapSet
from capadvise.model.recording import Namespace, Recording
from capadvise.model.wording import counted, set_text
from capadvise.model.workload import Act, Workload, implicit_check, still_running


class Standing(StrEnum):
    """How far the set can be trusted. The values are those of the report's JSON."""

    NOT_JUDGED = "not-judged"
    """The recording does not show its needs."""
    RUN_FAILED = "run-failed"
    CHECK_FAILED = "check-failed"
    RECORDED = "recorded"
    """A whole run was seen; no trial was made."""
    PARTIAL = "partial"
    """A part of what it does was seen: this tells what to add, not what to remove."""
    LIKELY = "likely"
    """As recorded, but a doubt could change the set."""
    PROVEN_MINIMAL = "proven-minimal"
    """It passed trials with the set, and failed without any one member."""
    PROVEN = "proven"
    """It passed trials with the set."""
    NOT_PROVEN = "not-proven"
    """Trials, or the lack of one, leave open whether the set is enough."""
    CONTRADICTED = "contradicted"
    """A trial of the set failed."""
    OTHER_PROGRAM = "other-program"
    """The set is applied to something that was not recorded."""

    @property
    def words(self) -> str:
        """``proven minimal``, ``recorded in part``."""
        return "recorded in part" if self is Standing.PARTIAL else self.replace("-", " ")


_SYS_ADMIN = Cap.parse("SYS_ADMIN")
PASSED = frozenset({Standing.PROVEN_MINIMAL, Standing.PROVEN})
SHOWS_ENOUGH = PASSED | {Standing.RECORDED, Standing.LIKELY}
"""The target most likely needs no capability that the set does not name."""
WITHOUT_SET = frozenset({Standing.NOT_JUDGED, Standing.RUN_FAILED, Standing.CHECK_FAILED})
"""The set is no answer: what was seen until then is in it, and no more."""
ADDS_ONLY = WITHOUT_SET | {Standing.PARTIAL}
"""It tells what to add to a configuration, and nothing of what to remove."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The grant of the target today, without the widening of a recording."""

    caps: CapSet
    source: str
    """``docker's default``, ``privileged``, ``container``, ``pod``, ``unit``, ``root`` or
    ``user``."""
    words: str
    """``docker grants 14``."""


@dataclass(frozen=True, slots=True)
class PassedSet:
    """Another set that passed a trial, with its companions."""

    caps: CapSet
    beside: tuple[str, ...] = ()
    """``net.ipv4.ip_unprivileged_port_start=0``: each as a trial's ``instead`` has it."""


REPORT = "REPORT"
"""The word of a next step that stands for the report's file."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """One command that goes on from here."""

    words: tuple[str, ...]
    as_root: bool = False

    def of(self, path: str) -> tuple[str, ...]:
        """The words, with the report's file."""
        return tuple(path if word == REPORT else word for word in self.words)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The conclusion on one set of a report. Texts hold words of the target: escape them."""

    standing: Standing
    baseline: Baseline
    caps: CapSet
    """The set in question: the recommended one, unless the user chose another."""
    beside: tuple[str, ...]
    """Its companions, as ``PassedSet`` has them."""
    recommended: CapSet
    minimal: CapSet | None
    risks: Risks = field(compare=False)
    """The risks in its place; nothing is looked up until a word of risk is asked for."""
    doubt: str | None
    """One clause: what could be wrong, or what failed."""
    trials: int
    runs: int
    run_again: bool
    """A second run settled what was in doubt, or a part of it."""
    date: str
    """``2026-11-30``: of the trials, or of the first recording."""
    next: NextStep
    also_passed: tuple[PassedSet, ...] = ()
    in_user_namespace: bool = False
    """True if the trials ran in a user namespace of their own: the set is proven for one."""
    doubts: tuple[Doubt, ...] = ()
    """Capabilities that may be needed in addition to the recommended set."""
    compared: tuple[str, ...] = ()
    """The traces of trials that were compared, for what is lost without a capability."""
    opening: Opening | None = None
    """The result of trials without a capability whose calls were opened."""

    @property
    def has_set(self) -> bool:
        """True if the set is an answer."""
        return self.standing not in WITHOUT_SET

    @property
    def standing_words(self) -> str:
        """``proven minimal, 8 trials``; ``recorded once, not proven``; with the doubt."""
        text = self.standing.words
        if self.standing in PASSED:
            text += f", {counted(self.trials, 'trial')}"
            text += " in a user namespace" * self.in_user_namespace
        elif self.standing is Standing.LIKELY and self.trials and not self.beside:
            text += f", {counted(self.trials, 'trial')}"
        elif self.standing in (Standing.RECORDED, Standing.LIKELY) and not self.beside:
            runs = "once" if self.runs == 1 else f"{self.runs} times"
            text = f"recorded {runs}{' and run again' * self.run_again}, not proven"
        return f"{text}: {self.doubt}" if self.doubt else text

    @property
    def rests_on(self) -> str:
        """The same with its date, for a file that outlives this day."""
        head, colon, doubt = self.standing_words.partition(": ")
        return f"{head}, {self.date}{colon}{doubt}"

    @property
    def counts(self) -> str:
        """``14 → 1``."""
        return f"{len(self.baseline.caps)} → {len(self.caps) if self.has_set else '?'}"

    @property
    def risk_before(self) -> str:
        """The word for the highest risk of what it is granted today: ``high``, ``none``."""
        return worst(self.baseline.caps, self.risks)

    @property
    def risk_after(self) -> str:
        """The same of the set; ``unknown`` where that is no answer."""
        return worst(self.caps, self.risks) if self.has_set else "unknown"

    def headline(self, name: str) -> str:
        """The answer in a line: ``web needs CHOWN, SETUID (2; docker grants 14) · medium · proven
        minimal, 8 trials``."""
        names = set_text(self.caps) if self.caps else ""
        if not self.has_set:
            until = f"needed until then: {names}" if names else "no need was seen until then"
            more = "" if self.standing is Standing.NOT_JUDGED and not names else f" · {until}"
            return f"{name}: {self.standing_words}{more}"
        needs = {Standing.PARTIAL: "needs at least", Standing.LIKELY: "most likely needs"}.get(
            self.standing, "needs"
        )
        without = ""
        if self.opening and self.opening.profile and not self.beside:
            without = f" · or {self.opening.headline}"
        if names:
            said = f"{name} {needs} {names} ({len(self.caps)}; {self.baseline.words})"
            said += f" · {self.risk_after} · {self.standing_words}"
            if self.standing is Standing.CONTRADICTED and self.minimal is not None:
                said += f" · the minimal set passed: {set_text(self.minimal)}"
            return said + without
        if self.standing is Standing.PARTIAL:
            return f"{name}: no need was seen ({self.baseline.words}) · {self.standing_words}"
        needs = needs.replace("needs", "needs no capability")
        return f"{name} {needs} ({self.baseline.words}) · {self.standing_words}"


def conclude_report(
    report: Report,
    catalog: Catalog,
    caps: CapSet | None = None,
    *,
    beside: tuple[str, ...] = (),
    risks: Risks | None = None,
) -> Conclusion:
    """Conclude. ``caps``: the user's own choice in place of the recommended set; ``beside``: its
    companions; ``risks``: those of this report, if the caller has them."""
    proposal, proven = report.proposal, report.proven
    chosen = _chosen(report, caps, beside)
    standing, doubt = standing_of(report, chosen.caps, chosen.beside)
    return Conclusion(
        standing=standing,
        baseline=baseline_of(report, catalog),
        caps=chosen.caps,
        beside=chosen.beside,
        recommended=proposal.recommended,
        minimal=_minimal(proven),
        risks=RisksHere(report, catalog) if risks is None else risks,
        doubt=doubt,
        trials=len(proven.trials) if proven else 0,
        runs=len(report.recordings),
        run_again=any(run.second_run and run.second_run.settled for run in report.recordings),
        date=(proven.date if proven and proven.date else report.recording.started)[:10],
        next=_next(report, standing),
        also_passed=tuple(_also_passed(report)),
        doubts=() if standing in PASSED else doubts_of(report),
        in_user_namespace=proven is not None and proven.user_namespace,
        compared=proven.compared if proven else (),
        opening=proven.opening if proven else None,
    )


def _chosen(report: Report, caps: CapSet | None, beside: tuple[str, ...]) -> PassedSet:
    """The user's own choice, or the recommended set; an opening if the engine's defaults refuse
    the target whatever it has."""
    proven = report.proven
    opening = proven.opening if proven and proven.minimal is None else None
    if caps is None and opening and opening.profile:
        return PassedSet(opening.caps, opening.beside)
    return PassedSet(report.proposal.recommended if caps is None else caps, beside)


def cautions_beside(conclusion: Conclusion, report: Report) -> tuple[str, ...]:
    """The cautions of the recordings that the headline does not say, and no trial has settled."""
    said = {RUN_FAILED} if conclusion.standing in WITHOUT_SET else set()
    if conclusion.standing in PASSED:
        said |= {RUN_FAILED, WAS_STOPPED, ALREADY_RUNNING}
    if conclusion.standing is Standing.PARTIAL:
        said |= {ALREADY_RUNNING}
    if conclusion.doubt == _STOPPED:
        said |= {WAS_STOPPED}
    doubt = (conclusion.doubt or "").partition(";")[0]
    return tuple(
        text
        for text in report.proposal.cautions
        if text not in said and text.partition(":")[0] != doubt
    )


def of_another(conclusion: Conclusion, difference: str) -> Conclusion:
    """The same for a target that was not recorded: nothing is concluded of it."""
    return replace(conclusion, standing=Standing.OTHER_PROGRAM, doubt=difference)


def _minimal(proven: Proven | None) -> CapSet | None:
    return proven.minimal if proven is not None and proven.conclusive else None


def _also_passed(report: Report) -> Iterator[PassedSet]:
    """The smallest sets first. A set that passed by itself is the minimal one."""
    passed = {
        held_in(trial)
        for trial in (report.proven.trials if report.proven else ())
        if trial.passed and trial.beside and not (trial.differences or trial.beside[0].is_flag)
    }
    yield from sorted(passed, key=lambda one: (len(one.caps), sorted(one.caps), one.beside))


# ------------------------------------------------------------------------------- the standing

_Judged = tuple[Standing, str | None]
"""A standing, and what could be wrong, in a clause."""


def standing_of(
    report: Report, caps: CapSet | None = None, beside: tuple[str, ...] = ()
) -> _Judged:
    """How far a set can be trusted; the recommended one by default. ``beside``: its companions."""
    chosen = PassedSet(report.proposal.recommended if caps is None else caps, beside)
    opening = report.proven and report.proven.opening
    if opening and opening.profile and chosen == PassedSet(opening.caps, opening.beside):
        return (Standing.LIKELY if opening.doubt else Standing.PROVEN), opening.doubt
    if report.proven is not None and (by_trial := _by_trial(report.proven, report, chosen)):
        unseen = jobs_unseen(report) if by_trial[0] in PASSED else None
        return (Standing.LIKELY, unseen) if unseen else _as_watched(by_trial, report.workload)
    by_recording = _by_recording(report)
    if chosen.caps != report.proposal.recommended and by_recording[0] not in WITHOUT_SET:
        return _NO_TRIAL
    return by_recording


def _as_watched(judged: _Judged, work: Workload) -> _Judged:
    if judged[0] in PASSED and work.only_watched:
        return judged[0], f"its first {work.check_after:.0f} s, no health check"
    return judged


_NO_TRIAL = Standing.NOT_PROVEN, "no trial of this set was made"


def _by_trial(proven: Proven, report: Report, chosen: PassedSet) -> _Judged | None:
    """Judge by trials of this very set; one that passed beside something else is another set."""
    if proven.flaky:
        return Standing.NOT_PROVEN, "the same set passed and failed in trials"
    if proven.minimal is None:
        return Standing.NOT_PROVEN, "in trials it fails even with every capability"
    of_set = [trial for trial in proven.trials if held_in(trial) == chosen]
    if of_set and not of_set[-1].passed:
        return Standing.CONTRADICTED, _failure(of_set[-1])
    if of_set and (chosen.beside or not proven.complete):
        return Standing.PROVEN, None
    if not proven.complete:
        return Standing.NOT_PROVEN, _unfinished(proven)
    return (
        _NO_TRIAL if chosen.beside else _by_search(proven, report, chosen.caps, passed=bool(of_set))
    )


def _by_search(proven: Proven, report: Report, caps: CapSet, *, passed: bool) -> _Judged:
    """Judge by a whole search. ``passed``: a trial of the set did."""
    if caps == proven.minimal:
        return Standing.PROVEN_MINIMAL, None
    if caps == report.proposal.recommended:
        if proven.recommended_sound is False:
            return Standing.CONTRADICTED, "a trial of it failed"
        return Standing.PROVEN, None
    return (Standing.PROVEN, None) if passed else _NO_TRIAL


def _unfinished(proven: Proven) -> str:
    best = proven.minimal or frozenset()
    everything = bool(proven.trials) and best == proven.trials[0].caps
    words = "every capability" if everything else set_text(best)
    return f"the trials did not finish; it passed with {words}"


def held_in(trial: Trial) -> PassedSet:
    """The set of a trial, with its companions."""
    return PassedSet(trial.caps, tuple(one.words for one in trial.beside))


def _failure(trial: Trial) -> str:
    return f"a trial of it failed: {examples(trial.differences)}".rstrip(": ")


def _by_recording(report: Report) -> _Judged:
    runs = report.recordings
    if not report.proposal.recommended and (blind := _blind(report)):
        return Standing.NOT_JUDGED, blind
    checked = report.workload.check is not None
    failed = [run for run in runs if run.succeeded is False and (checked or not run.interrupted)]
    if len(failed) == len(runs):
        return _failed(report, failed[0])
    if doubt := _unseen(report):
        return Standing.PARTIAL, doubt
    if doubt := _uncertain(report, len(failed)):
        return Standing.LIKELY, doubt
    return Standing.RECORDED, None


def _blind(report: Report) -> str | None:
    """Why a report without needs does not show that there are none."""
    for run in report.recordings:
        if run.started_containers:
            return _DAEMONS
        if run.host.observer == "audit":
            return _REFUSALS
        if _is_ordinary(run):
            return _ORDINARY
    return None


def _failed(report: Report, run: Recording) -> _Judged:
    ended = how_it_ended(run.exit_status)
    stopped = run.still_running or run.interrupted
    if report.workload.check is not None and (stopped or run.exit_status in (None, 0)):
        how = "" if stopped else f" after the program {ended}"
        return Standing.CHECK_FAILED, f"the health check did not pass{how}"
    return Standing.RUN_FAILED, ended.removeprefix("was ")


def how_it_ended(status: int | None) -> str:
    """An exit status in words, to follow the target's name."""
    if status is None:
        return "was lost"
    if status <= 128:
        return f"exited with {status}"
    try:
        return f"was killed by {signal.Signals(status - 128).name}"
    except ValueError:
        return f"was killed by signal {status - 128}"


_DAEMONS = "what daemons ran for the command was not recorded"
_REFUSALS = "an audit log holds refusals only"
_STOPPED = "it was stopped before anything showed that it works"
_ORDINARY = "an ordinary user sees only some of the refused calls"


def _unseen(report: Report) -> str | None:
    """The first of the reasons why any need can be missing."""
    runs = report.recordings
    lost = sum(run.lost.signal for run in runs)
    gaps = dict.fromkeys(gap for run in runs for gap in run.lost.gaps)
    reasons = (
        (gaps, f"{trace_gaps(gaps)}; the absence of others is unconfirmed"),
        (lost, f"{counted(lost, 'event')} dropped; the absence of others is unconfirmed"),
        (any(run.started_containers for run in runs), _DAEMONS),
        (all(run.host.observer == "audit" for run in runs), _REFUSALS),
        (all(run.attached and not run.restarted for run in runs), "its start was not observed"),
        (all(_is_ordinary(run) for run in runs), _ORDINARY),
        (report.showed_nothing and not report.proposal.recommended, _STOPPED),
    )
    return next((said for holds, said in reasons if holds), None)


def _is_ordinary(run: Recording) -> bool:
    """True if only retries of an ordinary user saw it, in a user namespace that limits them."""
    return run.host.observer == "retry" and bool(run.cautions)


def doubts_of(report: Report) -> tuple[Doubt, ...]:
    """The doubts of the headline: all but those about processes that outlast a stop."""
    return tuple(one for one in report.proposal.doubts if one.why != WHILE_STOPPED)


def _uncertain(report: Report, failed: int) -> str | None:
    """The first doubt that could change the set: it can lack something, or have too much."""
    recommended = report.proposal.recommended
    if doubts := doubts_of(report):
        return f"{_named(doubts)} may be needed"
    again = [run.second_run for run in report.recordings if run.second_run]
    if lost := [one for run in again if not run.settled for one in run.differed]:
        return f"run again with this set, it differed: {examples(lost[0].lost)}"
    if failed:
        return f"{failed} of {len(report.recordings)} runs failed"
    if report.showed_nothing:
        return _STOPPED
    if unseen := jobs_unseen(report):
        return unseen
    inside = [need for need in report.proposal.needs if need.cap in recommended and need.uncertain]
    return f"{_shorts(inside)} may not be needed" if inside else None


def jobs_unseen(report: Report) -> str | None:
    """The doubt about a program that starts jobs at set times, unless the user's own check can tell
    whether they work: asleep, it passes with nothing."""
    check = report.workload.check
    if check is not None and implicit_check(check) is None:
        return None
    programs = {run.program for run in report.recordings}
    programs |= {check.program for run in report.recordings for check in run.checks}
    waiting = sorted(programs & default().names["schedulers"])
    return f"jobs of {waiting[0]} that were not due were not seen" if waiting else None


def _named(doubts: Sequence[Doubt]) -> str:
    """``KILL (kill, signal 0, by pkill)``: the first two with their calls."""
    said = [one.name + f" ({one.about})" * bool(one.about) for one in doubts[:2]]
    more = len(doubts) - 2
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


def _shorts(needs: list[Need]) -> str:
    names = [need.cap.short for need in needs]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# ------------------------------------------------------------------------------- the baseline


def baseline_of(report: Report, catalog: Catalog) -> Baseline:
    """The grant of the target today. For an older report, which does not hold it, this is the
    default of its engine, and everything for a unit."""
    target, run = report.target, report.recording
    every = frozenset(map(Cap, range(run.host.last_cap + 1)))
    granted = target.granted
    if target.kind == "unit":
        caps = every if granted is None else granted
        return Baseline(caps, "unit", f"its unit grants {_many(caps, every)}")
    if target.kind == "container":
        return _of_container(report, catalog, every)
    uid = target.user.partition(":")[0]
    if uid in ("0", "root", ""):
        caps = run.held.bounding if granted is None else granted
        return Baseline(caps, "root", f"root here holds {_many(caps, every)}")
    usual = run.held.permitted if run.attached else frozenset[Cap]()
    caps = usual if granted is None else granted
    return Baseline(caps, "user", f"user {uid} holds {_many(caps, every)}")


def _of_container(report: Report, catalog: Catalog, every: CapSet) -> Baseline:
    target, run = report.target, report.recording
    if target.privileged:
        return Baseline(every, "privileged", f"privileged: all {len(every)}")
    runtime = catalog.baselines.default(target.engine)
    seen = run.held.bounding if run.attached else runtime.grants
    caps = (seen if target.granted is None else target.granted) & every
    if caps == runtime.grants & every:
        return Baseline(caps, f"{runtime.name}'s default", f"{runtime.name} grants {len(caps)}")
    kind = "pod" if target.pod else "container"
    return Baseline(caps, kind, f"its {kind} grants {_many(caps, every)}")


def _many(caps: CapSet, every: CapSet) -> str:
    if not caps:
        return "none"
    return f"all {len(every)}" if caps >= every else str(len(caps))


# ------------------------------------------------------------------------------- the next step


def _next(report: Report, standing: Standing) -> NextStep:
    if report.target.kind == "container" and (step := _without(report)):
        return step
    if standing in PASSED:
        return _emit(report)
    if standing is Standing.LIKELY and jobs_unseen(report):
        return NextStep(("capadvise", "prove", "--check", _OF_A_JOB, REPORT), as_root=True)
    if standing is Standing.CONTRADICTED and _minimal(report.proven) is not None:
        return _emit(report, "--set", "minimal")
    if standing is Standing.NOT_PROVEN:
        return _try_again(report)
    if standing in ADDS_ONLY:
        return _see_more(report)
    return _prove(report)


def _without(report: Report) -> NextStep | None:
    """Write what works without SYS_ADMIN, or try it: the seccomp profile can be all it is for."""
    proven = report.proven
    if proven is None or not proven.conclusive:
        return None
    if proven.opening is not None:
        works = proven.opening.profile is not None
        return _emit(report, "--without", proven.opening.without.short) if works else None
    return _prove(report, "--without", _SYS_ADMIN.short) if _may_do(report, proven) else None


def _may_do(report: Report, proven: Proven) -> bool:
    """True if a container may do without SYS_ADMIN: it has to have it, or fails with all that its
    engine gives, and makes user namespaces."""
    if proven.minimal is not None:
        return _SYS_ADMIN in proven.minimal
    checks = (check for run in report.recordings for check in run.checks)
    return any(one.ns is Namespace.CHILD for one in checks)


def _emit(report: Report, *options: str) -> NextStep:
    if report.target.kind == "unit":
        return NextStep(("capadvise", "emit", REPORT, "--drop-in", *options))
    return NextStep(("capadvise", "emit", REPORT, "--format", report.target.language, *options))


def _prove(report: Report, *options: str) -> NextStep:
    work = report.workload
    if work.check is None and (work.kind == "daemon" or report.was_stopped):
        options = (*options, "--check", check_proposal(report))
    return NextStep(("capadvise", "prove", *options, REPORT), as_root=True)


def _try_again(report: Report) -> NextStep:
    proven = report.proven
    if proven is not None and proven.minimal is None and not proven.flaky:
        if proven.isolation == "command":
            return _prove(report, "--no-isolate")
        return _EXPLAIN
    return _prove(report)


def _see_more(report: Report) -> NextStep:
    """Record it from its start, with what was not seen."""
    target, run = report.target, report.recording
    if target.pod:
        namespace = target.pod.partition("/")[0]
        owner = target.owner or f"Pod/{target.pod.rpartition('/')[2]}"
        return NextStep(("capadvise", "kubernetes", "record", owner, "-n", namespace))
    if target.kind == "unit":
        return NextStep(("capadvise", "run", "--", "systemctl", "restart", target.unit), True)
    if run.attached:
        return _from_its_start(report)
    stopped = run.interrupted or report.was_stopped
    if run.lost.gaps or (stopped and run.host.observer != "retry" and not run.lost.total):
        return _prove(report)
    if not target.argv:
        return _EXPLAIN
    check = report.workload.check if target.kind == "command" else None
    options = () if check is None else ("--check", check)
    return NextStep(("capadvise", "run", *options, "--", *target.argv), as_root=True)


_OF_A_JOB = "test -e FILE-THAT-A-JOB-MAKES"
_EXPLAIN = NextStep(("capadvise", "explain", REPORT))


def _from_its_start(report: Report) -> NextStep:
    """Start again what was recorded as it ran; how a container was started is not known."""
    target = report.target
    if target.service:
        up = (target.engine or "docker", "compose", "up", target.service)
        return NextStep(("capadvise", "run", "--", *up), as_root=True)
    if target.kind == "container" or not target.argv:
        return _EXPLAIN
    return NextStep(("capadvise", "run", "--", *target.argv), as_root=True)


def not_tested(report: Report) -> tuple[str, ...]:
    """What neither the recording nor a trial exercised."""
    work, proven = report.workload, report.proven
    if proven is None or proven.minimal is None or proven.flaky:
        if report.recording.attached or report.recording.host.observer == "audit":
            return ()
        later = ("later starts", "stops", "reloads") if work.kind == "daemon" else ()
        return (*later, "whatever the program did not do in this run")
    if work.kind == "oneshot":
        return ("other arguments, input and files",)
    acts = {step.act for one in work.rounds for step in one}
    reload = () if Act.RELOAD in acts else ("reloads",)
    if work.only_watched:
        late = f"whatever is later than {work.check_after:.0f} s after its start"
        return (*reload, late, "what timers and logrotate start")
    return (*reload, "whatever the health check does not use")


_PORT = re.compile(r"tcp .*:(\d+)$")
SECONDS = 5
"""A target that lives so long has not failed at its start."""
CONNECTS = "exec 3<>/dev/tcp/127.0.0.1/{port}"
LIVES = f'sleep {SECONDS}; kill -0 "${{PIDS%%,*}}"'


def check_proposal(report: Report) -> str:
    """A shell command that passes when the target works: by the recording, it connects to a port
    that the target binds; else it checks that the target lives."""
    container = report.target.kind == "container"
    for recording in report.recordings:
        for check in recording.checks:
            port = _PORT.match(check.detail or "")
            if check.syscall == "bind" and port and int(port[1]) and not container:
                return CONNECTS.format(port=port[1])
    if container:
        return still_running(report.target.engine or "docker", SECONDS)
    return LIVES
