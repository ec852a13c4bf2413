"""How to run and check a target again and again: the workload file.

The format is public: ``capadvise help workloads`` describes it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from capadvise.model import input_file, strict
from capadvise.model.errors import BadInput
from capadvise.model.target import NO_ID, is_no_id

MAX_BYTES = 1 << 20
"""A larger file is not a workload."""
MOST_STEPS = 50
IMPLICIT_CHECK = "CAPADVISE_CHECK"
"""The variable in a check's environment that holds the command of the implicit check's program."""
_LOGS_IN = ("banner", "imap", "smb", "ssh")
"""Protocols whose clients log in, perhaps as a user of the system."""
KINDS = ("oneshot", "daemon")


def still_running(engine: str, seconds: int) -> str:
    """The health check of a container for which nothing better is known."""
    state = f'{engine} inspect --format {{{{.State.Running}}}} "$CONTAINER"'
    return f"sleep {seconds}; {state} | grep -q true"


class Act(StrEnum):
    """The action of a step of a lifecycle."""

    START = "start"
    CHECK = "check"
    EXEC = "exec"
    """A shell command with full privileges, outside the target: a login, a request."""
    RELOAD = "reload"
    """A signal to the main process, or a shell command with the restrictions of the target."""
    STOP = "stop"
    """SIGTERM; a target that does not end within the time limit is killed, and the stop has
    failed."""
    RESTART = "restart"
    """Stop, and start again with the remaining data."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a lifecycle."""

    act: Act
    text: str | None = None
    """The command of ``exec``; the command or the signal of ``reload``, SIGHUP without."""

    @property
    def signal(self) -> str | None:
        """The name of a reload's signal, without SIG; None if a command reloads."""
        name = (self.text or "HUP").removeprefix("SIG")
        return name if re.fullmatch(r"[A-Z][A-Z0-9+]*", name) else None


Round = tuple[Step, ...]
"""The steps between a start and the next stop, without these two."""
_CHECK = Step(Act.CHECK)
IS_ACTIVE = "systemctl is-active --quiet "
"""See ``Workload.only_watched``."""
ONE_START = (Step(Act.START), _CHECK, Step(Act.STOP))
TWO_RUNS = (Step(Act.START), _CHECK) * 2
"""For a oneshot that keeps its data: a container that prepares a volume does so at each start of a
project."""


@dataclass(frozen=True, slots=True)
class Workload:
    """All scripts are for the shell; ``$W``, ``$HOME`` and ``$BENCH`` are in their environment."""

    kind: str = "oneshot"
    """``oneshot``: checked after its exit; ``daemon``: checked until it passes, then SIGTERM."""
    setup: str | None = None
    """Run once before each trial, with full privileges, in the fresh scratch directory."""
    check: str | None = None
    """Tells if the target did its job; with full privileges, outside the target."""
    expect_exit: int | None = 0
    """The exit status that a oneshot must have; None for any."""
    timeout: float = 10.0
    """Seconds."""
    teardown: str | None = None
    fresh: tuple[str, ...] = ()
    """Further directories that each trial gets a private copy of."""
    check_after: float = 0.0
    """Seconds after the start before the first try of the check: an earlier try can disturb the
    target."""
    steps: tuple[Step, ...] | None = None
    """A lifecycle with judged stops; None: a daemon is started, checked, stopped in an orderly way,
    started and checked again; a oneshot is started once and checked."""

    @property
    def only_watched(self) -> bool:
        """True for a unit without a health check: its manager says that it is up."""
        return (self.check or "").startswith(IS_ACTIVE)

    @property
    def rounds(self) -> tuple[Round, ...]:
        """One round for each start."""
        if self.steps is None:
            return ((_CHECK,),) * (2 if self.kind == "daemon" else 1)
        return _rounds(self.steps)


def _rounds(steps: Iterable[Step]) -> tuple[Round, ...]:
    rounds: list[list[Step]] = []
    for step in steps:
        if step.act in (Act.START, Act.RESTART):
            rounds.append([])
        elif step.act is not Act.STOP:
            rounds[-1].append(step)
    return tuple(map(tuple, rounds))


@dataclass(frozen=True, slots=True)
class Named:
    """One document of a workload file."""

    name: str
    argv: tuple[str, ...]
    workload: Workload
    user: str | None = None
    """The user that starts it; None: root."""
    exclusive: bool = field(default=False, compare=False)
    """It does not run side by side with others."""


_REQUIRED = ("name", "command")
_OPTIONAL = (
    *("kind", "user", "setup", "check", "expect_exit", "timeout", "teardown", "fresh", "steps"),
    *("needs", "tags", "notes", "published", "exclusive"),
)
KEYS = (*_REQUIRED, *_OPTIONAL)
"""All that a workload may hold; ``capadvise help workloads`` explains each."""


def load(path: Path) -> list[Named]:
    """All workloads of a file. Raises BadInput with file, line, key and what was expected."""
    return parsed(input_file.data(path, MAX_BYTES), path)


def parsed(data: bytes, path: Path) -> list[Named]:
    """All workloads in the bytes of a file. Raises as ``load`` does."""
    text = input_file.decoded(data, path)
    workloads = [_named(path, raw) for raw in strict.load_all(path, text) if raw is not None]
    if not workloads:
        raise BadInput(f"{path}: it holds no workload")
    names = [named.name for named in workloads]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadInput(f"{path}: two workloads are called {twice[0]!r}")
    return workloads


def _named(path: Path, raw: Any) -> Named:
    strict.keys(path, raw, required=_REQUIRED, optional=_OPTIONAL)
    kind = raw.get("kind", "oneshot")
    if kind not in KINDS:
        raise _wrong(path, raw, "kind", "oneshot or daemon")
    expect = raw.get("expect_exit", 0)
    if expect != "any" and (isinstance(expect, bool) or not isinstance(expect, int)):
        raise _wrong(path, raw, "expect_exit", "a number or any")
    return Named(
        name=_text(path, raw, "name") or "",
        argv=_argv(path, raw),
        workload=Workload(
            kind=kind,
            setup=_text(path, raw, "setup"),
            check=_text(path, raw, "check"),
            expect_exit=None if expect == "any" else expect,
            timeout=_seconds(path, raw),
            teardown=_text(path, raw, "teardown"),
            fresh=_folders(path, raw),
            steps=_steps(path, raw, kind),
        ),
        user=_user(path, raw),
        exclusive=raw.get("exclusive") is True,
    )


def _argv(path: Path, raw: Any) -> tuple[str, ...]:
    command = raw["command"]
    if isinstance(command, str):
        argv: tuple[str, ...] = ("/bin/sh", "-c", command)
    elif isinstance(command, list) and command and all(isinstance(x, str) for x in command):
        argv = tuple(command)
    else:
        raise _wrong(path, raw, "command", "a text, or a list of texts")
    if any("\0" in word for word in argv):
        raise _wrong(path, raw, "command", "free of NUL characters")
    return argv


def _user(path: Path, raw: Any) -> str | None:
    user = _text(path, raw, "user")
    if user is not None and not re.fullmatch(_USER, user):
        raise _wrong(path, raw, "user", "the name of a user, or a quoted number")
    if user is not None and user.isdecimal() and is_no_id(user):
        raise _wrong(path, raw, "user", f"a user id below {NO_ID}")
    return user


_USER = r"[\w.-]+\$?"


def _seconds(path: Path, raw: Any) -> float:
    timeout = raw.get("timeout", 10)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < 1e9:
        raise _wrong(path, raw, "timeout", "a number of seconds above 0")
    return float(timeout)


def _folders(path: Path, raw: Any) -> tuple[str, ...]:
    fresh = raw.get("fresh", [])
    if not isinstance(fresh, list) or not all(
        isinstance(folder, str) and folder.startswith("/") for folder in fresh
    ):
        raise _wrong(path, raw, "fresh", "a list of absolute paths")
    return tuple(fresh)


def _steps(path: Path, raw: Any, kind: str) -> tuple[Step, ...] | None:
    listed = raw.get("steps")
    if listed is None:
        return None
    if not isinstance(listed, list) or not listed or len(listed) > MOST_STEPS:
        raise _wrong(path, raw, "steps", f"a list of at most {MOST_STEPS} steps")
    steps = tuple(_step(path, raw, item) for item in listed)
    problem = _order_problem(steps, kind)
    if problem:
        raise _wrong(path, raw, "steps", problem)
    return steps


def _step(path: Path, raw: Any, item: Any) -> Step:
    text = None
    if isinstance(item, dict) and len(item) == 2:  # the other key is the line
        ((item, text),) = ((key, value) for key, value in item.items() if key != strict.LINE)
    if item not in tuple(Act):
        raise _wrong(path, raw, "steps", f"made of {', '.join(Act)}; found {item!r:.40}")
    act = Act(item)
    if act is Act.EXEC and not (isinstance(text, str) and text):
        raise _wrong(path, raw, "steps", "clear about what to execute (exec: SHELL COMMAND)")
    if text is not None and not (act in (Act.EXEC, Act.RELOAD) and isinstance(text, str)):
        raise _wrong(path, raw, "steps", f"without a value for {act}")
    return Step(act, text)


def _order_problem(steps: tuple[Step, ...], kind: str) -> str | None:
    """The requirement that the steps break; None if they can be made in this order."""
    running = started = False
    for step in steps:
        act = step.act
        if act is Act.START:
            if running and kind == "daemon":
                return "stopped before it is started again"
            running = started = True
        elif not started:
            return "begun with start"
        elif act is not Act.CHECK and act is not Act.EXEC and kind == "oneshot":
            return f"free of {act}: a oneshot ends by itself"
        elif not running:
            return f"started again before {act}"
        running = running and act is not Act.STOP
    if kind == "daemon" and not all(_CHECK in one for one in _rounds(steps)):
        return "checked after each start"
    return None


def _text(path: Path, raw: Any, key: str) -> str | None:
    value = raw.get(key)
    if value is not None and not isinstance(value, str):
        raise _wrong(path, raw, key, "a text (quote it if it looks like a number or true)")
    return value


def _wrong(path: Path, raw: Any, key: str, expected: str) -> BadInput:
    return BadInput(f"{path}: line {raw[strict.LINE]}: {key!r} must be {expected}")


def implicit_check(script: str | None) -> str | None:
    """Describe the implicit health check of a container that has none of its own: ``listens on tcp
    6379 and answers redis; runs redis-server (user 999)``; None for another check."""
    parts = _parts(script)
    if parts is None:
        return None
    sockets = [place + (f" and answers {spoken}" if spoken else "") for place, spoken in parts[0]]
    said = [f"listens on {', '.join(sockets)}"] if sockets else []
    users: dict[str, list[str]] = {}
    for name, at, user in (one.rpartition("@") for one in parts[1]):
        users.setdefault(name if at else user, []).extend([user] if at else [])
    runs = [f"{name} (user {' and '.join(ids)})" if ids else name for name, ids in users.items()]
    return "; ".join([*said, *([f"runs {', '.join(runs)}"] if runs else [])])


def without_programs(script: str | None) -> str | None:
    """The same check, but an implicit one without the programs and their users, which are others in
    another version."""
    words = (script or "").split()
    if _parts(script) is None:
        return script
    return " ".join([words[0], *(one for one in words[1:] if ":" in one)])


def only_listens(script: str | None) -> tuple[str, ...]:
    """``tcp 445``: the ports that such a check only sees listening."""
    sockets, _ = _parts(script) or ((), ())
    return tuple(place for place, spoken in sockets if not spoken)


def only_refuses(script: str | None) -> tuple[str, ...]:
    """``tcp 80 (404)``: the ports where such a check has seen an error for the page ``/``."""
    sockets, _ = _parts(script) or ((), ())
    statuses = ((place, spoken.split()) for place, spoken in sockets)
    return tuple(f"{place} ({words[1]})" for place, words in statuses if words[1:2] >= ["400"])


def needs_no_port_below(first: int, script: str | None) -> bool:
    """True if such a check has seen the ports that it listens on, and none is below."""
    parts = _parts(script)
    return parts is not None and all(int(place.split()[1]) >= first for place, _ in parts[0])


def only_greets(script: str | None) -> tuple[str, ...]:
    """``tcp 22``: the ports where such a check only sees the part before a login."""
    sockets, _ = _parts(script) or ((), ())
    return tuple(place for place, spoken in sockets if spoken in _LOGS_IN)


def _parts(script: str | None) -> tuple[list[tuple[str, str]], list[str]] | None:
    """Each port with its protocol (``http 200 text/html``), and the programs (``nginx@33``)."""
    command, *arguments = (script or "").split() or [""]
    if command != f"${IMPLICIT_CHECK}":
        return None
    sockets, names = [], []
    for one in arguments:
        place, _, protocol = one.partition("/")
        kind, colon, port = place.partition(":")
        if colon and port.isdecimal():
            sockets.append((f"{kind} {port}", protocol.replace(":", " ").strip()))
        else:
            names.append(one)
    return sockets, names
