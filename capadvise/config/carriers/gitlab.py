"""GitLab: pipelines, and the ``config.toml`` of a runner."""

from __future__ import annotations

import re
from collections.abc import Iterator

from capadvise.config.carriers.hcl import toml
from capadvise.config.carriers.settings import (
    calls,
    container,
    distinct,
    joined,
    kept,
    pairs,
    unjudged,
    value,
    values,
)
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.language import UnknownFile
from capadvise.config.yaml.tree import Mapping, Node, Scalar, documents, entries, target, text
from capadvise.model.errors import BadInput

_SCRIPTS = ("script", "before_script", "after_script", "pre_get_sources_script")
_WITH_ENGINE = re.compile(r"(?:^|[/:_-])dind(?:$|[:_-])")
"""Images in which a docker daemon runs, which needs a privileged container."""
_SHELLS = ("shell", "ssh", "custom")


def claims(file: UnknownFile) -> bool:
    """True if a job of it has a script."""
    return any(
        isinstance(target(job), Mapping) and "script" in entries(job)
        for root in file.roots
        if not {"kind", "apiVersion"} & entries(root).keys()
        for job in entries(root).values()
    )


def meant(path: str, source: str) -> bool:
    """True unless it is another program's TOML."""
    return not path.endswith(".toml") or re.search(r"^\s*\[\[runners\]\]", source, re.M) is not None


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The containers of jobs, as JOB and JOB/SERVICE, and those of a runner."""
    if path.endswith(".toml") or re.search(r"^\s*\[\[runners\]\]", source, re.MULTILINE):
        return distinct(_runners(source))
    found: list[Declared] = []
    for root in map(target, documents(source)):
        if not isinstance(root, Mapping):
            raise BadInput("line 1: not a pipeline of GitLab: it has no jobs")
        for key, node in pairs(root):
            if key == "include":
                found.append(kept(unjudged("include: other files of the pipeline", node.line), key))
        for name, job in (("default", root), *pairs(root)):
            found += _job(name, job)
    return distinct(found)


def _job(name: str, job: Node) -> Iterator[Declared]:
    services = values(job, "services")
    for image in values(job, "image"):
        user = value(next(iter(values(image, "docker")), None), "user") or None
        called = text(image) or value(image, "name")
        yield Declared(name, image.line, image=called, user=user)
    for service in services:
        called = text(service) or value(service, "name")
        alone = Declared("", service.line, image=called)
        why = f"the service {called}: its daemon needs a runner with privileged containers"
        parts = [unjudged(why, service.line)] if _WITH_ENGINE.search(called) else []
        yield joined([alone, *parts], f"{name}/{called}", service.line, called)
    for key, script in pairs(job):
        if key in _SCRIPTS:
            yield from calls(script, f"{name}/docker")


def _runners(source: str) -> Iterator[Declared]:
    """TOML puts the sections of a runner below its own one."""
    name, found = "runner", False
    for path, section in toml(source.removeprefix("\ufeff")).pairs:
        assert isinstance(path, Scalar)
        found = found or path.value == "runners"
        if path.value == "runners":
            name = value(section, "name") or "runner"
            if (executor := value(section, "executor")) in _SHELLS:
                at = ExposureAt(Exposure.HOST_COMMAND, f"executor = {executor!r}", section.line)
                yield Declared(name, section.line, ("ALL",), exposed=(at,))
        elif path.value in ("runners.docker", "runners.kubernetes"):
            yield container(section, name, section.line)
        elif path.value.startswith("runners.kubernetes.volumes.host_path"):
            yield kept(
                container(
                    Mapping(
                        0,
                        0,
                        section.line,
                        None,
                        None,
                        ((Scalar(0, 0, section.line, None, None, "mounts", ""), section),),
                        True,
                    ),
                    name,
                ),
                name,
            )
        elif path.value == "runners.kubernetes.pod_spec":
            yield kept(unjudged("runners.kubernetes.pod_spec: patches of the pod", path.line), name)
    if not found:
        raise BadInput("line 1: not the configuration of a GitLab runner: it has no [[runners]]")
