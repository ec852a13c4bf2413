"""The TUI on this terminal, in its colours and as the user left it the last time. Textual is loaded
when a screen opens, and not before."""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from capadvise.model.errors import CapadviseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from capadvise.gate.patching import Patching
    from capadvise.tui.first_frame import Draw
    from capadvise.tui.main import Main
    from capadvise.tui.output import Output
    from capadvise.workflow.protocols import LiveRecording, Over, Prover, WatchSource


def open_app(make: Callable[[], Main], early: Draw) -> int:
    """Show the screen until the user leaves, and return the exit code. ``early`` draws the first
    frame, which is shown while Textual is loaded."""
    from capadvise.tui.early import early_keys
    from capadvise.tui.first_frame import first_frame

    gc.disable()  # 300 modules are loaded, and none of them will be garbage; the app enables it
    with early_keys(sys.stdin.fileno()) as typed:
        with first_frame(early):
            from capadvise.tui.app import CapadviseApp
            from capadvise.tui.theme import ask_background, remembered, theme

            chosen, keys = remembered()
            look = theme(os.environ, ask_background(typed))
            main = make()
            app = CapadviseApp(lambda: main, theme=look, chosen=chosen, keys=keys, early=typed)
        app.run()
    return app.return_code or 0


def pick(reports: Sequence[tuple[Path, float]]) -> Path | None:
    from capadvise.tui.early import early_keys
    from capadvise.tui.picker import Picker
    from capadvise.tui.theme import ask_background, theme

    with early_keys(sys.stdin.fileno()) as typed:
        return Picker(reports, theme(os.environ, ask_background(typed)), typed).run()


def open_watch(source: WatchSource, counted: Callable[[], None], **chosen: Any) -> None:
    """The screen of ``watch``, until the user leaves; see ``WatchApp``."""
    from capadvise.tui.early import early_keys

    with early_keys(sys.stdin.fileno()) as typed:
        from capadvise.tui.theme import ask_background, theme
        from capadvise.tui.watching import WatchApp

        look = theme(os.environ, ask_background(typed))
        WatchApp(source, counted=counted, theme=look, early=typed, **chosen).run()


def prover(path: Path, before: dict[str, str] | None = None, *, saved: bool = False) -> Prover:
    """See ``protocols.Prover``. Its modules are loaded here, 100 ms after the first frame.
    ``before``, ``saved``: see ``ReviewProver``."""
    from capadvise.workflow.review_prover import ReviewProver

    return ReviewProver(path, before, saved=saved)


def confirm(made: Patching) -> None:
    """See ``protocols.Confirm``: loaded when something is saved."""
    from capadvise.workflow.patch_file import confirm

    confirm(made)


def show_live(
    recorder: LiveRecording, *, prove: bool = False, before: dict[str, str] | None = None
) -> list[Over]:
    """The screens, until the user leaves: how each recording ended, with its report as it is then.
    ``before``: what was kept before the recording, for trials.

    Raises what the job raises.
    """
    from capadvise.catalog import default
    from capadvise.tui.first_frame import of_recording

    mains: list[Main] = []

    def make() -> Main:
        from capadvise.tui.main import Main

        place = partial(prover, before=before)
        mains.append(Main(default(), source=recorder, prover=place, confirm=confirm, prove=prove))
        return mains[0]

    try:
        open_app(make, of_recording(recorder.argv, default()))
    finally:
        try:
            overs = recorder.close()
        finally:  # even if nothing was recorded: the output may say why
            for main in mains:
                _print_output(main.live.output, recorder)
    if not overs:
        raise CapadviseError("the TUI could not be opened", hint="try --no-tui")
    reports = [state.choice.report if state.choice else None for state in mains[0].states]
    newest = dict(enumerate(reports))
    return [replace(over, report=newest.get(n) or over.report) for n, over in enumerate(overs)]


def _print_output(output: Output, recorder: LiveRecording) -> None:
    """Print what the target wrote, below the command that the user typed."""
    terminal = output.terminal  # alone: there is no screen any more
    terminal.feed(recorder.output())
    while not terminal.turn():
        pass
    for line in terminal.text():
        print(line)
