"""Reading the files of others: what they declare, and what is refused with its line."""

from __future__ import annotations

import time
from contextlib import nullcontext

import pytest

from capadvise.errors import BadInput
from capadvise.formats import compose, kubernetes
from capadvise.formats.declared import Declared

COMPOSE = """\
x-common: &common
  cap_drop: [ALL]
  user: "33:33"
services:
  web:
    <<: *common
    image: nginx
    cap_add:
      - NET_BIND_SERVICE # why
      - ${MORE}
    security_opt: ["no-new-privileges:true"]
  old:
    <<: [*common, {user: root, privileged: yes}]
    user: 0
  none:
"""
MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: passed-by}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      securityContext: {runAsUser: 33, runAsGroup: 34}
      initContainers:
        - name: init
          securityContext: {privileged: true}
      containers:
        - name: app
          securityContext:
            runAsUser: 0
            allowPrivilegeEscalation: false
            capabilities:
              drop: [ALL]
              add:
                - CHOWN
---
apiVersion: v1
kind: List
items:
  - kind: CronJob
    metadata: {generateName: often-}
    spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c}]}}}}}
  - kind: Pod
    metadata: {name: p}
    spec: {ephemeralContainers: [{name: debug, securityContext: {capabilities: null}}]}
"""


def test_compose() -> None:
    assert compose.read(COMPOSE) == (
        Declared(
            "web",
            6,
            drop=("ALL",),
            add=("NET_BIND_SERVICE", "${MORE}"),
            user="33:33",
            no_new_privileges=True,
            lines=(
                *(("user", 3), ("no_new_privileges", 11)),
                *(("ALL", 2), ("NET_BIND_SERVICE", 9), ("${MORE}", 10)),
            ),
            unresolved=(("${MORE}", 10),),
        ),
        Declared(
            "old",
            13,
            drop=("ALL",),
            privileged=True,
            user="0",
            lines=(("privileged", 13), ("user", 14), ("ALL", 2)),
        ),
        Declared("none", 15),
    )


def test_kubernetes() -> None:
    assert kubernetes.read(MANIFEST) == (
        Declared(
            "Deployment/web/app",
            16,
            drop=("ALL",),
            add=("CHOWN",),
            user="0:34",
            no_new_privileges=True,
            lines=(("user", 18), ("no_new_privileges", 19), ("ALL", 21), ("CHOWN", 23)),
        ),
        Declared(
            "Deployment/web/init",
            13,
            privileged=True,
            user="33:34",
            lines=(("privileged", 14), ("user", 11)),
        ),
        Declared("CronJob/often-/c", 30),
        Declared("Pod/p/debug", 33),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: [", "line 2: "),
        ("services:\n  a: b: c\n", "line 2: "),
        ("services:\n  a: \x01\n", "line 2: control characters"),
        ("services:\n  a: 5\n", "line 2: service 'a' must be keys and values"),
        ("services:\n  a:\n    cap_add: CHOWN\n", "line 3: cap_add must be a list"),
        ("services:\n  a:\n    cap_add: [{}]\n", "line 3: an item of cap_add must be a text"),
        ("services:\n  a:\n    privileged: 7\n", "line 3: privileged must be true or false"),
        ("services:\n  a:\n    user: x\n    user: y\n", "line 4: key 'user' appears twice"),
        ("services:\n  ? [a]\n  : b\n", "line 2: a key of services must be a text"),
        ("version: 3\n", "line 1: not a compose file"),
        ("", "line 1: not a compose file"),
        ("services: " + "[" * 5000, "line 1: "),
        ("services: [" + "a," * 600_000, "values are too many"),
        ("# " + "x" * 5_000_000, "characters are too many"),
        ("services: *no", "line 1: found undefined alias"),
    ],
)
def test_what_is_no_compose_file_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        compose.read(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\n", "line 1: not a Kubernetes object: it has no kind"),
        ("", "line 1: not a Kubernetes manifest"),
        ("kind: Pod\nspec:\n  containers: {}\n", "line 3: containers must be a list"),
        ("kind: Pod\nspec: {containers: [{securityContext: 1}]}", "line 2: securityContext must"),
        (
            'kind: Pod\nspec: {containers: [{securityContext: {privileged: "true"}}]}',
            "line 2: privileged must be true or false",
        ),
        ("kind: List\nitems:\n  - kind: List\n    items: []\n", "line 3: an item of a list must"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        kubernetes.read(text)
    assert said in str(caught.value)


def _merges(levels: int) -> str:
    """Each level merges the one before ten times: 10 to the power of levels, if one were naive."""
    lines = ["x0: &x0 {a: 1}"]
    lines += [
        f"x{level}: &x{level} {{<<: [{', '.join([f'*x{level - 1}'] * 10)}], k{level}: 1}}"
        for level in range(1, levels)
    ]
    return "\n".join(lines) + f"\nservices:\n  a:\n    <<: *x{levels - 1}\n"


def _repeated(anchor: str, use: str, times: int) -> str:
    services = "".join(f"  s{number}: {{{use}}}\n" for number in range(times))
    return f"x: &x {anchor}\nservices:\n{services}"


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (_merges(60), False),
        ("x: &x\n  <<: *x\nservices:\n  a: *x\n", False),
        (_repeated("[" + "CHOWN," * 10_000 + "]", "cap_add: *x", 20_000), True),
        (_repeated("{" + "".join(f"k{n}: 1," for n in range(50_000)) + "}", "<<: *x", 5000), True),
    ],
    ids=["merges of merges", "merges itself", "one list, many times", "one mapping, many times"],
)
def test_a_bomb_of_aliases_is_read_or_refused_in_time(text: str, refused: bool) -> None:
    start = time.monotonic()
    with pytest.raises(BadInput, match="too much is repeated") if refused else nullcontext():
        compose.read(text)
    assert time.monotonic() - start < 10


def test_a_file_with_thirty_services_is_read_in_milliseconds() -> None:
    service = (
        "    image: a\n    cap_drop: [ALL]\n    cap_add:\n      - CHOWN # why\n    user: '1'\n"
    )
    text = "services:\n" + "".join(f"  s{number}:\n{service}" for number in range(30))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert len(compose.read(text)) == 30
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05
