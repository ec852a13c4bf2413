"""The report file, the page for people, and the snippets."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from capadvise.judgement.conclusion import Standing
from capadvise.judgement.decide import Verdict
from capadvise.judgement.proven import Trial
from capadvise.model.errors import BadInput
from capadvise.model.escape import printable
from capadvise.model.recording import Origin
from capadvise.report.dump import dump, dump_recording
from capadvise.report.load import load, load_recording
from capadvise.report.save import save, write
from capadvise.report.text import proposal_text
from capadvise.workflow.protocols import Over
from capadvise.workflow.reports import check_writable, show_proposal
from tests.support import schema
from tests.support.golden import assert_golden
from tests.support.known import nginx_alone
from tests.support.recordings import CATALOG, CHOWN, RECORDING, proven, recording, report
from tests.support.standings import report_with

STOPPED: dict[str, Any] = {
    "still_running": frozenset({"web"}),
    "exit_status": 128 + signal.SIGTERM,
}
KILLED = STOPPED | {"exit_status": 128 + signal.SIGKILL}


def test_a_report_comes_back_as_it_went(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.json"
    save(path, report(), CATALOG)
    assert load(path, CATALOG) == report()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_under_sudo_the_report_and_its_new_folders_are_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "65534")
    monkeypatch.setenv("SUDO_GID", "65534")
    path = tmp_path / "state" / "capadvise" / "r.json"
    save(path, report(), CATALOG)
    assert [place.stat().st_uid for place in (path, *path.parents[:2])] == [65534] * 3
    assert tmp_path.stat().st_uid == 0


def test_a_report_keeps_to_the_public_schema() -> None:
    schema.report().validate(dump(report(), CATALOG))


def test_the_schema_refuses_what_is_not_a_report() -> None:
    broken = dump(report(), CATALOG)
    del broken["needs"][0]["verdict"]
    with pytest.raises(jsonschema.ValidationError):
        schema.report().validate(broken)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a JSON file"),
        ("[]", "not a report"),
        ('{"schema": "capadvise.report/9"}', "capadvise.report/9"),
        ('{"schema": "capadvise.report/1"}', "'recordings' is missing"),
        ('{"schema": "capadvise.report/1", "recordings": []}', "no recording"),
        ('{"schema": "capadvise.report/1", "recordings": 5}', "int"),
        ("[" * 100000, "not a JSON file"),
    ],
)
def test_what_is_not_a_report_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=said) as caught:
        load(path, CATALOG)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("recordings", 0, "exit_status"), "x"),
        (("recordings", 0, "host", "last_cap"), 64),
        (("recordings", 0, "host", "last_cap"), 10**12),
        (("recordings", 0, "host", "last_cap"), -1),
        (("recordings", 0, "checks", 0, "uid"), "0"),
        (("recordings", 0, "checks", 0, "count"), 1e400),
        (("recordings", 0, "checks", 0, "detail"), 5),
        # What is shown as it stands there: no report may steer a terminal.
        (("recordings", 0, "checks", 0, "syscall"), "bind\x1b[31m"),
        (("recordings", 0, "checks", 0, "without"), "EPERM\n::error::"),
        (("recordings", 0, "checks", 0, "site", 0), "inet_bind\x1f"),
        (("recordings", 0, "refused_calls", 0, "syscall"), None),
        (("recordings", 0, "refused_calls", 0, "denied"), 5),
        (("recordings", 0, "audit"), [{"syscall": "mount\x1b[2J"}]),
        (("recordings", 0, "refused_calls", 0, "errno"), "EPERM\x1b[2J"),
        (("recordings", 0, "still_running"), "nginx"),
        (("target", "user"), "0:0\nprivileged: true"),
        (("recordings", 0, "succeeded"), 1),
        (("workload", "check"), ["x"]),
        (("target", "argv", 0), None),
        (("posture", "root", "read_only"), 1),
        (("posture", "root", "exposed"), {}),
        (("posture", "user", "groups"), ["0"]),
        (("posture", "namespaces", "net"), "mine"),
        (("posture", "mac"), []),
    ],
)
def test_a_wrong_type_is_refused(
    tmp_path: Path, path: tuple[str | int, ...], value: object
) -> None:
    raw: Any = dump(report(), CATALOG)
    place = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file = tmp_path / "x.json"
    file.write_text(json.dumps(raw))
    with pytest.raises(BadInput, match=r"x\.json"):
        load(file, CATALOG)


def test_a_report_may_lack_what_a_later_version_reads_from_proc(tmp_path: Path) -> None:
    raw: Any = dump(report(), CATALOG)
    del raw["posture"]["sandbox"], raw["posture"]["cgroup"]["limits"]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(raw))
    posture = load(path, CATALOG).posture
    assert (posture.sandbox, posture.cgroup.limits) == (None, {})
    del raw["posture"]["cgroup"]["path"]
    path.write_text(json.dumps(raw))
    with pytest.raises(BadInput, match="key 'path' is missing"):
        load(path, CATALOG)


def test_a_report_of_before_it_said_what_still_ran_is_judged_as_it_was(tmp_path: Path) -> None:
    raw: Any = dump(report(), CATALOG)
    del raw["recordings"][0]["still_running"]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(raw))
    read = load(path, CATALOG)
    assert read.recording.still_running == frozenset()
    assert read.proposal == report().proposal


def test_what_copies_showed_in_a_report_of_an_earlier_version_is_ignored(tmp_path: Path) -> None:
    """``run --copies`` wrote it; CHOWN was likely optional then."""
    owner = replace(CHOWN, granted=True, result=0)
    served = replace(RECORDING, checks=(owner,), still_running=frozenset({"nginx"}))
    raw: Any = dump(report(served), CATALOG)
    shown = {"tried": 2, "went_on": 2, "marked": 0, "untried": 0, "wrote": "chown() failed"}
    raw["recordings"][0]["reactions"] = [{"program": "nginx", "syscall": "fchownat", **shown}]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(raw))
    read = load(path, CATALOG)
    assert read == report(served)
    assert owner.cap in read.proposal.recommended


def test_a_folder_of_reports_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "web.json").write_text("{}")
    with pytest.raises(BadInput, match="a folder") as caught:
        load(tmp_path, CATALOG)
    assert caught.value.hint == f"name a report in it: {tmp_path / 'web.json'}"


def test_a_report_with_a_strange_capability_is_refused(tmp_path: Path) -> None:
    raw = dump(report(), CATALOG)
    raw["recordings"][0]["checks"][0]["cap"] = "CAP_TO_FLY"
    path = tmp_path / "x.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(BadInput, match="CAP_TO_FLY"):
        load(path, CATALOG)


def test_the_page_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    nginx_alone(monkeypatch)
    lines = proposal_text(report(), CATALOG, Path("r.json"))
    assert_golden("proposal.txt", "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([{}], "exited with 0 after 1.5 s"),
        ([STOPPED], "ran for 1.5 s"),
        ([STOPPED, KILLED], "was recorded 2 times (3.0 s)"),
        ([STOPPED, {}], "was recorded 2 times (3.0 s), exited with 0"),
        ([{}, {"exit_status": 3}], "was recorded 2 times (3.0 s), exited with 0 and exited with 3"),
        ([{"attached": True}], "was recorded for 1.5 s"),
        ([{"attached": True}] * 2, "was recorded 2 times (3.0 s)"),
    ],
)
def test_an_exit_status_is_shown_of_what_ended_by_itself(
    runs: list[dict[str, Any]], said: str
) -> None:
    """The signal of a stop is not the target's doing."""
    recorded = tuple(recording(**run) for run in runs)
    shown = replace(report_with(Standing.RECORDED, needs=False), recordings=recorded)
    text = list(proposal_text(shown, CATALOG, None, columns=110))
    assert f"web --serve {said}: 0 capability checks." in text


def test_a_long_remark_has_two_lines_without_v() -> None:
    known = report_with(Standing.PROVEN)
    losses = "new messages: " + ", ".join(f'"cannot open the file number {n}"' for n in range(9))
    needs = tuple(
        replace(need, lost_without=losses) if need.verdict is Verdict.OPTIONAL else need
        for need in known.proposal.needs
    )
    shown = replace(known, proposal=replace(known.proposal, needs=needs))
    short, full = (
        list(proposal_text(shown, CATALOG, None, verbose=verbose)) for verbose in (False, True)
    )
    (at,) = (number for number, line in enumerate(short) if "without it: new messages" in line)
    assert short[at + 1].endswith(" …")
    assert short[at + 2] == ""
    assert "number 8" not in "".join(short)
    assert "number 8" in "".join(full)
    assert max(map(len, short)) <= 80


def test_how_it_failed_is_said_once() -> None:
    text = "\n".join(proposal_text(report_with(Standing.RUN_FAILED), CATALOG, None))
    assert text.count("was killed by SIGSEGV") == 1


def test_a_set_that_passed_beside_a_setting_can_be_empty() -> None:
    known = report_with(Standing.PROVEN_MINIMAL)
    setting = "net.ipv4.ip_unprivileged_port_start=0"
    trial = Trial(frozenset(), True, 0.5, without=CHOWN.cap, instead=(setting,))
    assert known.proven is not None
    shown = replace(known, proven=replace(known.proven, trials=(*known.proven.trials, trial)))
    text = "\n".join(proposal_text(shown, CATALOG, None, columns=110))
    assert "Also passed: no capability, with net.ipv4.ip_unprivileged_port_start=0." in text


def test_control_characters_become_escapes() -> None:
    assert printable("a\x1b[31m\n\u202e\u2028é") == "a\\x1b[31m\\n\\u202e\\u2028é"


@pytest.mark.parametrize("origin", [origin for origin in Origin if origin is not Origin.KERNEL])
def test_what_stands_for_a_check_is_declared_and_older_reports_name_it_by_the_site(
    origin: Origin,
) -> None:
    check = replace(CHOWN, site=(), origin=origin)
    written = dump_recording(replace(RECORDING, checks=(check,)), CATALOG)
    (entry,) = written["checks"]
    assert (entry["origin"], entry["site"]) == (str(origin), [str(origin)])
    assert load_recording(written).checks == (check,)
    del entry["origin"]
    assert load_recording(written).checks == (check,)


@pytest.mark.parametrize(
    ("argv", "file"),
    [
        (("docker", "compose", "up", "web"), "compose.yml"),
        (("docker", "compose", "--file=other file.yaml", "up"), "'other file.yaml'"),
        (("docker", "compose", "--file=a.yaml", "--file=b.yaml", "up"), "a.yaml"),
        (("docker", "compose", "--file=a.yaml", "--file=adds.yaml", "up"), "adds.yaml"),
        (("docker", "compose", "--file=adds.yaml", "--file=drops.yaml", "up"), None),
        (("docker", "compose", "--file=a.yaml", "--file=-", "up"), None),
    ],
)
def test_the_next_step_of_a_service_is_to_patch_its_file(
    argv: tuple[str, ...], file: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "compose.yml").touch()
    for name, more in (
        ("a", ""),
        ("b", ""),
        ("adds", "cap_add: [KILL]"),
        ("drops", "cap_drop: [ALL]"),
    ):
        (tmp_path / f"{name}.yaml").write_text(f"services:\n  web:\n    image: w\n    {more}\n")
    known = proven(report(), frozenset())
    target = replace(known.target, argv=argv, cwd=str(tmp_path), service="web", kind="container")
    show_proposal(Over(replace(known, target=target), Path("r.json")), quiet=False)
    steps = capsys.readouterr().err.splitlines()
    form = f"--into {file} --service web" if file else "--format compose"
    assert f"Next: capadvise emit r.json {form}" in steps


@pytest.mark.parametrize(
    ("place", "said"), [("pipe", "a pipe"), ("socket", "a socket"), ("/dev/zero", "a device")]
)
def test_what_can_block_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    for refused in (check_writable, lambda path: save(path, report(), CATALOG)):
        with pytest.raises(BadInput, match=f"{place}: {said}, which is not written to as a file"):
            refused(Path(place))


def test_a_descriptor_and_the_null_device_are_written_to() -> None:
    ends, begins = os.pipe()
    for place in ("/dev/null", f"/dev/fd/{begins}"):
        check_writable(Path(place))
        write(Path(place), "x", private=False)
    assert os.read(ends, 9) == b"x"
    os.close(ends)
    os.close(begins)
