"""Real engines: a docker daemon that runs already, podman, runc; and an image of busybox alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

IMAGE = f"capadvise-formats-test-{os.getpid()}:1"
"""Of this run: another one may go on beside it."""
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


def call(*argv: str, timeout: float = 120, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program with a time limit; its output is text."""
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT, **options
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


@pytest.fixture(scope="session")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An image of busybox, in docker and in podman."""
    from tests.engines import images
    from tests.engines.running import BOX, CLIENTS

    tar = tmp_path_factory.mktemp("box") / "box.tar"
    images.box(tar, tool("busybox"))
    yield from _in(CLIENTS.values(), tar, {BOX: ()})


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Images with nginx and redis, in docker."""
    from tests.engines import images
    from tests.engines.running import CLIENTS, DEBIAN, REDIS

    tar = tmp_path_factory.mktemp("debian") / "debian.tar"
    packages = ("coreutils", "findutils", "dash", "util-linux", "curl")
    packages += ("nginx", "nginx-common", "redis-server", "redis-tools")
    files = {
        "etc/nginx/small.conf": NGINX,
        "usr/local/bin/entrypoint": ENTRYPOINT,
        "data/seed": "of root\n",
    }
    images.debian(tar, packages, files)
    redis = (
        'ENTRYPOINT ["/usr/local/bin/entrypoint"]',
        'CMD ["redis-server"]',
        "WORKDIR /data",
        "VOLUME /data",
        "HEALTHCHECK --interval=1s CMD redis-cli ping",
    )
    yield from _in([CLIENTS["docker"]], tar, {DEBIAN: (), REDIS: redis})


ENTRYPOINT = """\
#!/bin/sh
# As the official image has it.
set -e
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis '{}' +
    exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
fi
exec "$@"
"""
NGINX = """\
user www-data; worker_processes 1; pid /run/nginx.pid; error_log stderr;
events {}
http { access_log off; server { listen 80; location / { return 200 "hello"; } } }
"""


def _in(
    clients: Iterable[Sequence[str]], tar: Path, made: Mapping[str, Sequence[str]]
) -> Iterator[None]:
    from tests.engines import images

    if os.geteuid() != 0:
        missing("only root starts containers under capadvise")
    clients = list(clients)
    for client in clients:
        tool(client[0])
        if (state := call(*client, "version")).returncode:
            missing(f"{client[0]} does not answer: {state.stderr.strip()}")
        for image, changes in made.items():
            images.load(tar, image, client, *changes)
    yield
    for client in clients:
        call(*client, "image", "rm", "-f", *made)
