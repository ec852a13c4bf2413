"""What those who wait for a health check are told, and when; names of services in a check."""

from __future__ import annotations

import pytest

from capadvise.linux.engines.record.service_names import check_of
from capadvise.linux.supervise.health_seen import HealthHistory, HealthSeen, ending

REFUSED = HealthSeen(False, "exit 7: connection refused")


def test_a_failure_is_told_after_a_while_and_then_ever_less_often() -> None:
    history, told = HealthHistory(), []
    for second in range(1, 60):
        history.heard(REFUSED, second)
        if news := history.news(second):
            told.append(news)
    assert told == [
        f"failing for {seconds} s, exit 7: connection refused" for seconds in (5, 10, 20, 40)
    ]


def test_what_passes_is_no_news_and_what_fails_again_counts_anew() -> None:
    history = HealthHistory()
    history.heard(REFUSED, 1)
    history.heard(HealthSeen(True), 7)
    assert history.news(8) is None
    history.heard(REFUSED, 20)
    assert (history.since, history.news(24), history.news(26)) == (
        *(20, None),
        "failing for 6 s, exit 7: connection refused",
    )


@pytest.mark.parametrize(
    ("status", "output", "said"),
    [
        (1, "one\n two \n\n", "exit 1: two"),
        (2, "", "exit 2, without a word"),
        (None, "trying", "no answer in time: trying"),
    ],
)
def test_how_a_try_ended(status: int | None, output: str, said: str) -> None:
    assert ending(status, output) == said


@pytest.mark.parametrize(
    ("script", "changed"),
    [
        ("curl -fs http://web/", True),
        ("redis-cli -h web ping", True),
        ("nc -z web.shop_default 80", True),
        ("curl -fs localhost:80/webs", False),
        ("curl -fs www.web.org", False),
        ('docker exec "$CONTAINER_WEB" true', False),
    ],
)
def test_a_check_that_names_a_service_gets_names(script: str, changed: bool) -> None:
    assert (check_of(script, ("docker",), "shop", ("web", "db")) != script) is changed
