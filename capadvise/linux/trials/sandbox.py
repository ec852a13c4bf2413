"""One trial of a workload, in a process of its own: isolate, set up, run, check, tear down.

Run as ``python -P -m capadvise.linux.trials.sandbox PLAN RESULT``, two JSON files. Nothing
that it starts survives it: it is a child subreaper, and what the target started is the guardian's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from capadvise.caps import Cap
from capadvise.catalog import default
from capadvise.decide import Verdict, decide
from capadvise.errors import CapadviseError
from capadvise.linux.kernel import libc
from capadvise.linux.kernel.private_mounts import make_mounts_private
from capadvise.linux.kernel.process_tree import kill_descendants, reap_all
from capadvise.linux.kernel.snapshot import Files, copyable, snapshot
from capadvise.linux.kernel.uapi import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUTS
from capadvise.linux.supervise.command import Command
from capadvise.linux.supervise.observation import Observation
from capadvise.linux.supervise.record import observe
from capadvise.report.dump import dump_recording
from capadvise.report.posture import dump_posture

OWN_NAMESPACES = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC
FRESH = ("/etc", "/var/log", "/var/spool", "/var/tmp")
"""Each trial gets a private copy of these, and an empty /run."""
DECIDING_SYSCTLS = ("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range")
"""A new network namespace resets them, and needs hang on them."""

_ISOLATE = """
ip link set lo up
stage=$1 cwd=$2
shift 2
fresh() {
    mount -t tmpfs fresh "$stage"
    # A file that vanishes meanwhile makes the first copy fail.
    cp -a "$1/." "$stage/" 2>/dev/null || cp -a "$1/." "$stage/"
    mount --bind "$stage" "$2"
    umount "$stage"
}
for folder in "$@"; do
    fresh "$folder" "$folder"
done
# What lies below /run or /dev/shm is copied before those are emptied, and put back after.
if [ -n "$cwd" ]; then
    mkdir "$stage.cwd"
    fresh "$cwd" "$stage.cwd"
fi
mount -t tmpfs -o mode=0755 run /run
mkdir -m 1777 /run/lock
mount -t tmpfs -o mode=1777 shm /dev/shm
if [ -n "$cwd" ]; then
    mkdir -p "$cwd"
    mount --move "$stage.cwd" "$cwd"
fi
"""


class StageError(Exception):
    """The trial could not be made: no verdict about capabilities."""


def main() -> None:
    """Make the trial that the plan describes; always write a result."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    libc.become_subreaper()
    libc.set_parent_death_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        result = trial(plan, Path(plan["top"]))
    except (StageError, CapadviseError, OSError) as error:
        result = {"broken": str(error)}
    except SystemExit:  # SIGTERM before the target ran
        result = {"broken": "the trial was ended"}
    finally:
        kill_descendants(reap_all)
    Path(sys.argv[2]).write_text(json.dumps(result))


def trial(plan: dict[str, Any], top: Path) -> dict[str, Any]:
    """One run, from set-up to tear-down."""
    work = Path(plan["cwd"]) if plan["cwd"] else top / "w"
    if not plan["cwd"]:
        work.mkdir(mode=0o755)
        (top / "home").mkdir(mode=0o700)
    os.environ.clear()
    os.environ.update(plan["env"])
    isolate(plan["isolation"], top, plan["fresh"], plan["cwd"])
    os.chdir(work)
    shell(plan["setup"], top, "setup", 60, needed=True)
    out, err = top / "stdout", top / "stderr"
    began = time.monotonic()
    files: Files = ()
    with logged(out, err):
        if plan["isolation"] == "container":
            from capadvise.linux.engines.record.trial import observe_trial

            seen, files = observe_trial(plan, command_of(plan), top, out, err)
        else:
            seen = observe(command_of(plan))
    seconds = time.monotonic() - began
    if plan["isolation"] not in ("none", "container"):
        files = snapshot(work)
    kill_descendants(reap_all)
    shell(plan["teardown"], top, "teardown", 30, needed=False)
    text = end_of(err, 20000)
    passed, why = verdict(plan, seen, seconds, last_words(text))
    proposal = decide(seen.recording, default())
    wanted = [
        need.cap.name
        for need in proposal.needs
        if need.verdict is Verdict.USED or (need.verdict is Verdict.DENIED and need.evidence)
    ]
    return {
        "passed": passed,
        "why": why or last_words(text),
        "seconds": round(seconds, 3),
        "exit": seen.recording.exit_status,
        "stderr": [re.sub(r"\d+", "N", line)[:200] for line in text.splitlines()[:200]],
        "files": files,
        "credentials": seen.credentials,
        "refused": wanted,
        "recording": dump_recording(seen.recording, default()),
        "posture": dump_posture(seen.posture),
        "name": seen.target.name,
        "user": seen.target.user,
        "output": (end_of(out, 2000) + text)[-2000:],
    }


@contextmanager
def logged(out: Path, err: Path) -> Iterator[None]:
    """Our output, and so the target's, in files, and nothing on the standard input."""
    saved = os.dup(2)
    for path, fd in ((Path(os.devnull), 0), (out, 1), (err, 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, fd)
        os.close(opened)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def command_of(plan: dict[str, Any]) -> Command:
    """The target of the plan."""
    return Command(
        argv=tuple(plan["argv"]),
        user=plan["user"],
        check=plan["check"],
        kind=plan["kind"],
        seconds=plan["timeout"],
        caps=frozenset(Cap.parse(name) for name in plan["caps"]),
        patience=2.0,
        check_limit=max(2.0, plan["timeout"]),
        wait=True,  # what descends from us is killed next, the guardian included
    )


def verdict(
    plan: dict[str, Any], seen: Observation, seconds: float, words: str
) -> tuple[bool, str]:
    """Whether the trial passed, and if not, why. ``words``: the last that the target said."""
    status = seen.recording.exit_status
    late = seconds >= plan["timeout"]
    if plan["kind"] == "daemon":
        if seen.check_passed:
            return True, ""
        how = "timed out" if late else f"exited with {status}"
        return False, f"{how} before the check passed: {words or seen.check_said}".rstrip(": ")
    if late and not seen.check_passed:
        return False, f"timed out after {plan['timeout']:g} s"
    if plan["expect_exit"] is not None and status != plan["expect_exit"]:
        return False, f"exited with {status} instead of {plan['expect_exit']}: {words}".rstrip(": ")
    if plan["check"] and not seen.check_passed:
        return False, f"the check failed: {seen.check_said}".rstrip(": ")
    return True, ""


def end_of(path: Path, size: int) -> str:
    """The last bytes of what was printed, which can be more than memory holds."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - size))
        return file.read(size).decode(errors="backslashreplace")


def last_words(text: str) -> str:
    """The last line that was said."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def isolate(kind: str, top: Path, fresh: list[str], cwd: str | None) -> None:
    """New mount, network, UTS and IPC namespaces; private copies of what programs write to."""
    if kind in ("none", "container"):  # the engine makes what a container has for itself
        return
    sysctls = {name: Path("/proc/sys", *name.split(".")) for name in DECIDING_SYSCTLS}
    values = {name: path.read_text() for name, path in sysctls.items() if path.exists()}
    try:
        libc.unshare(OWN_NAMESPACES)
        make_mounts_private()
    except OSError as error:
        raise StageError(f"cannot isolate: {error.strerror}") from error
    folders = [*FRESH, *fresh]
    stage = top / "stage"
    stage.mkdir()
    copied = cwd if cwd and copyable(cwd) else ""
    done = subprocess.run(
        ["bash", "-ec", _ISOLATE, "isolate", str(stage), copied, *folders],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise StageError(f"cannot isolate: {done.stderr.strip()}")
    if kind == "command":
        for name, value in values.items():
            sysctls[name].write_text(value)


def shell(script: str | None, top: Path, name: str, seconds: float, *, needed: bool) -> None:
    """Run one of the workload's scripts, with full privileges."""
    if not script:
        return
    log = top / name
    with log.open("w") as output:
        try:
            code: int | str = subprocess.run(
                [shutil.which("bash") or "sh", "-ec", script],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=seconds,
            ).returncode
        except subprocess.TimeoutExpired:
            code = f"no end after {seconds:g} s"
    if code and needed:
        said = end_of(log, 800).strip()
        raise StageError(f"{name} failed ({code}): {said}")


if __name__ == "__main__":
    main()
