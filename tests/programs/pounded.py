"""Threads whose calls are refused again and again, while job control stops and continues them.

Usage: pounded.py ROUNDS, as root in a folder with a folder ``foreign`` that only another user may
search. Prints the errors that the calls failed with, and how often each.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
from collections import Counter

THREADS = 2


def main() -> None:
    rounds = int(sys.argv[1])
    os.setgroups([])
    os.setresgid(0, 0, 1000)
    os.setresuid(1000, 1000, 0)
    read, write = os.pipe()
    target = os.getpid()
    pounding = os.fork()
    if not pounding:
        os.close(write)
        pound(target, read)
    os.close(read)
    errors = [Counter[str]() for _ in range(THREADS)]
    threads = [threading.Thread(target=work, args=(rounds, counter)) for counter in errors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.close(write)
    os.waitpid(pounding, 0)
    print(dict(sum(errors, Counter())))


def pound(target: int, until: int) -> None:
    """Stop and continue it until the other end of a pipe is closed."""
    while not select.select([until], [], [], 0.001)[0]:
        os.kill(target, signal.SIGSTOP)
        os.kill(target, signal.SIGCONT)
    os._exit(0)


def work(rounds: int, errors: Counter[str]) -> None:
    for _ in range(rounds):
        try:
            os.mkdir("foreign/new")
        except OSError as error:
            errors[errno.errorcode[error.errno or 0]] += 1
        else:
            errors["ok"] += 1


main()
