"""``capadvise explain``: a capability, a kernel function, or what a report says."""

from __future__ import annotations

import argparse
import os
from fnmatch import fnmatchcase
from pathlib import Path

from capadvise.caps import Cap
from capadvise.catalog import default
from capadvise.errors import BadInput, Exit
from capadvise.report.explain import capability_text, report_text, rule_text
from capadvise.report.load import load


def command(args: argparse.Namespace) -> int:
    """Print what is known."""
    catalog = default()
    if args.site:
        rules = [
            rule
            for rule in catalog.sites.rules
            if any(fnmatchcase(args.site, name) for name in (*rule.at, *rule.below) if name != "*")
        ]
        if not rules:
            raise BadInput(f"no rule of the catalog names the kernel function {args.site!r}")
        lines = [line for rule in rules for line in rule_text(rule)]
    elif not args.what:
        raise BadInput("explain what?", hint="capadvise explain CAP | REPORT | --site FUNCTION")
    elif os.path.exists(args.what):
        lines = list(report_text(load(Path(args.what), catalog), catalog))
    else:
        try:
            cap = Cap.parse(args.what)
        except ValueError as error:
            raise BadInput(
                f"{args.what!r} is neither a capability nor a report file",
                hint="capadvise catalog list shows all capabilities",
            ) from error
        lines = list(capability_text(cap, catalog))
    print("\n".join(lines))
    return Exit.OK
