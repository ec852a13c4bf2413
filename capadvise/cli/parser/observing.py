"""The arguments of what observes programs: run, attach, watch, prove, import, inspect, doctor."""

from __future__ import annotations

import argparse

from capadvise.cli.parser.verbs import Verbs, seconds, verb
from capadvise.config.watch_files import FILES

_RUN = """\
example: capadvise run --check 'curl -fs localhost' -- nginx -g 'daemon off;'

The recording ends when all that the command started has ended, a daemon included, and earlier with
--check, --for or Ctrl-C.
"""


def run(verbs: Verbs) -> None:
    parser = verb(
        verbs, "run", "[options] -- COMMAND …", "run a command and find what it needs", _RUN
    )
    _report(parser, "where to write the report; of several containers: a folder")
    _recording(
        parser,
        check="shell command that succeeds when the target works; the target is then stopped",
        end="stop the target",
    )
    parser.add_argument("--user", metavar="USER", help="run as this user, with every capability")
    parser.add_argument(
        "--retry",
        nargs="?",
        const="auto",
        choices=("auto", "all-calls"),
        metavar="all-calls",
        help=(
            "start with an empty effective set and retry each refused call with one "
            "capability added"
        ),
    )
    parser.add_argument("--copies", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--replace",
        action="store_true",
        help="record in the place of containers that are up: they are stopped meanwhile, and "
        "started again; without it, nothing that is up is touched",
    )
    parser.add_argument(
        "--prove",
        action="store_true",
        help="afterwards, run trials to find the floor: the smallest set that works",
    )
    _harden(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="the report on stdout; the target's output goes to stderr",
    )
    parser.add_argument("--no-tui", action="store_true", help="disable the TUI")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")


_ATTACH = """\
The target is never stopped or signalled. Ctrl-C ends the recording. Only with --restart, a unit is
restarted once it is watched, with the set that it has: its start is seen, and what is refused. The
report is saved every three minutes meanwhile.

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
    _report(parser, "where to write the report; of the containers of pods: a folder")
    _recording(
        parser,
        check="shell command that ends the recording when it passes",
        end="end the recording",
    )
    _json(parser)
    parser.add_argument(
        "--restart",
        action="store_true",
        help="restart a unit as it is, to see it from its first instruction",
    )
    parser.add_argument("--no-tui", action="store_true", help="disable the TUI")
    parser.add_argument(
        "what",
        metavar="PID|CONTAINER|UNIT|NAMESPACE/POD",
        help="a unit: web.service; a container of a pod: NAMESPACE/POD/CONTAINER",
    )


def _isolation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--isolate",
        action="store_true",
        default=True,
        help="own mounts, network, host name and IPC, and overlays for files: the default",
    )
    parser.add_argument(
        "--no-isolate",
        dest="isolate",
        action="store_false",
        help="none of that: try a recorded command in the real environment",
    )
    parser.add_argument(
        "--userns",
        action="store_true",
        help="make the trials in a user namespace, and find the minimal set there",
    )
    parser.add_argument(
        "--in-place",
        action="store_true",
        help="let trials of a recorded command write to the real files; the rest stays isolated",
    )
    parser.add_argument(
        "--reuse-volumes",
        action="store_true",
        help="let trials of a container write to its own volumes instead of copies",
    )


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


_PROVE = """\
The format of a workload file: capadvise help workloads.

example: capadvise prove web.json -o proven.json
"""


def prove(verbs: Verbs) -> None:
    parser = verb(
        *(verbs, "prove", "[options] WORKLOAD.yaml|REPORT"),
        "try exactly this set, and show that no member can be dropped",
        _PROVE,
    )
    parser.add_argument("file", metavar="WORKLOAD.yaml|REPORT")
    parser.add_argument(
        "--check",
        metavar="SHELL",
        help=(
            "for a report: shell command that succeeds when the target works, instead of "
            "the recorded one"
        ),
    )
    _check_after(parser)
    _harden(parser)
    _isolation(parser)
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--fresh-only",
        dest="data",
        action="store_const",
        const="fresh",
        help="trials of a container only start with new volumes and empty folders",
    )
    data.add_argument(
        "--data-only",
        dest="data",
        action="store_const",
        const="data",
        help="trials of a container only start with the existing data",
    )
    parser.add_argument(
        "-j", "--jobs", type=int, default=1, metavar="N", help="run this many workloads at a time"
    )
    _report(parser, "where to write the report; of several workloads: a folder")
    _json(parser)


_IMPORT = """\
It reads auditd's audit.log, ausearch (raw or -i), journalctl -k, dmesg, syslog and logcat: denials
by AppArmor and SELinux, system calls that failed with EPERM or EACCES, and seccomp records.
An audit log holds refusals only: this shows what is missing, not all that is needed.

example: journalctl -k | capadvise import - --program cupsd
"""


def import_(verbs: Verbs) -> None:
    parser = verb(verbs, "import", "[options] FILE", "build a report from an audit log", _IMPORT)
    parser.add_argument("log", metavar="FILE", help="- for standard input")
    parser.add_argument(
        "--program", metavar="NAME", help=("which program, where the log covers several")
    )
    _report(parser, "where to write the report")
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
        "what a process or container holds, and what confines it",
        _INSPECT,
    )
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="container:NAME, image:NAME, NAME.service, PID or self",
    )
    parser.add_argument(
        "--seccomp",
        action="store_true",
        help="which calls its filter refuses though its capabilities would open them; stops the "
        "process for a moment",
    )
    parser.add_argument("--json", action="store_true", help="as JSON, always a list")


def doctor(verbs: Verbs) -> None:
    parser = verb(verbs, "doctor", "[options]", "what can be observed here, and how to get more")
    parser.add_argument(
        "--self-test",
        action="store_true",
        help="record a small program whose needs are known, in each way that there is here; exit "
        "code 1: an answer was wrong",
    )


def _harden(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--harden",
        action="store_true",
        help="for a systemd unit: prove its set, then try which options of systemd it works with",
    )


def _report(parser: argparse.ArgumentParser, where: str) -> None:
    parser.add_argument("-o", "--output", metavar="REPORT", help=where)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the report on stdout")


def _check_after(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check-after",
        type=seconds,
        metavar="SECONDS",
        help="first try the check so long after the start, where a try would get in its way",
    )


def _recording(parser: argparse.ArgumentParser, *, check: str, end: str) -> None:
    parser.add_argument("--check", metavar="SHELL", help=check)
    _check_after(parser)
    parser.add_argument(
        "--kind",
        choices=("oneshot", "daemon"),
        help="run the check only after the target has ended, or only while it runs",
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=seconds,
        metavar="TIME",
        help=f"{end} after this time: seconds, or 10m, 2h, 7d",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print no proposal")
