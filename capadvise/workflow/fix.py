"""``check --fix``: each service that a report knows is given what the report recommends, in its own
file, with the diff."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from capadvise.catalog import default
from capadvise.config.consumer import granted
from capadvise.config.declared import Declared
from capadvise.config.snippet_from import snippet_of
from capadvise.gate.baseline import ReportFolder
from capadvise.gate.outcome import Source
from capadvise.gate.patching import patching
from capadvise.judgement.conclusion import ADDS_ONLY, standing_of
from capadvise.model.errors import CapadviseError
from capadvise.model.escape import printable
from capadvise.workflow.notice import notice
from capadvise.workflow.patch_file import patch_file


def fix(sources: Sequence[Source], baseline: ReportFolder) -> None:
    """Patch each service that has a report; print a note for one that cannot be patched."""
    for source in sources:
        if not source.language.can("edit"):
            continue
        for declared in source.declared:
            report = baseline.of(declared)
            if report is not None and not declared.windows:
                _fix(source, declared, report, baseline)


def _fix(source: Source, declared: Declared, report: Path, baseline: ReportFolder) -> None:
    service, loaded = declared.service, baseline.report(report)
    caps = loaded.proposal.recommended
    standing, doubt = standing_of(loaded)
    given = granted(declared, source.language.judged_by, default())
    if standing in ADDS_ONLY and caps <= given:
        why = printable(doubt or standing.words)
        notice(f"note: {service}: {report} takes nothing away: {why}")
        return
    held = [
        (path, one) for path, all_of in source.written for one in all_of if one.service == service
    ]
    path = _place(source, held)
    asked = None if source.language.service else service
    joined = [(other, one) for other, one in held if other != path]
    snippet = snippet_of(loaded, caps, default())
    try:
        made = patching(Path(path), source.language, asked, snippet, loaded, joined=joined)
        if not made.change.empty:
            patch_file(made, about=f"{service}: ")
    except CapadviseError as error:
        hint = f" ({error.hint})" if error.hint else ""
        notice(f"note: {service}: {error}{hint}")


def _place(source: Source, held: Sequence[tuple[str, Declared]]) -> str:
    """The first file that grants the service something, else the first that declares it."""
    granting = [path for path, one in held if one.add or one.drop or one.privileged]
    return next(iter([*granting, *(path for path, _ in held), source.paths[0]]))
