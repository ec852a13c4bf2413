"""Amazon ECS: the containers of a task definition.

All of it may be imported.
"""

from capadvise.config.consumer import Consumer, Prefix, Winner
from capadvise.config.language import Language, UnknownFile

# ``lacks``: what is not among the valid values of ``KernelCapabilities`` in the API reference.
ECS = Language(
    "ecs",
    "capadvise.config.ecs.file",
    title="an ECS task definition",
    consumer=Consumer(
        "ECS",
        "docker",
        Prefix.MUST_NOT,
        any_case=False,
        refuses=True,
        winner=Winner.ADD,
        bounds_only=True,
        lacks=("AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"),
        no_gain='dockerSecurityOptions: ["no-new-privileges"]',
    ),
    file_name="task-definition.json",
    endings=(".json", ".yaml", ".yml"),
    keys=("containerDefinitions", "taskDefinition"),
    engine="docker",
    lines='"linuxParameters": {"capabilities": {"drop": ["ALL"], "add": [{json}]}}',
    devices="linuxParameters.devices:",
    files="capadvise.config.ecs",
    cannot={
        "edit": "AWS keeps task definitions, and numbers each new one",
        "ask": "AWS validates a task definition only when it registers it in an account",
    },
)


def claims(file: UnknownFile) -> bool:
    """At the top, as ``register-task-definition`` takes it, or below a key, as
    ``describe-task-definition`` prints it."""
    from capadvise.config.yaml.tree import EMPTY, entries

    return any(
        "containerDefinitions" in entries(place)
        for root in file.roots
        for place in (root, entries(root).get("taskDefinition", EMPTY))
    )
