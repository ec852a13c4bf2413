"""A seccomp profile as OCI runtimes take it (``linux.seccomp`` of the runtime specification), and
the calls that an opening adds to one. Pure.

docker, podman, containerd and CRI-O resolve the conditions of their default profiles (capabilities,
architecture, kernel) when they make a container: what they give to the runtime has none left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from capadvise.model.clone_flags import ALL, CLONE_NEWTIME, NAMES
from capadvise.model.errors import BadInput

_ALLOW = "SCMP_ACT_ALLOW"
_REFUSING = ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD")
_OPERATORS = frozenset(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT"))
_MASKED = "SCMP_CMP_MASKED_EQ"
_CALL = re.compile(r"[a-z_][a-z0-9_]{1,40}")
_MEMBER = re.compile(r"([a-z_][a-z0-9_]{1,40})(?:\(([A-Z|]*)\))?")
_FLAGS = {"clone": ALL & ~CLONE_NEWTIME, "unshare": ALL}
"""Calls whose first argument names kinds of namespaces, and the bits that do. clone's lowest byte
is a signal, not CLONE_NEWTIME. clone3 has its flags in memory, which no filter can read."""
_SHORT = {name.removeprefix("CLONE_"): bit for bit, name in NAMES.items()}
UNFILTERABLE = frozenset({"clone3"})
"""Never opened: the libraries of programs call clone where this fails with ENOSYS."""
KERNEL_NAMES = {"umount2": "umount", "clock_settime64": "clock_settime"}
"""The kernel's names of calls that profiles call otherwise."""
Conditions = tuple[tuple[int, str, int, int], ...]
"""(argument, comparison, value, second value) of each condition of a rule; all must hold."""


def profile_name(call: str) -> str:
    """The name in profiles of a call that the kernel's trace names."""
    return {"umount": "umount2"}.get(call, call)


@dataclass(frozen=True, slots=True, order=True)
class OpenedCall:
    """A call that an opening adds to a profile."""

    call: str
    flags: int = 0
    """The kinds of namespaces that it may make; other calls than clone and unshare have none."""

    def __str__(self) -> str:
        """``mount``, ``clone(NEWUSER|NEWPID)``."""
        if self.call not in _FLAGS:
            return self.call
        return f"{self.call}({'|'.join(name for name, bit in _SHORT.items() if bit & self.flags)})"

    @classmethod
    def parse(cls, words: str) -> OpenedCall:
        """Read what ``str`` returned. Raises BadInput."""
        said = _MEMBER.fullmatch(words)
        names = (said[2] or "").split("|") if said else []
        if said is None or said[1] in UNFILTERABLE or not set(names) <= {*_SHORT, ""}:
            raise BadInput(f"{words!r:.80} is no call that an opening adds")
        return cls(said[1], sum(_SHORT.get(name, 0) for name in set(names)))

    @classmethod
    def whole(cls, call: str) -> OpenedCall:
        """The call with all that it can do."""
        return cls(call, _FLAGS.get(call, 0))

    @property
    def kinds(self) -> list[int]:
        """Each kind of namespace that it may make."""
        return [bit for bit in NAMES if bit & self.flags]

    @property
    def conditions(self) -> Conditions:
        """It makes no other namespaces than these."""
        others = _FLAGS.get(self.call, 0) & ~self.flags
        return ((0, _MASKED, others, 0),) if others else ()


@dataclass(frozen=True, slots=True)
class SeccompProfile:
    """A profile without open conditions."""

    default: str
    errno: int | None
    architectures: tuple[str, ...]
    rules: tuple[tuple[tuple[str, ...], str, int | None, Conditions], ...]
    """(calls, action, errno, conditions)."""

    @classmethod
    def parse(cls, raw: Any) -> SeccompProfile:
        """Read one. Raises BadInput for one that has other parts, whose effect is not known."""
        try:
            known = {"defaultAction", "defaultErrnoRet", "architectures", "syscalls", "flags"}
            if not isinstance(raw, Mapping) or set(raw) - known:
                raise BadInput("it has parts that are not known")
            return cls(
                _action(raw["defaultAction"]),
                _number(raw.get("defaultErrnoRet")),
                tuple(map(_architecture, raw.get("architectures") or ())),
                tuple(map(_rule, raw["syscalls"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"it is no seccomp profile: {error!r:.80}") from error

    @property
    def refuses_by_default(self) -> bool:
        """True if it forbids all that no rule allows."""
        return self.default in _REFUSING

    def allowed(self) -> dict[str, frozenset[Conditions]]:
        """Each call that it lets through, with the ways in which it does: conditions."""
        ways: dict[str, set[Conditions]] = {}
        for calls, action, _, conditions in self.rules:
            for call in calls if action == _ALLOW else ():
                ways.setdefault(call, set()).add(conditions)
        return {call: frozenset(each) for call, each in ways.items()}

    def refuses(self, call: str) -> bool:
        """True if it never lets the call through, or only some of its uses that make no
        namespaces."""
        ways = self.allowed().get(call)
        return not ways or (call in _FLAGS and () not in ways)

    def opened(self, calls: Iterable[OpenedCall]) -> SeccompProfile:
        """The same with more calls."""
        added = tuple(sorted(calls))
        names = {one.call for one in added}
        rules = [  # libseccomp takes no second rule without conditions for a call
            (left, action, errno, conditions)
            for named, action, errno, conditions in self.rules
            if (left := _without(named, names if action != _ALLOW and not conditions else ()))
        ]
        rules += [((one.call,), _ALLOW, None, one.conditions) for one in added]
        return SeccompProfile(self.default, self.errno, self.architectures, tuple(rules))

    def as_json(self) -> dict[str, Any]:
        """The profile as docker, podman, containerd and OCI runtimes read it."""
        return {
            "defaultAction": self.default,
            **({} if self.errno is None else {"defaultErrnoRet": self.errno}),
            "architectures": list(self.architectures),
            "syscalls": [
                {
                    "names": list(calls),
                    "action": action,
                    **({} if errno is None else {"errnoRet": errno}),
                    **({"args": list(map(_argument, conditions))} if conditions else {}),
                }
                for calls, action, errno, conditions in self.rules
            ],
        }

    def text(self) -> str:
        """The content of its file."""
        return json.dumps(self.as_json(), indent=1) + "\n"


UNFILTERED = SeccompProfile(_ALLOW, None, (), ())


def _argument(condition: tuple[int, str, int, int]) -> dict[str, Any]:
    index, operator, value, second = condition
    return {"index": index, "value": value, "valueTwo": second, "op": operator}


def _without(calls: tuple[str, ...], gone: Collection[str]) -> tuple[str, ...]:
    return tuple(call for call in calls if call not in gone)


def _rule(raw: Any) -> tuple[tuple[str, ...], str, int | None, Conditions]:
    if set(raw) - {"names", "action", "errnoRet", "args"}:
        raise ValueError("a rule has parts that are not known")
    names = tuple(raw["names"])
    if not all(_CALL.fullmatch(name) for name in names):
        raise ValueError("a rule names no call")
    conditions = tuple(map(_condition, raw.get("args") or ()))
    return names, _action(raw["action"]), _number(raw.get("errnoRet")), conditions


def _condition(raw: Any) -> tuple[int, str, int, int]:
    index, operator = raw["index"], raw["op"]
    if operator not in (*_OPERATORS, _MASKED) or not 0 <= index < 6:
        raise ValueError("a condition is not known")
    return index, operator, *(_number(raw.get(key)) or 0 for key in ("value", "valueTwo"))


def _action(raw: Any) -> str:
    if raw not in (*_REFUSING, _ALLOW):
        raise ValueError(f"action {raw!r}")
    return str(raw)


def _architecture(raw: Any) -> str:
    if not re.fullmatch("SCMP_ARCH_[A-Z0-9_]{1,16}", raw):
        raise ValueError(f"architecture {raw!r}")
    return str(raw)


def _number(raw: Any) -> int | None:
    if raw is not None and (type(raw) is not int or not 0 <= raw < 1 << 64):
        raise ValueError(f"number {raw!r}")
    return raw
