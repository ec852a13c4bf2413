"""The Pod Security level of a service in any other language than Kubernetes. Pure.

``pod_security`` judges the whole pod of a Kubernetes manifest.
"""

from __future__ import annotations

from collections.abc import Iterator

from capadvise.catalog import Catalog
from capadvise.config.consumer import ALL, Consumer
from capadvise.config.declared import Declared, Exposure, may_be_root
from capadvise.gate.finding import Level, Reached, Violation
from capadvise.model.caps import Cap

_BASELINE: dict[Exposure, str] = {
    Exposure.HOST_NETWORK: "Host Namespaces",
    Exposure.HOST_PROCESSES: "Host Namespaces",
    Exposure.HOST_IPC: "Host Namespaces",
    Exposure.CONTROL_SOCKET: "HostPath Volumes",
    Exposure.SYSTEM_BUS: "HostPath Volumes",
    Exposure.SYSTEM_FOLDER: "HostPath Volumes",
    Exposure.READABLE_FOLDER: "HostPath Volumes",
    Exposure.HOST_KERNEL: "HostPath Volumes",
    Exposure.DISK: "HostPath Volumes",
    Exposure.UNFILTERED: "Seccomp",
    Exposure.UNCONFINED: "AppArmor",
    Exposure.UNMASKED: "/proc Mount Type",
    Exposure.PRIVILEGED_COMMAND: "Privileged Containers",
    Exposure.WINDOWS_HOST: "HostProcess",
}


def reached(declared: Declared, consumer: Consumer, catalog: Catalog) -> Reached:
    """The level of one service, and the violations that keep it from those above."""
    violations = (
        *_of_baseline(declared, consumer, catalog),
        *_of_restricted(declared, consumer, catalog),
    )
    return Reached.by(declared.service, declared.line, violations)


def _adds(declared: Declared, consumer: Consumer) -> Iterator[tuple[str, str]]:
    """Yield (short name, name as written) of each addition."""
    for name in declared.add:
        cap = consumer.parse(name)
        yield (cap.short if isinstance(cap, Cap) else ALL if cap == ALL else name), name


def _of_baseline(declared: Declared, consumer: Consumer, catalog: Catalog) -> Iterator[Violation]:
    lines = dict(declared.lines)
    if declared.privileged:
        at = lines.get("privileged", declared.line)
        yield Violation(Level.BASELINE, "Privileged Containers", "privileged", at)
    allowed = {cap.short for cap in catalog.pod_addable["baseline"]}
    for short, name in _adds(declared, consumer):
        if short not in allowed:
            at = lines.get(name, declared.line)
            yield Violation(Level.BASELINE, "Capabilities", f"adds {name}", at)
    for item in declared.exposed:
        if item.kind in _BASELINE:
            yield Violation(Level.BASELINE, _BASELINE[item.kind], item.what, item.line)


def _of_restricted(declared: Declared, consumer: Consumer, catalog: Catalog) -> Iterator[Violation]:
    def violation(control: str, what: str) -> Violation:
        return Violation(Level.RESTRICTED, control, what, declared.line)

    if not consumer.drops_all(declared):
        yield violation("Capabilities", "does not drop ALL")
    beyond = catalog.pod_addable["baseline"] - catalog.pod_addable["restricted"]
    forbidden = {cap.short for cap in beyond}
    for short, name in _adds(declared, consumer):
        if short in forbidden:
            yield violation("Capabilities", f"adds {name}")
    if declared.no_new_privileges is not True:
        yield violation("Privilege Escalation", "does not forbid new privileges")
    if may_be_root(declared.user):
        yield violation("Running as Non-root", "does not say that its user is not root")
