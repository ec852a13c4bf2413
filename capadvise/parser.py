"""The command line's arguments: one function for each subcommand. ``cli`` calls what they name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from capadvise import __version__
from capadvise.formats import FORMATS

if TYPE_CHECKING:  # argparse has no public name for it
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_DESCRIPTION = """\
Finds the smallest set of Linux capabilities that a program needs, and shows why.

  capadvise run -- nginx -g 'daemon off;'          watch a command, get the set
  capadvise explain SYS_ADMIN                      what is it, what to do instead
  capadvise emit REPORT.json --format compose      the snippet to paste
"""
_EXIT_CODES = """\
exit codes: run exits as its target did (128+n for signal n), or 2 for wrong use, 3 where nothing
can be observed, 126 and 127 where the command cannot be started. The others: 0 done, 1 not
provable, the gate failed, or (diff) another set, 2 wrong use or a bad input file, 3 nothing can be
observed, 130 interrupted.
"""


def build_parser() -> argparse.ArgumentParser:
    """All subcommands on one screen."""
    parser = argparse.ArgumentParser(
        prog="capadvise",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"capadvise {__version__}")
    verbs = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    for add in (
        *(_run, _attach, _prove, _review, _emit, _explain, _inspect),
        *(_check, _merge, _diff, _import, _doctor, _catalog),
    ):
        add(verbs)
    return parser


def _run(verbs: Verbs) -> None:
    run = verbs.add_parser(
        "run",
        help="run a command and see what it needs",
        usage="capadvise run [options] -- COMMAND …",
        epilog="example: capadvise run --check 'curl -fs localhost' -- nginx -g 'daemon off;'",
    )
    run.add_argument("-o", "--output", metavar="REPORT", help="where to write the report")
    run.add_argument("--check", metavar="SHELL", help="passes when the target did its job")
    run.add_argument("--kind", choices=("oneshot", "daemon"), help="run the check after, or while")
    run.add_argument(
        "--for", dest="seconds", type=float, metavar="SECONDS", help="end the target after so long"
    )
    run.add_argument("--user", metavar="USER", help="run as another user, with every capability")
    run.add_argument(
        "--retry",
        nargs="?",
        const="auto",
        choices=("auto", "all-calls"),
        metavar="all-calls",
        help="refuse everything at first, and see which refused call needs which capability",
    )
    run.add_argument(
        "--prove", action="store_true", help="afterwards, run it again and again to find the floor"
    )
    run.add_argument(
        "--json",
        action="store_true",
        help="the report on stdout; the target's output goes to stderr",
    )
    run.add_argument("-q", "--quiet", action="store_true", help="print no proposal")
    run.add_argument("--no-tui", action="store_true", help="no screens, though this is a terminal")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")


def _attach(verbs: Verbs) -> None:
    attach = verbs.add_parser(
        "attach",
        help="watch what runs already: a process, a container",
        usage="capadvise attach [options] PID|CONTAINER",
        epilog="The target is never stopped. Ctrl-C ends the recording; exit code 1: the check did "
        "not pass. example: capadvise attach --for 60 web",
    )
    attach.add_argument("-o", "--output", metavar="REPORT", help="where to write the report")
    attach.add_argument("--check", metavar="SHELL", help="end the recording when this passes")
    attach.add_argument(
        "--kind", choices=("oneshot", "daemon"), help="run the check after its end, or while"
    )
    attach.add_argument(
        "--for",
        dest="seconds",
        type=float,
        metavar="SECONDS",
        help="end the recording after so long",
    )
    attach.add_argument("--json", action="store_true", help="the report on stdout")
    attach.add_argument("-q", "--quiet", action="store_true", help="print no proposal")
    attach.add_argument("what", metavar="PID|CONTAINER")


def _prove(verbs: Verbs) -> None:
    prove = verbs.add_parser(
        "prove",
        help="run it with exactly that set, and show that no member can go",
        usage="capadvise prove [options] WORKLOAD.yaml | REPORT",
    )
    prove.add_argument("file", metavar="WORKLOAD.yaml|REPORT")
    prove.add_argument(
        "--isolate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="own mounts, network, host name and IPC, and copies of what is written to",
    )
    prove.add_argument(
        "--reuse-volumes",
        action="store_true",
        help="let trials of a container write to its own volumes, instead of copies",
    )
    prove.add_argument("-j", "--jobs", type=int, default=1, metavar="N", help="workloads at a time")
    prove.add_argument(
        "-o", "--output", metavar="REPORT", help="where to write it; of several: a folder"
    )
    prove.add_argument("--json", action="store_true", help="the report on stdout")


def _review(verbs: Verbs) -> None:
    review = verbs.add_parser(
        "review", help="look at a report on the screen: choose, prove, see the risk, save"
    )
    review.add_argument("report", metavar="REPORT")


def _emit(verbs: Verbs) -> None:
    emit = verbs.add_parser("emit", help="print the answer for a runtime")
    emit.add_argument("report", metavar="REPORT")
    emit.add_argument("--format", choices=tuple(FORMATS), required=True)
    emit.add_argument("--set", choices=("recommended", "floor"), default="recommended")
    emit.add_argument("--into", metavar="FILE", help="patch this file of yours, and show the diff")
    emit.add_argument(
        "--service",
        metavar="[KIND/]NAME[/CONTAINER]",
        help="what to patch in it, where it has several",
    )
    emit.add_argument("--dry-run", action="store_true", help="show the diff, write nothing")
    emit.add_argument("-o", "--output", metavar="FILE", help="where to write it, instead of stdout")


def _explain(verbs: Verbs) -> None:
    explain = verbs.add_parser("explain", help="explain a capability, a report, a kernel function")
    explain.add_argument("what", nargs="?", metavar="CAP|REPORT")
    explain.add_argument("--site", metavar="FUNCTION", help="a kernel function that asks")


_INSPECT = """\
Without a target: a line for each process that holds a capability, or could get one.

examples: capadvise inspect container:web      capadvise inspect 812      capadvise inspect self
"""


def _inspect(verbs: Verbs) -> None:
    inspect = verbs.add_parser(
        "inspect",
        help="what a process or container holds, and what restrains it",
        epilog=_INSPECT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inspect.add_argument(
        "targets", nargs="*", metavar="TARGET", help="container:NAME, image:NAME, PID or self"
    )
    inspect.add_argument(
        "--seccomp",
        action="store_true",
        help="which calls its filter refuses though its capabilities would open them; stops the "
        "process for a moment",
    )
    inspect.add_argument("--json", action="store_true", help="as JSON, always a list")


_CHECK = """\
Files: compose, Kubernetes manifests, quadlets (*.container), systemd units and drop-ins, and
config.json of OCI bundles. compose.prod.yaml given after compose.yaml overrides it, as with
docker compose -f. Variables, extends and include are resolved by docker compose, if it is there.

A report is a service's when its file is called after it (web.json for web), or else when its
target is. A Kubernetes container may be called web.app or app, as its path ends.

exit codes: 0 passed; 1 an error was found, or with --strict a warning; 2 wrong use or a bad file.

example: capadvise check compose.yaml --against baseline/ --output github
"""


def _check(verbs: Verbs) -> None:
    check = verbs.add_parser(
        "check",
        help="gate: what files grant, against rules and reports",
        epilog=_CHECK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("files", nargs="+", metavar="FILE")
    check.add_argument(
        "--against", metavar="REPORT|DIR", help="what the services were seen to need"
    )
    check.add_argument("--strict", action="store_true", help="warnings fail the gate, too")
    check.add_argument(
        "--output", choices=("text", "json", "sarif", "github"), default="text", help="default text"
    )


def _merge(verbs: Verbs) -> None:
    merge = verbs.add_parser("merge", help="one report of several runs of one target")
    merge.add_argument("reports", nargs="+", metavar="REPORT")
    merge.add_argument(
        "--as", dest="name", metavar="NAME", help="they are of one target, though run differently"
    )
    merge.add_argument("-o", "--output", metavar="REPORT", help="where to write it, else stdout")


def _diff(verbs: Verbs) -> None:
    diff = verbs.add_parser(
        "diff",
        help="what changed between two reports",
        epilog="exit code 1: they recommend different sets",
    )
    diff.add_argument("before", metavar="A")
    diff.add_argument("after", metavar="B")
    diff.add_argument("-o", "--output", metavar="FILE", help="where to write it, else stdout")
    diff.add_argument("--json", action="store_true", help="as JSON")


_IMPORT = """\
Known are auditd's audit.log, ausearch (raw or -i), journalctl -k, dmesg, syslog and logcat: denials
by AppArmor and SELinux, system calls that failed with EPERM or EACCES, and seccomp records.
What was granted is in no audit log: this shows what is missing, not all that is needed.

example: journalctl -k | capadvise import - --program cupsd
"""


def _import(verbs: Verbs) -> None:
    importing = verbs.add_parser(
        "import",
        help="a report out of an audit log",
        epilog=_IMPORT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    importing.add_argument("log", metavar="FILE", help="- for standard input")
    importing.add_argument("--program", metavar="NAME", help="where the log is about several")
    importing.add_argument("-o", "--output", metavar="REPORT", help="where to write the report")
    importing.add_argument("--json", action="store_true", help="the report on stdout")


def _doctor(verbs: Verbs) -> None:
    verbs.add_parser("doctor", help="what can be observed here, and how to get more")


def _catalog(verbs: Verbs) -> None:
    catalog = verbs.add_parser("catalog", help="list, show or check the facts")
    facts = catalog.add_subparsers(
        dest="verb", required=True, metavar="list|show|check|reference|compile"
    )
    facts.add_parser("list", help="all capabilities, a line each")
    facts.add_parser("show", help="one capability").add_argument("cap", metavar="CAP")
    facts.add_parser("check", help="check that every file keeps to its schema")
    facts.add_parser("reference", help="all of it as one page of Markdown")
    facts.add_parser("compile", help="make catalog/compiled.json from the other files")
