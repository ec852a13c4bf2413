"""What a target needs though no check says so: the same in every run."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from capadvise.kernel import libc, procfs
from capadvise.observe.ftrace.instances import require
from capadvise.observe.ftrace.pointer_readers import CapsetArguments, ProcLookups
from tests.support.runs import Run
from tests.support.wait import until

from .rows import PROGRAMS, PYTHON

LOOKS = """
#include <unistd.h>
int main() { char text[64]; for (;;) readlink("/proc/1/exe", text, sizeof text); }
"""

UNREAD = """
import os, signal, subprocess, time
reader = os.getpid()
while "capadvise\\0run" not in open(f"/proc/{{reader}}/cmdline").read():
    reader = int(open(f"/proc/{{reader}}/stat").read().rpartition(")")[2].split()[1])
os.kill(reader, signal.SIGSTOP)
try:
    {}
finally:
    os.kill(reader, signal.SIGCONT)
"""
"""Does something while nobody reads what is recorded of it."""


def test_a_set_that_is_gone_at_once_is_known_in_every_run(run: Run) -> None:
    """CHOWN, NET_ADMIN and CHECKPOINT_RESTORE, which is in the upper half."""
    for _ in range(8):
        result = run(PYTHON, f"{PROGRAMS}/own_set.py", hex(1 << 40 | 1 << 12 | 1))
        assert result.recommended == {"CHOWN", "NET_ADMIN", "CHECKPOINT_RESTORE"}, result.stderr
        assert result.report["recordings"][0]["cautions"] == []


def test_a_set_that_was_refused_is_known_too(run: Run) -> None:
    """setpriv leaves it without NET_ADMIN: the whole call fails."""
    bounded = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
    result = run(*bounded, PYTHON, f"{PROGRAMS}/own_set.py", hex(1 << 12))
    assert result.code == 1
    assert "NET_ADMIN" in result.recommended


@pytest.mark.parametrize("options", [(), ("--retry",)])
def test_who_drops_one_capability_after_the_other_needs_none(
    run: Run, options: tuple[str, ...]
) -> None:
    result = run(PYTHON, f"{PROGRAMS}/drop_each.py", options=options)
    assert result.code == 0, result.stderr
    assert result.recommended == set(), result.stderr


@pytest.mark.parametrize(
    "command",
    ["cd sub && exec ./suid 3", "cd sub && ./link 3", "exec sub/suid 1", "./sub/suid 1"],
)
def test_a_set_id_program_is_found_however_it_is_named(
    run: Run, tmp_path: Path, command: str
) -> None:
    """Where nobody else is in its folder it must run until it is looked at: seconds, on a machine
    with more to do."""
    sub = tmp_path / "w" / "sub"
    sub.mkdir(parents=True)
    shutil.copy(shutil.which("sleep") or "", sub / "suid")
    (sub / "suid").chmod(0o4755)
    (sub / "link").symlink_to("suid")
    result = run("sh", "-c", command)
    assert result.report["recordings"][0]["setid_exec"] is True
    plain = run("sh", "-c", "sleep 0.1")
    assert plain.report["recordings"][0]["setid_exec"] is False


def test_a_set_id_program_that_is_gone_is_found_from_where_its_parent_is(
    run: Run, tmp_path: Path
) -> None:
    sub = tmp_path / "w" / "sub"
    sub.mkdir(parents=True)
    shutil.copy(shutil.which("true") or "", sub / "suid")
    (sub / "suid").chmod(0o4755)
    script = UNREAD.format("subprocess.run(['./suid'], check=True)") + "time.sleep(3)"
    result = run("sh", "-c", f'(cd sub; "{PYTHON}" -c "$1"); true', "sh", script)
    assert result.code == 0, result.stderr
    assert result.report["recordings"][0]["setid_exec"] is True


def test_a_program_that_is_gone_may_have_been_set_id(run: Run, tmp_path: Path) -> None:
    """Nobody can tell from where a relative path was meant once its process is gone."""
    sub = tmp_path / "w" / "sub"
    sub.mkdir(parents=True)
    shutil.copy(shutil.which("true") or "", sub / "s")
    (sub / "s").chmod(0o4755)
    found = set()
    for _ in range(5):
        result = run("sh", "-c", "cd sub && exec ./s")
        found.add(result.report["recordings"][0]["setid_exec"])
    assert found <= {True, None}


REACHED = {
    "traced": "assert ctypes.CDLL(None).ptrace(PTRACE_SEIZE, pid, 0, 0) == 0",
    "looked into": "os.readlink(f'/proc/{pid}/exe')",
}
GONE = """import contextlib, ctypes
    pid, PTRACE_SEIZE, WALL = {}, 0x4206, 0x40000000
    {}
    os.kill(pid, signal.SIGKILL)
    while os.path.exists(f"/proc/{{pid}}"):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, WALL)
        time.sleep(0.01)"""


@contextlib.contextmanager
def gone_once_it_ends() -> Iterator[int]:
    """A process of which nothing is left in /proc when it has ended."""
    process = subprocess.Popen(["sleep", "300"])
    reaper = threading.Thread(target=process.wait)
    reaper.start()
    try:
        yield process.pid
    finally:
        process.kill()
        reaper.join()


@pytest.mark.parametrize("act", REACHED.values(), ids=REACHED)
def test_a_process_that_was_reached_can_be_gone_when_that_is_read(run: Run, act: str) -> None:
    with gone_once_it_ends() as other:
        result = run(PYTHON, "-c", UNREAD.format(GONE.format(other, act)))
    assert result.code == 0, result.stderr
    assert result.recommended == {"SYS_PTRACE"}, result.stderr


def test_a_process_can_be_reached_and_gone_while_the_recording_begins(run: Run) -> None:
    """As by a stop script."""
    with gone_once_it_ends() as other:
        result = run("sh", "-c", f"readlink /proc/{other}/exe; kill -9 {other}; sleep 0.5")
    assert result.code == 0, result.stderr
    assert result.recommended == {"SYS_PTRACE"}, result.stderr


def test_a_process_that_was_gone_before_holds_nothing(run: Run) -> None:
    """As of an old pid file."""
    other = subprocess.Popen(["true"])
    other.wait()
    result = run("sh", "-c", f"readlink /proc/{other.pid}/exe; true")
    assert result.code == 0, result.stderr
    assert result.recommended == set(), result.stderr


def test_pids_of_another_namespace_are_no_processes_of_ours(run: Run) -> None:
    """There, the shell is 1."""
    for forks in ("--pid --fork", "--user --map-root-user --pid --fork"):
        result = run("unshare", *forks.split(), "sh", "-c", "renice -n 1 -p $$; true")
        assert result.code == 0, result.stderr
        assert "SYS_NICE" not in result.recommended, result.stderr


def test_pids_of_our_own_namespace_are_entered(run: Run) -> None:
    with subprocess.Popen(["sleep", "300"]) as other:
        enter = f"nsenter -t {os.getpid()} -p renice -n 5 -p {other.pid}"
        result = run(*enter.split())
        other.kill()
    assert result.code == 0, result.stderr
    assert "SYS_NICE" in result.recommended, result.stderr


def test_a_group_of_administrators_is_joined(run: Run) -> None:
    """NETLINK_ADD_MEMBERSHIP is asked for where netlink_allowed() was inlined."""
    result = run("sh", "-c", "timeout 0.5 nft monitor; test $? = 124")
    assert result.recommended == {"NET_ADMIN"}
    assert all(need["uncertain"] is None for need in result.report["needs"])


def test_a_refused_score_of_the_oom_killer_names_its_capability(run: Run) -> None:
    """The write fails with EACCES, though programs usually go on."""
    lacking = ("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource")
    result = run(*lacking, "choom", "-n", "-500", "--", "true")
    assert result.code == 1
    (refusal,) = [r for r in result.report["recordings"][0]["refusals"] if r["syscall"] == "write"]
    assert refusal["by"] == "capability"
    assert "SYS_RESOURCE" in refusal["evidence"]


@pytest.mark.parametrize(
    ("command", "scanners"),
    [("ps aux", ["ps"]), ("cat /proc/1/stat /proc/uptime", []), ("pidof none", ["pidof"])],
)
def test_who_lists_all_processes_is_seen(run: Run, command: str, scanners: list[str]) -> None:
    result = run(*command.split())
    assert result.report["recordings"][0]["proc_scanners"] == scanners


def test_a_set_uid_program_that_becomes_root_for_good_needs_setuid(
    run: Run, tmp_path: Path
) -> None:
    """It has the id already, as effective and saved one: without SETUID the real one stays."""
    work = tmp_path / "w"
    work.mkdir()
    tmp_path.chmod(0o755)
    shutil.copy("/usr/bin/python3", work / "suid")
    (work / "suid").chmod(0o4755)
    script = "import os; os.setuid(0); assert os.getresuid() == (0, 0, 0)"
    result = run("./suid", "-I", "-c", script, options=("--user", "nobody"))
    assert result.code == 0, result.stderr
    assert "SETUID" in result.recommended


def test_a_set_that_is_handed_to_the_next_program_is_needed(run: Run) -> None:
    """capsh looks at what it holds; what it hands over it demands, as container runtimes do."""
    for options in ((), ("--retry",)):
        command = ("capsh", "--caps=cap_net_admin,cap_setpcap=ep", "--", "-c", "true")
        result = run(*command, options=options)
        assert result.recommended == {"NET_ADMIN", "SETPCAP"}, result.stderr


@pytest.mark.parametrize(
    ("get", "also", "wanted"),
    [
        ("syscall(125, h, d)", "", "NET_ADMIN NET_RAW"),
        ("capget(h, d)", "", "NET_ADMIN NET_RAW"),
        ("capget(h, d)", "if (h[1]) cap_get_flag(0, 0, 0, 0);", ""),
    ],
)
def test_who_can_test_what_it_holds_adapts(
    run: Run, tmp_path: Path, get: str, also: str, wanted: str
) -> None:
    """A program that gets its sets only to replace them demands the new ones (systemd-networkd).
    Both words of the new ones are alike (smartdns): of the second, no kernel knows the bits."""
    work = tmp_path / "w"
    work.mkdir()
    (work / "p.c").write_text(
        "#include <unistd.h>\nint capget(void *, void *), cap_get_flag(void *, int, int, void *);\n"
        "int main(void) {\n  unsigned h[2] = {0x20080522, 0}, d[6];\n"
        f"  if ({get}) return 1;\n  {also}\n"
        "  unsigned mask = 1 << 12 | 1 << 13;\n"
        "  d[0] = d[1] = d[3] = d[4] = mask; d[2] = d[5] = 0;\n"
        "  return (int)syscall(126, h, d); }\n"
    )
    build = ("gcc", "-w", "-o", work / "p", work / "p.c", "-l:libcap.so.2")
    subprocess.run(build, check=True)
    for options in ((), ("--retry",)):
        result = run("./p", options=options)
        assert result.code == 0, result.stderr
        assert result.recommended == set(wanted.split()), result.stderr


def test_who_looks_into_proc_all_the_time_holds_nobody_up(run: Run, tmp_path: Path) -> None:
    """Such calls of others are not even read, and could be many."""
    build = ["gcc", "-O1", "-x", "c", "-", "-o", tmp_path / "looks"]
    subprocess.run(build, input=LOOKS, text=True, check=True)
    others = [subprocess.Popen([tmp_path / "looks"]) for _ in range(2)]
    try:
        assert run("chown", "1", tmp_path, timeout=60).recommended == {"CHOWN"}
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_lookups_that_a_full_queue_did_not_take_leave_no_need_out(run: Run) -> None:
    """What ps was told is lost: it may list all processes for its own sake."""
    user = ["setpriv", "--reuid=65534", "--clear-groups"]
    other = subprocess.Popen([*user, "sleep", "300"])
    until(lambda: procfs.comm(other.pid) == "sleep")
    fill = "for _ in range(40000): os.readlink(f'/proc/{os.getpid()}/exe')"
    look = f"subprocess.run(['ps', 'e', '-p', '{other.pid}', '-o', 'args='], check=True)"
    try:
        result = run(PYTHON, "-c", UNREAD.format(f"{fill}\n    {look}"))
    finally:
        other.kill()
        other.wait()
    assert result.code == 0, result.stderr
    assert result.recommended == {"DAC_OVERRIDE", "SYS_PTRACE"}, result.stderr
    assert result.report["recordings"][0]["lost"]["lookups"] > 5000
    assert "lookups in /proc dropped: needs of CAP_SYS_PTRACE can be missing" in result.stderr
    unsure = {need["cap"] for need in result.report["needs"] if need["uncertain"]}
    assert unsure == {"CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"}, "the first answers for reading, too"


def test_whose_lookups_a_full_queue_did_not_take_is_known() -> None:
    """The queue is the whole machine's: what others look up means nothing for a target."""
    lookups = ProcLookups(require())
    try:
        reads = "import os\nfor _ in range(40000): os.readlink(f'/proc/{os.getpid()}/exe')"
        other = subprocess.Popen([PYTHON, "-c", reads])
        assert other.wait() == 0
        taken = sum(lookup.thread == other.pid for lookup in lookups.take())
        lost = lookups.lost()
        assert taken + lost[other.pid] >= 40000
        assert lost[other.pid] > 5000
        assert os.getpid() not in lost
        assert 0 not in lost
    finally:
        lookups.close()


def test_sets_that_nobody_waits_for_are_not_kept_for_ever() -> None:
    """Whoever calls capset on this machine is heard: it must not fill the recorder's memory."""
    many, me, another = 10_000, os.getpid(), 1
    effective, permitted, inheritable = libc.capget()
    capsets = CapsetArguments(require())
    try:
        for number in range(many):
            libc.capset(effective, permitted, inheritable)
            if number % 1000 == 0:
                assert capsets.take(another) is None
        kept = sum(capsets.take(me) is not None for _ in range(many))
    finally:
        capsets.close()
    assert 0 < kept < many / 2
