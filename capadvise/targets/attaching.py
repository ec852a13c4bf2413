"""The common parts of recordings of running processes and of pods. Nothing of these is stopped.

``AttachedSubject`` ends the recording alone; ``PeriodicSave`` saves during it; ``ExecWatcher``
follows what enters a container; ``opened_by`` and ``note_namespaces`` explain what the kernel
reports.
"""

import fcntl
import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from capadvise.catalog import default
from capadvise.kernel import libc, procfs, user_namespaces
from capadvise.kernel.process_tree import descendants
from capadvise.model import clone_flags
from capadvise.model.caps import Cap, CapSet, Sets
from capadvise.model.errors import CannotObserve
from capadvise.model.recording import Held
from capadvise.model.seccomp_profile import KERNEL_NAMES
from capadvise.observe.ftrace.instances import Buffers
from capadvise.observe.supervise.event_loop import EventLoop, Onlooker, TargetSoFar
from capadvise.observe.tracking.tasks import Scope
from capadvise.observe.tracking.tracker import Tracker


class AttachedSubject:
    """The part of an ``event_loop.Subject`` that takes orders: they end the recording alone."""

    status: int | None = None
    """None: only its parent learns how it ends."""
    health = None
    ended = False

    @property
    def cautions(self) -> tuple[str, ...]:
        """Nothing was missed."""
        return ()

    def check_environment(self) -> dict[str, str]:
        """Add no variable."""
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


# ------------------------------------------------------------ saving now and then

_FIRST_PAUSE, _LONGEST_PAUSE = 3.0, 180.0
"""Seconds until the first save, and the longest pause: each is twice as long as the one before."""


class PeriodicSave:
    """Saves now and then; at first only if there is something new, as an idle target costs
    nothing."""

    def __init__(
        self,
        save: Callable[[], object],
        distinct: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``distinct``: the number of distinct checks so far."""
        self._save, self._distinct, self._clock = save, distinct, clock
        self._wait, self._known = _FIRST_PAUSE, 0
        self._due = clock() + _FIRST_PAUSE

    def look(self) -> None:
        """Save, if it is time."""
        if self._clock() < self._due:
            return
        known, settled = self._distinct(), self._wait >= _LONGEST_PAUSE
        if known != self._known or settled:
            self._save()
        self._known = known
        self._wait = min(2 * self._wait, _LONGEST_PAUSE)
        self._due = self._clock() + self._wait


def held_by(user: str, bounding: CapSet, sets: Sets | None) -> Held:
    """The capabilities that a target could have: as root, an exec gives it the bounding set."""
    is_root = user.partition(":")[0] == "0"
    permitted = bounding if is_root else sets.permitted if sets else frozenset()
    return Held(bounding, permitted, sets.ambient if sets else frozenset())


def each_round(
    loop: EventLoop,
    saving: PeriodicSave,
    onlooker: Onlooker | None,
    so_far: Callable[[], Sequence[TargetSoFar]],
) -> Callable[[], None]:
    """The function that the event loop calls between two rounds of reading: it saves when it is
    time, and lets the onlooker see ``so_far``."""

    def look() -> None:
        saving.look()
        if onlooker is not None:
            onlooker(loop, so_far)

    return look


# ------------------------------------------------------------ following what enters a container


class ExecWatcher:
    """Follows whatever is about to enter a container, if no followed process starts it.

    podman and CRI-O start a new conmon for each ``exec``. The runtime that it forks takes some ten
    milliseconds until it executes the program. Every start and fork of a conmon therefore wakes a
    thread, which follows it at once; the kernel follows its later children. The race is lost if
    others set up traces at that very moment. Does nothing if the buffers report no exec.
    """

    def __init__(self, buffers: Buffers, is_ours: Callable[[int], bool]) -> None:
        """``is_ours``: whether a process is about to enter the container."""
        self._buffers, self._is_ours = buffers, is_ours
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True, name="exec-watcher")
        if buffers.exec_watch is not None:
            self._thread.start()

    def _run(self) -> None:
        assert self._buffers.exec_watch is not None
        fds = self._buffers.exec_watch.wake_at_once()
        while True:
            ready, _, _ = select.select([*fds, self._stop], [], [])
            if self._stop in ready:
                return
            ours = [pid for pid in self._buffers.newly_executed() if self._is_ours(pid)]
            if ours:  # all at once: each time takes some ten milliseconds
                pids = {one for pid in ours for one in (pid, *descendants(pid))}
                self._buffers.follow([thread for pid in pids for thread in procfs.threads(pid)])

    def stop(self) -> None:
        """End the thread; the buffers can be closed then."""
        os.close(self._stopped)
        if self._thread.is_alive():
            self._thread.join()
        os.close(self._stop)


# ------------------------------------------------------------ what a seccomp filter refuses


def opened_by(engine: str, missing: CapSet) -> dict[str, Cap]:
    """The calls that an engine's default seccomp filter would let through with another capability,
    each with the capability that the catalog prefers."""
    catalog = default()
    opens = catalog.seccomp.get(engine, catalog.seccomp["docker"]).opens
    opened: dict[str, Cap] = {}
    for cap in sorted(missing & set(opens), key=lambda cap: (-catalog.rank(cap), -cap)):
        opened |= {KERNEL_NAMES.get(call, call): cap for call in opens[cap]}
    return opened


# ------------------------------------------------------------ addresses of user namespaces
#
# The tracepoint reports the user namespace of a check by its kernel address; /proc knows namespaces
# by inode numbers. capset(2) connects the two: security_capset() always checks SETPCAP against the
# user namespace of the caller's own credentials (cap_inh_is_capped() in security/commoncap.c;
# PR_CAPBSET_DROP does the same). So:
#
# - a process that calls capset reveals its own namespace. Every OCI runtime does, in the process
#   that becomes the container, after it has entered the container's namespace. The tracker notes
#   the address (``Task.namespace``), which suffices for a target that starts while it is followed;
# - for a target that runs already, a child of ours enters the namespace through /proc/PID/ns/user,
#   is followed, and calls capset. It holds no file of the target's and ends at once.
#
# An address stands for a namespace as long as the namespace lives: those that were asked about are
# held open until the recording ends, so that no other namespace can get the address.

_NS_GET_PARENT = 0xB702  # linux/nsfs.h
_READ_SECONDS = 2.0
"""Seconds in which a busy machine has read an event that we cause."""


@contextmanager
def hold_namespaces(pid: int) -> Iterator[list[int]]:
    """The user namespace of a process, and those above it but for the initial one: a file each,
    innermost first. Raises OSError if the process is gone."""
    with ExitStack() as stack:
        fds: list[int] = []
        try:
            fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError as error:
            raise CannotObserve(
                f"the namespaces of process {pid} may not be read",
                hint="that needs CAP_SYS_PTRACE; in a container: --cap-add SYS_PTRACE",
            ) from error
        stack.callback(os.close, fd)
        while os.fstat(fd).st_ino != user_namespaces.INITIAL:
            fds.append(fd)
            try:
                fd = fcntl.ioctl(fd, _NS_GET_PARENT)
            except OSError:  # above our own
                break
            stack.callback(os.close, fd)
        yield fds


def note_namespaces(
    scope: Scope, name: str, namespaces: list[int], buffers: Buffers, tracker: Tracker
) -> None:
    """Tell the tracker the addresses of a running target's user namespace and of those above it,
    unless it is in the initial one. Raises CannotObserve."""
    if namespaces:
        own, *above = namespace_addresses(namespaces, buffers, tracker)
        if not own:
            raise CannotObserve(
                f"{name} is in a user namespace that capadvise cannot enter, so checks against it "
                "cannot be distinguished from others",
                hint="run capadvise in the initial user namespace, as root",
            )
        scope.namespace = own
        scope.above = frozenset(above)


def namespace_addresses(namespaces: list[int], buffers: Buffers, tracker: Tracker) -> list[int]:
    """The kernel's addresses of these namespaces; 0 for one that could not be entered or seen."""
    return [_address(fd, buffers, tracker) for fd in namespaces]


def _address(namespace: int, buffers: Buffers, tracker: Tracker) -> int:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)  # or it would not see our end, and keep the buffers from being removed
        _enter_and_ask(namespace, read)
    os.close(read)
    try:
        task = tracker.adopt(child, None)
        buffers.follow([child])
        os.write(write, b"g")
    finally:
        os.close(write)
        _, status = os.waitpid(child, 0)
    end = time.monotonic() + _READ_SECONDS
    while status == 0 and not task.namespace and time.monotonic() < end:
        buffers.drain(tracker)
        time.sleep(0.002)
    return task.namespace


def _enter_and_ask(namespace: int, go: int) -> None:
    """In the child, which has one thread, as setns demands: enter, and give up all capabilities."""
    code = 1
    with suppress(BaseException):
        if os.read(go, 1):
            libc.setns(namespace, clone_flags.CLONE_NEWUSER)
            libc.capset(0, 0, 0)
            code = 0
    os._exit(code)
