"""``capadvise diff``: what changed between two reports."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from capadvise.catalog import default
from capadvise.errors import Exit
from capadvise.report.diff import diff, diff_json, diff_text
from capadvise.report.escape import printable
from capadvise.report.load import load
from capadvise.report.save import write


def command(args: argparse.Namespace) -> int:
    """Print the changes; 1 when the recommended set is another one."""
    catalog = default()
    before, after = load(Path(args.before), catalog), load(Path(args.after), catalog)
    names = [printable(report.target.name) for report in (before, after)]
    if names[0] != names[1]:
        print(f"capadvise: note: {names[0]} is compared with {names[1]}", file=sys.stderr)
    found = diff(before, after)
    text = json.dumps(diff_json(found), indent=1) if args.json else "\n".join(diff_text(found))
    if args.output:
        write(Path(args.output), f"{text}\n", private=True)  # as the reports are
    else:
        print(text)
    return Exit.OK if found.same_set else Exit.FAILED
