"""The sound parts of hostile files."""

from __future__ import annotations

import json
from typing import Any

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"
SOUND = "capabilities: {drop: [ALL]}, allowPrivilegeEscalation: false"


def pod(context: str, *, more: str = "") -> str:
    return f"{POD}  - name: c\n    image: x\n    securityContext: {{{context}}}\n{more}"


SERVICE = "image: x, cap_drop: [ALL]"


def service(more: str) -> str:
    return f"services: {{a: {{{SERVICE}, {more}}}}}\n"


START = "[Service]\nExecStart=/bin/true\n"
UNIT = START + "CapabilityBoundingSet=CAP_CHOWN\n"
BOX = "[Container]\nImage=x\nDropCapability=all\n"


def bundle(linux: dict[str, Any] | None = None, process: Any = None, **top: Any) -> str:
    """A config.json that is sound but for what is given."""
    namespaces = ("pid", "network", "ipc", "uts", "mount", "cgroup")
    config: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "args": ["sh"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {"bounding": ["CAP_KILL"]},
            **(process or {}),
        },
        "root": {"path": "rootfs", "readonly": True},
        "linux": {
            "namespaces": [{"type": kind} for kind in namespaces],
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
            **(linux or {}),
        },
        **top,
    }
    return json.dumps(config)
