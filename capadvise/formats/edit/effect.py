"""Whether a patch takes effect: the gate's own reader has to see it in the new text."""

from __future__ import annotations

from collections.abc import Callable

from capadvise.formats import FORMATS, quadlet, systemd
from capadvise.formats.declared import Declared
from capadvise.formats.edit.patched import Patched
from capadvise.formats.edit.restraints import restrained
from capadvise.formats.edit.yaml_values import as_docker_takes_it
from capadvise.formats.snippet import Snippet
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput, CannotPatch

_DROP_INS = {"quadlet": quadlet.read, "systemd": systemd.read}
"""Files that hold one service, of which a drop-in need not say anything."""


def effective(
    language: str,
    patch: Callable[[str, str | None, Snippet], Patched],
    text: str,
    service: str | None,
    snippet: Snippet,
) -> Patched:
    """What a patch makes of a text. Raises CannotPatch where it does not take effect, BadInput for
    a text that the gate cannot read."""
    patched = patch(text, service, snippet)
    declared = _declared(language, patched)
    _check_possible(declared, snippet)
    if not has(language, declared, snippet):
        name = f" of {patched.service}" if patched.service else ""
        raise CannotPatch(
            f"the patch{name} would have no effect: the program that reads the file would "
            "see something else",
            hint="nothing was written: list the capabilities once, in the service itself",
        )
    more = restrained(language, patched, declared, snippet)
    return more if has(language, _declared(language, more), snippet) else patched


def _check_possible(declared: Declared, snippet: Snippet) -> None:
    """Refuse what no patch of these keys can give."""
    if declared.windows:
        raise CannotPatch(f"{declared.service} runs on Windows, which has no capabilities")
    names = {cap.short for cap, _ in snippet.caps}
    for name, setting in declared.withheld:
        if name in names:
            raise CannotPatch(
                f"{setting}= takes away {name}, which is in the set",
                hint=f"if the service needs {name}, remove {setting}= from the unit first",
            )


def _declared(language: str, patched: Patched) -> Declared:
    body = patched.text.removeprefix("\ufeff")
    if language in _DROP_INS:
        (declared,) = _DROP_INS[language](body, drop_in=True)
        return declared
    for declared in FORMATS[language].read(body):
        if declared.service == patched.service:
            return declared
    raise BadInput(f"the service {patched.service!r} is missing after the patch")


def has(language: str, declared: Declared, snippet: Snippet) -> bool:
    """Whether a service is granted what the snippet says and nothing else."""
    wanted = {int(cap) for cap, _ in snippet.caps}
    number = systemd.capability_number if language == "systemd" else _number
    return (
        any(name.upper() == "ALL" for name in declared.drop)
        and {number(name) for name in declared.add} == wanted
        and {number(name) for name in declared.ambient or ()} <= wanted
        and not declared.privileged
    )


def _number(name: str) -> int | None:
    short = as_docker_takes_it(name)
    return None if short in (None, "ALL") else int(Cap.parse(short))
