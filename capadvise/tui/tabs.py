"""The tabs by name. Nothing here imports Textual: the first frame has them, too."""

from __future__ import annotations

TABS = {
    "live": "What is checked as it runs, and its terminal",
    "review": "What is needed, and why",
    "proof": "The trials",
    "risk": "What an attacker could do",
}
"""Name and explanation, in the order of their keys."""
LABELS = {name: f" {number} {name.capitalize()} " for number, name in enumerate(TABS, 1)}
"""As they stand at the top."""
