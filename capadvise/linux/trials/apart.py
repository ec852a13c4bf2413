"""One call in a process of its own, and its result.

Who has recorded once has given up what it takes to record again (``own_caps``).
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from typing import NoReturn, TypeVar

from capadvise.errors import CapadviseError
from capadvise.linux.kernel import libc

_T = TypeVar("_T")


class Apart(CapadviseError):
    """The call failed, or its process was killed."""


def call_apart(call: Callable[[], _T]) -> _T:
    """Fork, call, and wait; SIGTERM goes to the process, which ends in its own way then.

    Raises Apart with what the call raised.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        libc.set_parent_death_signal(signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _call(call, write)
    os.close(write)
    handler = signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        with os.fdopen(read, "rb") as pipe:
            data = pipe.read()
        os.waitpid(pid, 0)
    finally:
        signal.signal(signal.SIGTERM, handler)
    if not data:
        raise Apart("its process was killed")
    result, problem = pickle.loads(data)
    if problem is not None:
        raise Apart(problem)
    value: _T = result
    return value


def _call(call: Callable[[], object], write: int) -> NoReturn:
    value: tuple[object, str | None]
    try:
        value = call(), None
    except (CapadviseError, OSError) as error:
        value = None, str(error) or type(error).__name__
    except SystemExit:
        value = None, "it was ended"
    with os.fdopen(write, "wb") as pipe:
        pickle.dump(value, pipe)
    os._exit(0)
