"""An image, for people and for programs: ``inspect image:NAME``. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from capadvise.model.caps import names
from capadvise.model.escape import printable
from capadvise.model.image import ImageInspection, Riser
from capadvise.report.lines import bullet, listed, paragraph

SCHEMA = "capadvise.inspect.image/1"


def dump_image(item: ImageInspection) -> dict[str, Any]:
    """One image as JSON values."""
    return {
        "schema": SCHEMA,
        "image": item.name,
        "engine": item.engine,
        "user": item.user,
        "argv": list(item.argv),
        "ports": list(item.ports),
        "volumes": list(item.volumes),
        "healthcheck": list(item.healthcheck),
        "layers": item.layers,
        "risers": [
            {
                "path": riser.path,
                "layer": riser.layer,
                "set_uid": riser.set_uid,
                "set_gid": riser.set_gid,
                "caps": names(riser.caps),
            }
            for riser in item.risers
        ],
        "unread": list(item.unread),
    }


def image_text(item: ImageInspection) -> Iterator[str]:
    """One image, at 80 columns."""
    layers = f"{item.layers} layer{'s' * (item.layers != 1)}"
    yield f"{printable(item.name)}, image of {item.engine}, {layers}"
    yield ""
    yield "User"
    root = item.user.partition(":")[0] in ("", "0", "root")
    yield from paragraph(
        f"{printable(item.user) or 'not set'}: it runs as root, with the runtime's set"
        if root
        else f"{printable(item.user)}: it does not start with the runtime's set, but a program "
        "that grants privileges can give it"
    )
    yield "Command"
    yield from paragraph(printable(shlex.join(item.argv)) or "not set")
    for head, texts in (
        ("Ports", item.ports),
        ("Volumes", item.volumes),
        ("Healthcheck", (shlex.join(item.healthcheck),) if item.healthcheck else ()),
    ):
        if texts:
            yield head
            yield from paragraph(printable(listed(list(texts))))
    yield "Programs that grant privileges"
    for riser in item.risers:
        yield from bullet(_riser(riser))
    if item.risers:
        yield from paragraph("no_new_privs (no-new-privileges) disables all of them.")
    else:
        yield from paragraph("none: no set-user-ID programs, no file capabilities")
    if item.unread:
        yield "Not readable"
        for text in item.unread:
            yield from bullet(printable(text))


def _riser(riser: Riser) -> str:
    rights = []
    if riser.set_uid is not None:
        rights.append(f"runs as uid {riser.set_uid}")
    if riser.set_gid is not None:
        rights.append(f"runs with gid {riser.set_gid}")
    if riser.caps:
        rights.append(f"holds {listed([cap.short for cap in sorted(riser.caps)])}")
    return f"{printable(riser.path)} (layer {riser.layer}): {listed(rights)}"
