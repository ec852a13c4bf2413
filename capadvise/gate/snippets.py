"""The few lines that give a service a set, to paste into its file. Pure."""

from __future__ import annotations

from capadvise.model.caps import CapSet


def lines(language: str, caps: CapSet) -> str:
    """In a file's own language; empty where nobody pastes."""
    short = ", ".join(cap.short for cap in sorted(caps))
    full = " ".join(cap.name for cap in sorted(caps))
    match language:
        case "compose":
            return f"cap_drop: [ALL]\ncap_add: [{short}]"
        case "kubernetes":
            return f"securityContext:\n  capabilities: {{drop: [ALL], add: [{short}]}}"
        case "quadlet":
            return f"DropCapability=all\nAddCapability={full}".rstrip("=")
        case "systemd":
            return f"CapabilityBoundingSet={full}"
        case _:
            return ""
