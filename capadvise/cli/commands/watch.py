"""``capadvise watch``: show what is refused on this machine, to whom, and the cure."""

import argparse
import errno
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from capadvise.catalog import default
from capadvise.cli.commands.screens import open_watch
from capadvise.judgement.watched import WatchFinding
from capadvise.kernel.own_streams import replace_dead_streams
from capadvise.model.errors import Exit
from capadvise.report.save import write
from capadvise.report.watch import finding_json, finding_line, metrics, summary_json, summary_lines
from capadvise.targets.running.machine import MachineWatch
from capadvise.workflow.notice import has_screens, notice
from capadvise.workflow.reports import check_writable
from capadvise.workflow.watch import Expected, Reporter, watch, watch_on_screen


def command(args: argparse.Namespace) -> int:
    """0, whatever was refused."""
    catalog = default()
    if args.emit:
        (path,) = (catalog.folder / "watch").glob(f"{args.emit}.*")
        print(path.read_text(encoding="utf-8"), end="")
        return Exit.OK
    if args.prometheus:
        check_writable(Path(args.prometheus), option="--prometheus")
    printer = _Printer(args, Expected.read(args.against, catalog) if args.against else None)
    counted = printer.counted if args.prometheus else None
    reporter = Reporter(printer.begun, printer.new, printer.summary, counted)
    how = {"every_call": args.every_call, "log": args.since_boot}
    if not (args.no_tui or args.json or args.quiet) and has_screens():
        chosen = {"note": printer.note_of, "everything": args.all, "seconds": args.seconds}
        watch_on_screen(catalog, reporter, **how, show=partial(open_watch, **chosen))
    else:
        watch(catalog, reporter, args.seconds, **how)
    return Exit.OK


@dataclass(frozen=True, slots=True)
class _Printer:
    """Prints findings, and writes counters for Prometheus, as the arguments ask."""

    args: argparse.Namespace
    expected: Expected | None

    def begun(self, machine: MachineWatch) -> None:
        if not self.args.quiet:
            notice("watching this machine for refused calls; Ctrl-C ends it with a summary")
            if not machine.hears_audit:
                notice(_DEAF)
            if self.args.since_boot:
                notice(f"audit records of this boot: {machine.log or 'none'}")

    def note_of(self, finding: WatchFinding) -> str | None:
        """A sentence from the reports of ``--against``."""
        return self.expected.note(finding) if self.expected else None

    def new(self, finding: WatchFinding) -> None:
        if finding.hidden is None or self.args.all:
            note = self.note_of(finding)
            when = _time(finding.call.time)
            line = finding_json(finding, when, note) if self.args.json else None
            _print([line or finding_line(finding, note)])

    def summary(self, machine: MachineWatch) -> None:
        shown = [each for each in machine.findings if self.args.all or each.hidden is None]
        seconds, dropped = machine.seconds, machine.dropped
        if self.args.json:
            _print(summary_json(shown, seconds, _time(), dropped=dropped))
        else:
            lines = summary_lines(
                machine.findings, seconds, dropped=dropped, everything=self.args.all
            )
            _print(lines)

    def counted(self, machine: MachineWatch) -> None:
        write(Path(self.args.prometheus), metrics(machine.findings, machine.dropped), private=False)


_DEAF = (
    "the kernel sends no audit records (they take AUDIT_READ and the machine's network namespace): "
    "refusals by AppArmor and SELinux are not seen"
)


def _print(lines: Iterable[str]) -> None:
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        replace_dead_streams()  # SIGHUP comes, and ends it; with nohup it goes on


def _time(seconds: float | None = None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
