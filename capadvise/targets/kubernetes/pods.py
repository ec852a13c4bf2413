"""The pods that a user names: ``NAMESPACE/POD[/CONTAINER]``, or by a container id or a process."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from capadvise.kernel import procfs
from capadvise.model.errors import BadInput
from capadvise.targets.client.cgroup_path import parse_place
from capadvise.targets.kubernetes.cri import node
from capadvise.targets.kubernetes.cri.bundle import CriContainer

_NAME = r"[a-z0-9*?]([a-z0-9.*?-]*[a-z0-9*?])?"
_PODS = re.compile(rf"(?P<namespace>{_NAME})/(?P<pod>{_NAME})(/(?P<container>{_NAME}))?")
_ID = re.compile("[0-9a-f]{12,64}")


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods to record. Names may contain ``*`` and ``?``: then later pods count, too."""

    namespace: str
    pod: str
    container: str = "*"

    def __str__(self) -> str:
        whole = self.container == "*"
        return "/".join((self.namespace, self.pod, *(() if whole else (self.container,))))

    def has(self, container: CriContainer) -> bool:
        """True if it is one of these containers, or holds the namespaces of their pod."""
        names = (container.namespace, self.namespace), (container.pod, self.pod)
        if not all(fnmatchcase(*each) for each in names):
            return False
        return not container.name or fnmatchcase(container.name, self.container)

    @property
    def several(self) -> bool:
        """True if there can be more than one container."""
        return any(letter in str(self) for letter in "*?") or self.container == "*"

    @property
    def come(self) -> bool:
        """True if more of them may come later, or none is there at first."""
        return any(letter in f"{self.namespace}{self.pod}" for letter in "*?")


def pods_of(what: str) -> Pods | None:
    """The pods with this name; None for anything else."""
    match = _PODS.fullmatch(what)
    return match and Pods(match["namespace"], match["pod"], match["container"] or "*")


def require_pods(pods: Pods) -> None:
    """Raise BadInput if none is here and none is expected, CannotObserve if none could be seen."""
    node.require()
    known = [kept.container for kept in node.containers()]
    if not pods.come and not any(map(pods.has, known)):
        names = sorted({f"{one.namespace}/{one.pod}" for one in known})
        there = f"there are {', '.join(names[:5])}{' …' * (len(names) > 5)}" if names else None
        raise BadInput(
            f"no pod {pods.namespace}/{pods.pod} runs on this machine",
            hint=there or "run capadvise on the node of the pod, in its initial pid namespace",
        )


def pods_with(what: str) -> Pods | None:
    """The container with this id or its first twelve letters, or with this process, or None."""
    if what.isascii() and what.isdecimal() and (pid := procfs.process_of(int(what))):
        place = parse_place(procfs.cgroup(pid))
        start = place.container if place else ""
    else:
        start = what if _ID.fullmatch(what) else ""
    known = (kept.container for kept in node.containers()) if start else ()
    fitting = [container for container in known if container.id.startswith(start)]
    return _of(fitting[0]) if len(fitting) == 1 else None


def in_pod(what: str) -> node.KeptContainer | None:
    """The one container that runs with this id, or of this name, ``NAMESPACE/POD/CONTAINER``."""
    pods = pods_with(what) if _ID.fullmatch(what) else pods_of(what)
    fitting = containers_of(pods) if pods else []
    return fitting[0] if len(fitting) == 1 else None


def containers_of(pods: Pods) -> list[node.KeptContainer]:
    """The running containers, without those that hold namespaces."""
    return [kept for kept in node.containers() if kept.container.name and pods.has(kept.container)]


def _of(container: CriContainer) -> Pods:
    """This container alone. Raises BadInput for one that holds the namespaces of a pod."""
    if not container.name:
        raise BadInput(
            f"this is the container that holds the namespaces of {container.called}, and runs "
            "nothing of yours",
            hint=f"capadvise attach {container.called}",
        )
    return Pods(container.namespace, container.pod, container.name)
