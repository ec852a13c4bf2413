"""A tracer to which no thread tells of those that it makes, as if it were killed at that moment.

The target makes a child, which ends with 7. What the tracer tells is printed, a line each.
"""

from __future__ import annotations

import os
import platform
import signal
import time

from capadvise.catalog import default
from capadvise.catalog.syscalls import AUDIT_ARCHS, INTERFACES
from capadvise.observe.retry import machine
from capadvise.observe.retry.thread import Thread
from capadvise.observe.retry.tracer import Tracer
from capadvise.observe.retry.tree import EvidenceLog


class Deaf(Tracer):
    """It hears of no new threads."""

    def fork_stop(self, thread: Thread) -> None:
        self.injector.resume(thread)


def target() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    child = os.fork()
    if child == 0:
        os._exit(7)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def main() -> None:
    pid = os.fork()
    if pid == 0:
        target()
    os.waitpid(pid, os.WUNTRACED)
    numbers = default().syscalls.numbers
    plan = {
        **{"every_call": False, "pid": pid, "program": "target", "errnos": []},
        **{"denied": None, "alone": True, "in_namespace": False},
        "numbers": [[arch, numbers[AUDIT_ARCHS[arch]]] for arch in INTERFACES[platform.machine()]],
    }
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    tracer = Deaf(machine.here(), plan, EvidenceLog(lambda told: print(dict(told)), time.time))
    tracer.seize(pid)
    os.kill(pid, signal.SIGCONT)
    ended = tracer.ended

    def report(tid: int) -> None:
        print("ended", "target" if tid == pid else "child")
        ended(tid)

    tracer.ended = report  # type: ignore[method-assign]
    tracer.run()


if __name__ == "__main__":
    main()
