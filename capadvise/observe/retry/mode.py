"""How retries can be used here, if at all: with a filter or without, as root or as a user."""

import os
import platform
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path

from capadvise.kernel import gpl_modules, procfs
from capadvise.kernel.sudo import with_sudo
from capadvise.model.caps import SYS_ADMIN, Cap
from capadvise.model.errors import CannotObserve
from capadvise.observe.retry.client import Listener

Ranges = list[list[int]]
"""(first id inside, first id outside, how many), as ``newuidmap`` takes them."""


def subordinate(text: str, name: str, number: int) -> tuple[int, int] | None:
    """The first range of ``/etc/subuid`` for a user: (first id, how many); None without one."""
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in (name, str(number)) and fields[1].isdecimal():
            count = int(fields[2]) if fields[2].isdecimal() else 0
            if count > 0:
                return int(fields[1]), count
    return None


def maps(name: str, uid: int, gid: int, etc: Path = Path("/etc")) -> dict[str, Ranges]:
    """The ids for a new user namespace (user_namespaces(7), subuid(5)): the user as its root, and
    the subordinate ids above, if there are any and the programs that may map them. With one range
    alone, a program cannot become another user there."""
    ranges = {"uid": [[0, uid, 1]], "gid": [[0, gid, 1]]}
    for kind in ranges:
        if not shutil.which(f"new{kind}map"):
            continue
        try:
            text = (etc / f"sub{kind}").read_text(encoding="utf-8")
        except OSError:
            continue
        more = subordinate(text, name, uid)
        if more is not None:
            ranges[kind].append([1, *more])
    return ranges


MACHINES = ("x86_64", "aarch64")
_SYS_PTRACE = Cap.parse("SYS_PTRACE")
_FOR_ALL = ", which lets every user of the machine reach more of the kernel"
_RESTRICTIONS = (
    ("user.max_user_namespaces", "0", f"sysctl user.max_user_namespaces=10000{_FOR_ALL}"),
    (
        "kernel.unprivileged_userns_clone",
        "0",
        f"sysctl kernel.unprivileged_userns_clone=1{_FOR_ALL}",
    ),
    (
        "kernel.apparmor_restrict_unprivileged_userns",
        "1",
        'an AppArmor profile for the program, with the rule "userns,"',
    ),
)
"""Settings that keep ordinary users from user namespaces, or (AppArmor's: Ubuntu 23.10 and later)
from every capability in them; and what allows them."""


def restriction(read: Callable[[str], str | None] = procfs.sysctl) -> tuple[str, str] | None:
    """The setting that keeps ordinary users from user namespaces here, and a remedy."""
    for name, value, remedy in _RESTRICTIONS:
        if read(name) == value:
            return f"{name} is {value}: ordinary users cannot use user namespaces", remedy
    return None


def require_retry() -> None:
    """Raise CannotObserve if retries cannot be used, with the cause and a hint."""
    if gpl_modules.folder_of("ptrace") is None:
        raise CannotObserve(gpl_modules.is_missing("ptrace"), hint=gpl_modules.how_to_install())
    if platform.machine() not in MACHINES:
        raise CannotObserve(f"retries support {' and '.join(MACHINES)}, not {platform.machine()}")
    scope = procfs.sysctl("kernel.yama.ptrace_scope") or "0"
    held = procfs.capability_sets().effective
    if scope == "3" or (scope == "2" and _SYS_PTRACE not in held):
        raise CannotObserve(
            f"kernel.yama.ptrace_scope is {scope}: tracing is disabled",
            hint=(
                "only a restart of the machine changes that"
                if scope == "3"
                else "sysctl kernel.yama.ptrace_scope=1, as root, which lets every user of the "
                "machine trace the programs that it starts"
            ),
        )
    if os.geteuid() == 0:
        return
    if restricted := restriction():
        raise CannotObserve(restricted[0], hint=with_sudo())


def own_maps() -> dict[str, Ranges] | None:
    """The ids for the target's own user namespace; None for root, which needs none."""
    if os.geteuid() == 0:
        return None
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return maps(name, os.getuid(), os.getgid(), Path("/etc"))


def listener(how: str) -> Listener:
    """The listener for a run; ``how`` is ``auto`` or ``all-calls``. Installing a filter takes
    CAP_SYS_ADMIN (or no_new_privs, which would change set-id programs): without it, as in most
    containers, every call is stopped."""
    mapped = own_maps()
    filtering = mapped is not None or SYS_ADMIN in procfs.capability_sets().effective
    return Listener(every_call=how == "all-calls" or not filtering, maps=mapped)
