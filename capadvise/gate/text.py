"""The outcome for people, without colour: findings by file, the worst first, at 80 columns; or the
services of a machine, a line each."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from capadvise.config.declared import is_root
from capadvise.config.granted import EVERY
from capadvise.config.units.names import called_after
from capadvise.gate.finding import Finding, Level, Reached, Severity
from capadvise.gate.outcome import Examined, JudgedService, Outcome
from capadvise.model.caps import CapSet
from capadvise.model.escape import printable
from capadvise.model.wording import counted, set_text

WIDTH = 80
_NAMED = 4
"""So many names stand in one line."""
_UNREAD = "not-judged"


def outcome_text(outcome: Outcome) -> Iterator[str]:
    """Yield all lines."""
    files = sorted((each for each in outcome.files if _says_something(each)), key=_worst)
    unread = [file for file in files if _is_unread(file)]
    several = len(unread) > _NAMED
    for file in files:
        if not (several and _is_unread(file)):
            yield from _file_text(file)
    if several:
        yield from _unread_text(unread)
    yield _summary(outcome)


def _is_unread(file: Examined) -> bool:
    """True for a template, and for a file that only brings in others: nothing in it was judged."""
    empty = not (file.services or file.source.pods or len(file.source.paths) > 1)
    unread = all(each.rule == _UNREAD and not each.accepted for each in file.findings)
    return empty and unread and bool(file.findings)


def _unread_text(files: Sequence[Examined]) -> Iterator[str]:
    """A repository can consist of such files: they are shown together."""
    names = [printable(file.source.paths[0]) for file in files]
    finding = files[0].findings[0]
    yield f"{len(files)} files that include others, or are templates"
    several = f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    yield from _wrapped(f"{finding.severity}: not judged: {several} [{_UNREAD}]", "  ")
    yield from _wrapped(finding.why, "    ", hang="")
    yield from _wrapped(f"→ {finding.remedy}", "    ")
    yield ""


def _says_something(file: Examined) -> bool:
    return bool(file.findings or file.services or file.source.pods)


def _worst(file: Examined) -> int:
    return min((f.severity.rank for f in file.findings if not f.accepted), default=9)


def _file_text(file: Examined) -> Iterator[str]:
    names = [printable(path) for path in file.source.paths]
    yield " + ".join(names)
    live = [finding for finding in file.findings if not finding.accepted]
    for group in _groups(live):
        yield from _group_text(group, several=len(names) > 1)
    for finding in file.findings:
        if finding.accepted:
            yield from _accepted_text(finding, several=len(names) > 1)
    for title, services in (
        ("matches its report", [item for item in file.services if item.exact]),
        ("no findings", [item for item in file.services if not item.findings and not item.exact]),
    ):
        if services:
            yield from _wrapped(f"{title}: {_names(services)}", "  ")
    for pod in file.source.pods:
        yield from _pod_text(pod)
    yield ""


def _groups(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Group findings that say the same about several services; the worst come first."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for item in sorted(findings, key=lambda f: (f.severity.rank, f.path, f.line)):
        same = (item.severity, item.rule, item.path, item.what, item.why, item.remedy, item.snippet)
        groups.setdefault(same, []).append(item)
    return list(groups.values())


def _group_text(group: Sequence[Finding], *, several: bool) -> Iterator[str]:
    finding = group[0]
    where = _place(finding, several=several)
    if len(group) > 1:
        lines = list(dict.fromkeys(item.line for item in group))
        where = where.replace(f"line {finding.line}", _lines(lines), 1)
    services = ", ".join(dict.fromkeys(printable(item.service) for item in group if item.service))
    of = f"{services}: " if services else ""
    head = f"{finding.severity}, {where}{of}{finding.what} [{finding.rule}]"
    yield from _wrapped(head, "  ")
    if finding.severity is Severity.NOTE:
        return
    yield from _wrapped(finding.why, "    ", hang="")
    yield from _wrapped(f"→ {finding.remedy}", "    ")
    for item in group:
        of = f"{printable(item.service)}: " * (len(group) > 1)
        yield from _wrapped(f"→ {of}{item.hint}", "    ") if item.hint else ()
    for line in finding.snippet.splitlines():
        yield f"        {line}"


def _accepted_text(finding: Finding, *, several: bool) -> list[str]:
    service = f"{printable(finding.service)}: " if finding.service else ""
    fact = f"{_place(finding, several=several)}{service}{finding.what} [{finding.rule}]"
    return _wrapped(f"accepted, {fact}: {printable(finding.accepted)}", "  ")


def _names(services: Sequence[JudgedService]) -> str:
    return ", ".join(printable(service.name) for service in services)


def _lines(lines: Sequence[int]) -> str:
    return f"line{'s' * (len(lines) > 1)} {', '.join(map(str, lines))}"


def _place(finding: Finding, *, several: bool) -> str:
    return f"{printable(finding.path)}, " * several + f"line {finding.line}: "


def _pod_text(pod: Reached) -> Iterator[str]:
    """Yield its level, and the violations that keep it from the next one."""
    yield from _wrapped(f"Pod Security of {printable(pod.pod)}: {pod.level}", "  ")
    if pod.level is Level.RESTRICTED:
        return
    above = Level.BASELINE if pod.level is Level.PRIVILEGED else Level.RESTRICTED
    for violation in pod.violations:
        if violation.level is above:
            text = f"{above} forbids, line {violation.line}: {printable(violation.what)}"
            yield from _wrapped(text, "    ")


def _wrapped(text: str, indent: str = "", *, hang: str = "  ") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}{hang}",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _summary(outcome: Outcome) -> str:
    """One sentence that sums up, for the end of a log."""
    counts = [
        counted(count, str(severity)) for severity in Severity if (count := outcome.count(severity))
    ]
    if outcome.accepted:
        counts.append(f"{len(outcome.accepted)} accepted")
    services = counted(len(outcome.services), "service")
    files = counted(len(outcome.files), "file")
    results = ", ".join(counts) or "nothing found"
    parts = [f"{results} in {services} of {files}"] if outcome.files or not outcome.unusable else []
    if outcome.skipped:
        parts.append(f"{counted(outcome.skipped, 'file')} of other kinds skipped")
    if outcome.unusable:
        parts.append(f"{counted(len(outcome.unusable), 'file')} could not be judged")
    return f"{'passed' if outcome.passed else 'failed'}: {', '.join(parts)}"


# -------------------------------------------------- the services of a machine

_MARKS = {Severity.ERROR: "×", Severity.WARNING: "!"}


def installed_text(outcome: Outcome) -> Iterator[str]:
    """Yield a line for each service: those with the largest sets first."""
    rows = [(file, service) for file in outcome.files for service in file.services]
    most = len(EVERY)
    yield f"  {'UNIT':32} {'USER':16} {'REPORT':8} HOLDS"
    for file, service in sorted(rows, key=lambda row: (-len(row[1].granted), _unit(row[0]))):
        yield _row(file, service, most)
    yield ""
    yield _installed_summary([service for _, service in rows], most)
    if any(finding.severity in _MARKS for _, service in rows for finding in service.findings):
        yield "× and ! mark errors and warnings; --format json shows them."


def _row(file: Examined, service: JudgedService, most: int) -> str:
    declared = next(one for one in file.source.declared if one.service == service.name)
    worst = min((f.severity for f in service.findings), key=lambda s: s.rank, default=None)
    mark = " " if worst is None else _MARKS.get(worst, " ")
    report = "none" if service.report is None else "exact" if service.exact else "differs"
    held = held_text(service.granted, most)
    if declared.ambient is None and not is_root(declared.user) and service.granted:
        held += ", by set-id programs only"
    user = printable(declared.user or "root")
    return f"{mark} {_unit(file):32} {user:16.16} {report:8} {held}"


def _unit(file: Examined) -> str:
    """``web``, or ``web@`` for a template."""
    return printable(PurePath(called_after(file.source.paths)).stem)


def held_text(granted: CapSet, most: int) -> str:
    """``all 41``, ``CHOWN, SETUID``, ``12 capabilities``, ``none``."""
    if not granted:
        return "none"
    if len(granted) == most:
        return f"all {most}"
    return set_text(granted) if len(granted) <= _NAMED else f"{len(granted)} capabilities"


def _installed_summary(services: list[JudgedService], most: int) -> str:
    unlimited = sum(len(one.granted) == most for one in services)
    unknown = sum(one.report is None for one in services)
    text = (
        f"{counted(len(services), 'service')}: {_have(unlimited)} all {most} capabilities, "
        f"{_have(unknown)} no report."
    )
    record = " Record one: capadvise run -- systemctl restart UNIT"
    return f"{text}{record if unknown else ''}"


def _have(number: int) -> str:
    """``none has``, ``1 has``, ``2 have``."""
    return f"{number or 'none'} {'have' if number > 1 else 'has'}"
