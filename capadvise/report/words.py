"""The words that people read for the values of a report (its JSON keeps its own), and lines of at
most 80 columns for them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from capadvise.catalog.ways import LABELS, Edits
from capadvise.decide import Need, Proof, Verdict
from capadvise.judge import Judged
from capadvise.report.escape import printable

WIDTH = 80

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


def paragraph(text: str, indent: str = "  ") -> Iterator[str]:
    """A text, wrapped."""
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def bullet(text: str, indent: str = "  ", mark: str = "-") -> Iterator[str]:
    """A text behind a mark, wrapped."""
    yield from textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{indent}{mark} ",
        subsequent_indent=f"{indent}{' ' * len(mark)} ",
        break_on_hyphens=False,
    )


def edit_lines(edits: Edits, indent: str = "    ") -> Iterator[str]:
    """What to write, behind the place where it goes; never wrapped, so that it can be copied."""
    for place, text in edits:
        for number, line in enumerate(text.splitlines()):
            yield f"{indent}{LABELS[place] if number == 0 else '':12} {line}"


def listed(names: Sequence[str], word: str = "and") -> str:
    """``a, b and c``."""
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
