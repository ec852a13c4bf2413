"""``capadvise explain``: a capability, a kernel function, or what a report says."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from capadvise.catalog import Catalog, default
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput, Exit


def command(args: argparse.Namespace) -> int:
    """Print what is known."""
    print("\n".join(_lines(args, default())))
    return Exit.OK


def _lines(args: argparse.Namespace, catalog: Catalog) -> Iterator[str]:
    if args.site and args.what:
        raise BadInput(f"{args.what!r} and --site cannot be combined")
    if args.site:
        return _site(args.site, catalog)
    if not args.what:
        raise BadInput("explain what?", hint="capadvise explain CAP | REPORT | --site FUNCTION")
    if os.path.exists(args.what):
        from capadvise.report.explain_report import report_text
        from capadvise.report.load import load

        return report_text(load(Path(args.what), catalog), catalog)
    try:
        cap = Cap.parse(args.what)
    except ValueError as error:
        raise BadInput(
            f"{args.what!r} is neither a capability nor a report file",
            hint="capadvise catalog list shows all capabilities",
        ) from error
    from capadvise.report.explain import capability_text

    return capability_text(cap, catalog)


def _site(function: str, catalog: Catalog) -> Iterator[str]:
    from capadvise.catalog.sites import is_wrapper
    from capadvise.report.explain import rules_of, similar, site_text, wrapper_text

    if is_wrapper(function):
        return wrapper_text(function)
    rules = rules_of(function, catalog)
    if not rules:
        near = similar(function, catalog)
        raise BadInput(
            f"the catalog has no rule for the kernel function {function!r}",
            hint=f"did you mean {' or '.join(near)}?"
            if near
            else "capadvise help sites lists all rules",
        )
    return site_text(function, rules, catalog)
