"""Folders of another owner: what they explain, and what they do not."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.catalog import default
from capadvise.judgement.decide import Verdict, decide_all
from capadvise.judgement.remediation import folders_of
from capadvise.model.caps import Cap
from capadvise.model.recording import ForeignFolder, Held
from capadvise.targets.containers.seen import _may_write
from tests.support.recordings import FULL, check, recording

FOLDER = ForeignFolder("/data", "/srv/data", "0:0", "1234:0")
OPEN = ("generic_permission", "inode_permission", "may_create_in_sticky", "path_openat")


@pytest.mark.parametrize(
    ("granted", "folders", "recommended"),
    [(False, (FOLDER,), set()), (False, (), {"DAC_OVERRIDE"}), (True, (FOLDER,), {"DAC_OVERRIDE"})],
)
def test_a_capability_that_was_refused_for_a_folder_is_not_recommended(
    granted: bool, folders: tuple[ForeignFolder, ...], recommended: set[str]
) -> None:
    result = 0 if granted else -13
    asked = check("DAC_OVERRIDE", OPEN, "openat", granted=granted, result=result, uid=1234)
    held = Held(FULL, FULL if granted else frozenset(), frozenset())
    ended = {"succeeded": granted, "exit_status": 0 if granted else 1}
    seen = recording(asked, held=held, foreign_folders=folders, **ended)
    proposal = decide_all((seen,), default())
    assert {cap.short for cap in proposal.recommended} == recommended
    said = [caution for caution in proposal.cautions if "chown -R 1234 /srv/data" in caution]
    assert bool(said) is bool(folders and not granted)
    if not recommended:
        assert proposal.need(Cap.parse("DAC_OVERRIDE")).verdict is Verdict.DENIED


def test_a_copy_that_a_trial_saw_is_not_named() -> None:
    copy = replace(FOLDER, source="/tmp/capadvise-trial-1/volume0")
    seen = [recording(foreign_folders=(one,)) for one in (FOLDER, copy)]
    assert folders_of(seen) == (FOLDER,)


@pytest.mark.parametrize(
    ("owner", "mode", "may"),
    [
        ((1234, 0), 0o755, True),
        ((1234, 0), 0o555, False),
        ((0, 5), 0o775, True),
        ((0, 5), 0o757, False),  # the group is asked, and nobody after it
        ((0, 0), 0o777, True),
        ((0, 0), 0o755, False),
    ],
)
def test_who_may_write_is_decided_as_the_kernel_does(
    owner: tuple[int, int], mode: int, may: bool, tmp_path: Path
) -> None:
    status = os.stat_result((0o40000 | mode, 0, 0, 2, *owner, 0, 0, 0, 0))
    assert _may_write(status, 1234, {5}) is may
