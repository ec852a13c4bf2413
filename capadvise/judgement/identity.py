"""Compare the program of a report with the program that a file runs, as far as both say. Pure.

A set that was proven for one program and user says nothing about others.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from capadvise.catalog import default
from capadvise.catalog.known_index import STARTERS, KnownIndex, repository
from capadvise.judgement.harm import runs_others
from capadvise.judgement.report import Report
from capadvise.model.escape import printable
from capadvise.model.target import CLIENTS, short_unit


def differs(
    report: Report,
    index: KnownIndex,
    *,
    command: Sequence[str] = (),
    image: str | None = None,
    unit: str = "",
) -> str | None:
    """The difference between the recorded program and the one that a file declares by its command,
    its image or the name of its unit. None if it is the same, or nobody can tell."""
    target = report.target
    if target.kind == "unit" and unit:
        if _template(target.unit) == _template(unit):
            return None
        return f"the report describes {printable(target.unit)}, and this is {printable(unit)}"
    if target.image and image:
        return _image_differs(repository(target.image), repository(image))
    ours = _program(_argv(report)) or _of_image(target.image, index)
    theirs = _program(command) or index.by_unit(unit) or _of_image(image, index)
    if not ours or not theirs or _same(ours, theirs, index):
        return None
    return f"the report describes {printable(ours)}, and this runs {printable(theirs)}"


def _image_differs(ours: str, theirs: str) -> str | None:
    """By the last part of the name alone: the same image can come from several registries."""
    unnamed = any(re.fullmatch(_ID, each) for each in (ours, theirs))
    if unnamed or "$" in theirs or PurePosixPath(ours).name == PurePosixPath(theirs).name:
        return None
    return f"the report describes the image {printable(ours)}, and this is {printable(theirs)}"


_ID = r"sha256|[0-9a-f]{12,64}"
"""The reference of an image without a name."""


def _of_image(image: str | None, index: KnownIndex) -> str:
    return (index.by_image(image) if image else None) or ""


def other_user(report: Report, user: str | None) -> str | None:
    """The difference between the recorded user and the one that a file declares. ``user``: a number
    or a name; None: the file does not say."""
    if user is None or "$" in user or "%" in user:
        return None
    ours, theirs = report.target.user.partition(":")[0], user.partition(":")[0]
    ours, theirs = (_ROOT if each in ("", "0", "root") else each for each in (ours, theirs))
    numbers = ours.isdecimal() and theirs.isdecimal()
    if ours == theirs or not (numbers or _ROOT in (ours, theirs)):
        return None
    return f"the report describes user {printable(ours)}, and this runs as {printable(theirs)}"


_ROOT = "root"


def _argv(report: Report) -> Sequence[str]:
    """The program's own command; empty where an engine or a manager was called."""
    words = {PurePosixPath(word).name for word in report.target.argv[:4]}
    return () if words & {*CLIENTS, "systemctl"} else report.target.argv


def _program(argv: Sequence[str]) -> str:
    """The name of the program, or of the script that an interpreter runs; empty if it is unknown:
    a command of a shell, or behind options of a wrapper."""
    names = [_name(word) for word in argv if word != "--"]
    wrappers = default().names["wrappers"] | STARTERS
    while names and (names[0] in wrappers or re.fullmatch(r"\w+=.*", names[0])):
        names = names[1:]
    name = names[0] if names else ""
    if name in default().names["shells"] | {"busybox"} or name.startswith("-") or "$" in name:
        return ""
    scripts = [word for word in names[1:2] if not word.startswith("-")]
    return scripts[0] if scripts and runs_others(name) else _bare(name)


def _name(word: str) -> str:
    """The name in a path, or in a title that a process gave itself: ``redis-server *:6379``."""
    name = PurePosixPath(word).name
    return name.split()[0].rstrip(":") if name.split() else ""


def _bare(name: str) -> str:
    """Without a version: ``python`` of ``python3.11``."""
    return re.sub(r"(?<=[a-z])-?[0-9.]+$", "", name)


def _same(ours: str, theirs: str, index: KnownIndex) -> bool:
    known = [index.by_command(name) or index.by_name(name) for name in (ours, theirs)]
    return _bare(ours) == _bare(theirs) or (known[0] is not None and known[0] == known[1])


def _template(unit: str) -> str:
    return re.sub(r"@.*", "@", short_unit(PurePosixPath(unit).name))
