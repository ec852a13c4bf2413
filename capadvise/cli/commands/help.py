"""``capadvise help``: the documentation pages, which say more than ``--help``."""

from __future__ import annotations

import argparse

from capadvise.cli.manual import TOPICS, page
from capadvise.model.errors import Exit


def command(args: argparse.Namespace) -> int:
    """Print a page, or the list of them."""
    if args.topic is not None:
        print(page(args.topic), end="")
        return Exit.OK
    width = max(map(len, TOPICS))
    for topic, what in TOPICS.items():
        print(f"{topic:{width}} {what}")
    return Exit.OK
