"""A target that is root can switch its trace off for a moment: the recording says so."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from capadvise.observe.ftrace import tracefs
from capadvise.observe.ftrace.instances import Buffers, require
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.observe.tracking.tasks import OneCommand
from capadvise.observe.tracking.tracker import Tracker
from tests.support.runs import CAPADVISE, Run

MISSED = "a check made on purpose did not arrive"
FINDS_ITS_TRACE = """
w=$PWD; read -r _ _ _ s _ < /proc/$PPID/stat
cd "$TRACEFS"/instances/capadvise-$s-*-quiet || exit 9
event=events/capability/cap_capable; filter=$(cat $event/filter); all=$(cat tracing_cpumask)
"""
SWITCHES = {
    "tracing_on": ("echo 0 > tracing_on", "echo 1 > tracing_on"),
    "enable": ("echo 0 > $event/enable", "echo 1 > $event/enable"),
    "set_event_pid": ("echo 1 > set_event_pid", "echo $s $$ > set_event_pid"),
    "filter": ("echo 'cap == 40' > $event/filter", 'echo "$filter" > $event/filter'),
    "set_event_notrace_pid": ("echo $$ > set_event_notrace_pid", ": > set_event_notrace_pid"),
    "event-fork": ("echo 0 > options/event-fork", "echo 1 > options/event-fork"),
    "tracing_cpumask": ("echo 0 > tracing_cpumask", "echo $all > tracing_cpumask"),
    "trace": (":", ": > trace"),
    "trace_pipe": (":", "timeout 1 cat trace_pipe > /dev/null; :"),
}


@pytest.fixture
def its_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    place = tmp_path / "tracefs"
    place.mkdir()
    subprocess.run(["mount", "-t", "tracefs", "tracefs", place], check=True)
    monkeypatch.setenv("TRACEFS", str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("again", [True, False], ids=["on-again", "stays-off"])
@pytest.mark.parametrize("file", SWITCHES)
@pytest.mark.usefixtures("its_trace")
def test_who_switches_its_trace_off_is_not_said_to_need_nothing(
    run: Run, tmp_path: Path, file: str, again: bool
) -> None:
    _switches_off(run, tmp_path, file, *SWITCHES[file][: 1 + (again or SWITCHES[file][0] == ":")])


def _switches_off(run: Run, tmp_path: Path, file: str, off: str, on: str = ":") -> None:
    (tmp_path / "w").mkdir()
    owned = tmp_path / "w" / "f"
    owned.touch()
    result = run("sh", "-c", f"{FINDS_ITS_TRACE}\n{off}\nchown 1 $w/f\n{on}", gaps=True)
    assert (result.code, owned.stat().st_uid) == (0, 1), result.stderr
    (recording,) = result.report["recordings"]
    deed = "opened" if file == "trace_pipe" else "written"
    assert f"{file} was {deed}" in recording["lost"]["gaps"]
    conclusion = result.report["conclusion"]
    assert conclusion["standing"] == "partial"
    assert conclusion["doubt"].startswith("the trace may have gaps (")
    assert "needs no capability" not in result.stderr
    assert "the trace may have gaps" in " ".join(result.stderr.split())


@pytest.mark.parametrize("buffer", ["quiet", "flood"])
def test_what_no_write_shows_is_missed_by_a_check(buffer: str) -> None:
    """As when somebody disarms the probes of the whole machine."""
    assert _gaps(off=None) == ()
    assert _gaps(off=buffer) == (MISSED,)


def _gaps(off: str | None) -> tuple[str, ...]:
    target = subprocess.Popen(["sleep", "60"])
    buffers = Buffers(require(), missing=frozenset())
    try:
        buffers.open(lambda: [target.pid])
        tracker = Tracker(buffers.types, Symbols(b""), OneCommand(target.pid), target.pid, 0, 0)
        for switch in ("0", "1"):
            if off:
                folder = getattr(buffers, off).folder
                tracefs.write(folder / "tracing_on", switch)
            buffers.check_itself()
            buffers.drain(tracker)
        buffers.stop()
        while not buffers.drain(tracker):
            pass
        tracker.finish()
        assert not tracker.tallies()
        return tuple(gap for gap in buffers.lost().gaps if "tracing_on" not in gap)
    finally:
        buffers.close()
        buffers.remove()
        target.kill()
        target.wait()


QUIET, BUSY = "sleep 4", "for i in $(seq 300); do chown 0 .; chown 1 f; chown 0 f; done"


@pytest.mark.parametrize("command", ["true", QUIET, BUSY], ids=["short", "quiet", "busy"])
def test_an_ordinary_run_has_no_gap(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "f").touch()
    result = run("sh", "-c", command)
    assert [one["lost"]["gaps"] for one in result.report["recordings"]] == [[]]
    assert result.recommended == ({"CHOWN"} if command == BUSY else set())


def test_neither_has_one_that_was_stopped(tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    words = [CAPADVISE, "run", "-o", str(report), "--", "sh", "-c", f"{QUIET}; {QUIET}"]
    ours = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    for number in (signal.SIGSTOP, signal.SIGCONT) * 2:
        time.sleep(1.5)
        os.kill(ours.pid, number)
    assert ours.wait(60) == 0
    assert '"gaps": []' in report.read_text()


def test_nor_one_that_is_attached_to(tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    target = subprocess.Popen(["sh", "-c", f"{QUIET}; {BUSY}; {QUIET}"], cwd=tmp_path)
    try:
        words = [CAPADVISE, "attach", "-o", report, "--for", "9", str(target.pid)]
        subprocess.run(words, check=True, capture_output=True, timeout=120)
    finally:
        target.kill()
        target.wait()
    assert '"gaps": []' in report.read_text()
