"""The target behaves as if capadvise were not there, and nothing survives capadvise."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from capadvise.kernel import procfs
from tests.support.processes import leftovers, running
from tests.support.runs import CAPADVISE, Run
from tests.support.terminal import Terminal
from tests.support.wait import PATIENCE, until


def start(tmp_path: Path, *argv: str, **popen: object) -> subprocess.Popen[str]:
    command = [CAPADVISE, "run", "-q", "-o", str(tmp_path / "report.json"), "--", *argv]
    return subprocess.Popen(command, text=True, **popen)  # type: ignore[call-overload, no-any-return]


def tree_of(marker: str) -> str:
    """A shell command with a child, and a daemon in a session of its own."""
    return f"setsid sleep {marker} & sleep {marker} & exec sleep {marker}"


def children_of(pid: int) -> list[int]:
    return [child for child in procfs.processes() if procfs.parent(child) == pid]


def is_guardian(pid: int) -> bool:
    return procfs.comm(pid) == "guardian"


def guardian_of(pid: int) -> int:
    (guardian,) = filter(is_guardian, children_of(pid))
    return guardian


def test_what_the_first_process_has_executed_last(run: Run) -> None:
    seen = run("sh", "-c", "ls / >/dev/null; exec env sleep 0")
    assert seen.report["recordings"][0]["program"] == "sleep"


@pytest.mark.parametrize("leads", [True, False])
def test_the_target_leads_the_session_that_it_would_lead_without_us(
    tmp_path: Path, leads: bool
) -> None:
    """As what systemd starts does, and what takes a terminal for its own must (mingetty)."""
    asks = "import os; print(os.getsid(0) == os.getpid())"
    process = start(
        *(tmp_path, sys.executable, "-c", asks), start_new_session=leads, stdout=subprocess.PIPE
    )
    assert process.communicate(timeout=PATIENCE)[0] == f"{leads}\n"


@pytest.mark.parametrize("victim", ["supervisor", "guardian"])
def test_kill_9_leaves_nothing_behind(tmp_path: Path, marker: str, victim: str) -> None:
    process = start(tmp_path, "sh", "-c", tree_of(marker))
    until(lambda: len(running(f"sleep\0{marker}")) == 3)
    os.kill(process.pid if victim == "supervisor" else guardian_of(process.pid), signal.SIGKILL)
    process.wait(PATIENCE)
    until(lambda: not running(f"sleep\0{marker}"))
    until(lambda: not leftovers())


HELD = """
import sys
from capadvise.cli import main
from capadvise.observe.supervise.session import Session
let_go = Session.release
def release(session, *loading):
    print(session.held, flush=True)
    sys.stdin.read()
    return let_go(session, *loading)
Session.release = release
sys.exit(main(sys.argv[1:]))
"""
"""Lets its target go when its own input ends."""


def test_a_target_that_is_killed_while_it_is_held_has_ended(tmp_path: Path) -> None:
    """As by ``timeout``, which sends its signal to the whole group."""
    words = [sys.executable, "-c", HELD, "run", "-q", "-o", str(tmp_path / "r.json"), "--", "true"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    target = int(process.stdout.readline())
    os.kill(target, signal.SIGTERM)
    until(lambda: procfs.state(target) in ("", "Z"))
    assert process.communicate(timeout=PATIENCE)[1] == ""
    assert process.returncode == 128 + signal.SIGTERM


def test_the_next_start_removes_what_a_double_kill_left(
    run: Run, tmp_path: Path, marker: str
) -> None:
    process = start(tmp_path, "sh", "-c", tree_of(marker))
    until(lambda: len(running(f"sleep\0{marker}")) == 3)
    guardian = guardian_of(process.pid)
    # Neither sees the other's end: the guardian would be woken by it, and clean up.
    os.kill(process.pid, signal.SIGSTOP)
    os.kill(guardian, signal.SIGKILL)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert leftovers()
    run("true")
    until(lambda: not leftovers())


def test_nothing_of_the_tree_runs_on(run: Run, marker: str) -> None:
    run("sh", "-c", tree_of(marker), options=("--for", "1"))
    assert not running(f"sleep\0{marker}")
    until(lambda: not leftovers())


def test_stdout_is_the_targets_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    blob = os.urandom(3 << 20)
    (tmp_path / "w" / "blob").write_bytes(blob)
    archive = tmp_path / "x.tar"
    with archive.open("wb") as out:
        subprocess.run(
            [CAPADVISE, "run", "-q", "-o", tmp_path / "r.json", "--", "tar", "c", "blob"],
            stdout=out,
            cwd=tmp_path / "w",
            check=True,
        )
    listed = subprocess.run(["tar", "xOf", archive], capture_output=True, check=True).stdout
    assert hashlib.sha256(listed).digest() == hashlib.sha256(blob).digest()


def test_stdin_and_descriptors_reach_the_target(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    assert run("cat", input="through and through").stdout == "through and through"
    read_end, write_end = os.pipe()
    result = run("bash", "-c", f"echo inherited >&{write_end}", pass_fds=(write_end,))
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        assert pipe.read() == "inherited\n"
    assert result.code == 0


def test_no_ended_process_is_kept(tmp_path: Path, marker: str) -> None:
    """Not that which has read the kernel's symbols, although none is looked up yet."""
    process = start(tmp_path, "sleep", marker)
    until(lambda: running(f"sleep\0{marker}"))
    guardian = until(lambda: [pid for pid in children_of(process.pid) if is_guardian(pid)])
    until(lambda: children_of(process.pid) == guardian)
    process.terminate()
    process.wait(PATIENCE)


def test_the_target_holds_no_descriptor_of_ours(run: Run) -> None:
    assert run("sh", "-c", "ls /proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


def test_the_target_has_the_signals_of_its_parent(run: Run) -> None:
    def signals(text: str) -> dict[str, str]:
        return {key: text for key, text in procfs.parse_status(text).items() if key[:3] == "Sig"}

    wanted = ("SigBlk", "SigIgn", "SigCgt")
    native = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
    seen = run("cat", "/proc/self/status").stdout
    assert [signals(seen)[key] for key in wanted] == [signals(native)[key] for key in wanted]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("true", 0)]
)
def test_exit_status_is_the_targets(run: Run, script: str, code: int) -> None:
    result = run("sh", "-c", script)
    assert result.code == code
    recording = result.report["recordings"][0]
    assert (recording["exit_status"], recording["still_running"]) == (code, [])


def test_not_found_and_not_executable(run: Run, tmp_path: Path) -> None:
    result = run("no-such-command-at-all")
    assert result.code == 127
    assert result.stderr.startswith("capadvise: error: no-such-command-at-all: command not found")
    (tmp_path / "w" / "text").write_text("x")
    result = run("./text")
    assert result.code == 126
    assert "capadvise: error: ./text" in result.stderr
    (tmp_path / "w" / "garbage").write_bytes(b"\x7fELF garbage")
    (tmp_path / "w" / "garbage").chmod(0o755)
    assert run("./garbage").code == 126
    far = tmp_path / "w" / "/".join(["é" * 120] * 8)
    far.mkdir(parents=True)
    (tmp_path / "w" / "garbage").rename(far / "garbage")
    assert run(str(far / "garbage")).code == 126


def test_a_signal_to_capadvise_reaches_the_target_once(tmp_path: Path) -> None:
    script = (
        "trap 'echo got it' TERM; echo ready; while :; do sleep 0.1; [ -e stop ] && exit 3; done"
    )
    process = start(tmp_path, "sh", "-c", script, cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "got it\n"
    time.sleep(0.3)
    (tmp_path / "stop").touch()
    rest, _ = process.communicate(timeout=PATIENCE)
    assert rest == ""
    assert process.returncode == 3


def test_a_target_that_ignores_sigterm_is_killed(tmp_path: Path, marker: str) -> None:
    process = start(tmp_path, "sh", "-c", f"trap '' TERM; sleep {marker} & sleep {marker}")
    until(lambda: len(running(f"sleep\0{marker}")) == 2)
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE)
    assert not running(f"sleep\0{marker}")
    recording = json.loads((tmp_path / "report.json").read_text())["recordings"][0]
    assert recording["interrupted"]
    assert "sleep" in recording["still_running"]


def test_ctrl_c_reaches_the_target_once(tmp_path: Path) -> None:
    script = "n=0; trap 'n=$((n+1)); echo int-$n' INT; echo ready; "
    script += "until [ -e stop ]; do sleep 0.2; done; exit 5"
    report = tmp_path / "report.json"
    argv = (CAPADVISE, "run", "-q", "-o", str(report), "--", "sh", "-c", script)
    terminal = Terminal(argv, cwd=tmp_path)
    terminal.expect("ready")
    terminal.type("\x03")
    terminal.expect("int-1")
    time.sleep(1)  # another one would have come by now
    (tmp_path / "stop").touch()
    assert terminal.end() == 5
    assert "int-2" not in terminal.read()
    recording = json.loads(report.read_text())["recordings"][0]
    assert recording["interrupted"]
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_ctrl_c_ends_a_daemon_whose_starter_has_exited_and_it_is_said_what_goes_on(
    tmp_path: Path, marker: str
) -> None:
    report = tmp_path / "report.json"
    argv = (CAPADVISE, "run", "--no-tui", "-o", str(report), "--", "sh", "-c")
    terminal = Terminal((*argv, f"setsid sleep {marker} & sleep 0.1"), cwd=tmp_path)
    terminal.expect("left running: sleep (Ctrl-C ends it)")
    terminal.type("\x03")
    assert terminal.end() == 0
    assert not running(f"sleep\0{marker}")
    recording = json.loads(report.read_text())["recordings"][0]
    assert recording["interrupted"]
    assert recording["still_running"] == ["sleep"]


def test_ctrl_z_and_fg(tmp_path: Path) -> None:
    terminal = Terminal(["bash", "--norc", "-i"], cwd=tmp_path)
    terminal.type("PS1='$ '\n")
    script = "echo begun; until [ -e go ]; do sleep 0.1; done; echo ended-$((1+1))"
    command = f"{shlex.quote(CAPADVISE)} run -q -o r.json -- sh -c '{script}'"
    terminal.type(command + "\n")
    terminal.expect("begun\r")
    terminal.type("\x1a")
    terminal.expect("Stopped")
    (tmp_path / "go").touch()
    terminal.type("fg\n")
    terminal.expect("ended-2")
    terminal.type("exit\n")
    terminal.end()
    assert json.loads((tmp_path / "r.json").read_text())["recordings"][0]["exit_status"] == 0


def test_json_on_stdout_is_one_document(run: Run) -> None:
    result = run("sh", "-c", "echo from the target", options=("--json", "-q"))
    assert json.loads(result.stdout)["schema"] == "capadvise.report/2"
    assert result.stderr == "from the target\n"


def test_hostile_names_do_not_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    name = "evil\x1b]0;owned\x07\n\u202eX"
    (tmp_path / "w" / name).symlink_to("/bin/chown")
    (tmp_path / "w" / "f").touch()
    result = run(f"./{name}", "nobody", "f")
    assert result.recommended == {"CHOWN"}
    assert not set(result.stderr) & {"\x1b", "\x07", "\u202e"}
    assert "evil\\x1b]0;owned\\x07\\n\\u202eX" in result.stderr


def test_an_ordinary_user_learns_what_is_missing(tmp_path: Path) -> None:
    readable = "dac_read_search"  # this interpreter may lie below /root
    report = tmp_path / "report.json"
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    done = subprocess.run(
        [
            *("setpriv", "--reuid=65534", f"--inh-caps=+{readable}", f"--ambient-caps=+{readable}"),
            *(CAPADVISE, "run", "-o", str(report), "--", "true"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == (
        "capadvise: seeing capability checks needs root: only retries show what it needs"
    )
    assert json.loads(report.read_text())["recordings"][0]["host"]["observer"] == "retry"


def test_in_another_pid_namespace_retries_alone_are_left(tmp_path: Path) -> None:
    report = str(tmp_path / "report.json")
    run = (CAPADVISE, "run", "-o", report, "--", "true")
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", *run], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "pid namespace" in done.stderr
    assert "only retries show" in done.stderr


@pytest.mark.parametrize("name", ["HUP", "INT"])
def test_a_target_that_goes_on_after_a_signal_is_not_being_stopped(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "f").touch()
    script = f"trap 'echo caught' {name}; echo ready; sleep 3; sleep 1; chown nobody f"
    process = start(tmp_path, "bash", "-c", script, cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(getattr(signal, f"SIG{name}"))
    process.communicate(timeout=PATIENCE)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["proposal"]["cap_add"] == ["CHOWN"]


def test_a_run_that_fails_gets_no_clean_bill(run: Run) -> None:
    result = run("sh", "-c", "exit 3")
    assert "drop all" not in result.stderr
    assert "sh: run failed: exited with 3" in result.stderr


def test_a_check_may_print_much_and_leave_daemons(run: Run) -> None:
    """Neither is waited for: not the daemon, which lives longer than this test may."""
    check = f"head -c 300000 /dev/zero; (setsid sleep {2 * PATIENCE} &) ; true"
    result = run("sleep", f"{2 * PATIENCE}", options=("--check", check), timeout=PATIENCE)
    assert "The health check passed" in " ".join(result.stderr.split())


def test_a_shells_child_is_stopped_with_it(run: Run, tmp_path: Path) -> None:
    """By SIGTERM: else it is killed, ten seconds later."""
    child = "trap 'touch told; exit' TERM; touch up; while :; do sleep 0.1; done"
    run("sh", "-c", 'sh -c "$1"; true', "sh", child, options=("--check", "test -e up"))
    assert (tmp_path / "w" / "told").exists()


def test_output_is_checked_before_the_target_runs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    done = subprocess.run(
        [CAPADVISE, "run", "-o", str(tmp_path), "--", "touch", str(tmp_path / "ran")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "is a folder" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_device_named_as_output_stays_a_device(tmp_path: Path) -> None:
    node = tmp_path / "null"
    os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    subprocess.run([CAPADVISE, "run", "-q", "-o", str(node), "--", "true"], check=True)
    assert stat.S_ISCHR(node.stat().st_mode)


def test_a_directory_that_is_gone_and_a_script_without_interpreter(
    run: Run, tmp_path: Path
) -> None:
    report = tmp_path / "r.json"
    gone = f"mkdir -p {tmp_path}/gone; cd {tmp_path}/gone; rmdir ../gone; "
    done = subprocess.run(
        ["sh", "-c", f"{gone} exec {shlex.quote(CAPADVISE)} run -q -o {report} -- true"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "w").mkdir()
    script = tmp_path / "w" / "bare"
    script.write_text("echo $1 ran\n")
    script.chmod(0o755)
    assert run("./bare", "it").stdout == "it ran\n"


def test_doctor_tells_an_ordinary_user_that_root_is_missing() -> None:
    readable = "dac_read_search"
    done = subprocess.run(
        [
            *("setpriv", "--reuid=65534", f"--inh-caps=+{readable}", f"--ambient-caps=+{readable}"),
            *(CAPADVISE, "doctor"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "run it as root: " in done.stdout
    assert "run uses retries only" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_check_that_does_not_pass_is_quoted_while_it_is_waited_for_and_at_the_end(
    tmp_path: Path,
) -> None:
    report = str(tmp_path / "r.json")
    words = [CAPADVISE, "run", "-o", report, "--check", "ls /nowhere", "--", "sleep", "600"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    told = process.stderr.readline()
    process.terminate()
    why = "ls: cannot access '/nowhere'"
    assert re.match(rf"capadvise: health check: failing for \d+ s, exit 2: {why}", told)
    said = " ".join(process.communicate(timeout=PATIENCE)[1].split())
    assert said.count(f"The health check printed: {why}") == 1


def test_a_check_waits_until_the_users_time_for_it(run: Run, tmp_path: Path) -> None:
    """The first try is not made before, and is made while the target runs."""
    tries = f"test -e {tmp_path}/began || date +%s.%N > {tmp_path}/began"
    began = time.time()
    run("sleep", "600", options=("--check", tries, "--check-after", "2"))
    assert 2 <= float((tmp_path / "began").read_text()) - began < 600


def test_a_check_that_passes_just_before_the_end_makes_no_daemon(run: Run, tmp_path: Path) -> None:
    """The target waits for the health check, however long a busy machine takes for it."""
    target = "touch out; until [ -e checked ]; do sleep 0.01; done"
    result = run("sh", "-c", target, options=("--check", "test -e out && touch checked"))
    assert result.report["workload"]["kind"] == "oneshot"
    assert result.report["recordings"][0]["exit_status"] == 0
