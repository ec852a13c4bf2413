"""OCI runtimes: the ``config.json`` of a bundle.

All of it may be imported.
"""

from capadvise.config.consumer import Consumer, Prefix, Winner
from capadvise.config.language import Language

_BUNDLES = "engines write config.json again at each start"

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
    files="capadvise.config.oci.files",
    cannot={
        "edit": _BUNDLES,
        "lines": _BUNDLES,
        "ask": "runc reads a bundle when it starts it, and has no way to say what it would do",
    },
)
