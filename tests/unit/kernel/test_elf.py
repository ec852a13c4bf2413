"""Functions that a program imports."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from capadvise.kernel.executables import imported


def of(path: Path | str, *names: str) -> frozenset[str]:
    handle = os.open(path, os.O_PATH)
    try:
        return imported(handle, names)
    finally:
        os.close(handle)


def test_a_program_is_told_by_what_it_imports() -> None:
    assert of("/bin/ls", "opendir", "audit_can_control", "open") == {"opendir"}


@pytest.mark.parametrize("length", [0, 3, 20, 64, 100, 900])
def test_of_a_cut_program_nothing_is_known(tmp_path: Path, length: int) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(Path(sys.executable).resolve().read_bytes()[:length])
    assert of(cut, "main") == frozenset()


@pytest.mark.parametrize("last", [0x7F, 0xFF])
def test_sizes_that_cannot_be_are_no_program(last: int, tmp_path: Path) -> None:
    raw = bytearray(Path("/bin/ls").read_bytes()[:4096])
    raw[32:40] = b"\xff" * 7 + bytes([last])
    (tmp_path / "odd").write_bytes(raw)
    assert of(tmp_path / "odd", "opendir") == frozenset()


def test_a_script_and_a_folder_import_nothing(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert of(tmp_path / "script", "main") == of(tmp_path, "main") == frozenset()
