"""``python -m tests.units.run [--short] [--jobs N] [UNIT…]``: units are recorded and proven by
restarts, capadvise is killed at three moments, and the unit is asked again with its drop-in. Prints
the table, as Markdown.

As root, where systemd is installed. Nothing of it stays: each job has a guest of its own
(``tests.support.guest``), in which it installs what its units are made of.
"""

from __future__ import annotations

import argparse
import json
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.guest import Guest, booted
from tests.support.wait import PATIENCE
from tests.units.kills import MOMENTS, SECONDS, check, killed_at, order

RECIPES = Path(__file__).with_name("recipes.yaml")
HEAD = (
    *("unit", "it has", "minimal set", "recommended adds", "not needed", "missing"),
    *("with the drop-in", "left as it was", "after kill -9", "seconds", "trials"),
)
_POLICY = "usr/sbin/policy-rc.d"
"""What it says keeps Debian's packages from starting what they bring."""


@dataclass(frozen=True)
class Row:
    """What was seen of one unit."""

    unit: str
    granted: int | None
    """How many its own unit gives it; None where it says nothing."""
    minimal: frozenset[str] | None
    """None: not proven."""
    recommended: frozenset[str]
    superfluous: frozenset[str]
    """Of its own set."""
    missing: frozenset[str]
    """In its own set."""
    works: bool | None
    """With the drop-in; None where there is none."""
    undone: bool
    killed: int
    """At how many of the moments capadvise still ran, and was killed."""
    seconds: float
    trials: int
    complaint: str
    """What is not as it should be; empty: nothing."""
    said: str
    """By capadvise."""

    @property
    def cells(self) -> Sequence[str]:
        """As the table has them."""
        minimal = f"not proven; recorded: {_short(self.recommended, 'none')}"
        more = self.recommended
        if self.minimal is not None:
            minimal, more = _short(self.minimal, "none"), self.recommended - self.minimal
        return (
            *(self.unit, "all" if self.granted is None else str(self.granted)),
            *(minimal, _short(more) if self.minimal is not None else "–"),
            *(_short(self.superfluous), _short(self.missing)),
            "–" if self.works is None else "works" if self.works else "FAILS",
            "yes" if self.undone else "NO",
            *(f"{self.killed} of {len(MOMENTS)}", f"{self.seconds:.0f}", str(self.trials)),
        )


def recipes(names: Sequence[str] = (), *, short: bool = False) -> list[dict[str, Any]]:
    """Those with these names, or all."""
    known: list[dict[str, Any]] = yaml.safe_load(RECIPES.read_text())
    if strange := set(names) - {one["unit"] for one in known}:
        sys.exit(f"not in {RECIPES.name}: {', '.join(sorted(strange))}")
    return [
        one
        for one in known
        if (not names or one["unit"] in names) and (not short or one.get("short"))
    ]


def row_of(guest: Guest, recipe: dict[str, Any]) -> Row:
    """Record it, prove it, kill what records and proves it, install what is emitted, and ask it."""
    name = recipe["unit"]
    unit = f"{name}.service"
    _prepare(guest, recipe)
    guest.systemctl("start" if recipe.get("running") else "stop", unit)
    before = _shown(guest, unit)
    granted = _granted(guest, unit)
    report = guest.root / f"run/{name}.json"
    began = time.monotonic()
    words = ["run", "--no-tui", "--prove", "-o", f"/run/{name}.json", *check(recipe)]
    done = guest.capadvise(*words, "--", *order(recipe), seconds=SECONDS)
    seconds = time.monotonic() - began
    undone = _shown(guest, unit) == before and guest.traces() == []
    raw = json.loads(report.read_text()) if report.exists() else {"proof": None, "proposal": {}}
    proposal = raw["proposal"]
    minimal, recommended = proposal.get("minimal"), frozenset(proposal.get("recommended", ()))
    killed = sum(killed_at(guest, recipe, moment) for moment in MOMENTS)
    undone &= _shown(guest, unit) == before and guest.traces() == []
    works = None if minimal is None else _installed(guest, recipe)
    complaint = "" if report.exists() else "no report"
    if "minimal" in recipe and minimal != _long(recipe["minimal"]):
        complaint = f"minimal set: {recipe['minimal']} is expected"
    elif "minimal" not in recipe and minimal is None:
        complaint = "not proven"
    if not killed:
        complaint = "capadvise had ended before it could be killed once"
    if works is False or not undone:
        complaint = "it fails with its drop-in, or was not left as it was"
    return Row(
        unit=name,
        granted=None if granted is None else len(granted),
        minimal=None if minimal is None else frozenset(minimal),
        recommended=recommended,
        superfluous=granted - recommended if granted is not None and minimal is not None else _NONE,
        missing=recommended - granted if granted is not None and minimal is not None else _NONE,
        works=works,
        undone=undone,
        killed=killed,
        seconds=seconds,
        trials=len((raw["proof"] or {}).get("trials", ())),
        complaint=complaint,
        said=done.stderr,
    )


# ---------------------------------------------------------------------------- the unit


def _prepare(guest: Guest, recipe: dict[str, Any]) -> None:
    _install(guest, recipe.get("packages", ()))
    name = recipe.get("template", recipe["unit"])
    if "text" in recipe:
        guest.unit(f"{name}.service", recipe["text"])
    if "drop-in" in recipe:
        folder = guest.root / f"etc/systemd/system/{recipe['unit']}.service.d"
        folder.mkdir(exist_ok=True)
        (folder / "00-guest.conf").write_text(f"[Service]\n{recipe['drop-in']}\n")
    guest.systemctl("daemon-reload")
    if "setup" in recipe:
        done = guest.call("sh", "-c", recipe["setup"])
        if done.returncode:
            print(f"{recipe['unit']}: set-up: {done.stderr}", file=sys.stderr)


def _install(guest: Guest, packages: Sequence[str]) -> None:
    """As Debian installs them, users and all; from this machine's network."""
    asked = ["dpkg-query", "--show", "--showformat=${db:Status-Status}\n", *packages]
    known = guest.call(*asked).stdout.split() if packages else []
    if known.count("installed") == len(packages):
        return
    policy = guest.root / _POLICY
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    words = ("apt-get", "-qq", "-y", "-o", "APT::Sandbox::User=root", "install")
    done = subprocess.run(
        guest.words(*words, "--no-install-recommends", *packages, network=False),
        env={**guest.environment, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = f"{done.stdout}{done.stderr}"
        raise AssertionError(f"cannot install {' '.join(packages)}: {said}")


def _installed(guest: Guest, recipe: dict[str, Any]) -> bool:
    """Whether it does what it is for with the emitted drop-in."""
    name = recipe["unit"]
    emitted = guest.capadvise("emit", f"/run/{name}.json", "--format", "systemd").stdout
    folder = guest.root / f"etc/systemd/system/{name}.service.d"
    folder.mkdir(exist_ok=True)
    (folder / "capadvise.conf").write_text(emitted)
    guest.systemctl("daemon-reload")
    started = guest.call("systemctl", "restart", name)
    asks = recipe.get("check") or f"systemctl show -p ActiveState,Result {name} | grep -q success"
    until_then = time.monotonic() + PATIENCE
    while not (good := guest.call("sh", "-c", asks).returncode == 0):
        if time.monotonic() > until_then:
            break
        time.sleep(0.3)
    guest.systemctl("stop", name)
    return good and started.returncode == 0


def _shown(guest: Guest, unit: str) -> str:
    return guest.systemctl("show", "-p", "ActiveState,CapabilityBoundingSet,DropInPaths", unit)


def _granted(guest: Guest, unit: str) -> frozenset[str] | None:
    said = guest.systemctl("show", "-p", "CapabilityBoundingSet", "--value", unit)
    names = frozenset(word.upper() for word in said.split())
    return None if len(names) > 38 else names


# --------------------------------------------------------------------------- the table

_NONE: frozenset[str] = frozenset()


def _short(names: frozenset[str], nothing: str = "–") -> str:
    return ", ".join(sorted(one.removeprefix("CAP_") for one in names)) or nothing


def _long(names: str | None) -> list[str] | None:
    return None if names is None else [f"CAP_{name}" for name in names.split()]


def line(cells: Sequence[str]) -> str:
    """Of the table."""
    return f"| {' | '.join(cells)} |"


def _row(guest: Guest, recipe: dict[str, Any]) -> Row | str:
    try:
        return row_of(guest, recipe)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        return f"{recipe['unit']}: {error!r}"


def rows(wanted: Sequence[dict[str, Any]], jobs: int) -> Iterator[Row | str]:
    """As they are done, or why there is none. Each job has a guest of its own."""
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    done: queue.SimpleQueue[Row | str] = queue.SimpleQueue()
    for recipe in wanted:
        waiting.put(recipe)

    def work() -> None:
        while not waiting.empty():  # what failed may go on in its guest
            with booted(layers=("etc", "var", "usr")) as guest, suppress(queue.Empty):
                while not isinstance(row := _row(guest, waiting.get_nowait()), str):
                    done.put(row)
                done.put(row)

    with ThreadPoolExecutor(jobs) as pool:
        working = [pool.submit(work) for _ in range(jobs)]
        for _ in wanted:
            while done.empty() and not all(one.done() for one in working):
                time.sleep(0.1)
            if done.empty():  # no guest is left
                working[0].result()
            yield done.get_nowait()


def main(words: Sequence[str]) -> int:
    """1 where a unit is not as its recipe says, fails with its drop-in, or was not left as it
    was."""
    parser = argparse.ArgumentParser(prog="python -m tests.units.run")
    parser.add_argument("--short", action="store_true", help="those that CI has time for")
    parser.add_argument("--jobs", type=int, default=1, help="units at a time")
    parser.add_argument("units", nargs="*", metavar="UNIT")
    asked = parser.parse_args(words)
    began = time.monotonic()
    print(line(HEAD), line(["---"] * len(HEAD)), sep="\n", flush=True)
    failed = False
    wanted = recipes(asked.units, short=asked.short)
    for row in rows(wanted, asked.jobs):
        if isinstance(row, str):
            print(row, file=sys.stderr, flush=True)
            failed = True
            continue
        print(line(row.cells), flush=True)
        if row.complaint:
            print(f"{row.unit}: {row.complaint}\n{row.said}", file=sys.stderr, flush=True)
            failed = True
    print(f"\n{len(wanted)} units in {time.monotonic() - began:.0f} s")
    return int(failed)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the guests end with us
    sys.exit(main(sys.argv[1:]))
