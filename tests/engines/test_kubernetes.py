"""The Kubernetes patch: kubectl and kustomize take it, the schemas and Pod Security agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from capadvise.config import LANGUAGES
from capadvise.config.kubernetes.file import API_VERSION, helm_values
from capadvise.config.kubernetes.manifests import POD_SPEC
from capadvise.config.snippet import Snippet
from capadvise.model.caps import CapSet, parse_set
from capadvise.model.errors import BadInput
from tests.support.containers import call
from tests.support.recordings import snippet_with
from tests.support.required import tool

BASE: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "nginx"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "containers": [
                    {"name": "sidecar", "image": "other"},
                    {
                        "name": "nginx",
                        "image": "own",
                        "securityContext": {
                            "privileged": True,
                            "capabilities": {"add": ["SYS_TIME"]},
                        },
                    },
                ]
            },
        },
    },
}
SETS = pytest.mark.parametrize(
    "names", [[], ["NET_BIND_SERVICE"], ["CHOWN", "KILL"], ["NET_RAW"]], ids=str
)
USERS = pytest.mark.parametrize("user", ["0:0", "33:34"])
VERSION = "1.31"


def patched(caps: CapSet, user: str, folder: Path) -> dict[str, Any]:
    """The deployment after ``kubectl patch``."""
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    (folder / "patch.yaml").write_text(
        LANGUAGES["kubernetes"].render(snippet_with(caps, user=user))
    )
    files = ("-f", str(folder / "base.yaml"), "--patch-file", str(folder / "patch.yaml"))
    done = call(tool("kubectl"), "patch", "--local", "--type=strategic", "-o", "yaml", *files)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


def _nginx(deployment: dict[str, Any]) -> dict[str, Any]:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    (found,) = (container for container in containers if container["name"] == "nginx")
    return dict(found)


@SETS
@USERS
def test_kubectl_patches_the_container_and_the_schema_agrees(
    names: list[str], user: str, tmp_path: Path
) -> None:
    caps = parse_set(names)
    deployment = patched(caps, user, tmp_path)
    kubernetes_validate.validate(deployment, VERSION, strict=True)
    container = _nginx(deployment)
    assert container["image"] == "own"
    context = container["securityContext"]
    assert context["privileged"] is False
    assert context["capabilities"]["drop"] == ["ALL"]
    assert context["capabilities"].get("add", []) == names


@SETS
@USERS
def test_kustomize_takes_the_same_patch(names: list[str], user: str, tmp_path: Path) -> None:
    expected = patched(parse_set(names), user, tmp_path)
    own = {"resources": ["base.yaml"], "patches": [{"path": "patch.yaml"}]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    done = call(tool("kubectl"), "kustomize", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert _nginx(yaml.safe_load(done.stdout)) == _nginx(expected)


@SETS
@USERS
@pytest.mark.parametrize("setid_exec", [False, True])
def test_the_level_that_is_named_is_the_one_that_is_reached(
    names: list[str], user: str, setid_exec: bool
) -> None:
    text = LANGUAGES["kubernetes"].render(
        snippet_with(parse_set(names), user=user, setid_exec=setid_exec)
    )
    pod = yaml.safe_load(text)["spec"]["template"]["spec"]
    named = text.partition("\n")[0].partition(" level ")[2]
    assert named == level(pod)


BASELINE = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
    *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
SAFE_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"}


def level(pod: dict[str, Any]) -> str:
    """kubernetes.io/docs/concepts/security/pod-security-standards, for one container, from the
    text of that page and not from our catalog."""
    (container,) = pod["containers"]
    context = container["securityContext"]
    added = set(context["capabilities"].get("add", ()))
    sysctls = {item["name"] for item in pod.get("securityContext", {}).get("sysctls", ())}
    if context.get("privileged") or not added <= BASELINE or not sysctls <= SAFE_SYSCTLS:
        return "privileged"
    restricted = (
        context.get("allowPrivilegeEscalation") is False,
        context.get("runAsNonRoot") is True,
        context.get("runAsUser") != 0,
        context.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
        "ALL" in context["capabilities"].get("drop", ()),
        added <= {"NET_BIND_SERVICE"},
    )
    return "restricted" if all(restricted) else "baseline"


def _of_workload(kind: str, owner: str, container: str) -> Snippet:
    snippet = snippet_with(parse_set(["CHOWN"]))
    return replace(snippet, owner=(kind, owner, container), privileged=False)


@pytest.mark.parametrize(
    ("kind", "owner", "container"),
    [
        ("Deployment", "shop", "web"),
        ("StatefulSet", "8", "on"),
        ("DaemonSet", "true", "0x1"),
        ("Job", "migrate.v1", "null"),
        ("CronJob", "nightly", "1e3"),
        ("Pod", "web-0", "web"),
    ],
)
def test_a_patch_has_the_true_names_of_its_workload(
    kind: str, owner: str, container: str, tmp_path: Path
) -> None:
    """kustomize finds the object by them, and changes its container alone."""
    spec: dict[str, Any] = {
        "containers": [
            {"name": "side", "image": "y"},
            {"name": container, "image": "x", "securityContext": {"privileged": True}},
        ]
    }
    whole: dict[str, Any] = spec
    for key in POD_SPEC[kind][::-1]:
        whole = {key: whole}
    base = {"apiVersion": API_VERSION.get(kind, "apps/v1"), "kind": kind, **whole}
    base["metadata"] = {"name": owner}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    (tmp_path / "patch.yaml").write_text(
        LANGUAGES["kubernetes"].render(_of_workload(kind, owner, container))
    )
    own = {"resources": ["base.yaml"], "patches": [{"path": "patch.yaml"}]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    done = call(tool("kubectl"), "kustomize", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)
    for key in POD_SPEC[kind]:
        found = found[key]
    (mine,) = (one for one in found["containers"] if one["name"] == container)
    assert (mine["image"], mine["securityContext"]["privileged"]) == ("x", False)
    assert mine["securityContext"]["capabilities"] == {"add": ["CHOWN"], "drop": ["ALL"]}
    assert {"name": "side", "image": "y"} in found["containers"]


def test_values_of_a_chart_are_the_security_context() -> None:
    values = yaml.safe_load(helm_values(_of_workload("Deployment", "shop", "web"), "on.web-1.x"))
    context = values["on"]["web-1"]["x"]
    assert (context["privileged"], context["capabilities"]["add"]) == (False, ["CHOWN"])
    for wrong in ("", "a..b", "a b", "a: b", ".a", "a\n"):
        with pytest.raises(BadInput, match="is no key of values"):
            helm_values(_of_workload("Deployment", "shop", "web"), wrong)
