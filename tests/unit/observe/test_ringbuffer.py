"""The binary trace buffer, from pages made by hand and pages of the real kernel."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capadvise.observe.ftrace import ringbuffer
from tests.support.ring_pages import event, large, page, small

CHECK_FORMAT = """name: cap_capable
ID: 2073
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:const struct cred * cred;	offset:8;	size:8;	signed:0;
	field:struct user_namespace * target_ns;	offset:16;	size:8;	signed:0;
	field:const struct user_namespace * capable_ns;	offset:24;	size:8;	signed:0;
	field:int cap;	offset:32;	size:4;	signed:1;
	field:int ret;	offset:36;	size:4;	signed:1;

print fmt: "cred %p", REC->cred
"""


def test_time_stamps_add_up() -> None:
    extend = struct.pack("<II", 30 | 5 << 5, 1)
    stamp = struct.pack("<II", 31 | 7 << 5, 9)
    found = list(
        ringbuffer.events(
            page(
                1000,
                small(10, event(1, 11)),
                extend,
                small(1, event(2, 12)),
                stamp,
                large(3, event(3, 13, b"x" * 200)),
            )
        )
    )
    first, second, third = found
    assert first[:3] == (1010, 1, 11)
    assert second[:3] == (1010 + 5 + (1 << 27) + 1, 2, 12)
    assert third[:3] == (7 + (9 << 27) + 3, 3, 13)
    assert third[3][8:208] == b"x" * 200


def test_padding_ends_or_skips() -> None:
    skip = struct.pack("<II", 29 | 4 << 5, 12) + b"\xff" * 8
    end = struct.pack("<I", 29)
    found = list(
        ringbuffer.events(page(0, skip, small(1, event(1, 1)), end, small(1, event(2, 2))))
    )
    assert [item[:3] for item in found] == [(5, 1, 1)]


def test_missed_events_are_counted() -> None:
    missed, stored = 1 << 31, 1 << 30
    assert ringbuffer.missed(page(0, small(0, event(1, 1)))) == 0
    assert ringbuffer.missed(page(0, small(0, event(1, 1)), flags=missed)) == 1
    whole = page(0, small(0, event(1, 1)), flags=missed | stored) + struct.pack("<Q", 42)
    assert ringbuffer.missed(whole) == 42


def test_a_format_file_tells_where_fields_stand() -> None:
    parsed = ringbuffer.parse_format(CHECK_FORMAT)
    assert parsed.id == 2073
    data = event(2073, 5, struct.pack("<QQQii", 1, 2, 3, 21, -1))
    assert parsed.unpacker("target_ns", "cap", "ret").unpack_from(data) == (2, 21, -1)


def test_a_format_without_number_is_refused() -> None:
    with pytest.raises(ValueError, match="no ID"):
        ringbuffer.parse_format("name: x")


def test_stack_and_text() -> None:
    addresses = struct.pack("<2Q", 1, 2)
    assert ringbuffer.stack(event(4, 1, struct.pack("<i4x", 2) + addresses + b"rest")) == addresses
    body = struct.pack("<Iii", 20 | 6 << 16, 1, 1) + b"/bin/\xff"[:5] + b"\0"
    assert ringbuffer.text(event(1, 1, body), 8) == "/bin/"


@given(st.binary(min_size=16, max_size=300))
def test_no_page_makes_the_decoder_fail_or_hang(garbage: bytes) -> None:
    for time, kind, pid, data in ringbuffer.events(garbage):
        assert time >= 0
        assert kind >= 0
        assert isinstance(pid, int)
        assert len(data) >= 8
    ringbuffer.missed(garbage)
