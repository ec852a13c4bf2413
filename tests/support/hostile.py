"""The sound parts of hostile files."""

from __future__ import annotations

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
