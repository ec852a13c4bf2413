"""Units and quadlets in every spelling, and what systemd and quadlet make of them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

from hypothesis import strategies as st

Draw = st.DrawFn
SERVICE, CONTAINER = "a.service", "a.container"
_NOISE = (
    *(
        "# note",
        "; note",
        "",
        "Environment=A=b",
        "Environment=A=b \\",
        "Environment=A=b\\ ",
        "A=\\\\",
    ),
    *("Environment=A=b \\\n# between", "[Unit]", "[Container]", "[Service]", "[X-Other]"),
    *("Description=\x00", "# nul \x00CapabilityBoundingSet=~", "Environment=A=b\rB=c", "A=b\\"),
    *("[Service] ", " [Service]", "[service]", "\u00a0A=b", "\ufeff", "Environment='A=b", "=b"),
)
_WORDS = (
    *("CAP_CHOWN", "cap_kill", "CAP_SYS_ADMIN", "SYS_ADMIN", "CAP_BOGUS", "21", "025", "0x15"),
    *('"CAP_SYS_ADMIN"', "'CAP_CHOWN CAP_KILL'", '""', "CAP_SYS\\_ADMIN", 'CAP_"SYS"_ADMIN'),
    *("~", "~CAP_CHOWN", "CAP_SYS_ADMIN\\", "CAP_CHOWN,CAP_KILL", "+16", "0b10101", "0o25", "-0"),
    *("62", "63", "\u00a0CAP_KILL", "CAP_NET_ADMIN", "\tCAP_KILL", "%i", "CAP_ſYS_ADMIN"),
)


def spaced(draw: Draw, key: str, value: str) -> str:
    equals = draw(st.sampled_from(["=", "=", "=", " = ", "= ", "\t=", "=\\\n", "\\\n="]))
    return f"{draw(st.sampled_from(['', '', '', ' ', chr(9)]))}{key}{equals}{value}"


@st.composite
def services(draw: Draw) -> str:
    """A unit that bounds its capabilities, or seems to."""
    lines = ["[Service]", "ExecStart=/bin/true"]
    for _ in range(draw(st.integers(1, 4))):
        words = draw(st.lists(st.sampled_from(_WORDS), max_size=3))
        inverted = draw(st.sampled_from(["", "", "~", "~ "]))
        value = inverted + draw(st.sampled_from([" ", "  ", " \\\n ", "\t"])).join(words)
        key = draw(st.sampled_from(["CapabilityBoundingSet"] * 6 + ["capabilityBoundingSet"]))
        lines.append(spaced(draw, key, value))
        if draw(st.integers(1, 3)) == 1:
            lines.append(draw(st.sampled_from(_NOISE)))
    lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(_NOISE)))
    return "\n".join(lines) + draw(st.sampled_from(["\n", "", "\\\n", "\\"]))


def bounding(path: Path) -> set[str] | None:
    """The groups of capabilities that systemd does not deny a unit; None where it refuses it."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--json=short", f"./{path.name}"],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=path.parent,
    )
    if not done.stdout.startswith("["):
        return None
    rows = json.loads(done.stdout)
    shown = {
        row["name"]: row["set"] for row in rows if "CapabilityBoundingSet" in row["json_field"]
    }
    return {
        name.removeprefix("CapabilityBoundingSet=~") for name, denied in shown.items() if not denied
    }


# ------------------------------------------------------------------------------ quadlet

_ARGS = (
    *("--privileged", "--privileged=true", "--privileged=1", "--privileged=false", "--init"),
    *("--priv\\x69leged", '"--privileged"', "--cap-add=SYS_ADMIN", "--cap-add SYS_ADMIN", "-it"),
    *("--cap-add\\x3dALL", "--cap\\055add=all", "--env A=b", "--env --privileged", "image"),
    *("--label 'a --privileged'", "--cap-drop=all", "--env=--privileged", "-e A=b --privileged"),
    *("--rootfs --privileged", "--env", "--", "-v /:/x", '--cap-add="SYS_ADMIN,KILL"', "''"),
    *("--unknown --privileged", "-itv /:/host", "-i --privileged", "--bad\\q --privileged"),
)
_KEYS = (
    *("DropCapability=all", "DropCapability=ALL", 'DropCapability="all"', 'DropCapability="" all'),
    *(
        "DropCapability=",
        "AddCapability=NET_BIND_SERVICE",
        "AddCapability=sys_admin",
        "AddCapability=",
    ),
    *("AddCapability=CAP_KILL,CAP_SYS_ADMIN", "AddCapability='SYS_ADMIN'", "AddCapability=\\\nall"),
    *("Add\\\nCapability=all", "GlobalArgs=--log-level=debug", "GlobalArgs=run --privileged evil"),
    *(
        "Image=--privileged\nExec=evil",
        "Exec=a --privileged",
        "HostName=$X",
        "Volume=/a:/b",
        "User=1",
    ),
    *(
        "ContainersConfModule=x.conf",
        "Network=host",
        "PodmanArgs=",
        " AddCapability=all",
        "Image=y",
    ),
    *(
        "\u00a0AddCapability=all",
        "AddCapability=\u00a0all",
        "addCapability=all",
        "AddCapability =all",
    ),
)


@st.composite
def containers(draw: Draw) -> str:
    """A quadlet that drops all capabilities, or seems to."""
    lines = ["[Container]", "Image=x", "DropCapability=all"]
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            words = draw(st.lists(st.sampled_from(_ARGS), min_size=1, max_size=2))
            lines.append(spaced(draw, "PodmanArgs", " ".join(words)))
        else:
            lines.append(draw(st.sampled_from(_KEYS)))
        if draw(st.integers(1, 4)) == 1:
            lines.append(draw(st.sampled_from(_NOISE)))
    return "\n".join(lines) + draw(st.sampled_from(["\n", "", "\\\n", "\r\n"]))


def quadlet_words(path: Path) -> list[str] | None:
    """The command line that quadlet makes of a file; None where it makes none."""
    done = subprocess.run(
        ["/usr/libexec/podman/quadlet", "-dryrun"],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "QUADLET_UNIT_DIRS": str(path.parent)},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("ExecStart=")]
    if not lines:
        return None
    return shlex.split(lines[-1].removeprefix("ExecStart="))


def podman_arguments(path: Path) -> set[str] | None:
    """What podman is told of rights, by the command line that quadlet makes; None where it makes
    none. Words behind the image do not count, words before it all do."""
    words = quadlet_words(path)
    if words is None:
        return None
    image = next((at for at, word in enumerate(words) if word in ("x", "y")), len(words))
    words = words[:image]
    found = {
        word for word in words if word.startswith("--privileged") and not word.endswith("=false")
    }
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in ("--cap-add", "-v", "--volume"):
            value = value if equals else (words[at + 1] if at + 1 < len(words) else "")
            found |= (
                {value.upper()}
                if name == "--cap-add"
                else {"/"}
                if value.startswith("/:")
                else set()
            )
    dropped = [words[at + 1].upper() for at, word in enumerate(words[:-1]) if word == "--cap-drop"]
    dropped += [word.upper().partition("=")[2] for word in words if word.startswith("--cap-drop=")]
    if "ALL" not in dropped:
        found.add("default set")
    if "run" in words and words.index("run") != words.index("--name") - 1:
        found.add("another command")
    return found - {"NET_BIND_SERVICE", "CAP_NET_BIND_SERVICE"}
