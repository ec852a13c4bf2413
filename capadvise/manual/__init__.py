"""The pages of ``capadvise help``, and what some of them are made of: the catalog, the parser and
the report's schema. ``python -m capadvise.manual`` makes those again."""

from __future__ import annotations

from pathlib import Path

from capadvise.errors import BadInput

FOLDER = Path(__file__).parents[1] / "docs"
TOPICS = {
    "start": "by task: what to type, what comes out, where to read on",
    "installing": "with pipx, uv, from a checkout; how sudo finds it; whether it works here",
    "judgement": "how it decides: every verdict, every meaning, every proof",
    "traps": "what is easily got wrong, and how we know",
    "trials": "the proof: what a trial is, and what it is kept apart from",
    "gate": "the gate in CI: what check finds, refuses, and how a finding is accepted",
    "workloads": "writing a workload file",
    "containers": "docker, podman and compose: run, attach, inspect, and what to write",
    "retries": "refused calls made again, as root and as an ordinary user",
    "refusals": "who refused: capability, seccomp, a security module …; audit logs",
    "contributing": "the map, where to add what, and the way of one check",
    "capabilities": "every capability: what it permits, what an attacker gains, what else to do",
    "sites": "every site rule: what it means when a function of the kernel asks",
    "command-line": "every command and option",
    "report": "every key of a report",
    "changelog": "what changed from version to version",
}
"""Name of a page → what it says."""


def page(topic: str) -> str:
    """A page, as Markdown. Raises BadInput for one that there is not."""
    if topic not in TOPICS:
        raise BadInput(f"there is no page {topic!r}", hint=f"pages: {', '.join(TOPICS)}")
    return (FOLDER / f"{topic}.md").read_text(encoding="utf-8")
