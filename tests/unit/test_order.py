"""Events of two processors whose buffers are read one after the other."""

from __future__ import annotations

from capadvise.linux.order import Event, Order


def _event(time: int) -> Event:
    return time, 0, 0, b"", b""


def test_what_one_buffer_shows_early_waits_for_what_another_shows_late() -> None:
    """The buffer that is read last shows 6 a round before the first one shows 3 and 5."""
    order = Order()
    rounds = [[1, 2, 6], [3, 5, 7], [8], []]
    taken = [[e[0] for e in order.take([_event(t) for t in read], {})[0]] for read in rounds]
    assert [sorted(times) for times in taken] == [[], [1, 2, 3, 5, 6], [7], [8]]


def test_noise_comes_after_the_events_that_it_was_read_with() -> None:
    order, noise = Order(), {(b"", b"", 1): [4, 9]}
    assert order.take([_event(5)], noise) == ([], {})
    assert order.take([], {}) == ([_event(5)], noise)
