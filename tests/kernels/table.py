"""In the guest: the table of ``tests/kernel/rows.py``, and what must hold besides.

Each run of capadvise is a fork of this process, which has it loaded: starting Python takes
seconds where the processor is emulated.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from capadvise import catalog, cli
from capadvise.kernel import procfs
from capadvise.observe.ftrace import probes, tracefs
from tests.kernel.rows import IN_SHELL, PROGRAMS, PYTHON, ROWS, Row
from tests.kernels.known import DIFFERENCES

WORK = Path("/tmp/w")
REPORT = Path("/tmp/report.json")
SECONDS = 600
CHOWN = "chown" if os.uname().machine == "x86_64" else "fchownat"
"""What chown(3) calls."""
FEWER = "500"
"""Children of the row that makes 9000: an emulated processor needs too long for those."""
PR_SET_DUMPABLE = 4  # linux/prctl.h
CLONE_NEWNET = 0x40000000


def capadvise(
    *argv: str,
    net: str | None = None,
    said: Path = Path("/tmp/said"),
    uid: int = 0,
    verb: str = "run",
) -> int:
    """Start ``capadvise run``, or another command, in a fork; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.chdir(WORK)
        with said.open("w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        if net is not None:
            if ctypes.CDLL(None).unshare(CLONE_NEWNET):
                raise OSError("unshare")
            subprocess.run(["sh", "-ec", f"ip link set lo up; {net}"], check=True)
        if uid:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # as an exec makes it: its maps are its own
        code = cli.main([verb, *argv])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        code = 99
    os._exit(code)


def ended(pid: int) -> int:
    """Wait for a fork; its exit code."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError(f"still running after {SECONDS} s")


def fresh() -> None:
    """An empty working directory, and no report."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    REPORT.unlink(missing_ok=True)


def report() -> dict[str, Any]:
    """What was written last."""
    content: dict[str, Any] = json.loads(REPORT.read_text())
    return content


def row_holds(row: Row) -> None:
    """One row of the table. Raises AssertionError."""
    fresh()
    subprocess.run(["bash", "-ec", row.setup], cwd=WORK, check=True)
    argv = [FEWER if word == "9000" else word for word in row.argv]
    code = ended(capadvise("-o", str(REPORT), *row.options, "--", *argv, net=row.net))
    assert code in (0, 143 if "--check" in row.options else 0), f"ended with {code}"
    subprocess.run(["bash", "-ec", row.check], cwd=WORK, check=True)
    (recording,) = report()["recordings"]
    assert recording["host"]["observer"] == os.environ[probes.FORCE]
    proposed, wanted = set(report()["proposal"]["cap_add"]), set(row.want.split())
    wanted = DIFFERENCES.get((RELEASE, row.command), wanted)
    assert proposed == wanted, f"{sorted(proposed)} instead of {sorted(wanted)}"
    assert recording["lost"]["signal"] == 0, f"lost {recording['lost']}"
    assert recording["lost"]["gaps"] == [], f"gaps {recording['lost']}"


def left_over() -> list[str]:
    """Instances and probes that are there."""
    names = [path.name for path in (ROOT / "instances").iterdir()]
    if (ROOT / probes.DYNAMIC).exists():
        names += probes.defined((ROOT / probes.DYNAMIC).read_text())
    return names


def nothing_is_left() -> None:
    """The guardian removes what a run made, soon after its end."""
    end = time.monotonic() + 30
    while left_over() and time.monotonic() < end:
        time.sleep(0.1)
    assert not left_over(), left_over()


def kill_9_leaves_nothing() -> None:
    """Neither the target nor a probe outlives the supervisor; nor, after the next start, both."""
    for double in (False, True):
        fresh()
        pid = capadvise("-o", str(REPORT), "--", "sleep", "3333")
        wait_for(lambda: bool(running("sleep\0003333")), "the target")
        assert left_over()
        (guardian,) = running("capadvise guardian", parent=pid)
        if double:
            os.kill(guardian, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if double:
            os.kill(guardian, signal.SIGKILL)
            for orphan in running("sleep\0003333"):
                os.kill(orphan, signal.SIGKILL)
            assert left_over()
            assert ended(capadvise("-q", "-o", str(REPORT), "--", "true")) == 0
        wait_for(lambda: not running("sleep\0003333"), "the target's end")
        nothing_is_left()


def a_flood_hides_nothing() -> None:
    """A tight mmap loop, and one chown at its end."""
    fresh()
    (WORK / "f").touch()
    flood = ("--", PYTHON, f"{PROGRAMS}/mmap_loop.py", "20000", "f")
    assert ended(capadvise("-o", str(REPORT), *flood)) == 0
    assert report()["proposal"]["cap_add"] == ["CHOWN"]
    assert report()["recordings"][0]["lost"]["signal"] == 0


def refusals_are_told_from_grants() -> None:
    """As another user without capabilities: every answer is a refusal, the flood's too."""
    fresh()
    WORK.chmod(0o777)
    (WORK / "f").touch()
    script = f"{IN_SHELL} {shlex.quote(str(PROGRAMS))}/mmap_loop.py 3000 f; chown root f; true"
    drop = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=-all")
    code = ended(capadvise("-o", str(REPORT), "--", *drop, "sh", "-c", script))
    assert code == 0, f"ended with {code}"
    (recording,) = report()["recordings"]
    assert not any(recording["lost"].values()), recording["lost"]
    later = [check for check in recording["checks"] if check["uid"] == 1000]
    later = [check for check in later if check["program"] in ("chown", Path(PYTHON).name, "sh")]
    granted = {check["cap"] for check in later if check["granted"]} - {"CAP_SYS_ADMIN"}
    assert not granted, granted  # an exec still asks for SYS_ADMIN as who it was before
    assert any(check["cap"] == "CAP_CHOWN" for check in later)


def others_are_not_disturbed() -> None:
    """Two runs at once, beside somebody's own trace of the same function."""
    fresh()
    (WORK / "f").touch()
    subprocess.run(
        ["sh", "-c", f"echo 'p:mine/mine cap_capable' >> {ROOT}/{probes.DYNAMIC}"], check=False
    )
    theirs = ROOT / "events/mine/mine"
    event = theirs if theirs.is_dir() else ROOT / "events/sched/sched_process_exec"
    (event / "enable").write_text("1")
    script = "sleep 2; for i in 1 2 3; do chown nobody f; done"
    others = ("sh", "-c", "for i in 1 2 3 4; do nice -n -5 sleep 0.5; done")
    first = capadvise("-o", "/tmp/first.json", "--", "sh", "-c", script, said=Path("/tmp/said1"))
    second = capadvise("-o", "/tmp/second.json", "--", *others, said=Path("/tmp/said2"))
    assert (ended(first), ended(second)) == (0, 0)
    for path, wanted in (("/tmp/first.json", "CHOWN"), ("/tmp/second.json", "SYS_NICE")):
        content = json.loads(Path(path).read_text())
        assert content["proposal"]["cap_add"] == [wanted], content["proposal"]
        assert all(need["uncertain"] is None for need in content["needs"]), content["needs"]
    assert (event / "enable").read_text().strip() == "1"
    assert event.name in (ROOT / "trace").read_text()
    (event / "enable").write_text("0")
    if theirs.is_dir():
        subprocess.run(["sh", "-c", f"echo -:mine/mine >> {ROOT}/{probes.DYNAMIC}"], check=True)
    nothing_is_left()


PROFILE = """
profile confined /tmp/w/confined {
  file,
  audit deny /tmp/w/secret r,
  capability dac_override,
}
"""


def apparmor_is_told_apart() -> None:
    """A capability that AppArmor withholds, and a file that it hides."""
    fresh()
    for name in ("f", "secret"):
        (WORK / name).touch()
    (WORK / "profile").write_text(PROFILE)
    shutil.copy("/usr/bin/python3", WORK / "confined")
    parser = ["apparmor_parser", "--quiet", "-K"]
    subprocess.run([*parser, "-r", WORK / "profile"], check=True)
    script = "import os\nfor act in (lambda: os.chown('f', 65534, -1), lambda: open('secret')):\n"
    script += "    try: act()\n    except PermissionError: pass\n    else: raise SystemExit(9)"
    try:
        home = os.path.dirname(os.path.dirname(os.path.realpath("/usr/bin/python3")))
        run = ("sh", "-c", f'PYTHONHOME={home} exec ./confined -S -c "$0"', script)
        code = ended(capadvise("-o", str(REPORT), "--", *run))
        assert code == 0, f"ended with {code}"
    finally:
        subprocess.run([*parser, "-R", WORK / "profile"], check=True)
    (recording,) = report()["recordings"]
    said = {item["evidence"] for item in recording["refusals"] if item["by"] == "mac"}
    for what in ("does not allow capability CHOWN", "does not allow open of /tmp/w/secret"):
        assert any(what in text for text in said), recording["refusals"]
    (check,) = [check for check in recording["checks"] if check["cap"] == "CAP_CHOWN"]
    assert (check["granted"], check["result"]) == (True, -1), check


SELINUX = Path("/sys/fs/selinux")
BOTH = """
import os, time
{become}
for act in (lambda: os.chown('/tmp/w/f', 5, 6), lambda: open('/tmp/w/secret', 'r+')):
    try: act()
    except PermissionError: pass
    else: raise SystemExit(9)
time.sleep(2)  # its file in /proc says whose records they are
"""
CONFINED = "open('/proc/self/attr/current', 'w').write('anyone:anyone:confined')"


def selinux_is_told_apart() -> None:
    """A capability that SELinux withholds, and a file that it protects; ``watch`` says so, too."""
    (SELINUX / "load").write_bytes(Path("/selinux.policy").read_bytes())
    (SELINUX / "enforce").write_text("1")
    fresh()
    for name in ("f", "secret"):
        (WORK / name).touch()
    script = BOTH.format(become=CONFINED)
    with watched() as lines:
        code = ended(capadvise("-o", str(REPORT), "--", PYTHON, "-S", "-c", script))
        assert code == 0, f"ended with {code}"
    (recording,) = report()["recordings"]
    said = {item["evidence"] for item in recording["refusals"] if item["by"] == "mac"}
    for what in ("{ chown } on capability", "{ write } on file secret"):
        evidence = f"SELinux does not allow anyone:anyone:confined {what}"
        assert evidence in said, recording["refusals"]
        assert [row for row in lines if (row["by"], row["evidence"]) == ("mac", evidence)], lines
    assert not [row for row in lines if row["caps"]], lines


@contextmanager
def watched() -> Iterator[list[dict[str, Any]]]:
    """Watch the machine; at the end of the block the list has what was refused."""
    said = Path("/tmp/said-watch")
    rows: list[dict[str, Any]] = []
    pid = capadvise("--json", said=said, verb="watch")
    try:
        wait_for(lambda: said.exists() and "watching this machine" in said.read_text(), "watch")
        yield rows
    finally:
        os.kill(pid, signal.SIGINT)
        code = ended(pid)
    assert code == 0, f"watch ended with {code}"
    lines = [json.loads(line) for line in said.read_text().splitlines() if line[:1] == "{"]
    rows += [line for line in lines if line["event"] == "refusal"]


def watch_names_the_cure() -> None:
    """Of a capability that an ordinary user lacks, of a file's mode, of a seccomp filter, of a file
    that cannot be executed."""
    fresh()
    since = {("x86_64", "5.10"): "Linux 5.15", ("aarch64", "6.1"): "Linux 6.4"}
    if needed := since.get((os.uname().machine, RELEASE)):
        assert ended(capadvise(verb="watch")) == 3
        assert needed in Path("/tmp/said").read_text()
        return
    become = "os.setgroups([]); os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000)"
    for name in ("f", "secret"):
        (WORK / name).touch()
    (WORK / "secret").chmod(0o600)
    filtered = [PYTHON, "-S", f"{PROGRAMS}/under_filter.py", "sethostname", "KILL", "hostname", "x"]
    with watched() as rows:
        subprocess.run([PYTHON, "-S", "-c", BOTH.format(become=become)], check=True)
        assert subprocess.run(filtered).returncode == -signal.SIGSYS
        shutil.copy("/bin/true", WORK / "fcap")
        subprocess.run(["setcap", "cap_net_bind_service=ep", WORK / "fcap"], check=True)
        lacking = ["setpriv", "--bounding-set=-net_bind_service", WORK / "fcap"]
        assert subprocess.run(lacking).returncode == 126
    told = {(row["syscall"], row["errno"], row["by"], row["uid"]): row["cure"] for row in rows}
    wanted = {
        (CHOWN, "EPERM", "capability", 1000): "chown /tmp/w/f once, beforehand; or start it as a"
        ' unit with its User= and "AmbientCapabilities=CAP_CHOWN"',
        ("openat", "EACCES", "mode", 1000): "give /tmp/w/secret to uid 1000, or to one of its"
        " groups",
        ("sethostname", "SIGSYS", "seccomp", 0): "its seccomp filter has to allow sethostname",
    }
    assert wanted.items() <= told.items(), told
    (row,) = [row for row in rows if row["syscall"] == "execve" and row["program"] == "setpriv"]
    assert (row["by"], row["caps"]) == ("capability", ["CAP_NET_BIND_SERVICE"]), row
    assert "/tmp/w/fcap has file capabilities cap_net_bind_service=ep" in row["evidence"], row


USER_ROWS = {
    "true": "",
    "chroot / true": "SYS_CHROOT",
    "unshare --uts hostname other": "SYS_ADMIN",
    "chmod 600 f": "",
}


def retries_serve_an_ordinary_user() -> None:
    """Nothing can be traced, and no capability is held: a user namespace of his own."""
    for command, wanted in USER_ROWS.items():
        fresh()
        (WORK / "f").touch()
        for path in (WORK, WORK / "f"):
            os.chown(path, 1000, 1000)
        code = ended(capadvise("-o", "/tmp/w/r.json", "--", *command.split(), uid=1000))
        assert code == 0, f"{command} ended with {code}"
        content = json.loads((WORK / "r.json").read_text())
        assert content["recordings"][0]["host"]["observer"] == "retry"
        assert content["proposal"]["cap_add"] == wanted.split(), (command, content["proposal"])


ALL_REFUSED = """
import os
os.setgroups([]); os.setresgid(0, 0, 1000); os.setresuid(1000, 1000, 0)
refused = 0
for _ in range(500):
    try: os.open("secret", 0)
    except PermissionError: refused += 1
os.setresuid(0, 0, 0)
for number in range(500): os.chown("f", number % 2, 0)
assert refused == 500, refused
"""


def retries_see_each_refusal() -> None:
    """Beside the trace, where a call stops only if it fails: none is missed, on no kernel."""
    fresh()
    for name in ("f", "secret"):
        (WORK / name).touch(mode=0o600)
    code = ended(capadvise("--retry", "-o", str(REPORT), "--", PYTHON, "-S", "-c", ALL_REFUSED))
    assert code == 0, Path("/tmp/said").read_text()
    needs = {
        need["cap"]: need["proof"] for need in report()["needs"] if need["verdict"] == "needed"
    }
    assert needs["CAP_CHOWN"] == "retry", needs
    refused = [
        row["count"]
        for row in report()["recordings"][0]["refusals"]
        if (row["syscall"], row["errno"]) == ("openat", "EACCES")
    ]
    assert sum(refused) == 500, report()["recordings"][0]["refusals"]


def doctor_is_content() -> None:
    """It names the observer that is in use, and finds that it works."""
    doctor = [PYTHON, "-m", "capadvise.cli", "doctor"]
    done = subprocess.run(doctor, capture_output=True, text=True, cwd="/tmp")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"through the {os.environ[probes.FORCE]}" in done.stdout, done.stdout


def a_trace_that_was_off_for_a_moment_is_told() -> None:
    """Its settings, and the event of checks, whose folder the kernel makes when it is asked for."""
    for file in ("tracing_on", "events/ca*/c*_[c0-9]*/enable"):
        fresh()
        place = f"{ROOT}/instances/capadvise-*-quiet/{file}"
        off = f"for f in {place}; do [ ! -e $f ] || echo 0 > $f; done"
        script = f"{off}; chown 1 f; {off.replace('echo 0', 'echo 1')}"
        subprocess.run(["touch", "f"], cwd=WORK, check=True)
        assert ended(capadvise("-o", str(REPORT), "--", "sh", "-c", script)) == 0
        (recording,) = report()["recordings"]
        said = f"{file.rpartition('/')[2]} was written"
        assert recording["lost"]["gaps"] == [said], recording["lost"]
        assert report()["proposal"]["cap_add"] == [], report()["needs"]


def running(words: str, parent: int | None = None) -> list[int]:
    """Processes whose command line holds these words."""
    pids = []
    for pid in procfs.processes():
        try:
            status = procfs.parse_status(Path(f"/proc/{pid}/status").read_text())
            if words.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() and (
                parent is None or int(status["PPid"]) == parent
            ):
                pids.append(pid)
        except OSError:
            continue
    return [pid for pid in pids if procfs.comm(pid) != "capadvise" and pid != os.getpid()]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Raise AssertionError if it does not come to hold."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def a_chmod_on_xfs_needs_nothing() -> None:
    """From Linux 5.12 on, XFS asks for FOWNER at every change of an attribute, for quotas alone."""
    fresh()
    disk = "/dev/shm/disk"
    oldest = "-c options=/usr/share/xfsprogs/mkfs/lts_5.10.conf"  # what the oldest kernel knows
    made = f"truncate -s 320M {disk}; mkfs.xfs -q {oldest} {disk}; mkdir m; mount -o loop {disk} m"
    subprocess.run(["bash", "-ec", f"{made}; touch m/f"], cwd=WORK, check=True)
    try:
        assert ended(capadvise("-o", str(REPORT), "--", "chmod", "600", "m/f")) == 0
    finally:
        subprocess.run(["bash", "-ec", f"umount m; rm {disk}"], cwd=WORK, check=True)
    assert report()["proposal"]["cap_add"] == [], report()["needs"]
    asked = {check["cap"] for check in report()["recordings"][0]["checks"]}
    assert "CAP_FOWNER" in asked or RELEASE == "5.10", asked


def a_module_that_is_loaded_needs_nothing() -> None:
    """modprobe looks first; it needs SYS_MODULE to load one, and to unload it."""
    for words, wanted in (("dummy", ""), ("-r dummy", "SYS_MODULE"), ("dummy", "SYS_MODULE")):
        fresh()
        assert ended(capadvise("-o", str(REPORT), "--", "modprobe", *words.split())) == 0
        assert report()["proposal"]["cap_add"] == wanted.split(), (words, report()["needs"])


BESIDES = (
    refusals_are_told_from_grants,
    a_flood_hides_nothing,
    others_are_not_disturbed,
    kill_9_leaves_nothing,
    apparmor_is_told_apart,
    watch_names_the_cure,
    retries_serve_an_ordinary_user,
    retries_see_each_refusal,
    a_chmod_on_xfs_needs_nothing,
    a_module_that_is_loaded_needs_nothing,
    a_trace_that_was_off_for_a_moment_is_told,
    doctor_is_content,
)


def main() -> int:
    """Print a line for each test, then the numbers of each observer; fail if a test failed."""
    for name in ("run", "doctor", "watch"):
        importlib.import_module(f"capadvise.cli.commands.{name}")
    for name in ("supervise.session", "supervise.event_loop", "tracking.tracker"):
        importlib.import_module(f"capadvise.observe.{name}")
    importlib.import_module("capadvise.workflow.doctor")
    catalog.default().preload()
    os.chmod("/root", 0o755)  # Python may lie there, and other users run it
    tests: list[tuple[str, Callable[[], None]]] = [
        (named(row), lambda row=row: row_holds(row))  # type: ignore[misc]
        for row in ROWS
    ]
    besides = (
        (selinux_is_told_apart, watch_names_the_cure) if (SELINUX / "load").exists() else BESIDES
    )
    tests += [(test.__name__.replace("_", " "), test) for test in besides]
    chosen = re.compile(os.environ.get("ONLY", ""))
    wanted = [(name, test) for name, test in tests if chosen.search(name)]
    failures = 0
    for observer in sys.argv[1:]:
        os.environ[probes.FORCE] = observer
        began = time.monotonic()
        failed = sum(not holds(name, test) for name, test in wanted)
        failures += failed
        seconds = time.monotonic() - began
        print(f"result: {observer} {len(wanted) - failed} {failed} {seconds:.0f}", flush=True)
    return int(failures > 0)


def named(row: Row) -> str:
    """One line."""
    mark = f"[{row.unchecked}] " if row.unchecked else ""
    return mark + row.command.replace(str(PYTHON), "python").replace("\n", "; ")


def holds(name: str, test: Callable[[], None]) -> bool:
    """Run one test, and say what came of it."""
    began = time.monotonic()
    for said in Path("/tmp").glob("said*"):
        said.unlink()
    try:
        test()
    except (AssertionError, OSError, subprocess.SubprocessError, ValueError) as error:
        print(f"FAIL {time.monotonic() - began:5.1f} s  {name[:80]}: {error!r:.600}")
        for said in Path("/tmp").glob("said*"):
            print("    | " + said.read_text()[-1500:].replace("\n", "\n    | "), flush=True)
        return False
    print(f"ok   {time.monotonic() - began:5.1f} s  {name[:80]}", flush=True)
    return True


RELEASE = ".".join(os.uname().release.split(".")[:2])
ROOT = tracefs.find()

if __name__ == "__main__":
    sys.exit(main())
