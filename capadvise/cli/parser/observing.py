"""The arguments of what observes programs: run, attach, watch, prove, import, inspect, doctor."""

from __future__ import annotations

import argparse

from capadvise.cli.parser.verbs import Verbs, json_option, seconds, verb, verbose_option

_RUN = """\
example: capadvise run --check 'curl -fs localhost' -- nginx -g 'daemon off;'

The recording ends when all that the command started has ended, a daemon included, and earlier with
--check, --for or Ctrl-C.
"""


def run(verbs: Verbs) -> None:
    parser = verb(
        verbs, "run", "[options] -- COMMAND …", "run a command and find what it needs", _RUN
    )
    _report(parser, "write the report to this file; with several containers, into this folder")
    _check(parser, "stop the target once this shell command succeeds; judge trials by it, too")
    parser.add_argument(
        "--prove",
        action="store_true",
        help="find and prove the minimal set afterwards, by running with less",
    )
    _until(parser, "stop the target")
    verbose_option(parser)
    json_option(parser, "print the report on stdout; the target's output goes to stderr")
    more = parser.more
    _check_details(more)
    more.add_argument("--user", metavar="USER", help="run as this user, with every capability")
    more.add_argument(
        "--retry",
        nargs="?",
        const="auto",
        choices=("auto", "all-calls"),
        metavar="all-calls",
        help=(
            "start with an empty effective set and retry each refused call with one "
            "capability added; all-calls: slower, for programs that trace others"
        ),
    )
    more.add_argument("--copies", action="store_true", help=argparse.SUPPRESS)
    more.add_argument(
        "--replace",
        action="store_true",
        help="stop running containers, record instead, start them again",
    )
    _harden(more)
    _quiet(more)
    _no_tui(more)
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="COMMAND", help="record this command"
    )


_ATTACH = """\
The target is never stopped or signalled; only --restart restarts a unit. Ctrl-C ends the recording.
The report is saved every three minutes.

examples:
  capadvise attach --for 60 web
  capadvise attach --for 7d -o web.json web
  capadvise attach --for 60 nginx.service
  capadvise attach --for 60 'prod/web-*' -o web/
"""


def attach(verbs: Verbs) -> None:
    parser = verb(
        *(verbs, "attach", "[options] PID|CONTAINER|UNIT|NAMESPACE/POD"),
        "record something that is already running: a process, a container, a systemd unit, a pod",
        _ATTACH,
    )
    _report(
        parser, "write the report to this file; with several pods or containers, into this folder"
    )
    _check(parser, "end the recording once this shell command succeeds")
    _until(parser, "end the recording")
    verbose_option(parser)
    _json(parser)
    parser.more.add_argument(
        "--restart",
        action="store_true",
        help="restart a unit, its set unchanged, to see its start",
    )
    _check_details(parser.more)
    _quiet(parser.more)
    _no_tui(parser.more)
    parser.add_argument(
        "what",
        metavar="PID|CONTAINER|UNIT|NAMESPACE/POD",
        help="name a unit as web.service, a container of a pod as NAMESPACE/POD/CONTAINER",
    )


_WATCH = """\
A line for each new kind of refusal: whose call it was (container, pod, unit, user or program), what
the call was, what refused it, and the cure. Repetitions are counted: Ctrl-C ends with a summary,
SIGHUP prints one in between. On a terminal, a screen shows the same by owner. The kernel does the
counting; this needs root and Linux 5.15.

examples:
  capadvise watch
  capadvise watch --for 2h --json
  capadvise watch --against reports/
"""


def watch(verbs: Verbs) -> None:
    parser = verb(
        *(verbs, "watch", "[options]"),
        "watch the whole machine: what is refused, whose it is, and the cure",
        _WATCH,
    )
    _until(parser, "stop watching")
    parser.add_argument("--all", action="store_true", help="show refusals without effect, too")
    parser.add_argument(
        "--against",
        metavar="REPORT|DIR",
        help="say of each refusal whether the report of its service covers it",
    )
    json_option(parser, "print one JSON object a line")
    more = parser.more
    more.add_argument(
        "--every-call",
        action="store_true",
        help="show refusals without a capability check, too: errors by seccomp, read-only mounts "
        "…; makes system calls of the whole machine slower (1.07 to 1.2 times)",
    )
    more.add_argument(
        "--since-boot",
        action="store_true",
        help="start with the audit records of this boot, from auditd's files, the journal or the "
        "kernel's messages",
    )
    more.add_argument(
        "--prometheus",
        metavar="FILE",
        help="write counters to this file, for the textfile collector of the node exporter",
    )
    more.add_argument(
        "--emit",
        choices=("systemd", "kubernetes"),
        help="print a unit or a DaemonSet that runs watch with the least that it needs",
    )
    more.add_argument(
        "-q", "--quiet", action="store_true", help="disable the TUI, and print no start message"
    )
    _no_tui(more)


_PROVE = """\
The format of a workload file: capadvise help workloads.

example: capadvise prove web.json -o proven.json
"""


def prove(verbs: Verbs) -> None:
    parser = verb(
        *(verbs, "prove", "[options] WORKLOAD.yaml|REPORT"),
        "find and prove the smallest set, by running with less",
        _PROVE,
    )
    parser.add_argument(
        "file", metavar="WORKLOAD.yaml|REPORT", help="take the command and its check from this file"
    )
    _report(parser, "write the report to this file; with several workloads, into this folder")
    _check(parser, "judge trials by this shell command, instead of the one in the report")
    verbose_option(parser)
    _json(parser)
    more = parser.more
    _check_after(more)
    _harden(more)
    _isolation(more)
    data = more.add_mutually_exclusive_group()
    data.add_argument(
        "--fresh-only",
        dest="data",
        action="store_const",
        const="fresh",
        help="start containers only with new volumes and empty folders",
    )
    data.add_argument(
        "--data-only",
        dest="data",
        action="store_const",
        const="data",
        help="start containers only with the existing data",
    )
    more.add_argument(
        "--trust",
        action="store_true",
        help="run what the file says, although another user can write it, or it comes through a "
        "pipe",
    )
    more.add_argument(
        "-j", "--jobs", type=int, default=1, metavar="N", help="run N workloads at a time"
    )


def _isolation(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--isolate",
        action="store_true",
        default=True,
        help="give trials their own mounts, network, host name and IPC, and overlays for files "
        "(default)",
    )
    parser.add_argument(
        "--no-isolate",
        dest="isolate",
        action="store_false",
        help="run the trials of a recorded command in the real environment",
    )
    parser.add_argument(
        "--userns",
        action="store_true",
        help="run the trials in a user namespace, and find the minimal set there",
    )
    parser.add_argument(
        "--in-place",
        action="store_true",
        help="let the trials of a recorded command write to the real files; isolate the rest",
    )
    parser.add_argument(
        "--reuse-volumes",
        action="store_true",
        help="let the trials of a container write to its own volumes instead of copies",
    )


_IMPORT = """\
It reads auditd's audit.log, ausearch (raw or -i), journalctl -k, dmesg, syslog and logcat: denials
by AppArmor and SELinux, system calls that failed with EPERM or EACCES, and seccomp records.
An audit log holds refusals only: this shows what is missing, not all that is needed.

example: journalctl -k | capadvise import - --program cupsd
"""


def import_(verbs: Verbs) -> None:
    parser = verb(verbs, "import", "[options] FILE", "build a report from an audit log", _IMPORT)
    parser.add_argument("log", metavar="FILE", help="read this log; - for standard input")
    parser.add_argument(
        "--program", metavar="NAME", help="choose the program, where the log covers several"
    )
    _report(parser, "write the report to this file")
    verbose_option(parser)
    _json(parser)


_INSPECT = """\
Without a target: a line for each process that holds a capability, or could get one.

examples:
  capadvise inspect container:web
  capadvise inspect 812
  capadvise inspect self
"""


def inspect(verbs: Verbs) -> None:
    parser = verb(
        *(verbs, "inspect", "[options] [TARGET …]"),
        "show what a process or container holds, and what confines it",
        _INSPECT,
    )
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="name it: container:NAME, image:NAME, NAME.service, PID or self",
    )
    parser.add_argument(
        "--seccomp",
        action="store_true",
        help="list the calls that its seccomp filter refuses though its capabilities would allow "
        "them; stops the process for a moment",
    )
    json_option(parser, "print JSON, always a list")


def doctor(verbs: Verbs) -> None:
    parser = verb(
        verbs, "doctor", "[options]", "show what can be observed here, and how to get more"
    )
    parser.add_argument(
        "--self-test",
        action="store_true",
        help="record a small program with known needs in every way that works here; exit with 1 "
        "if an answer was wrong",
    )


def _harden(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--harden",
        action="store_true",
        help="prove the set of a systemd unit, then find the options of systemd that it works with",
    )


def _report(parser: argparse._ActionsContainer, where: str) -> None:
    parser.add_argument("-o", "--output", metavar="REPORT", help=where)


def _json(parser: argparse._ActionsContainer) -> None:
    json_option(parser, "print the report on stdout")


def _check(parser: argparse._ActionsContainer, what: str) -> None:
    parser.add_argument("--check", metavar="SHELL", help=what)


def _until(parser: argparse._ActionsContainer, end: str) -> None:
    parser.add_argument(
        "--for",
        dest="seconds",
        type=seconds,
        metavar="TIME",
        help=f"{end} after this time: seconds, or 10m, 2h, 7d",
    )


def _check_details(parser: argparse._ActionsContainer) -> None:
    _check_after(parser)
    parser.add_argument(
        "--kind",
        choices=("oneshot", "daemon"),
        help="run the check only after the target has ended (oneshot), or only while it runs "
        "(daemon)",
    )


def _check_after(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--check-after",
        type=seconds,
        metavar="SECONDS",
        help="wait this long before the first check",
    )


def _quiet(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print no result; only write the report"
    )


def _no_tui(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--no-tui", action="store_true", help="disable the TUI")
