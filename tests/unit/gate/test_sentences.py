"""Generated sentences of the gate: for none, for one, for some and for all."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from capadvise.catalog import default
from capadvise.config import LANGUAGES
from capadvise.config.declared import Declared
from capadvise.gate.against import against
from capadvise.gate.lint import lint
from capadvise.gate.service import Service
from capadvise.gate.text import held_text
from capadvise.judgement.decide import decide_all
from capadvise.model.caps import NAMES, parse_set
from tests.support import recordings

CATALOG = default()
DOCKER = sorted(
    cap.short for item in CATALOG.baselines.runtimes if item.name == "docker" for cap in item.grants
)


def why(rule: str, kind: str, add: Iterable[str], drop: Iterable[str], **more: str) -> list[str]:
    declared = Declared("web", 1, tuple(drop), tuple(add), **more)  # type: ignore[arg-type]
    service = Service.of(declared, (("f", declared),), LANGUAGES[kind].judged_by, CATALOG)
    return [finding.why for finding in lint(service) if finding.rule == rule]


@pytest.mark.parametrize(
    ("dropped", "user", "begin"),
    [
        ([], "0:0", f"It keeps docker's {len(DOCKER)} defaults: CHOWN, DAC_OVERRIDE, "),
        (DOCKER[1:], "0:0", f"It keeps 1 of docker's {len(DOCKER)} defaults: {DOCKER[0]}."),
        (DOCKER[2:], "0:0", f"It keeps 2 of docker's {len(DOCKER)} defaults: "),
        ([], "5:5", "Its user starts with none, but a set-id program gains docker's "),
        (DOCKER[1:], "5:5", "Its user starts with none, but a set-id program gains 1 of docker's "),
    ],
)
def test_the_defaults_that_are_kept(dropped: list[str], user: str, begin: str) -> None:
    (text,) = why("no-drop-all", "compose", (), dropped, user=user)
    assert text.startswith(begin)


def test_no_default_is_kept() -> None:
    assert why("no-drop-all", "compose", (), DOCKER) == []


@pytest.mark.parametrize(
    ("added", "them"), [(["WAKE_ALARM"], "it"), (["WAKE_ALARM", "BLOCK_SUSPEND"], "them")]
)
def test_what_engines_do_not_grant(added: list[str], them: str) -> None:
    (text,) = why("beyond-default", "compose", added, ["ALL"])
    assert text == (
        f"Container engines do not grant {them} by default, and no report shows a need for {them}."
    )


@pytest.mark.parametrize(
    ("caps", "text"),
    [
        ([], "none"),
        (["CHOWN"], "CHOWN"),
        (NAMES[:5], "5 capabilities"),
        (NAMES, f"all {len(NAMES)}"),
    ],
)
def test_what_a_unit_holds(caps: list[str], text: str) -> None:
    assert held_text(parse_set(caps), len(NAMES)) == text


@pytest.mark.parametrize(("added", "them"), [(["KILL"], "it"), (["KILL", "CHOWN"], "them")])
def test_what_a_report_without_a_start_cannot_tell(added: list[str], them: str) -> None:
    declared = Declared("web", 1, ("ALL",), tuple(added))
    consumer = LANGUAGES["compose"].judged_by
    service = Service.of(declared, (("f", declared),), consumer, CATALOG)
    proposal = decide_all((recordings.recording(),), CATALOG)
    (finding,) = against(service, proposal, "web.json", "recorded in part", enough=False)
    assert finding.what.endswith(f": web.json cannot tell whether it needs {them}")
