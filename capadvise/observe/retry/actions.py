"""What the policy wants done with a thread that stopped; the tracer does it. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from capadvise.observe.retry.thread import Thread


@dataclass(frozen=True, slots=True)
class Resume:
    """Let it go on."""


@dataclass(frozen=True, slots=True)
class BeginWith:
    """Let the call that it is about to enter begin with this effective set."""

    mask: int


@dataclass(frozen=True, slots=True)
class RetryWith:
    """Make the call that it came back from again, with this effective set."""

    mask: int


@dataclass(frozen=True, slots=True)
class Detach:
    """Detach from it: something else is to trace it."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop another thread, detach from it, then resume this one."""

    thread: Thread


Action = Resume | BeginWith | RetryWith | Detach | Interrupt
RESUME = Resume()
