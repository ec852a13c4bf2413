"""OCI runtimes (runc, crun): ``process`` of a bundle's ``config.json``."""

from __future__ import annotations

import json
from typing import Any

from capadvise.formats import bundle_exposed, bundle_json
from capadvise.formats.declared import Declared
from capadvise.formats.snippet import Snippet
from capadvise.model.errors import BadInput


def render(snippet: Snippet) -> str:
    """What is to be merged into a ``config.json``. JSON has no comments: the reasons are
    annotations, which runtimes pass by."""
    caps = [cap.name for cap, _ in snippet.caps]
    # At its exec, root gets what is bounding; others get what is ambient, which must be
    # inheritable too.
    others = [] if snippet.root else caps
    process: dict[str, Any] = {
        "capabilities": {
            "bounding": caps,
            "effective": caps,
            "permitted": caps,
            "inheritable": others,
            "ambient": others,
        },
    }
    if snippet.no_new_privileges is not None:  # what `runc spec` writes is true
        process["noNewPrivileges"] = snippet.no_new_privileges
    if all(value is None or value.isdecimal() for value in snippet.ids):
        uid, gid = snippet.ids
        process["user"] = {"uid": int(uid), "gid": int(gid or 0)}
    annotations = {"capadvise.set": snippet.set_name, "capadvise.user": snippet.user}
    annotations |= {f"capadvise.{cap.name}": reason for cap, reason in snippet.caps}
    annotations |= {f"capadvise.note.{n}": note for n, note in enumerate(snippet.notes, 1)}
    return json.dumps({"process": process, "annotations": annotations}, indent=2) + "\n"


def read(source: str) -> tuple[Declared, ...]:
    """The process of a ``config.json``, called ``process``. All that any of its sets holds counts:
    at its exec root gets what is bounding or inheritable, and others get what is ambient."""
    config = bundle_json.load(source)
    process = config.get("process")
    if process is None:
        raise BadInput("line 1: not a bundle's config.json: it has no process")
    sets = process.get("capabilities") or {}
    user = process.get("user") or {}
    ids = [user.get("uid", 0), user.get("gid", 0)]
    if not all(type(number) is int for number in ids):
        raise BadInput("line 1: uid and gid must be numbers")
    held = [name for which in ("bounding", "inheritable") for name in _names(sets, which)]
    return (
        Declared(
            service="process",
            drop=("ALL",),
            add=tuple(dict.fromkeys(held)),
            ambient=_names(sets, "ambient"),
            user=f"{ids[0]}:{ids[1]}",
            groups=bool(user.get("additionalGids")),
            no_new_privileges=process.get("noNewPrivileges") is True,
            exposed=tuple(bundle_exposed.exposed(config)),
        ),
    )


def _names(sets: dict[str, Any], which: str) -> tuple[str, ...]:
    value = sets.get(which) or []
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadInput(f"line 1: {which} must be a list of names")
    return tuple(value)
