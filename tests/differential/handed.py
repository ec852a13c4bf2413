"""Units of an ordinary user to whom systemd, as root, opens files, gives folders and adds groups,
and what systemd itself says of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from posixpath import normpath

from hypothesis import strategies as st

from tests.differential.units import Draw, spaced

UNIT = "etc-disk@6.service"
"""The name settles the specifiers: %P is etc/disk, %j is disk, %i is 6, the number of its group."""
_FILES = (
    *(
        "/srv/a",
        "/srv/%p",
        "/var/log/a.log",
        "%T/a",
        "/etc/default/a",
        "/etc/ssl/certs/a",
        "%L/%j/a",
    ),
    *(
        "/etc/shadow",
        "/%P",
        "/%P/../shadow",
        "%E/sudoers",
        "%E/cron.d/%p",
        "/dev/sda",
        "/etc//shadow",
    ),
    *("/proc/self/root/etc/shadow", "/srv/../etc/shadow", "/dev/%j/by-id/a", "%t/docker.sock", "/"),
    *(
        "%S/%j",
        "%%/x",
        "/var/run/../../etc/shadow",
        "/etc/sha\\x64ow",
        "/usr/bin/%i",
        "/root/.ssh/%j",
    ),
)
_FOLDERS = (
    *(
        "a",
        "a/b",
        "etc-disk",
        "a:b",
        "%p/%i",
        "systemd/%j",
        "systemd/system",
        "cron.d",
        "../x",
        "a/../b",
    ),
    *(
        "cron.d/%i",
        "dpkg",
        "%i:systemd",
        "docker",
        "libvirt:a:ro",
        "log/../cron.d",
        "./cron.d",
        "cron.d/",
    ),
)
_GROUPS = (
    *(
        "adm",
        "audio",
        "%j",
        "%i",
        "%I",
        "disk",
        "docker",
        "6",
        "06",
        "sudo",
        "%p",
        '"disk"',
        "shadow",
    ),
    *("www-data", "kmem", "%G", "di\\x73k", "27", "lxd"),
)
_NOISE = ("# note", "", "[Unit]", "[Service]", "[X-Other]", "[Install]")


@st.composite
def services(draw: Draw) -> str:
    """A unit of the user svc, without a capability."""
    lines = ["[Service]", "ExecStart=/bin/true", "User=svc", "CapabilityBoundingSet="]
    for _ in range(draw(st.integers(1, 3))):
        lines.append(spaced(draw, *_handed(draw)))
        lines.append(draw(st.sampled_from(_NOISE)) if draw(st.integers(1, 5)) == 1 else "")
    return "\n".join(lines) + "\n"


def _handed(draw: Draw) -> tuple[str, str]:
    """A setting that hands something to the unit's user."""
    kind = draw(
        st.sampled_from(["open", "std", "std", "env", "folder", "folder", "group", "group"])
    )
    file = draw(st.sampled_from(_FILES))
    quoted = draw(st.sampled_from([file, file, file, f'"{file}"', f"'{file}'"]))
    if kind == "open":
        end = draw(st.sampled_from(["", ":a", ":a:read-only", "::append", ":a:graceful,truncate"]))
        return "OpenFile", quoted + end
    if kind == "std":
        stream = draw(st.sampled_from(["Input", "Output", "Error"]))
        how = draw(st.sampled_from(["file", "append", "truncate", " append"]))
        return f"Standard{stream}", draw(st.sampled_from([f"{how}:{quoted}", "journal", ""]))
    if kind == "env":
        return "EnvironmentFile", draw(st.sampled_from(["", "-"])) + quoted
    if kind == "group":
        if draw(st.booleans()):
            return "Group", draw(st.sampled_from(_GROUPS))
        said = draw(st.lists(st.sampled_from(_GROUPS), max_size=2))
        return "SupplementaryGroups", draw(st.sampled_from([" ", "  ", " \\\n "])).join(said)
    key = draw(st.sampled_from(["Runtime", "State", "Cache", "Logs", "Configuration"]))
    said = draw(st.lists(st.sampled_from(_FOLDERS), max_size=2))
    return f"{key}Directory", " ".join(said)


_PARENTS = {"Runtime": "/run", "State": "/var/lib", "Cache": "/var/cache", "Logs": "/var/log"}
_PARENTS |= {"Configuration": "/etc"}
_OF_ROOT = {"disk", "6", "docker", "sudo", "27", "shadow", "42", "kmem", "15", "lxd"}


def granted(path: Path) -> set[str] | None:
    """What the user of a unit gets of root's, by systemd's own list of what it has loaded; None if
    it refuses the unit."""
    lines = _loaded(path)
    if lines is None:
        return None
    found = set()
    for key, _, value in (line.partition(": ") for line in lines):
        said = f"{key}: {value}"
        if key in ("Group", "SupplementaryGroups"):
            found |= {f"the group {group}" for group in value.split() if group in _OF_ROOT}
        elif key in ("Open File", "StandardInputFile", "EnvironmentFile"):
            place, *options = value.removeprefix("-").split(":")
            written = key == "Open File" and "read-only" not in options[-1:]
            if key != "EnvironmentFile" or not place.endswith(".sock"):  # nobody can open(2) it
                found |= {said} if _is_roots(_place(place), written=written) else set()
        elif key.startswith(("StandardOutputFileTo", "StandardErrorFileTo")) or key in (
            *("StandardOutputFile", "StandardErrorFile"),
        ):
            found |= {said} if _is_roots(_place(value), written=True) else set()
        elif key.endswith(("Directory", "DirectorySymlink")) and key[0] in "RSCL":
            parent = next((p for k, p in _PARENTS.items() if key.startswith(k)), None)
            names = value.removesuffix(" (ro)").split(":")
            if parent and any(_is_roots(_place(f"{parent}/{n}"), written=True) for n in names):
                found.add(said)
    return found


def _place(said: str) -> str:
    said = said.replace("/proc/self/root", "", 1) if said.startswith("/proc/self/root") else said
    said = said.replace("/var/run", "/run", 1) if said.startswith("/var/run") else said
    return "/" + normpath(said).lstrip("/")


def _is_roots(place: str, *, written: bool) -> bool:
    """Files that make their reader, or their writer, root."""
    secrets = (
        "/etc/shadow",
        "/etc/sudoers",
        "/dev/sda",
        "/root/.ssh",
        "/dev/disk",
        "/run/docker.sock",
    )
    trusted = ("/etc/cron.d", "/run/systemd/system", "/var/lib/dpkg", "/usr/bin", "/etc/docker")
    trusted += (
        "/var/lib/docker",
        "/var/lib/systemd",
        "/etc/systemd",
        "/run/systemd",
        "/etc/libvirt",
    )
    below = secrets + (trusted if written else ())
    return place in ("/", "/etc") * written or any(f"{place}/".startswith(f"{e}/") for e in below)


def _loaded(path: Path) -> list[str] | None:
    """The lines of systemd's list that are about the unit. It refuses to be asked by root."""
    folder = path.parent
    folder.chmod(0o755)
    for target in ("sysinit", "basic", "shutdown", "rescue"):
        (folder / f"{target}.target").write_text("[Unit]\n")
    done = subprocess.run(
        ["/usr/lib/systemd/systemd", "--test", "--system", f"--unit={path.name}", "--no-pager"],
        capture_output=True,
        text=True,
        errors="replace",
        user="nobody",
        env={
            "SYSTEMD_UNIT_PATH": str(folder),
            "SYSTEMD_GENERATOR_PATH": "/nonexistent",
            "SYSTEMD_ENVIRONMENT_GENERATOR_PATH": "/nonexistent",
        },
    )
    _, _, after = done.stdout.partition(f"→ Unit {path.name}:\n")
    unit, _, _ = after.partition("\t→ Unit ")
    lines = [line.strip() for line in unit.splitlines()]
    if "Unit Load State: loaded" in lines:
        return lines
    assert "Unit Load State: bad-setting" in lines, f"systemd said: {done.stdout}{done.stderr}"
    return None
