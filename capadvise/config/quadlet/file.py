"""quadlet: the ``[Container]`` section from which podman makes a systemd service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from capadvise.config import host_paths
from capadvise.config.comments import comment
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.quadlet import podman_args
from capadvise.config.run import exposed as run_exposed
from capadvise.config.run import flags
from capadvise.config.run.exposed import profiles, security_option
from capadvise.config.units import file as unit_file
from capadvise.config.units.names import OTHER_QUADLETS, dropped_in, unit_suffix
from capadvise.config.units.names import service_name as service_name

if TYPE_CHECKING:
    from capadvise.config.snippet import Snippet


def render(snippet: Snippet) -> str:
    """A drop-in, ``NAME.container.d/capadvise.conf``: empty values take back what the file
    itself says, to which these would be added."""
    lines = [
        f"# {snippet.name}.container.d/capadvise.conf\n",
        snippet.comments(),
        "[Container]\nDropCapability=\nDropCapability=all\nAddCapability=\n",
    ]
    for cap, reason in snippet.caps:
        lines.append(comment(f"{cap.short}: {reason}") + f"AddCapability={cap.name}\n")
    if snippet.says_user:
        user, group = snippet.ids
        lines.append(f"User={user}\n" + (f"Group={group}\n" if group else ""))
    if snippet.no_new_privileges:
        lines.append("NoNewPrivileges=true\n")
    return "".join(lines)


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The container of a quadlet file, or of a drop-in; called ``container`` without a name. Of a
    pod, a volume or another unit, what it gives to the containers that use it."""
    drop_in, suffix = dropped_in(path), unit_suffix(path)
    if suffix in OTHER_QUADLETS:
        return _read_other(source, suffix, drop_in=drop_in)
    unit = unit_file.parse(source, quadlet=True)
    return (declared(unit.all_of("Container") if drop_in else unit.section("Container")),)


def read_together(sources: Sequence[str], path: str) -> tuple[Declared, ...]:
    """The container of a quadlet, as its drop-ins, which follow it, change it."""
    if (suffix := unit_suffix(path)) in OTHER_QUADLETS:
        each = (_read_other(one, suffix, drop_in=n > 0) for n, one in enumerate(sources))
        return tuple(declared for services in each for declared in services)
    units = [unit_file.parse(source, quadlet=True) for source in sources]
    return (declared(unit_file.together(units, "Container")),)


def declared(container: unit_file.Section) -> Declared:
    """What a section says, or those of a quadlet and its drop-ins together."""
    args = podman_args.words(container)
    passed = flags.declared(args, "container", container.line)
    if any(word.startswith("--rootfs") for word in args):  # then the image is a folder
        folder = container.last("Image")
        paths = [] if folder is None else [folder.value.strip('"').partition(":")[0]]
        root = [each for path in paths for each in host_paths.mounted(path, 1, writable=True)]
        passed = replace(passed, exposed=(*passed.exposed, *root))
    drop = _caps(container, "DropCapability")
    add = _caps(container, "AddCapability")
    name, user, group = (container.last(key) for key in ("ContainerName", "User", "Group"))
    said = passed.user
    if user is not None:
        said = user.value if group is None else f"{user.value}:{group.value}"
    places = [("user", user.line)] if user else []
    return replace(
        passed,
        service=name.value if name else passed.service,
        image=image.value.strip('"') if (image := container.last("Image")) else None,
        drop=(*(cap for cap, _ in drop), *passed.drop),
        add=(*(cap for cap, _ in add), *passed.add),
        user=said,
        no_new_privileges=_or(container.flag("NoNewPrivileges"), passed.no_new_privileges),
        lines=(*places, *drop, *add),
        exposed=(*_before(args, _exposed(container)), *passed.exposed),
        unjudged=(*passed.unjudged, *_unjudged(container)),
        profiles=(*passed.profiles, *_profiles(container)),
    )


def _profiles(container: unit_file.Section) -> Iterator[tuple[str, int]]:
    if seccomp := container.last("SeccompProfile"):
        yield from profiles([(f"seccomp={seccomp.value}", seccomp.line)])


def _before(args: list[str], exposed: Iterator[ExposureAt]) -> Iterator[ExposureAt]:
    """What is left of the keys, which stand before PodmanArgs= in the command line."""
    replaced = any(word.partition("=")[0] == "--userns" for word in args)
    return (item for item in exposed if not (replaced and item.kind is Exposure.OWN_USERS))


def _read_other(source: str, suffix: str, *, drop_in: bool = False) -> tuple[Declared, ...]:
    """What a pod, a volume or another unit gives to the containers that use it; nothing where it
    gives nothing."""
    unit = unit_file.parse(source, quadlet=True)
    section = (
        unit.all_of(OTHER_QUADLETS[suffix]) if drop_in else unit.section(OTHER_QUADLETS[suffix])
    )
    exposed = list(_exposed(section))
    for item in section.values("Device"):
        exposed += host_paths.mounted(item.value.strip('"'), item.line, writable=True)
    unjudged = [*_unjudged(section)]
    for item in section.values("PodmanArgs"):
        exposed += flags.declared(
            unit_file.split(item.value, item.line, "c"), "", item.line
        ).exposed
        unjudged.append((f"PodmanArgs={item.value} can give it anything", item.line))
    if not exposed and not unjudged:
        return ()
    return (
        Declared("container", section.line, ("ALL",), exposed=(*exposed,), unjudged=(*unjudged,)),
    )


def _caps(container: unit_file.Section, key: str) -> list[tuple[str, int]]:
    """podman gets each word as the value of a flag, which may hold several."""
    words = unit_file.words(container.values(key), "keep")
    for word, line in words:
        podman_args.check_plain(word, line)
    return [(cap, line) for word, line in words for cap in word.split(",")]


def _or(said: bool | None, otherwise: bool | None) -> bool | None:
    return otherwise if said is None else said


_OPTIONS = {
    "AddDevice": "device",
    "LogOpt": "log-opt",
    "Mount": "mount",
    "Network": "network",
    "UserNS": "userns",
    "Volume": "volume",
}
"""Key → option of ``podman run``."""


def _exposed(container: unit_file.Section) -> Iterator[ExposureAt]:
    for key, option in _OPTIONS.items():
        items = container.values(key)
        for item in items[-1:] if key == "UserNS" else items:
            values = [item.value]
            if key in ("AddDevice", "Mount"):
                escapes: unit_file.Escapes = "c" if key == "Mount" else "keep"
                values = unit_file.split(item.value, item.line, escapes)
            for value in values:
                yield from run_exposed.of_option(option, value, item.line)
    for item in container.values("Rootfs"):
        folder = item.value.strip('"').partition(":")[0]
        yield from host_paths.mounted(folder, item.line, writable=True)
    for item in container.values("SecurityLabelType"):
        yield from security_option(f"label=type:{item.value}", item.line)
    for key, option in (("SeccompProfile", "seccomp"), ("AppArmor", "apparmor")):
        if (profile := container.last(key)) and profile.value == "unconfined":
            opened = next(security_option(f"{option}=unconfined", profile.line))
            yield replace(opened, what=f"{key}=unconfined")
    if (label := container.last("SecurityLabelDisable")) and unit_file.flag_of(label.value):
        yield ExposureAt(Exposure.UNCONFINED, "SecurityLabelDisable=true", label.line)
    for item in container.values("Unmask"):
        yield ExposureAt(Exposure.UNMASKED, f"Unmask={item.value}", item.line)


_ELSEWHERE = {
    "ContainersConfModule": "a module of containers.conf can grant anything",
    "GlobalArgs": "global options of podman can grant anything",
    "Pod": "it joins a pod, whose settings are in another file",
}


def _unjudged(container: unit_file.Section) -> Iterator[tuple[str, int]]:
    """What gives more that does not stand in the section."""
    for key, what in _ELSEWHERE.items():
        for item in container.values(key):
            yield f"{key}={item.value}: {what}", item.line
    for item in container.others:
        if item.section == "Service" and item.value:
            yield from _of_service(item)


def _of_service(item: unit_file.Assignment) -> Iterator[tuple[str, int]]:
    """What of podman's own service can change what it gives."""
    if item.key == "EnvironmentFile":
        yield (
            "EnvironmentFile= in [Service] is podman's own: CONTAINERS_CONF can be in it",
            item.line,
        )
    elif item.key.startswith("Exec"):
        yield f"{item.key}= in [Service] runs on the host, not in the container", item.line
    elif item.key in ("Environment", "PassEnvironment"):
        for word in unit_file.split(item.value, item.line, "shell-like"):
            name = word.partition("=")[0]
            if name.startswith(("CONTAINERS_", "CONTAINER_")):
                yield f"{name} makes podman read other settings, which can give anything", item.line
