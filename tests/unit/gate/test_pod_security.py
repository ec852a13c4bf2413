"""Pod Security: what a pod says → the level that it reaches.

The table was compared with the fixtures of kubernetes/pod-security-admission @8f84a87 for 1.36 and
1.37 (148 pods each); ``independent`` below is a second judge, written from the standard's text for
the controls that capadvise itself writes.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from capadvise.catalog import default
from capadvise.config import LANGUAGES
from capadvise.config.snippet_from import snippet_of
from capadvise.gate.finding import Level, Reached
from capadvise.gate.pod_security import pod_level, pods
from capadvise.model.caps import parse_set
from capadvise.model.errors import BadInput
from tests.support.recordings import report

CATALOG = default()
B, R, P = Level.BASELINE, Level.RESTRICTED, Level.PRIVILEGED
LOCAL = {"type": "Localhost", "localhostProfile": "x.json"}
SOUND: dict[str, Any] = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "seccompProfile": {"type": "RuntimeDefault"},
    "capabilities": {"drop": ["ALL"]},
}


def pod(context: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A restricted pod, but for what is said; keys of the container start with ``c_``."""
    container = {"name": "app", "securityContext": {**SOUND, **(context or {})}}
    container |= {key[2:]: value for key, value in more.items() if key.startswith("c_")}
    spec = {key: value for key, value in more.items() if not key.startswith("c_")}
    return {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container], **spec}}


def judged(manifest: dict[str, Any]) -> Reached:
    (found,) = pods(json.dumps(manifest), CATALOG)  # to write YAML takes longer than to judge it
    return pod_level(found)


@pytest.mark.parametrize(
    ("manifest", "level"),
    [
        (pod(), R),
        (pod({"privileged": True}), P),
        (pod({"privileged": False}), R),
        (pod({"allowPrivilegeEscalation": True}), B),
        (pod({"allowPrivilegeEscalation": None}), B),
        (pod({"capabilities": {"drop": ["all"]}}), B),
        (pod({"capabilities": {"drop": ["NET_RAW"]}}), B),
        (pod({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}), R),
        (pod({"capabilities": {"drop": ["ALL"], "add": ["net_bind_service"]}}), P),
        (pod({"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}), B),
        (pod({"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}), P),
        (pod({"runAsNonRoot": None}), B),
        (pod({"runAsNonRoot": None}, securityContext={"runAsNonRoot": True}), R),
        (pod(securityContext={"runAsNonRoot": False}), B),
        (pod({"runAsNonRoot": False}, hostUsers=False), R),
        (pod({"runAsUser": 0}), B),
        (pod({"runAsUser": 1000}), R),
        (pod({"runAsUser": 0}, hostUsers=False), R),
        (pod({"seccompProfile": None}), B),
        (pod({"seccompProfile": {"type": "Unconfined"}}), P),
        (pod({"seccompProfile": None}, securityContext={"seccompProfile": LOCAL}), R),
        (pod({"procMount": "Unmasked"}), P),
        (pod({"procMount": "Unmasked"}, hostUsers=False), B),
        (pod({"appArmorProfile": {"type": "Unconfined"}}), P),
        (pod({"seLinuxOptions": {"type": "container_t"}}), R),
        (pod({"seLinuxOptions": {"type": "spc_t"}}), P),
        (pod({"seLinuxOptions": {"user": "x"}}), P),
        (pod({"windowsOptions": {"hostProcess": True}}), P),
        (pod(hostNetwork=True), P),
        (pod(hostPID=True), P),
        (pod(hostIPC=False), R),
        (pod(c_ports=[{"containerPort": 80, "hostPort": 0}]), R),
        (pod(c_ports=[{"containerPort": 80, "hostPort": 80}]), P),
        (pod(c_livenessProbe={"httpGet": {"host": "10.0.0.1", "port": 1}}), P),
        (pod(c_livenessProbe={"httpGet": {"port": 1}}), R),
        (pod(c_lifecycle={"preStop": {"httpGet": {"host": "x"}}}), P),
        (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), P),
        (pod(volumes=[{"name": "v", "nfs": {"path": "/"}}]), B),
        (pod(volumes=[{"name": "v", "emptyDir": {}}, {"name": "w"}]), R),
        (pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}), P),
        (pod(securityContext={"sysctls": [{"name": "net.ipv4.ping_group_range"}]}), R),
        (pod({"capabilities": None}, os={"name": "windows"}), R),
        (pod(initContainers=[{"name": "i"}]), B),
        (pod(ephemeralContainers=[{"name": "e", "securityContext": {"privileged": True}}]), P),
    ],
)  # fmt: skip
def test_level(manifest: dict[str, Any], level: Level) -> None:
    assert judged(manifest).level is level


@pytest.mark.parametrize(
    ("annotations", "level"),
    [
        ({"container.apparmor.security.beta.kubernetes.io/app": "unconfined"}, P),
        ({"container.apparmor.security.beta.kubernetes.io/app": "localhost/x"}, R),
        ({"other": "unconfined"}, R),
    ],
)
def test_annotations_are_those_of_the_pod_template(
    annotations: dict[str, str], level: Level
) -> None:
    inner = {"metadata": {"annotations": annotations}, "spec": pod()["spec"]}
    job = {"kind": "CronJob", "metadata": {"name": "c"}, "spec": {}}
    job["spec"] = {"jobTemplate": {"spec": {"template": inner}}}
    assert judged(job).level is level
    job["metadata"]["annotations"] = {  # type: ignore[index]
        "container.apparmor.security.beta.kubernetes.io/app": "unconfined"
    }
    assert judged(job).level is level


def test_what_keeps_a_pod_from_a_level_is_said_with_its_line() -> None:
    source = (
        "kind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n"
        "      hostNetwork: true\n      containers:\n      - name: app\n"
    )
    (found,) = (pod_level(item) for item in pods(source, CATALOG))
    assert (found.pod, found.level) == ("Deployment/web", P)
    assert [(v.level, v.control, v.line) for v in found.violations] == [
        (B, "Host Namespaces", 6),
        (R, "Privilege Escalation", 8),
        (R, "Running as Non-root", 8),
        (R, "Seccomp", 8),
        (R, "Capabilities", 8),
    ]


def test_what_is_no_pod_is_passed_by() -> None:
    assert list(pods("kind: Service\nmetadata: {name: x}\n", CATALOG)) == []


def test_a_wrong_type_is_an_error_with_its_line() -> None:
    (found,) = pods("kind: Pod\nspec:\n  containers: []\n  hostNetwork: 'yes'\n", CATALOG)
    with pytest.raises(BadInput, match="line 4: hostNetwork must be true or false"):
        pod_level(found)


# ------------------------------------------------------------------------------ cross-check

ADDABLE = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
    *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)


def independent(context: dict[str, Any]) -> Level:
    """The standard's text on the fields that capadvise itself writes, once more."""
    sets = context.get("capabilities") or {}
    added = sets.get("add") or []
    if context.get("privileged") or any(name not in ADDABLE for name in added):
        return P
    closed = (
        "ALL" in (sets.get("drop") or [])
        and not set(added) - {"NET_BIND_SERVICE"}
        and context.get("allowPrivilegeEscalation") is False
        and context.get("runAsNonRoot") is True
    )
    return R if closed else B


def test_two_judges_agree() -> None:
    choices: dict[str, list[Any]] = {
        "privileged": [None, False, True],
        "allowPrivilegeEscalation": [None, False, True],
        "runAsNonRoot": [None, True],
        "drop": [None, [], ["ALL"], ["all"], ["NET_RAW", "ALL"]],
        "add": [None, [], ["NET_BIND_SERVICE"], ["CHOWN"], ["SYS_ADMIN"], ["chown"], ["NET_RAW"]],
    }
    for values in itertools.product(*choices.values()):
        said = dict(zip(choices, values, strict=True))
        said["capabilities"] = {"drop": said.pop("drop"), "add": said.pop("add")}
        assert judged(pod(said)).level is independent({**SOUND, **said}), said


@pytest.mark.parametrize("user", ["0:0", "33:33"])
@pytest.mark.parametrize("caps", [[], ["NET_BIND_SERVICE"], ["CHOWN"], ["NET_RAW"], ["SYS_ADMIN"]])
def test_emit_names_the_level_that_its_manifest_reaches(caps: list[str], user: str) -> None:
    made = replace(report(), target=replace(report().target, user=user))
    text = LANGUAGES["kubernetes"].render(snippet_of(made, parse_set(caps), CATALOG))
    (found,) = pods(text, CATALOG)
    assert text.startswith(f"# This patch allows the Pod Security level {pod_level(found).level}\n")
