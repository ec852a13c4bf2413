"""The report for people: what is needed and why, what is not, and what to do next."""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.catalog.capabilities import Risk
from capadvise.catalog.sites import asker
from capadvise.judgement.decide import Need, Proposal, Verdict
from capadvise.judgement.judge import WHILE_STOPPED, Judged
from capadvise.judgement.refusals import refusals
from capadvise.judgement.report import Report
from capadvise.judgement.user_namespace import USUAL_IDS, Fit
from capadvise.model.caps import CapSet
from capadvise.model.escape import printable
from capadvise.model.recording import Origin, Recording, RefusedBy, Retried
from capadvise.model.workload import TWO_RUNS, Act, Workload, implicit_check
from capadvise.report.compared import compared_lines
from capadvise.report.fit import Places, can_move, fit_of_report
from capadvise.report.lamps import Risks, RisksHere
from capadvise.report.lines import listed
from capadvise.report.risk import risk_word
from capadvise.report.words import VERDICTS, how_proven, proof_lines, set_text, without

ORIGINS = {
    Origin.SECCOMP: "answered by the seccomp filter",
    Origin.HOLDER: "inferred from the call",
    Origin.COPIED: "inferred from the call",
    Origin.AUDIT: "in an audit record",
    Origin.AUDIT_ERROR: "inferred from an audit record",
}
"""The evidence for a check that was not itself observed."""
MARKS = {
    Verdict.REQUIRED: "●",
    Verdict.NEEDED: "●",
    Verdict.OPTIONAL: "◐",
    Verdict.INCIDENTAL: "○",
    Verdict.DENIED: "×",
    Verdict.NOT_CHECKED: "·",
}
NARROWEST, WIDEST = 60, 110
"""Columns: below, columns of a table cannot be told from each other; above, lines are hard to
follow."""


def proposal_text(
    report: Report,
    catalog: Catalog,
    saved: Path | None,
    *,
    as_root: str = "sudo capadvise",
    columns: int = 80,
    file: str | None = None,
    patched: bool = False,
    verbose: bool = False,
) -> Iterator[str]:
    """The page that ``run`` prints, line by line: the answer, the table, what limits it, what to do
    next. ``as_root``: how root calls capadvise here. ``columns``: of the terminal. ``file``: where
    the target is configured, if that is known. ``patched``: it has the answer already."""
    columns = min(max(columns, NARROWEST), WIDEST)
    proposal = report.proposal

    def wrapped(text: str) -> list[str]:
        return textwrap.wrap(text, columns, subsequent_indent="  ", break_on_hyphens=False)

    yield from wrapped(_headline(report))
    yield ""
    yield from wrapped(answer(report, catalog))
    needed = [need for need in proposal.needs if need.cap in proposal.recommended]
    if needed:
        yield ""
        yield from _table(needed, RisksHere(report, catalog), columns)
    yield ""
    for text in (
        *_sets(report),
        *(proof_lines(report.proven) if report.proven is not None else ()),
        *tested_lines(report),
        *filter(None, [fit_line(report, catalog)]),
        *compared_lines(report, catalog.known_index),
        *_rest(proposal),
        *(f"Caution: {printable(caution)}." for caution in proposal.cautions),
    ):
        yield from wrapped(text)
    if refused := list(refusal_lines(report, catalog)):
        yield from ("", *refused)
    if saved is not None:
        yield ""
        yield from _next_steps(report, saved, as_root)
        yield _apply(report, file) if patched and file else _emit(report, saved, file)


def answer(report: Report, catalog: Catalog) -> str:
    """The summary of the whole report: the number of needed capabilities, and the changes.

    ``Needs 4 of 41 capabilities, proven. docker grants 14 by default: 10 of them are not needed.``
    """
    caps = report.proposal.recommended
    total = report.recording.host.last_cap + 1
    if not caps:
        return no_need(report)
    text = f"Needs {len(caps)} of {total} capabilities, {how_proven(report.proven, caps)}."
    if report.target.kind == "unit":
        return f"{text} A unit that says nothing has all of them."
    runtime = catalog.baselines.default(report.target.engine)
    grants = runtime.grants
    drop, add = len(grants - caps), caps - grants
    changes = [f"{drop} of them are not needed"] * bool(drop)
    changes += [f"add {set_text(add)}"] * bool(add)
    if not changes:
        return f"{text} These are {runtime.name}'s {len(grants)} defaults."
    return f"{text} {runtime.name} grants {len(grants)} by default: {'; '.join(changes)}."


def _sets(report: Report) -> Iterator[str]:
    caps, proven = report.proposal.recommended, report.proven
    minimal = (
        proven.minimal if proven is not None and proven.complete and not proven.flaky else None
    )
    if minimal == caps:
        yield f"Recommended set, also the minimal set (floor): {set_text(caps)}"
        return
    if caps:
        yield f"Recommended set: {set_text(caps)}"
    if minimal is not None:
        yield f"Minimal set (floor): {set_text(minimal)}"


def _headline(report: Report) -> str:
    recording, runs = report.recording, report.recordings
    command = printable(shlex.join(report.target.argv))
    if len(command) > 60:
        command = f"{command[:57]}…"
    if report.target.kind == "container":
        command = f"{printable(report.target.name)} ({command})"
    elif report.target.kind == "unit":
        command = printable(report.target.unit)
    status = recording.exit_status
    ended = "was lost" if status is None else how_it_ended(status)
    how = f"{ended} after {recording.seconds:.1f} s"
    if recording.attached or report.target.pod:
        how = f"was recorded for {recording.seconds:.1f} s"
    if recording.host.observer == "audit":
        refused = sum(item.count for run in runs for item in run.refused_calls)
        return (
            f"{command}: {_counted(refused, 'refusal')} in {recording.seconds:.1f} s of audit log."
        )
    if len(runs) > 1:
        how = f"ran {len(runs)} times, {sum(run.seconds for run in runs):.1f} s in all"
    return f"{command} {how}: {', '.join(_counts(report))}."


def _counts(report: Report) -> list[str]:
    seen = [check for run in report.recordings for check in run.checks]
    checks = sum(check.count for check in seen if not check.retried)
    retried = sum(check.count for check in seen if check.retried)
    counts = [_counted(checks, "capability check")] if checks or not retried else []
    return counts + ([f"{_counted(retried, 'refused call')} retried"] if retried else [])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def how_it_ended(status: int) -> str:
    """An exit status in words, to follow the target's name."""
    return f"ended by signal {status - 128}" if status > 128 else f"exited with {status}"


def _table(needs: Sequence[Need], risks: Risks, columns: int) -> Iterator[str]:
    """A line for each need, and below it the evidence and what else is to be said."""
    rows = [
        (
            MARKS[need.verdict],
            need.cap.short,
            VERDICTS[need.verdict],
            risk_word(risks.get(need.cap)),
        )
        for need in needs
    ]
    head = ("", "capability", "status", "risk")
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    indent = " " * (2 + widths[0] + 1 + widths[1] + 2)
    yield _cells(head, widths) + "why"
    for need, row in zip(needs, rows, strict=True):
        line = _cells(row, widths) + need.reason
        yield from textwrap.wrap(line, columns, subsequent_indent=indent)
        for text in _remarks(need):
            yield from textwrap.wrap(
                *(text, columns),
                initial_indent=indent,
                subsequent_indent=f"{indent}  ",
                break_on_hyphens=False,
            )


def _cells(row: Sequence[str], widths: Sequence[int]) -> str:
    mark, *cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
    return f"  {mark} " + "  ".join(cells) + "  "


def _remarks(need: Need) -> Iterator[str]:
    strongest = max((item.effect for item in need.evidence), default=None)
    deciding = [item for item in need.evidence if item.effect == strongest]
    lines = list(dict.fromkeys(map(evidence_line, deciding)))
    if lines:
        yield lines[0] + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")
    yield from _alternatives(need)
    yield from occasions(need)
    yield from drops_privileges(need)
    if need.lost_without:
        yield f"without it: {without(need)}"
    if need.remediation:
        yield f"do this instead: {printable(need.remediation)}"
    if need.uncertain:
        yield f"uncertain: {printable(need.uncertain)}"


def _alternatives(need: Need) -> Iterator[str]:
    for other, passed in need.tried:
        yield f"alternative that {'passed' if passed else 'failed'}: {printable(other)}"
    if need.alternatives and not need.tried:
        others = " or ".join("+".join(cap.short for cap in caps) for caps in need.alternatives)
        yield f"alternative: {others}"


def occasions(need: Need) -> Iterator[str]:
    """The occasions on which it was used, if that was not always."""
    used, recordings = need.seen
    if need.only:
        yield f"used {need.only}"
    elif 0 < used < recordings:
        yield f"used in {used} of {recordings} recordings"


def drops_privileges(need: Need) -> Iterator[str]:
    """The remark on a program that restricts itself with the capability, and the consequence if no
    trial has shown it."""
    if need.self_restricting and need.lost_without:
        yield "used to drop privileges"
    elif need.self_restricting:
        yield "used to drop privileges: without it, the program may keep running privileged"


def evidence_line(judged: Judged) -> str:
    """``nginx[812] bind, tcp 0.0.0.0:80, at __inet_bind, 2×``; of a retried call, what it came to
    without the capability instead of the call site."""
    check = judged.check
    parts = [f"{printable(check.program) or '?'}[{check.pid}] {check.call}"]
    if check.detail:
        parts.append(printable(check.detail))
    parts.append(place_of(judged))
    return ", ".join(parts) + f", {check.count}×"


def place_of(judged: Judged) -> str:
    """``at __inet_bind``; of a retried call ``EACCES without it``."""
    check = judged.check
    if check.origin in ORIGINS:
        return ORIGINS[check.origin]
    if check.retried is None:
        return f"at {judged_function(judged)}"
    if check.retried is Retried.REFUSED:
        others = ", ".join(cap.short for cap in check.together)
        return f"{check.without} with it too" + (f", and with {others}" if others else "")
    others = "+".join(cap.short for cap in check.together)
    more = f", with {others}" if others and check.retried is not Retried.ASKED else ""
    return f"{printable(check.without)} without it{more}" if check.without else "by its arguments"


def judged_function(judged: Judged) -> str:
    """The kernel function that wanted to know."""
    inner = asker(judged.check.site)
    return printable(inner[0]) if inner else "an unknown call site"


def _rest(proposal: Proposal) -> Iterator[str]:
    """A line for each verdict on capabilities that were checked and are not needed."""
    for verdict, said in (
        (Verdict.OPTIONAL, "Optional, nothing was lost without it"),
        (Verdict.INCIDENTAL, "Checked, but not needed (incidental)"),
        (Verdict.DENIED, "Denied, no effect"),
    ):
        caps = [
            need.cap.short
            for need in proposal.needs
            if need.verdict is verdict and need.cap not in proposal.recommended
            if need.uncertain != WHILE_STOPPED
        ]
        if caps:
            yield f"{said}: {', '.join(caps)}"
    for doubt in doubts(proposal):
        yield f"Uncertain: {doubt}"


def doubts(proposal: Proposal) -> Iterator[str]:
    """Capabilities that may be needed in addition to the recommended set, and the reason."""
    doubtful = [
        need for need in proposal.needs if need.uncertain and need.cap not in proposal.recommended
    ]
    for reason in dict.fromkeys(need.uncertain or "" for need in doubtful):
        caps = [need.cap.short for need in doubtful if need.uncertain == reason]
        yield f"{', '.join(caps)}: {printable(reason)}"


def _next_steps(report: Report, saved: Path, as_root: str) -> Iterator[str]:
    name = shlex.quote(str(saved))
    yield f"Report: {printable(name)}"
    yield "Next:"
    run = report.recording
    if report.proven is None and run.succeeded and not (run.attached or report.was_stopped):
        yield f"  {printable(as_root)} prove {printable(name)}"
    yield f"  capadvise explain {printable(name)}"


def _apply(report: Report, file: str) -> str:
    files = [word for word in report.target.argv if word.startswith("--file=")]
    named = shlex.join([*(files or [f"--file={file}"]), "up", "-d", report.target.service or ""])
    engine = report.target.engine or "docker"
    return printable(f"  {engine} compose {named}  # it has this set now")


def _emit(report: Report, saved: Path, file: str | None) -> str:
    name, into = shlex.quote(str(saved)), ""
    if report.target.kind == "unit":
        return f"  capadvise emit {printable(name)} --drop-in"
    if file and report.target.service:
        into = f" --into {shlex.quote(file)} --service {shlex.quote(report.target.service)}"
    return f"  capadvise emit {printable(name)} --format {report.target.language}{printable(into)}"


DROP_ALL = "No capability is needed: drop all."


def no_need(report: Report) -> str:
    """The sentence for an empty set: only trials, or a whole recording, show that there is no
    need."""
    if report.proposal.minimal is not None:
        return DROP_ALL
    for run in report.recordings:
        if said := _left_open(run):
            return said
    if any(item.likely_optional for need in report.proposal.needs for item in need.evidence):
        return "Most likely no capability is needed; what is uncertain stands below."
    return DROP_ALL


def _left_open(run: Recording) -> str | None:
    """Why a run without needs does not say that there are none; None where it does."""
    if run.host.observer == "audit":
        return "The audit log shows no need for a capability; it records refusals only."
    if run.attached:
        return "No capability was needed while it was recorded."
    if run.lost.total:
        return "No need for a capability was seen, but events were dropped."
    if run.started_containers:
        return "The command itself needs no capability; what daemons ran for it was not recorded."
    if run.interrupted and run.still_running:
        return "No need for a capability was seen before it was stopped."
    if run.succeeded is False:
        return "No need for a capability was seen, but the run failed."
    if run.io_uring:
        return "No need for a capability was seen, but io_uring's workers were not observed."
    return None


_LONGEST = 100
"""Characters of a health check that are shown."""
_ACTS = {
    Act.CHECK: "health check",
    Act.EXEC: "a command",
    Act.RELOAD: "reload",
}


def tested_lines(report: Report) -> Iterator[str]:
    """``Tested: …`` and ``Not tested: …``; nothing for audit logs and for what was already running,
    whose cautions say it."""
    proven, workload = report.proven, report.workload
    if proven is not None and proven.minimal is not None and not proven.flaky:
        yield f"Tested in each trial: {_trial(workload)}."
        yield f"Not tested: {_not_tested(workload)}."
    elif report.recording.host.observer != "audit" and not report.recording.attached:
        runs = "one run" if len(report.recordings) == 1 else f"{len(report.recordings)} runs"
        later = "later starts, stops, reloads, and " if workload.kind == "daemon" else ""
        yield f"Recorded: {runs}. Not recorded: {later}whatever the program did not do meanwhile."


def _trial(workload: Workload) -> str:
    if workload.kind == "oneshot" and workload.steps in (None, TWO_RUNS):
        runs = "one run" if workload.steps is None else "two runs, on the same data"
        return f"{runs}, judged by " + (
            "its exit status" if workload.check is None else f"its health check{_check(workload)}"
        )
    if workload.steps is None:
        check = f"start, health check{_check(workload)}"
        return f"{check}, stop; then start and health check again on the data of the first start"
    rounds = [", ".join(["start", *(_ACTS[step.act] for step in one)]) for one in workload.rounds]
    stop = ", stop" if workload.kind == "daemon" else ""
    return "; then ".join(f"{steps}{stop}" for steps in rounds)


def _check(workload: Workload) -> str:
    if workload.check is None:
        return ""
    words = implicit_check(workload.check) or " ".join(workload.check.split())
    return f" ({printable(words if len(words) <= _LONGEST else words[: _LONGEST - 1] + '…')})"


def _not_tested(workload: Workload) -> str:
    if workload.kind == "oneshot":
        return "other arguments, input and files"
    acts = {step.act for one in workload.rounds for step in one}
    reload = "" if Act.RELOAD in acts else "reloads, and "
    return f"{reload}whatever the health check does not use"


_MOST = 8
_COMMON = (RefusedBy.MODE, RefusedBy.UNKNOWN)
"""Searching paths gives many of these; the others come first."""


def refusal_lines(report: Report, catalog: Catalog) -> Iterator[str]:
    """A line each for the most frequent, at 80 columns; nothing where nothing was refused."""
    counts: Counter[tuple[str, str, RefusedBy, str, str]] = Counter()
    for recording in report.recordings:
        for item in refusals(recording, catalog, report.posture.mac):
            key = (item.syscall, item.errno, item.by, item.program, item.evidence)
            counts[key] += item.count
    if not counts:
        return
    yield "Refused calls, and what refused them:"
    ranked = sorted(counts.items(), key=lambda pair: (pair[0][2] in _COMMON, -pair[1]))
    for (call, code, by, program, evidence), count in ranked[:_MOST]:
        head = f"  {by:10} {printable(f'{call} {code}, {program}')}, {count}×"
        text = f"{head}: {printable(evidence)}" if evidence else head
        yield from textwrap.wrap(text, 80, subsequent_indent=" " * 13, break_on_hyphens=False)
    if len(counts) > _MOST:
        yield f"  and {len(counts) - _MOST} more: see `refusals` in the report"


def fit_line(report: Report, catalog: Catalog) -> str | None:
    """One line, where it decides something."""
    fit = deciding_fit(report, catalog, report.proposal.recommended)
    return f"Fits a user namespace: {in_short(fit)}" if fit else None


def deciding_fit(
    report: Report, catalog: Catalog, caps: CapSet, places: Places | None = None
) -> Fit | None:
    """The fit of a set into a user namespace, if that decides something: one of the set is
    root-equivalent, and is not held in a user namespace already."""
    entries = [entry for cap in sorted(caps) if (entry := catalog.entry(cap))]
    tried = report.proven is not None and report.proven.user_namespace
    worst = any(entry.risk is Risk.ROOT for entry in entries)
    if not caps or not (worst or tried) or not can_move(report):
        return None
    return fit_of_report(report, catalog, caps, places)


def in_short(fit: Fit, *, names_only: bool = False) -> str:
    """``yes``, or what stands in the way."""
    if fit.fits:
        more = f", with the ids up to {fit.ids - 1} mapped" if fit.ids > USUAL_IDS else ""
        lost = f", without {listed([cap.short for cap, _ in fit.without])}" if fit.without else ""
        places = listed([printable(f"{place} ({kind})") for place, kind in fit.volumes])
        volumes = f", but not with the volume {places}" if fit.volumes else ""
        return f"yes{lost}{more}{volumes}"
    if fit.fits is False and not fit.outside:
        return "no: it fails there even with every capability"
    said = fit.outside if fit.fits is False else fit.open
    what = "; ".join(f"{cap.short}, {printable(why)}" for cap, why in said)
    if names_only:
        what = listed([cap.short for cap, _ in said])
    return f"no: {what}" if fit.fits is False else f"not known: {what}"
