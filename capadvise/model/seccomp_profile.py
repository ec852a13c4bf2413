"""A seccomp profile as OCI runtimes take it (``linux.seccomp`` of the runtime specification), and
the calls that an opening adds to one. Pure.

Engines resolve the conditions of their default profiles (capabilities, architecture, kernel) when
they make a container: the profile that they give to the runtime has none left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from capadvise.model.clone_flags import ALL, CLONE_NEWTIME, NAMES
from capadvise.model.errors import BadInput

_ALLOW = "SCMP_ACT_ALLOW"
_REFUSING = ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD")
_PARTS = frozenset({"defaultAction", "defaultErrnoRet", "architectures", "syscalls", "flags"})
_RULE_PARTS = frozenset({"names", "action", "errnoRet", "args"})
_MEMBER = re.compile(r"([a-z_][a-z0-9_]{1,40})(?:\(([A-Z|]*)\))?")
_FLAGS = {"clone": ALL & ~CLONE_NEWTIME, "unshare": ALL}
"""Calls whose first argument names kinds of namespaces, and the bits that do. clone's lowest byte
is a signal, not CLONE_NEWTIME. clone3 has its flags in memory, which no filter can read."""
_SHORT = {name.removeprefix("CLONE_"): bit for bit, name in NAMES.items()}
UNFILTERABLE = frozenset({"clone3"})
"""Never opened: the libraries of programs call clone where this fails with ENOSYS."""
KERNEL_NAMES = {"umount2": "umount", "clock_settime64": "clock_settime"}
"""The kernel's names of calls that profiles call otherwise."""
Ways = frozenset[tuple[str, ...]]
"""The ways in which a call is allowed: the conditions of each, as JSON texts; all must hold."""


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
    def rule(self) -> dict[str, Any]:
        """The rule that allows it, and no other kinds of namespaces."""
        rule: dict[str, Any] = {"names": [self.call], "action": _ALLOW}
        if others := _FLAGS.get(self.call, 0) & ~self.flags:
            none = {"index": 0, "value": others, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
            rule["args"] = [none]
        return rule


@dataclass(frozen=True, slots=True)
class SeccompProfile:
    """A profile without open conditions."""

    raw: Mapping[str, Any] = field(hash=False)
    """As docker, podman, containerd and OCI runtimes read it."""

    @classmethod
    def parse(cls, raw: Any) -> SeccompProfile:
        """Read one. Raises BadInput for one that has other parts, whose effect is not known."""
        try:
            rules = raw["syscalls"]
            actions = {raw["defaultAction"], *(rule["action"] for rule in rules)}
            parts = set(raw) <= _PARTS and all(set(rule) <= _RULE_PARTS for rule in rules)
            calls = all(_MEMBER.fullmatch(call) for rule in rules for call in rule["names"])
            cls(raw).allowed()  # raises if arguments of a rule are none
            if parts and calls and actions <= {_ALLOW, *_REFUSING}:
                return cls(raw)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"it is no seccomp profile: {error!r:.80}") from error
        raise BadInput("it is no seccomp profile with known parts alone")

    @property
    def refuses_by_default(self) -> bool:
        """True if it forbids all that no rule allows."""
        return self.raw["defaultAction"] in _REFUSING

    def allowed(self) -> dict[str, Ways]:
        """Each call that it lets through, with the ways in which it does."""
        ways: dict[str, Ways] = {}
        for rule in self.raw["syscalls"]:
            way = tuple(json.dumps(one, sort_keys=True) for one in rule.get("args") or ())
            for call in rule["names"] if rule["action"] == _ALLOW else ():
                ways[call] = ways.get(call, frozenset()) | {way}
        return ways

    def refuses(self, call: str) -> bool:
        """True if it refuses the call, or those of its uses that make namespaces."""
        ways = self.allowed().get(call)
        return not ways or (call in _FLAGS and () not in ways)

    def opened(self, calls: Iterable[OpenedCall]) -> SeccompProfile:
        """The same with more calls. A refusing rule for one goes: libseccomp takes no second rule
        without conditions for a call."""
        added = sorted(calls)
        gone, rules = {one.call for one in added}, []
        for rule in self.raw["syscalls"]:
            refusing = rule["action"] != _ALLOW and not rule.get("args")
            names = [call for call in rule["names"] if not (refusing and call in gone)]
            rules += [{**rule, "names": names}] if names else []
        return SeccompProfile({**self.raw, "syscalls": [*rules, *(one.rule for one in added)]})

    def text(self) -> str:
        """The content of its file."""
        return json.dumps(self.raw, indent=1) + "\n"


UNFILTERED = SeccompProfile({"defaultAction": _ALLOW, "syscalls": []})
