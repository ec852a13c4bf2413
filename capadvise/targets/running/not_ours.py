"""What was not started here and is not stopped here."""

from __future__ import annotations


class NotOurs:
    """The part of an ``event_loop.Subject`` that takes orders: the recording ends, nothing else."""

    status: int | None = None
    """How it ends, only its parent is told."""
    health = None
    ended = False

    @property
    def cautions(self) -> tuple[str, ...]:
        """Nothing was missed."""
        return ()

    def check_environment(self) -> dict[str, str]:
        """Nothing besides."""
        return {}

    def stop(self) -> None:
        """End the recording alone."""
        self.ended = True

    def signal(self, number: int, *, from_process: bool) -> None:
        """Signals to us are not for what we did not start."""

    def note_ending(self) -> None:
        """It does not end."""

    def end_rest(self) -> None:
        """It is not ours to end."""

    def kill(self) -> None:
        """It is not ours to kill."""
