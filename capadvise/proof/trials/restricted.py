"""Executes a command with no more than a set of capabilities, as a target is in a trial.

A reload runs it with the arguments ``CAP_A,CAP_B PROGRAM …``.
"""

import os
import sys

from capadvise.kernel import libc, procfs
from capadvise.model.caps import parse_set


def main() -> None:
    """Drop all other capabilities, and execute."""
    keep = parse_set(name for name in sys.argv[1].split(",") if name)
    for cap in procfs.capability_sets().bounding - keep:
        libc.drop_bounding(int(cap))
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
