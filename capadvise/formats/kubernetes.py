"""Kubernetes: the ``securityContext`` of a container."""

from __future__ import annotations

from capadvise.formats.snippet import Snippet


def render(snippet: Snippet) -> str:
    """A ``securityContext``. Upper case without prefix: Pod Security Admission compares exactly."""
    lines = [f"# containers: - name: {snippet.name}\n", snippet.comments()]
    lines.append("securityContext:\n  capabilities:\n    drop:\n      - ALL\n")
    if snippet.caps:
        lines.append("    add:\n")
        lines += [f"      - {cap.short} # {reason}\n" for cap, reason in snippet.caps]
    return "".join(lines)
