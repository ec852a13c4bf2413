"""The arguments of kubernetes."""

from __future__ import annotations

from capadvise.parser.verbs import Verbs, verb

_KEEP = """\
example:
  capadvise kubernetes keep deploy/web -n prod web.json | kubectl apply -f -
"""


def kubernetes(verbs: Verbs) -> None:
    """``kubernetes``."""
    which = "keep"
    parser = verb(verbs, "kubernetes", which, "keep a workload at the capabilities of its reports")
    parts = parser.add_subparsers(
        dest="verb", required=True, metavar=which, prog="capadvise kubernetes"
    )
    keep = verb(
        *(parts, "keep", "[options] WORKLOAD REPORT …"),
        "print a policy that refuses pods of a workload with more capabilities than its reports",
        _KEEP,
    )
    keep.add_argument("workload", metavar="WORKLOAD", help="KIND/NAME: deployment/web, sts/db")
    keep.add_argument("reports", nargs="+", metavar="REPORT", help="one for each container")
    keep.add_argument(
        "-n", "--namespace", metavar="NAMESPACE", help="default: where the pods were recorded"
    )
    keep.add_argument(
        "--kyverno", action="store_true", help="as a policy of Kyverno, not of Kubernetes itself"
    )
    keep.add_argument("--warn", action="store_true", help="refuse nothing yet, only warn")
    keep.add_argument("-o", "--output", metavar="FILE", help="where to write it; default: stdout")
