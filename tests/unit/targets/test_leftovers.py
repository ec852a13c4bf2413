"""What is taken for left by a capadvise that is gone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from capadvise.kernel import procfs
from capadvise.targets.client.client import Client
from capadvise.targets.containers.in_place import sweep


class Engine:
    """Lists containers of processes, the last of which begins when it is asked."""

    def __init__(self) -> None:
        self.begun: list[subprocess.Popen[bytes]] = []
        self.removed: list[str] = []

    def call(self, *words: str) -> str:
        if words[:3] == ("network", "ls", "--quiet"):
            return "live\ndead\n"
        if words[:2] == ("network", "inspect"):
            return f"{procfs.mark()}\n" if words[-1] == "live" else "4194304-1\n"
        if words[1:2] == ("rm",):
            self.removed.append(words[2])
        if words[0] != "ps":
            return ""
        self.begun.append(subprocess.Popen(["sleep", "60"]))
        new = self.begun[-1].pid
        return f"new {new}-{procfs.start_time(new)}\nold 4194304-1\nodd of-nobody\nbare\n"

    def values_of(self, label: str) -> dict[str, str]:
        return Client.values_of(cast(Client, self), label)

    def names(self, kind: str, like: str) -> list[str]:
        return Client.names(cast(Client, self), kind, like)

    def labelled_networks(self, label: str) -> dict[str, str]:
        return Client.labelled_networks(cast(Client, self), label)

    def find(self, name: str) -> Any:
        return None

    def remove(self, ids: Iterable[str]) -> None:
        self.removed += ids

    def start(self, ids: Iterable[str]) -> None:
        assert not list(ids)


def test_a_container_stays_whose_capadvise_began_while_the_engine_was_asked() -> None:
    engine = Engine()
    try:
        assert sweep(cast(Client, engine)) == ()
    finally:
        for one in engine.begun:
            one.kill()
            one.wait()
    assert engine.removed == ["old", "odd", "dead"]


def test_a_process_that_cannot_be_looked_at_is_there(tmp_path: Path) -> None:
    """As where too many files are open: whoever is there may not lose what it works with."""
    pid = 7
    assert not procfs.is_there(pid, 1, tmp_path)
    (tmp_path / "7" / "stat").mkdir(parents=True)
    assert procfs.is_there(pid, 1, tmp_path)
