"""systemd: units and their drop-ins.

All of it may be imported.
"""

from capadvise.config.consumer import Consumer, Prefix, Winner
from capadvise.config.language import ConsumerCommand, Language, Resolves
from capadvise.model.target import UNIT_KINDS

SYSTEMD = Language(
    "systemd",
    "capadvise.config.systemd.file",
    title="a unit",
    consumer=Consumer(
        "systemd",
        None,
        Prefix.MUST,
        any_case=True,
        refuses=False,
        winner=Winner.ADD,
        bounds_only=True,
        ambient="AmbientCapabilities=",
        takes_all=False,
        takes_numbers=True,
        on_host=True,
        filters=False,
        no_gain="NoNewPrivileges=true",
        own_users="Set PrivateUsers=identity (systemd 257)",
    ),
    command=ConsumerCommand(
        "systemd",
        (("systemd-analyze", "security", "--offline=true", "--json=short", "./{name}"),),
        beside=True,
        own_form=True,
        verifies_drop_ins=True,
    ),
    resolves=Resolves.BOUNDS,
    endings=(*UNIT_KINDS, ".conf"),
    edited=(".service",),
    service="service",
    drop_ins=True,
    has_doubles=True,
    files="capadvise.config.units.names",
    lines="CapabilityBoundingSet={full}",
)
