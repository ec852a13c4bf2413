"""Whose file is it, before `prove` runs what stands in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.cli import main
from capadvise.model.errors import BadInput
from capadvise.report.save import save
from capadvise.report.words import order_of
from capadvise.workflow.jobs import Ways, candidates
from capadvise.workflow.review_prover import ReviewProver
from capadvise.workflow.trust import distrusted
from tests.support.recordings import CATALOG
from tests.support.screens import HOSTILE, NGINX

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that leads from the root through folders of root's and sticky ones only."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def file(folder: Path) -> Path:
    (folder / "in").mkdir()
    path = folder / "in" / "r.json"
    save(path, replace(NGINX, workload=replace(NGINX.workload, setup="a\nb", check="c")), CATALOG)
    return path


def test_ones_own_file_is_trusted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file.parent / "link").symlink_to("../in/r.json")
    assert distrusted(file) is None
    assert distrusted(file.parent / "link") is None
    monkeypatch.chdir(file.parent)
    assert distrusted(Path("link")) is None


def test_a_file_that_others_can_write_is_not(file: Path) -> None:
    file.chmod(0o606)
    assert distrusted(file) == f"every user can write to {file}"
    file.chmod(0o600)
    file.parent.chmod(0o777)
    assert distrusted(file) == f"every user can write to {file.parent}"
    file.parent.chmod(0o1777)
    assert distrusted(file) is None, "there, nobody can replace it"


@as_root
@pytest.mark.parametrize("which", ["r.json", ""])
def test_what_another_user_owns_is_not(file: Path, which: str) -> None:
    owned = file.parent / which
    os.chown(owned, NOBODY, NOBODY)
    assert (distrusted(file) or "").endswith(f"owns {owned}")


@as_root
def test_a_group_of_others_may_not_write(file: Path) -> None:
    os.chown(file, 0, NOBODY)
    file.chmod(0o660)
    assert distrusted(file) == f"other users can write to {file}"
    os.chown(file, 0, 0)
    assert distrusted(file) is None, "root's own group"


@as_root
def test_under_sudo_the_callers_file_is_ones_own(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(file, NOBODY, NOBODY)
    assert distrusted(file) is not None
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    assert distrusted(file) is None


@as_root
def test_a_link_of_another_user_leads_nowhere(file: Path) -> None:
    link = file.parent / "link"
    link.symlink_to(file)
    os.lchown(link, NOBODY, NOBODY)
    assert (distrusted(link) or "").endswith(f"owns {link}")
    assert distrusted(file) is None


def test_a_pipe_is_nobodys(file: Path) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, file.read_bytes())
    os.close(theirs)
    with pytest.raises(BadInput, match="it comes through a pipe") as caught:
        list(candidates(Path(f"/dev/fd/{ours}"), Ways()))
    assert "prove --trust" in str(caught.value.hint)
    os.close(ours)


def test_a_pipe_that_is_trusted_is_read_once(file: Path) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, file.read_bytes())
    os.close(theirs)
    (one,) = candidates(Path(f"/dev/fd/{ours}"), Ways(trusts=True))
    assert one.job.argv == ("nginx",)
    os.close(ours)


def test_all_that_will_run_is_shown_first(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.chmod(0o602)
    with pytest.raises(BadInput, match="every user can write to"):
        list(candidates(file, Ways()))
    said = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("capadvise: ").strip() for line in said[1:]] == [
        "set-up:    a",
        "b",
        "command:   nginx",
        "folder:    /srv",
        "user:      0:0",
        "check:     c",
    ]
    assert len(list(candidates(file, Ways(trusts=True)))) == 1


def test_a_script_that_others_can_write_is_refused(folder: Path) -> None:
    path = folder / "w.yaml"
    path.write_text("name: a\ncommand: 'true'\n")
    assert len(list(candidates(path, Ways()))) == 1
    path.chmod(0o602)
    with pytest.raises(BadInput, match="every user can write to"):
        list(candidates(path, Ways()))
    assert len(list(candidates(path, Ways(trusts=True)))) == 1


def test_nothing_of_an_order_is_cut_or_steers_a_terminal() -> None:
    work = replace(NGINX.workload, check=HOSTILE, teardown="true\n\x1b[31m")
    lines = order_of(replace(NGINX, workload=work))
    assert sum(line.count("A") for line in lines) == HOSTILE.count("A")
    assert not [line for line in lines if not line.isprintable()]


def test_the_screens_refuse_it_as_well(file: Path) -> None:
    report = replace(NGINX, workload=replace(NGINX.workload, check="c"))
    assert ReviewProver(file, saved=True).order(report) == order_of(report)
    assert ReviewProver(file).order(report) == ()
    file.chmod(0o602)
    assert "every user can write" in (ReviewProver(file, saved=True).obstacle(report) or "")
    assert not ReviewProver(file, saved=True).wants_check(NGINX)
    assert "every user" not in (ReviewProver(file).obstacle(report) or "")


def test_a_merged_report_says_whose_words_it_takes(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The merged report is one's own, and would be trusted."""
    assert main(["merge", str(file), str(file)]) == 0
    assert "trials of the merged report" not in capsys.readouterr().err
    file.chmod(0o602)
    assert main(["merge", str(file), str(file)]) == 0
    said = capsys.readouterr().err
    assert f"note: every user can write to {file}; trials of the merged report run" in said
    assert "check:     c" in said
