"""``check --fix``: each service that a report knows is given what the report recommends, in its own
file, with the diff."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from capadvise.catalog import default
from capadvise.errors import CannotPatch, CapadviseError
from capadvise.formats.edit import PATCHES
from capadvise.formats.files import plan
from capadvise.formats.snippet import snippet_of
from capadvise.gate.baseline import Baseline
from capadvise.gate.outcome import Source
from capadvise.report.escape import printable
from capadvise.workflow.confirm import confirm
from capadvise.workflow.notice import notice


def fix(sources: Sequence[Source], baseline: Baseline) -> None:
    """Patch what can be patched; what cannot is said, and stays as it is."""
    for source in sources:
        if source.format not in PATCHES:
            continue
        for declared in source.declared:
            report = baseline.of(declared)
            if report is not None and not declared.windows:
                _fix(source, declared.service, report, baseline)


def _fix(source: Source, service: str, report: Path, baseline: Baseline) -> None:
    loaded = baseline.report(report)
    if loaded.partial:
        notice(f"note: {service}: {report} did not observe its start: it takes nothing away")
        return
    snippet = snippet_of(loaded, loaded.proposal.recommended, default())
    holders = [path for path, items in source.written if any(i.service == service for i in items)]
    path = Path(holders[0] if holders else source.paths[0])
    asked = service if source.format in ("compose", "kubernetes") else None
    try:
        change = plan(path, source.format, asked, snippet)
        if others := change.patched.dependents:
            raise CannotPatch(f"{', '.join(map(printable, others))} extend it: patch it by hand")
        if not change.empty:
            confirm(change, source.format, snippet)
            print(change.diff(), end="", flush=True)
            change.write()
            notice(f"{path}: {service}: written")
    except CapadviseError as error:
        notice(f"note: {service}: {error}")
