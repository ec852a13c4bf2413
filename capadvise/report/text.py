"""The report for people: what is needed and why, what is not, and what to do next."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

from capadvise.caps import CapSet
from capadvise.catalog import Catalog
from capadvise.catalog.sites import asker
from capadvise.decide import Need, Proposal, Verdict
from capadvise.judge import Judged
from capadvise.proven import Proven, Trial
from capadvise.recording import Origin, Retried
from capadvise.report.escape import printable
from capadvise.report.model import Report
from capadvise.report.refusals import refusal_lines

ORIGINS = {
    Origin.SECCOMP: "answered by the seccomp filter",
    Origin.HOLDER: "concluded from the call",
    Origin.AUDIT: "in an audit record",
    Origin.AUDIT_ERROR: "concluded from an audit record",
}
"""What tells of a check that the kernel was not seen making."""
MARKS = {
    Verdict.REQUIRED: "●",
    Verdict.USED: "●",
    Verdict.TOLERATED: "◐",
    Verdict.ADVISORY: "○",
    Verdict.DENIED: "×",
    Verdict.UNUSED: "·",
}


def proposal_text(
    report: Report, catalog: Catalog, saved: Path | None, *, as_root: str = "sudo capadvise"
) -> Iterator[str]:
    """The page that ``run`` prints, line by line. ``as_root``: how root calls capadvise here."""
    proposal = report.proposal
    yield _headline(report)
    yield ""
    needed = [need for need in proposal.needs if need.cap in proposal.recommended]
    width = max((len(need.cap.short) for need in needed), default=0)
    for need in needed:
        yield from _need_lines(need, catalog, width)
    if not needed:
        yield f"  No need for any capability was seen{what_of_it(report)}"
    yield ""
    for text in (
        f"Recommended: {set_text(proposal.recommended)}",
        *(proof_lines(report.proven) if report.proven is not None else ()),
        *_rest(proposal),
        *(f"Caution: {printable(caution)}." for caution in proposal.cautions),
    ):
        yield from textwrap.wrap(text, 80, subsequent_indent="  ", break_on_hyphens=False)
    if refused := list(refusal_lines(report.recordings)):
        yield from ("", *refused)
    yield ""
    yield from _next_steps(report, saved, as_root)


def _headline(report: Report) -> str:
    recording, runs = report.recording, report.recordings
    command = printable(shlex.join(report.target.argv))
    if len(command) > 60:
        command = f"{command[:57]}…"
    if report.target.kind == "container":
        command = f"{printable(report.target.name)} ({command})"
    asked = sum(check.count for run in runs for check in run.checks if not check.retried)
    retried = sum(check.count for run in runs for check in run.checks if check.retried)
    counts = [f"the kernel asked {asked} times"] if asked or not retried else []
    counts += [f"{retried} refused calls were made again"] if retried else []
    status = recording.exit_status
    ended = "was lost" if status is None else how_it_ended(status)
    how = f"{ended} after {recording.seconds:.1f} s"
    if recording.attached:
        how = f"was watched for {recording.seconds:.1f} s"
    if recording.host.observer == "audit":
        refused = sum(item.count for run in runs for item in run.refusals)
        return f"{command}, in audit records of {recording.seconds:.1f} s: {refused} refusals."
    if len(runs) > 1:
        how = f"ran {len(runs)} times, {sum(run.seconds for run in runs):.1f} s in all"
    return f"{command} {how}; {', '.join(counts)}."


def what_of_it(report: Report) -> str:
    """What follows where no need was seen, to end the sentence."""
    if any(run.host.observer == "audit" for run in report.recordings):
        return " in the audit records, which tell of refusals alone."
    if any(run.attached for run in report.recordings):
        return " while it was watched."
    if any(run.lost.signal for run in report.recordings):
        return ", but events were lost."
    ended_well = all(run.succeeded is not False for run in report.recordings)
    return ": drop them all." if ended_well else ", but the run did not end well."


def how_it_ended(status: int) -> str:
    """An exit status in words, to follow the target's name."""
    return f"ended by signal {status - 128}" if status > 128 else f"ended with {status}"


def _need_lines(need: Need, catalog: Catalog, width: int) -> Iterator[str]:
    """One capability: a line, its evidence, and what else there is to say; 80 columns wide."""
    indent = " " * (width + 6)
    head = f"  {MARKS[need.verdict]} {need.cap.short:{width}}  {need.verdict!s:9}"
    risk = f"risk {catalog.risk(need.cap) or 'unknown'}"
    yield from textwrap.wrap(f"{head}  {risk:11}  {need.reason}", 80, subsequent_indent=indent)
    for text in _remarks(need):
        yield from textwrap.wrap(
            text, 80, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False
        )


def _remarks(need: Need) -> Iterator[str]:
    strongest = max((item.effect for item in need.evidence), default=None)
    deciding = [item for item in need.evidence if item.effect == strongest]
    lines = list(dict.fromkeys(map(evidence_line, deciding)))
    if lines:
        yield lines[0] + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")
    if need.alternatives:
        others = " or ".join("+".join(cap.short for cap in caps) for caps in need.alternatives)
        yield f"instead of it, {others} would do"
    if need.self_restricting:
        yield "used to give up rights: without it, the program may go on with more"
    if need.lost_without:
        yield f"without it: {printable(need.lost_without)}"
    if need.remediation:
        yield f"instead: {printable(need.remediation)}"
    if need.uncertain:
        yield f"uncertain: {need.uncertain}"


def evidence_line(judged: Judged) -> str:
    """``nginx[812] bind, tcp 0.0.0.0:80, at __inet_bind, 2×``; of a retried call, what it came to
    without the capability instead of the call site."""
    check = judged.check
    parts = [f"{printable(check.program) or '?'}[{check.pid}] {check.syscall or 'page fault'}"]
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
        return f"{check.without} with it, too" + (f", and with {others}" if others else "")
    others = "+".join(cap.short for cap in check.together)
    more = f", with {others}" if others and check.retried is not Retried.ASKED else ""
    return f"{printable(check.without)} without it{more}" if check.without else "by its arguments"


def judged_function(judged: Judged) -> str:
    """The kernel function that wanted to know."""
    inner = asker(judged.check.site)
    return printable(inner[0]) if inner else "an unknown place"


def set_text(caps: CapSet) -> str:
    """``CHOWN, SETUID``, or ``nothing``."""
    return ", ".join(cap.short for cap in sorted(caps)) or "nothing"


def proof_lines(proven: Proven) -> Iterator[str]:
    """What the trials say, in one sentence or two."""
    count = len(proven.trials)
    trials = f"{count} trial{'s' * (count != 1)}, isolation: {proven.isolation}"
    if proven.flaky:
        yield f"Not proven: the same set passed and failed ({trials}): the workload is flaky."
    elif proven.floor is None:
        yield f"Not proven: it does not pass even with everything ({trials})."
    elif not proven.complete:
        few = len(proven.floor) <= 12
        best = set_text(proven.floor) if few else "everything so far"
        yield f"Not proven: the search was not finished; it passed with {best} ({trials})."
    else:
        yield f"Floor:       {set_text(proven.floor)}"
        without = ", and fails without any one of them" if proven.floor else ""
        yield f"Proven: it works with the floor{without} ({trials})."
        if proven.recommended_sound is False:
            yield "Caution: the recommended set as a whole did not pass."


def trial_name(trial: Trial, everything: CapSet) -> str:
    """What a trial was about: ``without SETUID``, ``with everything``."""
    if trial.without is not None:
        what = f"without {trial.without.short}"
    elif trial.caps == everything:
        what = "with everything"
    else:
        many = len(trial.caps) > 6
        what = f"with {len(trial.caps)} of them" if many else f"with {set_text(trial.caps)}"
    return f"{what}, again" if trial.repeat else what


def trial_text(trial: Trial, everything: CapSet) -> str:
    """One trial, for those who watch: ``without SETUID: fails (0.4 s): exited with 1``."""
    result = "passes" if trial.passed else "fails"
    more = f": {'; '.join(trial.differences)}" if trial.differences else ""
    return f"{trial_name(trial, everything)}: {result} ({trial.seconds:.1f} s){more}"[:160]


def _rest(proposal: Proposal) -> Iterator[str]:
    """What was asked for, but is not needed: one line for each verdict."""
    for verdict, said in (
        (Verdict.TOLERATED, "Used, but passes without and loses nothing that was seen"),
        (Verdict.ADVISORY, "Asked in passing, not needed"),
        (Verdict.DENIED, "Refused, after the program had given it up or without harm"),
    ):
        caps = [
            need.cap.short
            for need in proposal.needs
            if need.verdict is verdict and need.cap not in proposal.recommended
        ]
        if caps:
            yield f"{said}: {', '.join(caps)}"
    doubtful = [
        need for need in proposal.needs if need.uncertain and need.cap not in proposal.recommended
    ]
    for reason in dict.fromkeys(need.uncertain for need in doubtful):
        caps = [need.cap.short for need in doubtful if need.uncertain == reason]
        yield f"Uncertain: {', '.join(caps)}: {reason}"


def _next_steps(report: Report, saved: Path | None, as_root: str) -> Iterator[str]:
    if saved is None:
        return
    name = shlex.quote(str(saved))
    yield f"Report: {printable(name)}"
    yield "Next:"
    if report.proven is None and report.recording.succeeded and not report.recording.attached:
        yield f"  {printable(as_root)} prove {printable(name)}"
    yield f"  capadvise explain {printable(name)}"
    yield f"  capadvise emit {printable(name)} --format compose"
