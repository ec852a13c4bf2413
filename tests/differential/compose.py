"""Compose files, and what docker compose makes of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.differential.yaml_spellings import Draw, Map, Writer, disguised, framed

NAME = "compose.yaml"
_DANGERS: tuple[list[tuple[str, Any]], ...] = (
    [("privileged", True)],
    [("cap_add", ["SYS_ADMIN"])],
    [("cap_add", ["all"])],
    [("cap_add", ["NET_BIND_SERVICE", "sys_module"])],
    [("privileged", "${P:-true}")],
    [("cap_add", ["${C:-SYS_ADMIN}"])],
    [],
)


@st.composite
def texts(draw: Draw) -> str:
    """A compose file with one service, in which something is hidden or not."""
    safe: list[tuple[str, Any]] = [
        ("image", "x"),
        ("cap_drop", ["ALL"]),
        ("cap_add", ["NET_BIND_SERVICE"]),
        ("privileged", False),
    ]
    service = disguised(draw, safe, draw(st.sampled_from(_DANGERS)))
    services: list[tuple[str, Any]] = [("a", service)]
    how = draw(st.sampled_from(["plain", "plain", "plain", "extends", "document", "include"]))
    if how == "extends":
        services.append(("b", Map([("image", "x"), ("cap_drop", ["ALL"]), ("extends", "a")])))
    top = Map([("services", Map(services))])
    if how == "document":
        other = Map([("image", "x"), *draw(st.sampled_from(_DANGERS))])
        more = Map([("services", Map([("a", other)]))])
        tags = ("!reset", "!override")
        return Writer(draw, tags).document(top) + "---\n" + Writer(draw, tags).document(more)
    if how == "include":
        top = Map([*top.pairs, ("include", ["other.yaml"])])
    return framed(draw, Writer(draw, ("!reset", "!override")).document(top), separators=False)


OF_DEFAULT = "SETFCAP"
"""What a service holds that does not drop ALL, and would not hold otherwise."""
INCLUDED = "services: {bad: {image: x, privileged: true}}\n"


def resolved(path: Path) -> Any:
    """The project as docker compose resolves it; None where it refuses the file."""
    done = subprocess.run(
        ["docker", "compose", "-f", str(path), "config", "--format", "json"],
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        return None
    return json.loads(done.stdout)


def granted(path: Path) -> set[str] | None:
    """What the services of a file get, by docker compose; None where it refuses the file."""
    (path.parent / "other.yaml").write_text(INCLUDED)
    project = resolved(path)
    if project is None:
        return None
    found = set()
    for service in project["services"].values():
        if service.get("privileged"):
            found.add("privileged")
        found |= {str(name).upper() for name in service.get("cap_add") or []}
        if "ALL" not in [str(name).upper() for name in service.get("cap_drop") or []]:
            found.add(OF_DEFAULT)
    return found - {"NET_BIND_SERVICE"}
