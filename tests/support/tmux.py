"""A terminal that is really there, to drive the screens as a user does."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.required import tool


class Tmux:
    """One shell in a tmux server of its own."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self.folder = folder
        self._base = [tool("tmux"), "-S", str(folder / "tmux"), "-f", "/dev/null"]
        env = {**os.environ, "TERM": "xterm-256color", "HOME": str(folder)}
        size = ["-x", str(width), "-y", str(height), "-c", str(folder)]
        command = ["new-session", "-d", *size, "exec env 'PS1=$ ' bash --norc"]
        subprocess.run([*self._base, *command], env=env, check=True)
        self.wait("$")

    def tell(self, *arguments: str) -> str:
        done = subprocess.run([*self._base, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self.tell("send-keys", *keys)

    def press(self, first: str, more: str, *, until: str, pause: float = 2) -> None:
        """Press one key, then another as often as it takes, and give each ``pause`` seconds."""
        key = first
        for _ in range(20):
            self.keys(key)
            end = time.monotonic() + pause
            while until not in self.screen() and time.monotonic() < end:
                time.sleep(0.1)
            if until in self.screen():
                time.sleep(1)  # a busy machine answers late: what is seen must stay
                if until in self.screen():
                    return
            key = more
        raise AssertionError(f"never saw {until} in:\n{self.screen()}")

    def type(self, text: str) -> None:
        self.tell("send-keys", "-l", text)

    def run(self, *argv: str, then: str = "echo status=$?") -> None:
        """Start a command in the shell, and something after it."""
        self.tell("send-keys", "-R")  # at once: what a command before it said is not waited for
        self.type(f"clear; {shlex.join(argv)}; {then}")
        self.keys("Enter")

    def screen(self) -> str:
        return self.tell("capture-pane", "-p")

    def resize(self, width: int, height: int) -> None:
        self.tell("resize-window", "-x", str(width), "-y", str(height))

    def wait(self, *texts: str, seconds: float = 90) -> str:
        """The screen, once it shows all of these; how long that takes is the machine's affair."""
        end = time.monotonic() + seconds
        while not all(text in (shown := self.screen()) for text in texts):
            assert time.monotonic() < end, f"never saw {texts} in:\n{shown}"
            time.sleep(0.1)
        return shown

    def close(self) -> None:
        """Close the terminal."""
        subprocess.run([*self._base, "kill-server"], capture_output=True)


@contextmanager
def terminal(folder: Path, width: int = 100, height: int = 30) -> Iterator[Tmux]:
    """A terminal, closed when the block ends."""
    opened = Tmux(folder, width, height)
    try:
        yield opened
    finally:
        opened.close()
