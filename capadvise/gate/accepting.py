"""Findings that somebody accepts, with a reason: by a comment in the file, or by a file of
exceptions. The outputs count and show accepted findings; an exception that accepts nothing is a
finding itself. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from posixpath import normpath
from typing import Any

from capadvise.gate.finding import RULES, Finding
from capadvise.model import strict
from capadvise.model.errors import BadInput

_COMMENT = (
    r"(?:^|\s)[#;]\s*capadvise:\s*accept\s+(?P<rules>[a-z-]+(?:\s*,\s*[a-z-]+)*?)"
    r"(?:\s*,\s*until:\s*(?P<until>\d{4}-\d\d-\d\d))?\s*,\s*reason:\s*(?P<reason>\S.*?)\s*$"
)
_ATTEMPT = r"(?:^|\s)[#;]\s*capadvise:\s*accept\b"
EXAMPLE = "# capadvise: accept privileged, reason: it starts containers"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Accepts findings of some rules in one place, perhaps until a day."""

    rules: tuple[str, ...]
    reason: str
    path: str
    """The file it is for; in a file of exceptions a pattern."""
    lines: tuple[int, ...] = ()
    """The lines it is for; empty for all."""
    service: str = "*"
    """A pattern."""
    owner: str = ""
    expires: date | None = None
    written: tuple[str, int] = ("", 1)
    """(file, line) of the exception itself."""

    def covers(self, finding: Finding) -> bool:
        """True if the finding has one of its rules and lies in its place."""
        return (
            finding.rule in self.rules
            and fnmatchcase(normpath(finding.path), normpath(self.path))
            and fnmatchcase(finding.service, self.service)
            and (not self.lines or finding.line in self.lines)
        )

    def has_expired(self, today: date) -> bool:
        """True if its last day is over."""
        return self.expires is not None and self.expires < today


def comments(path: str, text: str) -> Iterator[Acceptance]:
    """Yield an acceptance for each such comment of a file; it covers its own line and the next.
    Raises BadInput, with the line, for a comment that cannot be read."""
    if "capadvise:" not in text:
        return
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not re.search(_ATTEMPT, line):
            continue
        said = re.search(_COMMENT, line)
        if said is None:
            raise BadInput(f"{path}: line {number}: this comment accepts nothing", hint=EXAMPLE)
        rules = tuple(re.split(r"\s*,\s*", said["rules"]))
        _check_rules(f"{path}: line {number}", rules)
        covered = (number,) if not line.lstrip().startswith(("#", ";")) else ()
        yield Acceptance(
            rules,
            said["reason"],
            escape(path),
            covered or (number, _next(lines, number)),
            expires=_date(f"{path}: line {number}", said["until"]) if said["until"] else None,
            written=(path, number),
        )


def _next(lines: Sequence[str], number: int) -> int:
    """The first line after a comment that is no comment itself."""
    while number < len(lines) and lines[number].lstrip().startswith(("#", ";")):
        number += 1
    return number + 1


_REQUIRED = ("rule", "path", "owner", "reason", "expires")


def load(path: Path, text: str) -> tuple[Acceptance, ...]:
    """Read a file of exceptions. Raises BadInput with file and line."""
    raw = strict.load(path, text)
    strict.keys(path, raw, required=("exceptions",))
    return tuple(_exception(path, item) for item in raw["exceptions"] or ())


def _exception(path: Path, raw: Any) -> Acceptance:
    strict.keys(path, raw, required=_REQUIRED, optional=("service",))
    line = raw[strict.LINE]
    at = f"{path}: line {line}"
    rules = tuple(str(raw["rule"]).split())
    _check_rules(at, rules)
    return Acceptance(
        rules,
        str(raw["reason"]),
        str(raw["path"]),
        service=str(raw.get("service", "*")),
        owner=str(raw["owner"]),
        expires=raw["expires"] if type(raw["expires"]) is date else _date(at, str(raw["expires"])),
        written=(str(path), line),
    )


def _check_rules(at: str, rules: Iterable[str]) -> None:
    for rule in rules:
        if rule not in RULES:
            raise BadInput(f"{at}: no rule {rule!r}", hint=f"rules: {', '.join(RULES)}")


def _date(at: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{at}: {text!r} is no date", hint="YYYY-MM-DD") from error


def accepted(
    findings: Iterable[Finding], acceptances: Sequence[Acceptance], today: date
) -> tuple[Finding, ...]:
    """Return the findings, with the reason at those that are accepted."""
    live = [item for item in acceptances if not item.has_expired(today)]
    return tuple(
        next((replace(f, accepted=item.reason) for item in live if item.covers(f)), f)
        for f in findings
    )


def left_over(
    findings: Sequence[Finding], acceptances: Iterable[Acceptance], today: date
) -> Iterator[Finding]:
    """Yield a finding for each acceptance that has expired or accepts nothing."""
    for item in acceptances:
        used = any(item.covers(finding) for finding in findings)
        if used and not item.has_expired(today):
            continue
        state = f"expired on {item.expires}" if item.has_expired(today) else "accepts nothing"
        yield Finding(
            "unused-exception",
            RULES["unused-exception"].severity,
            "",
            *item.written,
            f"the exception for {', '.join(item.rules)} {state}",
            "An exception that nobody needs can hide a later finding.",
            "Remove it, or renew it." if item.has_expired(today) else "Remove it.",
        )
