"""``capadvise kubernetes``: what concerns a cluster. Nothing here talks to one."""

from __future__ import annotations

import argparse
from pathlib import Path

from capadvise.caps import CapSet
from capadvise.catalog import default
from capadvise.errors import BadInput, Exit
from capadvise.formats.admission import Allowed, PodOwner, render
from capadvise.formats.object_names import is_object_name
from capadvise.report.escape import printable
from capadvise.report.load import load
from capadvise.report.model import Report
from capadvise.workflow.notice import notice


def command(args: argparse.Namespace) -> int:
    """``keep``: print the policy, or write it to a file."""
    reports = [(path, load(Path(path), default())) for path in args.reports]
    workload = PodOwner.parse(args.workload, args.namespace or _namespace(reports))
    text = render(workload, _allowed(reports), kyverno=args.kyverno, warn=args.warn)
    if args.output is None:
        print(text, end="")
    else:
        from capadvise.report.save import write

        write(Path(args.output), text, private=False)
    return Exit.OK


def _namespace(reports: list[tuple[str, Report]]) -> str:
    """Where all of them were recorded. Raises BadInput."""
    found = {(report.target.pod or "").partition("/")[0] for _, report in reports}
    if len(found) > 1 or found == {""}:
        raise BadInput("the reports do not say which namespace it is", hint="-n NAMESPACE")
    return found.pop()


def _allowed(reports: list[tuple[str, Report]]) -> tuple[Allowed, ...]:
    """Of each container, what all reports on it recommend together. Raises BadInput."""
    caps: dict[str, CapSet] = {}
    paths: dict[str, list[str]] = {}
    for path, report in reports:
        name = report.target.service or report.target.name
        if not is_object_name(name):
            raise BadInput(f"{path}: {name!r:.80} is no name of a container of a pod")
        if report.partial:
            raise BadInput(
                f"{path}: the start of {name} was not observed, so that a policy from it could "
                "refuse what the next start needs",
                hint="attach before it starts, or prove the report",
            )
        if report.proven is None:
            notice(f"note: {printable(path)} is not proven: what it has not seen will be refused")
        caps[name] = caps.get(name, frozenset()) | report.proposal.recommended
        paths.setdefault(name, []).append(printable(Path(path).name))
    return tuple(Allowed(name, caps[name], ", ".join(paths[name])) for name in sorted(caps))
