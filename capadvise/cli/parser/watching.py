"""The arguments of ``watch``."""

from __future__ import annotations

from capadvise.cli.parser.verbs import Verbs, seconds, verb
from capadvise.config.watch_files import FILES

_WATCH = """\
A line for each new kind of refusal: whose call it was (container, pod, unit, user or program), what
the call was, what refused it, and the cure. Repetitions are counted: Ctrl-C ends it with a summary,
SIGHUP prints one meanwhile. On a terminal, a screen shows the same by owner. The kernel does the
counting; it takes root and Linux 5.15.

examples:
  capadvise watch
  capadvise watch --for 2h --json
  capadvise watch --against reports/
"""


def watch(verbs: Verbs) -> None:
    """``watch``."""
    parser = verb(
        *(verbs, "watch", "[options]"),
        "watch the whole machine: what is refused, whose it is, and the cure",
        _WATCH,
    )
    parser.add_argument("--all", action="store_true", help="show refusals that have no effect, too")
    parser.add_argument(
        "--against",
        metavar="REPORT|DIR",
        help="say of each refusal whether the report of its service knows of it",
    )
    parser.add_argument(
        "--every-call",
        action="store_true",
        help="see the end of each system call, too: what seccomp answers with an error, read-only"
        " mounts and other refusals without a capability check; system calls of the whole machine"
        " take longer (1.07 to 1.2 times)",
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=seconds,
        metavar="TIME",
        help="end after this time: seconds, or 10m, 2h, 7d",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--no-tui", action="store_true", help="disable the TUI: a line for each")
    parser.add_argument(
        "--prometheus",
        metavar="FILE",
        help="keep counters in this file, for the textfile collector of the node exporter",
    )
    parser.add_argument(
        "--emit",
        choices=tuple(FILES),
        help="print a unit or a DaemonSet that runs it with the least that it needs",
    )
    parser.add_argument(
        "--since-boot",
        action="store_true",
        help="begin with what the audit records of this boot tell: auditd's files, the journal, or"
        " the kernel's messages",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="no TUI, and do not say that it has begun"
    )
