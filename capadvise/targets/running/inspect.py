"""``inspect``: looking at processes, also inside a container, without root, and while they end; and
at images, in the archive that their engine saves. Nothing is started or pulled.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.catalog.syscalls import AUDIT_ARCHS, MACHINES
from capadvise.kernel import procfs
from capadvise.kernel.posture.cbpf import Program, answer
from capadvise.kernel.posture.read import Machine, posture_of, sandbox_of_runtime
from capadvise.kernel.posture.seccomp_filters import filters_of
from capadvise.model import clone_flags
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.model.image import ImageInspection, Riser
from capadvise.model.posture import Inspection, Posture, Sharing
from capadvise.targets.client.client import Client
from capadvise.targets.containers.registry import holder, running_container
from capadvise.targets.image.archive import Image, Special, read_archive
from capadvise.targets.image.tarball import BadArchive
from capadvise.targets.kubernetes.pods import in_pod
from capadvise.targets.running.target import by_name, is_unit, main_process, namesake


def inspect(pid: int, machine: Machine, container: str | None = None) -> Inspection:
    """One process. Raises BadInput if there is none."""
    folder = machine.proc / str(pid)
    try:
        status = (folder / "status").read_text(errors="backslashreplace")
        posture = posture_of(pid, machine)
    except OSError as error:
        raise BadInput(f"there is no process {pid}", hint="ps -e lists them") from error
    return Inspection(
        pid,
        procfs.comm(pid, machine.proc),
        _argv(pid, machine.proc),
        procfs.parse_sets(status),
        posture,
        container,
        unread=tuple(_unread(pid, posture)),
    )


def holders(machine: Machine) -> Iterator[Inspection]:
    """All processes that hold a capability or could get one by a set-user-ID program."""
    for pid in sorted(procfs.processes(machine.proc)):
        folder = machine.proc / str(pid)
        with suppress(OSError):
            sets = procfs.parse_sets((folder / "status").read_text(errors="backslashreplace"))
            argv = _argv(pid, machine.proc)
            if argv and (sets.permitted or sets.bounding):
                posture = posture_of(pid, machine, sysctls=False)
                yield Inspection(pid, procfs.comm(pid, machine.proc), argv, sets, posture)


def inspect_target(text: str, machine: Machine) -> Inspection:
    """Inspect ``container:NAME``, ``NAME.service``, a pid or ``self``. Raises BadInput."""
    if is_unit(text):
        return inspect(main_process(text), machine)
    kind, colon, name = text.partition(":")
    if not (colon and kind == "container" and name):
        return inspect(process_of(text), machine)
    try:
        container = running_container(name)
    except BadInput:  # a pod has it, or another user's podman knows it
        if kept := in_pod(name):
            called = f"{kept.container.engine} container {kept.container.called}"
            return inspect(kept.pid, machine, called)
        return inspect(by_name(name).pid, machine, f"container {name}")
    inspected = inspect(container.pid, machine, f"{container.engine} container {container.name}")
    sandbox = sandbox_of_runtime(str(container.raw.get("HostConfig", {}).get("Runtime", "")))
    if sandbox and not inspected.posture.sandbox:
        return replace(inspected, posture=replace(inspected.posture, sandbox=sandbox))
    return inspected


def with_filter(item: Inspection, catalog: Catalog) -> Inspection:
    """The same with the calls that its seccomp filter refuses although their capabilities are
    permitted. Stops the process for a moment.

    Raises CannotObserve.
    """
    seccomp, arch = item.posture.seccomp, MACHINES.get(os.uname().machine)
    if seccomp is None or seccomp.mode != "filter":
        return replace(item, closed=() if seccomp and seccomp.mode == "off" else None)
    if arch is None:
        raise CannotObserve(f"the system calls of {os.uname().machine} are not known")
    filters = filters_of(item.pid)
    try:
        return replace(item, closed=tuple(closed(filters, item.sets.permitted, arch, catalog)))
    except ValueError as error:
        raise CannotObserve(f"the seccomp filter of process {item.pid}: {error}") from error


def closed(
    filters: Sequence[Program], granted: CapSet, arch: int, catalog: Catalog
) -> Iterator[tuple[str, CapSet]]:
    """The calls that filters refuse, and the granted capabilities that would open them."""
    profile = catalog.seccomp["docker"].opens
    tied = {call for calls in profile.values() for call in calls}
    needed = tied - {call for cap in granted for call in profile.get(cap, ())}
    opens: dict[str, set[Cap]] = {}
    for cap in granted:
        entry = catalog.entry(cap)
        for call in (*(entry.syscalls if entry else ()), *profile.get(cap, ())):
            if call not in needed:  # else the call needs another capability first
                opens.setdefault(call, set()).add(cap)
    numbers = catalog.syscalls.numbers[AUDIT_ARCHS[arch]]
    for call in sorted(opens.keys() & numbers.keys()):
        # clone is refused by its flags: ask for all namespaces
        args = (clone_flags.ALL,) if call == "clone" else ()
        if answer(filters, numbers[call], arch, args).refuses:
            yield call, frozenset(opens[call])


def process_of(text: str) -> int:
    """The pid in ``812`` or ``self``; raises BadInput."""
    if text == "self":
        return os.getpid()
    if text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 31:
        return int(text)
    meant = namesake(text)
    raise BadInput(
        f"{text!r} is not a process",
        hint=f"did you mean {meant}?"
        if meant
        else "inspect container:NAME, image:NAME, NAME.service, a pid, or self",
    )


def _argv(pid: int, proc: Path) -> tuple[str, ...]:
    text = procfs.command_line(pid, proc)[:4096].decode(errors="backslashreplace")
    return tuple(text.rstrip("\0").split("\0")) if text else ()


def _unread(pid: int, posture: Posture) -> Iterator[str]:
    who = "" if os.geteuid() == 0 else ": that needs root"
    hidden = [n for n, sharing in posture.namespaces.items() if sharing is Sharing.UNKNOWN]
    if hidden and posture.root is None:
        yield f"the namespaces and mounts could not be read{who}"
    if posture.securebits is None:
        yield "the securebits: the kernel shows them only to the process itself"
    if posture.cgroup is None:
        yield "the control group could not be read"


def inspect_image(name: str) -> ImageInspection:
    """The image of this name: of the first engine that has it. Raises BadInput."""
    client, _ = holder(name)
    image = _read(client, name)
    config = image.config
    return ImageInspection(
        name,
        client.engine,
        config.user,
        (*config.entrypoint, *config.command),
        config.ports,
        config.volumes,
        config.healthcheck,
        len(image.layers),
        tuple(map(_riser, image.special)),
        image.unread,
    )


def _read(client: Client, name: str) -> Image:
    argv = [*client.argv, "save", "--", name]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as saving:
        assert saving.stdout is not None
        try:
            return read_archive(saving.stdout)
        except BadArchive as error:
            raise BadInput(f"image {name}: {error}") from error
        finally:
            saving.kill()  # nothing after the last member matters


def _riser(special: Special) -> Riser:
    return Riser(
        special.path,
        special.layer,
        special.uid if special.set_uid else None,
        special.gid if special.set_gid else None,
        special.caps.permitted | special.caps.inheritable if special.caps else frozenset(),
    )
