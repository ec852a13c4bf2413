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
_RISKS = {"root": "root-equivalent"}


def risk_word(risk: object) -> str:
    """The word for a level of risk; None is one that nobody knows."""
    return "unknown" if risk is None else _RISKS.get(str(risk), str(risk))


def risk_of(risk: object) -> str:
    """The same, to stand by itself: ``high risk``, ``root-equivalent``."""
    word = risk_word(risk)
    return word if word in _RISKS.values() else f"{word} risk"
