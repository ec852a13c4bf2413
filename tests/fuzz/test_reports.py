"""A report is a file that others hand over, and it holds what a traced process made up."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from capadvise.model.errors import BadInput
from capadvise.report.dump import dump
from capadvise.report.load import load
from capadvise.report.merge import merge
from tests.fuzz.strategies import CONTROL, TEXTS, mutated, places, steering
from tests.support.hostile_reports import CATALOG, SOUND, hostile, shown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(mutated(SOUND))
def test_a_damaged_report_is_refused_or_harmless(tmp_path: Path, raw: Any) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(raw))
    one = refused = None
    try:
        one = load(path, CATALOG)
    except BadInput as error:
        refused = str(error)
    if one is None:
        assert refused
        assert refused.startswith(str(path))
        return
    for name, text in shown(one):
        assert not steering(text), name
    merge([("a", one), ("b", one)], CATALOG, name="x")
    path.write_text(json.dumps(dump(one, CATALOG)))
    assert load(path, CATALOG) == one


def test_each_text_of_a_report_may_be_made_up(tmp_path: Path) -> None:
    """One after the other: chance takes long to find the one that is printed as it is."""
    path, read = tmp_path / "report.json", 0
    for *way, last in places(SOUND)[1:]:
        inner = raw = copy.deepcopy(SOUND)
        for step in way:
            inner = inner[step]
        if not isinstance(inner[last], str | None):
            continue
        inner[last] = CONTROL
        path.write_text(json.dumps(raw))
        with suppress(BadInput):
            one = load(path, CATALOG)
            read += 1
            steered = [name for name, text in shown(one) if steering(text)]
            assert steered == [], (*way, last)
    assert read > 20


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(TEXTS)
def test_what_a_process_calls_itself_stays_in_its_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(hostile(text)))
    one = load(path, CATALOG)
    rendered = dict(shown(one))
    for name, page in rendered.items():
        assert not steering(page), name
    for name in ("json", "sarif", "oci"):
        json.loads(rendered[name])
    (service,) = yaml.safe_load(rendered["compose"])["services"].values()
    assert service["cap_drop"] == ["ALL"]
    assert service["cap_add"] == ["NET_BIND_SERVICE", "NET_ADMIN"]
    assert set(service) <= {"cap_drop", "cap_add", "security_opt"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "[", "null", "1", '"x"', "[1]", "{}", "[" * 100_000, '{"a":' * 100_000),
        *("NaN", '{"schema": "capadvise.report/1"}', "\x00", "1" * 10_000),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_report_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"report\.json"):
        load(path, CATALOG)


def test_the_control_characters_of_these_tests_do_steer() -> None:
    assert steering(CONTROL) == set("\x1b\x07\r\x00\x9b\u202e\u2028\ud800")
