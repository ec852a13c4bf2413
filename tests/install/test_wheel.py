"""What users get: a wheel and an sdist, and what is in them works where nothing else is."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from capadvise import __version__

TREE = Path(__file__).parents[2]
WEB = "import os, socket; os.chown('f', 1, 1); socket.socket().bind(('', 80))"
WHEEL = f"capadvise-{__version__}-py3-none-any.whl"
LOW_PORT = 'sysctl -qw net.ipv4.ip_unprivileged_port_start=1024 && exec "$@"'

Capadvise = Callable[..., subprocess.CompletedProcess[str]]


def build(tree: Path, folder: Path, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)],
        cwd=tree,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both, built of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    build(TREE, folder, "sdist")
    build(TREE, folder, "wheel")
    return folder


@pytest.fixture(scope="module")
def capadvise(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Capadvise:
    """Runs the wheel's command, installed into an empty virtual environment, far from the tree."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", place / "venv"], check=True)
    pip = [place / "venv/bin/pip", "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run([*pip, f"{dist / WHEEL}[trials]"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    work = place / "work"
    work.mkdir()
    (work / "f").touch()
    without = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(*argv: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [*before, str(place / "venv/bin/capadvise"), *argv]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=work, env=without, timeout=120
        )

    return call


def members(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_package_the_facts_and_nothing_else(dist: Path) -> None:
    ours = {
        f"{place}/{path.relative_to(TREE / folder)}"
        for folder, place, pattern in (
            ("capadvise", "capadvise", "*"),
            ("catalog", "capadvise/catalog/data", "*.tsv"),
            ("catalog", "capadvise/catalog/data", "compiled.json"),
            ("catalog", "capadvise/catalog/data", "proven/*"),
        )
        for path in (TREE / folder).rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts and path.name != "capadvise.1"
    }
    held = set(members(dist / WHEEL))
    stem = f"capadvise-{__version__}"
    besides = {name for name in held if name.startswith((f"{stem}.dist-info/", f"{stem}.data/"))}
    assert held - besides == ours
    assert f"{stem}.dist-info/licenses/LICENSE" in besides
    assert f"{stem}.data/data/share/man/man1/capadvise.1" in besides


def test_the_sdist_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    packed = dist / f"capadvise-{__version__}.tar.gz"
    subprocess.run(["tar", "-C", tmp_path, "-xf", packed], check=True)
    tree = tmp_path / f"capadvise-{__version__}"
    build(tree, tmp_path / "dist", "wheel")
    assert members(tmp_path / "dist" / WHEEL) == members(dist / WHEEL)
    assert os.access(tree / ".ci" / "setup", os.X_OK)


def test_the_version_and_the_licence_are_stated_once(dist: Path) -> None:
    about = email.message_from_bytes(
        members(dist / WHEEL)[f"capadvise-{__version__}.dist-info/METADATA"]
    )
    assert (about["Version"], about["License-Expression"]) == (__version__, "MIT")
    assert about.get_all("Project-URL") is None  # there is no address yet, and none is invented
    bounds = about.get_all("Requires-Dist", [])
    assert all(">=" in bound and "<" in bound for bound in bounds if "extra ==" not in bound)


@pytest.mark.kernel
def test_what_is_installed_works(capadvise: Capadvise) -> None:
    network = ("unshare", "--net", "sh", "-c", LOW_PORT, "sh")
    done = capadvise("run", "-o", "r.json", "--", sys.executable, "-c", WEB, before=network)
    assert done.returncode == 0, done.stderr
    assert " needs CHOWN, NET_BIND_SERVICE (2; root here holds " in done.stderr
    done = capadvise("prove", "r.json", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["proposal"]["cap_add"] == ["CHOWN", "NET_BIND_SERVICE"]
    for argv, said in (
        (("emit", "r.json", "--format", "compose"), "- NET_BIND_SERVICE"),
        (("explain", "r.json"), "Do this instead"),
        (("explain", "SYS_ADMIN"), "CAP_SYS_ADMIN (number 21"),
        (("catalog", "check"), "41 capabilities"),
        (("doctor",), "capability checks can be observed here"),
        (("help", "judgement"), "How it judges"),
        (("completions", "bash"), "complete -o"),
        (("--version",), f"capadvise {__version__}"),
    ):
        done = capadvise(*argv)
        assert (done.returncode, said in done.stdout) == (0, True), (argv, done)
