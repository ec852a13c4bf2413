"""Containers in user namespaces of their own: what they need there counts, and what is asked of the
host does not."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.user_namespaces import remapped_docker, rootless_podman
from tests.support.attaching import attach
from tests.support.containers import BOX, ENVIRONMENT, PODMAN, REDIS, call, record
from tests.support.runs import CAPADVISE, Result

pytestmark = pytest.mark.kernel
DROPS = {"CHOWN", "SETGID", "SETUID"}
"""What the entrypoint of redis does as root: chown its files, become another user."""


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    """A folder that other users may enter."""
    with tempfile.TemporaryDirectory(
        prefix="capadvise-userns-", ignore_cleanup_errors=True
    ) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def namespaces(report: dict[str, Any]) -> set[tuple[str, str]]:
    """(capability, namespace) of what was granted in a call of its own credentials."""
    return {
        (check["cap"].removeprefix("CAP_"), check["ns"])
        for recording in report["recordings"]
        for check in recording["checks"]
        if check["granted"] and check["creds"] == "own"
    }


@pytest.mark.usefixtures("debian")
def test_docker_with_remapped_users(top: Path, tmp_path: Path) -> None:
    with remapped_docker(top) as client:
        saved = subprocess.Popen(["docker", "save", REDIS], stdout=subprocess.PIPE)
        subprocess.run([*client, "load", "-q"], stdin=saved.stdout, check=True, capture_output=True)
        assert saved.wait() == 0
        check = f"{' '.join(client)} exec $CONTAINER redis-cli ping"
        words = (*client, "run", "--rm", "--network=none", REDIS)
        seen = record(tmp_path / "report.json", *words, options=("--check", check))
        assert seen.recommended == DROPS, seen.stderr
        assert {(cap, "target") for cap in DROPS} <= namespaces(seen.report)
        assert not {item for item in namespaces(seen.report) if item[1] == "child"}
        assert seen.report["target"]["user"] == "0:0"
        assert not call(*client, "ps", "-aq").stdout


@pytest.mark.long
@pytest.mark.usefixtures("debian")
def test_the_minimal_set_of_a_docker_with_remapped_users(top: Path, tmp_path: Path) -> None:
    """Its containers have a user namespace in any case: trials there are trials in one."""
    with remapped_docker(top) as client:
        saved = subprocess.Popen(["docker", "save", REDIS], stdout=subprocess.PIPE)
        subprocess.run([*client, "load", "-q"], stdin=saved.stdout, check=True, capture_output=True)
        assert saved.wait() == 0
        words = (*client, "run", "--rm", "--network=none", REDIS)
        check = f"{' '.join(client)} exec $CONTAINER redis-cli ping"
        record(tmp_path / "report.json", *words, options=("--check", check))
        code, proven, page = in_user_namespace(tmp_path)
    assert (code, set(proven["proposal"]["minimal"])) == (0, {f"CAP_{cap}" for cap in DROPS}), page
    assert proven["proof"]["user_namespace"] is True


def in_user_namespace(folder: Path) -> tuple[int, dict[str, Any], str]:
    """``prove --userns`` of the report in a folder: its status, the report, what is said."""
    done = call(
        *(CAPADVISE, "prove", str(folder / "report.json"), "--userns"),
        *("-o", str(folder / "proven.json")),
        timeout=600,
    )
    written = folder / "proven.json"
    proven = json.loads(written.read_text()) if written.exists() else {}
    return done.returncode, proven, done.stdout + done.stderr


@pytest.mark.usefixtures("boxes")
def test_the_minimal_set_of_a_podman_container(tmp_path: Path) -> None:
    """What fits is proven there, and the data has mapped owners. The user's own stays as it is."""
    file = tmp_path / "file"
    file.touch()
    words = (*PODMAN, "run", "--rm", "--network=none", f"-v={file}:/file", BOX)
    words += ("chown", "34:34", "/file")
    record(tmp_path / "report.json", *words)
    os.chown(file, 0, 0)
    code, proven, page = in_user_namespace(tmp_path)
    assert code == 0, page
    assert proven["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert proven["proposal"]["user_namespace"]["fits"] is True
    assert proven["proof"]["user_namespace"] is True
    assert "2147483" not in page, "ids are told as the container calls them"
    assert file.stat().st_uid == 0


@pytest.mark.usefixtures("boxes")
def test_what_fails_there(tmp_path: Path) -> None:
    """A container that makes a device; and one of an engine that has none to give."""
    for engine, ends in ((PODMAN, 1), (("docker",), 2)):
        words = (*engine, "run", "--rm", "--network=none", BOX, "mknod", "/tmp/n", "c", "1", "3")
        record(tmp_path / "report.json", *words)
        code, proven, page = in_user_namespace(tmp_path)
        assert code == ends, page
        if ends == 1:
            assert proven["proposal"]["user_namespace"]["fits"] is False
        else:
            assert "--userns-remap=default" in page


@pytest.mark.usefixtures("debian")
def test_a_rootless_podman(top: Path, tmp_path: Path) -> None:
    """Its containers have no control group here, and run below a conmon of another user."""
    with rootless_podman(top) as client:
        result, name = attached(client, top, tmp_path / "report.json")
    assert result.recommended == DROPS, result.stderr
    assert {(cap, "target") for cap in DROPS} <= namespaces(result.report)
    target = result.report["target"]
    assert (target["name"], target["engine"], target["user"]) == (name, "podman", "0:0")
    posture = result.report["posture"]
    assert (posture["namespaces"]["user"], posture["user"]["rootless"]) == ("own", True)


@pytest.mark.long
@pytest.mark.usefixtures("debian")
def test_a_rootless_podman_from_its_start(top: Path, tmp_path: Path) -> None:
    """Called as the user calls it, with what makes us that user before it."""
    with rootless_podman(top) as client:
        load(client, top)
        words = (*client, "run", "--rm", "--network=none", REDIS)
        seen = record(tmp_path / "report.json", *words, options=("--prove",))
        assert not call(*client, "ps", "-aq").stdout
    assert seen.recommended == DROPS, seen.stderr
    assert seen.minimal == DROPS, seen.stderr
    assert {(cap, "target") for cap in DROPS} <= namespaces(seen.report)


def load(client: tuple[str, ...], top: Path) -> None:
    """The image of redis, for another user."""
    image = top / "redis.tar"
    subprocess.run(["docker", "save", "-o", str(image), REDIS], check=True)
    image.chmod(0o644)
    assert call(*client, "load", "-q", "-i", str(image)).returncode == 0


def attached(client: tuple[str, ...], top: Path, report: Path) -> tuple[Result, str]:
    """Attach to a container of redis's image, and execute its entrypoint in it."""
    load(client, top)
    name = f"capadvise-rootless-{time.monotonic_ns()}"
    run = ("run", "-d", "--name", name, "--network=none", "--entrypoint=sleep", REDIS, "1000")
    done = call(*client, *run)
    assert done.returncode == 0, done.stderr
    found = call(CAPADVISE, "inspect", f"container:{name}")
    assert "container " + name in found.stdout, found.stderr
    script = "sleep 3; entrypoint redis-server >&- 2>&- & sleep 6"
    words = [*client, "exec", name, "sh", "-c", script]
    try:
        result = attach(
            name,
            lambda: subprocess.run(words, capture_output=True, env=ENVIRONMENT, timeout=60),
            report,
        )
    finally:
        call(*client, "rm", "-f", "-t", "0", name)
    return result, name


def test_where_a_rootless_container_cannot_be_seen_it_is_said() -> None:
    """An ordinary user's podman is told apart before anything is started; and of an ordinary user
    nobody's container is watched."""
    readable = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    become = ("setpriv", "--reuid=65534", *readable, CAPADVISE)
    for words, said, remediation_of in (
        (
            ("run", "--", "podman", "run", "--rm", "x"),
            "a rootless podman",
            "run -- sudo -u nobody podman run",
        ),
        (("attach", "x"), "needs root", "sudo"),
    ):
        done = subprocess.run([*become, *words], capture_output=True, text=True)
        error, hint = done.stderr.splitlines()
        assert (done.returncode, said in error, remediation_of in hint) == (3, True, True), (
            done.stderr
        )
