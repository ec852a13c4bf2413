"""Findings that somebody accepts, with a reason: by a comment in the file, or by a file of
exceptions. The outputs count and show accepted findings; an exception that accepts nothing is a
finding itself. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from posixpath import normpath
from typing import Any

from capadvise.config.yaml.reader import walk
from capadvise.config.yaml.tree import Scalar, documents
from capadvise.gate.finding import RULES, Finding
from capadvise.model import strict
from capadvise.model.errors import BadInput
from capadvise.model.escape import printable

_COMMENT = (
    r"(?:^|\s)[#;]\s*capadvise:\s*accept\s+(?P<rules>[a-z-]+(?:\s*,\s*[a-z-]+)*?)"
    r"(?:\s*,\s*what:\s*(?P<what>\S.*?))??(?:\s*,\s*until:\s*(?P<until>\d{4}-\d\d-\d\d))?\s*,\s*reason:\s*(?P<reason>\S.*?)\s*$"
)
_ATTEMPT = r"(?:^|\s)(?P<sign>[#;])[ \t]*capadvise:\s*accept\b"
_HASH, _OWN_LINE = re.compile(r"(?m)(?:^|(?<=\s))#"), re.compile(r"(?m)^[ \t]*[#;]")
_TEXT_OR_COMMENT = (
    r"(?sm)(?P<comment>#[^\n]*)|\"{3}.*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z)|/\*.*?(?:\*/|\Z)"
    r"""|"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*'?|<<-?(\w+)\n.*?(?:^\s*\2\s*$|\Z)"""
)
"""Of HCL and TOML."""
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
    what: str = ""
    """The thing that it accepts; empty if it does not say."""

    def covers(self, finding: Finding) -> bool:
        """True if the finding has one of its rules and lies in its place."""
        return (
            finding.rule in self.rules
            and self.what in ("", finding.thing)
            and fnmatchcase(normpath(finding.path), normpath(self.path))
            and fnmatchcase(finding.service, self.service)
            and (not self.lines or finding.line in self.lines)
        )

    def is_open(self, findings: Iterable[Finding]) -> bool:
        """True for a comment that names no thing, where findings of a rule are about several."""
        if self.what or self.owner:
            return False
        things = {(finding.rule, finding.thing) for finding in findings if self.covers(finding)}
        return len(things) > len({rule for rule, _ in things})

    def has_expired(self, today: date) -> bool:
        """True if its last day is over."""
        return self.expires is not None and self.expires < today


def comments(path: str, text: str) -> Iterator[Acceptance]:
    """Yield an acceptance for each such comment of a file; it covers its own line and the next.
    Raises BadInput, with the line, for a comment that cannot be read."""
    if "capadvise:" not in text:
        return
    lines = text.split("\n")
    following = _following(lines)
    places = set(_comment_places(path, text))
    number, counted = 1, 0
    for attempt in re.finditer(_ATTEMPT, text, re.MULTILINE):
        if (sign := attempt.start("sign")) not in places:
            continue
        number, counted = number + text.count("\n", counted, sign), sign
        line = lines[number - 1]
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
            covered or (number, following[number - 1]),
            expires=_date(f"{path}: line {number}", said["until"]) if said["until"] else None,
            written=(path, number),
            what=said["what"] or "",
        )


def _comment_places(path: str, text: str) -> Iterator[int]:
    """Where comments begin, as the reader of the file sees them: not in its texts."""
    if path.endswith((".tf", ".tofu", ".hcl", ".nomad", ".toml")):
        yield from (at.start("comment") for at in re.finditer(_TEXT_OR_COMMENT, text) if at[1])
        return
    try:
        nodes = [node for root in documents(text) for node in walk(root)]
    except BadInput:  # a unit: its comments have lines of their own
        yield from (at.end() - 1 for at in _OWN_LINE.finditer(text))
        return
    spans = sorted((node.start, node.end) for node in nodes if isinstance(node, Scalar))
    end = 0
    for start, after in (*spans, (len(text), len(text))):
        yield from (at.end() - 1 for at in _HASH.finditer(text, end, max(end, start)))
        end = max(end, after)


def _following(lines: Sequence[str]) -> list[int]:
    """For each line, the number of the first line after it that is no comment itself."""
    following = [len(lines) + 1]
    for number in range(len(lines) - 1, 0, -1):
        is_comment = lines[number].lstrip().startswith(("#", ";"))
        following.append(following[-1] if is_comment else number + 1)
    return following[::-1]


_REQUIRED = ("rule", "path", "owner", "reason", "expires")
_LONGEST = timedelta(days=366)


def load(path: Path, text: str, today: date) -> tuple[Acceptance, ...]:
    """Read a file of exceptions. Raises BadInput with file and line."""
    raw = strict.load(path, text)
    strict.keys(path, raw, required=("exceptions",))
    return tuple(_exception(path, item, today) for item in raw["exceptions"] or ())


def _exception(path: Path, raw: Any, today: date) -> Acceptance:
    strict.keys(path, raw, required=_REQUIRED, optional=("service", "what"))
    line = raw[strict.LINE]
    at = f"{path}: line {line}"
    rules = tuple(str(raw["rule"]).split())
    _check_rules(at, rules)
    texts = {key: str(raw[key]).strip() for key in ("owner", "reason", "what") if key in raw}
    if empty := [key for key, value in texts.items() if not value]:
        raise BadInput(f"{at}: {empty[0]} is empty")
    expires = raw["expires"] if type(raw["expires"]) is date else _date(at, str(raw["expires"]))
    if "what" in texts and expires > today + _LONGEST:
        raise BadInput(f"{at}: expires in more than a year", hint="renew it when it has expired")
    return Acceptance(
        rules,
        texts["reason"],
        str(raw["path"]),
        service=str(raw.get("service", "*")),
        owner=texts["owner"],
        expires=expires,
        written=(str(path), line),
        what=texts.get("what", ""),
    )


def for_findings(
    findings: Iterable[Finding], owner: str, reason: str, today: date
) -> Iterator[Acceptance]:
    """Yield an exception for the thing of each finding."""
    for each in findings:
        yield Acceptance(
            (each.rule,),
            reason,
            escape(normpath(each.path)),
            service=escape(each.service),
            owner=owner,
            expires=today + _LONGEST,
            what=each.thing,
        )


def upgraded(
    exceptions: Iterable[Acceptance], findings: Sequence[Finding], today: date
) -> Iterator[Acceptance]:
    """Yield the exceptions, with one for each thing that an older one covers today."""
    for item in exceptions:
        covered = [each for each in findings if item.covers(each) and not item.has_expired(today)]
        if item.what or not covered:
            yield item
            continue
        expires = min(item.expires or date.max, today + _LONGEST)
        for rule, what in dict.fromkeys((each.rule, each.thing) for each in covered):
            yield replace(item, rules=(rule,), what=what, expires=expires)


def rendered(exceptions: Iterable[Acceptance]) -> str:
    """A file of exceptions; each once."""
    import yaml  # only who writes one waits for it

    entries: list[dict[str, Any]] = []
    for item in exceptions:
        entry: dict[str, Any] = {"rule": " ".join(item.rules)}
        entry |= {"what": item.what} if item.what else {}
        entry |= {"path": item.path, "service": item.service, "owner": item.owner}
        entry |= {"reason": item.reason, "expires": item.expires}
        entries += [] if entry in entries else [entry]
    return yaml.safe_dump({"exceptions": entries}, sort_keys=False)


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


_GROWS = (
    "names no thing: it accepts whatever is added there",
    "`check --write-exceptions --upgrade` writes what it accepts today.",
)


def left_over(
    findings: Sequence[Finding], acceptances: Iterable[Acceptance], today: date
) -> Iterator[Finding]:
    """Yield a finding for each acceptance that has expired, accepts nothing, or names no thing."""
    for item in acceptances:
        covered = [finding for finding in findings if item.covers(finding)]
        several = sorted({finding.thing for finding in covered})
        if item.has_expired(today):
            state, remedy = f"expired on {item.expires}", "Remove it, or renew it."
        elif not covered:
            state, remedy = "accepts nothing", "Remove it."
        elif item.owner and not item.what:
            state, remedy = _GROWS
        elif item.is_open(findings):
            names = " and ".join(printable(each)[:60] for each in several)
            state = f"accepts nothing: it could mean {names}"
            remedy = "Write a comment for each, with what: and the thing."
        else:
            continue
        yield Finding(
            "unused-exception",
            RULES["unused-exception"].severity,
            "",
            *item.written,
            f"the exception for {', '.join(item.rules)} {state}",
            "Such an exception can hide a later finding.",
            remedy,
        )
