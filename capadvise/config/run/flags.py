"""The flags that docker run and podman run share: written, and read, with what they expose."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from capadvise.catalog import default
from capadvise.catalog.host import HARMLESS
from capadvise.config import engine, host_paths
from capadvise.config.declared import NEW, Declared, Exposure, ExposureAt
from capadvise.config.run.pflag import Grammar, Option, is_on, value_of
from capadvise.config.snippet import Snippet, comment

_NAMESPACES = host_paths.namespaces("run")
_OWN_USERS = ("auto", "nomap")
"""(For root, podman's keep-id is the host's user namespace.)"""
_ON = ("", "1", "t", "true")
"""True for Go (strconv.ParseBool), in lower case; nothing is an option without a value."""
_LOG = r"(?:path=|[\w-]+=unix\w*://)(.+)"
"""An option of a log driver that names a file or a socket of the host."""
_NETWORK_OPTIONS = default().host.lists["network-options"]
_ELSEWHERE = default().host.lists["elsewhere"]["run"]


def _exposed(options: Sequence[Option], line: int) -> Iterator[ExposureAt]:
    """The exposures of a command line; the last of several --userns counts."""
    last = {option.name: at for at, option in enumerate(options)}
    for at, option in enumerate(options):
        if option.name != "userns" or at == last["userns"]:
            yield from of_option(option.name, option.value or "", line)


def of_option(name: str, value: str, line: int) -> Iterator[ExposureAt]:
    """The exposures of one option."""
    if name in _NAMESPACES and value.partition(":")[0].strip() in ("host", "ns"):
        yield ExposureAt(_NAMESPACES[name], f"--{name}={value}", line)
    elif name == "pid" and value not in ("", "private"):
        yield ExposureAt(Exposure.SHARED_PROCESSES, f"--pid={value}", line)
    elif name == "userns" and value.partition(":")[0] in (*_OWN_USERS, "host"):
        kind = Exposure.HOST_USERS if value == "host" else Exposure.OWN_USERS
        yield ExposureAt(kind, f"--userns={value}", line)
    elif name == "use-api-socket" and value not in ("false", "0"):
        yield ExposureAt(Exposure.CONTROL_SOCKET, "--use-api-socket", line)
    elif name == "security-opt":
        yield from security_option(value, line)
    elif name == "annotation":
        key, _, said = value.partition("=")
        yield from annotation(key, said, line)
    else:
        yield from _of_path(name, value, line)


def _of_path(name: str, value: str, line: int) -> Iterator[ExposureAt]:
    if name in ("volume", "v"):
        source, target, said, *_ = (*host_paths.split_mount(value), "", "")
        writable, source = "ro" not in said.split(","), source if target else ""
        yield from host_paths.mounted(source, line, writable=writable, target=target)
        for _, _, upper in (mode.partition("upperdir=") for mode in said.split(",")):
            yield from host_paths.mounted(upper, line, writable=True)
    elif name == "mount":
        yield from _mount(value, line)
    elif name == "device":
        yield from host_paths.device(value.removeprefix("-").partition(":")[0], line)
    elif name == "device-cgroup-rule":
        for rule in fields_of(value):
            yield from host_paths.device_rule(rule, line)
    elif name == "log-opt" and (place := re.fullmatch(_LOG, value)):
        yield from host_paths.mounted(place[1], line, writable=True)
    elif name == "volume-driver":
        yield from host_paths.Volume(value).exposed(line, writable=True)
    elif name in ("network", "net"):
        yield from _of_network(value, line)
    yield from host_paths.reached("run", name, value, line)


def _of_network(value: str, line: int) -> Iterator[ExposureAt]:
    """Modes whose options can open the host's loopback."""
    mode, _, said = value.partition(":")
    options = {part.partition("=")[0] for part in said.split(",") if not part.isdecimal()}
    if mode in ("pasta", "slirp4netns") and not options <= {*_NETWORK_OPTIONS}:
        yield ExposureAt(Exposure.UNKNOWN, f"--network={value}", line)


def fields_of(value: str) -> list[str]:
    """The fields of a line of CSV, as docker and podman read it (Go's encoding/csv): a field in
    quotes can hold commas. Both refuse what is none."""
    try:
        return next(csv.reader([value], strict=True), [])
    except csv.Error:
        return value.split(",")


def _mount(value: str, line: int) -> Iterator[ExposureAt]:
    """``type=bind,source=/a,target=/b,ro``. Options of a volume that is made for it have the key
    ``volume-opt``."""
    pairs = [(key.lower(), said) for key, _, said in (x.partition("=") for x in fields_of(value))]
    fields = dict(pairs)
    opts = dict(said.partition("=")[::2] for key, said in pairs if key == "volume-opt")
    read_only = any(fields.get(key, "f").lower() in _ON for key in ("ro", "readonly"))
    target = next((fields[key] for key in ("target", "dst", "destination") if key in fields), "")
    for source in (said for key, said in pairs if key in ("source", "src")):
        yield from host_paths.mounted(source, line, writable=not read_only, target=target)
    driver, kind = fields.get("volume-driver", ""), opts.get("type", "")
    volume = host_paths.Volume(driver, kind, opts.get("device", ""), opts.get("o", ""))
    yield from volume.exposed(line, writable=not read_only)
    yield from host_paths.reached("mount", "type", fields.get("type", "volume"), line)


def _unjudged(options: Sequence[Option], line: int) -> Iterator[tuple[str, int]]:
    """(sentence, line) of options that may give more than the command line says."""
    for option in options:
        if option.name in _ELSEWHERE:
            yield f"--{option.name} {option.value}: {_ELSEWHERE[option.name]}", line
        elif option.name in _NAMESPACES or option.name == "userns":
            yield from joined(option.name, option.value or "", line)


def joined(name: str, value: str, line: int) -> Iterator[tuple[str, int]]:
    """(sentence, line) of a namespace that is that of another container."""
    if host_paths.expand_variables(value).strip().startswith("container:"):
        yield f"{name} {value}: it joins a container, whose settings stand elsewhere", line


def security_option(option: str, at: int) -> Iterator[ExposureAt]:
    """The exposure of a ``security_opt``, as docker (parseSecurityOpt) and podman spell it."""
    name, _, value = option.replace("=", ":", 1).partition(":")
    value = host_paths.expand_variables(value).strip().replace("type=", "type:")
    said = f"{name.strip()}={value}".lower()
    known = default().host.lists["security-options"].items()
    kind = next((kind for kind, each in known if any(fnmatchcase(said, one) for one in each)), "")
    if kind not in ("", HARMLESS):
        yield ExposureAt(Exposure(kind), option, at)


def annotation(key: str, value: str, at: int) -> Iterator[ExposureAt]:
    """The exposure of an annotation that a runtime reads as a setting."""
    facts, said = default().host.lists["annotations"], f"{key}={value}"

    def among(text: str, patterns: Iterable[str]) -> bool:
        return any(fnmatchcase(text, pattern) for pattern in patterns)

    option = next((name for name, keys in facts["options"].items() if among(key, keys)), "")
    opened = [*security_option(f"{option}={value}", at)] if option else []
    since = "" if key.startswith("container.apparmor.") else NEW
    yield from (ExposureAt(item.kind, said, at, since) for item in opened)
    if option and value and not opened and not among(f"{option}={value}", facts["harmless"]):
        yield ExposureAt(Exposure.UNKNOWN, said, at)
    if not option and among(key, facts["runtimes"]) and not among(key, facts["harmless-keys"]):
        yield ExposureAt(Exposure.UNKNOWN, said, at)


def forbids_gain(option: str) -> bool | None:
    """The value of ``no-new-privileges``; None for another option."""
    name, _, value = option.replace("=", ":", 1).partition(":")
    return value.strip().lower() in _ON if name.strip() == "no-new-privileges" else None


def profiles(options: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """The files that hold a seccomp filter."""
    for option, at in options:
        name, _, value = option.replace("=", ":", 1).partition(":")
        if name == "seccomp" and value not in ("unconfined", "builtin") and "$" not in value:
            yield value, at


def render(snippet: Snippet, *, ambient: bool) -> str:
    """One line of flags, the reasons before it. ``ambient``: the engine makes the capabilities
    that it adds ambient."""
    forbids = snippet.no_new_privileges if ambient else engine.no_new_privileges(snippet)
    words = ["--cap-drop=ALL", *(f"--cap-add={cap.short}" for cap, _ in snippet.caps)]
    if snippet.says_user:
        words.append(f"--user={snippet.user}")
    if forbids:
        words.append("--security-opt=no-new-privileges")
    unmasked = "unmask=ALL" if ambient else "systempaths=unconfined"
    words += [f"--security-opt={option}" for option in engine.opened(snippet, unmasked)]
    sysctls = dict(snippet.sysctls) if ambient else engine.sysctls(snippet)
    words += [f"--sysctl={key}={value}" for key, value in sysctls.items()]
    reasons = [comment(f"{cap.short}: {reason}") for cap, reason in snippet.caps]
    notes = () if ambient else tuple(engine.notes(snippet))
    return "".join((snippet.comments(more=notes), *reasons, " ".join(words), "\n"))


def declared(words: Sequence[str], name: str, number: int) -> Declared:
    """The declaration of the flags of one command, up to the image; unknown flags are skipped."""
    options, rest = Grammar.of("run").parse(words)
    security = [option.replace("=", ":", 1) for option in _values(options, "security-opt")]
    forbidden = [said for option in security if (said := forbids_gain(option)) is not None]
    return Declared(
        service=value_of(options, "name") or name,
        image=rest[0] if rest else None,
        line=number,
        drop=_caps(options, "cap-drop"),
        add=_caps(options, "cap-add"),
        # Once is enough: a line that says yes and no is suspicious.
        privileged=any(is_on((option,), "privileged") for option in options),
        user=value_of(options, "user"),
        no_new_privileges=forbidden[-1] if forbidden else None,
        exposed=tuple(_exposed(options, number)),
        unjudged=tuple(_unjudged(options, number)),
        profiles=tuple(profiles((option, number) for option in security)),
    )


def _values(options: Sequence[Option], *names: str) -> list[str]:
    return [option.value or "" for option in options if option.name in names]


def _caps(options: Sequence[Option], name: str) -> tuple[str, ...]:
    """podman reads each as a line of CSV, in which quotes are allowed."""
    return tuple(
        cap.strip().strip('"') for value in _values(options, name) for cap in value.split(",")
    )
