"""The pages of ``capadvise help``. ``python -m tests.generate`` makes some of them, of the catalog,
the parser and the report's schema.

For others: what is here, and ``terminal`` for a page as text.
"""

from __future__ import annotations

from pathlib import Path

from capadvise.model.errors import BadInput

FOLDER = Path(__file__).parents[2] / "docs"
TOPICS = {
    "start": "by task: what to type, what you get, where to read more",
    "installing": "with pipx, uv or from a checkout; how sudo finds it; how to test it",
    "judgement": "how it decides: every verdict, every meaning, every proof",
    "traps": "common mistakes: checked is not needed, and needed is not always checked",
    "trials": "the proof: what a trial is, and what it is isolated from",
    "gate": "the gate in CI: what check finds and refuses, and how to accept a finding",
    "workloads": "the format of a workload file",
    "containers": "docker, podman and compose: run, attach, inspect, and what to write into files",
    "units": "systemd units: recorded at a restart, proven by others, left as they were",
    "kubernetes": "pods, watched on the node where they run: names, starts, what is partial",
    "user-namespaces": "what fits a user namespace, why, and what to write for it",
    "retries": "--retry: refused calls are made again, as root or as an ordinary user",
    "refusals": "what refused a call: capability, seccomp, a security module …; audit logs",
    "debugging": "a hardened service fails: whose call was refused, by what, and the cure",
    "comparison": "what other tools do, and what they do better",
    "cost": "what observing, proving and the screens cost, beside other tools",
    "contributing": "the map, where to add what, and the path of one check",
    "capabilities": "every capability: what it permits, what an attacker gains, what to do instead",
    "known": "well-known programs, each with the set that was proven for it",
    "sites": "every site rule: what a check in a kernel function means",
    "command-line": "every command and option",
    "report": "every key of a report",
    "changelog": "what changed from version to version",
}
"""Name of a page → what it says."""


def page(topic: str) -> str:
    """A page, as Markdown. Raises BadInput for one that there is not."""
    if topic not in TOPICS:
        from capadvise.cli.parser.hints import nearest  # only errors need it

        near = nearest(topic, TOPICS)
        hint = f"did you mean capadvise help {near}?" if near else f"pages: {', '.join(TOPICS)}"
        raise BadInput(f"there is no page {topic!r}", hint=hint)
    return (FOLDER / f"{topic}.md").read_text(encoding="utf-8")
