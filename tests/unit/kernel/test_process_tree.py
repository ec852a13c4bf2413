"""What runs below a process."""

from __future__ import annotations

import os
import subprocess

import pytest

from capadvise.kernel import process_tree
from capadvise.kernel.process_tree import descendants, seen_below


@pytest.mark.parametrize("names_children", [True, False])
def test_a_look_finds_what_all_of_proc_tells(
    names_children: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel need not name the children of a thread."""
    if not names_children:
        monkeypatch.setattr(process_tree, "_children", None)
        monkeypatch.setattr(os.path, "exists", lambda path: False)
    tree = "(sleep 60 & echo; exec sleep 60) & exec sleep 60"
    with subprocess.Popen(["sh", "-c", tree], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            seen = seen_below(process.pid)
            assert len(seen) == 2
            assert sorted(seen) == sorted(descendants(process.pid))
        finally:
            for pid in (*descendants(process.pid), process.pid):
                os.kill(pid, 9)
    assert seen_below(process.pid) == []
