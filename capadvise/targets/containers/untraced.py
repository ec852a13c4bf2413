"""docker's containers of a trial that is not traced: its events tell that one has started, and it
is asked then which process that is."""

from __future__ import annotations

from capadvise.kernel import procfs
from capadvise.targets.containers.containers import ContainerState, DockerRoster


class UntracedRoster(DockerRoster):
    """What ends at once is gone when docker answers, and has no place then: its exit status is all
    that is known of it."""

    def open(self) -> None:
        """Begin to listen."""
        self._started: dict[str, ContainerState] = {}
        super().open()

    def update(self) -> None:
        """Read the events that have come, and the answers."""
        super().update()
        for entry in [one for one in self._started.values() if one.answered]:
            root = entry.container.pid if entry.container else 0
            if shim := procfs.parent(root) if root else 0:
                self.starts.told_of(shim, entry.id, root)
            elif entry.running:  # a busy engine may not have answered
                self.ask(entry)
                continue
            del self._started[entry.id]

    def entry(self, container: str) -> ContainerState:
        """The entry of an id. The engine is asked once, when there is a process to be asked for."""
        return self.entries.setdefault(container, ContainerState(container))

    def started(self, entry: ContainerState) -> None:
        """Ask for its first process."""
        super().started(entry)
        self.ask(entry)
        self._started[entry.id] = entry
