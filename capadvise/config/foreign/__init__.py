"""Files of other tools that start containers: development containers, jobs of pipelines and
schedulers, infrastructure as code. ``catalog/foreign.yaml`` says where containers stand in them.

All of it may be imported. ``file`` reads them all; ``trees`` makes trees of HCL and TOML.
"""

from capadvise.config.consumer import Consumer, Prefix, Winner
from capadvise.config.language import Language

_OTHERS = "other tools have many places for a set, and no common one"
_ASK = "the tool that reads it starts the container, and has no command that shows its settings"
FOREIGN = Language(
    "foreign",
    "capadvise.config.foreign.file",
    title="a devcontainer.json, Nomad job, pipeline, Terraform file or playbook",
    consumer=Consumer(
        "docker",
        "docker",
        Prefix.MAY,
        any_case=True,
        refuses=True,
        winner=Winner.ADD,
        bounds_only=True,
        keeps_defaults=True,
    ),
    endings=(".yml", ".yaml", ".json", ".tf", ".tofu", ".hcl", ".nomad", ".toml"),
    by_name=True,
    has_doubles=True,
    files="capadvise.config.foreign.file",
    engine="docker",
    cannot={"render": _OTHERS, "edit": _OTHERS, "lines": _OTHERS, "ask": _ASK},
)
