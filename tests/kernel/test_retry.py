"""EPERM retries: the program notices nothing, and what it needs is shown."""

from __future__ import annotations

import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from capadvise.kernel import procfs
from tests.support.nobody import OTHER, Nobody
from tests.support.processes import running
from tests.support.runs import CAPADVISE
from tests.support.wait import PATIENCE, until

from .rows import IN_SHELL

PROGRAM = str(Path(__file__).parents[1] / "programs" / "retried.py")


def fresh(folder: Path) -> Path:
    """A folder with a file of somebody else's in it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "foreign").mkdir(parents=True)
    (folder / "foreign" / "secret").write_text("hidden\n")
    (folder / "own").touch()
    for path in (folder / "foreign", folder / "foreign" / "secret"):
        os.chown(path, OTHER, OTHER)
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder


def retry(
    folder: Path,
    *argv: str,
    options: tuple[str, ...] = (),
    alone: bool = True,
    below: tuple[str, ...] = (),
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """`run --retry` in a folder; alone: without the kernel's trace; below: started by that."""
    report = folder.with_suffix(".json")
    done = subprocess.run(
        [*below, CAPADVISE, "run", "--retry", "-q", "-o", str(report), *options, "--", *argv],
        cwd=folder,
        env={**os.environ, "CAPADVISE_OBSERVER": "retry" if alone else ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done, json.loads(report.read_text())


def needed(report: dict[str, Any]) -> str:
    return " ".join(report["proposal"]["cap_add"])


PID_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")

BEHAVIOURS = {
    **(
        {
            "int80": "CHOWN DAC_OVERRIDE FOWNER FSETID",
            "program_of_32_bits": "CHOWN",
            "no_stack": "CHOWN",
        }
        if platform.machine() == "x86_64"
        else {}
    ),
    "threads": "DAC_OVERRIDE",
    "exec_from_thread": "DAC_OVERRIDE",
    "exec_foreign": "CHOWN DAC_OVERRIDE",
    "spawn": "DAC_OVERRIDE",
    "signals": "DAC_OVERRIDE",
    "interrupted": "CHOWN DAC_OVERRIDE",
    "once": "DAC_OVERRIDE KILL SETUID",
    "seccomp": "CHOWN DAC_OVERRIDE",
    "view": "DAC_OVERRIDE",
    "switch": "CHOWN DAC_OVERRIDE SETUID",
    "own_set": "CHOWN",
    "set_gid": "CHOWN FOWNER FSETID",
    "silent": "KILL SETUID",
    "namespace": "DAC_OVERRIDE SETFCAP",
    "limits": "IPC_LOCK",
    "stops": "DAC_OVERRIDE",
    "held_open": "CHOWN",
    "killed": "",
}


@pytest.mark.parametrize(
    ("name", "how"),
    [
        # there, no BPF program stops a thread only at its failures
        *((name, "in a pid namespace") for name in BEHAVIOURS),
        # the trace also shows that their links to files of others are refused for want of FOWNER
        *((name, "observed") for name in BEHAVIOURS if name not in ("stops", "killed")),
        *((name, "all-calls") for name in ("signals", "seccomp", "silent", "traced")),
    ],
)
def test_the_program_notices_nothing(tmp_path: Path, name: str, how: str) -> None:
    native = subprocess.run(
        [sys.executable, PROGRAM, name],
        cwd=fresh(tmp_path / "w"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    done, report = retry(
        fresh(tmp_path / "w"),
        *(sys.executable, PROGRAM, name),
        options=("--retry=all-calls",) if how == "all-calls" else (),
        alone=how != "observed",
        below=PID_NAMESPACE if how == "in a pid namespace" else (),
    )
    assert (done.stdout, done.stderr, done.returncode) == (native.stdout, native.stderr, 0)
    assert needed(report) == BEHAVIOURS.get(name, "")


def test_who_has_its_calls_answered_by_another_runs_with_its_own_set(tmp_path: Path) -> None:
    """Such a call stops for the other one only: it was refused, and never tried again."""
    done, report = retry(fresh(tmp_path / "w"), sys.executable, PROGRAM, "listener", alone=False)
    assert (done.stdout, done.stderr, done.returncode) == ("ok\n", "", 0)
    assert needed(report) == "CHOWN"
    assert "seccomp listener" in " ".join(report["recordings"][0]["cautions"])


NICER = "import os; os.setpriority(os.PRIO_PROCESS, 0, -5)"
BIND = "import socket; socket.socket().bind(('127.0.0.1', 81))"


@pytest.mark.parametrize(
    ("command", "cap", "detail"),
    [
        ("chown 65534 own", "CHOWN", "own, uid 65534"),
        ("cat foreign/secret", "DAC_READ_SEARCH", "foreign/secret, reading"),
        ("echo x >> foreign/secret", "DAC_OVERRIDE", "foreign/secret, writing"),
        ("hostname -F /etc/hostname", "SYS_ADMIN", None),
        ("mknod n c 1 3", "MKNOD", "mode 0666, device 1:3"),
        (f'{IN_SHELL} -c "{NICER}"', "SYS_NICE", "priority -5"),
        ("dmesg -n 4", "SYSLOG", "request 8"),
        (f'{IN_SHELL} -c "{BIND}"', "NET_BIND_SERVICE", "127.0.0.1:81"),
        ("mount -t tmpfs none foreign", "SYS_ADMIN", None),
        ("sysctl -qw net.ipv4.ip_forward=1", "NET_ADMIN", "/proc/sys/net/ipv4/ip_forward"),
        ("setpriv --reuid 65534 --clear-groups true", "SETUID", "uid 65534"),
    ],
)
def test_the_evidence_names_what_it_was_about(
    tmp_path: Path, command: str, cap: str, detail: str | None
) -> None:
    done, report = retry(fresh(tmp_path / "w"), "unshare", "-mnu", "sh", "-c", command, options=())
    assert done.returncode == 0, done.stderr
    need = next(
        need for need in report["needs"] if need["cap"] in (f"CAP_{cap}", "CAP_DAC_OVERRIDE")
    )
    assert (need["verdict"], need["proof"]) == ("needed", "retry")
    shown = [
        check["detail"]
        for check in report["recordings"][0]["checks"]
        if check["cap"] == f"CAP_{cap}" and check["retried"] == "shown"
    ]
    assert any(detail is None or detail in (text or "") for text in shown), shown


@pytest.mark.parametrize(
    ("command", "alone", "verdict", "likely"),
    [
        ("chown 65534 foreign", True, "needed", True),
        ("chown 65534 foreign", False, "needed", True),
        ("chown 65533 foreign", True, "needed", False),
        ("chown 65534 foreign", "prove", "required", False),
        ("chown 65534 foreign 2>/dev/null; true", "prove", "optional", False),
    ],
)
def test_a_change_of_owner_that_changes_nothing_is_likely_optional(
    tmp_path: Path, command: str, alone: bool | str, verdict: str, likely: bool
) -> None:
    """Only a trial shows whether the program stops at the error. A proof keeps CHOWN even then: a
    file that is written to without a change can have been changed by the recording."""
    options = ("--prove",) if alone == "prove" else ()
    run = ("sh", "-c", command)
    done, report = retry(fresh(tmp_path / "w"), *run, options=options, alone=alone is True)
    assert done.returncode == 0, done.stderr
    need = next(need for need in report["needs"] if need["cap"] == "CAP_CHOWN")
    assert need["verdict"] == verdict
    assert str(need["uncertain"]).startswith("likely optional") is likely
    assert "CHOWN" in needed(report)


def test_with_the_kernels_trace_its_own_question_is_tried_first(tmp_path: Path) -> None:
    command = ("sh", "-c", "echo x >> foreign/secret; chown 65534 own; dmesg > /dev/null")
    done, report = retry(fresh(tmp_path / "w"), *command, alone=False)
    assert done.returncode == 0, done.stderr
    assert report["recordings"][0]["host"]["observer"].endswith("+retry")
    proofs = {need["cap"]: need["proof"] for need in report["needs"] if need["verdict"] == "needed"}
    assert proofs == dict.fromkeys(("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_SYSLOG"), "retry")


def test_a_target_that_traces_is_told_of(tmp_path: Path) -> None:
    _, report = retry(fresh(tmp_path / "w"), "sh", "-c", "chown 65534 own; strace true")
    assert needed(report) == "CHOWN"
    (caution,) = report["recordings"][0]["cautions"]
    assert "--retry=all-calls" in caution


INT80 = """
#include <string.h>
#include <sys/mman.h>
unsigned char code[] = {
  0x53, 0x89, 0xf8, 0x89, 0xf3, 0x41, 0x89, 0xc8, 0x89, 0xd1, 0x44, 0x89, 0xc2, 0xcd, 0x80, 0x5b,
  0x48, 0x98, 0xc3
};
int main(void) {
  char *at = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  memcpy(at, code, sizeof code);
  strcpy(at + 1000, "own");
  mprotect(at, 4096, 5);
  ((long (*)(unsigned, unsigned, unsigned, unsigned))at)(212, (long)at + 1000, 5, 5);
}
"""
"""A chown by int 0x80, with no memory that can be written to and that 32 bits reach: in a program
that lies above them, as Debian's Python does not."""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="two ways into the kernel")
@pytest.mark.parametrize(
    ("argv", "caution"),
    [
        ((sys.executable, PROGRAM, "x32"), "makes system calls of another architecture"),
        (("./int80",), "could not be made to change its capability sets"),
    ],
    ids=["x32", "int80"],
)
def test_what_could_not_be_tried_is_told_of(
    tmp_path: Path, argv: tuple[str, ...], caution: str
) -> None:
    work = fresh(tmp_path / "w")
    build = ["gcc", "-w", "-fPIE", "-pie", "-x", "c", "-", "-o", work / "int80"]
    subprocess.run(build, input=INT80, text=True, check=True)
    done, report = retry(work, *argv)
    assert done.returncode == 0, done.stderr
    (said,) = report["recordings"][0]["cautions"]
    assert caution in said


def test_a_process_that_ends_before_it_can_be_let_go_of_holds_up_nobody(tmp_path: Path) -> None:
    options = ("--retry=all-calls",)
    done, _ = retry(
        fresh(tmp_path / "w"), *(sys.executable, PROGRAM, "attach_blocked"), options=options
    )
    assert done.stdout == "True\n"


def test_a_thread_can_be_killed_at_any_time(tmp_path: Path) -> None:
    """Also while the tracer changes it: somebody untraced does not wait for a stop."""
    process = subprocess.Popen(
        [
            *(CAPADVISE, "run", "--retry", "-q", "-o", str(tmp_path / "r.json"), "--"),
            *(sys.executable, PROGRAM, "killed_from_outside", "150"),
        ],
        cwd=fresh(tmp_path / "w"),
        env={**os.environ, "CAPADVISE_OBSERVER": "retry"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    for line in process.stdout:
        time.sleep(random.uniform(0.002, 0.012))
        os.kill(int(line), signal.SIGKILL)
    assert process.wait(PATIENCE) == 0
    assert not json.loads((tmp_path / "r.json").read_text())["recordings"][0]["cautions"]


def test_a_thread_whose_maker_was_killed_is_not_left_stopped() -> None:
    program = str(Path(PROGRAM).with_name("deaf_tracer.py"))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[1:4] == [
        "{'injection_disabled': 'a process whose parent was killed'}",
        "ended child",
        "ended target",
    ], done.stderr


def test_a_thread_whose_sets_cannot_be_changed_is_left_alone(tmp_path: Path) -> None:
    refusing = ("setarch", "-R", sys.executable, str(Path(PROGRAM).with_name("no_capset.py")))
    command = ("sh", "-c", "cd foreign; cd ..; cd foreign; cd ..; cat foreign/secret")
    report = tmp_path / "report.json"
    done = subprocess.run(
        [*refusing, CAPADVISE, "run", "--retry", "-q", "-o", str(report), "--", *command],
        cwd=fresh(tmp_path / "w"),
        env={**os.environ, "CAPADVISE_OBSERVER": "retry"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("hidden\n", 0), done.stderr
    (caution,) = json.loads(report.read_text())["recordings"][0]["cautions"]
    assert caution.startswith("sh could not be made to change its capability sets")


def test_a_target_that_is_traced_already_is_an_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [*("strace", "-f", "-o", tmp_path / "log", CAPADVISE), "run", "--retry", "--", "true"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "cannot trace it: Operation not permitted" in done.stderr
    assert "Traceback" not in done.stderr


def tracer_of(target: int) -> int:
    status = procfs.parse_status(Path(f"/proc/{target}/status").read_text())
    return int(status["TracerPid"])


def sleeping(marker: str) -> list[int]:
    return [
        pid
        for pid in running(f"sleep\0{marker}")
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0")
    ]


@pytest.mark.parametrize("victim", ["tracer", "guardian", "supervisor"])
def test_kill_9_of_any_of_them_ends_the_target(
    tmp_path: Path,
    marker: str,
    victim: str,
) -> None:
    process = subprocess.Popen(
        [CAPADVISE, "run", "--retry", "-q", "-o", str(tmp_path / "r.json"), "--", "sleep", marker]
    )
    # the target's own command line begins with it; ours holds it, too
    until(lambda: len(sleeping(marker)) == 1)
    tracer = tracer_of(*sleeping(marker))
    guardian = int(procfs.parse_status(Path(f"/proc/{tracer}/status").read_text())["PPid"])
    pid = {"tracer": tracer, "guardian": guardian, "supervisor": process.pid}[victim]
    os.kill(pid, signal.SIGKILL)
    process.wait(PATIENCE)
    until(lambda: not sleeping(marker))
    until(lambda: not Path(f"/proc/{tracer}").exists())
    if victim == "tracer":
        (caution,) = json.loads((tmp_path / "r.json").read_text())["recordings"][0]["cautions"]
        assert "tracer was killed" in caution


def test_no_thread_is_left_behind_or_missed(tmp_path: Path) -> None:
    for _ in range(5):
        done, report = retry(fresh(tmp_path / "w"), sys.executable, PROGRAM, "threads")
        assert (done.stdout, needed(report)) == ("50\n", "DAC_OVERRIDE")


# ------------------------------------------------------------------- calls stopped by failure alone

ONLY_FAILURES = pytest.mark.skipif(platform.machine() != "x86_64", reason="all stop at their end")


@ONLY_FAILURES
def test_an_armed_thread_gets_a_signal_at_its_first_failure_and_not_before(tmp_path: Path) -> None:
    program = str(Path(PROGRAM).with_name("stopped_by_failure.py"))
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == [
        "armed True False",
        "no such call",
        "signal after 100 folders",
        "armed False",
        "ended with 0",
    ], done.stderr


STATS = """if True:
    import os, resource
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for _ in range(1000):
        os.stat("own")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before)
"""
CHOWNS = """if True:
    import os, resource
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for number in range(1000):
        os.chown("own", 5 + number % 2, -1)
        if number % 5 == 0:
            try:
                os.chown("gone", 1, -1)
            except FileNotFoundError:
                pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before)
"""


@ONLY_FAILURES
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(("code", "more"), [(STATS, []), (CHOWNS, ["995"])])
def test_a_call_that_succeeds_stops_only_at_its_entry(
    tmp_path: Path, code: str, more: list[str], alone: bool
) -> None:
    """A stop is one voluntary context switch at most. Also what was shown to need a capability is
    counted without another stop; a failure that tells nothing is not counted."""
    done, report = retry(fresh(tmp_path / "w"), sys.executable, "-c", code, alone=alone)
    assert int(done.stdout) < 1700, done.stderr
    details = " ".join(str(check["detail"]) for check in report["recordings"][0]["checks"])
    assert re.findall(r"and (\d+) more while it was held", details) == more


def test_no_failure_is_missed_under_job_control(tmp_path: Path) -> None:
    program = str(Path(PROGRAM).with_name("pounded.py"))
    done, report = retry(fresh(tmp_path / "w"), sys.executable, program, "1000", alone=False)
    assert done.stdout == "{'EACCES': 2000}\n", done.stderr
    refused = [
        (call["errno"], call["count"])
        for call in report["recordings"][0]["refused_calls"]
        if call["syscall"].startswith("mkdir")
    ]
    assert refused == [("EACCES", 2000)]


BLOCKED = """if True:
    import os, signal
    blocked = {}
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    os.kill(os.getpid(), signal.SIGCONT)
    open("foreign/secret").close()
    os.setresuid(1000, 1000, 0)
    try:
        os.mkdir("foreign/new")
    except PermissionError:
        print(*map(int, signal.sigpending()))
"""


@pytest.mark.parametrize("blocked", ["[signal.SIGCONT]", "signal.valid_signals()"])
def test_blocked_signals_stay_pending_and_hide_no_failure(tmp_path: Path, blocked: str) -> None:
    command = (sys.executable, "-c", BLOCKED.format(blocked))
    done, report = retry(fresh(tmp_path / "w"), *command, alone=False)
    assert done.stdout == f"{int(signal.SIGCONT)}\n", done.stderr
    assert needed(report) == "DAC_OVERRIDE SETUID"


def test_each_sigcont_is_handled_while_calls_fail(tmp_path: Path) -> None:
    program = str(Path(PROGRAM).with_name("sigconts.py"))
    done, _ = retry(fresh(tmp_path / "w"), sys.executable, program, "300", alone=False)
    assert done.stdout == "300\n", done.stderr


OTHERS_SIGNAL = """if True:
    import os, signal
    seen = []
    signal.signal(signal.SIGSTKFLT, lambda number, _: seen.append(number))
    os.kill(os.getpid(), signal.SIGSTKFLT)
    open("foreign/secret").close()
    print(*map(int, seen), flush=True)
    signal.signal(signal.SIGSTKFLT, signal.SIG_IGN)
    open("foreign/secret").close()
    signal.signal(signal.SIGSTKFLT, signal.SIG_DFL)
    open("foreign/secret").close()
    os.kill(os.getpid(), signal.SIGSTKFLT)
"""


def test_the_signal_that_stops_a_failing_call_is_the_programs_own_otherwise(tmp_path: Path) -> None:
    command = (sys.executable, "-c", OTHERS_SIGNAL)
    done, report = retry(fresh(tmp_path / "w"), *command, alone=False)
    signalled = 128 + signal.SIGSTKFLT
    assert (done.stdout, done.returncode) == (f"{int(signal.SIGSTKFLT)}\n", signalled), done.stderr
    assert needed(report) == "DAC_OVERRIDE"


# ---------------------------------------------------------------------------- ordinary users

BIND_80 = "python3 -c 'import socket; socket.socket().bind((str(), 80))'"
SET = "setpriv --reuid 5 --clear-groups true"
EXPECTED = {
    # command: (capability, verdict, proof, whether uncertain); None: nothing is said
    BIND_80: ("NET_BIND_SERVICE", "needed", "none", True),
    "ping -c1 127.0.0.1": ("NET_RAW", "needed", "none", True),
    "mount -t tmpfs none .": ("SYS_ADMIN", "needed", "none", True),
    "hostname other": ("SYS_ADMIN", "needed", "none", True),
    "cat /etc/shadow": ("DAC_OVERRIDE", "needed", "none", True),
    "rm -f f; touch f; chown 5 f": ("CHOWN", "needed", "retry", False),
    SET: ("SETUID", "needed", "retry", False),
    "chroot / true": ("SYS_CHROOT", "needed", "retry", False),
}
WITHOUT_IDS = EXPECTED | {"rm -f f; touch f; chown 5 f": None, SET: None}


@pytest.fixture
def as_nobody(nobody: Nobody) -> Any:
    """`capadvise run` by nobody, with or without subordinate ids."""

    def runner(command: str, subids: str) -> tuple[str, dict[str, Any]]:
        argv = ["run", "-o", "report.json", "--", "sh", "-c", command]
        done = nobody.capadvise(*argv, subids=subids)
        report = nobody.work / "report.json"
        assert report.exists(), done.stderr
        return done.stderr, json.loads(report.read_text())

    return runner


@pytest.mark.parametrize(
    ("command", "subids", "expected"),
    [
        *((command, "500000:65536", expected) for command, expected in EXPECTED.items()),
        *((c, "", e) for c, e in WITHOUT_IDS.items() if e is None or c == "chroot / true"),
    ],
)
def test_what_an_ordinary_user_learns(
    as_nobody: Any, command: str, subids: str, expected: tuple[str, str, str, bool] | None
) -> None:
    said, report = as_nobody(command, subids)
    assert "only retries show" in said
    cautions = " ".join(report["recordings"][0]["cautions"])
    assert "root of a user namespace" in cautions
    assert ("giving files to" in cautions) is (not subids)
    if expected is None:
        assert needed(report) == ""
        return
    cap, verdict, proof, uncertain = expected
    need = next(need for need in report["needs"] if need["cap"] == f"CAP_{cap}")
    assert (need["verdict"], need["proof"]) == (verdict, proof)
    assert (need["uncertain"] is not None) is uncertain
