"""The report for people: what is needed and why, what is not, and what to do next."""

import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.catalog.capabilities import Risk
from capadvise.catalog.sites import asker
from capadvise.config.snippet_from import short_reason
from capadvise.judgement.conclusion import (
    PASSED,
    Conclusion,
    NextStep,
    cautions_beside,
    conclude_report,
    how_it_ended,
    not_tested,
)
from capadvise.judgement.decide import ONLY_UPGRADE, Need, Proposal, Verdict
from capadvise.judgement.flags import FlagTrial, default_seccomp, no_new_privs
from capadvise.judgement.judge import Judged
from capadvise.judgement.refusals import refusals
from capadvise.judgement.report import Report
from capadvise.judgement.risk import Risks, risk_word
from capadvise.judgement.user_namespace import USUAL_IDS, Fit
from capadvise.model.caps import CapSet
from capadvise.model.escape import printable
from capadvise.model.recording import Origin, Recording, RefusedBy, Retried
from capadvise.model.wording import counted, set_text
from capadvise.model.workload import TWO_RUNS, Act, Workload, implicit_check
from capadvise.report.compared import compared_in_short, compared_lines
from capadvise.report.fit import Places, can_move, fit_of_report
from capadvise.report.lamps import signs
from capadvise.report.lines import cut, listed
from capadvise.report.words import (
    VERDICTS,
    doubts,
    limits_of_proof,
    passed_sentence,
    proof_lines,
    second_runs,
    without,
)

ORIGINS = {
    Origin.SECCOMP: "answered by the seccomp filter",
    Origin.HOLDER: "inferred from the call",
    Origin.COPIED: "inferred from the call",
    Origin.AUDIT: "in an audit record",
    Origin.AUDIT_ERROR: "inferred from an audit record",
}
"""The evidence for a check that was not itself observed."""
MARKS = signs(Verdict, "sign")
NARROWEST, WIDEST = 60, 110
"""Columns: below, columns of a table cannot be distinguished; above, lines are hard to
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
    check_said: str | None = None,
) -> Iterator[str]:
    """The page that ``run`` prints, line by line: the answer, a line for each need, what limits it,
    what to do next. ``as_root``: how root calls capadvise here. ``columns``: of the terminal.
    ``file``: where the target is configured, if that is known. ``patched``: it has the answer
    already. ``verbose``: with the evidence, and with all that was seen and has no effect.
    ``check_said``: a sentence on the health check."""
    columns = min(max(columns, NARROWEST), WIDEST)
    conclusion = conclude_report(report, catalog)

    def wrapped(text: str) -> list[str]:
        return textwrap.wrap(text, columns, subsequent_indent="  ", break_on_hyphens=False)

    yield from wrapped(printable(conclusion.headline(called(report))))
    needs = [need for need in report.proposal.needs if need.cap in conclusion.caps]
    if needs:
        table = _table if verbose else _short_table
        yield from ("", *table(needs, conclusion.risks, columns))
    yield ""
    yield from wrapped(f"{_seen(report, conclusion.doubt)} {printable(check_said or '')}".rstrip())
    yield from (line for text in second_runs(report) for line in wrapped(text))
    more = _all_lines if verbose else _few_lines
    for text in more(report, catalog, conclusion):
        yield from wrapped(text)
    every = verbose or not conclusion.has_set  # what failed can have failed of any of them
    most = _MOST if verbose else _FEW
    if refused := list(refusal_lines(report, catalog, common=every, most=most)):
        yield from ("", *refused)
    if saved is not None:
        yield ""
        yield f"Report: {printable(shlex.quote(str(saved)))}"
        words = next_words(report, conclusion, saved, file=file, patched=patched)
        yield f"Next: {printable(as_typed(conclusion.next, words, as_root))}"


def called(report: Report) -> str:
    """The name of the target in sentences: a unit's whole name, else what was started."""
    target = report.target
    return target.unit if target.kind == "unit" else target.name


def as_typed(step: NextStep, words: Sequence[str], as_root: str) -> str:
    """A next step as a command line. ``as_root``: how root calls capadvise here."""
    if step.as_root and words[0] == "capadvise":
        return f"{as_root} {shlex.join(words[1:])}"
    return shlex.join(words)


def next_words(
    report: Report,
    conclusion: Conclusion,
    saved: Path,
    *,
    file: str | None = None,
    patched: bool = False,
) -> tuple[str, ...]:
    """The next step for this report's file; for the user's own ``file``, if that is known, and what
    starts it again, if it is ``patched``."""
    words, target = conclusion.next.of(str(saved)), report.target
    if words[:2] != ("capadvise", "emit") or file is None or not target.service:
        return words
    if patched:
        files = [word for word in target.argv if word.startswith("--file=")] or [f"--file={file}"]
        return (target.engine or "docker", "compose", *files, "up", "-d", target.service)
    options = words[words.index("--format") + 2 :]
    return (*words[:3], "--into", file, "--service", target.service, *options)


def _few_lines(report: Report, catalog: Catalog, conclusion: Conclusion) -> Iterator[str]:
    """Facts that could change the set or its use; ``-v`` adds the rest."""
    proven, minimal = report.proven, conclusion.minimal
    if minimal is not None and minimal != conclusion.caps and conclusion.standing in PASSED:
        yield f"Minimal set: {set_text(minimal)}: it passes, and loses what is said above."
    yield from _also_passed(conclusion)
    if proven is not None:
        yield from limits_of_proof(proven)
    yield from not_tested_line(report)
    yield from _flags_line(report, catalog, conclusion.caps)
    yield from filter(None, [fit_line(report, catalog)])
    index = catalog.known_index
    if conclusion.has_set and (known := compared_in_short(report, index, conclusion.caps)):
        yield f"{known}."
    yield from _rest(report.proposal, most=_FEW)
    beside = cautions_beside(conclusion, report)
    texts = [f"Caution: {printable(caution)}." for caution in beside]
    yield from texts[:_FEW]
    if len(texts) > _FEW:
        yield f"And {len(texts) - _FEW} more cautions: -v shows them."


_FEW = 3
"""Cautions that are shown without ``-v``."""


def _all_lines(report: Report, catalog: Catalog, conclusion: Conclusion) -> Iterator[str]:
    yield from _sets(report, conclusion)
    yield from _also_passed(conclusion)
    yield from proof_lines(report.proven) if report.proven is not None else ()
    yield from tested_lines(report)
    yield from _flags_line(report, catalog, conclusion.caps)
    yield from filter(None, [fit_line(report, catalog)])
    yield from compared_lines(report, catalog.known_index) if conclusion.has_set else ()
    yield from _rest(report.proposal)
    yield from (f"Caution: {printable(caution)}." for caution in report.proposal.cautions)


def _flags_line(report: Report, catalog: Catalog, caps: CapSet) -> Iterator[str]:
    """``Flags: …``: which flags that files write beside the set trials had."""
    if is_tried(report):
        flags = {
            "no_new_privs": no_new_privs(report, caps),
            "default seccomp profile": default_seccomp(report, caps, catalog),
        }
        said = [
            f"{name} {flag.tried.replace('-', ' ')}"
            + (f" ({flag.why})" if flag.tried is FlagTrial.LEFT_OUT else "")
            for name, flag in flags.items()
        ]
        yield f"Flags beside the set: {printable('; '.join(said))}."


def _also_passed(conclusion: Conclusion) -> Iterator[str]:
    yield from map(passed_sentence, conclusion.also_passed[:2])
    if (opening := conclusion.opening) is not None:
        doubt = f" It was {opening.doubt}." if opening.doubt and not conclusion.beside else ""
        yield opening.sentence + doubt


def _sets(report: Report, conclusion: Conclusion) -> Iterator[str]:
    caps, minimal = conclusion.recommended, conclusion.minimal
    title = "Recommended set, also the minimal set" if minimal == caps else "Recommended set"
    if conclusion.has_set:
        yield f"{title}: {set_text(caps)}"
    if minimal is not None and minimal != caps:
        yield f"Minimal set: {set_text(minimal)}"


def _seen(report: Report, doubt: str | None) -> str:
    """``nginx -g 'daemon off;' exited with 0 after 1.2 s: 356 capability checks.`` Not how it
    ended, if the headline's ``doubt`` says it."""
    recording, runs = report.recording, report.recordings
    command = printable(shlex.join(report.target.argv))
    if len(command) > 60:
        command = f"{command[:57]}…"
    if report.target.kind == "container":
        command = f"{printable(report.target.name)} ({command})"
    elif report.target.kind == "unit":
        command = printable(report.target.unit)
    if recording.host.observer == "audit":
        refused = sum(item.count for run in runs for item in run.refused_calls)
        return (
            f"{command}: {counted(refused, 'refusal')} in {recording.seconds:.1f} s of audit log."
        )
    how = _how(runs, doubt, watched=bool(recording.attached or report.target.pod))
    return f"{command} {how}: {', '.join(_counts(report))}."


def _how(runs: Sequence[Recording], doubt: str | None, *, watched: bool) -> str:
    """``exited with 0 after 1.2 s``, ``ran for 1.2 s``; ``watched``: it ran anyway."""
    seconds = f"{sum(run.seconds for run in runs):.1f} s"
    # of a target that was stopped, the exit status says only that it was
    ended = [run for run in runs if not (watched or run.still_running)]
    hows = dict.fromkeys(how_it_ended(run.exit_status) for run in ended)
    ends = " and ".join(how for how in hows if how not in (doubt or ""))
    if len(runs) > 1:
        return f"was recorded {len(runs)} times ({seconds}){', ' * bool(ends)}{ends}"
    if ends:
        return f"{ends} after {seconds}"
    return f"{'was recorded' if watched else 'ran'} for {seconds}"


def _counts(report: Report) -> list[str]:
    seen = [check for run in report.recordings for check in run.checks]
    checks = sum(check.count for check in seen if not check.retried)
    retried = sum(check.count for check in seen if check.retried)
    counts = [counted(checks, "capability check")] if checks or not retried else []
    return counts + ([f"{counted(retried, 'refused call')} retried"] if retried else [])


def _short_table(needs: Sequence[Need], risks: Risks, columns: int) -> Iterator[str]:
    """A line for each need: what it is, and the reason in a clause. A remark has two lines at
    most."""
    rows = _rows(needs, risks)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for need, row in zip(needs, rows, strict=True):
        head = _cells(row, widths)
        yield cut(head + short_reason(need), columns)
        indent = " " * len(head)
        for text in _short_remarks(need):
            yield from textwrap.wrap(
                *(text, columns),
                initial_indent=indent,
                subsequent_indent=f"{indent}  ",
                max_lines=2,
                placeholder=" …",
            )


def _short_remarks(need: Need) -> Iterator[str]:
    if need.verdict is not Verdict.REQUIRED and (need.lost_without or need.self_restricting):
        yield f"without it: {without(need)}" if need.lost_without else "used to drop privileges"
    if need.verdict is Verdict.REQUIRED and need.only == ONLY_UPGRADE:
        yield f"needed {need.only}"
    if need.uncertain:
        yield f"uncertain: {printable(need.uncertain)}"
    for other, passed in need.tried:
        if passed and "=" not in other:
            yield f"alternative that passed: {printable(other)}"


def _table(needs: Sequence[Need], risks: Risks, columns: int) -> Iterator[str]:
    """A line for each need, and below it the evidence and what else is to be said."""
    rows = _rows(needs, risks)
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


def _rows(needs: Sequence[Need], risks: Risks) -> list[tuple[str, ...]]:
    return [
        (
            MARKS[need.verdict],
            need.cap.short,
            VERDICTS[need.verdict],
            risk_word(risks.get(need.cap)),
        )
        for need in needs
    ]


def _cells(row: Sequence[str], widths: Sequence[int]) -> str:
    mark, *cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
    return f"  {mark} " + "  ".join(cells) + "  "


def _remarks(need: Need) -> Iterator[str]:
    strongest = max((item.effect for item in need.evidence), default=None)
    deciding = [item for item in need.evidence if item.effect == strongest]
    lines = list(dict.fromkeys(map(evidence_line, deciding)))
    if lines:
        yield lines[0] + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")
    for other, passed in need.tried:
        yield f"alternative that {'passed' if passed else 'failed'}: {printable(other)}"
    if need.alternatives and not need.tried:
        others = " or ".join("+".join(cap.short for cap in caps) for caps in need.alternatives)
        yield f"alternative: {others}"
    yield from occasions(need)
    yield from drops_privileges(need)
    if need.lost_without:
        yield f"without it: {without(need)}"
    if need.remediation:
        yield f"do this instead: {printable(need.remediation)}"
    if need.uncertain:
        yield f"uncertain: {printable(need.uncertain)}"


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
    """``nginx[812] bind, tcp 0.0.0.0:80, at __inet_bind, 2×``; for a retried call, its result
    without the capability instead of the call site."""
    check = judged.check
    by = f"{printable(check.program) or '?'}[{check.pid}]"
    return f"{by} {call_line(judged)}, {check.count}×"


def call_line(judged: Judged) -> str:
    """``bind, tcp 0.0.0.0:80, at __inet_bind``."""
    detail = printable(judged.check.detail or "")
    return ", ".join(filter(None, (judged.check.call, detail, place_of(judged))))


def place_of(judged: Judged) -> str:
    """``at __inet_bind``, or ``EACCES without it`` for a retried call."""
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


def _rest(proposal: Proposal, most: int | None = None) -> Iterator[str]:
    """Lines for what may be needed, ``most`` at most, and a line for each verdict on capabilities
    that were checked and are not needed."""
    lines = list(doubts(proposal))
    yield from (f"May be needed: {doubt}" for doubt in lines[:most])
    if len(lines) > len(lines[:most]):
        yield f"And {len(lines[most:])} more that may be needed: -v shows them."
    doubtful = {doubt.cap for doubt in proposal.doubts}
    for verdict, said in (
        (Verdict.OPTIONAL, "Optional, nothing that was compared was lost without it"),
        (Verdict.INCIDENTAL, "Checked, but not needed (incidental)"),
        (Verdict.DENIED, "Denied, no effect"),
    ):
        caps = [
            need.cap.short
            for need in proposal.needs
            if need.verdict is verdict and need.cap not in proposal.recommended | doubtful
        ]
        if caps:
            yield f"{said}: {', '.join(caps)}"


_LONGEST = 100
"""Characters of a health check that are shown."""
_ACTS = {Act.CHECK: "health check", Act.EXEC: "a command", Act.RELOAD: "reload"}


def tested_lines(report: Report) -> Iterator[str]:
    """``Tested: …`` and ``Not tested: …``; nothing for audit logs and for what was already running,
    whose cautions say it."""
    if is_tried(report):
        yield f"Tested in each trial: {_trial(report.workload)}."
    if report.proven is not None and report.proven.compared:
        yield f"Compared: {'; '.join(map(printable, report.proven.compared))}."
    yield from not_tested_line(report)


def is_tried(report: Report) -> bool:
    """True if trials have shown a set that works."""
    proven = report.proven
    return proven is not None and proven.minimal is not None and not proven.flaky


def not_tested_line(report: Report) -> Iterator[str]:
    """The parts that no run and no trial exercised; nothing where a caution says it."""
    if parts := not_tested(report):
        head = "Not tested" if is_tried(report) else "Not recorded"
        yield f"{head}: {', '.join(parts[:-1])}{', and ' * (len(parts) > 1)}{parts[-1]}."


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


_MOST = 8
_COMMON = (RefusedBy.MODE, RefusedBy.UNKNOWN)
"""Searching paths gives many of these; the others come first."""


def refusal_lines(
    report: Report, catalog: Catalog, *, common: bool = True, most: int = _MOST
) -> Iterator[str]:
    """A line each for the most frequent, at 80 columns; nothing where nothing was refused. Not
    ``common``: without those of owner and mode, which any search for a file meets."""
    counts: Counter[tuple[str, str, RefusedBy, str, str]] = Counter()
    for recording in report.recordings:
        for item in refusals(recording, catalog, report.posture.mac):
            key = (item.syscall, item.errno, item.by, item.program, item.evidence)
            counts[key] += item.count
    if not common:
        counts = Counter({key: n for key, n in counts.items() if key[2] not in _COMMON})
    if not counts:
        return
    yield "Refused calls, and what refused them:"
    ranked = sorted(counts.items(), key=lambda pair: (pair[0][2] in _COMMON, -pair[1]))
    for (call, code, by, program, evidence), count in ranked[:most]:
        head = f"  {by:10} {printable(f'{call} {code}, {program}')}, {count}×"
        text = f"{head}: {printable(evidence)}" if evidence else head
        yield from textwrap.wrap(text, 80, subsequent_indent=" " * 13, break_on_hyphens=False)
    if len(counts) > most:
        shown = "-v shows them, and " if most < _MOST else ""
        yield f"  and {len(counts) - most} more: {shown}`refusals` in the report"


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
