"""Files of other programs that start containers, each with the settings of a container engine under
its own names: development containers, pipelines, job schedulers, infrastructure as code.

All of it may be imported. The modules read one language each; ``settings`` judges what they find as
options of ``docker run``, and ``hcl`` reads HCL and TOML.
"""

from dataclasses import replace

from capadvise.config.consumer import Consumer, Prefix, Winner
from capadvise.config.language import Language

_READ_ONLY = "it has no place of its own for a set: its options are those of the engine"
_CANNOT = {
    "render": _READ_ONLY,
    "edit": _READ_ONLY,
    "lines": _READ_ONLY,
    "ask": "the program that reads it starts the container, and has no way to say what it would do",
}
_DOCKER = Consumer(
    "docker",
    "docker",
    Prefix.MAY,
    any_case=True,
    refuses=True,
    winner=Winner.ADD,
    bounds_only=True,
)
_PASSING = replace(_DOCKER, passing=True)


def _language(
    name: str,
    title: str,
    consumer: Consumer,
    endings: str,
    names: str = "",
    *,
    has_doubles: bool = False,
    names_files: bool = False,
) -> Language:
    path = f"{__name__}.{name.partition('-')[0]}"
    return Language(
        name,
        path,
        title=title,
        consumer=consumer,
        endings=tuple(endings.split()),
        names=tuple(names.split()),
        has_doubles=has_doubles,
        names_files=names_files,
        files=path,
        engine="docker",
        cannot=_CANNOT,
    )


DEVCONTAINER = _language(
    *("devcontainer", "a devcontainer.json", _PASSING, ".json"),
    "devcontainer.json .devcontainer.json devcontainer-feature.json",
    names_files=True,
)
NOMAD = _language(
    *("nomad", "a Nomad job", _DOCKER, ".nomad .hcl .json", "*.nomad *.hcl *.nomad.json"),
    has_doubles=True,
)
GITHUB = _language(
    *("github-actions", "a workflow of GitHub Actions", _PASSING, ".yml .yaml"),
    ".github/workflows/*.yml .github/workflows/*.yaml action.yml action.yaml",
)
GITLAB = _language(
    *("gitlab-ci", "a pipeline or runner of GitLab", _PASSING, ".yml .yaml .toml"),
    "*.gitlab-ci.yml *.gitlab-ci.yaml *.toml",
    has_doubles=True,
)
TERRAFORM = _language(
    *("terraform", "a Terraform file", _DOCKER, ".tf .tofu .tf.json"), "*.tf *.tofu *.tf.json"
)
ANSIBLE = _language(*("ansible", "a playbook of Ansible", _DOCKER, ".yml .yaml"), has_doubles=True)
