"""OCI runtimes (runc, crun): ``process`` of a bundle's ``config.json``."""

import json
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from capadvise.catalog import default
from capadvise.config import host_paths
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.run.flags import annotation, security_option
from capadvise.config.snippet import Snippet
from capadvise.config.yaml.tree import ambiguous
from capadvise.model.errors import BadInput

MAX_LENGTH = 4 << 20
"""A longer text is no bundle's configuration."""
_OBJECTS = ("process", "capabilities", "user", "linux", "hooks", "resources", "annotations")
_LISTS = ("mounts", "namespaces", "devices")
_KEYS = default().names["bundle-keys"]
_FOLDED = {key.casefold(): key for key in _KEYS}


class _Pairs(list[tuple[str, Any]]):
    """The entries of an object, in their order, before they are checked."""


def load(source: str) -> dict[str, Any]:
    """The object. Raises BadInput, with the line, for what is none, and where it is ambiguous."""
    if len(source) > MAX_LENGTH:
        raise BadInput(f"{len(source)} characters are too many: the limit is {MAX_LENGTH}")
    try:
        raw = json.loads(source, object_pairs_hook=_Pairs, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise BadInput(f"line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"line 1: {error}") from error
    if not isinstance(raw, _Pairs):
        raise BadInput("line 1: a config.json must be an object")
    config: dict[str, Any] = _checked(source, "", raw)
    return config


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _checked(source: str, within: str, value: Any) -> Any:
    """The value with its objects as dicts. Annotations may have any keys."""
    if isinstance(value, list) and not isinstance(value, _Pairs):
        return [_checked(source, within, item) for item in value]
    if within in _OBJECTS and value is not None and not isinstance(value, _Pairs):
        raise BadInput(f"line {_line(source, within)}: {within} must be an object")
    if not isinstance(value, _Pairs):
        return value
    entries: dict[str, Any] = {}
    for key, item in value:
        if key in entries:
            raise ambiguous(_line(source, key), f"the key {key!r:.60} stands twice")
        if within != "annotations" and key not in _KEYS and key.casefold() in _FOLDED:
            raise ambiguous(_line(source, key), f"the key {key!r:.60} differs in case only")
        entries[key] = _checked(source, key, item)
    return entries


def _line(source: str, key: str) -> int:
    """The line of the last place of a key, if it is written plainly."""
    places = [match.start() for match in re.finditer(re.escape(json.dumps(key)), source)]
    return source.count("\n", 0, places[-1]) + 1 if places else 1


def render(snippet: Snippet) -> str:
    """An object to merge into a ``config.json``. JSON has no comments: the reasons are annotations,
    which runtimes ignore."""
    caps = [cap.name for cap, _ in snippet.caps]
    # At its exec, root gets what is bounding; others get what is ambient, which must be
    # inheritable too.
    others = [] if snippet.root else caps
    process: dict[str, Any] = {
        "capabilities": {
            "bounding": caps,
            "effective": caps,
            "permitted": caps,
            "inheritable": others,
            "ambient": others,
        },
    }
    if snippet.no_new_privileges is not None:  # what `runc spec` writes is true
        process["noNewPrivileges"] = snippet.no_new_privileges
    if all(value is None or value.isdecimal() for value in snippet.ids):
        uid, gid = snippet.ids
        process["user"] = {"uid": int(uid), "gid": int(gid or 0)}
    annotations = {"capadvise.set": snippet.set_name, "capadvise.user": snippet.user}
    annotations |= {f"capadvise.{cap.name}": reason for cap, reason in snippet.caps}
    annotations |= {f"capadvise.note.{n}": note for n, note in enumerate(snippet.notes, 1)}
    linux: dict[str, Any] = {"sysctl": dict(snippet.sysctls)} if snippet.sysctls else {}
    if (opening := snippet.opening) is not None:
        linux["seccomp"] = opening.filter.raw
        linux |= {"maskedPaths": [], "readonlyPaths": []} if opening.unmasked else {}
    settings = {"linux": linux} if linux else {}
    config = {"process": process, **settings, "annotations": annotations}
    return json.dumps(config, indent=2) + "\n"


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The process of a ``config.json``, called ``process``. All that any of its sets holds counts:
    at its exec root gets what is bounding or inheritable, and others get what is ambient."""
    config = load(source)
    process = config.get("process")
    if process is None:
        raise BadInput("line 1: not a bundle's config.json: it has no process")
    sets = process.get("capabilities") or {}
    user = process.get("user") or {}
    ids = [user.get("uid", 0), user.get("gid", 0)]
    if not all(type(number) is int for number in ids):
        raise BadInput("line 1: uid and gid must be numbers")
    held = [name for which in ("bounding", "inheritable") for name in _names(sets, which)]
    return (
        Declared(
            service="process",
            drop=("ALL",),
            add=tuple(dict.fromkeys(held)),
            ambient=_names(sets, "ambient"),
            user=f"{ids[0]}:{ids[1]}",
            groups=bool(user.get("additionalGids")),
            no_new_privileges=process.get("noNewPrivileges") is True,
            exposed=tuple(_exposed(config)),
        ),
    )


def _names(sets: dict[str, Any], which: str) -> tuple[str, ...]:
    value = sets.get(which) or []
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadInput(f"line 1: {which} must be a list of names")
    return tuple(value)


def service_name(path: str) -> str:
    """``web`` of the bundle ``web/config.json``."""
    return PurePath(path).parent.name or "process"


_NAMESPACES = host_paths.namespaces("oci")


_FORBIDDING = tuple(
    f"SCMP_ACT_{name}" for name in ("ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "TRACE", "TRAP")
)


def _exposed(config: dict[str, Any]) -> Iterator[ExposureAt]:
    """The exposures of a bundle. A file that is only to be merged into one says nothing of
    namespaces."""
    linux = config.get("linux") or {}
    if "namespaces" in linux or "root" in config:
        yield from _isolation(linux)
    yield from _folders(config)
    yield from _devices(linux)
    process = config.get("process") or {}
    if process.get("apparmorProfile") == "unconfined":
        yield ExposureAt(Exposure.UNCONFINED, "apparmorProfile: unconfined", 1)
    label = str(process.get("selinuxLabel") or "")
    if label:
        yield from security_option(f"label=type:{':'.join(label.split(':')[2:3])}", 1)
    for part, keys in (("linux", linux), ("process", process), ("bundle", config)):
        for key in keys:
            yield from host_paths.reached(part, key, "", 1)
    for key, said in (config.get("annotations") or {}).items():
        yield from annotation(key, str(said), 1)
    for kind, hooks in (config.get("hooks") or {}).items():
        for hook in _objects(hooks):
            yield ExposureAt(Exposure.HOST_COMMAND, f"{kind} hook {hook.get('path', '')}", 1)


def _isolation(linux: dict[str, Any]) -> Iterator[ExposureAt]:
    namespaces = _objects(linux.get("namespaces"))
    own = {item.get("type") for item in namespaces if not item.get("path")}
    for name, exposure in _NAMESPACES.items():
        if name not in own:
            yield ExposureAt(exposure, f"no {name} namespace of its own", 1)
    if "mount" not in own:
        yield ExposureAt(Exposure.SYSTEM_FOLDER, "the mounts", 1)
    if "user" in own:
        yield ExposureAt(Exposure.OWN_USERS, "a user namespace of its own", 1)
    yield from filtered(linux.get("seccomp"), "seccomp", 1)
    for name in ("maskedPaths", "readonlyPaths"):
        if not linux.get(name):
            yield ExposureAt(Exposure.UNMASKED, f"no {name}", 1)


def filtered(seccomp: Any, name: str, line: int) -> Iterator[ExposureAt]:
    """The exposure of a filter, by the calls that it lets through of those that matter."""
    profile = seccomp if isinstance(seccomp, dict) else {}
    matter = set(default().host.lists["calls-that-matter"])
    passed = matter & _passed(profile, matter)
    if len(passed) > len(matter) / 2:
        forbids = f"{len(matter - passed)} of {len(matter)}"
        said = (
            f"{name} that forbids {forbids} calls that matter" if profile else "no seccomp filter"
        )
        yield ExposureAt(Exposure.UNFILTERED, said, line)
    elif passed:
        said = f"{name} that lets through {', '.join(sorted(passed))}"
        yield ExposureAt(Exposure.OPEN_CALLS, said, line)


def _passed(profile: dict[str, Any], every: set[str]) -> set[str]:
    """The calls that a filter lets through, as does a rule with conditions, except one for
    capabilities that no container has by default."""
    usual = {"CAP_NET_RAW", *(cap.name for cap in default().pod_addable["baseline"])}
    forbidden: set[str] = set()
    allowed: set[str] = set()
    for rule in _objects(profile.get("syscalls")):
        named = {*(rule.get("names") or ()), str(rule.get("name", ""))}
        conditions = [rule.get(key) for key in ("args", "includes", "excludes")]
        if rule.get("action") not in _FORBIDDING:
            caps = conditions[1].get("caps") if isinstance(conditions[1], dict) else ()
            allowed |= named if usual.issuperset(caps or ()) else set()
        elif not any(conditions):
            forbidden |= named
    return allowed if profile.get("defaultAction") in _FORBIDDING else every - forbidden | allowed


def _devices(linux: dict[str, Any]) -> Iterator[ExposureAt]:
    """By their numbers: the path is only what the container calls it."""
    for item in _objects(linux.get("devices")):
        if (gives := host_paths.numbered(*_numbers(item))) is not None:
            yield ExposureAt(gives, f"the device {item.get('path', '')}", 1)
    for rule in _objects((linux.get("resources") or {}).get("devices")):
        kind, major, minor = _numbers(rule)
        if rule.get("allow") is True and {"r", "w"} & set(str(rule.get("access") or "rwm")):
            said = f"{kind} {major or '*'}:{minor or '*'} {rule.get('access') or 'rwm'}"
            yield from host_paths.device_rule(said, 1)


def _numbers(item: dict[str, Any]) -> tuple[str, str, str]:
    """Kind, major and minor; empty numbers are all of them."""
    numbers = (item.get("major"), item.get("minor"))
    major, minor = ("" if number in (None, -1) else str(number) for number in numbers)
    return str(item.get("type") or "a").replace("u", "c"), major, minor


def _folders(config: dict[str, Any]) -> Iterator[ExposureAt]:
    root = config.get("root")
    if isinstance(root, dict):
        writable = root.get("readonly") is not True
        yield from host_paths.mounted(str(root.get("path", "")), 1, writable=writable)
    for mount in _objects(config.get("mounts")):
        yield from _mount(mount)


def _mount(mount: dict[str, Any]) -> Iterator[ExposureAt]:
    kind, source = str(mount.get("type") or ""), str(mount.get("source", ""))
    options = ",".join(str(option) for option in mount.get("options") or [])
    yield from host_paths.Volume("", kind, source, options).exposed(1, writable=True, bundle=True)


def _objects(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
