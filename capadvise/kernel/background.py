"""A call in a thread of its own. concurrent.futures does more, and costs 6 ms to import."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Background(Generic[_T]):
    """Start a call at once; ``result`` waits for it, and raises what it raised."""

    def __init__(self, call: Callable[[], _T]) -> None:
        self._call = call
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:  # raised again in result()
            self._error = error

    @property
    def ended(self) -> bool:
        """True if ``result`` returns without waiting."""
        return not self._thread.is_alive()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the call has returned or raised, or for at most ``seconds``."""
        self._thread.join(seconds)

    def result(self) -> _T:
        """Wait for the call, and return what it returned."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value
