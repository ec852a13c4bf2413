"""Real trials of programs that lose something without a word, and of controls that only look so."""

from __future__ import annotations

import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.support.counting import ASK, counting
from tests.support.losses import Case, controls, losses
from tests.support.proving import false_loss, missed, prove_all
from tests.support.runs import Run

LOSSES, CONTROLS = 12, 12
OF_EACH_KIND = ("set-id-relative", "daemon-worker", "stop-var", "chown-lib", "append-mount")


def test_no_silent_loss_is_missed(tmp_path: Path) -> None:
    cases = [*islice(losses(), LOSSES // 2), *[*losses()][12::5][: LOSSES // 2]]
    cases += [case for case in losses() if case.name in OF_EACH_KIND]
    reports = prove_all(cases, tmp_path / "proofs")
    wrong = {case.name: missed(case, reports.get(case.name)) for case in cases}
    assert {name: said for name, said in wrong.items() if said} == {}
    for report in reports.values():
        compared = report["conclusion"]["compared"]
        assert {"stdout", "stderr", "exit status"} <= {*compared}


def test_what_changes_by_itself_is_no_loss(tmp_path: Path) -> None:
    cases = [*[*controls()][::2][:CONTROLS], *[*controls()][-2:]]
    reports = prove_all(cases, tmp_path / "proofs")
    wrong = {case.name: false_loss(case, reports.get(case.name)) for case in cases}
    assert {name: said for name, said in wrong.items() if said} == {}


OF_A_REVIEW = [
    Case(
        *("var", "chown -R nobody /var/lib/capadvise-test 2>/dev/null || :"),
        *("mkdir -p /var/lib/capadvise-test; touch /var/lib/capadvise-test/f", "CHOWN"),
    ),
    Case(
        *("rsync", "rsync -aX s/ d/"),
        *("mkdir s d; touch s/f; setfattr -n trusted.a -v b s/f", "SYS_ADMIN"),
    ),
    Case(
        *("tar", "tar cf b.tar d 2>/dev/null; exit 0"),
        *("mkdir d; seq 9999 > d/f; chmod 600 d/f; chown nobody d/f", "DAC_OVERRIDE"),
    ),
    Case(
        *("cat", "cat f 2>/dev/null; true"),
        *("echo x > f; chmod 600 f; chown nobody f", "DAC_OVERRIDE"),
    ),
]


@pytest.mark.parametrize("case", OF_A_REVIEW, ids=lambda case: case.name)
def test_a_recorded_command_loses_nothing_in_silence(run: Run, tmp_path: Path, case: Case) -> None:
    """Each was said to need nothing; the first one has done its work before any trial."""
    (tmp_path / "w").mkdir()
    subprocess.run(["sh", "-ec", case.setup], cwd=tmp_path / "w", check=True)
    try:
        report = run("sh", "-c", case.command, options=("--prove",)).report
    finally:
        subprocess.run(["rm", "-rf", "/var/lib/capadvise-test"], check=True)
    assert report["proposal"]["recommended"] == [f"CAP_{case.caps}"]
    assert _lost(report)


def test_a_need_that_comes_by_chance_is_a_caution(run: Run, tmp_path: Path) -> None:
    """The second trial with everything had no need of CHOWN, so its loss counted as noise."""
    count = Path(f"/tmp/capadvise-test-{tmp_path.name}")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "f").touch()
    command = f"n=$({ASK.format(path=count)}) || exit 1; [ $n -gt 2 ] || chown nobody f"
    with counting(count):
        report = run("sh", "-c", command, options=("--prove",)).report
    cautions = report["proof"]["cautions"]
    assert any("only some used CHOWN" in caution for caution in cautions), cautions


def test_the_text_says_what_was_compared(run: Run) -> None:
    result = run("sh", "-c", "chown $(id -u) .; echo x > f", options=("--prove", "-v"))
    said = " ".join(result.stderr.split())
    assert "Compared: owners, modes, sizes, attributes and contents of" in said
    assert "; exit status." in said


def _lost(report: dict[str, Any]) -> list[str]:
    return [need["lost_without"] for need in report["needs"] if need["lost_without"]]
