"""Judge, save and show a recording; for all commands that record or import."""

from __future__ import annotations

import json
import os
import pwd
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.kernel.sudo import as_root
from capadvise.model.errors import BadInput, CapadviseError
from capadvise.report.save import folder_of, is_special, save
from capadvise.workflow.notice import columns, notice

if TYPE_CHECKING:
    from capadvise.judgement.report import Report
    from capadvise.observe.supervise.observation import Observation
    from capadvise.workflow.protocols import Over


_TMP = Path("/tmp")
RESCUE = "CAPADVISE_RESCUE"
"""Set to ``stderr``: a report that cannot be saved anywhere is printed there."""


def preload(*, shown: bool = True) -> None:
    """Import and read everything that is needed after the run, while the target runs. ``shown``:
    the proposal will be shown, too."""
    # An upgrade may replace our own files before the target ends.
    import capadvise.report.dump
    import capadvise.workflow.protocols
    import capadvise.workflow.started_containers
    from capadvise.catalog import default

    default().preload()
    if shown:
        import capadvise.report.text  # noqa: F401 - show_proposal(), too


def judge_and_save(
    observation: Observation,
    output: str | None,
    *,
    several: bool = False,
    say: Callable[[str], object] = notice,
) -> tuple[Report, Path | None]:
    """Judge an observation and save the report: in ``output``, which with several targets is a
    folder, else in the user's state directory."""
    report = judged(observation)
    path = _path_of(report, output, several=several)
    return report, keep(path, report, say)


def judge_and_keep_so_far(
    observation: Observation, output: str | None, *, several: bool = False
) -> None:
    """Save a recording that goes on, so that it is not lost if we are killed."""
    report = judged(observation)
    keep_so_far(_path_of(report, output, several=several), report)


def judged(observation: Observation) -> Report:
    from capadvise.catalog import default
    from capadvise.judgement.decide import decide_all
    from capadvise.judgement.report import Report

    return Report(
        observation.target,
        observation.workload,
        observation.posture,
        observation.recordings,
        decide_all(observation.recordings, default()),
    )


def _path_of(report: Report, output: str | None, *, several: bool) -> Path:
    target = report.target
    name = target.name if target.pod is None else f"{target.pod}.{target.name}"
    return report_path(output, name, several=several)


def keep(path: Path, report: Report, say: Callable[[str], object] = notice) -> Path | None:
    """Save the report in a file, or in the next place where that is possible, so that a full disk
    costs no recording. Returns the path; None if it could not be saved."""
    from capadvise.catalog import default

    name = report.target.name
    for place in dict.fromkeys(
        (path, report_path(None, name), _TMP / report_path(None, name).name)
    ):
        try:
            save(place, report, default())
        except BadInput as error:
            say(str(error))
        else:
            if place != path:
                say(f"the report is in {place}")
            return place
    if os.environ.get(RESCUE) == "stderr":
        _print_compressed(report)
    else:
        say(f"the report is not saved; with {RESCUE}=stderr it would be printed, compressed")
    return None


def keep_so_far(path: Path | None, report: Report) -> None:
    """Save the report so far in the place of the final one, in case we are killed before that."""
    from capadvise.catalog import default

    if path is not None and (path.is_file() or not path.exists()):
        with suppress(BadInput):
            save(path, report, default())


def _print_compressed(report: Report) -> None:
    """On stderr, for ``base64 -d | xz -d``."""
    import base64
    import lzma

    from capadvise.catalog import default
    from capadvise.report.dump import dump

    packed = lzma.compress(json.dumps(dump(report, default())).encode())
    notice("the report follows, for base64 -d | xz -d:")
    print(base64.encodebytes(packed).decode(), end="", file=sys.stderr)


class StderrAnnouncer:
    """Prints on stderr why a recording takes long. See ``command.Announcer``."""

    def __init__(self) -> None:
        self._announced = False

    def check_fails(self, how: str) -> None:
        """Print it once, on a terminal each time."""
        more = "" if self._announced else "; it is tried until it passes, or the target ends"
        if not self._announced or sys.stderr.isatty():
            notice(f"health check: {how}{more}")
        self._announced = True

    def goes_on(self, programs: Sequence[str]) -> None:
        """Print which programs are still recorded, and how to end that."""
        notice(
            f"the command has exited; still recording what it left running: {', '.join(programs)} "
            "(Ctrl-C ends it)"
        )


def _check_said(ended: Over) -> str | None:
    """A sentence on the health check, if the user has one; its output where it failed."""
    if ended.check_passed is None:
        return None
    if ended.check_passed:
        daemon = ended.report.workload.kind == "daemon"
        ours = ended.report.target.pod is None and not ended.report.recording.attached
        stopped = "; then the target was stopped" if daemon and ours else ""
        return f"The health check passed{stopped}."
    lines = [line for line in ended.check_said.splitlines() if line.strip()]
    return (
        f"The health check printed: {lines[-1]}" if lines else "The health check printed nothing."
    )


def show_proposal(ended: Over, *, quiet: bool, verbose: bool = False) -> None:
    """Print the proposal on stderr: stdout belongs to the target. ``verbose``: with the evidence
    for each capability."""
    report = ended.report
    if not quiet:
        from capadvise.catalog import default
        from capadvise.config.compose.files import file_of
        from capadvise.report.text import proposal_text

        file = file_of(report.target)
        text = proposal_text(
            report,
            default(),
            ended.path,
            as_root=as_root(),
            columns=columns(sys.stderr),
            verbose=verbose,
            file=file,
            patched=file is not None and _has_answer(file, report),
            check_said=_check_said(ended),
        )
        print("", *text, sep="\n", file=sys.stderr)


def print_proposal(report: Report, path: Path | None, *, verbose: bool) -> None:
    """Print the proposal on stdout, for commands that start no target of the user's."""
    from capadvise.catalog import default
    from capadvise.report.text import proposal_text

    text = proposal_text(report, default(), path, columns=columns(sys.stdout), verbose=verbose)
    print(*text, sep="\n")


def _has_answer(file: str, report: Report) -> bool:
    """True if the service already has one of the report's sets, as after "Apply" in the TUI."""
    from capadvise.catalog import default
    from capadvise.config.compose import COMPOSE
    from capadvise.config.snippet_from import snippet_of
    from capadvise.gate.patching import patching

    proposal, target = report.proposal, report.target
    sets = [caps for caps in (proposal.recommended, proposal.minimal) if caps is not None]
    for caps in sets:
        with suppress(CapadviseError):
            snippet = snippet_of(report, caps, default())
            path = Path(target.cwd, file)
            if patching(path, COMPOSE, target.service, snippet, report).change.empty:
                return True
    return False


def print_json(*reports: Report, version: int = 2, several: bool = False) -> None:
    """Print one document; a list if there can be several reports, or there is none."""
    from capadvise.catalog import default
    from capadvise.report.dump import dump
    from capadvise.report.version_1 import downgraded

    documents = [dump(report, default()) for report in reports]
    if version == 1:
        documents = [downgraded(document) for document in documents]
    print(json.dumps(documents if several or not documents else documents[0], indent=1))


def check_writable(path: Path, *, folder: bool = False, option: str = "-o") -> None:
    """Raise BadInput before all the work if a report could not be written after it."""
    try:
        with folder_of(path / "x" if folder else path) as (place, name):
            special = not folder and is_special(place, name)
            if not special and not os.access(".", os.W_OK, dir_fd=place):
                raise BadInput(f"{option} {path}: cannot write there")
    except IsADirectoryError as error:
        raise BadInput(f"{option} {path}: is a folder") from error
    except OSError as error:
        raise BadInput(f"{option} {path}: {error.strerror}") from error
    except ValueError as error:  # a NUL byte
        raise BadInput(f"{option} {path}: {error}") from error


def report_path(output: str | None, name: str, *, several: bool = False) -> Path:
    """The file for a report: ``output``, which with several targets is a folder; else a file in the
    user's state directory, the same one for the same name in one process."""
    if output is not None:
        return Path(output) / f"{_file_name(name)}.json" if several else Path(output)
    return (_folder() or _TMP) / f"{_file_name(name)}-{_STAMP}-{os.getpid()}.json"


def saved_reports(most: int = 200) -> list[tuple[Path, float]]:
    """(file, time) of each report in the user's state directory, the latest first."""
    times: list[tuple[Path, float]] = []
    with suppress(OSError):
        folder = _folder()
        for path in folder.glob("*.json") if folder else ():
            with suppress(OSError):
                times.append((path, path.stat().st_mtime))
    return sorted(times, key=lambda item: -item[1])[:most]


def _folder() -> Path | None:
    """The user's state directory; None for a user without a home, which is not made."""
    if state := os.environ.get("XDG_STATE_HOME"):
        return Path(state) / "capadvise"
    home = _home()
    return home / ".local" / "state" / "capadvise" if home else None


def _home() -> Path | None:
    """The home of the caller, if it exists: under sudo not root's."""
    caller = os.environ.get("SUDO_UID", "")
    is_sudo = os.geteuid() == 0 and caller.isdecimal()
    homes = [] if is_sudo else [os.environ.get("HOME", "")]
    with suppress(KeyError):
        homes.append(pwd.getpwuid(int(caller) if is_sudo else os.geteuid()).pw_dir)
    return next(
        (Path(home) for home in homes if home.startswith("/") and os.path.isdir(home)), None
    )


def _file_name(name: str) -> str:
    """A file name for a target's name; a long one is cut, and gets a checksum."""
    text = "".join(char if char.isalnum() or char in "._-" else "-" for char in name)
    if len(text) > _LONGEST:
        from zlib import crc32  # most are short

        text = f"{text[:_LONGEST]}-{crc32(name.encode(errors='replace')):08x}"
    return text or "run"


_LONGEST = 60
_STAMP = time.strftime("%Y%m%d-%H%M%S")
