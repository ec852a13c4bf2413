"""The sources of a recording: trace buffers, audit records, the retry tracer."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from capadvise.model.recording import AuditDenial, Check, Lost, Recording, RefusedCall, Tally

if TYPE_CHECKING:
    from capadvise.observe.audit.live import AuditListener
    from capadvise.observe.ftrace.check_events import Page
    from capadvise.observe.ftrace.instances import Buffers
    from capadvise.observe.retry.client import Listener
    from capadvise.observe.tracking.tasks import Scope
    from capadvise.observe.tracking.tracker import Tracker

_LAST_RECORD = 0.3
"""Seconds that the audit record of a killed process may take: a thread of the kernel sends it."""


CheckTracker: TypeAlias = "Tracker | NoTracker"


class Sources:
    """All sources of a run."""

    def __init__(
        self,
        buffers: Buffers | None,
        tracker: CheckTracker,
        audit: AuditListener | None,
        retries: Listener | None = None,
    ) -> None:
        """``buffers``: None if only retries show needs."""
        self.tracker, self.lost = tracker, Lost()
        """``lost``: events that were dropped, known at the end."""
        self._buffers, self._retries = buffers, retries
        self._audit = audit
        self._stopping = False

    @property
    def fds(self) -> list[int]:
        """Descriptors that wake the event loop: the tracer waits for it to read."""
        return [self._retries.fd] if self._retries and not self._retries.ended else []

    @cached_property
    def events(self) -> list[int]:
        """Descriptors that are readable once the kernel has written an event."""
        return self._buffers.wake_at_once() if self._buffers else []

    def read(self) -> bool:
        """Read what is there; False if there was too much for one round."""
        complete = self._buffers is None or self._buffers.drain(self.tracker)
        if self._audit is not None:
            self._audit.read(self.tracker.scope_of)
        if self._retries is not None:
            self._retries.read()
        return complete

    def check_itself(self) -> None:
        """Make checks that must be recorded."""
        if self._buffers:
            self._buffers.check_itself()

    def finish(self) -> None:
        """The target is gone: read the rest, and nothing after that."""
        if self._buffers:
            self._buffers.stop()
        while not self.read():
            pass
        self.tracker.finish()
        if self._audit is not None:
            if self.tracker.unnamed:
                self._audit.wait(_LAST_RECORD)
                self._audit.read(self.tracker.scope_of)
            self._audit.close()
        if self._retries is not None:
            self._retries.finish()
        self.lost = self.lost_so_far()

    def lost_so_far(self) -> Lost:
        """Events that were dropped until now."""
        return self._buffers.lost() if self._buffers else Lost()

    def note_stopping(self, *, stopping: bool) -> None:
        """The target's stop begins, or the target turned out to go on."""
        if stopping != self._stopping:
            self._stopping = stopping
            begin = self._buffers.now() if stopping and self._buffers else None
            self.tracker.note_stopping(begin)

    @property
    def observer(self) -> str:
        """The names of the observers: ``tracepoint``, ``kprobe+retry``, ``retry`` …"""
        names = [
            self._buffers.observer if self._buffers else None,
            "retry" if self._retries else None,
        ]
        return "+".join(filter(None, names))

    def audit_denials(self, scope: Scope) -> tuple[AuditDenial, ...]:
        """The refusals to a target in the kernel's audit records."""
        return () if self._audit is None else self._audit.denials(scope)

    def merged(self, recording: Recording) -> Recording:
        """The recording with what retries showed."""
        return self._retries.merged(recording) if self._retries else recording


class NoTracker:
    """In place of ``tracker.Tracker``: no checks are seen, only retries."""

    unmatched = unnamed = 0
    pids: Container[int] = ()
    canaries: Mapping[int, int] = MappingProxyType({})

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener

    def feed(self, before: Iterable[Page], flood: Iterable[Page], after: Iterable[Page]) -> bool:
        del before, flood, after
        return True

    def note_stopping(self, time: int | None) -> None:
        del time

    @property
    def distinct(self) -> int:
        return self._listener.distinct if self._listener else 0

    def tallies(self) -> tuple[Tally, ...]:
        """How often a refused call needed each capability so far."""
        return self._listener.tallies() if self._listener else ()

    def cautions(self) -> tuple[str, ...]:
        return ()

    def finish(self) -> None:
        """Nothing is waiting."""

    def scope_of(self, pid: int) -> Scope | None:
        del pid
        return None

    def checks(self, scope: Scope) -> tuple[Check, ...]:
        del scope
        return ()

    def refused_calls(self, scope: Scope) -> tuple[RefusedCall, ...]:
        del scope
        return ()
