"""OCI runtimes: the ``config.json`` of a bundle.

All of it may be imported.
"""

from typing import Any

from capadvise.config.consumer import Consumer, Prefix, Winner
from capadvise.config.language import Language, UnknownFile

_BUNDLES = "engines write config.json again at each start"
_OF_PROCESS = ("args", "capabilities")

OCI = Language(
    "oci",
    "capadvise.config.oci.file",
    title="the config.json of an OCI bundle",
    consumer=Consumer(
        "runc",
        None,
        Prefix.MUST,
        any_case=False,
        refuses=False,
        winner=Winner.ADD,
        bounds_only=True,
        ambient="process.capabilities.ambient",
        takes_all=False,
        no_gain="process.noNewPrivileges: true",
    ),
    endings=(".json",),
    keys=("ociVersion", "process"),
    service="process",
    files="capadvise.config.oci",
    cannot={
        "edit": _BUNDLES,
        "lines": _BUNDLES,
        "ask": "runc reads a bundle when it starts it, and has no way to say what it would do",
    },
)


def claims(file: UnknownFile) -> bool:
    """True for a config.json, with a version or without; runc takes keys in any case."""
    if not file.text.lstrip("\ufeff \t\r\n").startswith("{"):
        return False
    if file.json is None:
        return '"ociVersion"' in file.text  # broken: its reader says where
    keys = _any_case(file.json)
    process = _any_case(keys.get("process"))
    starts = file.name == "config.json" and not process.keys().isdisjoint(_OF_PROCESS)
    return "ociversion" in keys or starts


def _any_case(value: Any) -> dict[str, Any]:
    return {key.casefold(): item for key, item in value.items()} if isinstance(value, dict) else {}
