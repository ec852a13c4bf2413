"""Mounts, volumes and switches by which a file reaches the host, in many spellings, and how quadlet
and docker compose read them."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from posixpath import normpath
from typing import Any

from hypothesis import strategies as st

from tests.differential.compose import resolved
from tests.differential.units import quadlet_words
from tests.differential.yaml_spellings import Draw, Map, Writer, disguised

QUADLET, COMPOSE = "etc.container", "compose.yaml"
"""The name settles the specifiers of the quadlet: %N is etc."""
_SPECIFIERS = {
    "%N": "etc",
    "%p": "etc",
    "%j": "etc",
    "%P": "etc",
    "%f": "/etc",
    "%n": "etc.service",
}
_SPECIFIERS |= {"%t": "/run", "%E": "/etc", "%S": "/var/lib", "%C": "/var/cache", "%h": "/root"}
_SOURCES = (
    *("/srv/a", "./a", "/srv/%N", "/srv/a,b", "/mnt/a b", "%S/mysql", "/etc/localtime", "data"),
    *(
        "/",
        "/etc",
        "/%N",
        "/%p",
        "/%P/",
        "%f",
        "//%j",
        "%E",
        "%t",
        "%t/docker.sock",
        "%C/../lib/etcd",
    ),
    *(
        "/proc/self/root",
        "/proc/1/root/%N",
        "/proc/thread-self/cwd",
        "/srv/../%N/cron.d",
        "/srv/..",
    ),
    *(
        "/run/x.sock",
        "/var/run/../../%N",
        "/dev/sda",
        "/etc/cron.d/%N",
        "%h/.ssh",
        "/proc/self/./root",
    ),
)


def _field(draw: Draw, text: str) -> str:
    """A field of CSV, in quotes or not, or with one too many."""
    quoted = '"' + text.replace('"', '""') + '"'
    return draw(st.sampled_from([text, text, quoted, quoted, f'"{text}', f'{text}"x']))


def _mount(draw: Draw) -> str:
    key = draw(st.sampled_from(["source", "src", "source", "SRC"]))
    fields = ["type=bind", f"{key}={draw(st.sampled_from(_SOURCES))}", "dst=/x"]
    fields += draw(st.lists(st.sampled_from(["ro", "ro=false", "readonly=true", "Z"]), max_size=1))
    return ",".join(_field(draw, each) for each in draw(st.permutations(fields)))


@st.composite
def quadlets(draw: Draw) -> str:
    """A quadlet that mounts something."""
    lines = ["[Container]", "Image=x", "DropCapability=all"]
    for _ in range(draw(st.integers(1, 3))):
        how = draw(st.sampled_from(["Mount", "Mount", "Volume", "Args"]))
        mount = _mount(draw)
        wrapped = [mount, f"'{mount}'", '"' + mount.replace('"', '\\"') + '"']
        if how == "Mount":
            lines.append(f"Mount={draw(st.sampled_from(wrapped))}")
        elif how == "Volume":
            mode = draw(st.sampled_from(["", ":ro", ":Z", ":rw,z"]))
            lines.append(f"Volume={draw(st.sampled_from(_SOURCES))}:/x{mode}")
        else:
            lines.append(f"PodmanArgs='--mount={mount.replace('%N', 'etc')}'")
    return "\n".join(lines) + "\n"


def quadlet_mounts(path: Path) -> set[str] | None:
    """The host's folders that the command line of quadlet mounts; None where it makes none."""
    words = quadlet_words(path)
    if words is None:
        return None
    sources = []
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        value = value if equals else (words[at + 1] if at + 1 < len(words) else "")
        if name in ("-v", "--volume"):
            sources.append(value.split(":")[0])
        elif name == "--mount":
            try:
                fields = next(csv.reader([value], strict=True))
            except csv.Error:
                return None
            pairs = [field.partition("=") for field in fields]
            sources += [said for key, _, said in pairs if key in ("source", "src")]
    return {place for source in sources if reaches(place := resolved_place(source))}


def resolved_place(source: str) -> str:
    for specifier, value in _SPECIFIERS.items():
        source = source.replace(specifier, value)
    link = r"/+proc/(?:self|thread-self|\d+)/(?:\./)*(?:root|cwd)(?=/|$)"
    source = re.sub(link, "/", source)
    source = re.sub("^/var/run(?=/|$)", "/run", source)
    return "/" + normpath(source).lstrip("/") if source.startswith("/") else source


def reaches(place: str) -> bool:
    """True for the host's root, its programs and settings, its sockets and disks."""
    if place in ("/etc/localtime",):
        return False
    return (
        place == "/"
        or re.match(r"/(etc|run|proc|dev|var/lib/etcd|root/\.ssh)(/|$)", place) is not None
    )


# ------------------------------------------------------------------------------ compose

_TYPES = ("nfs", "tmpfs", "proc", "sysfs", "debugfs", "binfmt_misc", "devtmpfs", "cgroup2", "9p")
_DEVICES = ("tmpfs", ":/export", "proc", "LABEL=root", "UUID=1", "/dev/sda1")
_RULES = (
    "c 10:* rwm",
    "b 8:* r",
    "a *:* rwm",
    "a",
    "c *:* r",
    "c 1:1 r",
    "c 188:* rw",
    "c 1:3 rwm",
)
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_BOOLS = (*_TRUE, "0", "f", "false", "FALSE", "yes")


def _said(draw: Draw, *values: str) -> str:
    value = draw(st.sampled_from(values))
    return draw(st.sampled_from([value, value, f"${{UNSET:-{value}}}", f"${{UNSET-{value}}}"]))


@st.composite
def projects(draw: Draw) -> str:
    """A compose file with a volume by its type and a switch, dangerous or not."""
    options: list[tuple[str, Any]] = [
        ("type", _said(draw, *_TYPES)),
        ("device", _said(draw, *_DEVICES)),
        ("o", draw(st.sampled_from(["addr=h", "ro", "rw,nosuid"]))),
    ]
    volume = Map([("driver", draw(st.sampled_from(["local", "local", "", "local-persist"])))])
    if draw(st.booleans()):
        volume = Map([("driver_opts", Map(options))])
    plain = "writable-cgroups"
    spelled = [plain, *(f"{plain}{sign}{said}" for sign in "=:" for said in _BOOLS)]
    dangers: tuple[list[tuple[str, Any]], ...] = (
        [],
        [("userns_mode", _said(draw, "host"))],
        [("network_mode", _said(draw, "container:x", "none", "bridge"))],
        [("ipc", _said(draw, "container:x", "shareable", "private"))],
        [("security_opt", [draw(st.sampled_from(spelled))])],
        [("devices", [_said(draw, "/dev/vg0/root", "/dev/dri", "/dev/uinput", "/dev/ttyUSB0")])],
        [("build", Map([("context", "."), ("secrets", ["key"])]))],
        [("device_cgroup_rules", [_said(draw, *_RULES)])],
    )
    safe: list[tuple[str, Any]] = [("image", "x"), ("cap_drop", ["ALL"])]
    if draw(st.booleans()):
        safe.append(("volumes", ["data:/x"]))
    service = disguised(draw, safe, draw(st.sampled_from(dangers)))
    secret = draw(st.sampled_from(["./key", "/etc/shadow", "/run/docker.sock"]))
    top = Map(
        [
            ("services", Map([("a", service)])),
            ("volumes", Map([("data", volume)])),
            ("secrets", Map([("key", Map([("file", secret)]))])),
        ]
    )
    return Writer(draw, ("!reset", "!override")).document(top)


def compose_reaches(path: Path) -> set[str] | None:
    """What docker compose gives the services of the host; None where it refuses the file."""
    project = resolved(path)
    if project is None:
        return None
    found = set()
    for service in project["services"].values():
        for key, value in (("userns_mode", "host"), ("network_mode", "container:x")):
            found |= {f"{key} {value}"} & {f"{key} {service.get(key)}"}
        found |= {f"ipc {service.get('ipc')}"} & {"ipc container:x"}
        for option in service.get("security_opt") or []:
            name, _, value = option.replace(":", "=", 1).partition("=")
            if name == "writable-cgroups" and value in ("", *_TRUE):
                found.add("the control group")
        for device in service.get("devices") or []:
            source = device["source"] if isinstance(device, dict) else device.split(":")[0]
            found |= {source} & {"/dev/vg0/root", "/dev/uinput"}
        rules = {*(service.get("device_cgroup_rules") or [])}
        found |= {*rules} - {"c 188:* rw", "c 1:3 rwm"}
        for secret in (service.get("build") or {}).get("secrets") or []:
            file = project["secrets"][secret["source"]]["file"]
            found |= {file} & {"/etc/shadow", "/run/docker.sock"}
        for mount in service.get("volumes") or []:
            volume = (project.get("volumes") or {}).get(mount.get("source")) or {}
            found |= _of_volume(volume)
    return found


def _of_volume(volume: dict[str, Any]) -> set[str]:
    options = volume.get("driver_opts") or {}
    if volume.get("driver") not in (None, "", "local"):
        return {f"the driver {volume['driver']}"}
    kind = options.get("type", "")
    return set() if kind in ("", "nfs", "tmpfs") else {f"a volume of type {kind}"}
