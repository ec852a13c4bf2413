"""The log of one run in SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/. Pages of
reports and results of the gate are both written as one."""

from collections.abc import Iterable
from typing import Any

from capadvise import __version__

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
Json = dict[str, Any]


def log(
    rules: Iterable[Json],
    results: Iterable[Json],
    notifications: Iterable[tuple[str, str]],
    *,
    succeeded: bool = True,
) -> Json:
    """``notifications``: (level, text) of what is said of the run as a whole."""
    driver = {"name": "capadvise", "version": __version__, "rules": list(rules)}
    said = [{"level": level, "message": {"text": text}} for level, text in notifications]
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": succeeded, "toolExecutionNotifications": said}],
        "results": list(results),
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def rule(name: str, summary: str, level: str, **more: Any) -> Json:
    return {
        "id": name,
        "shortDescription": {"text": summary},
        "defaultConfiguration": {"level": level},
        **more,
    }


def result(name: str, number: int, level: str, text: str, place: Json, **more: Any) -> Json:
    """One finding. ``number``: of its rule among those of the log."""
    return {
        "ruleId": name,
        "ruleIndex": number,
        "level": level,
        "message": {"text": text},
        "locations": [place],
        **more,
    }
