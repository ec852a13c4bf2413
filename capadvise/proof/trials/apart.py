"""One call in a process of its own, and its result.

Who has recorded once has given up what it takes to record again (``own_caps``).
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
    """Tells the result of a call."""

    def __call__(self, result: Any, *, so_far: bool = False) -> None:
        """``so_far``: of what has been done up to now. Else only the first one counts."""


Call = Callable[[Tell], object]
"""A call that tells its result, and may have something to undo after that."""


class FailedApart(CapadviseError):
    """The call failed, or its process was killed."""


class Apart(Generic[_T]):
    """A process that makes a call. SIGTERM goes to it while it is waited for, and it ends in its
    own way then."""

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
        """As soon as it is told; ``so_far`` is given what is told before. Raises FailedApart with
        what the call raised."""
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
        """Until everything is undone."""
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
            with suppress(BrokenPipeError):  # nobody waits any more
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
    finally:  # whatever it was, this child must not go on as its parent
        os._exit(0)
