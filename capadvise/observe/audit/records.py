"""Lines of audit logs as records. Pure, and hostile input: anything may stand in a line.

Known are auditd's files, what ``ausearch`` prints (raw or interpreted), and the kernel's own
messages as dmesg, journald, syslog and logcat show them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

MAX_LINE = 16384
"""Longer lines are no records: the kernel's own bound is 8970 (MAX_AUDIT_MESSAGE_LENGTH)."""
TYPES = {
    "1300": "SYSCALL",
    "1326": "SECCOMP",
    "1400": "AVC",
    "1503": "APPARMOR_DENIED",
    "1107": "USER_AVC",
}
"""linux/audit.h"""

_HEAD = re.compile(
    r"""(?:\btype=(?P<type>[A-Z0-9_]+)\s+)?            # journald says it as: audit[812]: AVC …
        (?:msg=)?\baudit\((?P<stamp>[^()]{1,60})\)\s?:\s*(?P<rest>.*)""",
    re.VERBOSE | re.DOTALL,
)
_JOURNAL = re.compile(r"\baudit(?:\[\d+\])?: (?P<type>[A-Z_]+) (?P<rest>.*)", re.DOTALL)
_STAMP = re.compile(r"(?P<time>[0-9]{1,10}\.[0-9]{1,9}):(?P<serial>\d+)\Z")
_AVC = re.compile(r"avc:\s+(?P<verdict>denied|granted)\s+\{(?P<permissions>[^{}]*)\}")
_FIELD = re.compile(r"""\b([A-Za-z_][\w-]*)=("[^"]*"|'[^']*'|[^\s"']*)""")
_HEX = re.compile(r"(?:[0-9A-F]{2})+\Z")
_TEXTS = frozenset(["comm", "exe", "name", "profile", "path", "srcname", "target", "proctitle"])
"""Fields that are written in hexadecimal when something odd stands in them."""
_KEPT = frozenset(
    [
        *("pid", "comm", "exe", "uid", "euid", "fsuid", "arch", "syscall", "success", "exit"),
        *("apparmor", "operation", "profile", "name", "path", "capname", "capability"),
        *("tclass", "scontext", "permissive", "sig", "code"),
    ]
)
"""The fields that are kept: a log can hold a million records."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record. Names in its fields are as the programs chose them: escape before showing."""

    type: str
    event: str
    """Records of one event share it: time and serial number, as written."""
    time: float | None
    """Seconds since 1970, if the record has a time."""
    fields: Mapping[str, str]
    verdict: str | None = None
    """``denied`` or ``granted``, of an AVC record."""
    permissions: tuple[str, ...] = ()
    """The permissions of an AVC record."""


def parse_lines(lines: Iterable[str]) -> Iterator[Record]:
    """The records among some lines, in order."""
    for number, line in enumerate(lines):
        if len(line) <= MAX_LINE and (record := parse_line(line, number)):
            yield record


def may_be_record(line: str) -> bool:
    """False for a line that is none; quickly, since most lines of a system's log are none."""
    return "audit" in line


def parse_line(line: str, number: int = 0) -> Record | None:
    """The record in a line; None for anything else. ``number`` distinguishes lines without a
    time."""
    line = line.partition("\x1d")[0]  # what auditd adds in enriched logs
    event, time = f"line {number}", None
    if match := _HEAD.search(line):
        kind, rest = match["type"] or "", match["rest"]
        event = match["stamp"]
        if stamp := _STAMP.match(event):
            time = float(stamp["time"])
    elif match := _JOURNAL.search(line):
        kind, rest = match["type"], match["rest"]
    else:
        return None
    found_fields = _FIELD.findall(rest)
    fields = {name: _value(name, value) for name, value in found_fields if name in _KEPT}
    avc = _AVC.search(rest)
    kind = TYPES.get(kind, kind) or ("AVC" if avc or "apparmor" in fields else "")
    if not kind or not fields:
        return None
    return Record(
        kind,
        event,
        time,
        MappingProxyType(fields),
        avc["verdict"] if avc else None,
        tuple(avc["permissions"].split()) if avc else (),
    )


def _value(name: str, value: str) -> str:
    if value[:1] in ("'", '"'):
        return value[1:-1]
    if name in _TEXTS and _HEX.match(value):
        return bytes.fromhex(value).decode(errors="backslashreplace").rstrip("\0")
    return value
