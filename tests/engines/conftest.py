"""Real engines: a docker daemon that runs already, podman, runc; and an image of busybox alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

IMAGE = "capadvise-formats-test:1"
APPLETS = ("sh", "cat", "chown", "touch", "nc", "sleep", "ls", "echo")
PODMAN = ("podman", "--runtime", "runc")
ENVIRONMENT = {**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}


def missing(reason: str) -> None:
    """Skip; where engines are required, fail."""
    if os.environ.get("CAPADVISE_REQUIRE_KERNEL"):
        pytest.fail(f"engine tests are required here, but: {reason}")
    pytest.skip(reason)


def tool(name: str) -> str:
    """The path of a program; skips, or fails where engines are required, when it is not there."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is not installed")
    assert path is not None
    return path


def call(*argv: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program with a time limit; its output is text."""
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=120, env=ENVIRONMENT, **options
    )


@pytest.fixture(scope="session")
def root_file_system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """busybox, and a ``chown`` of its own that has the file capability for it."""
    if os.geteuid() != 0:
        missing("only root makes images and starts containers here")
    folder = tmp_path_factory.mktemp("root")
    for name in ("bin", "files", "proc", "dev", "sys", "etc"):
        (folder / name).mkdir()
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    shutil.copy(tool("busybox"), folder / "bin" / "busybox")
    for applet in APPLETS:
        (folder / "bin" / applet).symlink_to("busybox")
    shutil.copy(tool("busybox"), folder / "files" / "chown")
    subprocess.run([tool("setcap"), "cap_chown=ep", folder / "files" / "chown"], check=True)
    folder.chmod(0o755)
    return folder


def _import(root: Path, *importer: str) -> None:
    names = ["--xattrs", "--xattrs-include=security.capability"]
    with subprocess.Popen(
        ["tar", "-C", str(root), *names, "-c", "."], stdout=subprocess.PIPE
    ) as archive:
        subprocess.run(
            [*importer, "import", "-", IMAGE],
            stdin=archive.stdout,
            check=True,
            capture_output=True,
            env=ENVIRONMENT,
        )


@pytest.fixture(scope="session")
def docker_image(root_file_system: Path) -> Iterator[str]:
    """The image, in docker."""
    docker = tool("docker")
    if (state := call(docker, "version")).returncode:
        missing(f"no docker daemon answers: {state.stderr.strip()}")
    _import(root_file_system, docker)
    yield IMAGE
    call(docker, "image", "rm", "-f", IMAGE)


@pytest.fixture(scope="session")
def podman_image(root_file_system: Path) -> Iterator[str]:
    """The image, in podman."""
    tool("runc")
    podman = tool("podman")
    _import(root_file_system, podman)
    yield IMAGE
    call(podman, "image", "rm", "-f", IMAGE)
