"""The flags that docker run and podman run share: written, and read, with what they expose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from capadvise.config import engine, host_paths
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.run.pflag import Grammar, Option, is_on, value_of
from capadvise.config.snippet import Snippet, comment

_NAMESPACES = {
    "pid": Exposure.HOST_PROCESSES,
    "ipc": Exposure.HOST_IPC,
    "uts": Exposure.HOST_NAME,
    "network": Exposure.HOST_NETWORK,
    "net": Exposure.HOST_NETWORK,
    "cgroupns": Exposure.HOST_CGROUP,
}
_OWN_USERS = ("auto", "keep-id", "nomap")
_ON = ("", "1", "t", "true")
_SPECIFIERS = {"%t": "/run", "%h": "/home/~", "%E": "/etc", "%S": "/var/lib", "%%": "%"}
"""Their values for a service of the system; a home is somebody's."""
_ELSEWHERE = {
    "volumes-from": "it has the volumes of another container",
    "pod": "it joins a pod, whose settings stand elsewhere",
    "pod-id-file": "it joins a pod, whose settings stand elsewhere",
}
_OPTIONS = {
    ("seccomp", "unconfined"): Exposure.UNFILTERED,
    ("apparmor", "unconfined"): Exposure.UNCONFINED,
    ("label", "disable"): Exposure.UNCONFINED,
    ("label", "type:spc_t"): Exposure.UNCONFINED,
    ("label", "type:unconfined_t"): Exposure.UNCONFINED,
    ("label", "type:container_runtime_t"): Exposure.UNCONFINED,
    ("disable", ""): Exposure.UNCONFINED,
    ("systempaths", "unconfined"): Exposure.UNMASKED,
    ("unmask", "all"): Exposure.UNMASKED,
    ("writable-cgroups", "true"): Exposure.HOST_CGROUP,
}


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
    elif name == "userns" and value.partition(":")[0] in _OWN_USERS:
        yield ExposureAt(Exposure.OWN_USERS, f"--userns={value}", line)
    elif name == "use-api-socket" and value not in ("false", "0"):
        yield ExposureAt(Exposure.CONTROL_SOCKET, "--use-api-socket", line)
    elif name == "security-opt":
        yield from security_option(value, line)
    else:
        yield from _of_path(name, value, line)


def _of_path(name: str, value: str, line: int) -> Iterator[ExposureAt]:
    if name in ("volume", "v"):
        source, *rest = value.split(":")
        modes = rest[1].split(",") if len(rest) > 1 else []
        yield from _mounted(source, line, writable="ro" not in modes) if rest else ()
    elif name == "mount":
        yield from _mount(value, line)
    elif name == "device":
        yield host_paths.device(value.removeprefix("-").partition(":")[0], line)
    elif name == "device-cgroup-rule":
        yield from host_paths.device_rule(value, line)
    elif name == "log-opt" and value.startswith("path="):
        yield from _mounted(value.removeprefix("path="), line, writable=True)


def _mount(value: str, line: int) -> Iterator[ExposureAt]:
    """``type=bind,source=/a,target=/b,ro``."""
    fields = dict(part.partition("=")[::2] for part in value.split(","))
    source = fields.get("source") or fields.get("src") or ""
    read_only = any(fields.get(key, "f").lower() in _ON for key in ("ro", "readonly"))
    yield from _mounted(source, line, writable=not read_only)


def _mounted(source: str, line: int, *, writable: bool) -> Iterator[ExposureAt]:
    """The exposures of a mounted source; systemd fills in the specifiers of a quadlet."""
    for specifier, folder in _SPECIFIERS.items():
        source = source.replace(specifier, folder)
    yield from host_paths.mounted(source, line, writable=writable)


def _unjudged(options: Sequence[Option], line: int) -> Iterator[tuple[str, int]]:
    """(sentence, line) of options that may give more than the command line says."""
    for option in options:
        if option.name in _ELSEWHERE:
            yield f"--{option.name} {option.value}: {_ELSEWHERE[option.name]}", line


def security_option(option: str, at: int) -> Iterator[ExposureAt]:
    """The exposure of a ``security_opt``, as docker and podman spell it."""
    name, _, value = option.replace("=", ":", 1).partition(":")
    said = host_paths.expand(value).strip().lower().replace("type=", "type:")
    exposure = _OPTIONS.get((name.strip().lower(), said))
    if exposure is None and name.strip().lower() == "unmask":
        exposure = Exposure.UNMASKED
    if exposure is not None:
        yield ExposureAt(exposure, option, at)


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
    sysctls = dict(snippet.sysctls) if ambient else engine.sysctls(snippet)
    words += [f"--sysctl={key}={value}" for key, value in sysctls.items()]
    reasons = [comment(f"{cap.short}: {reason}") for cap, reason in snippet.caps]
    notes = () if ambient else tuple(engine.notes(snippet))
    return "".join((snippet.comments(more=notes), *reasons, " ".join(words), "\n"))


def declared(words: Sequence[str], name: str, number: int) -> Declared:
    """The declaration of the flags of one command, up to the image; unknown flags are skipped."""
    options, rest = Grammar.of("run").parse(words)
    security = [option.replace("=", ":", 1) for option in _values(options, "security-opt")]
    forbidden = [
        not option.endswith(":false")
        for option in security
        if option.partition(":")[0] == "no-new-privileges"
    ]
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
