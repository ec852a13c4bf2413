"""Keys of a quadlet whose values reach the host, in quotes, with escapes, specifiers and several
words, and the command line that quadlet makes of them."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import strategies as st

from tests.differential.reach import reaches, resolved_place
from tests.differential.units import Draw, quadlet_words, spaced

NAME = "etc.container"
_FILES = (
    *("./a.env", "/srv/a.env", "/etc/shadow", "%E/shadow", "/%N/shadow", "/srv/../etc/shadow"),
    *("%h/.ssh/id", "/proc/self/root/etc/shadow", "/var/lib/a/env", "/run/secrets.d/x"),
)
_VALUES: dict[str, tuple[str, ...]] = {
    "EnvironmentFile": _FILES,
    "LogOpt": (*(f"path={file}" for file in _FILES), "max-size=1m", "tag=a"),
    "HealthLogDestination": ("local", "events_logger", *_FILES),
    "UserNS": ("host", "auto", "nomap", "keep-id", "keep-id:uid=5", "container:x", "private"),
    "Network": ("host", "none", "bridge", "container:x", "ns:/proc/1/ns/net", "slirp4netns", "a"),
    "SecurityLabelDisable": ("true", "false", "yes", "1", "on", "0", "t"),
    "SecurityLabelNested": ("true", "false"),
    "SecurityLabelType": ("spc_t", "unconfined_t", "container_t", "sandbox_t"),
    "SeccompProfile": ("unconfined", "/etc/a.json", "default"),
    "Unmask": ("ALL", "/proc/sys", "/proc/kcore", "/sys/firmware"),
    "AddDevice": (
        "/dev/sda",
        "/dev/fuse",
        "-/dev/sda",
        "/dev/%N",
        "/dev/mapper/a:/dev/x:r",
        "/dev/kvm",
    ),
    "Annotation": (
        "a=b",
        "run.oci.keep_original_groups=1",
        "run.oci.hooks.stdout=/etc/a",
    ),
    "GroupAdd": ("adm", "keep-groups", "kvm", "5"),
    "Sysctl": ("net.ipv4.ip_forward=1", "kernel.shm_rmid_forced=1", "net.core.somaxconn=5"),
    "Tmpfs": ("/x", "/run"),
    "Mask": ("/proc/a", "/proc/b:/proc/c"),
}
_SPLIT = ("EnvironmentFile", "LogOpt", "Unmask", "AddDevice", "Annotation", "Sysctl", "Mask")


@st.composite
def quadlets(draw: Draw) -> str:
    """A quadlet that drops all capabilities, with some of these keys."""
    lines = ["[Container]", "Image=x", "DropCapability=all"]
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(tuple(_VALUES)))
        count = draw(st.integers(1, 2)) if key in _SPLIT else 1
        said = [_written(draw, draw(st.sampled_from(_VALUES[key]))) for _ in range(count)]
        lines.append(spaced(draw, key, draw(st.sampled_from([" ", "  ", " \\\n "])).join(said)))
    return "\n".join(lines) + "\n"


def _written(draw: Draw, value: str) -> str:
    """In quotes or not, with an escape or not."""
    at = draw(st.integers(0, len(value) - 1))
    escaped = f"{value[:at]}\\x{ord(value[at]):02x}{value[at + 1 :]}"
    value = draw(st.sampled_from([value, value, value, value, escaped]))
    return draw(st.sampled_from([value, value, f'"{value}"', f"'{value}'", f'"{value}" ']))


def reached(path: Path) -> set[str] | None:
    """What of the host the command line reaches that quadlet makes; None where it makes none."""
    words = quadlet_words(path)
    if words is None:
        return None
    found, image = set(), words.index("x") if "x" in words else len(words)
    for at, word in enumerate(words[:image]):
        name, equals, value = word.partition("=")
        value = value if equals else words[at + 1] if at + 1 < image else ""
        if _is_danger(name.removeprefix("--"), value):
            found.add(f"{name} {value}")
    return found


def _is_danger(option: str, value: str) -> bool:
    file = {"env-file": value, "health-log-destination": value}.get(option)
    if option == "log-opt" and value.startswith("path="):
        file = value.removeprefix("path=")
    if option == "device":
        file = value.split(":")[0]
        return file.startswith(("/dev/sd", "/dev/mapper"))
    if file is not None:
        return reaches(resolved_place(file))
    dangers = {
        "userns": "host",  # that of another container gives no more than the default
        "network": r"host|ns:.*|container:.*",
        "security-opt": (
            r"label=(disable|nested|type:(spc|unconfined)_t)|seccomp=unconfined|unmask=.*"
        ),
        "annotation": r"run\.oci\.h.*|io\.podman.*",
    }
    return option in dangers and re.fullmatch(dangers[option], value) is not None
