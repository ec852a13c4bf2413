"""What a recording is about, as the event loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from capadvise.health import Health
from capadvise.linux.supervise.decisions import Happening


class Subject(Protocol):
    """A command, what is attached to, containers. The event loop gives it orders; what becomes of
    it, it tells when it is asked."""

    @property
    def fds(self) -> Sequence[int]:
        """What wakes the event loop when something happens to it."""

    @property
    def status(self) -> int | None:
        """Its exit status, as ``subprocess`` gives it; None until it is known."""

    @property
    def ended(self) -> bool:
        """Nothing of it is left, or nothing more is to be seen of it."""

    @property
    def cautions(self) -> tuple[str, ...]:
        """What the recording must say of how it went."""

    @property
    def begun(self) -> bool:
        """The target's own program has started: until then there is nothing to be checked."""

    @property
    def health(self) -> Health | None:
        """The result of a health check that is not ours, such as an engine's."""

    def update(self) -> Sequence[Happening]:
        """What has become of it since the last call."""

    def pids(self) -> list[int]:
        """Its processes."""

    def check_environment(self) -> dict[str, str]:
        """What its health check is told besides ``EXIT`` and ``PIDS``."""

    def signal(self, number: int, *, from_process: bool) -> None:
        """A signal reached capadvise: pass it on. From the terminal, it has reached the whole
        process group."""

    def note_ending(self) -> None:
        """It is about to be told to end."""

    def stop(self) -> None:
        """End as a runtime would end it; what is not ours is left alone, and is over."""

    def end_rest(self) -> None:
        """Its main process has ended as it was told to: end what it left."""

    def kill(self) -> None:
        """End at once."""
