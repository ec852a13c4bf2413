"""What trials of a container begin with: new volumes, and what was there; neither is changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.support.containers import BOX, ENVIRONMENT, MARK, call, record, trials_of
from tests.support.runs import CAPADVISE, Result
from tests.support.wait import until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes")]

SERVER = """\
trap 'exit 0' TERM
echo x >> /data/count
if [ -e /data/f ]; then chmod 600 /data/f; else touch /data/f && chown 5 /data/f; fi || exit 9
touch /tmp/up
while :; do sleep 0.2; done
"""
"""The first start on new data needs CHOWN; one on what is there needs FOWNER."""
CHECK = ("--prove", "--check", 'docker exec "$CONTAINER" test -e /tmp/up')
RUN = ("docker", "run", "--rm", "--network=none")


def docker(*words: str) -> str:
    done = call("docker", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def volume() -> Iterator[str]:
    name = f"{MARK}-data"
    docker("volume", "create", name)
    yield name
    docker("volume", "rm", "--force", name)


def test_a_proof_on_a_new_volume_covers_the_second_start(volume: str, tmp_path: Path) -> None:
    words = (*RUN, f"--volume={volume}:/data", BOX, "sh", "-c", SERVER)
    seen = record(tmp_path / "r.json", *words, options=CHECK)
    assert seen.minimal == {"CHOWN", "FOWNER"}, seen.stderr
    needs = {need["cap"]: need["phases"] for need in seen.report["needs"]}
    assert needs["CAP_CHOWN"] == ["first-start"]
    assert needs["CAP_FOWNER"] == ["later-start"]
    assert docker("run", "--rm", f"--volume={volume}:/data", BOX, "cat", "/data/count") == "x"
    assert not trials_of(BOX)


def _prepared(folder: Path, script: str) -> Result:
    """Of a service that ends by itself, and is started again with its project."""
    service = {"image": BOX, "network_mode": "none", "command": ["sh", "-c", script]}
    project = {
        "services": {"init": {**service, "volumes": ["data:/data"]}},
        "volumes": {"data": {}},
    }
    (folder / "compose.yaml").write_text(yaml.safe_dump({"name": f"{MARK}-prepared", **project}))
    words = ("docker", "compose", "up")
    try:
        seen = record(folder / "r", *words, options=("--prove",), cwd=folder)
        return replace(seen, report=json.loads((folder / "r" / "init.json").read_text()))
    finally:
        docker("volume", "rm", "--force", f"{MARK}-prepared_data")


def test_what_prepares_a_volume_is_proven_over_two_runs(tmp_path: Path) -> None:
    seen = _prepared(tmp_path, "echo x >> /data/f && chown 5 /data/f")
    assert seen.minimal == {"CHOWN", "DAC_OVERRIDE"}, seen.stderr
    needs = {need["cap"]: need["phases"] for need in seen.report["needs"]}
    assert needs["CAP_DAC_OVERRIDE"] == ["later-start"]


def test_what_works_but_once_is_proven_once(tmp_path: Path) -> None:
    seen = _prepared(tmp_path, "mkdir /data/f && chown 5 /data/f")
    assert seen.minimal == {"CHOWN"}, seen.stderr
    assert seen.report["workload"]["steps"] is None
    assert "a second start fails even with every capability" in " ".join(seen.stderr.split())


def test_a_proof_on_data_that_was_there_covers_a_new_host_too(volume: str, tmp_path: Path) -> None:
    fill = "touch /data/f && chown 5 /data/f && dd if=/dev/zero of=/data/large bs=1M count=300"
    docker("run", "--rm", f"--volume={volume}:/data", BOX, "sh", "-c", fill)
    words = (*RUN, f"--volume={volume}:/data", BOX, "sh", "-c", SERVER)
    seen = record(tmp_path / "r.json", *words, options=CHECK)
    assert seen.minimal == {"CHOWN", "FOWNER"}, seen.stderr
    assert docker("run", "--rm", f"--volume={volume}:/data", BOX, "cat", "/data/count") == "x"


def test_a_folder_is_as_it_was_before_the_recording(tmp_path: Path) -> None:
    """It was empty: what the recording has left in it is no data of the user's."""
    folder = tmp_path / "data"
    folder.mkdir()
    words = (*RUN, f"--volume={folder}:/data", BOX, "sh", "-c", SERVER)
    seen = record(tmp_path / "r.json", *words, options=CHECK)
    assert seen.minimal == {"CHOWN", "FOWNER"}, seen.stderr
    assert (folder / "count").read_text() == "x\n"


@pytest.mark.parametrize(("target", "hides"), [("/data", True), ("/elsewhere", False)])
def test_what_a_folder_hides_of_the_image_is_said(target: str, hides: bool, tmp_path: Path) -> None:
    """A new volume would begin with it, and that can take more."""
    (tmp_path / "folder").mkdir()
    words = (*RUN, f"--volume={tmp_path}/folder:{target}", BOX, "true")
    seen = record(tmp_path / "r.json", *words, options=("--prove",))
    said = f"the image has files in {target}, and a new volume would begin with them"
    cautions = seen.report["proof"]["cautions"]
    assert any(caution.startswith(said) for caution in cautions) is hides, seen.stderr


@pytest.fixture
def filled() -> Iterator[str]:
    """An image in whose ``/kept`` there are files that belong to another user than root."""
    image = f"{MARK}-filled:1"
    fill = (
        "mkdir -p /kept/inner && touch /kept/inner/f && chmod 700 /kept/inner && chown -R 5 /kept"
    )
    docker("run", f"--name={MARK}-filled", "--network=none", BOX, "sh", "-c", fill)
    docker("commit", f"{MARK}-filled", image)
    docker("rm", f"{MARK}-filled")
    yield image
    docker("image", "rm", "--force", image)


@pytest.mark.parametrize("compose", [False, True])
def test_a_new_volume_begins_with_the_files_of_the_image(
    compose: bool, filled: str, tmp_path: Path
) -> None:
    """A folder of the host, of whichever user, does not: a set that is enough for that would fail
    on the next host, where somebody takes a volume."""
    (tmp_path / "own").mkdir()
    script = "find /kept"
    if compose:
        web = {"image": filled, "network_mode": "none", "volumes": ["./own:/kept"]}
        web["command"] = ["sh", "-c", script]
        project = {"name": MARK, "services": {"web": web}}
        (tmp_path / "compose.yaml").write_text(yaml.safe_dump(project))
        words: tuple[str, ...] = ("docker", "compose", "up")
    else:
        words = (*RUN, f"--volume={tmp_path}/own:/kept", filled, "sh", "-c", script)
    seen = record(tmp_path / "out", *words, options=("--prove",), cwd=tmp_path)
    report = json.loads(
        (tmp_path / "out" / "web.json" if compose else tmp_path / "out").read_text()
    )
    minimal = report["proposal"]["minimal"]
    assert minimal in (["CAP_DAC_OVERRIDE"], ["CAP_DAC_READ_SEARCH"]), seen.stderr
    (need,) = (one for one in report["needs"] if one["verdict"] == "required")
    assert need["lost_without"].endswith("on a new volume, which begins with files of the image")
    assert not any("new volume" in caution for caution in report["proof"]["cautions"])


@pytest.mark.parametrize("owner", [5, None])
def test_an_empty_folder_has_the_owner_that_it_had_before_the_recording(
    owner: int | None, tmp_path: Path
) -> None:
    """Also where the engine makes it: ``chown`` must be needed again on the next host."""
    folder = tmp_path / "data"
    if owner:
        folder.mkdir()
        os.chown(folder, owner, owner)
    script = "test $(stat -c %u /data) = 7 || chown 7 /data"
    words = (*RUN, f"--volume={folder}:/data", BOX, "sh", "-c", script)
    seen = record(tmp_path / "r.json", *words, options=("--prove",))
    assert seen.minimal == {"CHOWN"}, seen.stderr


def test_a_folder_that_it_needs_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "name").write_text("5\n")
    script = 'touch /new && chown "$(cat /conf/name)" /new'
    words = (*RUN, f"--volume={tmp_path}/conf:/conf", BOX, "sh", "-c", script)
    seen = record(tmp_path / "r.json", *words, options=("--prove",))
    assert seen.minimal == {"CHOWN"}, seen.stderr
    (caution,) = seen.report["proof"]["cautions"]
    assert caution.startswith("with empty folders and new volumes it fails")


def test_a_prover_that_is_killed_leaves_nothing_mounted(volume: str, tmp_path: Path) -> None:
    fill = "touch /data/f && chown 5 /data/f"
    docker("run", "--rm", f"--volume={volume}:/data", BOX, "sh", "-c", fill)
    words = (*RUN, f"--volume={volume}:/data", BOX, "sh", "-c", SERVER)
    report = tmp_path / "r.json"
    record(report, *words, options=CHECK[1:])
    prover = subprocess.Popen(
        [CAPADVISE, "prove", "--data-only", "-o", tmp_path / "p.json", report],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )

    def ours() -> list[str]:
        """Of this prover: others may run beside it."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in mounts if f"/capadvise-trial-{prover.pid}-" in line]

    assert until(ours, 60)
    prover.send_signal(signal.SIGKILL)
    prover.wait()
    assert until(lambda: not ours(), 60)
    assert docker("run", "--rm", f"--volume={volume}:/data", BOX, "cat", "/data/count") == "x"
