"""Real engines: a docker daemon that runs already, podman, runc; and an image of busybox alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import images
from tests.support.containers import (
    CLIENTS,
    DEBIAN,
    ENVIRONMENT,
    IMAGE,
    REDIS,
    box_images,
    call,
    loaded,
)
from tests.support.pods import Node, node
from tests.support.required import missing, tool

APPLETS = ("sh", "cat", "chown", "touch", "nc", "sleep", "ls", "echo")


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
    yield from box_images(tmp_path_factory.mktemp("box"))


@pytest.fixture(scope="session")
def kubelet() -> Iterator[Node]:
    """A containerd that makes pods."""
    with node() as made:
        yield made


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Images with nginx and redis, in docker."""
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
    yield from loaded([CLIENTS["docker"]], tar, {DEBIAN: (), REDIS: redis})


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
