"""A run that cannot begin: what was made for it is removed."""

from __future__ import annotations

import subprocess
import sys

HIDDEN = """
import os
from capadvise.errors import CannotObserve
from capadvise.linux.ftrace import tracefs
from capadvise.linux.supervise.command import Command
from capadvise.linux.supervise.record import observe
from capadvise.linux.ftrace.kallsyms import Reading

def refuse(self):
    raise CannotObserve("the addresses are hidden")

Reading.result = refuse
try:
    observe(Command(("true",), wait=True))
except CannotObserve as error:
    print(error)
print(list((tracefs.find() / "instances").glob(f"{tracefs.PREFIX}{os.getpid()}-*")))
"""


def test_what_fails_while_the_buffers_are_made_leaves_none() -> None:
    """As where the kernel hides its addresses, which is known sooner than the buffers are there.
    A process of its own: the recorder's takes orphans in."""
    done = subprocess.run([sys.executable, "-c", HIDDEN], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("the addresses are hidden\n[]\n", 0), done.stderr
