"""Changes user and capabilities of a target: a program of its own, which becomes the target.

python-prctl is GPL: its process stays apart, and imports only modules of capadvise that need the
standard library alone.

Run as ``launcher.py PLAN_FD GO_FD FAILED_FD PATH…`` by the guardian's child.
"""

import json
import os
import sys
from typing import Any

if __name__ == "__main__":
    sys.path += sys.argv[4:]  # where capadvise and prctl are: started with -I -S, it has no path

from capadvise.kernel import libc
from capadvise.kernel.odd_start import fill_streams
from capadvise.kernel.process_tree import OwnCgroup
from capadvise.observe.supervise.target_start import Refused, start


def main() -> None:
    """Read the plan, and become the target."""
    fill_streams()
    given, go, failed = map(int, sys.argv[1:4])
    with open(given, encoding="utf-8") as file:
        plan = json.load(file)
    parent, terminal = plan["cgroup"] and plan["cgroup"][0], plan["terminal"]
    for fd in (go, failed, *(fd for fd in (parent, terminal) if fd is not None)):
        os.set_inheritable(fd, False)
    cgroup = OwnCgroup(*plan["cgroup"]) if plan["cgroup"] else None
    start(plan, cgroup, go, failed, lambda: change(plan))


def change(plan: dict[str, Any]) -> None:
    """Become what the plan says. Raises Refused."""
    if plan["caps"] is not None:
        limit(frozenset(plan["caps"]))
    if plan["user"]:
        become(plan["user"])


def limit(keep: frozenset[int]) -> None:
    """Cut the bounding set, and with it all that an exec as root can give."""
    import prctl

    bounding = held("CapBnd")
    for number in range(64):
        if bounding >> number & 1 and number not in keep:
            prctl.capbset_drop(number)


def become(user: dict[str, Any]) -> None:
    """Become another user, and keep every permitted capability of ours inheritable and ambient."""
    import prctl

    os.environ.update(user["env"])
    try:
        prctl.set_keepcaps(1)
        os.setgroups(user["groups"])
        os.setresgid(user["gid"], user["gid"], user["gid"])
        os.setresuid(user["uid"], user["uid"], user["uid"])
    except OSError as error:
        raise Refused(f"become uid {user['uid']}", error.errno or 0) from error
    permitted = held("CapPrm") & held("CapBnd")
    caps = [number for number in range(64) if permitted >> number & 1]
    prctl.set_caps((caps, [prctl.CAP_EFFECTIVE, prctl.CAP_INHERITABLE], True))
    for number in caps:
        try:
            libc.raise_ambient(number)
        except OSError as error:
            step = f"raise capability {number} in the ambient set"
            raise Refused(step, error.errno or 0) from error


def held(name: str) -> int:
    """One of this process's capability sets, as a mask."""
    with open("/proc/self/status", encoding="utf-8") as status:
        return int(next(line for line in status if line.startswith(f"{name}:")).split()[1], 16)


if __name__ == "__main__":
    main()
