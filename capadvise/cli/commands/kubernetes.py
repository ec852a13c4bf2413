"""``capadvise kubernetes``: what concerns a cluster, through kubectl."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from capadvise.catalog import default
from capadvise.config.kubernetes.admission import Allowed, PodOwner, render
from capadvise.config.kubernetes.file import patched_pod
from capadvise.config.kubernetes.manifests import is_object_name
from capadvise.config.snippet_from import snippet_of
from capadvise.judgement.conclusion import SHOWS_ENOUGH, standing_of
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet
from capadvise.model.errors import BadInput, Exit
from capadvise.model.escape import printable
from capadvise.report.fleet import file_name, summary
from capadvise.report.load import load
from capadvise.report.save import save
from capadvise.targets.kubernetes.kubectl import Kubectl
from capadvise.workflow.kubernetes.observers import agreed
from capadvise.workflow.kubernetes.record import ClusterWishes, dry_run, get_workload, record
from capadvise.workflow.notice import answer, notice
from capadvise.workflow.reports import check_writable, print_proposal


def command(args: argparse.Namespace) -> int:
    """Dispatch to record, dry-run, prove or keep."""
    return _VERBS[args.verb](args)


def _record(args: argparse.Namespace) -> int:
    """Write a report for each container and image into a folder; stdout says what they cover."""
    folder = Path(args.output)
    if not args.plan:  # it makes the folder
        check_writable(folder, folder=True)
    kubectl = Kubectl.pinned(args.kubeconfig, args.context, args.user)
    owner = PodOwner.parse(args.workload, args.namespace or kubectl.namespace())
    if args.node and not args.canary and owner.kind != "CronJob":
        raise BadInput("--node is for --canary or a CronJob: observers run where the pods are")
    wishes = ClusterWishes(
        image=args.image,
        seconds=args.seconds,
        restart=args.restart,
        canary=args.canary,
        node=args.node or "",
        replace_volumes=args.replace_volumes,
        agree=partial(agreed, only=args.plan, yes=args.yes),
    )
    if not (reports := record(kubectl, owner, wishes, default())):
        return Exit.OK
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / file_name(report, reports) for report in reports]
    for report, path in zip(reports, paths, strict=True):
        save(path, report, default())
    for report, path in zip(reports, paths, strict=True):
        for line in summary(report, str(path)):
            print(printable(line))
        if args.verbose:
            print()
            print_proposal(report, path, verbose=True)
    return Exit.OK


def _dry_run(args: argparse.Namespace) -> int:
    """Print what the server would make of the workload with these sets."""
    kubectl = Kubectl.pinned(args.kubeconfig, args.context, args.user)
    owner = PodOwner.parse(args.workload, args.namespace or kubectl.namespace())
    reports = [(path, load(Path(path), default())) for path in args.reports]
    patches = [_patch(one, [report for _, report in reports]) for one in _allowed(reports)]
    answer = dry_run(kubectl, owner, get_workload(kubectl, owner), patches)
    for what in answer.accepted:
        print(printable(f"{what}: the server takes it as it is"))
    for line in (*answer.notes, *answer.problems):
        print(printable(line))
    return Exit.FAILED if answer.problems else Exit.OK


def _prove(args: argparse.Namespace) -> int:
    from capadvise.workflow.kubernetes.prove import ProofWishes, prove_container
    from capadvise.workflow.prove import exit_code

    output = Path(args.output)
    check_writable(output)
    kubectl = Kubectl.pinned(args.kubeconfig, args.context, args.user)
    owner = PodOwner.parse(args.workload, args.namespace or kubectl.namespace())
    report = load(Path(args.report), default())
    agree = partial(agreed, only=args.plan, yes=args.yes)
    wishes = ProofWishes(args.check, args.timeout, args.replace_volumes, args.userns, agree)
    proven = prove_container(kubectl, owner, report, wishes)
    if proven is None:
        return Exit.OK
    save(output, proven, default())
    print_proposal(proven, output, verbose=args.verbose)
    return exit_code([proven])


def _keep(args: argparse.Namespace) -> int:
    reports = [(path, load(Path(path), default())) for path in args.reports]
    workload = PodOwner.parse(args.workload, args.namespace or _namespace(reports))
    for path, report in reports:
        if report.proven is None:
            notice(f"note: {path} is not proven: what it has not seen will be refused")
    text = render(workload, _allowed(reports), kyverno=args.kyverno, warn=args.warn)
    answer(text, args.output)
    return Exit.OK


def _namespace(reports: list[tuple[str, Report]]) -> str:
    """The namespace in which all of them were recorded. Raises BadInput."""
    namespaces = {(report.target.pod or "").partition("/")[0] for _, report in reports}
    if len(namespaces) > 1 or namespaces == {""}:
        raise BadInput("the reports do not say which namespace it is", hint="-n NAMESPACE")
    return namespaces.pop()


def _allowed(reports: list[tuple[str, Report]]) -> tuple[Allowed, ...]:
    """The union of the recommended sets for each container. Raises BadInput."""
    caps: dict[str, CapSet] = {}
    paths: dict[str, list[str]] = {}
    for path, report in reports:
        name = report.target.service or report.target.name
        if not is_object_name(name):
            raise BadInput(f"{path}: {name!r:.80} is no name of a container of a pod")
        standing, doubt = standing_of(report)
        if standing not in SHOWS_ENOUGH:
            raise BadInput(
                f"{path}: the set of {name} may lack what its next start needs: "
                f"{standing.words}{f', {printable(doubt)}' if doubt else ''}",
                hint="record its start (--restart), or prove the report",
            )
        caps[name] = caps.get(name, frozenset()) | report.proposal.recommended
        paths.setdefault(name, []).append(printable(Path(path).name))
    return tuple(Allowed(name, caps[name], ", ".join(paths[name])) for name in sorted(caps))


def _patch(allowed: Allowed, reports: list[Report]) -> dict[str, Any]:
    """What ``emit`` writes for a container, as far as all of its reports agree."""
    made = [
        patched_pod(snippet_of(report, allowed.caps, default()), allowed.container)
        for report in reports
        if allowed.container in (report.target.service, report.target.name)
    ]
    contexts = [each["containers"][0]["securityContext"] for each in made]
    common = dict(contexts[0])
    for context in contexts:
        common = {key: value for key, value in common.items() if context.get(key) == value}
    return made[0] | {"containers": [{"name": allowed.container, "securityContext": common}]}


_VERBS = {"record": _record, "dry-run": _dry_run, "prove": _prove, "keep": _keep}
