"""The needs that no check shows: each has commands that are tried."""

from __future__ import annotations

from tests.generate.catalog_pages import unchecked
from tests.kernel.rows import ROWS


def test_each_need_without_a_check_is_tried_and_each_row_is_in_the_table() -> None:
    assert {row.unchecked for row in ROWS} - {""} == {one["id"] for one in unchecked()}


def test_each_says_everything() -> None:
    keys = {"id", "caps", "doing", "rule", "without", "at", "kernels", "seen"}
    assert all(one.keys() == keys and all(one.values()) for one in unchecked())
