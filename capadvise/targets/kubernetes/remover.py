"""What removes our pods from a cluster when we are killed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from capadvise.targets.kubernetes import objects
from capadvise.targets.kubernetes.kubectl import Kubectl

_UNLESS_TOLD = 'read -r _ || exec "$@"'
"""A line says that nothing is left; an end without one, that we were killed."""


@contextmanager
def removed_if_killed(kubectl: Kubectl, namespaces: Sequence[str], run: str) -> Iterator[Kubectl]:
    """A client whose pods of this run go even if we are killed meanwhile: a process for each
    namespace, in a session of its own, hears of it by the end of its input. Each kubectl holds the
    other end, too: one that is about to make a pod outlives us. Raises ClusterError."""
    processes = [
        subprocess.Popen(
            [*("sh", "-c", _UNLESS_TOLD, "sh"), *kubectl.words(*_delete(namespace, run))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for namespace in namespaces
    ]
    fds = tuple(process.stdin.fileno() for process in processes if process.stdin)
    try:
        yield replace(kubectl, fds=fds)
    finally:
        for process in processes:
            process.communicate(b"\n")


def _delete(namespace: str, run: str) -> tuple[str, ...]:
    selector = f"--selector={objects.RUN}={run}"
    return "delete", "pods", f"--namespace={namespace}", selector, "--wait=false"
