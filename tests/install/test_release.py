"""What ``demos/release/build`` makes: twice the same, and nothing that may not be together."""

from __future__ import annotations

import hashlib
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from capadvise import __version__
from tests.support.building import built
from tests.support.required import tool

TOP = Path(__file__).parents[2]
GPL = ("prctl", "_prctl", "ptrace")
COPYLEFT = (*GPL, "pyte", "shtab")
"""pyte is LGPL, shtab MPL: in the Debian package with their licences, not in the single file."""
MADE = {
    "action.tar",
    f"capadvise-{__version__}-py3-none-any.whl",
    f"capadvise-{__version__}.tar.gz",
    "capadvise.pyz",
    "capadvise-kubernetes.tar.gz",
    "capadvise.yaml",
    "kubectl-capadvise.tar.gz",
    f"capadvise_{__version__}_all.deb",
    "debian.cdx.json",
    "single.cdx.json",
    "SHA256SUMS",
}


@pytest.fixture(scope="module")
def root(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the Debian package."""
    root = tmp_path_factory.mktemp("root")
    subprocess.run(["dpkg-deb", "-R", dist / f"capadvise_{__version__}_all.deb", root], check=True)
    return root


def packages(names: list[str], folder: str) -> set[str]:
    """The first part of each name below the folder."""
    return {Path(name.removeprefix(folder)).parts[0] for name in names if name.startswith(folder)}


def test_two_builds_are_equal(dist: Path, tmp_path: Path) -> None:
    """The second one in another folder, of files with other times."""
    tree = tmp_path / "another folder"
    left_out = shutil.ignore_patterns(".venv", ".*_cache", "__pycache__", ".hypothesis", "dist")
    shutil.copytree(TOP, tree, ignore=left_out, symlinks=True, copy_function=shutil.copy)
    (tree / ".venv").symlink_to(Path(sys.prefix))
    again = built(tree, tmp_path / "dist", "--no-image")
    assert {path.name for path in again.iterdir()} == MADE
    assert (again / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=dist, check=True)


def test_the_single_file_holds_no_copyleft_and_nothing_compiled(dist: Path) -> None:
    with zipfile.ZipFile(dist / "capadvise.pyz") as archive:
        names = archive.namelist()
    held = packages(names, "site-packages/")
    assert {"capadvise", "textual", "yaml"} <= held
    assert not held & set(COPYLEFT)
    assert not [name for name in names if name.endswith((".so", ".pyc"))]
    licensed = {
        name.split("/")[1] for name in names if "LICEN" in name.upper() or "COPYING" in name
    }
    assert {name for name in held if name.endswith(".dist-info")} <= licensed


def test_the_debian_package_leaves_gpl_to_packages_of_its_own(root: Path) -> None:
    library = root / "usr/lib/capadvise"
    held = {path.name for path in library.iterdir()}
    assert {"capadvise", "textual", "pyte", "shtab"} <= held
    assert not held & set(GPL)
    control = (root / "DEBIAN/control").read_text()
    assert "python3-prctl, python3-ptrace, python3-yaml" in control
    said = (root / "usr/share/doc/capadvise/copyright").read_text()
    for about in library.glob("*.dist-info"):
        name, version = about.name.removesuffix(".dist-info").split("-")
        if name != "capadvise":
            assert f"{version}, https://pypi.org/project/" in said, about
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in said
    assert "Mozilla Public License" in said


def test_kubectl_finds_its_plugin_through_the_link_that_krew_makes(
    dist: Path, tmp_path: Path
) -> None:
    tool("kubectl")
    manifest = yaml.safe_load((dist / "capadvise.yaml").read_text())
    (platform,) = manifest["spec"]["platforms"]
    packed = dist / "kubectl-capadvise.tar.gz"
    assert platform["sha256"] == hashlib.sha256(packed.read_bytes()).hexdigest()
    for name in ("store", "bin"):
        (tmp_path / name).mkdir()
    subprocess.run(["tar", "-C", tmp_path / "store", "-xf", packed], check=True)
    (tmp_path / "bin/kubectl-capadvise").symlink_to(tmp_path / "store" / platform["bin"])
    env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["kubectl", "capadvise", "keep", "--help"], env=env, capture_output=True, text=True
    )
    assert "usage: capadvise kubernetes keep" in done.stdout, done


def test_manual_page_and_completions_lie_where_debian_looks(root: Path) -> None:
    share = root / "usr/share"
    for place, holds in (
        ("bash-completion/completions/capadvise", "complete -o"),
        ("zsh/vendor-completions/_capadvise", "#compdef capadvise"),
        ("fish/vendor_completions.d/capadvise.fish", "complete -c capadvise"),
    ):
        assert holds in (share / place).read_text()
    shown = subprocess.run(["zcat", share / "man/man1/capadvise.1.gz"], capture_output=True)
    assert b".TH" in shown.stdout


def test_the_single_file_is_the_gate_and_names_what_it_lacks(dist: Path, tmp_path: Path) -> None:
    """With an interpreter that has none of our modules."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True)
    work = tmp_path / "work"
    work.mkdir()
    (work / "compose.yaml").write_text("services: {web: {image: x, privileged: true}}\n")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    argv = [tmp_path / "v/bin/python", dist / "capadvise.pyz"]

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*argv, *more], cwd=work, env=env, capture_output=True, text=True)

    done = call("check", ".")
    assert (done.returncode, "privileged" in done.stdout) == (1, True), done
    done = call("completions", "bash")
    assert (done.returncode, "pip install shtab" in done.stderr) == (2, True), done
    assert "python3-dev" in call("doctor").stdout
    shutil.rmtree(tmp_path / ".shiv")
    assert {path.name for path in tmp_path.iterdir()} == {"v", "work"}


def test_an_old_python_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit code of a usage error: 1 would say that the gate has failed."""
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(TOP / "demos/release/preamble.py"))
    assert ended.value.code == 2
    assert "it needs Python 3.11 or later" in capsys.readouterr().err


@pytest.mark.kernel
def test_the_single_file_proves_nothing_without_python_prctl_and_says_so(
    dist: Path, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True)
    program = [tmp_path / "v/bin/python", dist / "capadvise.pyz"]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    (tmp_path / "f").touch()
    words = ["run", "--prove", "-o", "r.json", "--", "chown", "1", "f"]
    done = subprocess.run(
        [*program, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert "chown needs CHOWN" in done.stderr
    assert "not proven: the Python module prctl is missing" in done.stderr
    assert "-m pip install python-prctl python-ptrace" in done.stderr
