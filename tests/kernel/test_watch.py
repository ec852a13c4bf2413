"""The whole machine is watched: what is refused is told once, with its owner and the cure."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capadvise.kernel import procfs
from capadvise.report.save import save
from tests.support import schema
from tests.support.nobody import nobody_in
from tests.support.recordings import BIND, CATALOG, CHOWN, recording, report
from tests.support.runs import CAPADVISE
from tests.support.terminal import Terminal
from tests.support.wait import until
from tests.support.watching import Watching, watching

NOBODY = "os.setgroups([]); os.setgid(65534); os.setuid(65534)"
"""An ordinary user from here on."""
TRY_ROOT = "try: os.setuid(0)\nexcept OSError: pass"
"""As sshd does, to be sure that it is not root any more."""


UNDER_FILTER = str(Path(__file__).parents[1] / "programs" / "under_filter.py")
CHOWN_PASSWD = "try: os.chown('/etc/passwd', 5, 6)\nexcept OSError: pass"
AGAIN = (" try: os.chown('/etc/passwd', 5, 6)", " except OSError: pass")
ENDS = 3
SET_NAME = "socket.sethostname('x')"


def filtered(answer: str) -> tuple[str, ...]:
    return sys.executable, UNDER_FILTER, "sethostname", answer


@pytest.fixture(scope="module")
def every_call() -> Iterator[Watching]:
    with watching("--json", "--every-call") as one:
        yield one


@pytest.fixture(scope="module")
def watch() -> Iterator[Watching]:
    with watching("--json") as one:
        yield one


def act(name: str, *statements: str, before: tuple[str, ...] = ()) -> str:
    """Do what is refused, under a name that nobody else on this machine has. Root does not reach
    the files of the interpreter in all places as another user: it is loaded by then."""
    name = f"{name}{os.getpid()}"[:15]
    lines = [f"open('/proc/self/comm', 'w').write({name!r})", *statements]
    lines = ["import os, socket", *lines]
    code = "\n".join([*lines[:-1], "try:", f" {lines[-1]}", "except OSError: pass"])
    done = subprocess.run([*before, sys.executable, "-c", code], stdin=subprocess.DEVNULL)
    assert done.returncode in (0, ENDS, -signal.SIGSYS)
    return name


def refused(watch: Watching, program: str, **fields: Any) -> Any:
    row = watch.row(lambda row: row["program"] == program and fields.items() <= row.items())
    schema.watch().validate(row)
    return row


def test_a_user_who_may_not(watch: Watching, tmp_path: Path) -> None:
    program = act("user", NOBODY, "os.chown('/etc/passwd', 5, 6)")
    row = refused(watch, program, by="capability")
    assert row["about"] == "/etc/passwd, uid 5, gid 6"
    assert (row["caps"], row["errno"], row["uid"]) == (["CAP_CHOWN"], "EPERM", 65534)
    assert row["cure"].startswith("leave /etc/passwd as it is, which belongs to the system: ")
    assert f"{program} (uid 65534) · " in row["MESSAGE"]
    assert " · lacks CAP_CHOWN · " in row["MESSAGE"]


def test_root_without_the_capability(watch: Watching, tmp_path: Path) -> None:
    chown = f"os.chown({str(tmp_path)!r}, 5, 6)"
    program = act("root", chown, before=("setpriv", "--bounding-set=-chown"))
    row = refused(watch, program, by="capability", uid=0)
    assert f'"start it with CAP_CHOWN in its bounding set"; or chown {tmp_path}' in row["cure"]


def test_the_port_is_named(watch: Watching) -> None:
    bind = "socket.socket().bind(('127.0.0.1', 81))"
    row = refused(watch, act("port", NOBODY, bind))
    assert (row["about"], row["caps"]) == ("127.0.0.1:81", ["CAP_NET_BIND_SERVICE"])
    assert "listen on a port from 1024 on" in row["cure"]


def test_the_mode_of_a_file_is_not_blamed_on_a_capability(watch: Watching) -> None:
    row = refused(watch, act("mode", NOBODY, "open('/etc/shadow')"))
    assert (row["by"], row["errno"], row["about"]) == ("mode", "EACCES", "/etc/shadow, reading")
    assert "mode and owner refuse uid 65534" in row["MESSAGE"]
    assert "lacks" not in row["MESSAGE"]
    assert row["cure"].startswith("leave /etc/shadow as it is, which belongs to the system: ")


def test_its_own_user_namespace_is_no_cure_for_the_machine(watch: Watching) -> None:
    program = act(
        "userns", "socket.sethostname('x')", before=("unshare", "--user", "--map-root-user")
    )
    row = refused(watch, program)
    assert row["by"] == "namespace"
    assert "no capability is a cure" in row["cure"]


@pytest.mark.parametrize("answer", ["KILL", "TRAP"])
def test_what_a_seccomp_filter_ends_is_not_blamed_on_a_capability(
    watch: Watching, answer: str
) -> None:
    program = act(answer.lower(), SET_NAME, before=filtered(answer))
    row = refused(watch, program, by="seccomp", syscall="sethostname", errno="SIGSYS")
    assert " · seccomp refused it, a capability alone is no cure · " in row["MESSAGE"]
    assert (row["caps"], row["count"]) == ([], 1)
    assert len([row for row in watch.rows() if row["program"] == program]) == 1


def test_a_signal_from_seccomp_that_is_handled(watch: Watching) -> None:
    program = act(
        "handled", "import signal", "signal.signal(31, print)", SET_NAME, before=filtered("TRAP")
    )
    refused(watch, program, by="seccomp", syscall="sethostname", errno="SIGSYS")


def test_sigsys_from_somebody_else_says_nothing_of_seccomp(watch: Watching) -> None:
    program = act("sent", "import signal", NOBODY, CHOWN_PASSWD, "os.kill(os.getpid(), 31)")
    refused(watch, program, syscall="chown")
    assert len([row for row in watch.rows() if row["program"] == program]) == 1


def test_what_a_filter_answers_and_logs_is_in_the_audit_records(watch: Watching) -> None:
    """The process waits: of one that is over, the records do not say whose it was."""
    program = act("logged", SET_NAME, before=filtered("EPERM+LOG"))
    row = refused(watch, program, by="seccomp", syscall="sethostname", errno="EPERM")
    assert row["cure"] == "its seccomp filter has to allow sethostname"


def test_what_was_refused_since_the_boot_is_in_the_audit_log(tmp_path: Path) -> None:
    """A log of auditd's, in a mount namespace; one record is of before the boot."""
    folder = tmp_path / "audit"
    folder.mkdir()
    line = (
        'type=SECCOMP msg=audit({}:7): uid=0 pid={} comm="{}" sig=31 arch=c000003e syscall=165 '
        "code=0x80000000\n"
    )
    log = folder / "audit.log"
    log.write_text(line.format("1000.5", 1, "before"))
    with log.open("a") as file:
        file.write(line.format(f"{time.time():.3f}", os.getpid(), "logged"))
    mounted = (
        "mount -t tmpfs none /var/log; mkdir /var/log/audit; "
        f'mount --bind {folder} /var/log/audit; exec "$@"'
    )
    before = ("unshare", "-m", "sh", "-ec", mounted, "sh")
    with watching("--json", "--since-boot", before=before) as watch:
        refused(watch, "logged", by="seccomp", syscall="mount", errno="SIGSYS")
        assert watch.end() == 0
    assert [row["program"] for row in watch.rows()].count("before") == 0


def test_every_call_shows_what_seccomp_answers(every_call: Watching) -> None:
    for log in "", "+LOG":
        program = act(f"answer{log}", SET_NAME, before=filtered(f"EPERM{log}"))
        row = refused(every_call, program, by="seccomp", syscall="sethostname", errno="EPERM")
        assert row["caps"] == []
        assert len([row for row in every_call.rows() if row["program"] == program]) == 1


def test_every_call_shows_read_only_mounts(every_call: Watching, tmp_path: Path) -> None:
    read_only = f'mount -t tmpfs -o ro none {tmp_path}; exec "$@"'
    program = act(
        "readonly",
        f"os.mkdir('{tmp_path}/x')",
        before=("unshare", "-m", "sh", "-c", read_only, "sh"),
    )
    row = refused(every_call, program, by="mount", syscall="mkdir", errno="EROFS")
    assert row["about"].startswith(f"{tmp_path}/x")
    assert " · the file system is mounted read-only · " in row["MESSAGE"]


def test_every_call_names_the_file_that_cannot_be_executed(
    every_call: Watching, tmp_path: Path
) -> None:
    """The kernel makes no check for its file capabilities."""
    file = tmp_path / "fcap"
    shutil.copy("/bin/true", file)
    subprocess.run(["setcap", "cap_net_bind_service=ep", file], check=True)
    lacking = ("setpriv", "--bounding-set=-net_bind_service")
    program = act("file", f"os.execv({str(file)!r}, ['x'])", before=lacking)
    row = refused(every_call, program, by="capability", syscall="execve", errno="EPERM")
    assert row["caps"] == ["CAP_NET_BIND_SERVICE"]
    assert f"{file} has file capabilities cap_net_bind_service=ep" in row["evidence"]
    assert "setcap -r" in row["evidence"]


def test_every_call_tells_of_a_check_once(every_call: Watching) -> None:
    program = act("once", NOBODY, "os.chown('/etc/passwd', 5, 6)")
    row = refused(every_call, program, by="capability", syscall="chown", caps=["CAP_CHOWN"])
    every_call.process.send_signal(signal.SIGHUP)
    assert every_call.row(lambda other: other["number"] == row["number"], "count")["count"] == 1
    assert len([row for row in every_call.rows() if row["program"] == program]) == 1


def test_a_limit_matters_to_who_ends_over_it(watch: Watching) -> None:
    """Who goes on had only tried. The watch waits a while to see which."""
    core = "resource.setrlimit(resource.RLIMIT_CORE, ({0}, {0}))"
    lowers = f"import resource; {core.format(0)}; {NOBODY}"
    raises = f"try: {core.format(1)}\nexcept ValueError: {{}}"
    goes_on = act("goeson", lowers, raises.format("pass"), "pass")
    ends = act("ends", lowers, raises.format(f"os._exit({ENDS})"), "pass")
    refused(watch, ends, caps=["CAP_SYS_RESOURCE"])
    assert not [row for row in watch.rows() if row["program"] == goes_on]


def test_repetitions_are_counted_and_a_signal_tells_how_many(watch: Watching) -> None:
    program = act(
        *("many", NOBODY, "def again():", *AGAIN),
        "for _ in range(10_000): again()",
    )
    number = refused(watch, program)["number"]
    watch.process.send_signal(signal.SIGHUP)
    count = watch.row(lambda row: row["number"] == number, "count")["count"]
    assert count == 10_000
    assert len([row for row in watch.rows() if row["program"] == program]) == 1
    schema.watch().validate(watch.row(lambda row: True, "summary"))


def test_its_memory_does_not_grow_with_what_is_refused(watch: Watching) -> None:
    """The kernel counts. A hundred bytes for each would be 10 MB."""

    def refuse(times: int) -> int:
        loop = f"for _ in range({times}): again()"
        name = act(f"grow{times}", NOBODY, "def again():", *AGAIN, loop)
        number = refused(watch, name)["number"]
        watch.process.send_signal(signal.SIGHUP)
        watch.row(lambda row: (row["number"], row["count"]) == (number, times), "count")
        return own_memory(watch.process.pid)

    before = refuse(1000)
    assert refuse(100_000) - before < 5_000


def own_memory(pid: int) -> int:
    """In KB, without what it shares with others."""
    status = procfs.parse_status(Path(f"/proc/{pid}/status").read_text())
    return int(status["RssAnon"].split()[0])


def test_what_memory_is_counted_for_never_reaches_it() -> None:
    """The check that an ordinary user fails at each mmap: neither as a finding nor as harmless."""
    loop = "for _ in range(20_000): mmap.mmap(-1, 4096).close()"
    with watching("--json", "--all") as one:
        program = act("flood", "import mmap", NOBODY, loop, CHOWN_PASSWD, "pass")
        refused(one, program, syscall="chown")
        assert {row["syscall"] for row in one.rows() if row["program"] == program} == {"chown"}


def test_what_has_no_effect_is_left_out(watch: Watching) -> None:
    """The kernel checks whether to list trusted attributes, too, and lists the others."""
    program = act(
        "quiet", NOBODY, "os.listxattr('/etc')", TRY_ROOT, "os.chown('/etc/passwd', 5, 6)"
    )
    refused(watch, program)
    assert len([row for row in watch.rows() if row["program"] == program]) == 1


def test_hostile_names_do_not_reach_the_terminal() -> None:
    """And a signal ends it with a summary."""
    with watching() as watch:
        act("\x1b[31m\n", NOBODY, "os.chown('/etc/passwd', 5, 6)")
        until(lambda: [line for line in watch.lines if "\\x1b[31m\\n" in line])
        assert watch.end(signal.SIGTERM) == 0
    assert "\x1b" not in "".join(watch.lines)
    assert [line for line in watch.lines if line.startswith("In ") and "refused call" in line]


def test_against_reports(tmp_path: Path) -> None:
    """What a report knows of was not applied; what none knows of is new; the rest has no report."""
    needs, knows_not = f"needs{os.getpid()}"[:15], f"old{os.getpid()}"[:15]
    for name, check in ((needs, CHOWN), (knows_not, BIND)):
        save(tmp_path / f"{name}.json", report(recording(check), name), CATALOG)
    with watching("--json", "--against", str(tmp_path)) as one:
        notes = {
            name: refused(one, act(name, NOBODY, CHOWN_PASSWD, "pass"))["against"]
            for name in ("needs", "old", "none")
        }
    assert notes == {
        "needs": f"{needs}.json says that it needs CAP_CHOWN: the set was not applied",
        "old": f"{knows_not}.json does not know of it: new behaviour, record it again",
        "none": "no report of it: record it",
    }


def test_counters_for_prometheus(tmp_path: Path) -> None:
    """The file is there at the end, whole, and for whoever reads it."""
    file = tmp_path / "capadvise.prom"
    with watching("--json", "--prometheus", str(file)) as one:
        program = act("counted", NOBODY, "def again():", *AGAIN, "for _ in range(50): again()")
        refused(one, program)
        assert one.end(signal.SIGTERM) == 0
    (line,) = [line for line in file.read_text().splitlines() if program in line]
    assert line == (
        f'capadvise_refused_calls_total{{owner="{program} (program)",kind="program",'
        'capability="CAP_CHOWN",by="capability"} 50'
    )
    umask = os.umask(0)
    os.umask(umask)
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask
    assert os.listdir(tmp_path) == [file.name]


def test_a_file_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = [CAPADVISE, "watch", "--prometheus", str(tmp_path / "file" / "x")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"error: --prometheus {tmp_path}/file/x: Not a directory" in done.stderr


def test_where_no_audit_records_come_it_says_so() -> None:
    """Each network namespace has the socket; the kernel sends to the first one alone."""
    words = ["unshare", "--net", CAPADVISE, "watch", "--for", "0.1"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0
    assert "AppArmor and SELinux are not seen" in " ".join(done.stderr.split())


def test_two_signals_at_once_are_both_heeded() -> None:
    with watching() as watch:
        watch.process.send_signal(signal.SIGHUP)
        assert watch.end(signal.SIGTERM) == 0
    assert [line for line in watch.lines if line.startswith("In ")]


def test_a_terminal_that_closes_ends_it(tmp_path: Path) -> None:
    terminal = Terminal([CAPADVISE, "watch", "--no-tui"], tmp_path)
    terminal.expect("watching this machine")
    assert terminal.close() == 0


@pytest.mark.parametrize("leaves", [True, False], ids=["q", "closes"])
def test_on_a_terminal_there_is_a_screen(tmp_path: Path, *, leaves: bool) -> None:
    terminal = Terminal([CAPADVISE, "watch"], tmp_path, {"TERM": "xterm-256color"})
    terminal.expect("Refused calls")
    program = act("shown", NOBODY, "os.chown('/etc/passwd', 5, 6)")
    terminal.expect(program)
    if not leaves:
        assert terminal.close() == 0
        return
    terminal.type("q")
    terminal.expect("refused call")
    until(lambda: f"{program} (uid 65534) · chown(" in terminal.read(), shows=terminal.read)
    assert terminal.end() == 0


def test_a_line_for_a_terminal_that_is_gone_is_no_error(tmp_path: Path) -> None:
    """What is printed before SIGHUP has come, or where that is ignored."""
    nohup = "trap '' HUP; exec \"$@\""
    words = ("watch", "--no-tui", "--for", "1")
    terminal = Terminal(["sh", "-c", nohup, "sh", CAPADVISE, *words], tmp_path)
    terminal.expect("watching this machine")
    assert terminal.close() == 0


def test_who_is_not_root_is_told_the_way(tmp_path: Path) -> None:
    done = nobody_in(tmp_path).capadvise("watch", subids="")
    assert done.returncode == 3
    assert "run it as root: sudo " in done.stderr
    assert done.stderr.rstrip().endswith("watch")


def test_the_unit_that_is_emitted_has_what_it_takes(tmp_path: Path) -> None:
    """The manager reads it, and a watch with just these capabilities sees the rest."""
    unit = tmp_path / "capadvise-watch.service"
    unit.write_text(
        subprocess.check_output([CAPADVISE, "watch", "--emit", "systemd"], text=True).replace(
            "/usr/local/bin/capadvise", CAPADVISE
        )
    )
    said = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    # It also says what it dislikes about units of the machine.
    of_ours = [line for line in said.stderr.splitlines() if unit.name in line]
    assert (said.returncode, of_ours) == (0, [])
    (line,) = re.findall("CapabilityBoundingSet=.*", unit.read_text())
    caps = ",".join(["-all", *(f"+{name.lower()}" for name in re.findall(r"CAP_(\w+)", line))])
    with watching("--json", before=("setpriv", f"--bounding-set={caps}")) as watch:
        program = act("least", NOBODY, "os.chown('/etc/passwd', 5, 6)")
        row = refused(watch, program)
        assert row["about"] == "/etc/passwd, uid 5, gid 6"
