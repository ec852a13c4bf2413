"""docker run: its flags, on one line that can be pasted."""

from __future__ import annotations

from capadvise.formats.snippet import Snippet


def render(snippet: Snippet) -> str:
    """The flags, with the reasons as comments before them."""
    reasons = "".join(f"# {cap.short}: {reason}\n" for cap, reason in snippet.caps)
    flags = ["--cap-drop=ALL", *(f"--cap-add={cap.short}" for cap, _ in snippet.caps)]
    return snippet.comments() + reasons + " ".join(flags) + "\n"
