"""What becomes of a recording: judged, saved and shown. For all that records or imports."""

from __future__ import annotations

import json
import os
import pwd
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.errors import BadInput
from capadvise.linux.kernel.sudo import as_root
from capadvise.report.place import make_folder
from capadvise.workflow.notice import columns, notice

if TYPE_CHECKING:
    from capadvise.linux.supervise.observation import Observation
    from capadvise.report.model import Report
    from capadvise.tui.protocols import Over


def preload() -> None:
    """Import and read what is needed after the run, 60 ms, while the kernel makes buffers."""
    from capadvise.catalog import default
    from capadvise.report import text  # noqa: F401 - show_proposal() finds it loaded

    default().preload()


def judge_and_save(
    observation: Observation, output: str | None, *, several: bool = False
) -> tuple[Report, Path]:
    """The report on what was observed, saved as ``output`` says (with several targets a folder),
    else where reports go."""
    from capadvise.catalog import default
    from capadvise.decide import decide_all
    from capadvise.report.model import Report
    from capadvise.report.save import save

    catalog = default()
    report = Report(
        observation.target,
        observation.workload,
        observation.posture,
        observation.recordings,
        decide_all(observation.recordings, catalog),
    )
    path = report_path(output, observation.target.name, several=several)
    save(path, report, catalog)
    return report, path


def explain_failing_check(output: str) -> None:
    """Somebody waits for a check that does not pass: why."""
    notice(
        "the check does not pass yet; it is tried until it does, or the target ends"
        f"{_last_line(output)}"
    )


def _last_line(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return f"; it says: {lines[-1]}" if lines else "; it says nothing"


def show_proposal(ended: Over, *, quiet: bool) -> None:
    """Print the proposal on stderr: stdout belongs to the target."""
    from capadvise.catalog import default
    from capadvise.report.text import proposal_text

    report = ended.report
    daemon = report.workload.kind == "daemon" and not report.recording.attached
    if not quiet:
        if ended.check_passed and daemon:
            print("\ncapadvise: the health check passed; target stopped", file=sys.stderr)
        text = proposal_text(
            report, default(), ended.path, as_root=as_root(), columns=columns(sys.stderr)
        )
        print("", *text, sep="\n", file=sys.stderr)
    if ended.check_passed is False:
        notice(
            "the health check did not pass; the proposal covers what was seen until then"
            f"{_last_line(ended.check_said)}"
        )


def print_json(*reports: Report, several: bool = False) -> None:
    """One document; a list, where there can be several reports."""
    from capadvise.catalog import default
    from capadvise.report.dump import dump

    documents = [dump(report, default()) for report in reports]
    print(json.dumps(documents if several else documents[0], indent=1))


def check_writable(path: Path, *, folder: bool = False) -> None:
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


def report_path(output: str | None, name: str, *, several: bool = False) -> Path:
    """Where a report goes: as ``output`` says, which with several targets is a folder. Without, the
    user's state directory; a name that is given twice in one process stays the same."""
    if output is not None:
        return Path(output) / f"{_file_name(name)}.json" if several else Path(output)
    state = os.environ.get("XDG_STATE_HOME") or _home() / ".local" / "state"
    return Path(state) / "capadvise" / f"{_file_name(name)}-{_STAMP}-{os.getpid()}.json"


def _home() -> Path:
    """The home of who called: under sudo that is not root's."""
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isdecimal():
        with suppress(KeyError):
            return Path(pwd.getpwuid(int(caller)).pw_dir)
    return Path.home()


def _file_name(name: str) -> str:
    """A file name for a target's name."""
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in name)[:60] or "run"


_STAMP = time.strftime("%Y%m%d-%H%M%S")
