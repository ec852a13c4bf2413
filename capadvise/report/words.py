"""The words that people read for the values of a report (its JSON keeps its own)."""

from __future__ import annotations

from capadvise.decide import Proof, Verdict

VERDICTS = {
    Verdict.REQUIRED: "required",
    Verdict.USED: "needed",
    Verdict.TOLERATED: "optional",
    Verdict.ADVISORY: "incidental",
    Verdict.DENIED: "denied",
    Verdict.UNUSED: "not checked",
}
PROOFS = {
    Proof.TRIAL: "proven by trial",
    Proof.RETRY: "confirmed by retrying the call",
    Proof.CALL_SITE: "inferred, not tested",
    Proof.NONE: "not tested",
}
