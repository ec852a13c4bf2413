"""The default seccomp profile of an engine, read from what the engine gives to its runtime.

It depends on the engine's version, the machine and the set, and docker's is in no file: it is read
from the configuration in the bundle of a container of the same image that does nothing.
"""

import json
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from capadvise.kernel import procfs
from capadvise.kernel.scratch import LARGE, scratch
from capadvise.model.caps import CapSet
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.model.seccomp_profile import SeccompProfile
from capadvise.targets.client.client import TRIAL_LABEL, Client, EngineError
from capadvise.targets.client.invocation import Invocation
from capadvise.targets.containers import project
from capadvise.targets.containers.record import engine_of
from capadvise.targets.shims import word_after

_PAUSE: Mapping[str, tuple[int, bytes]] = MappingProxyType(
    {
        "x86_64": (62, bytes.fromhex("b822000000 0f05 ebf7")),  # pause() for ever
        "aarch64": (183, bytes.fromhex("280980d2 010000d4 feffff17")),  # ppoll(0, 0, 0, 0)
    }
)
"""``uname -m`` → the ELF number of the machine, and a program that waits: an image need not have
one."""
_BASE, _HEADERS = 0x400000, 64 + 56
_LARGEST = 4 << 20
"""Bytes of a bundle's configuration."""


def default_profiles(
    invocation: Invocation, service: str | None, sets: Iterable[CapSet]
) -> tuple[str, list[SeccompProfile]]:
    """The engine with its version, as ``docker 26.1.5``, and the profile that its container gets
    with each of these sets.

    Raises CannotObserve if one cannot be read, or has parts that are not known.
    """
    client, image = engine_of(invocation), invocation.image or ""
    if service:
        config = project.config(invocation)
        image = config["services"][service].get("image") or f"{config['name']}-{service}"
    part = ".Client.Version" if client.engine == "podman" else ".Server.Version"
    version = client.call("version", "--format", f"{{{{{part}}}}}").strip()
    with scratch(LARGE) as folder:
        return f"{client.engine} {version:.40}", [
            _default_profile(client, image, caps, folder) for caps in sets
        ]


def _default_profile(client: Client, image: str, caps: CapSet, folder: Path) -> SeccompProfile:
    program = folder / "wait"
    program.write_bytes(_waiting())
    program.chmod(0o755)
    words = [f"--label={TRIAL_LABEL}={procfs.mark()}", "--network=none", "--user=0:0"]
    words += ["--cap-drop=ALL", *(f"--cap-add={cap.short}" for cap in sorted(caps))]
    words += [f"--volume={program}:/capadvise-wait:ro", "--entrypoint=/capadvise-wait"]
    try:
        container = client.call("run", "--detach", *words, image).split()[-1]
        try:
            config = _configuration(client.inspect(container)[0].pid)
        finally:
            client.kill([container])  # it ignores the signal to stop
            client.remove_all([container])
        seccomp = (config.get("linux") or {}).get("seccomp")
        if seccomp is None:
            raise CannotObserve(f"{client.engine} puts no seccomp profile on its containers")
        profile = SeccompProfile.parse(seccomp)
    except (EngineError, BadInput, OSError, ValueError, AttributeError) as error:
        raise CannotObserve(f"{client.engine}'s default seccomp profile: {error}") from error
    if not profile.refuses_by_default:
        raise CannotObserve(f"{client.engine}'s default seccomp profile lets unknown calls through")
    return profile


def _waiting() -> bytes:
    """A program of one segment (elf(5)) that needs no libraries."""
    machine = os.uname().machine
    if machine not in _PAUSE:
        raise CannotObserve(f"a default seccomp profile cannot be read on {machine}")
    number, code = _PAUSE[machine]
    size = _HEADERS + len(code)
    header = (b"\x7fELF\x02\x01\x01".ljust(16, b"\0"), 2, number, 1, _BASE + _HEADERS, 64, 0, 0)
    elf = struct.pack("<16sHHIQQQIHHHHHH", *header, 64, 56, 1, 0, 0, 0)
    return elf + struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000) + code


def _configuration(pid: int) -> Any:
    """The configuration in a container's bundle: the folder that containerd's shim works in, and
    the one that conmon's options name."""
    if not (shim := procfs.parent(pid) if pid else 0):
        raise ValueError("its container has ended")
    folder = word_after(procfs.arguments(shim), "-b") or os.readlink(f"/proc/{shim}/cwd")
    with open(f"/proc/{shim}/root{folder}/config.json", "rb") as file:
        return json.loads(file.read(_LARGEST))
