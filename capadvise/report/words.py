"""The words that people read for the values of a report (its JSON keeps its own)."""

from __future__ import annotations

from capadvise.judgement.decide import Need, Proof, Verdict
from capadvise.judgement.judge import Judged
from capadvise.model.escape import printable

VERDICTS = {
    Verdict.REQUIRED: "required",
    Verdict.NEEDED: "needed",
    Verdict.OPTIONAL: "optional",
    Verdict.INCIDENTAL: "incidental",
    Verdict.DENIED: "denied",
    Verdict.NOT_CHECKED: "not checked",
}
PROOFS = {
    Proof.TRIAL: "proven by trial",
    Proof.RETRY: "confirmed by retrying the call",
    Proof.CALL_SITE: "inferred, not tested",
    Proof.NONE: "not tested",
}


def without(need: Need) -> str:
    """What happens without a capability; empty where that is not known. Trials say what happens,
    rules name what is lost."""
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
