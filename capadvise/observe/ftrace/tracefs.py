"""Private trace buffers in tracefs. Never the global one: other people's tracing goes on.

Reference: Documentation/trace/ftrace.rst, events.rst of the kernel.
"""

import errno
import os
import resource
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from capadvise.kernel import libc
from capadvise.kernel.sudo import with_sudo
from capadvise.model.errors import CannotObserve
from capadvise.observe.ftrace import ringbuffer

MOUNT_POINTS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
PREFIX = "capadvise-"
"""Our instances are called ``capadvise-PID-STARTTIME-…``, so that leftovers are recognised."""

_FULL_SIZE_ON = 6
"""Up to this number of processors, each has a buffer of the full size; more processors share the
same total. All buffers of a recording then take 64 MB at most, on 512 processors, too."""
_LEAST_KB = 2 * resource.getpagesize() // 1024
"""Two pages: the kernel's minimum."""
_MOST_PAGES = 64
"""About 3,000 events: some hundredths of a second until they are decoded and counted."""


def find() -> Path:
    """The root of tracefs: where it is mounted, else a detached mount of our own.

    The detached mount belongs to a file descriptor and is gone with the last process that holds
    it; no namespace is made that the target would inherit.
    Raises CannotObserve where neither is possible.
    """
    for path in MOUNT_POINTS:
        try:
            if (path / "instances").is_dir():
                return path
        except PermissionError as error:
            raise CannotObserve(f"{path}: readable by root only", hint=with_sudo()) from error
    try:
        return Path(f"/proc/self/fd/{libc.mount_detached('tracefs')}")
    except OSError as error:
        raise _not_mounted(error) from error


def _not_mounted(error: OSError) -> CannotObserve:
    if error.errno == errno.EPERM and os.geteuid() != 0:
        return CannotObserve("tracefs: readable by root only", hint=with_sudo())
    if error.errno == errno.EPERM:
        return CannotObserve(
            "tracefs is not mounted, and root may not mount it here: a container, or a kernel "
            "in lockdown",
            hint="run capadvise on the host, or in a container with --pid=host --privileged",
        )
    return CannotObserve(
        f"tracefs is not mounted and cannot be mounted: {os.strerror(error.errno or 0)}",
        hint="mount it: mount -t tracefs tracefs /sys/kernel/tracing",
    )


def write(path: Path | str, text: str) -> None:
    """Write a control file, naming it in the error."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise CannotObserve(
            f"cannot write {text!r} to {path}: {error.strerror}", hint="run `capadvise doctor`"
        ) from error


def event_id(folder: Path) -> int:
    """The number of the event type that a folder describes."""
    fd = os.open(f"{folder}/id", os.O_RDONLY | os.O_CLOEXEC)  # some hundred at each start
    try:
        return int(os.read(fd, 32))
    finally:
        os.close(fd)


def format_of(folder: Path) -> ringbuffer.EventFormat:
    """The fields of an event."""
    return ringbuffer.parse_format((folder / "format").read_text())


def _clocks_agree(source: Path = CLOCK_SOURCE) -> bool:
    """True if the default trace clock, sched_clock(), is the same on all CPUs: the kernel trusts
    the processor's counter. Otherwise another clock is set, which takes 20 ms."""
    try:
        return source.read_text().strip() in ("tsc", "arch_sys_counter")
    except OSError:
        return False


def size_of_each(kb: int, processors: int) -> int:
    """How large the buffer of a processor is, in KB: a large machine has more memory, but not in
    proportion, and most of its processors see little of one target."""
    return min(kb, max(_LEAST_KB, kb * _FULL_SIZE_ON // processors))


def _enable(events: int, name: str) -> None:
    """Enable an event by a path below this folder: that takes a fifth of the time of a whole
    path."""
    try:
        path = f"{name.replace(':', '/')}/enable"
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=events)
        try:
            os.write(fd, b"1")
        finally:
            os.close(fd)
    except OSError as error:
        raise CannotObserve(f"cannot enable {name}: {error.strerror}") from error


class Instance:
    """One private buffer. Its maker is responsible for its removal: the guardian does it."""

    def __init__(self, root: Path, name: str, *, buffer_kb: int) -> None:
        """Nothing is recorded before ``record``. ``buffer_kb``: the size for each processor, if
        there are few."""
        self.folder = root / "instances" / name
        self._pages: list[int] = []
        self._kept: list[tuple[int, bytes]] = []
        try:
            self.folder.mkdir()
        except OSError as error:
            raise CannotObserve(
                f"cannot create {self.folder}: {error.strerror}", hint="run `capadvise doctor`"
            ) from error
        if not _clocks_agree():
            write(self.folder / "trace_clock", "mono")
        processors = sorted((self.folder / "per_cpu").iterdir())
        write(self.folder / "buffer_size_kb", str(size_of_each(buffer_kb, len(processors))))
        write(self.folder / "options" / "event-fork", "1")
        write(self.folder / "tracing_on", "0")
        self._pages = [
            os.open(cpu / "trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            for cpu in processors
        ]

    def enable(self, events: Iterable[str]) -> None:
        """Switch on events, named ``system:event``, by each one's file: for a name in ``set_event``
        the kernel goes through all events."""
        folder = os.open(f"{self.folder}/events", os.O_PATH | os.O_CLOEXEC)
        try:
            for name in events:
                _enable(folder, name)
        finally:
            os.close(folder)

    def event(self, name: str) -> Path:
        """The folder of an event, named ``system:event``."""
        return self.folder / "events" / name.replace(":", "/")

    def format(self, name: str) -> ringbuffer.EventFormat:
        """The fields of an event, named ``system:event``."""
        return format_of(self.event(name))

    def filter(self, name: str, expression: str) -> None:
        """Let the kernel drop events that do not match."""
        write(f"{self.folder}/events/{name.replace(':', '/')}/filter", expression)

    def stacks(self, name: str, condition: str) -> None:
        """Record the kernel stack behind one event. The condition is not only for choice: a
        trigger without one would fire for processes that are not followed, too."""
        write(self.event(name) / "trigger", f"stacktrace if {condition}")

    def follow(self, pids: Callable[[], Iterable[int]]) -> None:
        """Record these threads, numbered as in the initial pid namespace, and all that they will
        fork.

        They are listed again until no new one appears: a thread that was not followed yet may have
        made another one.
        """
        self._add("set_event_pid", pids)

    def ignore(self, pids: Callable[[], Iterable[int]]) -> None:
        """Stop recording these threads and all that they will fork; lists them again as ``follow``
        does. Kernels before 5.7 cannot, and go on recording."""
        with suppress(FileNotFoundError):
            self._add("set_event_notrace_pid", pids)

    def _add(self, file: str, pids: Callable[[], Iterable[int]]) -> None:
        known: set[int] = set()
        fd = os.open(self.folder / file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            while new := set(pids()) - known:
                os.write(fd, " ".join(map(str, sorted(new))).encode())
                known |= new
        finally:
            os.close(fd)

    def record(self) -> None:
        """Begin to record the enabled events."""
        write(self.folder / "tracing_on", "1")

    def wake_at_once(self) -> list[int]:
        """Descriptors for ``select``, which returns with the first event."""
        write(self.folder / "buffer_percent", "0")
        return self._pages

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """(CPU, page) for all pages, which are taken out of the buffer. After _MOST_PAGES of one
        CPU comes an empty page: a target can cause checks faster than we read them, and the reader
        has other work."""
        kept, self._kept = self._kept, []
        yield from kept
        for cpu, fd in enumerate(self._pages):
            for _ in range(_MOST_PAGES):
                try:
                    page = os.read(fd, 1 << 16)
                except BlockingIOError:
                    break
                if not page:
                    break
                yield cpu, page
            else:
                yield cpu, b""

    def keep(self) -> None:
        """Move all pages out of the buffer, for a later ``pages``: there is no reader yet."""
        self._kept = [(cpu, page) for cpu, page in self.pages() if page]

    def lost(self) -> int:
        """How many events the kernel could not keep, over all CPUs."""
        total = 0
        for cpu in (self.folder / "per_cpu").iterdir():
            for line in (cpu / "stats").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in ("overrun", "commit overrun", "dropped events"):
                    total += int(value)
        return total

    def now(self) -> int:
        """The time in ns, by the clock of the events."""
        for line in (self.folder / "per_cpu" / "cpu0" / "stats").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "now ts":
                return int(float(value) * 1e9)
        return 0

    def stop(self) -> None:
        """Stop recording. The recorded events can still be read."""
        write(self.folder / "tracing_on", "0")

    def close(self) -> None:
        """Close the buffer, so that it can be removed."""
        for fd in self._pages:
            os.close(fd)
        self._pages = []
