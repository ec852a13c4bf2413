"""The supervisor's side of the tracer: its messages, checked, and the recording that is made of
them. A target that is root can write into any pipe: a message can be forged."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capadvise.kernel import gpl_modules, json_lines
from capadvise.model.caps import SYS_ADMIN, Cap, CapSet, from_mask, is_reduced
from capadvise.model.errors import CannotStart
from capadvise.model.recording import (
    Check,
    DeniedCheck,
    Namespace,
    Recording,
    RefusedBy,
    RefusedCall,
    Retried,
    Tally,
    Told,
)

if TYPE_CHECKING:  # a run without retries does not read it
    from capadvise.catalog import Catalog

Is = Callable[[Any], bool]


def decoded(line: bytes) -> dict[str, Any] | None:
    """The message in a line; None if it is no message of the tracer's."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    known = all(_SHAPES.get(kind, _is_text)(value) for kind, value in message.items())
    return message if known else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_word(value: Any) -> bool:
    """True for the name of a call or an error, which is shown unescaped."""
    return isinstance(value, str) and value.isascii() and value.isprintable()


def _is_int(low: int, end: int) -> Is:
    return lambda value: type(value) is int and low <= value < end


_is_number, _is_mask, _is_cap = _is_int(-(1 << 63), 1 << 63), _is_int(0, 1 << 64), _is_int(0, 64)


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _or_none(kind: Is) -> Is:
    return lambda value: value is None or kind(value)


def _list_of(kind: Is) -> Is:
    return lambda value: isinstance(value, list) and all(map(kind, value))


def _row_of(*kinds: Is) -> Is:
    return lambda value: (
        isinstance(value, list)
        and len(value) == len(kinds)
        and all(kind(item) for kind, item in zip(kinds, value, strict=True))
    )


_FACT: Mapping[str, Is] = {
    "id": _is_number,
    "how": lambda value: value in list(Retried),
    "cap": _is_cap,
    "program": _is_text,
    "call": _is_word,
    "detail": _or_none(_is_text),
    "errno": _or_none(_is_word),
    "result": _or_none(_is_number),
    "together": _list_of(_is_cap),
    "changes": lambda value: isinstance(value, bool),
    "pid": _is_number,
    "uid": _or_none(_is_number),
    "at": _is_time,
}


def _is_fact(value: Any) -> bool:
    return isinstance(value, dict) and all(
        name in value and kind(value[name]) for name, kind in _FACT.items()
    )


_SHAPES: Mapping[str, Is] = {
    "pid": _is_number,
    "started": _is_time,
    "fact": _is_fact,
    "counts": _list_of(_row_of(_is_number, _is_number, _is_number)),
    "refusals": _list_of(_row_of(_is_word, _is_word, _is_text, _list_of(_is_cap), _is_number)),
    "own_set": _row_of(_is_text, _is_mask),
    "handed": _row_of(_is_text, _is_mask),
    "looked": _is_text,
    "io_uring": lambda value: value is not None,
}
"""Kind of message → the test of its value. A message of another kind is a text for the user."""
MESSAGES = frozenset(_SHAPES)


class Listener:
    """Reads the tracer's messages. The guardian starts the tracer, and passes on our end of the
    pipe."""

    def __init__(self, *, every_call: bool, maps: dict[str, list[list[int]]] | None = None) -> None:
        """``maps``: ids for a user namespace of the target's own, as ``newuidmap`` wants them."""
        self.every_call, self.maps = every_call, maps
        self.fd, self.write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        self.pid = 0
        """The tracer's, once it has sent it."""
        self._messages = json_lines.LineReader(self.fd)
        self.lossless = False
        """The tracer sent everything."""
        self._facts: dict[int, dict[str, Any]] = {}
        self._counts: dict[int, tuple[int, int]] = {}
        self._refusals: list[tuple[str, str, str, list[int], int]] = []
        self._own_sets: dict[tuple[str, int], bool] = {}
        """The sets that programs set with capset(2) → True if they had read their sets before."""
        self._handed: set[tuple[str, int]] = set()
        """The sets that they had set when they executed another program, as container runtimes
        do."""
        self._looked: set[str] = set()
        self._tests: frozenset[str] | None = None
        """Functions that tell a program what it holds; None if imports are not observed."""
        self._cautions: dict[str, None] = {}
        if maps is not None:
            self._cautions[_IN_NAMESPACE] = None
            if any(len(ranges) == 1 for ranges in maps.values()):
                self._cautions[_ONE_ID] = None
        self._started = 0.0
        self._room = _ROOM
        self.io_uring = False

    @property
    def ended(self) -> bool:
        """The tracer is gone, and all its messages were read."""
        return self._messages.ended

    def close(self) -> None:
        """Stop reading."""
        os.close(self.fd)

    def plan(
        self, program: str, catalog: Catalog, denied: dict[str, Any] | None, *, alone: bool
    ) -> dict[str, Any]:
        """The plan for the guardian. ``denied``: the trace buffer of refused checks."""
        from capadvise.catalog.signs import ImportSign  # only runs with retries
        from capadvise.catalog.syscalls import AUDIT_ARCHS, INTERFACES

        ptrace = gpl_modules.folder_of("ptrace")
        if ptrace is None:
            raise CannotStart(
                gpl_modules.is_missing("ptrace"), exists=False, hint=gpl_modules.how_to_install()
            )
        if not alone:
            self._tests = catalog.signs.symbols[ImportSign.CAPABILITY_TEST]
        return {
            "report": self.write_fd,
            "maps": self.maps,
            "path": [str(Path(__file__).parents[3]), str(ptrace)],
            "tracer": {
                "every_call": self.every_call,
                "alone": alone,
                "in_namespace": self.maps is not None,
                "program": program,
                "denied": denied,
                "numbers": [
                    [arch, catalog.syscalls.numbers[AUDIT_ARCHS[arch]]]
                    for arch in INTERFACES.get(platform.machine(), ())
                ],
                "errnos": [
                    [[call, code], [int(cap) for cap in caps]]
                    for (call, code), caps in catalog.errnos.items()
                ],
            },
        }

    def read(self) -> None:
        """Read the new messages."""
        for line in self._messages.drain_lines():
            self._room -= len(line)
            if self._room < 0:
                self._cautions[_TOO_MUCH] = None
                continue
            message = decoded(line)
            if message is None or not message.keys() <= _KINDS:
                self._cautions[_DAMAGED] = None
                continue
            for kind, value in message.items():
                self._take(kind, value)

    def _take(self, kind: str, value: Any) -> None:
        match kind:
            case "pid":
                self.pid = value
            case "started":
                self._started = value
            case "fact":
                self._facts[value["id"]] = value
            case "counts":
                self._counts = {number: (count, raised) for number, count, raised in value}
            case "refusals":
                self._refusals = list(map(tuple, value))
                self.lossless = True
            case "own_set":
                self._own_sets.setdefault(tuple(value), value[0] in self._looked)
            case "handed":
                self._handed.add(tuple(value))
            case "looked":
                self._looked.add(value)
            case "io_uring":
                self.io_uring = True
            case _:
                self._cautions[_CAUTIONS[kind].format(value)] = None

    def finish(self) -> None:
        """The run is over: add a caution if the tracer did not finish."""
        if not self.lossless and self._started:
            self._cautions["the retry tracer was killed: nothing after that was observed"] = None

    @property
    def distinct(self) -> int:
        """How many distinct facts are known."""
        return len(self._facts)

    def tallies(self) -> tuple[Tally, ...]:
        """How often each capability was needed so far; each fact counts once."""
        by_cap: dict[int, list[dict[str, Any]]] = {}
        for fact in self._facts.values():
            by_cap.setdefault(fact["cap"], []).append(fact)
        return tuple(Tally(len(facts), self._check(0, facts[-1])) for facts in by_cap.values())

    def merged(self, recording: Recording) -> Recording:
        """The recording with what retries showed."""
        first = len(recording.checks) + 1
        stood = [_refused_call(recording, *row) for row in sorted(self._refusals)]
        return replace(
            recording,
            checks=(
                *recording.checks,
                *(
                    self._check(number, fact)
                    for number, fact in enumerate(self._facts.values(), first)
                ),
            ),
            refused_calls=_without_tries(recording.refused_calls, stood),
            audit=tuple(item for item in recording.audit if item.by is RefusedBy.SECCOMP),
            fixed_capsets=(*recording.fixed_capsets, *self._fixed_capsets(recording)),
            io_uring=recording.io_uring or self.io_uring,
            cautions=(*recording.cautions, *self._cautions),
        )

    def _fixed_capsets(self, recording: Recording) -> Iterator[tuple[str, CapSet]]:
        reduced: dict[str, CapSet] = {}
        for (program, mask), looked in self._own_sets.items():
            kept = from_mask(mask)
            if not kept or kept == recording.held.bounding:
                continue
            if looked and is_reduced(kept, reduced.get(program, frozenset())):
                reduced[program] = kept
            elif not looked or not self._may_adapt(program, mask, recording):
                yield program, kept

    def _may_adapt(self, program: str, mask: int, recording: Recording) -> bool:
        """True if the set that a program set can be what it had, or a part of it."""
        if self._tests is None:
            return True
        if (program, mask) in self._handed:
            return False
        return any((program, test) in recording.imports for test in self._tests)

    def _check(self, number: int, fact: dict[str, Any]) -> Check:
        count, raised = self._counts.get(fact["id"], (1, 0))
        detail = fact["detail"]
        if raised:
            detail = f"{detail or ''} (and {raised} more while it was held)".lstrip()
        return Check(
            id=number,
            cap=Cap(fact["cap"]),
            granted=fact["how"] != Retried.REFUSED,
            ns=Namespace.TARGET,
            site=(),
            program=fact["program"],
            pid=fact["pid"],
            count=count,
            first=max(0.0, round(fact["at"] - self._started, 3)),
            syscall=fact["call"],
            result=fact["result"],
            detail=detail,
            uid=fact["uid"],
            retried=Retried(fact["how"]),
            without=fact["errno"],
            together=tuple(Cap(cap) for cap in fact["together"]),
            args=() if fact["changes"] else (("changes", 0),),
        )


def _without_tries(
    seen: Sequence[RefusedCall], stood: Sequence[RefusedCall]
) -> tuple[RefusedCall, ...]:
    """Replace the observed refusals of missing capabilities, which are our tries, by the refusals
    that ``stood`` according to the tracer. A try could not change the other refusals, and many
    never stop a thread (a seccomp filter that answers, a read-only mount). In a user namespace of
    its own, nothing is tried."""
    times = {_kind(call): call.count for call in stood if call.told}
    kept = [
        call if call.entered is False else call.counted(times.get(_kind(call), call.count))
        for call in seen
        if not call.denied or call.own_namespace
    ]
    known = set(map(_kind, kept))
    return (
        *kept,
        *(
            call
            for call in stood
            if (call.errno in _PERMISSION if call.told else call.errno in _REFUSALS)
            and not (call.told and _kind(call) in known)
        ),
    )


_PERMISSION = ("EPERM", "EACCES")
_REFUSALS = (*_PERMISSION, "EAGAIN", "ENOMEM")
"""Most other errors of calls are no refusals."""


def _kind(call: RefusedCall) -> tuple[str, str, str]:
    return call.syscall, call.errno, call.program


def _refused_call(
    recording: Recording, call: str, code: str, program: str, caps: list[int], count: int
) -> RefusedCall:
    """A refusal that stood. An observer has seen the denied checks with their call sites; SYS_ADMIN
    is only the tracer's guess."""
    asked = {
        check.cap: check
        for check in recording.checks
        if not check.granted and (check.syscall, check.program) == (call, program)
    }
    checks = [asked[Cap(cap)] for cap in caps if cap in asked]
    if not checks or not asked.keys() >= {*map(Cap, caps)} - {SYS_ADMIN}:
        return RefusedCall(call, code, program, count, told=Told(RefusedBy.UNKNOWN, ""))
    denied = tuple(DeniedCheck(check.cap, check.site, check.ns) for check in checks)
    return RefusedCall(call, code, program, count, checks[-1].uid, True, denied)


_IN_NAMESPACE = (
    "it ran as root of a user namespace: calls that need a capability on the "
    "host failed in any case"
)
_ONE_ID = (
    "this user has no subordinate ids (/etc/subuid): becoming other users, and giving files to "
    "them, was not tried"
)
_DAMAGED = "a message from the retry tracer was damaged and is lost"
_ROOM = 1 << 24
"""The most bytes of messages that are kept: some 50,000 facts."""
_TOO_MUCH = "the retry tracer sent more than capadvise keeps: the rest is lost"
_CAUTIONS = {
    "traces": "{} traces other processes, which does not work under retries: "
    "run it without --retry, or with --retry=all-calls",
    "detached": "{} was detached so that the target could trace it: it ran with all its "
    "capabilities",
    "injection_disabled": "{} could not be made to change its capability sets: some of its "
    "calls were not tried",
    "listener": "{} lets another process answer its system calls (a seccomp listener): from then "
    "on it ran with all its capabilities, and none of its calls was tried",
    "other_calls": "{} makes system calls of another architecture: they were refused, and what "
    "they need was not observed. Run it without --retry",
    "unknown": "{} succeeded with all capabilities, but with none of the likely ones alone",
}
"""Cautions for what the tracer could not do."""
_KINDS = MESSAGES | _CAUTIONS.keys()
