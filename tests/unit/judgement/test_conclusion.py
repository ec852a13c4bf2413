"""One conclusion, true on every surface: all standings × all surfaces of text and files. Those of
the screens are in tests/unit/tui/test_standings.py."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capadvise.cli import main
from capadvise.config.snippet_from import snippet_of
from capadvise.judgement.conclusion import (
    PASSED,
    WITHOUT_SET,
    Standing,
    baseline_of,
    conclude_report,
    of_another,
)
from capadvise.judgement.decide import decide_all
from capadvise.judgement.proven import Trial
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, parse_set
from capadvise.model.recording import Lost
from capadvise.model.workload import Workload
from capadvise.report.diff import diff, diff_text
from capadvise.report.dump import dump
from capadvise.report.explain_report import report_text
from capadvise.report.load import load
from capadvise.report.pages import FORMATS
from capadvise.report.save import save
from capadvise.report.text import proposal_text
from capadvise.report.words import DROP_ALL
from tests.support import recordings, schema
from tests.support.recordings import CATALOG, FULL, HOST, QUIET
from tests.support.standings import STANDINGS, report_with

MARKS = {
    Standing.NOT_JUDGED: "not judged",
    Standing.RUN_FAILED: "run failed",
    Standing.CHECK_FAILED: "check failed",
    Standing.RECORDED: "recorded once, not proven",
    Standing.PARTIAL: "recorded in part",
    Standing.LIKELY: "may be needed",
    Standing.PROVEN_MINIMAL: "proven minimal, ",
    Standing.PROVEN: "proven, ",
    Standing.NOT_PROVEN: "in trials it fails even with every capability",
    Standing.CONTRADICTED: "contradicted",
}
"""What each surface says of a report of this standing."""
WITHOUT_COMMENTS = ("oci", "json")
"""Their consumers take no remark; ``json`` has the conclusion."""


def _text(report: Report) -> str:
    return "\n".join(proposal_text(report, CATALOG, Path("r.json")))


def _verbose(report: Report) -> str:
    return "\n".join(proposal_text(report, CATALOG, Path("r.json"), verbose=True))


def _explained(report: Report) -> str:
    return "\n".join(report_text(report, CATALOG))


def _compared(report: Report) -> str:
    return "\n".join(diff_text(diff(report, report, CATALOG)))


def _snippet(name: str) -> Callable[[Report], str]:
    def render(report: Report) -> str:
        snippet = snippet_of(report, report.proposal.recommended, CATALOG)
        return FORMATS[name].render(snippet)

    return render


SURFACES: dict[str, Callable[[Report], str]] = {
    "text": _text,
    "verbose": _verbose,
    "explain": _explained,
    "diff": _compared,
    **{name: _snippet(name) for name in FORMATS if name not in WITHOUT_COMMENTS},
}


def plain(text: str) -> str:
    """One line, without the marks of comments and of elements."""
    return " ".join(re.sub(r"<[^>]*>|^\s*# *", " ", text, flags=re.MULTILINE).split()).lower()


@pytest.mark.parametrize("needs", [True, False])
@pytest.mark.parametrize("standing", STANDINGS)
def test_the_builder_makes_what_it_says(standing: Standing, needs: bool) -> None:
    report = report_with(standing, needs=needs)
    concluded = conclude_report(report, CATALOG)
    assert concluded.standing is standing
    document = dump(report, CATALOG)
    schema.report().validate(document)
    assert document["conclusion"]["standing"] == str(standing)


ROWS = [
    (surface, standing, needs)
    for surface in SURFACES
    for standing in STANDINGS
    for needs in (True, False)
    if not (needs and surface == "setcap")  # it refuses CHOWN: root for every user
]


@pytest.mark.parametrize(("surface", "standing", "needs"), ROWS)
def test_every_surface_says_the_standing_and_no_other(
    surface: str, standing: Standing, needs: bool
) -> None:
    report = report_with(standing, needs=needs)
    said = plain(SURFACES[surface](report))
    assert MARKS[standing] in said
    if standing not in PASSED:
        assert not re.search(r"(?<!not )(?<!not yet )\bproven\b(?! by|\.$)", said), said
    if standing in PASSED:
        for doubt in ("not proven", "run failed", "may be needed", "not judged", "in part"):
            assert doubt not in said
    if needs or standing not in PASSED | {Standing.RECORDED}:
        assert DROP_ALL.lower() not in said
    if standing in WITHOUT_SET:
        assert "drop all" not in said
        assert "→ ?" in said or "→" not in said or surface in ("explain", *FORMATS)


JUDGED_AGAIN = [one for one in STANDINGS if one is not Standing.LIKELY]
"""The doubt of LIKELY was put in by hand, and is gone when the report is read."""


@pytest.mark.parametrize("standing", JUDGED_AGAIN)
def test_a_saved_report_says_the_same_when_it_is_opened(standing: Standing, tmp_path: Path) -> None:
    """A set that was proven in the app was called unprovable when its report was opened again."""
    report = report_with(standing)
    path = tmp_path / "r.json"
    save(path, report, CATALOG)
    assert conclude_report(load(path, CATALOG), CATALOG).standing is standing


@pytest.mark.parametrize("standing", STANDINGS)
def test_the_gate_says_what_its_report_is_worth(
    standing: Standing,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "web.json", report_with(standing), CATALOG)
    service = "{image: web, cap_drop: [ALL], cap_add: [CHOWN, KILL]}"
    Path("compose.yaml").write_text(f"services: {{web: {service}}}\n")
    main(["check", "compose.yaml", "--against", "web.json"])
    said = plain(capsys.readouterr().out)
    usual = "recorded once, not proven"
    words = {Standing.RECORDED: usual, Standing.LIKELY: usual}.get(standing, standing.words)
    assert f"the report: {words}" in said
    sure = PASSED | {Standing.RECORDED, Standing.LIKELY}
    assert ("for which web.json shows no need" in said) is (standing in sure)


def test_what_does_not_judge_is_not_emitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    save(path, report_with(Standing.NOT_JUDGED), CATALOG)
    assert main(["emit", str(path), "--format", "compose"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "not judged" in said.err
    assert "hint: sudo capadvise run -- web --serve" in said.err


@pytest.mark.parametrize("standing", [Standing.RUN_FAILED, Standing.CHECK_FAILED, Standing.PARTIAL])
def test_what_saw_a_part_takes_nothing_away(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = tmp_path / "r.json", tmp_path / "compose.yaml"
    save(path, report_with(standing), CATALOG)
    file.write_text("services: {web: {image: web, cap_drop: [ALL], cap_add: [KILL]}}\n")
    assert main(["emit", str(path), "--format", "compose", "--into", str(file)]) == 0
    assert "kept although no need was seen: KILL" in capsys.readouterr().err
    assert "KILL" in file.read_text()


# ------------------------------------------------------------------------------- the baseline

DOCKERS = CATALOG.baselines.default("docker").grants


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "root here holds all 41"),
        ({"granted": FULL - parse_set(["SYS_RAWIO"])}, "root here holds 40"),
        ({"user": "1000:1000"}, "user 1000 holds none"),
        ({"user": "1000:1000", "granted": parse_set(["NET_RAW"])}, "user 1000 holds 1"),
        ({"kind": "container", "engine": "docker"}, "docker grants 14"),
        ({"kind": "container", "engine": "podman"}, "podman grants 11"),
        ({"kind": "container", "engine": "docker", "granted": DOCKERS}, "docker grants 14"),
        ({"kind": "container", "granted": parse_set(["KILL"])}, "its container grants 1"),
        ({"kind": "container", "granted": frozenset()}, "its container grants none"),
        ({"kind": "container", "privileged": True}, "privileged: all 41"),
        ({"kind": "container", "pod": "a/b", "granted": FULL}, "its pod grants all 41"),
        ({"kind": "unit"}, "its unit grants all 41"),
        ({"kind": "unit", "granted": parse_set(["KILL", "CHOWN"])}, "its unit grants 2"),
    ],
)
def test_the_baseline_is_what_the_target_is_granted_today(
    change: dict[str, object], words: str
) -> None:
    report = report_with(Standing.RECORDED)
    report = replace(report, target=replace(report.target, **change))  # type: ignore[arg-type]
    assert baseline_of(report, CATALOG).words == words


def test_a_container_that_runs_already_is_granted_what_it_holds() -> None:
    report = report_with(Standing.RECORDED)
    held = replace(report.recording.held, bounding=parse_set(["KILL"]))
    runs = (replace(report.recording, attached=True, held=held),)
    target = replace(report.target, kind="container", engine="docker")
    baseline = baseline_of(replace(report, target=target, recordings=runs), CATALOG)
    assert (baseline.source, len(baseline.caps)) == ("container", 1)


@pytest.mark.parametrize("needs", [True, False])
def test_a_check_that_never_passed_has_failed_whoever_stopped_the_program(needs: bool) -> None:
    """Ctrl-C in front of a check that cannot pass was "recorded once"."""
    report = report_with(Standing.CHECK_FAILED, needs=needs)
    stopped = tuple(replace(run, interrupted=True, exit_status=130) for run in report.recordings)
    conclusion = conclude_report(replace(report, recordings=stopped), CATALOG)
    assert conclusion.standing is Standing.CHECK_FAILED
    unchecked = replace(report, recordings=stopped, workload=Workload())
    assert conclude_report(unchecked, CATALOG).standing is not Standing.RUN_FAILED


@pytest.mark.parametrize(
    ("program", "check", "unseen"),
    [
        ("cron", None, True),
        ("crond", "$CAPADVISE_CHECK crond@0", True),  # it is there, and asleep
        ("cron", "test -e /backup/done", False),  # the user's own check can tell
        ("web", "$CAPADVISE_CHECK web@0", False),
    ],
)
@pytest.mark.parametrize("standing", [Standing.RECORDED, Standing.PROVEN_MINIMAL, Standing.PROVEN])
def test_jobs_that_were_not_due_are_a_doubt(
    program: str, check: str | None, unseen: bool, standing: Standing
) -> None:
    report = report_with(standing, needs=True)
    runs = tuple(replace(run, program=program) for run in report.recordings)
    report = replace(report, recordings=runs, workload=Workload("daemon", check=check))
    conclusion = conclude_report(report, CATALOG)
    assert (conclusion.standing is Standing.LIKELY) is unseen
    if unseen:
        line = conclusion.headline("web")
        assert line.endswith(f": jobs of {program} that were not due were not seen")
        assert ("not proven" in line) is (standing is Standing.RECORDED)
        assert "test -e FILE-THAT-A-JOB-MAKES" in conclusion.next.words


# ------------------------------------------------------------------------------- the headline


def test_the_answer_in_a_line() -> None:
    def said(standing: Standing, *, needs: bool = True) -> str:
        return conclude_report(report_with(standing, needs=needs), CATALOG).headline("web")

    root = "root here holds all 41"
    assert [said(one) for one in STANDINGS] == [
        "web: not judged: an ordinary user sees only some of the refused calls",
        "web: run failed: killed by SIGSEGV · needed until then: CHOWN",
        "web: check failed: the health check did not pass after the program exited with 0 · "
        "needed until then: CHOWN",
        f"web needs CHOWN (1; {root}) · medium · recorded once, not proven",
        f"web needs at least CHOWN (1; {root}) · medium · recorded in part: 7 events dropped; the "
        "absence of others is unconfirmed",
        f"web most likely needs CHOWN (1; {root}) · medium · recorded once, not proven: MKNOD may "
        "be needed",
        f"web needs CHOWN (1; {root}) · medium · proven minimal, 3 trials",
        f"web needs CHOWN, SYS_NICE (2; {root}) · medium · proven, 5 trials",
        f"web needs CHOWN (1; {root}) · medium · not proven: in trials it fails even with every "
        "capability",
        f"web needs CHOWN (1; {root}) · medium · contradicted: a trial of it failed: exited with 1",
    ]
    empty = f"web needs no capability ({root}) · proven minimal, 2 trials"
    assert said(Standing.PROVEN_MINIMAL, needs=False) == empty


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lost": Lost(gaps=("a",))}, "the trace may have gaps (a)"),
        ({"lost": Lost(signal=1)}, "1 event dropped"),
        ({"lost": Lost(signal=2)}, "2 events dropped"),
        ({"host": replace(HOST, observer="audit")}, "an audit log holds refusals only"),
        ({"attached": True}, "its start was not observed"),
    ],
)
def test_a_caution_does_not_repeat_the_doubt_of_the_headline(
    change: dict[str, Any], said: str
) -> None:
    known = report_with(Standing.RECORDED)
    runs = tuple(replace(run, **change) for run in known.recordings)
    known = replace(known, recordings=runs, proposal=decide_all(runs, CATALOG))
    assert " ".join(_text(known).split()).count(said) == 1


def test_explain_says_an_empty_set_once() -> None:
    known = report_with(Standing.PROVEN_MINIMAL, needs=False)
    text = "\n".join(report_text(known, CATALOG))
    assert text.startswith("web needs no capability (")
    assert DROP_ALL not in text


def test_a_proof_in_a_user_namespace_is_called_so() -> None:
    known = report_with(Standing.PROVEN_MINIMAL)
    assert known.proven is not None
    there = replace(known, proven=replace(known.proven, user_namespace=True))
    said = "proven minimal, 3 trials in a user namespace"
    assert conclude_report(there, CATALOG).standing_words == said
    assert said in " ".join(_text(there).split())


def test_a_set_for_another_program_is_of_no_standing() -> None:
    concluded = conclude_report(report_with(Standing.PROVEN), CATALOG)
    other = of_another(concluded, "the unit runs redis-server")
    assert other.headline("web").endswith("· other program: the unit runs redis-server")


def test_a_choice_that_no_trial_had_is_not_proven() -> None:
    for standing in (Standing.RECORDED, Standing.PROVEN_MINIMAL):
        concluded = conclude_report(report_with(standing), CATALOG, parse_set(["KILL"]))
        assert concluded.standing is Standing.NOT_PROVEN
        assert concluded.doubt == "no trial of this set was made"
    failed = conclude_report(report_with(Standing.RUN_FAILED), CATALOG, frozenset({Cap(0)}))
    assert failed.standing is Standing.RUN_FAILED


def test_the_next_step_is_one_command() -> None:
    steps = {one: conclude_report(report_with(one), CATALOG).next.of("r") for one in STANDINGS}
    assert {one: " ".join(words) for one, words in steps.items()} == {
        Standing.NOT_JUDGED: "capadvise run -- web --serve",
        Standing.RUN_FAILED: "capadvise run -- web --serve",
        Standing.CHECK_FAILED: "capadvise run --check false -- web --serve",
        Standing.RECORDED: "capadvise prove r",
        Standing.PARTIAL: "capadvise run -- web --serve",
        Standing.LIKELY: "capadvise prove r",
        Standing.PROVEN_MINIMAL: "capadvise emit r --format compose",
        Standing.PROVEN: "capadvise emit r --format compose",
        Standing.NOT_PROVEN: "capadvise prove --no-isolate r",
        Standing.CONTRADICTED: "capadvise prove r",
    }


def test_the_json_has_the_command_with_a_word_for_the_file() -> None:
    document = json.loads(json.dumps(dump(report_with(Standing.PROVEN), CATALOG)))
    assert document["conclusion"]["next"] == "capadvise emit REPORT --format compose"


def test_a_set_that_passed_beside_a_sysctl_is_a_set_to_choose() -> None:
    """The best find of the trials was lost: 3 and a sysctl in the place of 4."""
    report = report_with(Standing.PROVEN_MINIMAL)
    assert report.proven is not None
    sysctl = "net.ipv4.ip_unprivileged_port_start=0"
    trials = tuple(
        Trial(frozenset(), True, 0.1, without=Cap.parse("CHOWN"), instead=(words,))
        for words in (sysctl, "group=adm,shadow", "NET_ADMIN")
    )
    more = replace(report.proven, trials=(*report.proven.trials, *trials))
    report = replace(report, proven=more)
    document = dump(report, CATALOG)
    schema.report().validate(document)
    nothing = {
        "without_file_capabilities": [],
        "sysctls": {},
        "groups": [],
        "keys": {},
        "seccomp": None,
    }
    assert [one["with"] for one in document["conclusion"]["also_passed"]] == [
        nothing | {"groups": ["adm", "shadow"]},
        nothing | {"sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"}},
    ]
    assert f"Also passed: no capability, with {sysctl}." in _text(report)


def test_the_gate_says_that_a_report_is_of_another_program_and_stays_shut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "web.json", report_with(Standing.PROVEN_MINIMAL), CATALOG)
    unit = "[Service]\nExecStart={}\nCapabilityBoundingSet=CAP_CHOWN CAP_KILL\n"
    for program, said in (
        ("/usr/bin/redis-server", "the report: other program: the report describes web, and this"),
        ("/usr/bin/web --serve", "the report: proven minimal, 3 trials."),
    ):
        Path("web.service").write_text(unit.format(program))
        assert main(["check", "web.service", "--against", "web.json"]) == 1
        assert said in plain(capsys.readouterr().out), program


@pytest.mark.parametrize(("succeeded", "compared"), [(True, True), (False, False)])
def test_a_failed_run_is_not_compared_with_the_known_sets(succeeded: bool, compared: bool) -> None:
    """A run that failed early has "the same set" by chance."""
    run, of = replace(QUIET, succeeded=succeeded, exit_status=int(not succeeded)), recordings.report
    for text in (_text(of(run)), _verbose(of(run)), _explained(of(run))):
        assert ("nown for nginx" in text) is compared
