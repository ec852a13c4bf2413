"""A command on a terminal of its own, without a screen; ``tmux.py`` is one with a screen."""

from __future__ import annotations

import os
import pty
import select
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.wait import PATIENCE, until


class Terminal:
    """A command as the session leader of a pseudo-terminal."""

    def __init__(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # Nothing may return from here: the child would go on as a second test run.
            try:
                os.chdir(cwd)
                os.execvpe(argv[0], argv, {**os.environ, **(env or {})})
            except OSError as error:
                os.write(2, f"{error}\n".encode())
            finally:
                os._exit(127)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def read(self) -> str:
        """All that was printed so far."""
        with suppress(OSError):  # the last process that had the terminal is gone
            while select.select([self.fd], [], [], 0)[0] and (data := os.read(self.fd, 4096)):
                self.seen += data.decode(errors="replace")
        return self.seen

    def expect(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until the text was printed."""
        until(lambda: text in self.read(), seconds, shows=lambda: self.seen)

    def end(self) -> int:
        """The exit status of the command, which ends by itself."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def close(self) -> int:
        """Hang up, and wait for the command's end."""
        os.close(self.fd)
        return self.end()
