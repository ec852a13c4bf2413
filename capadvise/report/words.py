"""Words for verdicts, sets, trials and proofs (the JSON of a report has its own)."""

import shlex
from collections.abc import Iterator

from capadvise.judgement.conclusion import PASSED, Conclusion, PassedSet, Standing
from capadvise.judgement.decide import Need, Proof, Proposal, Verdict
from capadvise.judgement.differences import examples
from capadvise.judgement.hardening import Hardening
from capadvise.judgement.judge import Judged
from capadvise.judgement.proven import Proven, Trial
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet
from capadvise.model.companion import Companion, CompanionKind
from capadvise.model.escape import printable
from capadvise.model.wording import counted, set_text

VERDICTS = {verdict: verdict.replace("-", " ") for verdict in Verdict}
PROOFS = {
    Proof.TRIAL: "proven by trial",
    Proof.RETRY: "confirmed by retrying the call",
    Proof.CALL_SITE: "inferred, not tested",
    Proof.NONE: "not tested",
}


def without(need: Need) -> str:
    """The consequence without a capability; empty if it is not known. Trials show the consequence,
    rules name the loss."""
    lost = need.lost_without or ""
    said = next(
        (what for item in need.evidence if item.lost == lost and (what := loss_of(item))), ""
    )
    return said or printable(lost)


def loss_of(judged: Judged) -> str:
    """The same of one check."""
    if not judged.lost:
        return ""
    named = judged.rule is None or judged.rule.lost == judged.lost
    return printable(f"the program loses {judged.lost}" if named else judged.lost)


def doubts(proposal: Proposal, among: CapSet | None = None) -> Iterator[str]:
    """Capabilities that may be needed in addition to the recommended set, each with the call and
    the reason to believe that they are not; ``among``: no others than these."""
    names: dict[tuple[str, str], list[str]] = {}
    for one in proposal.doubts:
        if among is None or one.cap is None or one.cap in among:
            names.setdefault((one.about, one.why), []).append(one.name)
    for (about, why), caps in names.items():
        call = f" ({printable(about)})" if about else ""
        yield f"{', '.join(caps)}{call}: {printable(why)}"


def second_runs(report: Report) -> Iterator[str]:
    """The results of second runs, a sentence each."""
    for again in (run.second_run for run in report.recordings if run.second_run):
        others = again.refused - again.needed
        without = f"without {set_text(others)}" if others else "with this set"
        said = [f"something differed without {set_text(again.needed)}"] * bool(again.needed)
        if not again.settled:
            said = [f"something differed {without}, which no doubt explains"]
        elif others or not said:
            said.append(f"nothing differed {without}")
        compared = f" (compared: {', '.join(again.compared)})" if again.compared else ""
        yield f"Run again, isolated: {', '.join(said)}{printable(compared)}."


def passed_text(one: PassedSet) -> str:
    """A set that passed a trial, and what stood beside it."""
    caps = set_text(one.caps) if one.caps else "no capability,"
    return f"{caps} with {' and '.join(map(printable, one.beside))}"


def passed_sentence(one: PassedSet) -> str:
    """The same as a sentence. A change of program files comes first: it is made elsewhere."""
    if not any(Companion.parse(words).kind is CompanionKind.FILE_CAPS for words in one.beside):
        return f"Also passed: {passed_text(one)}."
    how = " and ".join(f"`{printable(words)}`" for words in one.beside)
    needs = set_text(one.caps) if one.caps else "no capability"
    return f"With {how} where the image or package is built, it needs {needs}: a trial passed."


DROP_ALL = "No capability is needed: drop all."


def no_need(conclusion: Conclusion) -> str:
    """The sentence for an empty set: trials, or a whole recording, show that there is no need."""
    if conclusion.standing in PASSED or conclusion.standing is Standing.RECORDED:
        return DROP_ALL
    if conclusion.standing is Standing.LIKELY:
        return f"Most likely no capability is needed: {printable(conclusion.doubt or '')}."
    return f"No need was seen, which shows little: {printable(conclusion.standing_words)}."


def proof_lines(proven: Proven) -> Iterator[str]:
    """The result of the trials, in one sentence or two."""
    trials = f"{counted(len(proven.trials), 'trial')}, isolation: {proven.isolation}"
    trials += ", in a user namespace" * proven.user_namespace
    if proven.flaky:
        yield f"Not proven: the same set passed and failed ({trials}): the workload is flaky."
    elif proven.minimal is None:
        yield f"Not proven: the workload fails even with every capability ({trials})."
    elif not proven.complete:
        everything = proven.minimal == proven.trials[0].caps
        best = "every capability" if everything else set_text(proven.minimal)
        yield f"Not proven: the search did not finish; it passed with {best} ({trials})."
    else:
        without = ", and fails without any one of its members" if proven.minimal else ""
        yield f"Proven: it works with the minimal set{without} ({trials})."
    yield from limits_of_proof(proven)


def limits_of_proof(proven: Proven) -> Iterator[str]:
    """The limits of the trials, and their other results."""
    if proven.flaky:
        for name, log in zip(("one", "the other"), proven.logs, strict=False):
            lines = [printable(line) for line in log.splitlines() if line.strip()][-3:]
            yield f"The log of {name} ends with: {' | '.join(lines) or 'nothing'}"
        return
    if proven.minimal is None and proven.isolation == "command":
        yield _ISOLATED
    if proven.minimal is not None and proven.complete:
        if proven.recommended_sound is False:
            yield "Caution: the recommended set as a whole did not pass."
        if proven.hardening is not None:
            yield from _hardening(proven.hardening)
    yield from (f"Caution: {printable(caution)}." for caution in proven.cautions)


_ISOLATED = (
    "In a trial, it reaches no network but its own loopback, and /run is empty: `capadvise prove "
    "--no-isolate` tries it in the real environment."
)


def _hardening(hardening: Hardening) -> Iterator[str]:
    if hardening.exposure is not None:
        before, after = map(printable, hardening.exposure)
        yield f"Exposure, as systemd-analyze security rates it: {before} → {after}."
    if hardening.lines:
        trials = counted(hardening.trials, "trial")
        yield f"Also proven, all together ({trials}): {', '.join(hardening.lines)}."
    for line, why in hardening.left_out:
        yield f"Without {printable(line)}: {printable(why)}."


def trial_name(trial: Trial, everything: CapSet) -> str:
    """The subject of a trial: ``without SETUID``, ``with everything``."""
    if trial.without is not None and trial.instead:
        what = f"{printable('+'.join(trial.instead))} in place of {trial.without.short}"
    elif trial.without is not None:
        what = f"without {trial.without.short}"
    elif trial.caps == everything:
        what = "with everything"
    else:
        many = len(trial.caps) > 6
        what = f"with {len(trial.caps)} of them" if many else f"with {set_text(trial.caps)}"
    if trial.without is None and trial.instead:
        what += f", {' and '.join(map(printable, trial.instead))}"
    return f"{what}, again" if trial.repeat else what


def trial_text(trial: Trial, everything: CapSet) -> str:
    """One trial, for those who watch: ``without SETUID: fails (0.4 s): exited with 1``."""
    result = "passes" if trial.passed else "fails"
    more = f": {examples(trial.differences)}" if trial.differences else ""
    return f"{trial_name(trial, everything)}: {result} ({trial.seconds:.1f} s){more}"[:160]


# ------------------------------------------------------------ what trials would run


def order_of(report: Report) -> tuple[str, ...]:
    """Lines with everything that a proof of the report executes, safe to print, none cut."""
    target, work = report.target, report.workload
    parts = (
        ("set-up", work.setup),
        ("command", shlex.join(target.argv)),
        ("folder", target.cwd),
        ("user", target.user),
        *((str(step.act), step.text) for step in work.steps or ()),
        ("check", work.check),
        ("tear-down", work.teardown),
    )
    return tuple(line for name, text in parts if text for line in _lines(name, text))


def _lines(name: str, text: str) -> Iterator[str]:
    first, *more = text.rstrip("\n").split("\n")
    yield f"{name + ':':10} {printable(first)}"
    for line in more:
        yield f"{'':10} {printable(line)}"
