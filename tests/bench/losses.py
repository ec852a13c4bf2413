"""Prove programs that lose something in silence, and their controls: python -m tests.bench.losses.

Prints each wrong answer, and how many there are. As root; about ten minutes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.losses import controls, losses
from tests.support.proving import false_loss, missed, prove_all


def main() -> None:
    names = set(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        for title, cases, judge in (
            ("losses", losses(), missed),
            ("controls", controls(), false_loss),
        ):
            chosen = [case for case in cases if not names or case.name in names]
            reports = prove_all(chosen, Path(folder) / title) if chosen else {}
            wrong = 0
            for case in chosen:
                if said := judge(case, reports.get(case.name)):
                    wrong += 1
                    print(f"{case.name}: {said}")
            print(f"{title}: {len(chosen)}, wrong: {wrong}")


if __name__ == "__main__":
    main()
