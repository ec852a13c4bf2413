"""Which kernel address stands for which user namespace.

The tracepoint tells against which namespace was asked, but by its address, and /proc knows
namespaces by inode numbers. What ties the two together is capset(2): security_capset() always
asks for SETPCAP, and always against the namespace of the caller's own credentials
(cap_inh_is_capped() in security/commoncap.c; so does PR_CAPBSET_DROP). So:

- whoever calls capset tells its own namespace. Every OCI runtime does, in the process that is to
  become the container, after it has entered the container's namespace: the tracker listens
  (``Task.namespace``), and that is enough for what is started while it is followed;
- for what runs already, a child of ours enters the namespace through ``/proc/PID/ns/user``, is
  followed, and calls capset. It holds no file of the target's and ends at once.

An address stands for a namespace as long as that one lives: those that were asked about are held
open until the recording ends, so that no other can take their place.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from capadvise.kernel import libc, user_namespaces
from capadvise.model import clone_flags
from capadvise.model.errors import CannotObserve
from capadvise.observe.ftrace.instances import Buffers
from capadvise.observe.tracking.tasks import Scope
from capadvise.observe.tracking.tracker import Tracker

_NS_GET_PARENT = 0xB702  # linux/nsfs.h
_PATIENCE = 2.0
"""Seconds until an event that is made has been read, on a machine that is busy."""


@contextmanager
def held_open(pid: int) -> Iterator[list[int]]:
    """The user namespace of a process, and those above it but for the initial one: a file each,
    innermost first. Raises OSError when the process is gone."""
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


def note(
    scope: Scope, name: str, namespaces: list[int], buffers: Buffers, tracker: Tracker
) -> None:
    """Of what runs already: its own user namespace and those above it, where it is not in the
    initial one. Raises CannotObserve."""
    if namespaces:
        own, *above = addresses(namespaces, buffers, tracker)
        if not own:
            raise CannotObserve(
                f"{name} is in a user namespace that capadvise cannot enter, so checks against it "
                "cannot be distinguished from others",
                hint="run capadvise in the initial user namespace, as root",
            )
        scope.namespace = own
        scope.above = frozenset(above)


def addresses(namespaces: list[int], buffers: Buffers, tracker: Tracker) -> list[int]:
    """The kernel's addresses of these namespaces; 0 for one that cannot be entered or did not
    show. Reads from the buffers."""
    return [_address(fd, buffers, tracker) for fd in namespaces]


def _address(namespace: int, buffers: Buffers, tracker: Tracker) -> int:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)  # or it would not see our end, and keep the buffers from being removed
        _ask(namespace, read)
    os.close(read)
    try:
        task = tracker.adopt(child, None)
        buffers.follow([child])
        os.write(write, b"g")
    finally:
        os.close(write)
        _, status = os.waitpid(child, 0)
    end = time.monotonic() + _PATIENCE
    while status == 0 and not task.namespace and time.monotonic() < end:
        buffers.drain(tracker)
        time.sleep(0.002)
    return task.namespace


def _ask(namespace: int, go: int) -> None:
    """In the child, which has one thread, as setns demands: enter, and give up all capabilities."""
    code = 1
    with suppress(BaseException):
        if os.read(go, 1):
            libc.setns(namespace, clone_flags.CLONE_NEWUSER)
            libc.capset(0, 0, 0)
            code = 0
    os._exit(code)
