"""How fast keys are answered on a report with 100,000 distinct pieces of evidence.

Pilot presses a key and waits until the screen is drawn. Prints milliseconds of processor time (the
least of some rounds: other programs only add to it) and the ratio to the same key on a small
report; the budget is 50 ms.

    python -m tests.bench.tui
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from capadvise.judgement.report import Report
from capadvise.model.caps import Cap
from tests.support.screens import BIND, BRK, CHOWN, HOSTNAME, SETUID, app_on, report, settle

KEYS = (
    *("down", "space", "z", "f", "u", "end", "home", "down", "down", "up"),
    *("tab", "tab", "tab", "down", "pagedown", "end", "enter", "shift+tab"),
    *("4", "down", "up", "3", "2", "slash", "s", "e", "t", "escape"),
)
BUDGET = 50.0


def large(count: int = 100_000) -> Report:
    """Every piece of evidence differs in its program, its process and its arguments."""
    kinds = (CHOWN, HOSTNAME, SETUID, BIND)
    return report(
        BRK,
        *(
            replace(kind, program=f"worker-{n % 5000}", pid=n, detail=f"file {n}")
            for n in range(count)
            for kind in (kinds[n % 2] if n % 10 else kinds[2 + n % 2],)
        ),
    )


async def measure(known: Report, rounds: int = 5) -> dict[str, list[float]]:
    """Milliseconds of each key, in the order of ``KEYS``."""
    app = app_on(known)
    taken: dict[str, list[float]] = {}
    async with app.run_test(size=(160, 50)) as pilot:
        await settle(pilot)
        for _ in range(rounds):
            for number, key in enumerate(KEYS):
                before = time.process_time()
                await pilot.press(key)
                await pilot.pause()
                spent = (time.process_time() - before) * 1000
                taken.setdefault(f"{number:2} {key}", []).append(spent)
    return taken


def main() -> None:
    """Print a line for each key, then the worst."""
    small = asyncio.run(measure(report(CHOWN, HOSTNAME, SETUID, BIND, BRK)))
    known = large()
    before = time.perf_counter()
    big = asyncio.run(measure(known))
    total = time.perf_counter() - before
    worst = 0.0
    for key, times in big.items():
        first, least = times[0], min(times)
        worst = max(worst, least)
        ratio = least / min(small[key])
        print(f"{key:12} first {first:6.1f} ms, least {least:6.1f} ms, {ratio:4.1f} × small")
    evidence = len(known.proposal.need(Cap.parse("CHOWN")).evidence)
    print(f"{evidence} pieces for CHOWN alone; {total:.1f} s in all")
    print(
        f"slowest key: {worst:.1f} ms ({'within' if worst <= BUDGET else 'over'} {BUDGET:.0f} ms)"
    )


if __name__ == "__main__":
    main()
