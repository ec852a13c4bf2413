"""Confirm, show and write a patch of the user's own file, for ``emit --into`` and ``check --fix``.
The screens show the change first, and then confirm and write it too."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from capadvise.catalog import default
from capadvise.config.declared import Declared
from capadvise.config.granted import granted
from capadvise.config.language import Language
from capadvise.config.patched import Patched
from capadvise.config.snippet import Snippet
from capadvise.config.snippet_from import snippet_of
from capadvise.gate.baseline import ReportFolder
from capadvise.gate.files import Change
from capadvise.gate.installed import UNIT_PATH, unit_file
from capadvise.gate.outcome import Source
from capadvise.gate.patching import Patching, extending, patching
from capadvise.judgement.conclusion import ADDS_ONLY, standing_of
from capadvise.model import input_file
from capadvise.model.errors import BadInput, CannotPatch, CapadviseError
from capadvise.model.escape import printable
from capadvise.workflow import ask_consumer
from capadvise.workflow.notice import notice


def patch_file(
    made: Patching, *, with_dependents: bool = False, dry_run: bool = False, about: str = ""
) -> bool:
    """Show the diff on stdout and the notes on stderr, then write, unless it is a dry run. Returns
    True if it was written. ``with_dependents``: the services that extend this one may change, too;
    ``about``: put before each note, where several services are patched.

    Raises CannotPatch, and then nothing was written.
    """
    change = made.change
    if change.patched.dependents and not (with_dependents or dry_run):
        raise CannotPatch(
            f"{extending(change.patched)} would change too",
            hint="emit --into --with-dependents, if that is meant; --dry-run shows the change",
        )
    for note in (*made.snippet.cautions, *made.notes):
        notice(f"note: {about}{note}")
    service = change.patched.service
    what = f"{change.path}: {service}" if service else str(change.path)
    if change.empty:
        notice(f"{what}: nothing to change")
        return False
    confirm(made)
    print(change.diff(), end="", flush=True)
    if dry_run:
        return False
    change.write()
    notice(f"{what}: written")
    return True


def write_text(path: Path, old: str, new: str) -> None:
    """Write a file of ours as a user's own one is: whole or not at all."""
    Change(path, old.encode() if old else None, Patched(new, "")).write()


def fix(sources: Sequence[Source], baseline: ReportFolder) -> None:
    """``check --fix``: give each service that has a report what that recommends, and print a note
    for one that cannot be patched."""
    for source, declared, report in _with_reports(sources, baseline):
        try:
            made = _planned(source, declared, report, baseline)
            if not made.change.empty:
                patch_file(made, about=f"{declared.service}: ")
        except CapadviseError as error:
            hint = f" ({error.hint})" if error.hint else ""
            notice(f"note: {declared.service}: {error}{hint}")


def planned_edits(
    sources: Sequence[Source], baseline: ReportFolder
) -> dict[str, tuple[str, list[tuple[int, int, str]]]]:
    """Service → its file and what ``fix`` would change in it; nothing is written."""
    edits = {}
    for source, declared, report in _with_reports(sources, baseline):
        with suppress(CapadviseError):
            made = _planned(source, declared, report, baseline)
            confirm(made)
            edits[declared.service] = str(made.change.path), list(made.change.edits())
    return edits


def _with_reports(
    sources: Sequence[Source], baseline: ReportFolder
) -> Iterator[tuple[Source, Declared, Path]]:
    for source in sources:
        for declared in source.declared if source.language.can("edit") else ():
            report = baseline.of(declared)
            if report is not None and not declared.windows:
                yield source, declared, report


def _planned(source: Source, declared: Declared, report: Path, baseline: ReportFolder) -> Patching:
    """The patch of one service. Raises CannotPatch and BadInput."""
    service, loaded = declared.service, baseline.report(report)
    caps = loaded.proposal.recommended
    standing, doubt = standing_of(loaded)
    given = granted(declared, source.language.judged_by, default())
    if standing in ADDS_ONLY and caps <= given:
        raise CannotPatch(f"{report} takes nothing away: {printable(doubt or standing.words)}")
    held = [
        (path, one) for path, all_of in source.written for one in all_of if one.service == service
    ]
    path = _place(source, held)
    asked = None if source.language.service else service
    joined = [(other, one) for other, one in held if other != path]
    snippet = snippet_of(loaded, caps, default())
    return patching(Path(path), source.language, asked, snippet, loaded, joined=joined)


def _place(source: Source, held: Sequence[tuple[str, Declared]]) -> str:
    """The first file that grants the service something, else the first that declares it."""
    granting = [path for path, one in held if one.add or one.drop or one.privileged]
    return next(iter([*granting, *(path for path, _ in held), source.paths[0]]))


# -------------------------------------------- the program that reads the file

_OVERRIDE = "!override"


def confirm(made: Patching) -> None:
    """Ask the consumer of the file, if it is installed. Raises CannotPatch if it would not read the
    new text as intended, or if its answer cannot be understood."""
    try:
        _confirm(made)
    except (OSError, ValueError) as error:
        raise CannotPatch(
            f"{made.change.path}: {_title(made.language)} could not be asked: {error}"
        ) from error


def _confirm(made: Patching) -> None:
    change, language, snippet = made.change, made.language, made.snippet
    if change.path.parent.suffix == ".d":
        if language.command is not None and language.command.verifies_drop_ins:
            _confirm_drop_in(change, language, snippet)
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
    new = _takes(after, made)
    if new is None and _takes(before, made) is None:
        return
    if not new:
        raise CannotPatch(
            f"{change.path}: {_title(language)} would not give {change.patched.service or 'it'} "
            "what the patch says",
            hint="nothing was written: list the capabilities once, in the service itself",
        )


def _confirm_drop_in(change: Change, language: Language, snippet: Snippet) -> None:
    """Confirm a drop-in of a unit of this machine; systemd-analyze finds its other drop-ins. The
    effect of any other drop-in cannot be known here."""
    folder = change.path.parent
    unit = folder.name.removesuffix(".d")
    own = unit_file(unit, UNIT_PATH) if str(folder.parent) in UNIT_PATH else None
    if own is None:
        return
    name = f"{folder.name}/{change.path.name}"
    files = {unit: input_file.text(own), name: change.patched.text.removeprefix("\ufeff")}
    if said := ask_consumer.complaint(unit, files, name):
        raise CannotPatch(f"{change.path}: systemd-analyze verify, line {printable(said)}")
    shown = ask_consumer.ask_about(language, unit, files)
    if shown and language.is_given(shown, unit, "", snippet) is False:
        raise CannotPatch(
            f"{change.path}: systemd would not give {unit} what the drop-in says",
            hint=f"another drop-in counts for more: systemctl cat {unit}",
        )


def _title(language: Language) -> str:
    return language.command.title if language.command is not None else language.title


def _takes(text: str, made: Patching) -> bool | None:
    """True if a service gets the intended set; None if the consumer gives no answer."""
    path = made.change.path
    try:
        shown = ask_consumer.ask(made.language, [str(path)], [text])
        if shown is None:
            return None
        return made.language.is_given(shown, path.name, made.change.patched.service, made.snippet)
    except BadInput:  # what it shows is not what this reader takes
        return None
