"""quadlet: the ``[Container]`` section from which podman makes a systemd service."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import PurePath

from capadvise.catalog import default
from capadvise.config import host_paths
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.run import flags
from capadvise.config.run.flags import profiles, security_option
from capadvise.config.run.pflag import Grammar, Option
from capadvise.config.snippet import Snippet, comment
from capadvise.config.units.file import (
    Assignment,
    Escapes,
    Section,
    flag_of,
    parse,
    split,
    together,
    words,
)
from capadvise.config.units.names import (
    OTHER_QUADLETS,
    dropped_in,
    expanded,
    specified,
    unit_suffix,
)
from capadvise.config.units.names import service_name as service_name
from capadvise.config.yaml.tree import ambiguous


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
    if (opening := snippet.opening) is not None:
        lines.append(f"SeccompProfile=/etc/containers/systemd/{snippet.profile_name}\n")
        lines += ["Unmask=ALL\n"] if opening.unmasked else []
    lines += [f"Sysctl={key}={value}\n" for key, value in snippet.sysctls]
    return "".join(lines)


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The container of a quadlet file, or of a drop-in; called ``container`` without a name. For a
    pod, a volume or another unit: its exposures, which the containers that use it get."""
    return read_together((source,), path)


def read_together(sources: Sequence[str], path: str) -> tuple[Declared, ...]:
    """The container of a quadlet, as its drop-ins, which follow it, change it."""
    drop_in = dropped_in(path)
    if unit_suffix(path) in OTHER_QUADLETS:
        each = (_read_other(x, path, drop_in=drop_in or n > 0) for n, x in enumerate(sources))
        return tuple(declared for services in each for declared in services)
    units = [parse(source, quadlet=True) for source in sources]
    return (declared(_specified(together(units, "Container", drop_in=drop_in), path)),)


def _specified(section: Section, path: str) -> Section:
    """With the specifiers that the name of the service settles, which ServiceName= can change."""
    name = section.last("ServiceName")
    return specified(section, f"{name.value}.service" if name else path, _WITH_SPECIFIERS)


def declared(container: Section) -> Declared:
    """The declaration of a section, or of the sections of a quadlet and its drop-ins together."""
    args = [*map(expanded, podman_args(container))]
    passed = flags.declared(args, "container", container.line)
    drop = _caps(container, "DropCapability")
    add = _caps(container, "AddCapability")
    name, user, group = (container.last(key) for key in ("ContainerName", "User", "Group"))
    seccomp = [(f"seccomp={x.value}", x.line) for x in container.values("SeccompProfile")[-1:]]
    forbids = container.flag("NoNewPrivileges")
    read = _as_podman_splits(container)
    said = passed.user
    if user is not None:
        said = user.value if group is None else f"{user.value}:{group.value}"
    places = [("user", user.line)] if user else []
    return replace(
        passed,
        service=name.value if name else passed.service,
        image=image.value if (image := read.last("Image")) else None,
        drop=(*(cap for cap, _ in drop), *passed.drop),
        add=(*(cap for cap, _ in add), *passed.add),
        user=said,
        no_new_privileges=passed.no_new_privileges if forbids is None else forbids,
        lines=(*places, *drop, *add),
        exposed=(
            *_before(args, _exposed(read)),
            *passed.exposed,
            *_root_folder(args, read),
        ),
        unjudged=(*passed.unjudged, *_unjudged(read)),
        profiles=(*passed.profiles, *profiles(seccomp)),
        variables=tuple(
            (item.value, item.line)
            for item in (*container.values("Volume"), *container.values("Mount"))
            if host_paths.has_variable(item.value)
        ),
    )


def _root_folder(args: list[str], container: Section) -> Iterator[ExposureAt]:
    """The exposures of the image, which --rootfs makes a folder."""
    if any(word.startswith("--rootfs") for word in args):
        for image in container.values("Image")[-1:]:
            folder = image.value.partition(":")[0]
            yield from host_paths.mounted(folder, 1, writable=True)


def _before(args: list[str], exposed: Iterator[ExposureAt]) -> Iterator[ExposureAt]:
    """The exposures of keys that PodmanArgs= does not replace: keys stand before it in the command
    line."""
    replaced = any(word.partition("=")[0] == "--userns" for word in args)
    return (item for item in exposed if not (replaced and item.kind is Exposure.OWN_USERS))


def _read_other(source: str, path: str, *, drop_in: bool = False) -> tuple[Declared, ...]:
    """The exposures of a pod, a volume or another unit for the containers that use it; nothing if
    there are none."""
    unit, name = parse(source, quadlet=True), OTHER_QUADLETS[unit_suffix(path)]
    section = _specified(unit.all_of(name) if drop_in else unit.section(name), path)
    read = _as_podman_splits(section)
    exposed = list(_exposed(read))
    if name == "Volume":
        keys = (read.last(key) for key in ("Driver", "Type", "Device", "Options"))
        volume = host_paths.Volume(*(key.value if key else "" for key in keys))
        exposed += volume.exposed(section.line, writable=True)
    unjudged = [*_unjudged(read)]
    for item in read.values("Secret") if name == "Build" else ():
        for field in flags.fields_of(item.value):
            exposed += host_paths.mounted(field.partition("=")[2], item.line, writable=False)
    for item in section.values("PodmanArgs"):
        exposed += flags.declared(split(item.value, item.line, "c"), "", item.line).exposed
        unjudged.append((f"PodmanArgs={item.value} can give it anything", item.line))
    if not exposed and not unjudged:
        return ()
    return (
        Declared("container", section.line, ("ALL",), exposed=(*exposed,), unjudged=(*unjudged,)),
    )


def _caps(container: Section, key: str) -> list[tuple[str, int]]:
    """podman gets each word as the value of a flag, which may hold several."""
    pairs = words(container.values(key), "keep")
    for word, line in pairs:
        check_plain(word, line)
    return [(cap, line) for word, line in pairs for cap in word.split(",")]


def _as_podman_splits(section: Section) -> Section:
    """With an assignment for each word of the keys that podman splits, and no quotes around the
    value of any other."""
    escapes: dict[str, Escapes] = default().host.lists["quadlet-words"]
    each = (
        replace(item, value=word)
        for item in section.assignments
        for word in (
            split(item.value, item.line, escapes[item.key])
            if item.value and item.key in escapes
            else [item.value.strip('"')]
        )
    )
    return replace(section, assignments=(*each,))


def _exposed(container: Section) -> Iterator[ExposureAt]:
    for key, option in default().host.lists["quadlet-options"].items():
        items = container.values(key)
        for item in items[-1:] if key == "UserNS" else items:
            yield from flags.of_option(option, item.value, item.line)
    for item in container.values("Rootfs"):
        folder = item.value.partition(":")[0]
        yield from host_paths.mounted(folder, item.line, writable=True)
    for key, option in (("SeccompProfile", "seccomp"), ("AppArmor", "apparmor")):
        if (profile := container.last(key)) and profile.value == "unconfined":
            opened = next(security_option(f"{option}=unconfined", profile.line))
            yield replace(opened, what=f"{key}=unconfined")
    yield from _labels(container)
    for item in container.assignments:
        yield from host_paths.reached("quadlet", item.key, item.value, item.line)
    for item in container.values("Unmask"):
        yield ExposureAt(Exposure.UNMASKED, f"Unmask={item.value}", item.line)


def _labels(container: Section) -> Iterator[ExposureAt]:
    for item in container.values("SecurityLabelType"):
        yield from security_option(f"label=type:{item.value}", item.line)
    for key, option in (("SecurityLabelDisable", "disable"), ("SecurityLabelNested", "nested")):
        if (label := container.last(key)) and flag_of(label.value):
            opened = next(security_option(f"label={option}", label.line))
            yield replace(opened, what=f"{key}=true")


_WITH_SPECIFIERS = "|".join(default().host.lists["with-specifiers"]["quadlet"])
"""Keys that become words of the command line, whose specifiers systemd replaces."""


_OPERATOR = ("Volume", "Mount", "User", "Group", "ContainerName")
"""Keys in which people leave a choice to the operator: a variable in them is no finding."""


def _unjudged(container: Section) -> Iterator[tuple[str, int]]:
    """(sentence, line) of keys that may give more than the section says."""
    for item in container.assignments:
        judged = re.fullmatch(_WITH_SPECIFIERS, item.key) and item.key not in _OPERATOR
        if judged and host_paths.has_variable(item.value):
            yield f"{item.key}={item.value}: the environment of its service settles it", item.line
    for key, what in default().host.lists["elsewhere"]["quadlet"].items():
        for item in container.values(key):
            yield f"{key}={item.value}: {what}", item.line
    for item in container.values("Network"):
        yield from flags.joined("network", item.value, item.line)
    for item in container.others:
        if item.section == "Service" and item.value:
            yield from _of_service(item)


def _of_service(item: Assignment) -> Iterator[tuple[str, int]]:
    """(sentence, line) of keys of podman's own service, except those that are known to change
    nothing of its rights."""
    host = default().host.lists
    if item.key.startswith("Exec"):
        yield f"{item.key}= in [Service] runs on the host, not in the container", item.line
    elif item.key in ("Environment", "PassEnvironment"):
        for word in split(item.value, item.line, "shell-like"):
            name = word.partition("=")[0]
            if not any(fnmatchcase(name, known) for known in host["service-variables"]):
                yield f"{name} in [Service] is podman's own: it can change what it does", item.line
    elif item.key in ("StandardOutput", "StandardError", "StandardInput"):
        if item.value.partition(":")[0] in ("file", "append", "truncate", "fd"):
            yield f"{item.key}={item.value}: systemd opens it as root", item.line
    elif item.key not in host["service-keys"]:
        yield f"{item.key}= in [Service] is podman's own: it can change what it does", item.line


_IMAGES = ("Image", "Rootfs")
_INSIDE = ("Exec", "Entrypoint", "HealthCmd", "HealthStartupCmd", "Environment", "Label")
"""Keys that become words behind the image, or part of one: it can be no option."""
_PAIRS = ("Environment", "Label", "Annotation")
_VARIABLE = r"""["']?\$[A-Za-z_]\w*["']?"""


def podman_args(container: Section) -> list[str]:
    """The words of PodmanArgs=. Raises BadInput if podman or systemd could make more of the command
    line."""
    for item in container.assignments:
        if item.key in _PAIRS:
            _check_pairs(item.key, item.value, item.line)
        if item.key not in _INSIDE and item.value:
            _check_value(item.key, item.value, item.line)
    _check_global(container)
    pairs = words(container.values("PodmanArgs"), "c")
    args = [word for word, _ in pairs]
    line = pairs[0][1] if pairs else container.line
    options, rest = Grammar.of("run").parse(args)
    if rest or "--" in args:
        raise ambiguous(
            line, "a word in PodmanArgs= that is not an option: podman takes it for the image"
        )
    if any(map(_is_variable, args)):
        raise ambiguous(line, "a variable in PodmanArgs=, which systemd splits into words")
    for option in options:
        _check_option(option, line)
    return args


def _check_pairs(key: str, value: str, line: int) -> None:
    """A name that begins like an option stands where podman could take it for one."""
    if any(word.startswith("-") for word in split(value, line, "shell-like")):
        raise ambiguous(line, f"a name in {key}= that looks like an option")


def _check_value(key: str, value: str, line: int) -> None:
    """systemd makes several words of ``$NAME`` where it stands alone, and podman takes an image
    that begins like an option for one."""
    if key in _IMAGES and value.strip('"').startswith(("-", "$", "%")):
        raise ambiguous(line, f"{key}= looks like an option or a variable")
    if any(map(_is_variable, (*value.split(), *split(value, line, "shell-like")))):
        raise ambiguous(line, f"a variable in {key}=, which systemd splits into words")


def _is_variable(word: str) -> bool:
    return re.fullmatch(_VARIABLE, word) is not None


def _check_option(option: Option, line: int) -> None:
    value = option.value or ""
    if len(value) > 1 and value.startswith("-"):
        raise ambiguous(line, f"the value of --{option.name} looks like an option")
    if not option.name.isprintable() or set(option.name) & set("$%"):
        raise ambiguous(line, "a variable in the name of an option")
    if option.name in default().names["podman-options-judged"]:
        check_plain(value, line)


def check_plain(word: str, line: int) -> None:
    """Refuse what systemd expands."""
    if "$" in word or "%" in word.replace("%%", "").replace("%t", "").replace("%h", ""):
        raise ambiguous(line, f"a variable in {word!r:.60}")


def _check_global(container: Section) -> None:
    """Refuse what would begin another command than ``run``."""
    for item in container.values("GlobalArgs"):
        for word in split(item.value, item.line, "c"):
            is_option = word.startswith("--") and "=" in word
            if not is_option and word not in _GLOBAL_FLAGS:
                raise ambiguous(item.line, f"{word!r:.60} in GlobalArgs= can be a command")


_GLOBAL_FLAGS = ("--debug", "--syslog", "--noout", "--transient-store", "--trace")


def read_shown(shown: str, name: str) -> tuple[Declared, ...]:
    """The container of one of the quadlets: that of the ``podman run`` of its service."""
    unit = re.search(rf"^---{re.escape(PurePath(name).stem)}\.service---$", shown, re.MULTILINE)
    if unit is None:
        return ()
    service = shown[unit.end() :].partition("\n---")[0]
    commands = parse(service).all_of("Service").values("ExecStart")
    command = [word for item in commands for word in split(item.value, 1, "shell-like")]
    if "run" not in command:
        return ()
    return (flags.declared(command[command.index("run") + 1 :], "podman", 1),)
