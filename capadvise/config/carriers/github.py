"""Workflows of GitHub, Gitea and Forgejo, and actions: the containers of jobs, and those that the
commands of steps start."""

from __future__ import annotations

from collections.abc import Iterator

from capadvise.config.carriers.settings import calls, container, distinct, pairs, values
from capadvise.config.declared import Declared
from capadvise.config.language import UnknownFile
from capadvise.config.yaml.tree import Mapping, Node, Scalar, documents, entries, target
from capadvise.model.errors import BadInput


def claims(file: UnknownFile) -> bool:
    """True if its jobs run on a runner, or it is an action."""
    return any(_is_workflow(root) for root in file.roots)


def _is_workflow(root: Node) -> bool:
    keys = entries(root)
    jobs = [entries(job) for job in entries(keys["jobs"]).values()] if "jobs" in keys else []
    is_action = "using" in entries(keys["runs"]) if "runs" in keys else False
    return is_action or any("runs-on" in job or "uses" in job for job in jobs)


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The containers, as JOB, JOB/SERVICE, and JOB/docker for the commands of steps."""
    found: list[Declared] = []
    for root in map(target, documents(source)):
        if not isinstance(root, Mapping):
            raise BadInput("line 1: not a workflow: it has no jobs")
        for name, job in [*_jobs(root), ("action", root)]:
            found += _containers(name, job)
    return distinct(found)


def _jobs(root: Node) -> Iterator[tuple[str, Node]]:
    for jobs in values(root, "jobs"):
        yield from pairs(jobs)


def _containers(name: str, job: Node) -> Iterator[Declared]:
    for each in values(job, "container"):
        yield _one(each, name)
    for services in values(job, "services"):
        for called, service in pairs(services):
            yield _one(service, f"{name}/{called}")
    for steps in (job, *values(job, "runs")):
        for step in values(steps, "steps"):
            for key, run in pairs(step):
                if key == "run":
                    yield from calls(run, f"{name}/docker")


def _one(node: Node, name: str) -> Declared:
    if isinstance(node, Scalar):
        return Declared(name, node.line, image=node.value)
    return container(node, name)
