"""What is emitted for a container was tried: with the emitted options it starts, passes its check,
stops, and starts again. Flags with which a trial failed are not in it."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.containers import BOX, DEBIAN, ENVIRONMENT, MARK, PODMAN, call, record
from tests.support.runs import CAPADVISE
from tests.support.wait import until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes", "debian")]
NO_GAIN = "--security-opt=no-new-privileges"
UNFILTERED = "--security-opt=seccomp=unconfined"
UP = "touch /up && exec sleep 600"
BOTH = {"no_new_privs", "seccomp"}
IS_UP = "test -e /up"
AS_NOBODY = "setpriv --reuid 65534 --clear-groups"


def emitted(report: Path, form: str) -> str:
    words = [CAPADVISE, "emit", str(report), "--format", form]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("own", "script", "check", "held"),
    [
        ((), "exec nginx -c /etc/nginx/small.conf -g 'daemon off;'", "curl -fs localhost",
         BOTH),
        pytest.param((UNFILTERED,), f"unshare -U true && {UP}", IS_UP, {"no_new_privs"},
                     marks=pytest.mark.long),
        ((), f"cd /tmp && cp -p /bin/chown s && chmod 4755 s && touch f && "
         f"({AS_NOBODY} ./s 1 f) && {UP}", IS_UP, {"seccomp"}),
        pytest.param((), f"chown 5 /tmp && nice -n -5 true && {UP}", IS_UP, BOTH,
                     marks=pytest.mark.long),
        pytest.param(("--privileged",), f"unshare -m true && {UP}", IS_UP, BOTH,
                     marks=pytest.mark.long),
        pytest.param(("--user=5",), f"true && {UP.replace('/up', '/tmp/up')}", "test -e /tmp/up",
                     BOTH, marks=pytest.mark.long),
        pytest.param((NO_GAIN,), f"chown 5 /tmp && {UP}", IS_UP, BOTH,
                     marks=pytest.mark.long),
        pytest.param((UNFILTERED,), f"chown 5 /tmp && {UP}", IS_UP, BOTH,
                     marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_a_container_with_what_is_emitted(
    own: tuple[str, ...], script: str, check: str, held: set[str], tmp_path: Path
) -> None:
    report, words = tmp_path / "report.json", (DEBIAN, "sh", "-c", script)
    check = f'docker exec "$CONTAINER" {check}'
    start = ("docker", "run", "--rm", "--network=none", *own, *words)
    seen = record(report, *start, options=("--prove", "--check", check))
    found = json.loads(report.read_text())["conclusion"]
    assert {one for one, how in found["companions"].items() if how == "tried"} == held, seen.stderr
    assert (NO_GAIN in emitted(report, "docker")) is ("no_new_privs" in held)
    assert ("RuntimeDefault" in emitted(report, "kubernetes")) is ("seccomp" in held)
    name = f"{MARK}-emitted"
    flags = shlex.split(emitted(report, "docker"), comments=True)
    kept = [option for option in own if option != "--privileged"]
    try:
        made = call(
            "docker", "run", "-d", "--network=none", f"--name={name}", *kept, *flags, *words
        )
        assert made.returncode == 0, made.stderr
        for again in (False, True):
            if again:
                call("docker", "stop", "--time=1", name)
                call("docker", "start", name)
            until(lambda: _passes(check, name))
    finally:
        call("docker", "rm", "-f", name)


LIVES, THERE = "touch /tmp/up && exec sleep 600", "test -e /tmp/up"
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  containers:
    - name: box
      image: localhost/{image}
      imagePullPolicy: Never
      command: {command}
      securityContext: {{privileged: true}}
"""


@pytest.mark.parametrize(
    ("script", "check", "minimal"),
    [
        ("chown 5 /tmp && exec httpd -f -p 80", "wget -qO /dev/null localhost/data/file",
         {"CHOWN", "NET_BIND_SERVICE"}),
        pytest.param(f"mknod /tmp/n c 1 3 && {LIVES}", THERE, {"MKNOD"}, marks=pytest.mark.long),
        pytest.param(f"mount -t tmpfs x /data && {LIVES}", THERE, {"SYS_ADMIN"},
                     marks=pytest.mark.long),
        pytest.param(f"chroot / true && {LIVES}", THERE, {"SYS_CHROOT"}, marks=pytest.mark.long),
        pytest.param(LIVES, THERE, set(), marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_a_pod_with_what_is_emitted(
    script: str, check: str, minimal: set[str], tmp_path: Path
) -> None:
    """``podman kube play`` starts the patched manifest."""
    report, manifest = tmp_path / "report.json", tmp_path / "pod.yaml"
    name = f"{MARK}-pod"
    command = ["sh", "-c", script]
    manifest.write_text(MANIFEST.format(name=name, image=BOX, command=json.dumps(command)))
    check = f'podman exec "$CONTAINER" {check}'
    start = (*PODMAN, "run", "--rm", "--network=none", "--privileged", BOX, *command)
    seen = record(report, *start, options=("--prove", "--check", check))
    assert seen.minimal == minimal, seen.stderr
    words = ("emit", report, "--format", "kubernetes", "--into", manifest, "--service", "box")
    patched = call(CAPADVISE, *map(str, words))
    assert patched.returncode == 0, patched.stderr
    assert "RuntimeDefault" in manifest.read_text()
    play = (*PODMAN, "kube", "play", "--network=none", str(manifest))
    try:
        assert (made := call(*play)).returncode == 0, made.stderr
        for again in (False, True):
            if again:
                call(*PODMAN, "pod", "restart", name)
            until(lambda: _passes(check, f"{name}-box"))
    finally:
        call(*PODMAN, "kube", "down", "--force", str(manifest))


def _passes(check: str, name: str) -> bool:
    done = subprocess.run(
        ["sh", "-c", check], env={**ENVIRONMENT, "CONTAINER": name}, capture_output=True
    )
    return done.returncode == 0
