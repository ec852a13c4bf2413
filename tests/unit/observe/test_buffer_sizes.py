"""How much memory the trace buffers take, on machines with few processors and with many."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from capadvise.observe.ftrace import instances, tracefs


def with_processors(root: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """A tracefs that makes an instance's files, as on a machine with so many processors."""
    make = Path.mkdir

    def mkdir(folder: Path, *words: Any, **more: Any) -> None:
        make(folder, *words, **more)
        if folder.parent == root / "instances":
            make(cpu := folder / "per_cpu" / "cpu0", parents=True)
            (cpu / "trace_pipe_raw").touch()
            for number in range(1, count):
                os.symlink("cpu0", f"{cpu.parent}/cpu{number}")
            make(folder / "options")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    # where files are made by being written to
    monkeypatch.setattr(tracefs, "write", lambda path, text: path.write_text(text))
    make(root / "instances")


@pytest.mark.parametrize("processors", [1, 2, 6, 8, 64, 128, 512])
def test_the_buffers_of_a_recording_fit_into_64_mb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    """All of them, with the page of each processor that is being read; and on up to six
    processors each is as large as it was asked for."""
    with_processors(tmp_path, monkeypatch, processors)
    sizes = []
    for number, kb in enumerate(instances.SIZES_KB):
        instance = tracefs.Instance(tmp_path, f"capadvise-{number}", buffer_kb=kb)
        instance.close()
        sizes.append(int((instance.folder / "buffer_size_kb").read_text()))
    assert sum(size + 4 for size in sizes) * processors <= 64 << 10
    assert min(sizes) >= 8
    if processors <= 6:
        assert sizes == list(instances.SIZES_KB)
