"""``capadvise inspect``: what a process holds and what restrains it."""

from __future__ import annotations

import argparse
import json

from capadvise.catalog import default
from capadvise.errors import BadInput, Exit
from capadvise.linux.inspection import holders, inspect_target, with_filter
from capadvise.linux.posture import Machine
from capadvise.report.inspection import dump_inspection, inspection_text, table


def command(args: argparse.Namespace) -> int:
    """Print what is known of each target; without one, a line for each process."""
    machine = Machine.read()
    if args.targets:
        found = [inspect_target(text, machine) for text in args.targets]
    else:
        found = list(holders(machine))
    if args.seccomp:
        if len(found) != 1 or not args.targets:
            raise BadInput("--seccomp stops a process for a moment: name exactly one")
        found = [with_filter(found[0], default())]
    if args.json:
        print(json.dumps([dump_inspection(item) for item in found], indent=1))
    elif not args.targets:
        print(*table(found, default()), sep="\n")
    else:
        print("\n\n".join("\n".join(inspection_text(item, default())) for item in found))
    return Exit.OK
