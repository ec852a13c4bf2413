"""Each consumer starts a command with what was emitted for it: one function each."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import yaml

from capadvise.config import LANGUAGES
from capadvise.config.snippet import Snippet
from capadvise.model.caps import CapSet, from_mask
from tests.support.containers import IMAGE, PODMAN, call
from tests.support.required import tool

Done = subprocess.CompletedProcess[str]
Launch = Callable[[Snippet, tuple[str, ...], Path], Done]


def sets(status: str) -> dict[str, CapSet]:
    """``Bnd``, ``Eff`` … of a ``/proc/PID/status``."""
    pairs = (line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
    return {name.removeprefix("Cap"): from_mask(int(mask, 16)) for name, mask in pairs}


def _flags(text: str) -> list[str]:
    return shlex.split(text, comments=True)


def docker(snippet: Snippet, command: tuple[str, ...], _: Path) -> Done:
    flags = _flags(LANGUAGES["docker"].render(snippet))
    return call(tool("docker"), "run", "--rm", "--network=none", *flags, IMAGE, *command)


def podman(snippet: Snippet, command: tuple[str, ...], _: Path) -> Done:
    flags = _flags(LANGUAGES["podman"].render(snippet))
    return call(*PODMAN, "run", "--rm", "--network=none", *flags, IMAGE, *command)


def compose_files(snippet: Snippet, folder: Path) -> list[str]:
    """The user's own file and what was emitted, as compose takes several."""
    own = {"services": {snippet.name: {"image": IMAGE, "network_mode": "none"}}}
    (folder / "compose.yaml").write_text(yaml.safe_dump(own))
    (folder / "caps.yaml").write_text(LANGUAGES["compose"].render(snippet))
    project = ("-p", f"capadvise-formats-test-{os.getpid()}", "-f", str(folder / "compose.yaml"))
    return [tool("docker"), "compose", *project, "-f", str(folder / "caps.yaml")]


def compose(snippet: Snippet, command: tuple[str, ...], folder: Path) -> Done:
    return call(*compose_files(snippet, folder), "run", "--rm", "-T", snippet.name, *command)


def quadlet_run(snippet: Snippet, folder: Path) -> list[str]:
    """The arguments of ``podman run`` that quadlet's generator makes of a container file, which
    had other capabilities of its own, and the emitted drop-in."""
    drop_ins = folder / f"{snippet.name}.container.d"
    drop_ins.mkdir()
    own = f"[Container]\nImage={IMAGE}\nAddCapability=SYS_ADMIN\nDropCapability=MKNOD\n"
    (folder / f"{snippet.name}.container").write_text(own)
    (drop_ins / "capadvise.conf").write_text(LANGUAGES["quadlet"].render(snippet))
    generator = "/usr/lib/systemd/system-generators/podman-system-generator"
    done = call("env", f"QUADLET_UNIT_DIRS={folder}", tool(generator), "--dryrun")
    (start,) = (line for line in done.stdout.splitlines() if line.startswith("ExecStart="))
    words = shlex.split(start)
    return words[words.index("-d") + 1 : words.index(IMAGE)]


def quadlet(snippet: Snippet, command: tuple[str, ...], folder: Path) -> Done:
    flags = quadlet_run(snippet, folder)
    return call(*PODMAN, "run", "--rm", "--network=none", *flags, IMAGE, *command)


def runc(snippet: Snippet, command: tuple[str, ...], folder: Path, root: Path) -> Done:
    """``runc spec``, with the emitted JSON merged into it."""
    call(tool("runc"), "spec", cwd=folder)
    config = json.loads((folder / "config.json").read_text())
    emitted = json.loads(LANGUAGES["oci"].render(snippet))
    config["process"] |= {**emitted["process"], "args": list(command), "terminal": False}
    config["annotations"] = emitted["annotations"]
    config["root"] = {"path": str(root), "readonly": False}
    tmp = {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}
    config["mounts"].append(tmp)
    config["linux"]["namespaces"] = [
        kind for kind in config["linux"]["namespaces"] if kind["type"] != "cgroup"
    ]
    (folder / "config.json").write_text(json.dumps(config))
    return call(tool("runc"), "run", "-b", str(folder), f"capadvise-formats-test-{os.getpid()}")


def setpriv(snippet: Snippet, command: tuple[str, ...], _: Path) -> Done:
    argv = (tool("busybox"), *command)
    return call("bash", "-c", LANGUAGES["setpriv"].render(replace(snippet, argv=argv)))
