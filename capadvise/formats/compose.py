"""docker compose: ``cap_drop`` and ``cap_add`` of a service."""

from __future__ import annotations

from capadvise.formats.snippet import Snippet


def render(snippet: Snippet) -> str:
    """A compose file with the service and nothing but its capabilities."""
    lines = [f"services:\n  {snippet.name}:\n", snippet.comments("    ")]
    lines.append("    cap_drop:\n      - ALL\n")
    if snippet.caps:
        lines.append("    cap_add:\n")
        lines += [f"      - {cap.short} # {reason}\n" for cap, reason in snippet.caps]
    return "".join(lines)
