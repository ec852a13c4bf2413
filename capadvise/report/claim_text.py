"""What the labels of an image say that it needs, for people: ``capadvise known image:NAME``."""

from __future__ import annotations

from collections.abc import Iterator

from capadvise.image_labels import CLAIMED, Claim
from capadvise.report.escape import printable
from capadvise.report.explain_words import bullet, paragraph, sentence
from capadvise.report.proof_text import set_text


def claim_text(name: str, claim: Claim) -> Iterator[str]:
    """All that they say. ``name``: as it was asked for."""
    yield f"{printable(name)}, by its labels"
    for title, caps in (("minimal set", claim.floor), ("recommended set", claim.recommended)):
        if caps is not None:
            yield from bullet(f"{title}: {set_text(caps)}")
    for title, text in (
        ("user", claim.user),
        ("as known for", claim.variant),
        ("report", claim.report),
        ("capadvise", claim.version),
    ):
        if text:
            yield from bullet(f"{title}: {printable(text)}")
    for problem in claim.problems:
        yield from bullet(printable(problem))
    yield ""
    yield from paragraph(f"{sentence(CLAIMED)} To prove it: capadvise run --prove -- docker run …")
