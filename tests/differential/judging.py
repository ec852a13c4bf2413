"""The gate beside a real consumer, on one generated file."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hypothesis import strategies as st

from capadvise.cli import main
from capadvise.model.caps import NAMES
from tests.differential import (
    bundles,
    compose,
    handed,
    kubernetes,
    nested,
    quadlet_keys,
    reach,
    units,
)

Grants = set[str]


@dataclass(frozen=True)
class Consumer:
    """One of the five: what its files are called, how they are made up, what it grants."""

    file: str
    texts: st.SearchStrategy[str]
    granted: Callable[[Path], Grants | None]
    tools: tuple[str, ...]


def _unit(path: Path) -> Grants | None:
    """Capabilities one by one: a group of which nothing is denied counts whole."""
    groups = units.bounding(path)
    return None if groups is None else {cap for group in groups for cap in _members(group)}


def _members(group: str) -> set[str]:
    """``CAP_SYS_(NICE|RESOURCE)`` and ``CAP_MAC_*``."""
    pattern = re.compile(group.replace("*", "[A-Z_]*"))
    return {f"any of {group}"} if any(pattern.fullmatch(f"CAP_{name}") for name in NAMES) else set()


def consumers(root: Path | None = None) -> dict[str, Consumer]:
    """``root``: a file system for runc's containers."""
    made = {
        "kubectl": Consumer(kubernetes.NAME, kubernetes.texts(), kubernetes.granted, ("kubectl",)),
        "docker compose": Consumer(compose.NAME, compose.texts(), compose.granted, ("docker",)),
        "systemd": Consumer(units.SERVICE, units.services(), _unit, ("systemd-analyze",)),
        "quadlet": Consumer(
            units.CONTAINER,
            units.containers(),
            units.podman_arguments,
            ("/usr/libexec/podman/quadlet",),
        ),
    }
    made["compose's volumes"] = Consumer(
        reach.COMPOSE, reach.projects(), reach.compose_reaches, ("docker",)
    )
    quadlet = made["quadlet"].tools
    made["quadlet's mounts"] = Consumer(
        reach.QUADLET, reach.quadlets(), reach.quadlet_mounts, quadlet
    )
    made["quadlet's keys"] = Consumer(
        quadlet_keys.NAME, quadlet_keys.quadlets(), quadlet_keys.reached, quadlet
    )
    made["systemd's files"] = Consumer(
        handed.UNIT, handed.services(), handed.granted, ("/usr/lib/systemd/systemd",)
    )
    made["custom resources"] = Consumer(nested.NAME, nested.texts(), nested.reaches, ("kubectl",))
    if root is not None:
        granted = partial(bundles.granted, root=root)
        made["runc"] = Consumer(bundles.NAME, bundles.texts(), granted, ("runc",))
    return made


@dataclass
class Counts:
    """What became of the examples."""

    seen: Counter[str] = field(default_factory=Counter)
    fooled: list[tuple[str, Grants]] = field(default_factory=list)


def judge(consumer: Consumer, text: str, counts: Counts, *, always_ask: bool) -> Grants:
    """What the consumer grants of a file that the gate passes without saying so. The consumer is
    asked only then, or always, to know how often it grants anything at all."""
    with tempfile.TemporaryDirectory(prefix="capadvise-differential-") as folder:
        path = Path(folder) / consumer.file
        path.write_bytes(text.encode(errors="surrogatepass"))
        status, judged = gate(path)
        counts.seen["examples"] += 1
        counts.seen[{0: "passed", 1: "found wanting"}.get(status, "refused")] += 1
        if status != 0 and not always_ask:
            return set()
        grants = consumer.granted(path)
        counts.seen["asked"] += 1
        counts.seen["granted something" if grants else "granted nothing"] += 1
        hidden = hidden_from(judged, grants or set()) if status == 0 else set()
    if hidden:
        counts.fooled.append((text, hidden))
    return hidden


def gate(path: Path) -> tuple[int, Grants]:
    """The gate's exit status, and what it says is granted."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        status = main(["check", "--strict", "--format", "json", str(path)])
    if status not in (0, 1):
        return status, set()
    files = json.loads(out.getvalue())["files"]
    return status, {cap for file in files for item in file["services"] for cap in item["granted"]}


def hidden_from(judged: Grants, grants: Grants) -> Grants:
    """What is granted and not judged to be."""
    hidden = set()
    for grant in grants:
        group = grant.removeprefix("any of ")
        if group != grant:
            pattern = re.compile(group.replace("*", "[A-Z_]*"))
            known = any(pattern.fullmatch(cap) for cap in judged)
        else:
            known = {
                f"CAP_{name.upper().removeprefix('CAP_')}" for name in grant.split(",")
            } <= judged
        if not known:
            hidden.add(grant)
    return hidden


def make_root(folder: Path) -> Path:
    """A root file system of busybox alone."""
    for name in ("bin", "proc", "dev", "sys"):
        (folder / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", folder / "bin" / "busybox")
    for applet in ("sh", "cat"):
        (folder / "bin" / applet).symlink_to("busybox")
    folder.chmod(0o755)
    return folder


def leftovers() -> list[str]:
    """Containers of runc that a test left."""
    done = subprocess.run(["runc", "list", "-q"], capture_output=True, text=True)
    return [name for name in done.stdout.split() if name.startswith("capadvise-test-")]
