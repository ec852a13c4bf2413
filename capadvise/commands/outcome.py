"""What becomes of a recording: it is judged, saved and told. For all that records or imports."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.commands.say import say
from capadvise.errors import BadInput
from capadvise.linux.kernel.sudo import as_root
from capadvise.report.place import make_folder

if TYPE_CHECKING:
    from capadvise.linux.supervise.observation import Observation
    from capadvise.report.model import Report


def preload() -> None:
    """Import and read what is needed after the run, 60 ms, while the kernel makes buffers."""
    from capadvise.catalog import default
    from capadvise.report import text  # noqa: F401 - tell() finds it loaded

    default().preload()


def saved(seen: Observation, output: str | None, *, several: bool = False) -> tuple[Report, Path]:
    """Judge what was seen, and save the report: as ``output`` says (with several targets a
    folder), else where reports go."""
    from capadvise.catalog import default
    from capadvise.decide import decide_all
    from capadvise.report.model import Report
    from capadvise.report.save import save

    catalog = default()
    report = Report(
        seen.target,
        seen.workload,
        seen.posture,
        seen.recordings,
        decide_all(seen.recordings, catalog),
    )
    name = seen.target.name
    path = Path(output) if output else default_path(name)
    if output and several:
        path = path / f"{safe_name(name)}.json"
    save(path, report, catalog)
    return report, path


def doubt(said: str) -> None:
    """Somebody waits for a check that does not pass: why."""
    say(f"the check does not pass yet; it is tried until it does, or the target ends{_words(said)}")


def _words(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return f"; it says: {lines[-1]}" if lines else "; it says nothing"


def tell(
    report: Report, path: Path, check_passed: bool | None, said: str, args: argparse.Namespace
) -> None:
    """Print the proposal on stderr. ``said``: what the check printed."""
    from capadvise.catalog import default
    from capadvise.report.text import proposal_text

    catalog = default()
    stopped = check_passed and report.workload.kind == "daemon" and not report.recording.attached
    if stopped and not args.quiet:
        print("\ncapadvise: the check passed, so the target was stopped", file=sys.stderr)
    if not args.quiet:
        print(
            "", *proposal_text(report, catalog, path, as_root=as_root()), sep="\n", file=sys.stderr
        )
    if check_passed is False:
        say(f"the check did not pass: what is proposed is what was seen until then{_words(said)}")


def print_json(*reports: Report, several: bool = False) -> None:
    """One document; a list, where there can be several reports."""
    from capadvise.catalog import default
    from capadvise.report.dump import dump

    documents = [dump(report, default()) for report in reports]
    print(json.dumps(documents if several else documents[0], indent=1))


def writable(path: Path, *, folder: bool = False) -> None:
    """Raise BadInput now where a report could not be written later, after all the work."""
    place = path if folder else path.parent
    try:
        make_folder(place)
    except OSError as error:
        raise BadInput(f"-o {path}: {error.strerror}") from error
    if not folder and path.is_dir():
        raise BadInput(f"-o {path}: is a folder")
    if not os.access(place, os.W_OK):
        raise BadInput(f"-o {path}: cannot write there")


def default_path(name: str) -> Path:
    """Where a report goes that was given no place: the user's state directory. A name that is
    given twice in one process (a second call) stays the same."""
    state = os.environ.get("XDG_STATE_HOME") or _home() / ".local" / "state"
    return Path(state) / "capadvise" / f"{safe_name(name)}-{_STAMP}-{os.getpid()}.json"


def _home() -> Path:
    """The home of who called: under sudo that is not root's."""
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isdecimal():
        with suppress(KeyError):
            return Path(pwd.getpwuid(int(caller)).pw_dir)
    return Path.home()


def safe_name(name: str) -> str:
    """A file name out of a target's name."""
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in name)[:60] or "run"


_STAMP = time.strftime("%Y%m%d-%H%M%S")
