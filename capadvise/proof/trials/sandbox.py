"""One trial of a workload, in a process of its own: isolate, set up, run, check, tear down.

It is a stage (see ``stages``): the plan comes on its connection, and the result goes there, a line
of JSON each. Nothing that it starts survives it: it is a child subreaper, and the guardian owns
what the target started.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Generic, NoReturn, Protocol, TypeVar, cast

from capadvise.catalog import default
from capadvise.judgement.decide import Verdict, decide, decide_all
from capadvise.judgement.differences import CHECK, OUTPUT
from capadvise.kernel import folders, libc
from capadvise.kernel.odd_start import adopt_limits
from capadvise.kernel.process_tree import kill_descendants, reap_all
from capadvise.kernel.scratch import unmount
from capadvise.model.caps import Cap
from capadvise.model.errors import CapadviseError
from capadvise.model.recording import Recording
from capadvise.observe.supervise.command import Command, give
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.record import observe
from capadvise.proof.trials.groups import numbers, of_refused_files
from capadvise.proof.trials.isolation import file_systems, isolate, make_void
from capadvise.proof.trials.left import Left, OwnFolder, left_by, left_by_containers, own_folder
from capadvise.proof.trials.rounds import RoundResult, run_rounds
from capadvise.proof.trials.stages import SO_FAR, serve
from capadvise.report.dump import as_json, dump_recording
from capadvise.targets.image.ownership import WrittenFolder

_LARGEST_OUTPUT = 20000
_MOST_COMPARED, _MOST_LINES = 64 << 10, 1000
"""Bytes and lines of the standard output that are compared one by one."""
_ELSEWHERE = ("container", "unit")
"""The isolations in which an engine or systemd starts the target."""
_ROOM = 64 << 10
"""A disk with less than so many bytes is full."""
OUT, ERR = "stdout", "stderr"
"""The files in a trial's folder with the output of its target."""
_SHOWN = {ERR: _LARGEST_OUTPUT, OUT: 2000}
Given = tuple[str, int]
"""A file, and the offset to begin at."""
SoFar = Callable[[Sequence[Recording]], None]
"""Gets the needs of a round so far."""
RunLogged = Callable[[int, Command, SoFar], Observation]
"""``RunRound``, with the output in log files."""
_T = TypeVar("_T")


class StageError(Exception):
    """The trial could not be made: no verdict about capabilities."""


def main() -> None:
    """Run as a program: ``sandbox.py FD``. All modules of a trial are loaded once."""

    default().load()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # while a recording runs, they are blocked
    serve(socket.socket(fileno=int(sys.argv[1])), stage)


def stage(answer: int, server: int) -> None:
    """Make the trial that the plan describes, and always send a result. ``server``: the parent,
    whose end is signalled, and means that the prover is gone."""
    libc.become_subreaper()
    libc.set_parent_death_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    prover = socket.socket(fileno=answer)
    prover.sendall(b"%d\n" % os.getpid())
    try:
        with prover.makefile("rb") as lines:  # closed here: a destructor swallows a signal
            plan = json.loads(lines.readline())
        top = Path(plan["top"])
        adopt_limits(plan["limits"])
        place = os.open(top.parent, os.O_PATH | os.O_CLOEXEC)  # as it is outside of the trial
        if os.getppid() != server:  # it ended before we asked for the signal
            return
    except (ValueError, SystemExit):  # the prover was killed before it sent the plan
        return
    told: list[dict[str, Any]] = []
    undone: list[Apart[Any]] = []

    def tell(result: dict[str, Any], *, so_far: bool = False) -> None:
        if not told:
            told.extend([] if so_far else [result])
            prover.sendall((SO_FAR if so_far else b"") + json.dumps(result).encode() + b"\n")

    try:
        top.mkdir()
        top.chmod(0o755)
        trial(plan, top, tell, undone)
    except (StageError, CapadviseError) as error:
        tell({"broken": str(error), "hint": getattr(error, "hint", None)})
    except BrokenPipeError:  # the prover was killed
        pass
    except OSError as error:
        tell({"broken": f"{error.filename or top}: {error.strerror}"})
    except SystemExit:  # SIGTERM before the target ran
        tell({"broken": "the trial was ended"})
    except Exception as error:  # a defect of ours: report it
        tell({"broken": repr(error)})
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end_all(undone)
        unmount(top)
        shutil.rmtree(top.name, ignore_errors=True, dir_fd=place)


def _end_all(undone: list[Apart[Any]]) -> None:
    """Wait for those that remove trace buffers, then kill the rest."""
    while undone:
        undone.pop().wait()
    kill_descendants(reap_all)


def trial(plan: dict[str, Any], top: Path, tell: Tell, undone: list[Apart[Any]]) -> None:
    """Run all rounds, from set-up to tear-down. ``tell`` gets the result as soon as it is known;
    ``undone`` holds what the rounds still undo then."""
    began = time.time()
    work = Path(plan["cwd"]) if plan["cwd"] else top / "w"
    if not plan["cwd"]:
        work.mkdir(mode=0o755)
        (top / "home").mkdir(mode=0o700)
    plan["outside"] = os.getppid()
    os.environ.clear()
    os.environ.update(plan["env"])
    places = _isolate(plan, top)
    known = file_systems() if places else {}
    os.chdir(work)
    shell(plan["setup"], top, "setup", 60, needed=True)
    if plan["user"] and not plan["cwd"]:
        give(work, plan["user"])  # the set-up may have created this user
    if plan["isolation"] not in _ELSEWHERE:
        for path in plan["uncapped"]:
            make_void(path.replace("$W", str(work), 1))
    if plan["isolation"] in _ELSEWHERE:
        _trial_elsewhere(plan, top, tell, undone, began)
    else:

        def run(_: int, command: Command, __: SoFar) -> Observation:
            undone.append(Apart(lambda seen: observe(command, seen=seen)))
            observation: Observation = undone[-1].result()
            return observation

        rounds, seconds = _rounds(plan, top, run, tell)
        tell(_result(plan, top, rounds, _left(plan, places, known, work, began), seconds))
    _end_all(undone)
    shell(plan["teardown"], top, "teardown", 30, needed=False)


def _left(
    plan: dict[str, Any], places: list[OwnFolder], known: Iterable[str], work: Path, began: float
) -> Left:
    """The changes on disk, or all of its folder if it ran on the user's own files. ``known``:
    the file systems from before the set-up, which are covered."""
    if plan["isolation"] == "none":
        return Left(began)
    if places:
        made = {device: path for device, path in file_systems().items() if device not in known}
        places += [
            own_folder(path, path) for path in made.values() if not Path(path).is_relative_to(work)
        ]
    return left_by(places or [own_folder(str(work), str(work))], work, began, plan["gone"])


def _trial_elsewhere(
    plan: dict[str, Any], top: Path, tell: Tell, undone: list[Apart[Any]], began: float
) -> None:
    begin: Callable[..., AbstractContextManager[Any]]
    if plan["isolation"] == "unit":
        from capadvise.targets.systemd.trial import unit_trial as begin
    else:
        from capadvise.targets.containers.trial import container_trial as begin
    with begin(plan, top, top / OUT, top / ERR) as started:

        def run(number: int, command: Command, so_far: SoFar) -> Observation:
            again = plan["tells"] and number > 1

            def call(tell: Tell) -> None:
                os.close(looked)  # if the process that looks is killed, the read below ends

                def seen(result: tuple[Observation, Sequence[WrittenFolder]]) -> None:
                    tell(result)
                    os.read(until_looked, 1)  # it holds folders, and may not read all of them

                started.run(number, command, seen, partial(tell, so_far=True) if again else None)

            until_looked, looked = os.pipe()
            try:
                undone.append(Apart(call))
                observation, folders = undone[-1].result(so_far)
                left[0] = left_by_containers(folders, began)
            finally:
                os.write(looked, b"l")
                os.close(looked)
                os.close(until_looked)
            return cast(Observation, observation)

        left = [Left(began)]
        rounds, seconds = _rounds(plan, top, run, tell)
        if plan["keep"]:
            started.keep(Path(plan["keep"]), give_away=plan["image"] is None)
        tell(_result(plan, top, rounds, left[0], seconds))


def _isolate(plan: dict[str, Any], top: Path) -> list[OwnFolder]:
    try:
        plan["namespace"], places = isolate(
            *(plan["isolation"], top, plan["fresh"], plan["cwd"]),
            **{key: plan[key] for key in ("in_place", "memory", "userns", "shared")},
        )
    except OSError as error:
        raise StageError(f"cannot isolate: {error.strerror}") from error
    for setting in plan["settings"] if plan["isolation"] != "container" else ():
        name, _, value = setting.partition("=")
        Path("/proc/sys", *name.split(".")).write_text(value)
    before, plan["gone"] = plan["before"] or {}, []
    if plan["isolation"] == "command" and not plan["in_place"] and before:
        made = {*os.listdir("/tmp")}.difference(json.loads(before["tmp"]))
        plan["gone"] = [f"/tmp/{name}" for name in made if not name.startswith("capadvise-trial-")]
        for path in plan["gone"]:
            folders.remove(path)
        if before["cwd"]:
            folders.restore(plan["cwd"], Path(before["cwd"]))
    return places


def _rounds(
    plan: dict[str, Any], top: Path, run: RunLogged, tell: Tell
) -> tuple[list[RoundResult], float]:
    """Run the rounds; return their results, and the time of all. The result of the first is sent at
    once, and the needs of a later one as soon as it is up: the prover begins other trials then."""
    began, results = time.monotonic(), list[RoundResult]()
    seconds = 0.0

    def tell_so_far(more: Sequence[Recording] = ()) -> None:
        if plan["tells"]:
            tell(_result(plan, top, results, Left(0), seconds, more), so_far=True)

    def logged_run(number: int, command: Command) -> Observation:
        def so_far(recordings: Sequence[Recording]) -> None:
            tell_so_far([replace(recording, start=number) for recording in recordings])

        with logged(top / OUT, top / ERR, plan["stdin"]):
            return run(number, command, so_far)

    def words() -> str:
        return last_words(end_of(top / ERR, _LARGEST_OUTPUT))

    for result in run_rounds(plan, top, _command_of(plan), logged_run, words):
        results.append(result)
        seconds = time.monotonic() - began
        if len(results) == 1 < len(plan["rounds"]) and result.passed:
            tell_so_far()
    return results, time.monotonic() - began


def _worst_stop(rounds: list[RoundResult]) -> dict[str, Any] | None:
    stops = [one.stop for one in rounds if one.stop is not None]
    if not stops:
        return None
    return {
        "seconds": max(stop["seconds"] for stop in stops),
        "killed": any(stop["killed"] for stop in stops),
        "clean": all(stop["clean"] for stop in stops),
        "leaves_nothing": all(stop["leaves_nothing"] for stop in stops),
    }


def _result(
    plan: dict[str, Any],
    top: Path,
    rounds: list[RoundResult],
    left: Left,
    seconds: float,
    more: Sequence[Recording] = (),
) -> dict[str, Any]:
    """``more``: recordings of a round that goes on."""
    own = partial(_with_own_names, top)
    text, printed = (own(end_of(top / name, size)) for name, size in _SHOWN.items())
    last = rounds[-1]
    lines = text.splitlines()
    if not last.passed:
        _require_room(top, Path.cwd(), Path("/tmp"))
    act = "restart" if last.failed_at == "start" and len(rounds) > 1 else last.failed_at
    recordings = [
        replace(
            one,
            capable_files=tuple(replace(file, path=own(file.path)) for file in one.capable_files),
        )
        for one in (*(recording for one in rounds for recording in one.recordings), *more)
    ]
    posture = rounds[0].observation.posture
    return {
        "passed": last.passed,
        "why": own(last.why or last_words(text)),
        "failed_at": act,
        "late": not last.passed and last.late,
        "rounds_passed": len(rounds) - (not last.passed),
        "stop": _worst_stop(rounds),
        "seconds": round(seconds, 3),
        "observed": _observed(plan, top, left, rounds, lines),
        "used": _used(plan, recordings),
        "refused": sorted({name for one in recordings for name in _wanted(one, act)}),
        "groups": of_refused_files(recordings, plan["user"]) if plan["retry"] else [],
        "recordings": [
            dump_recording(recording, default(), posture.mac) for recording in recordings
        ],
        "posture": as_json(posture),
        "name": rounds[0].observation.target.name,
        "user": rounds[0].observation.target.user,
        "output": (printed + text)[-2000:],
        "exposure": plan.get("exposure"),
        **_outside(rounds),
    }


def _outside(rounds: list[RoundResult]) -> dict[str, list[str]]:
    """The machine's own things that it reached for."""
    seen = [one.observation for one in rounds]
    return {
        "sockets": sorted({item for one in seen for item in one.sockets}),
        "changed": sorted({item for one in seen for item in one.changed}),
    }


def _observed(
    plan: dict[str, Any], top: Path, left: Left, rounds: list[RoundResult], lines: list[str]
) -> dict[str, Any]:
    """The fields of ``Observed``. ``lines``: of the standard error."""
    own, seen = partial(_with_own_names, top), [one.observation for one in rounds]
    return {
        "exit_status": seen[-1].recording.exit_status,
        "stderr": [re.sub(r"\d+", "N", line)[:200] for line in lines[:200]],
        "files": [(own(path), text) for path, text in left.files],
        "details": [(own(path), name, value) for path, name, value in left.details],
        "stopped": own(left.stopped),
        "uncompared": left.uncompared,
        "printed": _printed(plan, top, rounds[-1]),
        "granted": plan["caps"],
        "credentials": sorted({user for one in seen for user in one.credentials}),
        "listening": sorted({port for one in seen for port in one.listening}),
    }


def _require_room(*places: Path) -> None:
    """A failure on a full disk shows nothing about capabilities."""
    for place in places:
        space = os.statvfs(place)
        if space.f_blocks and space.f_bavail * space.f_frsize < _ROOM:
            raise StageError(f"no space left on the disk that holds {place}")


def _with_own_names(top: Path, text: str) -> str:
    """Replace the names of the trial's own folders, which differ each time."""
    for folder, name in ((top / "w", "$W"), (top / "home", "$HOME"), (top, "$TRIAL")):
        text = text.replace(str(folder), name)
    return text


def _printed(plan: dict[str, Any], top: Path, last: RoundResult) -> list[tuple[str, list[str]]]:
    """The lines of the standard output, and those of the health check that passed."""
    of_unit = plan["isolation"] == "unit"  # all of its output is in its journal
    streams = [] if of_unit else [(OUTPUT, _lines(top / OUT))]
    if plan["check"] and last.observation.check_passed:
        streams.append((CHECK, _few_lines(last.observation.check_said)))
    return [(name, [_with_own_names(top, line) for line in lines]) for name, lines in streams]


def _lines(path: Path) -> list[str]:
    """The lines of a text; of other output, and of what is too long, size and hash."""
    with path.open("rb") as file:
        begin = file.read(_MOST_COMPARED)
        size = os.fstat(file.fileno()).st_size
        lines = [] if b"\0" in begin else _few_lines(begin.decode(errors="backslashreplace"))
        if size <= _MOST_COMPARED and lines:
            return lines
        digest = blake2b(begin, digest_size=6)
        if size > _MOST_COMPARED:
            file.seek(-min(size - _MOST_COMPARED, _MOST_COMPARED), os.SEEK_END)
            digest.update(file.read(_MOST_COMPARED))
    return [*lines[:-1], f"({size} bytes, {digest.hexdigest()})"] if size else []


def _few_lines(text: str) -> list[str]:
    return [line[:300] for line in text.splitlines()[:_MOST_LINES]]


def _wanted(recording: Recording, failed_at: str | None) -> list[str]:
    """Capabilities without which a call failed. A passed check shows nothing about the stop."""
    judged = replace(recording, succeeded=recording.succeeded and failed_at != "stop")
    return [
        need.cap.name
        for need in decide(judged, default()).needs
        if need.verdict is Verdict.NEEDED or (need.verdict is Verdict.DENIED and need.evidence)
    ]


def _used(plan: dict[str, Any], recordings: Sequence[Recording]) -> list[str] | None:
    if not plan["observed"]:
        return None
    needs = decide_all(tuple(recordings), default()).needs if recordings else ()
    return [need.cap.name for need in needs if need.verdict is Verdict.NEEDED]


def _command_of(plan: dict[str, Any]) -> Command:
    return Command(
        argv=tuple(plan["argv"]),
        user=plan["user"],
        check=plan["check"],
        check_after=plan["check_after"],
        still_limit=plan["still_limit"],
        kind=plan["kind"],
        seconds=plan["timeout"],
        caps=frozenset(Cap.parse(name) for name in plan["caps"]),
        patience=plan["patience"],
        groups=numbers(plan["groups"]),
        no_new_privs=bool(plan["no_new_privs"]) and plan["isolation"] not in _ELSEWHERE,
        namespace=plan["namespace"],
        retry="auto" if plan["retry"] else None,
        unobserved=plan["retry"] or not plan["observed"],
        check_limit=max(2.0, plan["timeout"]),
        settings_count=plan["tells"] and not plan["in_place"],
        outside=plan["outside"] if plan["tells"] else None,
        wait=True,  # our descendants are killed then, including the guardian
    )


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
            code = f"still running after {seconds:g} s"
    if code and needed:
        said = end_of(log, 800).strip()
        raise StageError(f"{name} failed ({code}): {said}")


@contextmanager
def logged(out: Path, err: Path, given: Given | None) -> Iterator[None]:
    """Write our output, and so the target's, to files, and give it a standard input."""
    saved = os.dup(2)
    for path, fd in ((out, 1), (err, 2)):
        _put(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), fd)
    _put(os.open(given[0] if given else os.devnull, os.O_RDONLY if given else os.O_RDWR), 0)
    if given:
        os.lseek(0, given[1], os.SEEK_SET)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _put(opened: int, fd: int) -> None:
    os.dup2(opened, fd)
    os.close(opened)


def end_of(path: Path, size: int) -> str:
    """The end of the output, which can be larger than memory."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - size))
        return file.read(size).decode(errors="backslashreplace")


def last_words(text: str) -> str:
    return next((line[:200] for line in reversed(text.splitlines()) if line.strip()), "")


# ------------------------------------------- one call in a process of its own


class Tell(Protocol):
    """Sends the result of a call."""

    def __call__(self, result: Any, *, so_far: bool = False) -> None:
        """``so_far``: it is the result up to now; only the first other one counts."""


Call = Callable[[Tell], object]
"""A call that sends its result, and may have something to undo after that."""


class FailedApart(CapadviseError):
    """The call failed, or its process was killed."""


class Apart(Generic[_T]):
    """A process that makes one call. A process that has recorded cannot record again: it has given
    up the capabilities (``own_caps``). While it is awaited, SIGTERM is passed on to it, and it ends
    in its own way."""

    def __init__(self, call: Call) -> None:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self._read, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._read)
            libc.set_parent_death_signal(signal.SIGTERM)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            _make(call, os.fdopen(write, "wb"))
        os.close(write)

    def result(self, so_far: Callable[[Any], object] = lambda _: None) -> _T:
        """Wait for the result; ``so_far`` gets earlier ones. Raises FailedApart with the error of
        the call."""
        with self._passing_on(), os.fdopen(self._read, "rb") as pipe:
            try:
                while True:
                    last, result, problem = pickle.load(pipe)
                    if last:
                        break
                    so_far(result)
            except (EOFError, pickle.UnpicklingError):
                raise FailedApart("its process was killed") from None
        if problem is not None:
            raise problem
        value: _T = result
        return value

    def wait(self) -> None:
        """Wait until everything is undone."""
        with self._passing_on():
            os.waitpid(self._pid, 0)

    @contextmanager
    def _passing_on(self) -> Iterator[None]:
        handler = signal.signal(signal.SIGTERM, lambda *_: os.kill(self._pid, signal.SIGTERM))
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, handler)


def _make(call: Call, pipe: BinaryIO) -> NoReturn:
    told = False

    def tell(result: Any, problem: FailedApart | None = None, *, so_far: bool = False) -> None:
        nonlocal told
        if not told:
            told = not so_far
            with suppress(BrokenPipeError):  # the parent does not wait any more
                pickle.dump((told, result, problem), pipe)
                pipe.flush()

    try:
        call(tell)
    except (CapadviseError, OSError) as error:
        hint = getattr(error, "hint", None)
        tell(None, FailedApart(str(error) or type(error).__name__, hint=hint))
    except SystemExit:
        tell(None, FailedApart("it was ended"))
    except Exception as error:  # a defect of ours
        tell(None, FailedApart(repr(error)))
    finally:  # in any case, this child must not go on as its parent
        os._exit(0)


if __name__ == "__main__":
    main()
