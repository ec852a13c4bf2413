"""Quadlets: units of which podman makes services.

All of it may be imported.
"""

from capadvise.config.consumer import Consumer, Prefix, Winner
from capadvise.config.language import ConsumerCommand, Language, Resolves
from capadvise.config.units.names import QUADLETS

QUADLET = Language(
    "quadlet",
    "capadvise.config.quadlet.file",
    title="a quadlet",
    consumer=Consumer(
        "podman",
        "podman",
        Prefix.MAY,
        any_case=True,
        refuses=True,
        winner=Winner.NEITHER,
        bounds_only=False,
        no_gain="NoNewPrivileges=true",
        own_users="Set UserNS=auto",
    ),
    command=ConsumerCommand(
        "quadlet",
        (("/usr/libexec/podman/quadlet", "-dryrun"), ("/usr/lib/podman/quadlet", "-dryrun")),
        beside=True,
        own_form=True,
        environment={"QUADLET_UNIT_DIRS": "{folder}"},
    ),
    resolves=Resolves.UNIT,
    endings=QUADLETS,
    edited=(".container",),
    service="container",
    drop_ins=True,
    files="capadvise.config.units.names",
    engine="podman",
    lines="DropCapability=all\nAddCapability={full}",
    devices="AddDevice=",
)
