"""``doctor --self-test``: record a target with known needs in each way that is possible here.

Each time the real command runs in a process of its own, so that the test covers everything from the
kernel's event to the judgement of the saved report.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from capadvise.catalog import default
from capadvise.judgement.decide import Verdict
from capadvise.judgement.report import Report
from capadvise.kernel import libc, user_namespaces
from capadvise.kernel.own_programs import own_program
from capadvise.model import clone_flags
from capadvise.model.caps import SYS_ADMIN, CapSet, parse_set
from capadvise.model.errors import CapadviseError
from capadvise.model.wording import set_text
from capadvise.observe.ftrace import probes, tracefs
from capadvise.observe.ftrace.instances import require_place
from capadvise.observe.retry.mode import own_maps, require_retry
from capadvise.report.load import load
from capadvise.workflow import self_check_target

_RUN_SECONDS = 60.0
"""For one run; half a second is usual."""
_PORT_START = "net.ipv4.ip_unprivileged_port_start"
_OF_PATHS = parse_set(["DAC_OVERRIDE", "DAC_READ_SEARCH"])
"""Not compared: the interpreter may lie in a private folder, which root needs one of them for."""


@dataclass(frozen=True, slots=True)
class Tried:
    """The result of one way of observing."""

    how: str
    """The value of ``CAPADVISE_OBSERVER``."""
    good: bool | None
    """None: it is not possible here."""
    said: str
    seconds: float | None = None
    remedy: str | None = None


def self_test() -> Iterator[Tried]:
    """Try them all, the best first."""
    with tempfile.TemporaryDirectory(prefix="capadvise-self-test-") as folder:
        try:
            require_place()
            root = tracefs.find()
        except CapadviseError as error:
            yield Tried("tracing", None, str(error), remedy=error.hint)
        else:
            for observer in probes.Observer:
                missing = probes.why_not(observer, root)
                yield Tried(observer, None, missing) if missing else _try(observer, Path(folder))
        try:
            require_retry()
        except CapadviseError as error:
            yield Tried(probes.RETRY, None, str(error), remedy=error.hint)
        else:
            yield _try(probes.RETRY, Path(folder))


def needs_of_target(port_start: int, *, other_ids: bool) -> CapSet:
    """The needs of the target. ``port_start``: the lowest port that needs no capability;
    ``other_ids``: the user namespace has other ids than our own."""
    needs = ["SYS_CHROOT"]
    if port_start > self_check_target.PORT:
        needs.append("NET_BIND_SERVICE")
    if other_ids:
        needs.append("CHOWN")
    return parse_set(needs)


def compare(report: Report, known: CapSet, *, traced: bool) -> str | None:
    """The errors in a report of the target; None if there are none."""
    proposed = report.proposal.recommended - _OF_PATHS
    wrong = [f"{cap.short} is needed, but was not proposed" for cap in sorted(known - proposed)]
    wrong += [f"{cap.short} is proposed, but not needed" for cap in sorted(proposed - known)]
    if traced and report.proposal.need(SYS_ADMIN).verdict is not Verdict.INCIDENTAL:
        wrong.append("the checks for SYS_ADMIN that change nothing were not seen")
    return "; ".join(wrong) or None


def _try(how: str, folder: Path) -> Tried:
    changed, saved = folder / "file", folder / f"{how}.json"
    changed.touch()
    os.chown(changed, os.getuid(), os.getgid())
    target = [sys.executable, "-I", "-S", self_check_target.__file__, str(changed)]
    capadvise = [*own_program("capadvise.cli"), "run", "--no-tui", "-q"]
    started = time.monotonic()
    try:
        done = subprocess.run(
            [*capadvise, "-o", str(saved), "--", *target],
            env={**os.environ, probes.FORCE: how},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_RUN_SECONDS,
            preexec_fn=_enter_own_network,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Tried(how, False, f"it did not end within {_RUN_SECONDS:.0f} s")
    seconds = time.monotonic() - started
    if done.returncode or not saved.exists():
        said = _line_of(done.stderr, "error") or "\n".join(done.stderr.splitlines()[-1:])
        said = said or f"it ended with {done.returncode}"
        return Tried(how, False, said, seconds, _line_of(done.stderr, "hint"))
    try:
        report = load(saved, default())
    except CapadviseError as error:
        return Tried(how, False, str(error), seconds, error.hint)
    traced = how != probes.RETRY
    port_start = int(report.posture.sysctls.get(_PORT_START, "1024"))
    known = needs_of_target(port_start, other_ids=_has_other_ids())
    if wrong := compare(report, known, traced=traced):
        return Tried(how, False, wrong, seconds)
    return Tried(how, True, set_text(known) + ("; not SYS_ADMIN" if traced else ""), seconds)


def _enter_own_network() -> None:
    """Enter a network where the target's port is free. Refused in a container, which has one."""
    with suppress(OSError):
        libc.unshare(clone_flags.CLONE_NEWNET)


def _has_other_ids() -> bool:
    """True if the target's user namespace maps the id that the target gives its file to."""
    maps = own_maps()
    if maps is not None:
        return all(len(ranges) > 1 for ranges in maps.values())
    rows = user_namespaces.parse_map(Path("/proc/self/uid_map").read_text())
    return user_namespaces.translated(self_check_target.ID, rows) is not None


def _line_of(stderr: str, word: str) -> str | None:
    """The last line that capadvise printed as its error, or hint."""
    start = f"capadvise: {word}: "
    shown = [line.removeprefix(start) for line in stderr.splitlines() if line.startswith(start)]
    return shown[-1] if shown else None
