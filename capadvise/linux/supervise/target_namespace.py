"""The user namespace of a target: entered in its process, before its exec.

The standard library alone, for the launcher's sake: python-prctl is loaded there.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from capadvise import clone_flags
from capadvise.linux.kernel import libc

_NO_CAPABILITY = 63


class Refused(Exception):
    """A step before the target's exec failed."""

    def __init__(self, step: str, code: int) -> None:
        super().__init__(step)
        self.step, self.code = step, code


def enter_namespace(plan: dict[str, Any], go: int, failed: int) -> None:
    """One that there is, or a new one, where the plan wants that: the guardian maps its ids."""
    new = plan["retry"] and plan["retry"]["maps"]
    try:
        if plan["namespace"]:
            users = os.open(plan["namespace"], os.O_RDONLY | os.O_CLOEXEC)
            libc.setns(users, clone_flags.CLONE_NEWUSER)
        elif new:
            libc.unshare(clone_flags.CLONE_NEWUSER)
    except OSError as error:
        step = "make a user namespace" if new else "enter the trial's user namespace"
        raise Refused(step, error.errno or 0) from error
    if not new:
        return
    os.write(failed, b"ready\n")
    if not os.read(go, 1):
        os._exit(1)


def tell_namespace(plan: dict[str, Any]) -> None:
    """Let the kernel make a check that is about the process's own user namespace: so the trace
    tells which one that is (``Tracker``)."""
    if plan["namespace"]:
        with contextlib.suppress(OSError):
            libc.drop_bounding(_NO_CAPABILITY)
