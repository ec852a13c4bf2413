"""Whether a patch takes effect for the program that reads the file, where that is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath

from capadvise.formats.edit.effect import has
from capadvise.formats.files import Change
from capadvise.formats.snippet import Snippet
from capadvise.gate.installed import UNIT_PATH, unit_file
from capadvise.gate.patching import Patching
from capadvise.model.errors import BadInput, CannotPatch
from capadvise.model.escape import printable
from capadvise.workflow import ask_consumer

_OVERRIDE = "!override"


def confirm(made: Patching) -> None:
    """Raises CannotPatch where it takes the new text otherwise than it is meant, and where it
    answers in a way that nobody understands."""
    try:
        _confirm(made)
    except (OSError, ValueError) as error:
        raise CannotPatch(
            f"{made.change.path}: {_PROGRAMS[made.language]} could not be asked: {error}"
        ) from error


def _confirm(made: Patching) -> None:
    change, language, snippet = made.change, made.language, made.snippet
    if change.path.parent.suffix == ".d":
        if language == "systemd":
            _confirm_drop_in(change, snippet)
        return
    before = (change.before or b"").decode().removeprefix("\ufeff")
    after = change.patched.text.removeprefix("\ufeff")
    by_podman = any(PurePath(word).name == "podman-compose" for word in made.recorded)
    if by_podman and _OVERRIDE in after and _OVERRIDE not in before:
        raise CannotPatch(
            f"{change.path}: {change.patched.service} extends another service, whose lists only "
            f"{_OVERRIDE} replaces, and podman-compose does not read that",
            hint="patch the service that it extends: --with-dependents",
        )
    new = _takes(after, change, language, snippet)
    if new is None and _takes(before, change, language, snippet) is None:
        return
    if not new:
        raise CannotPatch(
            f"{change.path}: {_PROGRAMS[language]} would not give {change.patched.service or 'it'} "
            "what the patch says",
            hint="nothing was written: list the capabilities once, in the service itself",
        )


def _confirm_drop_in(change: Change, snippet: Snippet) -> None:
    """For a unit of this machine, with its other drop-ins, which systemd-analyze finds by itself.
    Of any other drop-in nobody can say what it comes to."""
    folder = change.path.parent
    unit = folder.name.removesuffix(".d")
    own = unit_file(unit, UNIT_PATH) if str(folder.parent) in UNIT_PATH else None
    if own is None:
        return
    name = f"{folder.name}/{change.path.name}"
    files = {
        unit: Path(own).read_text(encoding="utf-8", errors="replace"),
        name: change.patched.text.removeprefix("\ufeff"),
    }
    if said := ask_consumer.complaint(unit, files, name):
        raise CannotPatch(f"{change.path}: systemd-analyze verify, line {printable(said)}")
    if _is_held(unit, files, snippet) is False:
        raise CannotPatch(
            f"{change.path}: systemd would not give {unit} what the drop-in says",
            hint=f"another drop-in counts for more: systemctl cat {unit}",
        )


def _is_held(name: str, files: Mapping[str, str], snippet: Snippet) -> bool | None:
    """Whether systemd gives a unit what is meant; None where it cannot be asked."""
    groups = ask_consumer.bounding(name, files)
    wanted = {cap.name for cap, _ in snippet.caps}
    if groups is None:
        return None
    return all(held is not wanted.isdisjoint(group) for group, held in groups.items())


_PROGRAMS = {
    "compose": "docker compose",
    "kubernetes": "kubectl",
    "quadlet": "quadlet",
    "systemd": "systemd",
}


def _takes(text: str, change: Change, language: str, snippet: Snippet) -> bool | None:
    """Whether a service gets what is meant; None where nobody can be asked."""
    name = change.path.name
    units = language in ("systemd", "quadlet")
    files = ask_consumer.around([str(change.path)], [text]) if units else {}
    if language == "systemd":
        return _is_held(name, files, snippet)
    try:
        if language == "quadlet":
            declared = ask_consumer.container(name, files)
        else:
            every = (
                ask_consumer.services(text, Path(change.path).resolve().parent)
                if language == "compose"
                else ask_consumer.containers(text)
            )
            declared = ask_consumer.named(every, change.patched.service)
    except BadInput:  # what it shows is not what this reader takes
        return None
    return None if declared is None else has(language, declared, snippet)
