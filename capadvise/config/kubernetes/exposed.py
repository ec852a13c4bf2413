"""What a container of a pod has of the host besides its capabilities."""

from __future__ import annotations

from collections.abc import Iterator

from capadvise.config import host_paths
from capadvise.config.declared import Exposure, ExposureAt
from capadvise.config.kubernetes.manifests import FoundContainer
from capadvise.config.yaml.reader import Documents, Entries, flag, line, optional_text
from capadvise.config.yaml.tree import Mapping, Sequence

_HOST = {
    "hostNetwork": Exposure.HOST_NETWORK,
    "hostPID": Exposure.HOST_PROCESSES,
    "hostIPC": Exposure.HOST_IPC,
    "shareProcessNamespace": Exposure.SHARED_PROCESSES,
}
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_FREE_TYPES = ("spc_t", "unconfined_t", "container_runtime_t")
_PROFILES = {
    "seccompProfile": Exposure.UNFILTERED,
    "appArmorProfile": Exposure.UNCONFINED,
}


def exposed(documents: Documents, own: FoundContainer, context: Entries) -> Iterator[ExposureAt]:
    """All of a container. ``context``: its securityContext, and the pod's where it says nothing."""
    for key, exposure in _HOST.items():
        if flag(own.pod.get(key), key):
            yield ExposureAt(exposure, f"{key}: true", line(own.pod[key]))
    if flag(own.pod.get("hostUsers"), "hostUsers") is False:
        yield ExposureAt(Exposure.OWN_USERS, "hostUsers: false", line(own.pod["hostUsers"]))
    for key, exposure in _PROFILES.items():
        profile = context.get(key)
        if isinstance(profile, Mapping):
            kind = documents.mapping(profile, key).get("type")
            if optional_text(kind, "type") == "Unconfined":
                yield ExposureAt(exposure, f"{key}: Unconfined", line(profile))
    if optional_text(context.get("procMount"), "procMount") == "Unmasked":
        yield ExposureAt(Exposure.UNMASKED, "procMount: Unmasked", line(context["procMount"]))
    yield from _labels(documents, own, context)
    yield from _folders(documents, own)


def _labels(documents: Documents, own: FoundContainer, context: Entries) -> Iterator[ExposureAt]:
    """Labels and annotations that switch off SELinux or AppArmor, and processes of the node."""
    selinux = context.get("seLinuxOptions")
    if isinstance(selinux, Mapping):
        kind = optional_text(documents.mapping(selinux, "seLinuxOptions").get("type"), "type")
        if kind in _FREE_TYPES:
            yield ExposureAt(Exposure.UNCONFINED, f"seLinuxOptions: {kind}", line(selinux))
    annotation = own.annotations.get(f"{_APPARMOR}{own.service.rpartition('/')[2]}")
    if annotation is not None and optional_text(annotation, _APPARMOR) == "unconfined":
        yield ExposureAt(Exposure.UNCONFINED, "AppArmor: unconfined", line(annotation))
    whole = documents.mapping(own.pod.get("securityContext"), "securityContext")
    for place in (own.context, whole):
        options = place.get("windowsOptions")
        if isinstance(options, Mapping):
            switch = documents.mapping(options, "windowsOptions").get("hostProcess")
            if flag(switch, "hostProcess"):
                yield ExposureAt(Exposure.WINDOWS_HOST, "hostProcess: true", line(options))


def _folders(documents: Documents, container: FoundContainer) -> Iterator[ExposureAt]:
    paths = _host_paths(documents, container.pod)
    mounts = container.keys.get("volumeMounts")
    if container.keys is container.pod:  # nobody says who mounts them
        for path, at in paths.values():
            yield from host_paths.mounted(path, at, writable=True)
        return
    if not paths or not isinstance(mounts, Sequence):
        return
    writable: dict[str, bool] = {}
    for node in documents.items(mounts, "volumeMounts"):
        keys = documents.mapping(node, "an item of volumeMounts")
        name = optional_text(keys.get("name"), "name") or ""
        read_only = flag(keys.get("readOnly"), "readOnly") is True
        writable[name] = writable.get(name, False) or not read_only
    for name, (path, at) in paths.items():
        if name in writable:
            yield from host_paths.mounted(path, at, writable=writable[name])


def _host_paths(documents: Documents, pod: Entries) -> dict[str, tuple[str, int]]:
    """The folders of the node, by the names of the volumes."""
    volumes = pod.get("volumes")
    paths = {}
    for node in documents.items(volumes, "volumes") if isinstance(volumes, Sequence) else ():
        if isinstance(node, Mapping):
            keys = documents.mapping(node, "an item of volumes")
            host = keys.get("hostPath")
            if isinstance(host, Mapping):
                path = optional_text(documents.mapping(host, "hostPath").get("path"), "path") or ""
                paths[optional_text(keys.get("name"), "name") or ""] = (path, line(host))
    return paths


def windows(documents: Documents, pod: Entries) -> bool:
    """Whether a pod says that it runs on Windows."""
    system = pod.get("os")
    if isinstance(system, Mapping):
        return optional_text(documents.mapping(system, "os").get("name"), "name") == "windows"
    return False
