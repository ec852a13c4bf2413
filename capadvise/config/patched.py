"""The result of a patch, and how the thing to patch is named."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from capadvise.config import engine
from capadvise.config.declared import Declared, is_root
from capadvise.config.snippet import PORT_START, Snippet
from capadvise.config.text_edits import NormalizedText
from capadvise.config.yaml.layout import Item, Listing
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput, CannotPatch


@dataclass(frozen=True, slots=True)
class Patched:
    """The new text, which is the old one where nothing had to change."""

    text: str
    service: str
    """The patched service, as ``--service`` takes it."""
    notes: tuple[str, ...] = ()
    """Notes for its owner, one sentence each."""
    unprivileged: bool = False
    """True if it was privileged before."""
    dependents: tuple[str, ...] = ()
    """Other services that change with it, since they extend it."""


def chosen(asked: str | None, names: Sequence[str], *, what: str) -> str:
    """The name that is meant: the only one, where none was asked for. Raises BadInput, with the
    names that there are."""
    if asked is None and len(names) == 1:
        return names[0]
    some = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    if not names:
        raise BadInput(f"it has no {what}")
    if asked is None:
        raise BadInput(
            f"it has {len(names)} {what}s: choose one with --service", hint=f"one of: {some}"
        )
    if asked in names:
        return asked
    close = difflib.get_close_matches(asked, names, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise BadInput(f"it has no {what} {asked!r}", hint=f"{hint}it has: {some}")


def all_dropped(snippet: Snippet) -> Listing:
    """``ALL``, to be dropped, with what the set rests on."""
    return Listing((Item("ALL", snippet.provenance),))


def reasons(snippet: Snippet) -> tuple[Item, ...]:
    """The capabilities as containers spell them, with why; sorted by number."""
    return tuple(Item(cap.short, reason) for cap, reason in sorted(snippet.caps))


@contextmanager
def patchable(what: str) -> Iterator[None]:
    """A new text that cannot be read is no fault of the file's."""
    try:
        yield
    except BadInput as error:
        raise odd(what) from error


def odd(what: str) -> CannotPatch:
    """The error for a mapping that has the right keys in an unusual form."""
    return CannotPatch(
        f"{what} is written in a form that cannot be patched",
        hint="write each of its keys once, as KEY: VALUE",
    )


def on_user(snippet: Snippet, user: str | None, consumer: str = "docker") -> Iterator[str]:
    """The effect of the added capabilities for the user of a container; with None, the image
    decides on the user."""
    if user is None:
        yield from engine.notes(snippet, consumer)
    elif not is_root(user):
        known = replace(snippet, user=user)
        if known.only_low_ports and not known.host_network:
            yield f"the sysctl {PORT_START} must be 0 for this"
        yield from engine.notes(known, consumer)


# ------------------------------------------------------------------------------ whether it counts


class Editor(Protocol):
    """The module ``edit`` of a language."""

    def patch(self, content: str, service: str | None, snippet: Snippet) -> Patched:
        """The lines that must change, and no byte more."""

    def restrain(self, body: str, service: str, declared: Declared, snippet: Snippet) -> str:
        """The other restrictions that ``emit`` writes. Raises CannotPatch if the form of the file
        does not allow them."""


Number = Callable[[str], int | None]
"""How a consumer reads the name of a capability."""
Read = Callable[[str, str], Declared | None]
"""The declaration of a service in a text; a drop-in may have none."""


def effective(
    editor: Editor,
    read: Read,
    number: Number,
    text: str,
    service: str | None,
    snippet: Snippet,
) -> Patched:
    """A patched text. Raises CannotPatch if the patch takes no effect, BadInput if the gate cannot
    read the text."""
    patched = editor.patch(text, service, snippet)
    declared = _declared(read, patched)
    _check_possible(declared, snippet)
    before = read(text.removeprefix("\ufeff"), patched.service)
    for what, why in declared.refused:
        if before is None or (what, why) not in before.refused:
            raise CannotPatch(f"the patch would leave {what}, which is refused then. {why}")
    if not has(declared, snippet, number):
        name = f" of {patched.service}" if patched.service else ""
        raise CannotPatch(
            f"the patch{name} would have no effect: the program that reads the file would "
            "see something else",
            hint="nothing was written: list the capabilities once, in the service itself",
        )
    more = _restrained(editor, patched, declared, snippet)
    return more if has(_declared(read, more), snippet, number) else patched


def _restrained(editor: Editor, patched: Patched, declared: Declared, snippet: Snippet) -> Patched:
    """Add no new privileges, and the default seccomp filter if there is none, if the recording
    showed that neither does harm. If the file does not allow it, a note says so."""
    user = declared.user if declared.user is not None else snippet.user
    normalized = NormalizedText.of(patched.text)
    try:
        new = editor.restrain(
            normalized.body, patched.service, declared, replace(snippet, user=user)
        )
    except CannotPatch as error:
        if snippet.opening:  # without its profile the set is not enough
            raise
        note = f"no more than capabilities was changed: {error}"
        return replace(patched, notes=(*patched.notes, note))
    return replace(patched, text=normalized.restore(new))


def _declared(read: Read, patched: Patched) -> Declared:
    one = read(patched.text.removeprefix("\ufeff"), patched.service)
    if one is None:
        raise BadInput(f"the service {patched.service!r} is missing after the patch")
    return one


def _check_possible(declared: Declared, snippet: Snippet) -> None:
    """Refuse a set that no patch of these keys can give."""
    if declared.windows:
        raise CannotPatch(f"{declared.service} runs on Windows, which has no capabilities")
    names = {cap.short for cap, _ in snippet.caps}
    for name, setting in declared.withheld:
        if name in names:
            raise CannotPatch(
                f"{setting}= takes away {name}, which is in the set",
                hint=f"if the service needs {name}, its unit must do without {setting}=, which "
                "then no longer protects the machine from it",
            )


def the_one(services: Sequence[Declared], name: str) -> Declared | None:
    """The service of this name; the first, where there is none."""
    return next((one for one in services if one.service == name or not name), None)


def as_docker_takes_it(name: str) -> str | None:
    """A name as docker reads it: in any case, with the prefix or without."""
    if name.strip().upper() == "ALL":
        return "ALL"
    try:
        return Cap.parse(name).short
    except ValueError:
        return None


def container_number(name: str) -> int | None:
    """The number of a capability as engines read its name; None for ``ALL``, and for an unknown
    name."""
    short = as_docker_takes_it(name)
    return None if short in (None, "ALL") else int(Cap.parse(short))


def has(declared: Declared, snippet: Snippet, number: Number = container_number) -> bool:
    """True if a service is granted the set of the snippet and nothing else."""
    wanted = {int(cap) for cap, _ in snippet.caps}
    return (
        any(name.upper() == "ALL" for name in declared.drop)
        and {number(name) for name in declared.add} == wanted
        and {number(name) for name in declared.ambient or ()} <= wanted
        and not declared.privileged
    )
