"""The TUI on this terminal: its colours, and what the user chose some other time."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from capadvise.gate.patching import Patching
    from capadvise.tui.first_frame import Draw
    from capadvise.tui.main import Main
    from capadvise.tui.protocols import Prover, WatchSource
    from capadvise.watched import WatchFinding


def open_app(make: Callable[[], Main], early: Draw) -> int:
    """Show it until the user leaves; the exit code. ``early``: what there is to see at once."""
    from capadvise.tui.early import early_keys
    from capadvise.tui.first_frame import first_frame

    gc.disable()  # 300 modules are loaded, and none of them will be garbage; the app enables it
    with early_keys(sys.stdin.fileno()) as typed:
        with first_frame(early):
            from capadvise.tui.app import CapadviseApp
            from capadvise.tui.remembered import remembered
            from capadvise.tui.theme import ask_background, theme

            chosen, keys = remembered()
            look = theme(os.environ, ask_background(typed))
            main = make()
            app = CapadviseApp(lambda: main, theme=look, chosen=chosen, keys=keys, early=typed)
        app.run()
    return app.return_code or 0


def pick(reports: Sequence[tuple[Path, float]]) -> Path | None:
    """Let the user choose a report."""
    from capadvise.tui.early import early_keys
    from capadvise.tui.picker import Picker
    from capadvise.tui.theme import ask_background, theme

    with early_keys(sys.stdin.fileno()) as typed:
        return Picker(reports, theme(os.environ, ask_background(typed)), typed).run()


def open_watch(
    source: WatchSource,
    seconds: float | None,
    note: Callable[[WatchFinding], str | None],
    counted: Callable[[], None],
    *,
    everything: bool,
) -> None:
    """The screen of ``watch``, until the user leaves; see ``WatchApp``."""
    from capadvise.tui.early import early_keys

    with early_keys(sys.stdin.fileno()) as typed:
        from capadvise.tui.theme import ask_background, theme
        from capadvise.tui.watching import WatchApp

        look = theme(os.environ, ask_background(typed))
        app = WatchApp(
            source,
            note=note,
            everything=everything,
            seconds=seconds,
            counted=counted,
            theme=look,
            early=typed,
        )
        app.run()


def prover(path: Path, before: dict[str, str] | None = None) -> Prover:
    """Who runs the trials of a report: loaded when that is asked for, 100 ms after the first frame.
    ``before``: what was kept before the recording."""
    from capadvise.workflow.review_prover import ReviewProver

    return ReviewProver(path, before)


def confirm(made: Patching) -> None:
    """See ``protocols.Confirm``: loaded when something is saved."""
    from capadvise.workflow.confirm import confirm

    confirm(made)


def has_screens() -> bool:
    """Whether somebody looks, on a terminal that can be drawn on."""
    drawn = os.environ.get("TERM", "dumb") != "dumb"
    return drawn and all(s and s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr))
