"""The pages of ``capadvise help``. ``python -m tests.generate`` makes some of them, of the catalog,
the parser and the report's schema.

For others: what is here, and ``terminal`` for a page as text.
"""

from pathlib import Path

from capadvise.model.errors import BadInput

FOLDER = Path(__file__).parents[2] / "docs"
_LINES = Path(__file__).with_name("topics.txt").read_text(encoding="utf-8").splitlines()
TOPICS = dict(line.split(": ", 1) for line in _LINES)
"""Name of a page → what it says."""


def page(topic: str) -> str:
    """A page, as Markdown. Raises BadInput for one that there is not."""
    if topic not in TOPICS:
        from capadvise.cli.parser.hints import nearest  # only errors need it

        near = nearest(topic, TOPICS)
        hint = f"did you mean capadvise help {near}?" if near else f"pages: {', '.join(TOPICS)}"
        raise BadInput(f"there is no page {topic!r}", hint=hint)
    return (FOLDER / f"{topic}.md").read_text(encoding="utf-8")
