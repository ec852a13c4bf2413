"""What the command palette offers: every action, by area."""

from __future__ import annotations

COMMANDS = (
    ("set: keep or drop", "keep", "The highlighted capability"),
    ("set: take back changes", "reset", "As the report has it"),
    ("set: recommended or floor", "base", "Start from the other set"),
    ("view: why, evidence or snippet", "view", "The next pane"),
    ("view: never asked", "fold", "Show or hide what was never asked for"),
    ("view: search", "search", "Find a capability"),
    ("go: live", "go('live')", "What was seen as it ran, and the output"),
    ("go: review", "go('review')", "What is needed, and why"),
    ("go: proof", "go('proof')", "The trials"),
    ("go: risk", "go('risk')", "What remains"),
    ("proof: start", "prove", "Run it with less, again and again"),
    ("proof: try my set", "try", "One trial of the chosen set"),
    ("proof: stop", "stop", "End the trials, keep the best set"),
    ("save: into a file", "save", "A new file, or a change in one of yours; shown first"),
    ("save: copy", "copy", "The snippet to the clipboard"),
)
"""Name, action and explanation, for the palette of the review."""
LIVE_COMMANDS = (
    ("go: review", "review", "What is needed, and why"),
    ("target: type into it", "type", "Give it the keyboard; ctrl+] takes it back"),
    ("target: stop", "stop", "SIGTERM, and SIGKILL for what does not heed it"),
    ("view: pause", "pause", "Stop or go on drawing; the recording goes on"),
    ("view: asked in passing", "fold", "Show or hide what was asked in passing"),
)
"""The same, for the live screen."""
