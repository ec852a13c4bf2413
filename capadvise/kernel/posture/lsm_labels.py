"""Names by which security modules and sandboxes give themselves away. Pure."""

from __future__ import annotations

import re

from capadvise.model.posture import Mac


def sandbox_inside(version: str, command_line: str, mountinfo: str) -> str | None:
    """Whether the kernel that answers is that of gVisor or of a Kata guest.

    Sources: gVisor pkg/sentry (its fixed build date), Kata's agent and runtime (the unit that its
    guests boot, the tag of the folder that they share with the host).
    """
    if "-gvisor" in version or "Sun Jan 10 15:06:54 PST 2016" in version:
        return "gvisor"
    if "kata-containers.target" in command_line or " kataShared " in mountinfo:
        return "kata"
    return None


def sandbox_outside(command_line: str) -> str | None:
    """Whether a process of the host is what holds a gVisor or Kata container."""
    program = command_line.partition("\0")[0].rpartition("/")[2]
    if program in ("runsc", "runsc-sandbox", "runsc-gofer"):
        return "gvisor"
    if program == "containerd-shim-kata-v2" or "/run/vc/vm/" in command_line:
        return "kata"
    return None


def sandbox_of_runtime(name: str) -> str | None:
    """By the name under which an engine knows the runtime: ``runsc``, ``io.containerd.kata.v2``."""
    return "gvisor" if "runsc" in name else "kata" if "kata" in name else None


def parse_label(text: str, lsms: tuple[str, ...], enforcing: bool | None) -> Mac | None:
    """``/proc/PID/attr/current``: ``docker-default (enforce)``, ``system_u:system_r:…:s0``."""
    label = text.rstrip("\0\n")
    if not label:
        return None
    if match := re.fullmatch(r"(.+) \((\w+)\)", label, re.DOTALL):
        return Mac("apparmor", match[1], match[2])
    if label == "unconfined":
        return Mac("apparmor", label, label)
    if label.count(":") >= 2:
        mode = None if enforcing is None else "enforce" if enforcing else "permissive"
        return Mac("selinux", label, mode)
    module = next((name for name in ("smack", "selinux", "apparmor") if name in lsms), "unknown")
    return Mac(module, label, None)
