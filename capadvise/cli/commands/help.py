"""``capadvise help``: the documentation pages, which say more than ``--help``; and the start page,
which ``capadvise`` alone shows."""

import argparse
import os
import sys
import textwrap

from capadvise.cli.manual import TOPICS, page
from capadvise.cli.parser import COMMANDS, build_parser
from capadvise.cli.parser.base import columns
from capadvise.model.errors import Exit

_WIDEST = 100
"""Longer lines are hard to read."""


def command(args: argparse.Namespace) -> int:
    """Show a page, or the help of a command, or the list of pages."""
    if args.topic is None:
        width = max(map(len, TOPICS)) + 1
        for topic, what in TOPICS.items():
            line = f"{topic:{width}}{what}"
            print(textwrap.fill(line, min(columns(), _WIDEST), subsequent_indent=" " * width))
    elif args.topic in COMMANDS and args.topic not in TOPICS:
        build_parser(args.topic).parse_args([args.topic, "--help"])
    else:
        show(args.topic)
    return Exit.OK


def show(topic: str) -> None:
    """Show a page, in a pager if stdout is a terminal. Raises BadInput for one that there is
    not."""
    markdown = page(topic)
    from capadvise.cli.manual.terminal import rendered

    styled = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    text = rendered(markdown, min(columns(), _WIDEST), TOPICS, styled=styled)
    if not (sys.stdout.isatty() and _paged(text)):
        print(text, end="")


def _paged(text: str) -> bool:
    """Let the user's pager show a text; False if there is none."""
    import shutil
    import signal
    import subprocess

    pager = os.environ.get("PAGER", "less -R")
    if not pager.strip() or shutil.which(pager.split()[0]) is None:
        return False
    # less ends by itself if the text fits the screen, and leaves it there
    environment = {"LESS": "FRX", **os.environ}
    shown = subprocess.Popen(pager, shell=True, stdin=subprocess.PIPE, text=True, env=environment)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's
    try:
        shown.communicate(text)
    finally:
        signal.signal(signal.SIGINT, before)
    return True
