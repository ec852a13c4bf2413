"""Several reports as one, and what changed between two."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.cli import main
from capadvise.judgement.decide import Verdict
from capadvise.judgement.report import Report
from capadvise.model.caps import parse_set
from capadvise.model.errors import BadInput
from capadvise.model.posture import Cgroup, Posture, Seccomp, Sharing
from capadvise.model.recording import Held
from capadvise.report.dump import dump
from capadvise.report.load import load
from capadvise.report.merge import Merged, merge
from capadvise.report.save import save
from capadvise.report.text import proposal_text
from tests.support import schema
from tests.support.golden import assert_golden
from tests.support.recordings import BIND, CATALOG, CHOWN, NOISE, proven, report, report_of


def merged(*reports: Report, name: str | None = None) -> Merged:
    named = [(f"{number}.json", item) for number, item in enumerate(reports, 1)]
    return merge(named, CATALOG, name=name)


def test_the_union_needs_what_any_run_needs() -> None:
    one = merged(report_of(BIND), report_of(CHOWN)).report
    assert one.proposal.recommended == parse_set(["CHOWN", "NET_BIND_SERVICE"])
    assert [check.id for item in one.recordings for check in item.checks] == [1, 2]
    assert [need.evidence[0].check.id for need in one.proposal.needs] == [2, 1]


def test_each_check_is_judged_by_what_its_own_run_held() -> None:
    """Refused where it could have been had: given up. Refused where it could not: needed."""
    refused = replace(CHOWN, granted=False, result=-1)
    none = Held(frozenset(), frozenset(), frozenset())
    dropped, missing = report_of(refused), report_of(refused, held=none, succeeded=False)
    cap = CHOWN.cap
    assert dropped.proposal.need(cap).verdict is Verdict.DENIED
    for pair in ((dropped, missing), (missing, dropped)):
        assert merged(*pair).report.proposal.need(cap).verdict is Verdict.NEEDED


def test_a_run_that_is_given_twice_counts_once() -> None:
    one = report_of(BIND, NOISE)
    assert merged(one, one).report == one == merged(one).report


def test_what_was_privileged_once_is_said_to_have_been() -> None:
    plain = report_of(BIND)
    one = replace(plain, target=replace(plain.target, privileged=False))
    two = replace(plain, target=replace(plain.target, privileged=True))
    assert [merged(*runs).report.target.privileged for runs in ((one, two), (two, one))] == [
        True,
        True,
    ]


def test_the_order_of_runs_does_not_change_the_set() -> None:
    runs = [report_of(BIND), report_of(CHOWN), report_of(NOISE), report_of(BIND, CHOWN)]
    sets = [merged(*runs[i:], *runs[:i]).report.proposal.recommended for i in range(len(runs))]
    assert set(sets) == {parse_set(["CHOWN", "NET_BIND_SERVICE"])}


def test_cautions_name_the_run_that_they_are_of() -> None:
    assert merged(report_of(BIND), report_of(CHOWN, interrupted=True)).report.proposal.cautions == (
        "run 2: it was stopped: its later actions, such as a reload, were not observed",
    )


def test_a_caution_of_several_runs_is_said_once() -> None:
    stopped = [report_of(CHOWN, interrupted=True, seconds=float(n)) for n in range(1, 7)]
    said = "it was stopped: its later actions, such as a reload, were not observed"
    for runs, whose in (
        (stopped[:2], "each run"),
        ([stopped[0], report_of(BIND), stopped[1]], "runs 1, 3"),
        ([report_of(BIND), *stopped], "6 of 7 runs"),
    ):
        assert merged(*runs).report.proposal.cautions == (f"{whose}: {said}",)


def test_the_page_for_people_counts_the_runs() -> None:
    made = merged(report_of(BIND), report_of(CHOWN, seconds=2.0)).report
    text = " ".join(" ".join(proposal_text(made, CATALOG, None)).split())
    assert "recorded 2 times, not proven" in text
    assert "daemon off;' was recorded 2 times (3.5 s), exited with 0: 4 capability checks." in text


def test_a_merged_report_comes_back_as_it_went(tmp_path: Path) -> None:
    one = merged(report_of(BIND), report_of(CHOWN)).report
    schema.report().validate(dump(one, CATALOG))
    save(tmp_path / "r.json", one, CATALOG)
    assert load(tmp_path / "r.json", CATALOG) == one


def test_different_targets_are_refused_unless_named() -> None:
    one, two = report_of(BIND), replace(report_of(CHOWN), target=report(name="sleep").target)
    with pytest.raises(BadInput, match=r"1\.json and 2\.json .*: name nginx and sleep") as caught:
        merged(one, two)
    assert caught.value.hint is not None
    assert "--as NAME" in caught.value.hint
    made = merged(one, two, name="web")
    assert made.report.target == replace(one.target, name="web")
    assert made.notes == ("the command lines differ: `prove` uses the one of 1.json",)


def test_other_arguments_are_the_same_target() -> None:
    two = report_of(CHOWN)
    two = replace(two, target=replace(two.target, argv=("nginx", "-t")))
    assert merged(report_of(BIND), two).notes == (
        "the command lines differ: `prove` uses the one of 1.json",
    )


def test_settings_that_differ_are_left_open() -> None:
    here = Posture(
        {"kernel.dmesg_restrict": "1"},
        {"net": Sharing.HOST},
        cgroup=Cgroup("v2", "/one", writable=False),
    )
    there = Posture(
        {"kernel.dmesg_restrict": "0", "a": "1"},
        {"net": Sharing.OWN},
        seccomp=Seccomp("filter"),
        cgroup=Cgroup("v2", "/two", writable=False),
    )
    made = merged(*(replace(report_of(BIND), posture=posture) for posture in (here, there)))
    assert made.report.posture == replace(here, sysctls={}, namespaces={})
    assert made.notes == (
        "these settings differ between the runs: a, kernel.dmesg_restrict, net namespace, seccomp",
    )


def test_a_proof_holds_where_no_other_run_needs_more() -> None:
    one = proven(report_of(BIND, CHOWN), parse_set(["NET_BIND_SERVICE", "CHOWN"]))
    made = merged(report_of(BIND), one)
    assert made.notes == ()
    assert made.report.proven == one.proven
    assert made.report.proposal.minimal == one.proposal.minimal
    assert made.report.proposal.need(CHOWN.cap).verdict is Verdict.REQUIRED


def test_a_proof_does_not_hold_beyond_what_was_proven() -> None:
    made = merged(proven(report_of(BIND), parse_set(["NET_BIND_SERVICE"])), report_of(CHOWN))
    assert made.report.proven is None
    assert made.report.proposal.minimal is None
    assert made.report.proposal.recommended == parse_set(["CHOWN", "NET_BIND_SERVICE"])
    assert made.notes == (
        "the proof of 1.json no longer holds and is left out: other runs need CHOWN",
    )


def test_what_trials_took_away_comes_back_when_another_run_used_it() -> None:
    one = proven(report_of(BIND, CHOWN), parse_set(["NET_BIND_SERVICE"]))
    assert one.proposal.recommended == parse_set(["NET_BIND_SERVICE"])
    made = merged(one, report_of(CHOWN, seconds=9.0))
    assert made.report.proven is None
    assert made.report.proposal.recommended == parse_set(["CHOWN", "NET_BIND_SERVICE"])
    assert merged(one, one).report == one


def test_the_workload_of_a_kept_proof_is_kept_and_named() -> None:
    two = proven(report_of(BIND, seconds=9.0), parse_set(["NET_BIND_SERVICE"]))
    two = replace(two, workload=replace(two.workload, check="curl -fs localhost/login"))
    made = merged(report_of(BIND), two)
    assert made.report.workload == two.workload
    assert made.notes == ("the health checks differ: the merged report keeps the one of 2.json",)


# ------------------------------------------------------------------------------ on the command line


def files(folder: Path, *reports: Report) -> list[str]:
    for number, item in enumerate(reports, 1):
        save(folder / f"{number}.json", item, CATALOG)
    return [str(folder / f"{number}.json") for number in range(1, len(reports) + 1)]


def test_merge_prints_or_writes_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = files(tmp_path, report_of(BIND), report_of(CHOWN))
    said = (
        "capadvise: nginx needs CHOWN, NET_BIND_SERVICE (2; root here holds all 41) · medium · "
        "recorded 2 times, not proven\n"
        "capadvise: CHOWN: used in 1 of 2 runs\n"
        "capadvise: NET_BIND_SERVICE: used in 1 of 2 runs\n"
    )
    assert main(["merge", *paths]) == 0
    printed = capsys.readouterr()
    assert printed.err == said
    assert main(["merge", *paths, "-o", str(tmp_path / "m.json")]) == 0
    assert capsys.readouterr() == ("", said)
    assert json.loads((tmp_path / "m.json").read_text()) == json.loads(printed.out)


@pytest.mark.parametrize("verb", ["merge", "diff"])
def test_what_is_no_report_is_said_so(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bad := tmp_path / "x.json").write_text("{}")
    assert main([verb, str(bad), str(bad)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"capadvise: error: {bad}: not a report",
        "capadvise: hint: a report is what `capadvise run -o FILE` writes",
    ]


def test_a_diff_of_the_same_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    louder = replace(BIND, count=9, pid=1)
    paths = files(tmp_path, report_of(BIND), report_of(louder, seconds=3.0))
    assert main(["diff", *paths]) == 0
    assert capsys.readouterr() == (
        "Standing: recorded once, not proven\nRecommended: the same\n",
        "",
    )
    other = report_of(BIND)
    other = replace(other, target=replace(other.target, name="\x1b[1m"))
    assert main(["diff", *files(tmp_path, report_of(BIND), other)]) == 0
    told = f"capadvise: note: {report_of(BIND).target.name} is compared with \\x1b[1m\n"
    assert capsys.readouterr().err == told


def test_a_diff_names_what_changed_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = proven(report_of(BIND, NOISE), parse_set(["NET_BIND_SERVICE"]))
    two = proven(report_of(CHOWN, NOISE), parse_set(["CHOWN"]))
    assert main(["diff", *files(tmp_path, one, two)]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    assert_golden("diff.txt", captured.out)


def test_a_diff_can_be_read_by_machines(tmp_path: Path) -> None:
    output = tmp_path / "d.json"
    assert (
        main(
            [
                "diff",
                *files(tmp_path, report_of(BIND), report_of(CHOWN)),
                "--json",
                "-o",
                str(output),
            ]
        )
        == 1
    )
    found = json.loads(output.read_text())
    assert found["schema"] == "capadvise.diff/1"
    assert found["recommended"] == {"gained": ["CAP_CHOWN"], "lost": ["CAP_NET_BIND_SERVICE"]}
    assert [change["cap"] for change in found["verdicts"]] == ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"]
    assert found["minimal"] is None
    assert found["evidence"] == {
        "gained": [{"cap": "CAP_CHOWN", "what": "nginx: fchownat, at chown_ok"}],
        "lost": [
            {
                "cap": "CAP_NET_BIND_SERVICE",
                "what": "nginx: bind, tcp 0.0.0.0:80, at __inet_bind",
            }
        ],
    }
