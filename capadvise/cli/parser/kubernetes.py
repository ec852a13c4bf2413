"""The arguments of kubernetes."""

from __future__ import annotations

import argparse

from capadvise.cli.parser.verbs import Parser, Verbs, seconds, verb, verbose_option

_KEEP = """\
example:
  capadvise kubernetes keep deploy/web -n prod web.json | kubectl apply -f -
"""


_RECORD = """\
examples:
  capadvise kubernetes record deploy/web -n prod --image IMAGE --for 10m --restart -o web/
  kubectl capadvise record sts/db -n prod --image IMAGE --for 1h -o db/

On each node that has pods of the workload, a pod watches them, in the namespace capadvise. The
workload is not changed, but for --restart; all that is made is removed at the end.
"""
_WHICH = "record,dry-run,prove,keep"
_DRY_RUN = """\
example:
  capadvise kubernetes dry-run deploy/web -n prod web/*.json

Nothing is changed. The server is asked for the workload and for a pod of its template, since Pod
Security judges pods alone, and what it answers is compared with what was asked for. Exit status 1:
it refuses them, or something changes their sets on the way.
"""
_PROVE = """\
example:
  capadvise kubernetes prove deploy/web -n prod web/web.json -o web/web.json

Each trial runs a copy of the pod with one set for this container, which holds no more than it has
today; its readiness probe decides, of jobs the exit status. A copy does all that the program does.
"""


def kubernetes(verbs: Verbs) -> None:
    parser = verb(
        verbs,
        "kubernetes",
        f"{{{_WHICH}}} …",
        "record a workload of a cluster, prove its set and enforce it",
    )
    parts = parser.add_subparsers(
        dest="verb", required=True, metavar="VERB", prog="capadvise kubernetes"
    )
    _record(parts)
    _dry_run(parts)
    _prove(parts)
    _keep(parts)


def _record(parts: Verbs) -> None:
    record = verb(
        *(parts, "record", "[options] WORKLOAD"),
        "record the pods of a workload on all their nodes, through kubectl",
        _RECORD,
    )
    _workload(record)
    record.add_argument(
        "--image",
        metavar="IMAGE",
        required=True,
        help="run the observers from this image, made by demos/image and pushed to your registry",
    )
    record.add_argument(
        *("-o", "--output"),
        metavar="DIR",
        required=True,
        help="write the reports into this folder",
    )
    record.add_argument(
        "--for",
        dest="seconds",
        type=seconds,
        metavar="TIME",
        help="stop after 90s, 10m, 1h, 7d; default: with Ctrl-C, or after a day",
    )
    starts = record.add_mutually_exclusive_group()
    starts.add_argument(
        "--restart",
        action="store_true",
        help="restart the workload (kubectl rollout restart) to see its start: without a start, "
        "reports only add capabilities",
    )
    starts.add_argument(
        "--canary",
        action="store_true",
        help="start a copy of a pod, with no Service pointing to it; the copy does real work",
    )
    verbose_option(record)
    more = record.more
    more.add_argument("--node", metavar="NODE", help="run the canary on this node")
    more.add_argument(
        "--replace-volumes",
        action="store_true",
        help="give the canary empty volumes instead of persistent ones",
    )
    _context(more)


def _dry_run(parts: Verbs) -> None:
    dry = verb(
        *(parts, "dry-run", "[options] WORKLOAD REPORT …"),
        "ask the server whether it accepts a workload with the sets of its reports",
        _DRY_RUN,
    )
    _workload(dry)
    _context(dry)
    dry.add_argument("reports", nargs="+", metavar="REPORT", help="name one for each container")


def _prove(parts: Verbs) -> None:
    prove = verb(
        *(parts, "prove", "[options] WORKLOAD REPORT"),
        "find and prove the smallest set of a report, with copies of a pod",
        _PROVE,
    )
    _workload(prove)
    prove.add_argument("report", metavar="REPORT", help="prove the set of this container's report")
    prove.add_argument(
        *("-o", "--output"),
        metavar="REPORT",
        required=True,
        help="write the proven report to this file",
    )
    prove.add_argument(
        "--check",
        metavar="SHELL",
        help="judge the copies by this shell command instead of the probes; $NAMESPACE, $POD, "
        "$CONTAINER and $POD_IP are set",
    )
    verbose_option(prove)
    more = prove.more
    more.add_argument(
        "--timeout",
        type=seconds,
        default=60.0,
        metavar="TIME",
        help="wait this long for a start to work: 90s, 2m; default: 60s",
    )
    more.add_argument(
        "--replace-volumes",
        action="store_true",
        help="give the copies empty volumes instead of persistent ones",
    )
    more.add_argument(
        "--userns",
        action="store_true",
        help="give the copies hostUsers: false, and find the minimal set in a user namespace",
    )
    _context(more)


def _workload(parser: Parser) -> None:
    parser.add_argument(
        "workload", metavar="WORKLOAD", help="name it KIND/NAME: deployment/web, sts/db"
    )
    parser.add_argument(
        "-n", "--namespace", metavar="NAMESPACE", help="look in this namespace; default: kubectl's"
    )


def _context(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--context", metavar="CONTEXT", help="use this context of kubectl; default: the current one"
    )


def _keep(parts: Verbs) -> None:
    keep = verb(
        *(parts, "keep", "[options] WORKLOAD REPORT …"),
        "print a policy that refuses pods of a workload with more capabilities than its reports",
        _KEEP,
    )
    keep.add_argument(
        "workload", metavar="WORKLOAD", help="name it KIND/NAME: deployment/web, sts/db"
    )
    keep.add_argument("reports", nargs="+", metavar="REPORT", help="name one for each container")
    keep.add_argument(
        "-n",
        "--namespace",
        metavar="NAMESPACE",
        help="name this namespace in the policy; default: where the pods were recorded",
    )
    keep.add_argument(
        "--kyverno", action="store_true", help="print a policy of Kyverno, not of Kubernetes itself"
    )
    keep.add_argument("--warn", action="store_true", help="warn only, refuse nothing yet")
    keep.add_argument("-o", "--output", metavar="FILE", help="write to this file; default: stdout")
