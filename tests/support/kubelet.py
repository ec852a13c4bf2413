"""What a kubelet does with the pods of the stand-in for a cluster: containers of a real containerd.

Their capabilities, commands, probes (``exec``) and mounts are real; images are not, for all are
busybox, and an observer's is this machine's Python.
"""

from __future__ import annotations

import tempfile
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster, Object
from tests.support.pods import Node, Pod
from tests.support.runs import CAPADVISE
from tests.support.shown import TOP, shown

_SHOWN = {"/usr", "/lib", "/lib64", *shown()}
_PROGRAMS = f"PATH={Path(CAPADVISE).parent}:/bin"


@dataclass
class _Running:
    """A pod, and the containers of its last start."""

    pod: Pod
    spec: Object
    folder: Path
    containers: dict[str, str] = field(default_factory=dict)
    starts: int = 0


class Kubelet:
    """Of the one node of a cluster."""

    def __init__(self, node: Node, cluster: Cluster, tracing: Path) -> None:
        """``tracing``: where tracefs is."""
        self.node, self.cluster, self.tracing = node, cluster, tracing
        self._running: dict[str, _Running] = {}
        self._stacks: dict[str, ExitStack] = {}
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        cluster.started = lambda _, pod: self._later(self._start, pod)
        cluster.ended = lambda _, pod: self._later(self._end, pod)
        cluster.changed = lambda _, pod: self._later(self._again, pod)
        cluster.execute = self._execute

    def close(self) -> None:
        """End all pods."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for running in self._running.values():  # many a first process ignores SIGTERM
            for container in running.containers.values():
                running.pod.stop(container)
        for stack in self._stacks.values():
            stack.close()

    def _later(self, call: Any, pod: Object) -> None:
        thread = threading.Thread(target=call, args=(pod,))
        self._threads.append(thread)
        thread.start()

    def _start(self, item: Object) -> None:
        metadata, spec = item["metadata"], item["spec"]
        uid = metadata["uid"]
        stack = self._stacks[uid] = ExitStack()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        context = [one.get("securityContext") or {} for one in spec["containers"]]
        pod = stack.enter_context(
            self.node.pod(
                metadata["name"],
                metadata["namespace"],
                privileged=any(one.get("privileged") for one in context),
                host_pids=bool(spec.get("hostPID")),
                logs=folder,
            )
        )
        self._running[uid] = _Running(pod, spec, folder)
        self._run(item)

    def _run(self, item: Object) -> None:
        running = self._running[item["metadata"]["uid"]]
        for one in running.spec["containers"]:
            running.containers[one["name"]] = self._container(running, one)
        running.starts += 1
        self._watch(item, running, running.starts)

    def _container(self, running: _Running, one: Object) -> str:
        context = one.get("securityContext") or {}
        sets = context.get("capabilities") or {}
        command = [*one.get("command", ()), *one.get("args", ())]
        more: Object = {}
        if running.spec.get("hostPID"):
            command = ["env", _PROGRAMS, f"PYTHONPATH={TOP}", *_environment(one), *command]
            more = {
                "restrained": True,
                "shown": [place for place in sorted(_SHOWN) if Path(place).exists()],
                "mounts": [
                    (str(self.tracing), "/sys/kernel/tracing"),
                    (str(running.folder), "/reports"),
                ],
            }
        return running.pod.run(
            *(one["name"], *command),
            privileged=bool(context.get("privileged")),
            more=sets.get("add") or [],
            less=sets.get("drop") or [],
            log="log.txt",
            **more,
        )

    def _watch(self, item: Object, running: _Running, start: int) -> None:
        """Tell the server how it goes, until it has ended or was started again."""
        (spec, *_), (container, *_) = running.spec["containers"], running.containers.values()
        item["restarts"] = start - 1
        request = {"container_id": container}
        while not self._stop.wait(0.1) and running.starts == start:
            if item["metadata"]["uid"] not in self._running:
                return
            status = self.node.call("ContainerStatus", "ContainerRequest", **request).status
            if status.state == 2:
                log = (running.folder / "log.txt").read_text()[-2000:]
                self.cluster.end(item, status.exit_code, log)
                return
            probe = ((spec.get("readinessProbe") or {}).get("exec") or {}).get("command")
            self.cluster.run(item, ready=probe is None or self._passes(container, probe))

    def _passes(self, container: str, probe: list[str]) -> bool:
        """Not where it ends meanwhile."""
        import grpc

        with suppress(grpc.RpcError):
            return bool(self._call(container, probe).exit_code == 0)
        return False

    def _again(self, item: Object) -> None:
        """The image has another name."""
        running = self._running[item["metadata"]["uid"]]
        running.starts += 1
        for container in running.containers.values():
            running.pod.stop(container)
        running.starts -= 1
        self._run(item)

    def _end(self, item: Object) -> None:
        uid = item["metadata"]["uid"]
        running = self._running.pop(uid, None)
        if running is not None:
            for container in running.containers.values():
                running.pod.stop(container, 30 if running.spec.get("hostPID") else 0)
        self._stacks.pop(uid, ExitStack()).close()

    def _call(self, container: str, words: list[str]) -> Any:
        return self.node.call(
            "ExecSync", "ExecSyncRequest", container_id=container, cmd=words, timeout=120
        )

    def _execute(
        self, cluster: Cluster, namespace: str, pod: str, container: str, words: list[str]
    ) -> tuple[str, int]:
        (item,) = (one for one in cluster.pods(namespace) if one["metadata"]["name"] == pod)
        done = self._call(self._running[item["metadata"]["uid"]].containers[container], words)
        return done.stdout.decode(errors="replace"), done.exit_code


def _environment(container: Object) -> list[str]:
    return [f"{one['name']}={one['value']}" for one in container.get("env", ())]
