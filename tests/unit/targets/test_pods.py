"""How pods are named, and which containers are meant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.targets.kubernetes.cri.bundle import CriContainer
from capadvise.targets.kubernetes.pods import Pods, pods_of

WEB = CriContainer(
    *("containerd", "5e" * 32, "prod", "web-7d4b-x2x7k", "web", "web:1", "0:0", ("web",), "/"),
    bounding=frozenset(),
    privileged=False,
)
PAUSE = replace(WEB, name="")


@pytest.mark.parametrize(
    ("what", "several", "comes"),
    [
        ("prod/web-7d4b-x2x7k", True, False),
        ("prod/web-7d4b-x2x7k/web", False, False),
        ("prod/web-*", True, True),
        ("prod/web-*/web", True, True),
        ("p?od/web-7d4b-x2x7k/web", True, True),
        ("prod/web-7d4b-x2x7k/w*", True, False),
    ],
)
def test_names_that_mean_it(what: str, *, several: bool, comes: bool) -> None:
    pods = pods_of(what)
    assert pods is not None
    assert (str(pods), pods.several, pods.come) == (what, several, comes)
    assert pods.has(WEB)
    assert pods.has(PAUSE)
    assert not pods.has(replace(WEB, pod="db-0"))
    assert not pods.has(replace(WEB, namespace="test"))


def test_another_container_of_the_pod_is_not_meant() -> None:
    assert not Pods("prod", "*", "web").has(replace(WEB, name="side"))


@pytest.mark.parametrize(
    "what",
    ["web", "812", "web.service", "/bin/sh", "a/b/c/d", "a//b", "prod/", "Prod/web", "a/../b"],
)
def test_what_is_no_name_of_a_pod(what: str) -> None:
    assert pods_of(what) is None
