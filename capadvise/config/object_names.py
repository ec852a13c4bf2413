"""Kubernetes' objects: their names, and where each kind keeps its pods. Pure."""

from __future__ import annotations

import re

_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"


_TEMPLATE = ("spec", "template", "spec")
POD_SPEC: dict[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "Deployment": _TEMPLATE,
    "StatefulSet": _TEMPLATE,
    "DaemonSet": _TEMPLATE,
    "ReplicaSet": _TEMPLATE,
    "ReplicationController": _TEMPLATE,
    "Job": _TEMPLATE,
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "PodTemplate": ("template", "spec"),
}
"""Where each kind keeps the specification of its pod."""
API_VERSION = {"Pod": "v1", "ReplicationController": "v1", "PodTemplate": "v1"} | dict.fromkeys(
    ("Job", "CronJob"), "batch/v1"
)
"""Of the others it is ``apps/v1``."""


def is_object_name(text: str) -> bool:
    """Whether Kubernetes takes it as the name of an object (RFC 1123)."""
    return re.fullmatch(_NAME, text) is not None
