"""``python -m tests.units.run [--short] [UNIT…]``: units are recorded, proven by restarts, given
their drop-in and asked again. Prints the table, as Markdown.

As root, where systemd is installed. Nothing of it stays: see ``tests.support.guest``.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.guest import Guest, booted

RECIPES = Path(__file__).with_name("recipes.yaml")
HEAD = (
    *("unit", "it has", "minimal set", "recommended adds", "not needed", "missing"),
    *("with the drop-in", "left as it was", "seconds", "trials"),
)
_SECONDS = 240.0


@dataclass(frozen=True)
class Row:
    """What was seen of one unit."""

    unit: str
    granted: int | None
    """How many its own unit gives it; None where it says nothing."""
    floor: str
    more: str
    superfluous: str
    """Of its own set."""
    missing: str
    """In its own set."""
    works: str
    undone: bool
    seconds: float
    trials: int
    said: str = ""

    @property
    def cells(self) -> Sequence[str]:
        """As the table has them."""
        had = "all" if self.granted is None else str(self.granted)
        undone = "yes" if self.undone else "NO"
        seconds = f"{self.seconds:.0f}"
        return (
            *(self.unit, had, self.floor, self.more or "–"),
            *(self.superfluous or "–", self.missing or "–"),
            *(self.works, undone, seconds, str(self.trials)),
        )


def recipes(names: Sequence[str] = (), *, short: bool = False) -> list[dict[str, Any]]:
    """Those with these names, or all."""
    known: list[dict[str, Any]] = yaml.safe_load(RECIPES.read_text())
    return [
        one
        for one in known
        if (not names or one["unit"] in names) and (not short or one.get("short"))
    ]


def row_of(guest: Guest, recipe: dict[str, Any]) -> Row:
    """Record it, prove it, install what is emitted, and ask it."""
    name = recipe["unit"]
    unit = f"{name}.service"
    _prepare(guest, recipe)
    guest.systemctl("stop", unit)
    before = _shown(guest, unit)
    granted = _granted(guest, unit)
    began = time.monotonic()
    words = ["run", "--no-tui", "--prove", "-o", f"/run/{name}.json"]
    words += ["--check", recipe["check"], "--for", "40"] if recipe.get("check") else []
    done = guest.capadvise(*words, "--", "systemctl", "start", name, seconds=_SECONDS)
    seconds = time.monotonic() - began
    undone = _shown(guest, unit) == before and guest.traces() == []
    report = guest.root / f"run/{name}.json"
    if not report.exists():
        return Row(name, _count(granted), "–", "", "", "", "–", undone, seconds, 0, done.stderr)
    raw = json.loads(report.read_text())
    proof, proposal = raw["proof"] or {}, raw["proposal"]
    trials = len(proof.get("trials", ()))
    if proposal["floor"] is None:
        needs = f"not proven; recorded: {_short(proposal['recommended'])}"
        return Row(
            name, _count(granted), needs, "", "", "", "–", undone, seconds, trials, done.stderr
        )
    floor, recommended = set(proposal["floor"]), set(proposal["recommended"])
    superfluous = set() if granted is None else granted - recommended
    missing = set() if granted is None else recommended - granted
    works = _installed(guest, recipe)
    return Row(
        *(
            name,
            _count(granted),
            _short(floor),
            _short(recommended - floor, ""),
            _short(superfluous, ""),
            _short(missing, ""),
        ),
        *(works, undone, seconds, trials),
        said="" if works == "works" else done.stderr,
    )


def _prepare(guest: Guest, recipe: dict[str, Any]) -> None:
    for package in recipe.get("packages", ()):
        _unpack(guest, package)
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


def _unpack(guest: Guest, package: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = ["apt-get", "-o", "APT::Sandbox::User=root", "download", package]
        subprocess.run(words, cwd=folder, check=True, capture_output=True)
        for file in Path(folder).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(file), str(guest.root)], check=True)


def _installed(guest: Guest, recipe: dict[str, Any]) -> str:
    """Whether it does what it is for with the emitted drop-in."""
    name = recipe["unit"]
    emitted = guest.capadvise("emit", f"/run/{name}.json", "--format", "systemd").stdout
    folder = guest.root / f"etc/systemd/system/{name}.service.d"
    folder.mkdir(exist_ok=True)
    (folder / "10-capadvise.conf").write_text(emitted)
    guest.systemctl("daemon-reload")
    started = guest.call("systemctl", "start", name)
    check = recipe.get("check") or f"systemctl show -p ActiveState,Result {name} | grep -q success"
    until = time.monotonic() + 20
    while (good := guest.call("sh", "-c", check).returncode == 0) is False:
        if time.monotonic() > until:
            break
        time.sleep(0.3)
    guest.systemctl("stop", name)
    return "works" if good and started.returncode == 0 else "FAILS"


def _shown(guest: Guest, unit: str) -> str:
    return guest.systemctl("show", "-p", "ActiveState,CapabilityBoundingSet,DropInPaths", unit)


def _granted(guest: Guest, unit: str) -> set[str] | None:
    said = guest.systemctl("show", "-p", "CapabilityBoundingSet", "--value", unit)
    names = {word.upper() for word in said.split()}
    return None if len(names) > 38 else names


def _count(granted: set[str] | None) -> int | None:
    return None if granted is None else len(granted)


def _short(names: Any, nothing: str = "none") -> str:
    return ", ".join(sorted(one.removeprefix("CAP_") for one in names)) or nothing


def line(cells: Sequence[str]) -> str:
    """Of the table."""
    return f"| {' | '.join(cells)} |"


def main(words: Sequence[str]) -> int:
    """1 where a unit does not work with its drop-in, or was not left as it was."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the guest ends with us
    names = [word for word in words if not word.startswith("-")]
    print(line(HEAD), line(["---"] * len(HEAD)), sep="\n", flush=True)
    failed = False
    with booted(layers=("etc", "var", "usr")) as guest:
        for recipe in recipes(names, short="--short" in words):
            row = row_of(guest, recipe)
            print(line(row.cells), flush=True)
            if row.said:
                print(row.said, file=sys.stderr, flush=True)
            failed |= row.works == "FAILS" or not row.undone
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
