"""docker's containers of a trial that is not traced: its events tell that one has started, and it
is asked then which process that is."""

from __future__ import annotations

from contextlib import suppress

from capadvise.errors import BadInput
from capadvise.linux.engines.cli.client import EngineError
from capadvise.linux.engines.record.containers import ContainerState, DockerRoster
from capadvise.linux.kernel import procfs
from capadvise.linux.kernel.background import Background


class UntracedRoster(DockerRoster):
    """What ends at once is gone when docker answers, and has no place then: its exit status is all
    that is known of it."""

    def open(self) -> None:
        """Begin to listen."""
        self._asked: dict[str, Background[int]] = {}
        super().open()

    def update(self) -> None:
        """Read the events that have come, and the answers."""
        super().update()
        for container, asked in list(self._asked.items()):
            if not asked.ended:
                continue
            root = asked.result()
            if shim := procfs.parent(root) if root else 0:
                self.starts.told_of(shim, container, root)
            elif self.entries[container].running:  # a busy engine may not have answered
                self._ask_for_process(container)
                continue
            del self._asked[container]

    def started(self, entry: ContainerState) -> None:
        """Ask for its first process."""
        super().started(entry)
        self._ask_for_process(entry.id)

    def _ask_for_process(self, container: str) -> None:
        self._asked[container] = Background(lambda: self._first_process(container))

    def _first_process(self, container: str) -> int:
        """0 where it runs no more, or docker does not answer."""
        with suppress(EngineError, BadInput):
            return known.pid if (known := self.client.find(container)) else 0
        return 0
