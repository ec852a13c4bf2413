"""All that the trials of a container left is compared: its layer, volumes, output and ports."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from capadvise.kernel import procfs
from capadvise.proof.trials.left import left_by_containers
from capadvise.targets.client.client import Client
from capadvise.targets.containers import data
from capadvise.targets.containers.data import COPY, TrialData
from capadvise.targets.containers.registry import docker_ancestors
from capadvise.targets.image.ownership import WrittenFolder
from tests.support import images
from tests.support.containers import CLIENTS, MARK, call, loaded, record
from tests.support.required import tool
from tests.support.runs import CAPADVISE, Result
from tests.support.wait import until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("image")]

IMAGE = f"{MARK}-left:1"
LONG = pytest.mark.long
RUN = ("run", "--rm", "--network=none")
_SECRET = "mkdir d; seq 9999 > d/f; chmod 700 d; chown 5 d"
READ = {"DAC_OVERRIDE", "DAC_READ_SEARCH"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    tar = tmp_path_factory.mktemp("left") / "left.tar"
    packages = ("coreutils", "dash", "attr", "busybox-static")
    images.debian(tar, packages, {"var/lib/x/f": "of root\n"})
    tool("setfattr")
    yield from loaded(CLIENTS.values(), tar, {IMAGE: ()})


def _proven(folder: Path, script: str, *options: str, engine: str = "docker") -> Result:
    words = (*CLIENTS[engine], *RUN, *options, IMAGE, "sh", "-c", script)
    return record(folder / "report.json", *words, options=("--prove",))


def _lost(seen: Result) -> list[str]:
    """What the trials that passed lost."""
    trials = seen.report["proof"]["trials"]
    return [loss for trial in trials if trial["passed"] for loss in trial["differences"]]


@pytest.mark.parametrize("engine", ["docker", pytest.param("podman", marks=LONG)])
def test_a_chown_in_its_own_layer_is_not_lost_in_silence(engine: str, tmp_path: Path) -> None:
    seen = _proven(tmp_path, "chown -R 5 /var/lib/x 2>/dev/null || :", engine=engine)
    assert "/var/lib/x/f stays as it is in the image" in _lost(seen), seen.stderr
    assert seen.recommended == {"CHOWN"}
    assert {"stdout", "stderr", "exit status"} < {*seen.report["conclusion"]["compared"]}


@pytest.mark.parametrize(
    ("script", "options", "needed", "lost"),
    [
        (
            *("touch /v/f; chown -R 5 /v 2>/dev/null || :", ["-v", f"{MARK}-left:/v"], {"CHOWN"}),
            "/v/f is 0:0 0644 instead of 5:0 0644",
        ),
        (
            *("touch /t/f; chown -R 5 /t 2>/dev/null || :; sleep 1", ["--tmpfs=/t"], {"CHOWN"}),
            "/t/f is 0:0 0644 instead of 5:0 0644",
        ),
        pytest.param(
            *("touch /v/f; chown -R 5 /v 2>/dev/null || :", ["-v", "/v"], {"CHOWN"}),
            "/v is 0:0 0755 instead of 5:0 0755",
            marks=LONG,
        ),
        pytest.param(
            *(f"{_SECRET}; cat d/f | tail -n 1 2>/dev/null", [], READ, 'it does not print "9999"'),
            marks=LONG,
        ),
        (f"{_SECRET}; du -s d 2>/dev/null; true", [], READ, "it prints"),
        (
            *("echo x > f; setfattr -n trusted.a -v b f 2>/dev/null || :", [], {"SYS_ADMIN"}),
            "/f has no attribute trusted.a",
        ),
        pytest.param(
            *(f"{_SECRET}; cp d/f g 2>/dev/null; true", [], READ),
            "/g is missing instead of 0:0 0644",
            marks=LONG,
        ),
        pytest.param(
            *("chown 5 /var/lib/x; rm /var/lib/x/f 2>/dev/null; true", [], READ),
            "/var/lib/x/f is not removed",
            marks=LONG,
        ),
    ],
    ids=["volume", "tmpfs", "new-volume", "cat", "du", "xattr", "copy", "remove"],
)
def test_what_is_lost_in_silence_is_named(
    script: str, options: list[str], needed: set[str], lost: str, tmp_path: Path
) -> None:
    try:
        seen = _proven(tmp_path, script, *options)
    finally:
        call("docker", "volume", "rm", "-f", f"{MARK}-left")
    assert seen.recommended & needed, seen.stderr
    assert any(lost in one for one in _lost(seen)), _lost(seen)


def test_what_was_not_compared_is_named(tmp_path: Path) -> None:
    """The trials share the user's own volume."""
    words = (*CLIENTS["docker"], *RUN, "-v", f"{tmp_path}:/v", IMAGE, "sh", "-c", "date > /v/f")
    report = tmp_path / "report.json"
    record(report, *words)
    done = subprocess.run(
        [CAPADVISE, "prove", "-v", "--reuse-volumes", "-o", report, report],
        capture_output=True,
        text=True,
        check=True,
    )
    compared = json.loads(report.read_text())["conclusion"]["compared"]
    assert "not compared: what it wrote to /v" in compared
    assert "not compared: what it wrote to /v" in " ".join(done.stdout.split())


def test_a_folder_with_data_is_compared_as_it_was(tmp_path: Path) -> None:
    """Trials begin with an empty folder, and with what was in it before the recording."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "f").write_text("x")
    seen = _proven(tmp_path, "chown -R 5 /v 2>/dev/null || :", "-v", f"{own}:/v")
    assert seen.recommended == {"CHOWN"}, seen.stderr
    assert {*_lost(seen)} == {
        "copy:/v is 0:0 0755, changed",
        "copy:/v/f is 0:0 0644 instead of 5:0 0644",
        "fresh:/v is 0:0 0755 instead of 5:0 0755",
    }


def test_a_folder_is_overlaid_beside_a_dockerd_with_mounts_of_its_own(tmp_path: Path) -> None:
    """With a copy in one trial and an overlay in the next, all that changed in the folder would be
    taken for unsteady."""
    shutil.copy(tool("sleep"), other := tmp_path / "dockerd")
    (own := tmp_path / "own").mkdir()
    (work := tmp_path / "work").mkdir()
    with closing(TrialData(docker := Client("docker", ("docker",)), work, COPY, None)) as trial:
        beside = subprocess.Popen(["unshare", "--mount", str(other), "60"])
        try:
            until(lambda: procfs.comm(beside.pid) == "dockerd")
            assert beside.pid in docker_ancestors(docker)()
            assert trial.bind(str(own), "")
            assert trial.overlays
        finally:
            beside.kill()
            beside.wait()


def test_a_file_of_before_has_one_time_in_a_copy_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written just before the first trial was just written for that trial alone."""
    monkeypatch.setattr(data, "_sees_our_mounts", lambda _: False)
    (own := tmp_path / "own").mkdir()
    (own / "old").write_text("x")
    shown = []
    for began in (time.time(), time.time() + 100):
        (work := tmp_path / f"work{began}").mkdir()
        with closing(TrialData(Client("docker", ("docker",)), work, COPY, None)) as trial:
            copy = Path(trial.bind(str(own), ""))
            owners: Any = SimpleNamespace(of=lambda status: f"{status.st_uid}:{status.st_gid}")
            folder = WrittenFolder("/v", str(copy), str(copy), owners, [trial.originals[copy]])
            shown.append(left_by_containers([folder], began).details)
    assert shown[0] == shown[1]


def test_a_service_that_listens_elsewhere_lost_its_port(tmp_path: Path) -> None:
    """Its volume is compared, too."""
    serve = "chown 5 /v 2>/dev/null; busybox httpd -p 80 2>/dev/null || busybox httpd -p 8080; "
    web = {
        "image": IMAGE,
        "network_mode": "none",
        "sysctls": {"net.ipv4.ip_unprivileged_port_start": 1024},
        "volumes": ["own:/v"],
        "command": ["sh", "-c", f"{serve} touch /up; exec sleep 1000"],
        "stop_signal": "KILL",
        "healthcheck": {"test": ["CMD", "test", "-e", "/up"], "interval": "1s"},
    }
    project = {"name": f"{MARK}-left", "services": {"web": web}, "volumes": {"own": {}}}
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(project))
    words = ("docker", "compose", "up")
    try:
        seen = record(tmp_path / "reports", *words, options=("--prove",), cwd=tmp_path)
    finally:
        call("docker", "compose", "down", "-v", cwd=tmp_path)
    seen = replace(seen, report=json.loads((tmp_path / "reports" / "web.json").read_text()))
    assert seen.recommended == {"CHOWN", "NET_BIND_SERVICE"}, seen.stderr
    assert "it does not listen on tcp:80" in _lost(seen)
    assert "/v is 0:0 0755 instead of 5:0 0755" in _lost(seen)


@pytest.mark.parametrize(
    ("script", "options"),
    [
        pytest.param(
            *("echo pid $$ at $(date +%s.%N) $(cat /proc/sys/kernel/random/uuid); date >&2", []),
            marks=LONG,
        ),
        (
            "head -c 5000 /dev/urandom > /data/r; date > /log; mktemp -p /tmp; mktemp /v/XXXXXX",
            ["-v/v"],
        ),
        pytest.param(
            *("for i in 1 2 3; do echo $(date) [$i] INFO took 0.$(date +%N) s from $$; done", []),
            marks=LONG,
        ),
        (
            "p=$((33000 + $(date +%s) % 9000)); echo port $p; busybox nc -l -p $p & sleep 1; "
            "mkdir /v/$(date +%s%N); touch -d 2001-01-01 /var/lib/x/f",
            ["-v/v"],
        ),
        pytest.param(
            *(
                "tr -dc a-z0-9 < /dev/urandom | head -c 40 > /tmp/$(hostname); hostname; ls /tmp",
                [],
            ),
            marks=LONG,
        ),
    ],
    ids=["words", "content", "log", "port", "names"],
)
def test_what_changes_by_itself_is_no_loss(script: str, options: list[str], tmp_path: Path) -> None:
    seen = _proven(tmp_path, script, *options)
    assert seen.recommended == set(), seen.stderr
    assert _lost(seen) == []
