"""What the kernel hands out: pages of the ring buffer, its symbol table, files of /proc.

The kernel is not hostile, but the next one may write what this one does not.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capadvise.kernel import procfs
from capadvise.model.caps import from_mask
from capadvise.model.errors import CannotObserve
from capadvise.observe.ftrace import ringbuffer
from capadvise.observe.ftrace.kallsyms import Symbols

PAGES = st.builds(
    lambda time, commit, rest: struct.pack("<QQ", time, commit) + rest,
    st.integers(0, 2**64 - 1),
    st.integers(0, 4200) | st.integers(0, 2**64 - 1),
    st.binary(max_size=200),
)
HEADS = st.lists(
    st.tuples(st.integers(0, 31), st.integers(0, 2**27 - 1), st.binary(max_size=40)), max_size=8
).map(lambda parts: b"".join(struct.pack("<I", d << 5 | k) + rest for k, d, rest in parts))


@settings(deadline=None)
@given(PAGES | HEADS.map(lambda rest: struct.pack("<QQ", 5, len(rest)) + rest))
def test_any_page_ends(page: bytes) -> None:
    found = list(ringbuffer.events(page))
    assert sum(len(event) for *_, event in found) <= len(page)
    ringbuffer.missed(page)


@settings(deadline=None)
@given(st.integers(0, 2**63), st.integers(0, 500), st.integers(1, 80))
def test_a_symbol_is_the_last_one_that_begins_before(seed: int, size: int, step: int) -> None:
    made = random.Random(seed)
    addresses = sorted(made.sample(range(0x1000, 0x1000 + 2000 * step), size + 2))
    table = "".join(f"{a:016x} T f{n}\n" for n, a in enumerate(addresses))
    symbols = Symbols(table.encode())
    for wanted in (*addresses, *(made.randrange(0x1000, 0x1000 + 2000 * step) for _ in range(9))):
        before = [n for n, a in enumerate(addresses) if a <= wanted]
        assert symbols.name(wanted) == (f"f{before[-1]}" if before else f"0x{wanted:x}")


@pytest.mark.parametrize("table", [b"", b"0", b"\0", b"\n\n", b"0 T\n", b"xx T a\n", b"0 T a\n"])
def test_what_is_no_symbol_table_is_refused(tmp_path: Path, table: bytes) -> None:
    path = tmp_path / "kallsyms"
    path.write_bytes(table)
    with pytest.raises(CannotObserve, match="kallsyms"):
        Symbols.load(path)


@given(st.binary(max_size=400))
def test_any_status_is_read(raw: bytes) -> None:
    procfs.parse_status(raw.decode(errors="backslashreplace"))


@given(st.integers(0, 2**64 - 1))
def test_a_mask_is_a_set_of_numbers(mask: int) -> None:
    assert sum(1 << cap for cap in from_mask(mask)) == mask
