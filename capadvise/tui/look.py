"""Signs, words and colours that all tabs share."""

import signal

from textual.content import Content

from capadvise.judgement.decide import Verdict
from capadvise.judgement.risk import risk_word
from capadvise.model.escape import printable
from capadvise.report.lamps import Light, Score, signs
from capadvise.tui.choice import Decision
from capadvise.tui.rows import standing_sign

VERDICT_STYLES = signs(Verdict, "style")
RISK_STYLES = {
    "low": "$text-success",
    "medium": "",
    "high": "$text-warning",
    "root-equivalent": "bold $text-error",
    "none": "bold $text-success",
}
DECISION_MARKS = {
    Decision.KEPT: ("✓", "$text-success"),
    Decision.ADDED: ("+", "bold $text-warning"),
    Decision.DROPPED: ("−", "bold $text-error"),
    Decision.OUT: (" ", ""),
}
LIGHT_STYLES = signs(Light, "style")
_STANDING_STYLES = {True: "bold $text-success", False: "bold $text-error", None: "$text-warning"}

_BY_STOPPING = frozenset(128 + number for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM))


def ended_well(status: int | None) -> bool:
    """True if a program that was asked to stop exits like this."""
    return status is None or status == 0 or status in _BY_STOPPING


def end_text(status: int | None, *, good: bool = False) -> Content:
    """How a program ended by itself. ``good``: nothing puts the run in doubt."""
    sign, style, text = "✗ ", "bold $text-error", f"exited with {status}"
    if status is None:
        text = "lost"
    elif status == 0:
        sign, style = ("✓ ", "bold $text-success") if good else ("■ ", "bold")
    elif status - 128 in set(signal.Signals):
        text = f"crashed ({signal.Signals(status - 128).name})"
    return Content.assemble((sign, style), text)


def risk_text(risk: object) -> Content:
    """The word for a risk, in its colour."""
    return worded_risk(risk_word(risk))


def worded_risk(word: str) -> Content:
    """The same for a risk that is a word already."""
    return Content.styled(word, RISK_STYLES.get(word, ""))


def status_text(score: Score, *, brief: bool = False) -> Content:
    """How far a set can be trusted, in its colour."""
    style = _STANDING_STYLES[score.good] if score.before else "dim"
    text = printable(score.brief if brief else score.status)
    return Content.styled(f"{standing_sign(score)}{text}", style)


def score_text(score: Score, *, brief: bool = False) -> Content:
    """``14 → 4 · high → medium · proven, 8 trials``."""
    status = status_text(score, brief=brief)
    return Content(" · ").join([numbers_text(score), risks_text(score), status])


def numbers_text(score: Score) -> Content:
    """``14 → 4``."""
    return Content.styled(score.numbers, "bold")


def risks_text(score: Score) -> Content:
    """``high → medium``. A low risk is good where it is proven."""
    after = worded_risk(score.after)
    if not score.good and score.after in ("none", "low"):
        after = Content(score.after)
    return Content.assemble(worded_risk(score.before), " → ", after) if score.before else after


def diff_text(diff: str) -> Content:
    """A diff, with removed and added lines in colour."""
    styles = {"+": "$text-success", "-": "$text-error", "@": "$text-primary"}
    lines = []
    for number, line in enumerate(diff.splitlines()):
        style = "dim" if number < 2 else styles.get(line[:1], "")
        lines.append(Content.styled(printable(line), style))
    return Content("\n").join(lines)


def clock(seconds: float) -> str:
    """``7.3 s``, ``2:05``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
