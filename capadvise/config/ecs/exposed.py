"""What a container of a task has of its host besides capabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from capadvise.config import host_paths
from capadvise.config.declared import Exposure, ExposureAt
from capadvise.config.run.flags import security_option
from capadvise.config.yaml.reader import Documents, Entries, flag, line, optional_text

_MODES = {
    ("networkMode", "host"): Exposure.HOST_NETWORK,
    ("pidMode", "host"): Exposure.HOST_PROCESSES,
    ("pidMode", "task"): Exposure.SHARED_PROCESSES,
    ("ipcMode", "host"): Exposure.HOST_IPC,
}


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """What a task definition says outside of its containers that counts for each of them."""

    shared: tuple[ExposureAt, ...]
    volumes: dict[str, tuple[str, ...]]
    """The folders of the host that its volumes stand for."""

    @classmethod
    def of(cls, documents: Documents, task: Entries) -> TaskDefinition:
        modes = ((key, optional_text(task.get(key), key) or "") for key, _ in _MODES)
        shared = {
            (key, said): ExposureAt(_MODES[key, said], f"{key}: {said}", line(task[key]))
            for key, said in modes
            if (key, said) in _MODES
        }
        volumes: dict[str, tuple[str, ...]] = {}
        for node in documents.items(task.get("volumes"), "volumes"):
            volume = documents.mapping(node, "a volume")
            host = documents.mapping(volume.get("host"), "host")
            folder = optional_text(host.get("sourcePath"), "sourcePath") or ""
            named = optional_text(volume.get("name"), "name") or ""
            volumes[named] = (folder, *_of_driver(documents, volume))
        return cls(tuple(shared.values()), volumes)


def _of_driver(documents: Documents, volume: Entries) -> Iterator[str]:
    """What docker's local driver is told to mount: a device, or the layers of an overlay."""
    driver = "dockerVolumeConfiguration"
    configured = documents.mapping(volume.get(driver), driver)
    options = documents.mapping(configured.get("driverOpts"), "driverOpts")
    more = optional_text(options.get("o"), "o") or ""
    layers = (part.partition("=")[2] for part in more.split(","))
    for each in (optional_text(options.get("device"), "device") or "", *layers):
        yield from each.split(":")


def exposed(
    documents: Documents,
    keys: Entries,
    linux: Entries,
    options: list[tuple[str, int]],
    task: TaskDefinition,
) -> Iterator[ExposureAt]:
    """All of a container."""
    yield from task.shared
    for option, at in options:
        yield from security_option(option, at)
    for node in documents.items(keys.get("mountPoints"), "mountPoints"):
        mount = documents.mapping(node, "a mount point")
        source = optional_text(mount.get("sourceVolume"), "sourceVolume") or ""
        writable = flag(mount.get("readOnly"), "readOnly") is not True
        for path in task.volumes.get(source, ()):
            yield from host_paths.mounted(path, line(node), writable=writable)
    for node in documents.items(linux.get("devices"), "devices"):
        device = documents.mapping(node, "a device")
        yield host_paths.device(optional_text(device.get("hostPath"), "hostPath") or "", line(node))


def unjudged(documents: Documents, keys: Entries) -> Iterator[tuple[str, int]]:
    """What gives more that does not stand in the container."""
    if documents.items(keys.get("volumesFrom"), "volumesFrom"):
        yield "it mounts the volumes of other containers", line(keys["volumesFrom"])
