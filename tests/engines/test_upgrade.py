"""Upgrades: a set that is proven on new volumes can fail on those of an older image."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import BOX, ENVIRONMENT, MARK, call, record, trials_of
from tests.support.runs import CAPADVISE, Result

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes")]

RUN = ("docker", "run", "--rm", "--network=none")
CHECK = ("--check", 'docker exec "$CONTAINER" test -e /tmp/up')
SERVE = "trap 'exit 0' TERM; touch /tmp/up; while :; do sleep 0.2; done"
ADAPT = 'test "$(stat -c %u /data/db)" = 101 || chown 101 /data/db || exit 9;'
"""A new volume begins with the image's own file, which has the right owner."""
OLD, NEW, BROKEN = (f"{MARK}-upgraded:{tag}" for tag in ("1", "2", "broken"))


def _image(name: str, owner: int, script: str) -> None:
    fill = f"mkdir -p /data && touch /data/db && chown -R {owner} /data"
    held = f"{MARK}-held"
    call("docker", "run", f"--name={held}", "--network=none", BOX, "sh", "-c", fill)
    entry = f"--change=ENTRYPOINT {json.dumps(['sh', '-c', script])}"
    done = call("docker", "commit", entry, "--change=VOLUME /data", held, name)
    call("docker", "rm", held)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module", autouse=True)
def upgraded(boxes: None) -> Iterator[None]:
    _image(OLD, 70, SERVE)
    _image(NEW, 101, ADAPT + SERVE)
    _image(BROKEN, 70, "sleep 1000")
    yield
    call("docker", "image", "rm", "--force", OLD, NEW, BROKEN)


def _proven(report: Path, old: str) -> subprocess.CompletedProcess[str]:
    words = [CAPADVISE, "prove", "--from", old, "-o", report.with_suffix(".proven"), report]
    return subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)


def _recorded(path: Path, *options: str) -> Result:
    return record(path / "r.json", *RUN, NEW, options=(*options, *CHECK))


def test_an_upgrade_from_an_older_image_is_tried(tmp_path: Path) -> None:
    _recorded(tmp_path)
    done = _proven(tmp_path / "r.json", OLD)
    report = json.loads((tmp_path / "r.proven").read_text())
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"], done.stderr
    (need,) = (one for one in report["needs"] if one["verdict"] == "required")
    assert need["lost_without"] == "the workload fails at an upgrade only"
    assert "at an upgrade only" in " ".join(done.stdout.split())
    assert not trials_of(NEW)
    assert not trials_of(OLD)


def test_an_upgrade_is_tried_on_data_of_another_owner(tmp_path: Path) -> None:
    """Without the older image: its modes would be the same."""
    seen = _recorded(tmp_path, "--prove")
    assert seen.minimal == set(), seen.stderr
    assert seen.report["proposal"]["recommended"] == ["CAP_CHOWN"], seen.stderr
    lost = [one["lost_without"] for one in seen.report["needs"] if one["verdict"] == "optional"]
    assert [text[:18] for text in lost] == ["at an upgrade only"]
    assert "at an upgrade only" in " ".join(seen.stderr.split())


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (f"{MARK}-nowhere:1", "is not there and cannot be pulled"),
        (BOX, "is an image of another program than"),
        (BROKEN, "could not fill the volumes"),
    ],
    ids=["nowhere", "another", "broken"],  # the names of the images differ from process to process
)
def test_what_is_no_older_image_is_said_before_anything_is_tried(
    old: str, said: str, tmp_path: Path
) -> None:
    _recorded(tmp_path)
    done = _proven(tmp_path / "r.json", old)
    assert done.returncode in (1, 2)
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "r.proven").exists()
    assert not trials_of(NEW)
