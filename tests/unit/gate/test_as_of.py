"""``check --as-of 0.2``: what that version did not find is a note, and everything else is as it is
today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capadvise.cli import main
from tests.support.hostile import START, bundle, pod, service

OLD = {
    "compose.yaml": [
        service("volumes: ['/etc/cron.d:/x']"),
        service("volumes: ['/run/docker.sock:/x']"),
        service("volumes: ['/root/.ssh:/x:ro']"),
        service("devices: ['/dev/sda1']"),
        service("privileged: true"),
        service("pid: host"),
    ],
    "pod.yaml": [
        pod("capabilities: {drop: [ALL]}").replace(
            "{name: a}",
            "{name: a, annotations: {container.apparmor.security.beta.kubernetes.io/c: "
            "unconfined}}",
        ),
        pod("capabilities: {drop: [ALL], add: [SYS_ADMIN]}"),
    ],
    "a.service": [
        f"{START}CapabilityBoundingSet=CAP_SYS_ADMIN\n",
        f"{START}CapabilityBoundingSet=CAP_CHOWN\nGroup=docker\n",
    ],
}
NEW = {
    "compose.yaml": [
        service("volumes: ['/etc/logrotate.d:/x']"),
        service("volumes: ['/tmp:/x']"),
        service("devices: ['/dev/uinput']"),
        service("runtime: evil"),
        service("env_file: /etc/shadow"),
        service("annotations: {run.oci.x: y}"),
    ],
    "a.service": [
        f"{START}User=web\nNoNewPrivileges=yes\nCapabilityBoundingSet=\nOpenFile=/etc/shadow\n",
        f"{START}User=web\nNoNewPrivileges=yes\nCapabilityBoundingSet=CAP_CHOWN\n"
        "AmbientCapabilities=CAP_CHOWN\n",
    ],
    "config.json": [bundle({"netDevices": {"eth0": {}}})],
}


def outcomes(
    file: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> list[tuple[int, list[tuple[str, str]]]]:
    """(exit code, findings) with today's rules and with those of 0.2."""
    file.write_text(text)
    both = []
    for more in ([], ["--as-of", "0.2"]):
        code = main(["check", "--strict", "--format", "json", *more, str(file)])
        services = json.loads(capsys.readouterr().out)["files"][0]["services"]
        every = [x for each in services for x in each["findings"]]
        both.append((code, [(x["severity"], x["what"]) for x in every]))
    return both


@pytest.mark.parametrize("file", OLD)
def test_what_it_found_stays(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in OLD[file]:
        today, former = outcomes(tmp_path / file, text, capsys)
        assert today == former
        assert today[0] == 1


@pytest.mark.parametrize("file", NEW)
def test_what_it_did_not_find_is_a_note(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in NEW[file]:
        today, former = outcomes(tmp_path / file, text, capsys)
        assert (today[0], former[0]) == (1, 0), text
        assert ("note", f"{today[1][0][1]}, which 0.2 did not find") in former[1]
