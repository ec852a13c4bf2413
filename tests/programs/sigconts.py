"""A process whose calls are refused all the time, while another one sends it SIGCONT, each time
after it has handled the one before.

Usage: sigconts.py ROUNDS, as root in a folder with a folder ``foreign`` that only another user may
search. Prints how many signals were handled; the first that is lost is the last.
"""

from __future__ import annotations

import os
import select
import signal
import sys

PATIENCE = 60
"""Seconds after which a signal is lost."""


def main() -> None:
    rounds = int(sys.argv[1])
    os.setgroups([])
    os.setresgid(0, 0, 1000)
    os.setresuid(1000, 1000, 0)
    handled, say = os.pipe()
    signal.signal(signal.SIGCONT, lambda *_: os.write(say, b"1"))
    target = os.getpid()
    sender = os.fork()
    if not sender:
        send(target, rounds, handled)
    while not os.waitpid(sender, os.WNOHANG)[0]:
        for _ in range(20):
            try:
                os.mkdir("foreign/new")
            except PermissionError:
                continue


def send(target: int, rounds: int, handled: int) -> None:
    """Send the signals, one by one."""
    number = 0
    while number < rounds:
        os.kill(target, signal.SIGCONT)
        if not select.select([handled], [], [], PATIENCE)[0]:
            break
        os.read(handled, 1)
        number += 1
    os.write(1, f"{number}\n".encode())
    os._exit(0)


main()
