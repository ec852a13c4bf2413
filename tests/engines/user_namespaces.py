"""Engines whose containers have user namespaces of their own: docker with ``userns-remap``, and a
rootless podman. Both live in a mount namespace with a copy of /etc that has a user for them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.containers import ENVIRONMENT, call
from tests.support.required import missing, tool

USER, UID, FIRST = "capadvise-test", 54321, 300_000
_PRIVATE = """
top=$1; shift
mount --make-rprivate /
mount --bind "$top/etc" /etc
cd "$top/home"
exec "$@"
"""


def in_private_etc(top: Path) -> tuple[str, ...]:
    """What to put before a command, so that it knows the user."""
    etc = top / "etc"
    if not etc.exists():
        subprocess.run(["cp", "-a", "/etc", str(etc)], check=True)
        for name, line in (
            ("passwd", f"{USER}:x:{UID}:{UID}::{top}/home:/bin/sh"),
            ("group", f"{USER}:x:{UID}:"),
            ("subuid", f"{USER}:{FIRST}:65536"),
            ("subgid", f"{USER}:{FIRST}:65536"),
        ):
            with (etc / name).open("a") as file:
                file.write(f"{line}\n")
        (top / "home").mkdir()
    return ("unshare", "--mount", "sh", "-c", _PRIVATE, "sh", str(top))


@contextmanager
def remapped_docker(top: Path) -> Iterator[tuple[str, ...]]:
    """A daemon of our own, with its own containerd and folders. Yields the client."""
    tool("dockerd")
    address = f"unix://{top}/sock"
    options = ("--iptables=false", "--ip6tables=false", "--bridge=none", f"--userns-remap={USER}")
    places = (f"--data-root={top}/data", f"--exec-root={top}/exec", f"--pidfile={top}/pid")
    client = ("docker", "-H", address)
    with (top / "log").open("w") as log:
        daemon = subprocess.Popen(
            [*in_private_etc(top), "dockerd", *options, *places, "-H", address],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        end = time.monotonic() + 60
        while call(*client, "version").returncode:
            if time.monotonic() > end or daemon.poll() is not None:
                missing(f"dockerd with userns-remap: {(top / 'log').read_text()[-500:]}")
            time.sleep(0.2)
        yield client
    finally:
        daemon.terminate()
        daemon.wait(60)


@contextmanager
def rootless_podman(top: Path) -> Iterator[tuple[str, ...]]:
    """The client of an ordinary user, and the process that keeps its user namespace."""
    tool("newuidmap")
    before = in_private_etc(top)
    run = top / "run"
    if not run.exists():
        run.mkdir(mode=0o700)
        top.chmod(0o755)
        subprocess.run(["chown", "-R", f"{UID}:{UID}", str(run), str(top / "home")], check=True)
    become = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--init-groups", "--inh-caps=-all")
    setting = (f"HOME={top}/home", f"XDG_RUNTIME_DIR={run}", f"PATH={ENVIRONMENT['PATH']}")
    quiet = "PODMAN_IGNORE_CGROUPSV1_WARNING=1"
    podman = ("podman", "--runtime=runc", "--cgroup-manager=cgroupfs")
    try:
        yield (*before, *become, "env", "-i", *setting, quiet, *podman)
    finally:
        for pause in run.glob("libpod/tmp/pause.pid"):
            os.kill(int(pause.read_text()), signal.SIGKILL)
