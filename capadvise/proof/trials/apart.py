"""One call in a process of its own, and its result.

A process that has recorded cannot record again: it has given up the capabilities (``own_caps``).
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Generic, NoReturn, Protocol, TypeVar

from capadvise.kernel import libc
from capadvise.model.errors import CapadviseError

_T = TypeVar("_T")


class Tell(Protocol):
    """Sends the result of a call."""

    def __call__(self, result: Any, *, so_far: bool = False) -> None:
        """``so_far``: it is the result up to now; only the first other one counts."""


Call = Callable[[Tell], object]
"""A call that sends its result, and may have something to undo after that."""


class FailedApart(CapadviseError):
    """The call failed, or its process was killed."""


class Apart(Generic[_T]):
    """A process that makes a call. While it is awaited, SIGTERM is passed on to it, and it ends in
    its own way."""

    def __init__(self, call: Call) -> None:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self._read, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._read)
            libc.set_parent_death_signal(signal.SIGTERM)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            _make(call, os.fdopen(write, "wb"))
        os.close(write)

    def result(self, so_far: Callable[[Any], object] = lambda _: None) -> _T:
        """Wait for the result; ``so_far`` gets earlier ones. Raises FailedApart with the error of
        the call."""
        with self._passing_on(), os.fdopen(self._read, "rb") as pipe:
            try:
                while True:
                    last, result, problem = pickle.load(pipe)
                    if last:
                        break
                    so_far(result)
            except (EOFError, pickle.UnpicklingError):
                raise FailedApart("its process was killed") from None
        if problem is not None:
            raise FailedApart(problem)
        value: _T = result
        return value

    def wait(self) -> None:
        """Wait until everything is undone."""
        with self._passing_on():
            os.waitpid(self._pid, 0)

    @contextmanager
    def _passing_on(self) -> Iterator[None]:
        handler = signal.signal(signal.SIGTERM, lambda *_: os.kill(self._pid, signal.SIGTERM))
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, handler)


def _make(call: Call, pipe: BinaryIO) -> NoReturn:
    told = False

    def tell(result: Any, problem: str | None = None, *, so_far: bool = False) -> None:
        nonlocal told
        if not told:
            told = not so_far
            with suppress(BrokenPipeError):  # the parent does not wait any more
                pickle.dump((told, result, problem), pipe)
                pipe.flush()

    try:
        call(tell)
    except (CapadviseError, OSError) as error:
        tell(None, str(error) or type(error).__name__)
    except SystemExit:
        tell(None, "it was ended")
    except Exception as error:  # a defect of ours
        tell(None, repr(error))
    finally:  # in any case, this child must not go on as its parent
        os._exit(0)
