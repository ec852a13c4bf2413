"""The control group of a process: version, path, limits. See cgroups(7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from capadvise.kernel.posture.mounts import Mount, cgroup_writable
from capadvise.model.posture import Cgroup

_LIMITS = {
    "": ("memory.max", "memory.high", "memory.swap.max", "pids.max", "cpu.max", "cpuset.cpus"),
    "memory": ("memory.limit_in_bytes",),
    "pids": ("pids.max",),
    "cpu": ("cpu.cfs_quota_us",),
    "cpuset": ("cpuset.cpus",),
}
"""The files that limit something, by the controller of version 1; ``""`` is version 2."""
_UNLIMITED = 1 << 60
"""Version 1 says a number near 2**63 where there is no limit on memory."""


def parse_groups(text: str) -> dict[str, str]:
    """``/proc/PID/cgroup``: controller → path; ``""`` is version 2."""
    limits = {}
    for line in text.split("\n"):  # the only character that no name of a group can have
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for name in controllers.split(","):
            if path and not name.startswith("name="):
                limits[name] = path
    return limits


Limits = dict[tuple[str, str], list[tuple[str, str]]]
"""What was read already, by controller and path: many processes share a group."""


def cgroup_of(
    groups: Mapping[str, str], mounts: Sequence[Mount], own: Sequence[Mount], known: Limits
) -> Cgroup:
    """``mounts`` are those of the process, ``own`` ours: through them the limits are read."""
    first = [name for name in groups if name]
    version = "v2" if not first else "hybrid" if "" in groups else "v1"
    for controller, path in groups.items():
        if (controller, path) not in known:
            known[controller, path] = _limits(controller, path, own)
    asked = next((name for name in ("memory", "pids", "cpu", *first) if name in groups), "")
    return Cgroup(
        version,
        groups.get(asked, "/"),
        cgroup_writable(mounts),
        {
            name: value
            for controller, path in groups.items()
            for name, value in known[controller, path]
        },
    )


def _limits(controller: str, path: str, own: Sequence[Mount]) -> list[tuple[str, str]]:
    """The nearest limits on the way from a group up to the root of what we see."""
    top = _mount_of(controller, own)
    if top is None or ".." in path.split("/"):
        return []
    root = top.root.rstrip("/")
    below = path.removeprefix(root) if f"{path}/".startswith(f"{root}/") else path
    steps = [step for step in below.split("/") if step]
    folders = ["/".join([top.target, *steps[:count]]) for count in range(len(steps), -1, -1)]
    limits: dict[str, str] = {}
    for folder in folders:
        for name in _LIMITS.get(controller, ()):
            if value := _value(f"{folder}/{name}"):
                limits.setdefault(name, value)
    everything = _value(f"{top.target}/cpuset.cpus")  # of version 1: not a limit
    return [(n, v) for n, v in limits.items() if n != "cpuset.cpus" or v != everything]


def _mount_of(controller: str, own: Sequence[Mount]) -> Mount | None:
    for mount in own:
        if controller and mount.type == "cgroup" and controller in mount.options.split(","):
            return mount
        if not controller and mount.type == "cgroup2":
            return mount
    return None


def _value(path: str) -> str | None:
    """A limit; None where there is none."""
    try:
        with open(path) as file:
            value = file.read().strip()
    except OSError:
        return None
    unlimited = value in ("", "-1") or value.startswith("max")
    return None if unlimited or (value.isdecimal() and int(value) > _UNLIMITED) else value
