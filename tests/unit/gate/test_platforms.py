"""The platforms that ``check --require`` knows, each rule tried by a file that breaks it alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capadvise.catalog import default
from capadvise.cli import main
from tests.support.hostile import pod, service

SOUND = "capabilities: {drop: [ALL]}, allowPrivilegeEscalation: false"


def mounting(volume: str) -> str:
    return pod(SOUND, more=f"  volumes: [{{name: v, {volume}}}]\n").replace(
        "image: x", "image: x\n    volumeMounts: [{name: v, mountPath: /v, readOnly: true}]"
    )


PODS = {
    "privileged": pod("privileged: true"),
    "the host's network": pod(SOUND, more="  hostNetwork: true\n"),
    "a port of the host": pod(SOUND).replace(
        "image: x", "image: x\n    ports: [{containerPort: 1, hostPort: 1}]"
    ),
    "a folder": mounting("hostPath: {path: /srv}"),
    "the logs": mounting("hostPath: {path: /var/log}"),
    "nfs": mounting("nfs: {server: a, path: /}"),
    "escalation": pod("allowPrivilegeEscalation: true"),
    "CHOWN": pod("capabilities: {drop: [ALL], add: [CHOWN]}"),
    "NET_RAW": pod("capabilities: {drop: [ALL], add: [NET_RAW]}"),
    "SYS_TIME": pod("capabilities: {drop: [ALL], add: [SYS_TIME]}"),
    "unconfined": pod(f"{SOUND}, seccompProfile: {{type: Unconfined}}"),
    "SELinux": pod(f"{SOUND}, seLinuxOptions: {{type: x_t}}"),
    "a sysctl": pod(SOUND, more="  securityContext: {sysctls: [{name: net.x, value: '1'}]}\n"),
    "a user": pod(f"{SOUND}, runAsUser: 1000"),
    "a user of the range": pod(f"{SOUND}, runAsUser: 1000650000"),
    "sound": pod(SOUND),
}
REFUSED = {
    "openshift-restricted-v2": {
        "privileged": "allowPrivilegedContainer",
        "the host's network": "allowHostNetwork",
        "a port of the host": "allowHostPorts",
        "a folder": "allowHostDirVolumePlugin",
        "the logs": "allowHostDirVolumePlugin",
        "nfs": "volumes",
        "escalation": "allowPrivilegeEscalation",
        "CHOWN": "allowedCapabilities",
        "NET_RAW": "allowedCapabilities",
        "SYS_TIME": "allowedCapabilities",
        "unconfined": "seccompProfiles",
        "SELinux": "seLinuxContext",
        "a sysctl": "allowedUnsafeSysctls",
        "a user": "runAsUser",
    },
    "gke-autopilot": {
        "privileged": "privileged mode",
        "the host's network": "host namespaces",
        "a port of the host": "host ports",
        "a folder": "hostPath volumes",
        "NET_RAW": "Linux capabilities",
        "SYS_TIME": "Linux capabilities",
        "a sysctl": "sysctls",
    },
}
SERVICES = {
    "ecs-fargate": {
        "privileged: true": "privileged",
        "cap_add: [CHOWN]": "linuxParameters.capabilities",
        "cap_add: [SYS_PTRACE]": "",
        "pid: host": "networkMode; pidMode; ipcMode",
        "devices: [/dev/sda]": "volumes; linuxParameters.devices",
        "security_opt: ['seccomp=unconfined']": "dockerSecurityOptions",
        "user: '0'": "",
    },
    "docker-rootless": {
        "cap_add: [SYS_TIME]": "capabilities of the first user namespace",
        "cap_add: [ALL]": "capabilities of the first user namespace",
        "cap_add: [NET_ADMIN, CHOWN, SYS_CHROOT]": "",
        "volumes: ['/etc:/e']": "files and devices of root",
        "volumes: ['./data:/d']": "",
        "network_mode: host": "namespaces of the host",
        "privileged: true": "privileged is within the user namespace",
    },
    "podman-rootless": {
        "cap_add: [MKNOD]": "capabilities of the first user namespace",
        "privileged: true": "privileged is within the user namespace",
        "volumes: ['/run/docker.sock:/s']": "files and devices of root",
        "network_mode: host": "",
    },
}


def refused(
    file: Path, text: str, platform: str, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, str]]:
    file.write_text(text)
    main(["check", "--require", platform, "--format", "json", str(file)])
    services = json.loads(capsys.readouterr().out)["files"][0]["services"]
    every = [x for each in services for x in each["findings"]]
    return [x for x in every if x["rule"] == "pod-security"]


@pytest.mark.parametrize("platform", REFUSED)
def test_each_rule_of_a_platform_for_pods(
    platform: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in PODS.items():
        said = refused(tmp_path / "a.yaml", text, platform, capsys)
        rule = REFUSED[platform].get(name)
        assert [f"({rule}" in x["why"] for x in said] == [True] * (rule is not None), (name, said)


@pytest.mark.parametrize("platform", SERVICES)
def test_each_rule_of_a_platform_for_services(
    platform: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for setting, rule in SERVICES[platform].items():
        said = refused(tmp_path / "compose.yaml", service(setting), platform, capsys)
        assert [f"({rule})" in x["why"] for x in said] == [True] * bool(rule), (setting, said)


def test_each_has_a_source_a_date_and_rules_that_are_tried() -> None:
    platforms = default().platforms
    assert set(platforms) == {*REFUSED, *SERVICES}
    for name, facts in platforms.items():
        assert facts["source"]
        assert facts["date"]
        tried = " ".join([*REFUSED.get(name, {}).values(), *SERVICES.get(name, {}).values()])
        for rule in facts["rules"]:
            assert rule["id"].split(";")[0] in tried, (name, rule["id"])


def test_the_finding_names_what_to_change_and_where_the_rules_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(pod("privileged: true"))
    assert main(["check", "--require", "gke-autopilot", str(file)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "GKE Autopilot does not run it as it is [pod-security]" in said
    assert "privileged: true of c (privileged mode)" in said
    assert "autopilot-security (2026-12-02)" in said
