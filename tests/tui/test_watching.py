"""The screen of watch on findings that are given: it needs no kernel."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from capadvise.catalog import default
from capadvise.judgement.watched import (
    Owner,
    OwnerKind,
    WatchedCall,
    WatchFinding,
    WatchFindings,
    empty_context,
    judged,
)
from capadvise.model.caps import Cap
from capadvise.model.recording import Check, Namespace
from capadvise.tui.watching import WatchApp
from tests.support.golden import assert_golden
from tests.support.screens import HOSTILE, drive, press, screen_text, settle
from tests.support.wait import PATIENCE
from tests.tui.goldens import GOLDEN

Session = Pilot[Any]
CATALOG = default()
WEB = Owner(OwnerKind.CONTAINER, "web", "docker", "shop", container="3" * 64)
UNIT = Owner(OwnerKind.UNIT, "nginx.service")
SITES = {
    "CHOWN": ("setattr_prepare", "notify_change", "chown_common", "__x64_sys_chown"),
    "NET_BIND_SERVICE": ("__inet_bind", "inet_bind", "__sys_bind", "__x64_sys_bind"),
    "SETPCAP": ("cap_capset", "__x64_sys_capset"),
}


def refused(owner: Owner, cap: str, syscall: str, about: str, program: str = "sh") -> WatchFinding:
    one = Check(
        *(1, Cap.parse(cap), False, Namespace.TARGET, SITES[cap], program, 7, 1, 0.0),
        syscall=syscall,
        result=-1,
    )
    call = WatchedCall(owner, program, 7, 0, syscall, about, (one,))
    return judged(call, CATALOG, empty_context(CATALOG))


@dataclass
class Source:
    """A watch that finds what a test says; its descriptor is readable when there is something."""

    last_cap: int = 40
    seconds: float = 75.0
    dropped: int = 0
    hears_audit: bool = True
    patience: float | None = None
    findings: WatchFindings = field(default_factory=WatchFindings)
    coming: list[WatchFinding] = field(default_factory=list)
    counts: int = 0

    def __post_init__(self) -> None:
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)

    @property
    def fds(self) -> Sequence[int]:
        return [self.fd]

    def find(self, *found: WatchFinding) -> None:
        self.coming += found
        os.write(self._write, b"x")

    def news(self) -> Iterable[WatchFinding]:
        os.read(self.fd, 100)
        coming, self.coming = self.coming, []
        for finding in coming:
            kept, new = self.findings.add(finding)
            kept.count += 1
            if new:
                yield kept

    def count(self) -> None:
        self.counts += 1


FOUND = (
    refused(WEB, "CHOWN", "chown", "/data, uid 999"),
    refused(UNIT, "NET_BIND_SERVICE", "bind", "0.0.0.0:80", "nginx"),
    refused(WEB, "NET_BIND_SERVICE", "bind", "0.0.0.0:443"),
    refused(UNIT, "SETPCAP", "capset", "", "nginx"),
)


def watched(*found: WatchFinding) -> tuple[Source, WatchApp]:
    source = Source()
    for finding in found or (*FOUND, *FOUND[:1]):
        kept, _ = source.findings.add(replace(finding))
        kept.count += 1
    return source, WatchApp(source)


async def until(pilot: Session, condition: Callable[[], bool]) -> None:
    """Wait until it holds; fail with the screen if it never does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, screen_text(pilot.app)
        await pilot.pause(0.05)


async def listed(pilot: Session, count: int) -> list[str]:
    """Wait until there are so many rows: their texts."""
    table = pilot.app.screen.query_one("#findings", OptionList)
    await until(pilot, lambda: table.option_count == count)
    await settle(pilot)
    return [str(table.get_option_at_index(number).prompt) for number in range(count)]


@pytest.mark.parametrize("size", [(80, 24), (120, 30), (60, 16)])
def test_the_screen(size: tuple[int, int]) -> None:
    _, app = watched()

    async def script(pilot: Session) -> None:
        await press(pilot, "down")
        assert_golden(f"watch-{size[0]}x{size[1]}.txt", screen_text(app), GOLDEN)

    drive(app, script, size)


def test_what_is_new_appears_at_the_top_and_the_highlight_stays() -> None:
    source, app = watched(FOUND[1])

    async def script(pilot: Session) -> None:
        await press(pilot, "down")
        source.find(FOUND[0], FOUND[2])
        rows = await listed(pilot, 5)
        assert [row.split()[1] for row in rows if row[0] == "▾"] == ["web", "nginx.service"]
        assert "bind(0.0.0.0:80)" in str(app.screen.query_one("#finding-text").render())
        await press(pilot, "home")
        source.find(refused(Owner(OwnerKind.USER, "alice"), "CHOWN", "chown", "/x"))
        await listed(pilot, 7)
        shown = str(app.screen.query_one("#finding-text").render())
        assert "alice" in shown
        assert "cure: " in shown

    drive(app, script)


def test_keys() -> None:
    source, app = watched()

    async def script(pilot: Session) -> None:
        await press(pilot, "enter")
        rows = await listed(pilot, 4)
        assert rows[0].startswith("▸ nginx.service")
        await press(pilot, "a", "enter")
        assert "harmless" in "".join(await listed(pilot, 6))
        await press(pilot, "space")
        assert "frozen" in screen_text(app)
        source.find(refused(Owner(OwnerKind.USER, "alice"), "CHOWN", "chown", "/x"))
        await until(pilot, lambda: not source.coming)
        assert app.screen.query_one("#findings", OptionList).option_count == 6
        await press(pilot, "space")
        await listed(pilot, 8)
        await press(pilot, "question_mark")
        assert "Open or close an owner" in screen_text(app)
        await press(pilot, "escape", "q")

    drive(app, script)
    assert not app.is_running


def test_counts_are_asked_for_and_drawn() -> None:
    source, app = watched()

    async def script(pilot: Session) -> None:
        before = source.counts
        next(iter(source.findings)).count = 1234
        await until(pilot, lambda: source.counts > before and "1234×" in screen_text(app))

    drive(app, script)


def test_hostile_names_are_escaped() -> None:
    owner = Owner(OwnerKind.CONTAINER, HOSTILE, "docker", container="3" * 64)
    _, app = watched(refused(owner, "CHOWN", "chown", HOSTILE, HOSTILE))

    async def script(pilot: Session) -> None:
        for keys in ((), ("down",)):
            await press(pilot, *keys)
            text = screen_text(app)
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert "[bold red]x[/] \\x1b[31m" in text

    drive(app, script)


def test_nothing_was_refused_so_far() -> None:
    app = WatchApp(Source(hears_audit=False))

    async def script(pilot: Session) -> None:
        assert "Nothing was refused so far." in screen_text(app)
        assert "no audit records" in screen_text(app)
        await press(pilot, "enter", "down", "space", "a")

    drive(app, script)
