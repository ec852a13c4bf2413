"""What those who wait for a health check are told, and when; names of services in a check."""

from __future__ import annotations

import pytest

from capadvise.model.health import Health, ending
from capadvise.targets.containers.compose import with_service_names

REFUSED = Health(False, "exit 7: connection refused")


def test_a_failure_is_told_after_a_while_and_then_ever_less_often() -> None:
    health, told, said = None, 0, []
    for second in range(1, 60):
        health = REFUSED.after(health, second)
        if news := health.news(second, told):
            said.append(news)
            told = second
    assert said == [
        f"failing for {seconds} s, exit 7: connection refused" for seconds in (5, 10, 20, 40)
    ]


def test_what_passes_is_no_news_and_what_fails_again_counts_anew() -> None:
    failed = REFUSED.after(None, 1)
    passed = Health(True).after(failed, 7)
    assert passed.news(8, 5) is None
    again = REFUSED.after(passed, 20)
    assert (again.since, again.news(24, 5), again.news(26, 5)) == (
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
    assert (with_service_names(script, ("docker",), "shop", ("web", "db")) != script) is changed
