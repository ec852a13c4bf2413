"""Pods, as a kubelet makes them: a containerd of our own, and the requests of the Container Runtime
Interface.

Its root, state, socket and configuration lie in a folder of the tests. Each pod has a network of
its own without any link: the plugin that would make one only says that it did. The kubelet's labels
stand on what is made, as far as something reads them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capadvise.kernel.process_tree import descendants
from tests.support import images
from tests.support.required import missing, tool
from tests.support.wait import until

IMAGE, PAUSE = "localhost/box:1", "localhost/pause:1"
_CONFIG = """\
version = 2
root = "{folder}/root"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.nri.v1.nri"]
[grpc]
  address = "{state}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{folder}/network"
    conf_dir = "{folder}/network"
"""
_PATIENCE = 240
"""Seconds for one request, on a machine that is very busy."""
_IDS = [{"host_id": 1 << 31, "container_id": 0, "length": 1 << 16}]
_OWN_USERS = {"mode": 0, "uids": _IDS, "gids": _IDS}
"""What the kubelet asks for where a pod says ``hostUsers: false``."""
_PIDS_OF_POD, _PIDS_OF_CONTAINER, _PIDS_OF_NODE = range(3)
_NETWORK = {"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "none"}]}
_PLUGIN = """\
#!/bin/sh
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.4.0", "1.0.0"]}' ;;
ADD) echo '{"cniVersion": "0.4.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}],
  "ips": [{"version": "4", "interface": 0, "address": "192.0.2.2/24"}]}' ;;
esac
"""
"""A plugin of the Container Network Interface."""


class Node:
    """A machine where pods run: its containerd."""

    def __init__(self, pid: int, address: str) -> None:
        """``pid``: of the daemon."""
        import grpc

        self.pid, self.address = pid, address
        self.name = Path(address).parents[1].name
        self.namespace = f"prod-{os.getpid()}"
        """Of Kubernetes: other tests on this machine may have pods of the same names."""
        sys.path.insert(0, str(Path(__file__).parent))
        try:
            self._messages, services = grpc.protos_and_services("cri.proto")  # type: ignore[attr-defined]
        finally:
            del sys.path[0]
        self._channel = grpc.insecure_channel(f"unix://{address}")
        self._stub = services.RuntimeServiceStub(self._channel)

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def call(self, name: str, request: str, **values: Any) -> Any:
        """One request."""
        return getattr(self._stub, name)(self.message(request, **values), timeout=_PATIENCE)

    def message(self, name: str, **values: Any) -> Any:
        """A message, of values and of other messages."""
        return getattr(self._messages, name)(**values)

    @contextmanager
    def pod(
        self,
        name: str,
        namespace: str = "",
        *,
        privileged: bool = False,
        host_pids: bool = False,
        host_users: bool = True,
        logs: Path | None = None,
    ) -> Iterator[Pod]:
        """A pod without containers, which is removed with all that it has then. ``privileged``: one
        of its containers may be. ``logs``: a folder for what they print."""
        users: dict[str, Any] = {} if host_users else {"userns_options": _OWN_USERS}
        namespace = namespace or self.namespace
        uid = str(uuid.uuid4())
        config = self.message(
            "PodSandboxConfig",
            metadata={"name": name, "uid": uid, "namespace": namespace},
            labels={
                "io.kubernetes.pod.name": name,
                "io.kubernetes.pod.namespace": namespace,
                "io.kubernetes.pod.uid": uid,
            },
            log_directory=str(logs or ""),
            linux={
                "cgroup_parent": f"/{self.name}/pod{uid}",
                "security_context": {
                    "privileged": privileged,
                    "namespace_options": {
                        "pid": _PIDS_OF_NODE if host_pids else _PIDS_OF_POD,
                        **users,
                    },
                },
            },
        )
        made = self.call("RunPodSandbox", "RunPodSandboxRequest", config=config)
        try:
            yield Pod(self, name, namespace, config, made.pod_sandbox_id, users)
        finally:
            for way in ("StopPodSandbox", "RemovePodSandbox"):
                self.call(way, "PodSandboxRequest", pod_sandbox_id=made.pod_sandbox_id)


@dataclass
class Pod:
    """One pod."""

    node: Node
    name: str
    namespace: str
    config: Any
    sandbox: str
    """The id of the container that holds its namespaces: ``pause``."""
    users: dict[str, Any]
    """Options for a user namespace of its own."""
    attempts: dict[str, int] = field(default_factory=dict)

    def create(
        self,
        name: str,
        *command: str,
        user: int | None = None,
        privileged: bool = False,
        mounts: Sequence[tuple[str, str]] = (),
        shown: Sequence[str] = (),
        more: Sequence[str] = (),
        less: Sequence[str] = (),
        restrained: bool = False,
        log: str = "",
    ) -> str:
        """A container that does not run yet: its id. Created once more, it is the next attempt.
        ``mounts``: (folder of the host, place); ``shown``: folders that it sees as the host does,
        and cannot change; ``more``, ``less``: capabilities. ``restrained``: as one that only looks
        at the processes of its host should be, with their pids. ``log``: a file for what it
        prints."""
        attempt = self.attempts[name] = self.attempts.get(name, -1) + 1
        context: dict[str, Any] = {
            "namespace_options": {"pid": _PIDS_OF_CONTAINER, **self.users},
            "privileged": privileged,
            "capabilities": {"add_capabilities": more, "drop_capabilities": less},
        }
        if user is not None:
            context |= {"run_as_user": {"value": user}, "run_as_group": {"value": user}}
        if restrained:
            context |= {"readonly_rootfs": True, "no_new_privs": True}
            context |= {"namespace_options": {"pid": _PIDS_OF_NODE}, "seccomp": {"profile_type": 0}}
        places = [{"host_path": of, "container_path": at} for of, at in mounts]
        places += [{"host_path": at, "container_path": at, "readonly": True} for at in shown]
        config = self.node.message(
            "ContainerConfig",
            metadata={"name": name, "attempt": attempt},
            image={"image": IMAGE},
            command=command,
            mounts=places,
            log_path=log,
            labels=dict(self.config.labels) | {"io.kubernetes.container.name": name},
            linux={"security_context": context},
        )
        request = {"pod_sandbox_id": self.sandbox, "config": config, "sandbox_config": self.config}
        made = self.node.call("CreateContainer", "CreateContainerRequest", **request)
        return str(made.container_id)

    def start(self, container: str) -> None:
        """Start what was created."""
        self.node.call("StartContainer", "ContainerRequest", container_id=container)

    def run(self, name: str, *command: str, **options: Any) -> str:
        """Create and start: the id."""
        self.start(container := self.create(name, *command, **options))
        return container

    def execute(self, container: str, *command: str) -> int:
        """As an exec probe does: the exit status."""
        done = self.node.call(
            "ExecSync", "ExecSyncRequest", container_id=container, cmd=command, timeout=30
        )
        return int(done.exit_code)

    def stop(self, container: str, patience: int = 0) -> None:
        """Stop it, and kill it after so many seconds."""
        request = {"container_id": container, "timeout": patience}
        self.node.call("StopContainer", "StopContainerRequest", **request)

    def remove(self, container: str) -> None:
        """Forget it."""
        self.node.call("RemoveContainer", "ContainerRequest", container_id=container)

    def ended(self, container: str) -> int:
        """Wait until it has ended: its exit status."""

        def status() -> Any:
            told = self.node.call("ContainerStatus", "ContainerRequest", container_id=container)
            return told.status if told.status.state == 2 else None

        return int(until(status).exit_code)


@contextmanager
def node() -> Iterator[Node]:
    """A containerd that has our images, until the end."""
    if os.geteuid() != 0:
        missing("only root starts pods")
    with tempfile.TemporaryDirectory(prefix="capadvise-node-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # root of a pod with users of its own goes through it
        state = folder / "s"  # a shim's socket has a short name of its own
        (network := folder / "network").mkdir()
        (network / "none.conflist").write_text(json.dumps(_NETWORK))
        for plugin in ("none", "loopback"):
            (network / plugin).write_text(_PLUGIN)
            (network / plugin).chmod(0o755)
        config = folder / "config.toml"
        config.write_text(_CONFIG.format(folder=folder, state=state, pause=PAUSE))
        with (folder / "log").open("w") as log:
            daemon = subprocess.Popen(
                [tool("containerd"), "--config", str(config)], stdout=log, stderr=log
            )
        try:
            until((state / "c.sock").exists, shows=(folder / "log").read_text)
            made = Node(daemon.pid, f"{state}/c.sock")
            until(lambda: _answers(made), shows=(folder / "log").read_text)
            _import(folder, made.address)
            yield made
            made.close()
        finally:
            kept = descendants(daemon.pid)
            daemon.terminate()
            daemon.wait(30)
            assert not kept, kept
            for mounted in reversed(_mounted_below(folder)):
                subprocess.run(["umount", "-l", mounted], check=False)
            _remove_groups(folder.name)


def _answers(made: Node) -> bool:
    import grpc

    with suppress(grpc.RpcError):
        return bool(made.call("Version", "VersionRequest").runtime_version)
    return False


def _mounted_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith(f"{folder}/")]


def _remove_groups(name: str) -> None:
    """Those of pods stay when their containers are gone: a kubelet removes them."""
    above = Path("/sys/fs/cgroup")
    for group in (above / name, *above.glob(f"*/{name}")):
        for path, _, _ in os.walk(group, topdown=False):
            os.rmdir(path)


def _import(folder: Path, address: str) -> None:
    """busybox, and as ``pause`` the same: it waits."""
    layer, archive = folder / "layer.tar", folder / "images.tar"
    images.box(layer, tool("busybox"))
    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    manifest = []
    with tarfile.open(archive, "w") as tar:
        tar.add(layer, "layer.tar")
        for image, command in ((IMAGE, ["sh"]), (PAUSE, ["/bin/sleep", "1000000"])):
            config = {
                "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
                "os": "linux",
                "config": {"Cmd": command, "Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }
            text = json.dumps(config).encode()
            name = f"{hashlib.sha256(text).hexdigest()}.json"
            item = tarfile.TarInfo(name)
            item.size = len(text)
            tar.addfile(item, io.BytesIO(text))
            manifest.append({"Config": name, "RepoTags": [image], "Layers": ["layer.tar"]})
        text = json.dumps(manifest).encode()
        item = tarfile.TarInfo("manifest.json")
        item.size = len(text)
        tar.addfile(item, io.BytesIO(text))
    words = [tool("ctr"), "-a", address, "-n", "k8s.io", "images", "import", str(archive)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
