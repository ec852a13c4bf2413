"""Looking at processes: ``inspect``. Works from inside a container, without root, and on a process
that goes away meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from capadvise.errors import BadInput
from capadvise.linux import procfs
from capadvise.linux.engines.names import running
from capadvise.linux.labels import sandbox_of_runtime
from capadvise.linux.posture import Machine, posture_of
from capadvise.posture import Inspection, Posture, Sharing


def inspect(pid: int, machine: Machine, container: str | None = None) -> Inspection:
    """One process. Raises BadInput when there is none."""
    folder = machine.proc / str(pid)
    try:
        status = (folder / "status").read_text(errors="backslashreplace")
        posture = posture_of(pid, machine)
    except OSError as error:
        raise BadInput(f"there is no process {pid}", hint="ps -e lists them") from error
    return Inspection(
        pid,
        procfs.comm(pid, machine.proc),
        _argv(folder),
        procfs.parse_sets(status),
        posture,
        container,
        unread=tuple(_unread(pid, posture)),
    )


def holders(machine: Machine) -> Iterator[Inspection]:
    """All processes that hold a capability, or could get one by running a set-user-ID program;
    threads of the kernel aside."""
    for pid in sorted(procfs.processes(machine.proc)):
        folder = machine.proc / str(pid)
        with suppress(OSError):
            sets = procfs.parse_sets((folder / "status").read_text(errors="backslashreplace"))
            argv = _argv(folder)
            if argv and (sets.permitted or sets.bounding):
                posture = posture_of(pid, machine, sysctls=False)
                yield Inspection(pid, procfs.comm(pid, machine.proc), argv, sets, posture)


def inspect_target(text: str, machine: Machine) -> Inspection:
    """What ``container:NAME``, a pid or ``self`` names. Raises BadInput."""
    kind, colon, name = text.partition(":")
    if not (colon and kind == "container" and name):
        return inspect(process_of(text), machine)
    container = running(name)
    found = inspect(container.pid, machine, f"{container.engine} container {container.name}")
    sandbox = sandbox_of_runtime(str(container.raw.get("HostConfig", {}).get("Runtime", "")))
    if sandbox and not found.posture.sandbox:
        return replace(found, posture=replace(found.posture, sandbox=sandbox))
    return found


def process_of(text: str) -> int:
    """The pid in ``812`` or ``self``; raises BadInput."""
    if text == "self":
        return os.getpid()
    if text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 31:
        return int(text)
    raise BadInput(
        f"{text!r} names no process",
        hint="inspect container:NAME, image:NAME, a pid, or self",
    )


def _argv(folder: Path) -> tuple[str, ...]:
    try:
        text = (folder / "cmdline").read_bytes()[:4096].decode(errors="backslashreplace")
    except OSError:
        return ()
    return tuple(text.rstrip("\0").split("\0")) if text else ()


def _unread(pid: int, posture: Posture) -> Iterator[str]:
    who = "" if os.geteuid() == 0 else ": that takes root"
    hidden = [n for n, sharing in posture.namespaces.items() if sharing is Sharing.UNKNOWN]
    if hidden and posture.root is None:
        yield f"its namespaces and mounts could not be read{who}"
    if posture.securebits is None:
        yield "its securebits: the kernel shows them to the process itself alone"
    if posture.cgroup is None:
        yield "its control group could not be read"
