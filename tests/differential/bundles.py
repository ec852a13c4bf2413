"""Bundles' config.json in every spelling, and what runc makes of them."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from capadvise.catalog import default
from capadvise.model.caps import from_mask

Draw = st.DrawFn
NAME = "config.json"
SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
_ISOLATION = ("linux", "namespaces", "root", "path", "mounts", "readonly")
"""Keys that are never disguised: the container is to stay one."""
_BAD = ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]


def _key(draw: Draw, name: str) -> str:
    if name in _ISOLATION or draw(st.integers(1, 30)) > 1:
        return json.dumps(name)
    at = draw(st.integers(0, len(name) - 1))
    escaped = f'"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"'
    similar = name.replace("s", "\u017f").replace("k", "\u212a")
    return draw(
        st.sampled_from([json.dumps(name.upper()), json.dumps(name.capitalize()), escaped,
                         json.dumps(similar, ensure_ascii=False), json.dumps(name + " ")])
    )  # fmt: skip


def _dump(draw: Draw, value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        space = draw(st.sampled_from(["", " ", "\n", "\t"]))
        return (
            "{"
            + f",{space}".join(
                f"{_key(draw, key)}:{space}{_dump(draw, item)}" for key, item in value
            )
            + "}"
        )
    return json.dumps(value)


def _disguised(draw: Draw, safe: list[Any], bad: list[Any]) -> list[Any]:
    how = draw(st.sampled_from(["safe", "only", "before", "after"]))
    return {"safe": safe, "only": bad or safe, "before": [*bad, *safe], "after": [*safe, *bad]}[how]


@st.composite
def texts(draw: Draw) -> str:
    """A bundle's configuration whose process may hold more than it seems to."""
    good = [(name, ["CAP_KILL"] if name in SETS[:3] else []) for name in SETS]
    some = draw(st.lists(st.sampled_from(SETS), min_size=1, unique=True))
    bad = [(name, _BAD if name in some else ["CAP_KILL"]) for name in SETS]
    caps = _disguised(draw, good, bad if draw(st.booleans()) else [])
    user = [("uid", 0), ("gid", 0)]
    process = [
        *(("terminal", False), ("user", user), ("args", ["cat", "/proc/self/status"])),
        *(("env", ["PATH=/bin"]), ("cwd", "/"), ("noNewPrivileges", True)),
    ]
    whole = _disguised(draw, [*process, ("capabilities", caps)], [("capabilities", bad)])
    if not any(key == "args" for key, _ in whole):
        whole = [*process, *whole]
    top: list[Any] = [("ociVersion", "1.0.2"), ("process", whole)]
    if draw(st.integers(1, 6)) == 1:
        top.insert(draw(st.integers(0, 2)), ("process", [*process, ("capabilities", bad)]))
    top += [
        ("root", [("path", "ROOT"), ("readonly", True)]),
        ("mounts", MOUNTS),
        ("linux", LINUX),
    ]
    tail = draw(st.sampled_from([*[""] * 9, "\n", "{}", " junk", '\n{"process": null}']))
    return _dump(draw, top) + tail


_FORBIDDEN = {
    "names": default().host.lists["calls-that-matter"],
    "action": "SCMP_ACT_ERRNO",
}
NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")
MOUNTS = [{"destination": "/proc", "type": "proc", "source": "proc"}]
LINUX = [
    (
        "namespaces",
        [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
    ),
    ("maskedPaths", ["/proc/kcore"]),
    ("readonlyPaths", ["/proc/sys"]),
    ("seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [_FORBIDDEN]}),
]


PRIVATE = ("unshare", "--mount", "--propagation", "private")


def granted(path: Path, root: Path) -> set[str] | None:
    """What the process holds under runc; None where runc refuses the bundle."""
    text = path.read_text().replace('"ROOT"', json.dumps(str(root)), 1)
    path.write_text(text)
    name = f"capadvise-test-{uuid.uuid4().hex[:12]}"
    done = subprocess.run(
        # Whatever the bundle says of namespaces: nothing is mounted where anybody else sees it.
        [*PRIVATE, "runc", "run", "--bundle", str(path.parent), name],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    found = set()
    for line in done.stdout.splitlines():
        if line.startswith(("CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb")):
            found |= {cap.name for cap in from_mask(int(line.split()[1], 16))}
    return found - {"CAP_KILL"} if done.returncode == 0 else None
