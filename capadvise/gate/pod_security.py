"""The Pod Security level of a Kubernetes pod: every control of the standards as of 1.37 that can be
judged from the pod's specification. And the level that a service in any other language would have.
Pure.

Baseline and restricted are cumulative. The file does not show what an admission controller adds or
a namespace exempts, so that is not judged.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from capadvise.catalog import Catalog, default
from capadvise.config.consumer import ALL, Consumer
from capadvise.config.declared import Declared, is_root, may_be_root
from capadvise.config.kubernetes.manifests import CONTAINERS, DIALECT, objects
from capadvise.config.yaml.reader import Documents, Entries, flag, is_null, line, optional_text
from capadvise.config.yaml.tree import Node
from capadvise.gate.finding import Level, Reached, Violation
from capadvise.model.caps import Cap


@dataclass(frozen=True, slots=True)
class PodContainer:
    """A container's keys, and those of its ``securityContext``."""

    name: str
    keys: Entries
    context: Entries
    line: int


@dataclass(frozen=True, slots=True)
class Pod:
    """The fields of a pod that the controls look at."""

    documents: Documents
    name: str
    line: int
    spec: Entries
    annotations: Entries
    baseline_addable: frozenset[str]
    restricted_addable: frozenset[str]

    @property
    def context(self) -> Entries:
        """The pod's own ``securityContext``."""
        return self.inner(self.spec, "securityContext")

    def inner(self, keys: Entries, *path: str) -> Entries:
        """Keys and values further inside; empty if there are none."""
        return self.documents.inner(keys, *path)

    def containers(self) -> Iterator[PodContainer]:
        """Yield all containers, init and ephemeral ones too."""
        for group in CONTAINERS:
            for node in self.documents.items(self.spec.get(group), group):
                keys = self.documents.mapping(node, f"an item of {group}")
                name = optional_text(keys.get("name"), "name") or "?"
                yield PodContainer(name, keys, self.inner(keys, "securityContext"), line(node))

    def contexts(self) -> Iterator[tuple[str, Entries, int]]:
        """Yield (owner, securityContext, line) of the pod and of each container."""
        yield "the pod", self.context, self.line
        for container in self.containers():
            yield container.name, container.context, container.line

    @property
    def windows(self) -> bool:
        """True if it runs on Windows: controls about Linux do not apply."""
        return optional_text(self.inner(self.spec, "os").get("name"), "name") == "windows"

    @property
    def own_users(self) -> bool:
        """True if it has a user namespace of its own (since 1.35 root there is no violation)."""
        return flag(self.spec.get("hostUsers"), "hostUsers") is False


def pods(source: str, catalog: Catalog) -> Iterator[Pod]:
    """Yield the pods of a manifest. Raises BadInput, with the line, if it is malformed."""
    baseline, restricted = (
        frozenset(cap.short for cap in catalog.pod_addable[level])
        for level in ("baseline", "restricted")
    )
    documents = Documents(source, DIALECT)
    for each in objects(documents):
        if each.pod is None:
            continue
        metadata = documents.mapping(each.pod.holder.get("metadata"), "metadata")
        yield Pod(
            documents,
            f"{each.kind}/{each.name}",
            each.line,
            each.pod.spec,
            documents.mapping(metadata.get("annotations"), "annotations"),
            baseline,
            restricted,
        )


Fault = tuple[str, int]
"""(violation, line)."""


def pod_level(pod: Pod) -> Reached:
    """The level of a pod, and the violations that keep it from higher ones."""
    violations = tuple(
        Violation(level, control, what, at)
        for level, control, judge in CONTROLS
        for what, at in judge(pod)
    )
    return Reached.by(pod.name, pod.line, violations)


# ------------------------------------------------------------------------------ baseline


def _host_process(pod: Pod) -> Iterator[Fault]:
    for whose, context, at in pod.contexts():
        options = pod.inner(context, "windowsOptions")
        if flag(options.get("hostProcess"), "hostProcess"):
            yield f"hostProcess of {whose}", at


def _host_namespaces(pod: Pod) -> Iterator[Fault]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if flag(pod.spec.get(key), key):
            yield f"{key}: true", line(pod.spec[key])


def _privileged(pod: Pod) -> Iterator[Fault]:
    for container in pod.containers():
        if flag(container.context.get("privileged"), "privileged"):
            yield f"privileged: true of {container.name}", line(container.context["privileged"])


def _added(pod: Pod, allowed: frozenset[str]) -> Iterator[Fault]:
    for container in pod.containers():
        sets = pod.inner(container.context, "capabilities")
        for name, at in pod.documents.texts(sets.get("add"), "add"):
            if name not in allowed:
                yield f"{container.name} adds {name}", at


def _host_paths(pod: Pod) -> Iterator[Fault]:
    for keys, at in _volumes(pod):
        if (node := keys.get("hostPath")) is not None and not is_null(node):
            path = optional_text(pod.inner(keys, "hostPath").get("path"), "path")
            name = optional_text(keys.get("name"), "name")
            yield f"volume {name} is the hostPath {path}", at


def _volumes(pod: Pod) -> Iterator[tuple[Entries, int]]:
    for node in pod.documents.items(pod.spec.get("volumes"), "volumes"):
        yield pod.documents.mapping(node, "an item of volumes"), line(node)


def _host_ports(pod: Pod) -> Iterator[Fault]:
    for container in pod.containers():
        for node in pod.documents.items(container.keys.get("ports"), "ports"):
            port = pod.documents.mapping(node, "an item of ports").get("hostPort")
            if (said := optional_text(port, "hostPort")) not in (None, "0"):
                yield f"hostPort {said} of {container.name}", line(node)


def _host_probes(pod: Pod) -> Iterator[Fault]:
    for container in pod.containers():
        handlers = [(key,) for key in ("livenessProbe", "readinessProbe", "startupProbe")]
        for path in (*handlers, ("lifecycle", "postStart"), ("lifecycle", "preStop")):
            for kind in ("httpGet", "tcpSocket"):
                host = pod.inner(container.keys, *path, kind).get("host")
                if host is not None and optional_text(host, "host"):
                    yield f"{path[-1]} of {container.name} asks another host", line(host)


def _apparmor(pod: Pod) -> Iterator[Fault]:
    for whose, context, _ in pod.contexts():
        yield from _profile(pod, "appArmorProfile", whose, context)
    for key, node in pod.annotations.items():
        said = optional_text(node, key) or ""
        if key.startswith("container.apparmor.security.beta.kubernetes.io/") and not (
            said in ("", "runtime/default") or said.startswith("localhost/")
        ):
            yield f"AppArmor {said}", line(node)


def _profile(pod: Pod, key: str, whose: str, context: Entries) -> Iterator[Fault]:
    """AppArmor and seccomp profiles must be the runtime's or one from the node."""
    node = context.get(key)
    if node is None or is_null(node):
        return
    said = optional_text(pod.inner(context, key).get("type"), "type")
    if said not in ("RuntimeDefault", "Localhost"):
        yield f"{key} {said} of {whose}", line(node)


def _selinux(pod: Pod) -> Iterator[Fault]:
    allowed = (None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
    for whose, context, at in pod.contexts():
        options = pod.inner(context, "seLinuxOptions")
        kind = optional_text(options.get("type"), "type")
        if kind not in allowed:
            yield f"SELinux type {kind} of {whose}", at
        for key in ("user", "role"):
            if optional_text(options.get(key), key):
                yield f"SELinux {key} of {whose}", at


def _proc_mount(pod: Pod) -> Iterator[Fault]:
    for container in pod.containers():
        said = optional_text(container.context.get("procMount"), "procMount")
        if said not in (None, "Default"):
            yield f"procMount {said} of {container.name}", container.line


def _baseline_proc_mount(pod: Pod) -> Iterator[Fault]:
    if not pod.own_users:
        yield from _proc_mount(pod)


def _baseline_seccomp(pod: Pod) -> Iterator[Fault]:
    for whose, context, _ in pod.contexts():
        yield from _profile(pod, "seccompProfile", whose, context)


def _sysctls(pod: Pod) -> Iterator[Fault]:
    for node in pod.documents.items(pod.context.get("sysctls"), "sysctls"):
        name = optional_text(pod.documents.mapping(node, "a sysctl").get("name"), "name")
        if name not in default().names["pod-sysctls"]:
            yield f"sysctl {name}", line(node)


# ------------------------------------------------------------------------------ restricted


def _volume_types(pod: Pod) -> Iterator[Fault]:
    for keys, at in _volumes(pod):
        kinds = {key for key, node in keys.items() if key != "name" and not is_null(node)}
        if kinds and not kinds & default().names["pod-volumes"]:  # of none, it becomes an emptyDir
            name = optional_text(keys.get("name"), "name")
            yield f"volume {name} is {', '.join(sorted(kinds))}", at


def _no_escalation(pod: Pod) -> Iterator[Fault]:
    key = "allowPrivilegeEscalation"
    for container in () if pod.windows else pod.containers():
        if flag(container.context.get(key), key) is not False:
            yield f"{container.name} does not set {key}: false", container.line


def _non_root(pod: Pod) -> Iterator[Fault]:
    if pod.own_users:
        return
    whole = flag(pod.context.get("runAsNonRoot"), "runAsNonRoot")
    if whole is False:
        yield "the pod sets runAsNonRoot: false", line(pod.context["runAsNonRoot"])
    for container in pod.containers():
        said = flag(container.context.get("runAsNonRoot"), "runAsNonRoot")
        if said is False or (said is None and whole is None):
            yield f"{container.name} does not set runAsNonRoot: true", container.line


def _not_user_0(pod: Pod) -> Iterator[Fault]:
    for whose, context, at in () if pod.own_users else pod.contexts():
        user = optional_text(context.get("runAsUser"), "runAsUser")
        if user is not None and is_root(user):
            yield f"runAsUser: {user} of {whose}", at


def _seccomp(pod: Pod) -> Iterator[Fault]:
    if pod.windows or _has_profile(pod.context):
        return
    for container in pod.containers():
        if not _has_profile(container.context):
            yield f"{container.name} does not set a seccompProfile", container.line


def _has_profile(context: Entries) -> bool:
    node: Node | None = context.get("seccompProfile")
    return node is not None and not is_null(node)


def _drops_all(pod: Pod) -> Iterator[Fault]:
    for container in () if pod.windows else pod.containers():
        sets = pod.inner(container.context, "capabilities")
        if "ALL" not in [name for name, _ in pod.documents.texts(sets.get("drop"), "drop")]:
            yield f"{container.name} does not drop ALL", container.line


def _restricted_capabilities(pod: Pod) -> Iterator[Fault]:
    if not pod.windows:
        forbidden = pod.baseline_addable - pod.restricted_addable
        for what, at in _added(pod, pod.restricted_addable):
            if what.rpartition(" ")[2] in forbidden:  # the others violate baseline already
                yield what, at


_B, _R = Level.BASELINE, Level.RESTRICTED
CONTROLS: tuple[tuple[Level, str, Callable[[Pod], Iterator[Fault]]], ...] = (
    (_B, "HostProcess", _host_process),
    (_B, "Host Namespaces", _host_namespaces),
    (_B, "Privileged Containers", _privileged),
    (_B, "Capabilities", lambda pod: _added(pod, pod.baseline_addable)),
    (_B, "HostPath Volumes", _host_paths),
    (_B, "Host Ports", _host_ports),
    (_B, "Host Probes / Lifecycle Hooks", _host_probes),
    (_B, "AppArmor", _apparmor),
    (_B, "SELinux", _selinux),
    (_B, "/proc Mount Type", _baseline_proc_mount),
    (_B, "Seccomp", _baseline_seccomp),
    (_B, "Sysctls", _sysctls),
    (_R, "Volume Types", _volume_types),
    (_R, "Privilege Escalation", _no_escalation),
    (_R, "Running as Non-root", _non_root),
    (_R, "Running as Non-root user", _not_user_0),
    (_R, "Seccomp", _seccomp),
    (_R, "Capabilities", _drops_all),
    (_R, "Capabilities", _restricted_capabilities),
    (_R, "/proc Mount Type", _proc_mount),
)


# ------------------------------------------------------------------------------ a service


def service_level(declared: Declared, consumer: Consumer, catalog: Catalog) -> Reached:
    """The level of one service, and the violations that keep it from those above."""
    violations = (
        *_of_baseline(declared, consumer, catalog),
        *_of_restricted(declared, consumer, catalog),
    )
    return Reached.by(declared.service, declared.line, violations)


def adds(declared: Declared, consumer: Consumer) -> Iterator[tuple[str, str]]:
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
    for short, name in adds(declared, consumer):
        if short not in allowed:
            at = lines.get(name, declared.line)
            yield Violation(Level.BASELINE, "Capabilities", f"adds {name}", at)
    for item in declared.exposed:
        fact = catalog.exposures.get(item.kind)
        if fact and fact.control:
            yield Violation(Level.BASELINE, fact.control, item.what, item.line)


def _of_restricted(declared: Declared, consumer: Consumer, catalog: Catalog) -> Iterator[Violation]:
    def violation(control: str, what: str) -> Violation:
        return Violation(Level.RESTRICTED, control, what, declared.line)

    if not consumer.drops_all(declared):
        yield violation("Capabilities", "does not drop ALL")
    beyond = catalog.pod_addable["baseline"] - catalog.pod_addable["restricted"]
    forbidden = {cap.short for cap in beyond}
    for short, name in adds(declared, consumer):
        if short in forbidden:
            yield violation("Capabilities", f"adds {name}")
    if declared.no_new_privileges is not True:
        yield violation("Privilege Escalation", "does not forbid new privileges")
    if may_be_root(declared.user):
        yield violation("Running as Non-root", "does not say that its user is not root")
