"""What a recording that goes on for long saves meanwhile."""

from __future__ import annotations

from capadvise.targets.attaching import PeriodicSave


def saved_at(known: dict[int, int], until: int) -> list[int]:
    """The seconds at which something is saved, looking once a second. ``known``: second → how much
    is known from then on."""
    now = [0]
    saved: list[int] = []

    def distinct() -> int:
        return next(known[at] for at in sorted(known, reverse=True) if at <= now[0])

    interim = PeriodicSave(lambda: saved.append(now[0]), distinct, lambda: float(now[0]))
    for second in range(until):
        now[0] = second
        interim.look()
    return saved


def test_what_is_new_is_saved_soon_and_everything_every_three_minutes() -> None:
    assert saved_at({0: 0, 1: 1, 30: 2}, 1000) == [3, 45, 369, 549, 729, 909]


def test_nothing_is_saved_of_an_idle_target_in_the_beginning() -> None:
    assert saved_at({0: 0}, 360) == []
