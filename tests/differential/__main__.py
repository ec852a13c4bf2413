"""The long form: ``python -m tests.differential [EXAMPLES [CONSUMER …]]``; 10,000 of each.

Prints what became of the examples, and each file that fools the gate; ends with 1 if one does.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from tests.differential.judging import Consumer, Counts, consumers, judge, leftovers, make_root


def run(consumer: Consumer, examples: int, *, always_ask: bool = False) -> Counts:
    """So many examples, none of them shrunk: what fools is printed as it is."""
    counts = Counts()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(consumer.texts)
    def each(text: str) -> None:
        judge(consumer, text, counts, always_ask=always_ask)

    each()
    assert not leftovers(), "containers of runc that were left"
    return counts


def main() -> int:
    examples = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(prefix="capadvise-root-") as folder:
        made = consumers(make_root(Path(folder) / "root"))
        fooled = 0
        for name in sys.argv[2:] or made:
            counts = run(made[name], examples, always_ask=examples <= 1000)
            said = ", ".join(f"{count} {what}" for what, count in counts.seen.items())
            print(f"{name}: {said}, {len(counts.fooled)} fooled", flush=True)
            for text, hidden in counts.fooled[:20]:
                print(f"--- {sorted(hidden)}\n{text!r}")
            fooled += len(counts.fooled)
    return 1 if fooled else 0


if __name__ == "__main__":
    sys.exit(main())
