"""Real containers, looked at from outside and from inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.containers import IMAGE, call
from tests.support.required import tool
from tests.support.runs import CAPADVISE
from tests.support.shown import shown

NAME = f"capadvise-inspect-test-{os.getpid()}"
LOOSE = ("--privileged", "--network=host", "--pid=host", "-v", "/:/host", "-v", "/run:/run/host:ro")
TIGHT = (
    *("--network=none", "--read-only", "--user", "1000:1000", "--cap-drop", "ALL", "--memory=100m"),
    *("--cap-add", "SYS_ADMIN", "--security-opt", "no-new-privileges", "--pids-limit", "20"),
)


@pytest.fixture(params=[TIGHT, LOOSE], ids=["tight", "loose"])
def container(request: pytest.FixtureRequest, docker_image: str) -> Iterator[tuple[str, ...]]:
    call(tool("docker"), "run", "-d", "--name", NAME, *request.param, IMAGE, "sleep", "1000")
    yield request.param
    subprocess.run(["docker", "rm", "-f", NAME], capture_output=True)


def inspected(*words: str) -> dict[str, Any]:
    (found,) = json.loads(call(CAPADVISE, "inspect", "--json", *words).stdout)
    assert isinstance(found, dict)
    return found


def test_a_paused_container_cannot_stop(docker_image: str) -> None:
    call("docker", "run", "-d", "--name", NAME, "--network=none", IMAGE, "sleep", "1000")
    try:
        call("docker", "pause", NAME)
        done = call(CAPADVISE, "inspect", "--seccomp", f"container:{NAME}")
    finally:
        call("docker", "rm", "-f", NAME)
    assert "paused" in done.stderr


def test_a_container(container: tuple[str, ...]) -> None:
    found = inspected("--seccomp", f"container:{NAME}")
    posture, caps = found["posture"], found["capabilities"]
    whose = posture["namespaces"]
    assert found["container"] == f"docker container {NAME}"
    assert (whose["user"], whose["mnt"], whose["uts"], whose["time"]) == (
        *("host", "own", "own", "host"),
    )
    if container == TIGHT:
        assert (whose["pid"], whose["net"]) == ("own", "own")
        assert caps["bounding"] == ["CAP_SYS_ADMIN"]
        assert caps["effective"] == caps["of_setuid_root"] == []
        assert posture["no_new_privs"] is True
        assert posture["seccomp"]["mode"] == "filter"
        assert (posture["user"]["uid"], posture["user"]["rootless"]) == (1000, False)
        assert (posture["root"]["type"], posture["root"]["read_only"]) == ("overlay", True)
        assert posture["root"]["exposed"] == []
        assert posture["cgroup"]["writable"] is False
        assert set(posture["cgroup"]["limits"].values()) == {"104857600", "20"}
    else:
        assert (whose["pid"], whose["net"]) == ("host", "host")
        assert posture["seccomp"]["mode"] == "off"
        assert found["closed"] == []
        exposed = {(mount["kind"], mount["target"]) for mount in posture["root"]["exposed"]}
        assert exposed >= {("host-root", "/host"), ("host-folder", "/run/host")}
        assert ("engine-socket", "/run/host/docker.sock") in exposed
        assert {"proc", "sys"} <= {kind for kind, _ in exposed}
        assert posture["cgroup"]["writable"] is True


def test_docker_s_filter_closes_what_is_granted(docker_image: str) -> None:
    """Root with SYS_ADMIN: its calls are opened by the profile, but for those it never opens."""
    words = ("--network=none", "--cap-add", "SYS_ADMIN", IMAGE, "sleep", "1000")
    call(tool("docker"), "run", "-d", "--name", NAME, *words)
    try:
        closed = {item["syscall"]: item["opens"] for item in
                  inspected("--seccomp", f"container:{NAME}")["closed"]}  # fmt: skip
    finally:
        subprocess.run(["docker", "rm", "-f", NAME], capture_output=True)
    assert closed["swapon"] == closed["pivot_root"] == ["CAP_SYS_ADMIN"]
    assert not {"mount", "unshare", "clone", "setns", "bpf"} & closed.keys()


def test_an_image(docker_image: str) -> None:
    found = inspected(f"image:{docker_image}")
    assert (found["engine"], found["user"], found["layers"]) == ("docker", "", 1)
    assert [(riser["path"], riser["caps"]) for riser in found["risers"]] == [
        ("/files/chown", ["CAP_CHOWN"])
    ]


def test_from_inside(docker_image: str) -> None:
    """capadvise in the container itself, with what it is installed from as read-only volumes."""
    folders = {"/usr", "/lib", "/lib64", *shown()}
    top = [f for f in folders if not any(f != o and Path(f).is_relative_to(o) for o in folders)]
    volumes = [word for folder in sorted(top) for word in ("-v", f"{folder}:{folder}:ro")]
    words = ("--rm", "--network=none", *volumes, IMAGE, sys.executable, CAPADVISE)
    done = call(tool("docker"), "run", *words, "inspect", "--json", "self")
    (found,) = json.loads(done.stdout)
    whose = found["posture"]["namespaces"]
    assert (whose["user"], whose["pid"], whose["ipc"]) == ("host", "own", "own")
    assert whose["net"] in ("own", "unknown")  # told since Linux 6.18
    assert len(found["capabilities"]["effective"]) == 14
    assert found["posture"]["securebits"] == []
    kinds = {mount["kind"] for mount in found["posture"]["root"]["exposed"]}
    assert "host-folder" in kinds
    assert "host-root" not in kinds
    text = call(tool("docker"), "run", *words, "inspect", "self").stdout
    assert "14: CHOWN" in text


def test_docker_s_own_filter_is_who_refused(docker_image: str, tmp_path: Path) -> None:
    """The same command as in ``tests/kernel/test_refusals.py``, in a container as docker makes it:
    it has not SYS_ADMIN, but the filter answers before the kernel asks for it."""
    script = "while :; do busybox hostname x; sleep 0.1; done"
    words = ("--network=none", docker_image, "sh", "-c", script)
    call(tool("docker"), "run", "-d", "--name", NAME, *words)
    report = tmp_path / "report.json"
    try:
        call(CAPADVISE, "attach", "-q", "--for", "3", "-o", str(report), NAME)
    finally:
        subprocess.run(["docker", "rm", "-f", NAME], capture_output=True)
    (recording,) = json.loads(report.read_text())["recordings"]
    (refused,) = recording["refusals"]
    assert (refused["syscall"], refused["errno"]) == ("sethostname", "EPERM")
    assert refused["by"] == "seccomp"
    assert "before the kernel's own code" in refused["evidence"]
