"""``capadvise diff``: show what changed between two reports."""

import argparse
import json
from pathlib import Path

from capadvise.catalog import default
from capadvise.model.errors import Exit
from capadvise.report.diff import Diff, diff, diff_json, diff_text
from capadvise.report.load import load
from capadvise.report.save import write
from capadvise.report.version_1 import downgraded
from capadvise.workflow.notice import notice


def command(args: argparse.Namespace) -> int:
    """Print the changes; 1 when the recommended set is another one."""
    catalog = default()
    before, after = load(Path(args.before), catalog), load(Path(args.after), catalog)
    if before.target.name != after.target.name:
        notice(f"note: {before.target.name} is compared with {after.target.name}")
    changes = diff(before, after, catalog)
    text = _json(changes, args.json) if args.json else "\n".join(diff_text(changes))
    if args.output:
        write(Path(args.output), f"{text}\n", private=True)  # as the reports are
    else:
        print(text)
    return Exit.OK if changes.same_set else Exit.FAILED


def _json(changes: Diff, version: int) -> str:
    document = diff_json(changes)
    return json.dumps(downgraded(document) if version == 1 else document, indent=1)
