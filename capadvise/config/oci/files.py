"""The configuration files of bundles."""

from typing import Any

from capadvise.config.language import UnknownFile

_OF_PROCESS = ("args", "capabilities")


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
