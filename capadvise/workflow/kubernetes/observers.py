"""Observers: our pods on the nodes of a cluster, which watch those of a workload."""

import json
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event
from types import FrameType
from typing import Any

from capadvise.config.kubernetes.admission import PodOwner
from capadvise.kernel.own_streams import replace_dead_streams
from capadvise.model.errors import CapadviseError
from capadvise.model.wording import counted
from capadvise.targets.kubernetes import objects
from capadvise.targets.kubernetes.kubectl import ClusterError, Kubectl
from capadvise.targets.kubernetes.objects import Object
from capadvise.workflow.notice import confirmed, notice, progress

_NAMESPACE = f"/api/v1/namespaces/{objects.OBSERVERS}"
_READY_SECONDS = 300.0
"""For a pod to be ready."""
_ACCOUNT_SECONDS = 20.0
"""For a new namespace to get its service account."""
_COLLECT_SECONDS = 180.0
"""For an observer to end its recording and to send the reports."""
_AT_ONCE = 16
"""The number of nodes that are asked at the same time."""


def sweep(kubectl: Kubectl, namespace: str) -> None:
    """Remove pods that a killed capadvise has left, once they have ended by themselves."""
    path = objects.pods_path(namespace)
    with suppress(ClusterError):
        for pod in kubectl.items(path, labelSelector=objects.RUN):
            if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
                kubectl.delete(objects.pods_path(namespace, objects.name_of(pod)))


def delete(kubectl: Kubectl, paths: list[str]) -> None:
    """Remove objects that we have made, and print a notice for each that cannot be removed."""

    def one(path: str) -> None:
        try:
            kubectl.delete(path)
        except CapadviseError as error:
            notice(f"not removed: {path}: {error}")

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(one, paths))


def agreed(plan: Iterable[str], *, only: bool, yes: bool) -> bool:
    """Print what will be made and stopped; True to go on. ``only``: print, and do nothing."""
    for line in plan:
        notice(f"plan: {line}")
    return not only and (yes or confirmed("go on?"))


def create(kubectl: Kubectl, pod: Object, made: list[str]) -> Object:
    """Create a pod; ``made`` gets its name unless the server refuses it: without an answer, it may
    exist. Raises ClusterError."""
    made.append(objects.name_of(pod))
    try:
        return kubectl.create(objects.pods_path(pod["metadata"]["namespace"]), pod)
    except ClusterError as error:
        if error.reason:
            made.pop()
        raise


@dataclass
class Observers:
    """The observers of one recording."""

    kubectl: Kubectl
    owner: PodOwner
    run: str
    image: str
    seconds: int
    """The time after which they end by themselves."""
    stop: Event
    pods: dict[str, str] = field(default_factory=dict)
    """Node → our pod."""
    made: list[str] = field(default_factory=list)
    """The pods that may exist."""
    unwatched: set[str] = field(default_factory=set)
    """Nodes whose pod does not run."""

    @property
    def watching(self) -> set[str]:
        """The nodes that are watched."""
        return self.pods.keys() - self.unwatched

    def remove(self) -> None:
        """Remove them all; the last recording there also removes the namespace, if it is ours."""
        delete(
            self.kubectl,
            [objects.pods_path(objects.OBSERVERS, name) for name in self.made],
        )
        if self._may_remove_namespace():
            delete(self.kubectl, [_NAMESPACE])

    def _may_remove_namespace(self) -> bool:
        with suppress(ClusterError):  # without the right to look there, we have not made it
            if objects.is_ours(self.kubectl.get(_NAMESPACE)):
                pods = self.kubectl.items(objects.pods_path(objects.OBSERVERS))
                return all(objects.is_ours(pod, self.run) for pod in pods)
        return False

    def collect(self) -> list[Any]:
        """The reports of all observers."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return [one for each in threads.map(self._collect, self.watching) for one in each]

    def make_namespace(self) -> None:
        """Make the observers' namespace unless it exists, and sweep it."""
        end = time.monotonic() + _READY_SECONDS
        while not self.stop.is_set():
            try:
                self.kubectl.create("/api/v1/namespaces", objects.observers_namespace())
            except ClusterError as error:
                if error.reason not in ("AlreadyExists", "Forbidden"):
                    raise
                # An earlier call may just have removed it.
                if self._is_going() and time.monotonic() < end:
                    self.stop.wait(0.5)
                    continue
            break
        sweep(self.kubectl, objects.OBSERVERS)

    def _is_going(self) -> bool:
        with suppress(ClusterError):  # without the right to look there, we have not made it either
            return (self.kubectl.get(_NAMESPACE).get("status") or {}).get("phase") == "Terminating"
        return False

    def observe(self, nodes: set[str]) -> None:
        """Start an observer on each of these nodes. Raises ClusterError if none runs."""
        if not nodes:
            return
        first, new = not self.pods, dict[str, str]()
        for node in sorted(nodes):
            name = f"observer-{self.run}-{len(self.pods) + 1}"
            self.pods[node], new[name] = name, node
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            refused = dict(
                zip(new.values(), threads.map(self._create, new, new.values()), strict=True)
            )
        troubles = {node: str(why) for node, why in refused.items() if why is not None}
        made = {name: node for name, node in new.items() if node not in troubles}
        troubles |= self._until_ready(made)
        self.unwatched |= troubles.keys()
        if first and len(troubles) == len(new):
            why = next(iter(troubles.values()))
            raise ClusterError(
                f"no observer runs: {why}",
                hint="`capadvise help kubernetes` says what a cluster must have and allow for it",
            )
        for node, why in troubles.items():
            notice(f"note: {node} is not watched: {why}")

    def _create(self, name: str, node: str) -> ClusterError | None:
        """Create an observer; return the server's refusal, or None."""
        pod = objects.observer(self.owner, node, name, self.run, self.image, self.seconds)
        end = time.monotonic() + _ACCOUNT_SECONDS
        while True:
            try:
                create(self.kubectl, pod, self.made)
            except ClusterError as error:
                # A controller gives each new namespace its service account, a moment later.
                early = "service account" in str(error) and time.monotonic() < end
                if not early or self.stop.wait(0.3):
                    return error
                continue
            return None

    def _until_ready(self, new: dict[str, str]) -> dict[str, str]:
        """Wait for observers (pod → node); return node → reason of each that does not run."""
        path, run = objects.pods_path(objects.OBSERVERS), f"{objects.RUN}={self.run}"
        waiting, troubles = dict(new), dict[str, str]()
        end = time.monotonic() + _READY_SECONDS
        while waiting and not self.stop.is_set():
            known = {objects.name_of(p): p for p in self.kubectl.items(path, labelSelector=run)}
            for name, node in list(waiting.items()):
                pod = known.get(name, {})
                why = objects.trouble(pod) if pod else "it was deleted"
                if why is None and time.monotonic() > end:
                    why = f"not ready in {_READY_SECONDS:.0f} s"
                if why is not None:
                    troubles[node] = why
                if why is not None or objects.is_ready(pod):
                    del waiting[name]
            if waiting:
                progress(f"waiting for {counted(len(waiting), 'observer')}")
                self.stop.wait(0.3)
        return troubles

    def _collect(self, node: str) -> list[Any]:
        """The reports of one node; prints a note if there are none. A broken stream is read
        again."""
        name, why = self.pods[node], ""
        for _ in range(3):
            try:
                text = self.kubectl.execute(
                    *(objects.OBSERVERS, name, "observer", ["sh", "-c", objects.COLLECT]),
                    timeout=_COLLECT_SECONDS,
                )
                answer = json.loads(text)
                return answer if isinstance(answer, list) else [answer]
            except (ValueError, RecursionError):
                why = "its answer was cut short, or is no JSON"
            except ClusterError as error:
                why = self._ended(name) or str(error)
                break
        notice(f"note: {node}: no report: {why}")
        return []

    def _ended(self, name: str) -> str | None:
        """The reason why an observer has ended; None if it runs."""
        with suppress(ClusterError):
            end = time.monotonic() + 3
            while time.monotonic() < end:  # the kubelet tells the server a moment later
                pod = self.kubectl.get(objects.pods_path(objects.OBSERVERS, name))
                if why := objects.trouble(pod):
                    return why
                time.sleep(0.3)
        return None


@contextmanager
def ending_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and the loss of the terminal set, instead of ending
    capadvise."""
    ending = threading.Event()

    def end(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            replace_dead_streams()
        ending.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup has it ignored
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
