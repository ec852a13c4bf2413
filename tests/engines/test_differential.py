"""No file in any spelling passes the gate with more than its real consumer grants.

The long form, with 10,000 examples for each consumer: ``python -m tests.differential``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.__main__ import run
from tests.differential.judging import Counts, consumers, judge, leftovers, make_root
from tests.support.required import tool

EXAMPLES = 200
NAMES = (
    *("kubectl", "docker compose", "systemd", "quadlet", "compose's volumes", "quadlet's mounts"),
    *("quadlet's keys", "systemd's files", "custom resources", "runc"),
)


@pytest.mark.parametrize("name", NAMES)
def test_no_spelling_hides_a_grant(name: str, tmp_path: Path) -> None:
    made = consumers(make_root(tmp_path / "root"))
    assert tuple(made) == NAMES
    for needed in made[name].tools:
        tool(needed)
    counts = run(made[name], EXAMPLES)
    assert counts.fooled == []
    assert counts.seen["passed"] > 0, "without examples that pass nothing is tried"
    assert leftovers() == []


HOSTILE = [
    (
        "kubectl",
        "kind: Pod\nspec: {containers: [{name: c, securityContext: {privileged: true}}]}\n",
    ),
    ("docker compose", "services: {a: {image: x, cap_drop: [ALL], privileged: 'yes'}}\n"),
    ("systemd", "[Service]\nExecStart=/bin/true\nCapabilityBoundingSet=025\n"),
    ("quadlet", "[Container]\nImage=x\nDropCapability=all\nPodmanArgs=--privileged\n"),
    ("quadlet's mounts", "[Container]\nImage=x\nDropCapability=all\nVolume=/%N:/k\n"),
    (
        "compose's volumes",
        "services: {a: {image: x, cap_drop: [ALL], volumes: ['data:/x']}}\n"
        "volumes: {data: {driver_opts: {type: proc, device: proc}}}\n",
    ),
    ("quadlet's keys", "[Container]\nImage=x\nDropCapability=all\nLogOpt='path=/etc/a'\n"),
    (
        "systemd's files",
        "[Service]\nExecStart=/bin/true\nUser=svc\nCapabilityBoundingSet=\n"
        "EnvironmentFile=%E/shadow\n",
    ),
    (
        "custom resources",
        "apiVersion: x.io/v1\nkind: Widget\nmetadata: {name: a}\n"
        'spec: {raw: \'{"main": {"hostPID": true}}\'}\n',
    ),
]


@pytest.mark.parametrize(("name", "text"), HOSTILE)
def test_the_consumers_are_asked_in_a_way_that_they_answer(name: str, text: str) -> None:
    """A plain grant is seen: by the consumer, and by the gate, which does not pass it."""
    consumer, counts = consumers()[name], Counts()
    for needed in consumer.tools:
        tool(needed)
    assert judge(consumer, text, counts, always_ask=True) == set()
    assert counts.seen["granted something"] == 1
    assert counts.seen["found wanting"] == 1
