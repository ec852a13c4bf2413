"""What is shown while Textual is loaded: it fits, holds what decides, and needs no Textual."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from rich.cells import cell_len

from capadvise.tui.first_frame import of_recording, of_review
from tests.support.screens import CATALOG, HOSTILE, NGINX, report

LOOKS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("size", [(20, 6), (60, 16), (80, 24), (160, 50)])
@pytest.mark.parametrize("drawn", [of_review(NGINX, CATALOG), of_recording(["x" * 300], CATALOG)])
def test_every_line_fits(drawn: object, size: tuple[int, int]) -> None:
    lines = [LOOKS.sub("", line) for line in drawn(*size)]  # type: ignore[operator]
    assert max(map(cell_len, lines)) <= size[0]


def test_the_needs_and_their_risks_are_there_at_once() -> None:
    text = LOOKS.sub("", "\n".join(of_review(NGINX, CATALOG)(60, 16)))
    assert "41 → 3 · medium" in text
    assert re.search(r"● CHOWN +medium", text)
    assert re.search(r"● NET_BIND_SERVICE +low", text)


def test_colours_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[1;32m●" in "".join(of_review(NGINX, CATALOG)(80, 24))
    monkeypatch.setenv("NO_COLOR", "1")
    looks = set(LOOKS.findall("".join(of_review(NGINX, CATALOG)(80, 24))))
    assert looks <= {"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[1;7m"}


def test_nothing_of_the_target_reaches_the_terminal_raw() -> None:
    lines = of_review(report(argv=(HOSTILE,)), CATALOG)(160, 50)
    assert all(LOOKS.sub("", line).isprintable() for line in lines)


def test_it_does_not_load_textual() -> None:
    code = (
        "import sys, capadvise.tui.first_frame; print([m for m in sys.modules if 'textual' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
