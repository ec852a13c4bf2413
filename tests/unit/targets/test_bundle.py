"""What a bundle's configuration says of the container of a pod."""

from __future__ import annotations

import json
from typing import Any

import pytest

from capadvise.model.caps import Cap
from capadvise.targets.kubernetes.cri.bundle import CriContainer, parse, with_digest

ID = "5e" * 32
CONTAINERD = {
    "io.kubernetes.cri.container-name": "web",
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.image-name": "docker.io/library/nginx:1.27",
    "io.kubernetes.cri.sandbox-name": "web-0",
    "io.kubernetes.cri.sandbox-namespace": "prod",
}
LABELS = {
    "io.kubernetes.container.name": "web",
    "io.kubernetes.pod.name": "web-0",
    "io.kubernetes.pod.namespace": "prod",
}
CRI_O = {
    "io.kubernetes.cri-o.ContainerType": "container",
    "io.kubernetes.cri-o.ImageName": "docker.io/library/nginx:1.27",
    "io.kubernetes.cri-o.Labels": json.dumps(LABELS),
}


def spec(annotations: object, **linux: object) -> dict[str, Any]:
    """A configuration as containerd writes it, as far as it is read."""
    return {
        "annotations": annotations,
        "process": {
            "user": {"uid": 101, "gid": 7},
            "args": ["nginx", "-g", "daemon off;"],
            "cwd": "/srv",
            "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"]},
        },
        "linux": linux,
    }


@pytest.mark.parametrize(
    ("engine", "annotations"), [("containerd", CONTAINERD), ("cri-o", CRI_O)], ids=lambda x: str(x)
)
def test_names_image_and_configured_user(engine: str, annotations: dict[str, str]) -> None:
    container = parse(ID, json.dumps(spec(annotations)))
    assert container == CriContainer(
        engine=engine,
        id=ID,
        namespace="prod",
        pod="web-0",
        name="web",
        image="docker.io/library/nginx:1.27",
        user="101:7",
        argv=("nginx", "-g", "daemon off;"),
        cwd="/srv",
        bounding=frozenset({Cap.parse("CHOWN"), Cap.parse("KILL")}),
        privileged=False,
    )


@pytest.mark.parametrize(
    "annotations",
    [
        CONTAINERD | {"io.kubernetes.cri.container-type": "sandbox"},
        CRI_O | {"io.kubernetes.cri-o.ContainerType": "sandbox"},
    ],
)
def test_what_only_holds_the_namespaces_has_no_name(annotations: dict[str, str]) -> None:
    container = parse(ID, json.dumps(spec(annotations)))
    assert container is not None
    assert (container.name, container.called) == ("", "prod/web-0")


@pytest.mark.parametrize(
    ("rules", "privileged"),
    [
        ([{"allow": True, "access": "rwm"}], True),
        ([{"allow": False, "access": "rwm"}], False),
        ([{"allow": False}, {"allow": True, "type": "c", "major": 1, "minor": 3}], False),
        (None, False),
    ],
)
def test_privileged_is_who_may_use_every_device(rules: object, *, privileged: bool) -> None:
    container = parse(ID, json.dumps(spec(CONTAINERD, resources={"devices": rules})))
    assert container is not None
    assert container.privileged is privileged


@pytest.mark.parametrize(
    "annotations",
    [
        None,
        {},
        {"io.kubernetes.cri.container-type": "container"},
        CONTAINERD | {"io.kubernetes.cri.sandbox-name": "../../etc"},
        CONTAINERD | {"io.kubernetes.cri.sandbox-name": "a\x1b[2J"},
        CONTAINERD | {"io.kubernetes.cri.container-name": 7},
        CONTAINERD | {"io.kubernetes.cri.container-name": ""},
        CRI_O | {"io.kubernetes.cri-o.Labels": "[" * 100_000},
    ],
)
def test_what_no_kubelet_has_made_is_no_container_of_a_pod(annotations: object) -> None:
    assert parse(ID, json.dumps(spec(annotations))) is None


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"annotations": 3}', "null", "7"])
def test_what_is_no_configuration(text: str) -> None:
    assert parse(ID, text) is None


def test_an_image_is_named_with_its_digest_once() -> None:
    digest = f"sha256:{'0' * 64}"
    assert with_digest("nginx:1", digest) == f"nginx:1@{digest}"
    assert with_digest(f"nginx@{digest}", f"sha256:{'1' * 64}") == f"nginx@{digest}"
    assert with_digest("nginx:1", None) == "nginx:1"
