"""Version 1 of the report's JSON: read as version 2, and written for ``--json=1`` until December
2027. It has other words for some things, and no conclusion. Pure."""

from collections.abc import Mapping
from typing import Any

from capadvise.judgement.report import SCHEMA as SCHEMA_2

SCHEMA = "capadvise.report/1"
_VERDICTS = {
    "needed": "used",
    "optional": "tolerated",
    "incidental": "advisory",
    "not-checked": "unused",
}
_TARGET_OF_2 = ("granted",)
_PROOF_OF_2 = ("date", "compared", "opening")
_LOST_OF_2 = ("gaps",)
_RECORDING_OF_2 = (
    *("own_set_readers", "serving", "proc_seekers", "proc_state_seekers"),
    *("capable_files", "second_run"),
)


def upgraded(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a report of version 1 that is read, as version 2 has it: needs and proposal are
    judged again. Raises what reading it would."""
    return {
        **raw,
        "schema": SCHEMA_2,
        "recordings": [_renamed(one, own_sets="fixed_capsets") for one in raw["recordings"]],
        **({"proof": _renamed(raw["proof"], floor="minimal")} if raw.get("proof") else {}),
    }


def downgraded(document: Mapping[str, Any]) -> dict[str, Any]:
    """A report, a comparison or a known program of version 2 in the words of version 1."""
    if document.get("schema") != SCHEMA_2:
        return _renamed(document, minimal="floor")
    proof, known = document["proof"], document["known"]
    left = {key: value for key, value in document.items() if key != "conclusion"}
    return {
        **left,
        "schema": SCHEMA,
        "target": _without(document["target"], _TARGET_OF_2),
        "recordings": [_recording(one) for one in document["recordings"]],
        "needs": [_need(one) for one in document["needs"]],
        "proposal": _renamed(document["proposal"], minimal="floor"),
        "proof": proof and _renamed(_without(proof, _PROOF_OF_2), minimal="floor"),
        "known": known and _old_known(known),
    }


def _recording(one: Mapping[str, Any]) -> dict[str, Any]:
    """A file that could not be looked at may have been set-id, which version 1 cannot say."""
    return _renamed(_without(one, _RECORDING_OF_2), fixed_capsets="own_sets") | {
        "setid_exec": one["setid_exec"] is not False,
        "lost": _without(one["lost"], _LOST_OF_2),
    }


def _old_known(known: Mapping[str, Any]) -> dict[str, Any]:
    named = "floor" if known["set"] == "minimal" else known["set"]
    return _renamed(known, minimal="floor") | {"set": named}


def _need(need: Mapping[str, Any]) -> dict[str, Any]:
    verdict = need["verdict"]
    return _renamed(need, remediation="instead") | {"verdict": _VERDICTS.get(verdict, verdict)}


def _renamed(raw: Mapping[str, Any], **keys: str) -> dict[str, Any]:
    return {keys.get(key, key): value for key, value in raw.items()}


def _without(raw: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key not in keys}
