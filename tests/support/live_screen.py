"""The live screen on a recorder that does as it is told, and what that screen shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from textual.pilot import Pilot

from capadvise.model.errors import CannotStart
from capadvise.model.recording import Check, Tally
from capadvise.tui.app import CapadviseApp
from capadvise.tui.main import Main
from capadvise.workflow.protocols import Now, Over
from tests.support.screens import CATALOG, NGINX, PATH, Prover, report, shows

Session = Pilot[Any]
OVER = Over(NGINX, PATH)


@dataclass
class ToldRecorder:
    """What a recorder says, set by the tests; what it was told, for them to look at."""

    argv: tuple[str, ...] = ("nginx", "-g", "daemon off;")
    observer: str = "tracepoint"
    check: str | None = None
    has_terminal: bool = True
    state: Now | tuple[Now, ...] = field(default_factory=lambda: Now(1.0))
    waits: bool = False
    written: bytes = b""
    end: Over | tuple[Over, ...] | None = None
    error: CannotStart | None = None
    started: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    stops: int = 0
    typed: bytes = b""
    seen: list[str] = field(default_factory=list)

    def start(self, columns: int, rows: int) -> None:
        self.started = columns, rows

    def now(self) -> tuple[Now, ...]:
        return self.state if isinstance(self.state, tuple) else (self.state,)

    def output(self) -> bytes:
        data, self.written = self.written, b""
        return data

    def wants_keys(self) -> bool:
        return self.waits

    def over(self) -> tuple[Over, ...] | None:
        if self.error:
            raise self.error
        return (self.end,) if isinstance(self.end, Over) else self.end

    def stop(self) -> None:
        self.stops += 1

    def type(self, data: bytes) -> None:
        self.typed += data

    def resize(self, columns: int, rows: int) -> None:
        self.size = columns, rows


def seen(*checks: Check, seconds: float = 1.0, **more: Any) -> Now:
    """What a recording of these looks like."""
    known = report(*checks)
    tallies = tuple(Tally(item.count, item) for item in checks)
    return Now(seconds, tallies, known.proposal, **more)


def live_on(recorder: ToldRecorder, *, at_once: bool = False) -> tuple[CapadviseApp, Main]:
    """The screen on a recorder."""
    main = Main(CATALOG, source=recorder, prover=lambda _: Prover(), prove=at_once)
    return CapadviseApp(lambda: main), main


def rows(main: Main) -> list[str]:
    """The list of capabilities, with its titles."""
    return [" ".join(str(option.prompt).split()) for option in main.live.caps.options]


async def look(pilot: Session, view: Main) -> None:
    """One look of the screen at its recorder."""
    view.look()
    await pilot.pause()


def state_line(app: CapadviseApp) -> str:
    """What the board says of what goes on, beside the last row of lamps."""
    return shows(app, "#board").splitlines()[-1][31:].strip()
