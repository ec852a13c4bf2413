"""docker compose: the services of a project.

All of it may be imported.
"""

from capadvise.config.consumer import Consumer, Prefix, Winner
from capadvise.config.language import ConsumerCommand, Language, Resolves

_OPTIONS = (
    *("--project-directory", "{folder}", "--file", "-", "--profile", "*"),
    *("config", "--format", "json", "--no-consistency"),
)
OFFLINE = {"COMPOSE_EXPERIMENTAL_GIT_REMOTE": "false", "COMPOSE_EXPERIMENTAL_OCI_REMOTE": "false"}
"""A file under review must not make us fetch another from the network."""

COMPOSE = Language(
    "compose",
    "capadvise.config.compose.file",
    title="a compose file",
    consumer=Consumer(
        "docker",
        "docker",
        Prefix.MAY,
        any_case=True,
        refuses=True,
        winner=Winner.ADD,
        bounds_only=True,
        free_ports="docker needs no NET_BIND_SERVICE in a network of the container's own; for "
        "podman-compose, add it.",
        opens_ports=True,
        own_users='Start dockerd with "userns-remap" for all its containers',
    ),
    command=ConsumerCommand(
        "docker compose",
        tuple(
            (*client, *_OPTIONS, *variables)
            for client in (("docker", "compose"), ("docker-compose",))
            for variables in ((), ("--no-interpolate",))
        ),
        environment=OFFLINE,
    ),
    resolves=Resolves.PROJECT,
    file_name="compose.cap.yaml",
    endings=(".yaml", ".yml", ".json"),
    edited=(".yaml", ".yml"),
    keys=("services",),
    has_doubles=True,
    files="capadvise.config.compose.files",
    joins=True,
    reads=("include", "extends", "env_file", "label_file"),
    lines="cap_drop: [ALL]\ncap_add: [{short}]",
    devices="devices:",
)
