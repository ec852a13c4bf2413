"""The command to run: its options, its file, its user."""

import os
import pwd
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from capadvise.model.caps import CapSet
from capadvise.model.errors import BadInput, CannotStart
from capadvise.model.workload import Workload

_INTERPRETER = r"(python|perl|ruby|node|php|bash|dash|sh)[0-9.]*"


ANOTHER_FOLLOWS = 1.0
"""The ``linger`` of a command that is followed by another one: that has its buffers by then."""


class Announcer(Protocol):
    """Tells the user why the end of a target takes so long."""

    def check_fails(self, how: str) -> None:
        """The health check has failed for some seconds; called again from time to time. ``how``:
        ``failing for 6 s, exit 1: …``."""

    def goes_on(self, programs: Sequence[str]) -> None:
        """The command has exited, and these programs that it started have not; called once."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and how to run it."""

    argv: tuple[str, ...]
    user: str | None = None
    check: str | None = None
    kind: str | None = None
    seconds: float | None = None
    """End the recording after this time."""
    stdout_to_stderr: bool = False
    terminal: int | None = None
    """A terminal that becomes the target's own: the inner end of a pty, which is closed here."""
    groups: tuple[int, ...] = ()
    """Supplementary groups in addition to those of its user."""
    namespace: str | None = None
    """A path to the user namespace that it enters."""
    caps: CapSet | None = None
    """The bounding set; None: as it is."""
    no_new_privs: bool = False
    """It can gain nothing by an exec."""
    patience: float = 10.0
    """Seconds between SIGTERM and SIGKILL."""
    rest_patience: float = 0.0
    """Seconds in which processes that outlast the main one at its stop may end by themselves."""
    check_after: float = 0.0
    """Seconds after the start before which the check is not tried."""
    check_limit: float = 30.0
    """Seconds for one try of the check."""
    still_limit: float | None = None
    """Seconds: a target that fails its health check, and runs no program that it has not run before
    for so long, is killed."""
    announcer: Announcer | None = None
    retry: str | None = None
    """EPERM retries: ``auto``, or ``all-calls``: without a filter that picks the calls."""
    unobserved: bool = False
    """Do not trace the kernel, but retry alone."""
    linger: float = 0.0
    """Seconds before the guardian removes the trace buffers. The kernel makes and removes one at a
    time: where another start follows, that would wait for it."""
    settings_count: bool = False
    """Note what it changes of the machine's settings: a trial would change them, too."""
    outside: int | None = None
    """A process with the machine's mounts, where a trial should change nothing."""
    wait: bool = False
    """Return only when the guardian has removed the trace buffers, some 0.2 s later."""

    def workload(self, kind: str, check: str | None) -> Workload:
        """The part that trials repeat. Carry over an option here if trials must respect it."""
        return Workload(kind, check=check, check_after=self.check_after if check else 0.0)


def resolve(name: str) -> str:
    """The file of a command name, as execvp would find it.

    Raises CannotStart with exit code 127 or 126.
    """
    path = _which(name)
    if path:
        return os.path.abspath(path) if os.sep in path else path
    if os.sep in name:
        try:
            os.stat(name)
        except PermissionError as error:
            raise CannotStart(f"{name}: permission denied", exists=True) from error
        except OSError:
            pass
        else:
            raise CannotStart(f"{name}: not an executable file", exists=True)
    raise CannotStart(f"{name}: command not found", exists=False)


def _which(name: str) -> str | None:
    """``shutil.which``, without the compression modules that it imports: every target would wait
    for these."""
    folders = [""] if os.sep in name else os.get_exec_path() if os.environ.get("PATH") != "" else []
    for path in (os.path.join(folder, name) for folder in folders):
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


def name_of(argv: tuple[str, ...]) -> str:
    """The name of a command: the program, or the script that an interpreter runs."""
    program = Path(argv[0]).name
    script = Path(argv[1]) if len(argv) > 1 else None
    if script and re.fullmatch(_INTERPRETER, program) and script.suffix and script.is_file():
        return script.stem
    return program


def user_of(name: str, more: Sequence[int] = ()) -> dict[str, Any]:
    """uid, gid and groups of a user, by name or number, with ``more`` groups. Raises BadInput for
    one unknown."""
    from capadvise.model.target import NO_ID, is_no_id

    if name.isdecimal() and is_no_id(name):
        raise BadInput(f"{name} is no user id: they are below {NO_ID}")
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        if not name.isdecimal():
            raise BadInput(f"there is no user {name}") from None
        return {"uid": int(name), "gid": int(name), "groups": [int(name), *more], "env": {}}
    return {
        "uid": entry.pw_uid,
        "gid": entry.pw_gid,
        "groups": [*os.getgrouplist(entry.pw_name, entry.pw_gid), *more],
        # Set like systemd: looking into the caller's home would show needs that are not the
        # program's.
        "env": {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name},
    }


def give(folder: Path, name: str) -> None:
    """Give a folder to a user."""
    user = user_of(name)
    os.chown(folder, user["uid"], user["gid"])
