"""Manifests to patch, after shapes seen in public repositories, and what each is to be given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from capadvise.config import LANGUAGES
from capadvise.config.patched import Patched
from capadvise.config.snippet import Snippet
from capadvise.model.caps import Cap

FOLDER = Path(__file__).parents[1] / "data" / "patch"
USUAL = ("CHOWN", "NET_RAW")
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c}, {name: d}]}\n"
QUOTED = """[Service]
ExecStart=/bin/true
CapabilityBoundingSet="CAP_CHOWN CAP_NET_BIND_SERVICE"
"""
"""One word, which is not a capability: systemd grants nothing."""


@dataclass(frozen=True)
class Case:
    file: str
    service: str | None = None
    caps: tuple[str, ...] = USUAL

    @property
    def language(self) -> str:
        for language in ("compose", "kubernetes"):
            if f".{language}." in self.file:
                return language
        return "quadlet" if self.file.endswith(".container") else "systemd"

    @property
    def name(self) -> str:
        return self.file + (f"-{self.service.replace('/', '-')}" if self.service else "")

    @property
    def text(self) -> str:
        return (FOLDER / self.file).read_bytes().decode()

    def patched(self) -> Patched:
        return patch(self.language, self.text, self.service, self.caps)


def snippet(caps: tuple[str, ...], user: str = "0:0") -> Snippet:
    found = sorted(map(Cap.parse, caps))
    return Snippet("app", tuple((cap, f"for {cap.short.lower()}") for cap in found), user=user)


def patch(language: str, text: str, service: str | None, caps: tuple[str, ...]) -> Patched:
    return LANGUAGES[language].patch(text, service, snippet(caps))


def load(text: str) -> Any:
    """The documents of a file, as YAML libraries read them."""
    return list(yaml.load_all(text, yaml.CSafeLoader))


def containers(node: Any) -> list[dict[str, Any]]:
    """Every container, wherever it is; aliases are made values of their own."""
    if isinstance(node, list):
        return [held for item in node for held in containers(item)]
    if not isinstance(node, dict):
        return []
    held = []
    for key, value in node.items():
        if key in ("containers", "initContainers", "ephemeralContainers"):
            value[:] = [json.loads(json.dumps(item)) for item in value]
            held += value
        else:
            held += containers(value)
    return held


CASES = (
    Case("vpn.compose.yml", caps=("NET_ADMIN",)),
    Case("flow.compose.yml", "proxy"),
    Case("flow.compose.yml", "app"),
    Case("flow-empty.compose.yml", "two"),
    Case("flow-empty.compose.yml", "three"),
    Case("flow-empty.compose.yml", "four"),
    Case("privileged-middle.compose.yaml", "dind"),
    Case("extension-fields.compose.yml", "agent"),
    Case("merge-list.compose.yml", "one", ("KILL",)),
    Case("merge-list.compose.yml", "two"),
    Case("anchor-of-list.compose.yml", "scanner", ("NET_RAW",)),
    Case("anchor-of-list.compose.yml", "mapper", ("NET_RAW",)),
    Case("anchored-service.compose.yml", "worker-a", ("SYS_NICE",)),
    Case("anchored-service.compose.yml", "worker-b", ("SYS_NICE",)),
    Case("anchored-service.compose.yml", "worker-c", ("SYS_NICE",)),
    Case("extends.compose.yml", "ntp", ("SYS_TIME",)),
    Case("extends.compose.yml", "child", ()),
    Case("extends-file.compose.yml"),
    Case("zero-indent.compose.yml", caps=("NET_ADMIN", "NET_RAW", "CHOWN")),
    Case("four-spaces.compose.yml"),
    Case("folded.compose.yml", "backup"),
    Case("folded.compose.yml", "last"),
    Case("keep-block.compose.yml", "a"),
    Case("only-image.compose.yml"),
    Case("no-newline.compose.yml", "last"),
    Case("no-newline.compose.yml", "first"),
    Case("no-newline-list.compose.yml"),
    Case("no-newline-list.compose.yml", "app", ()),
    Case("crlf-bom.compose.yml"),
    Case("tabs.compose.yml"),
    Case("json.compose.json"),
    Case("minified.compose.json", "web"),
    Case("spelled.compose.yml"),
    Case("all.compose.yml"),
    Case("documents.compose.yml", "a"),
    Case("flow-lines.compose.yml", "other", ("KILL",)),
    Case("flow-lines.compose.yml", "third"),
    Case("flow-lines.compose.yml", "ids", ("NET_ADMIN", "NET_RAW")),
    Case("flow-lines-again.compose.yml", caps=("NET_ADMIN", "CHOWN", "SYS_NICE")),
    Case("flow-lines-last.compose.yml", caps=("NET_ADMIN", "CHOWN", "NET_RAW")),
    Case("nothing-to-do.compose.yml"),
    Case("empty-set.compose.yml", caps=()),
    Case("helm.kubernetes.yaml", "agent/agent"),
    Case("helm.kubernetes.yaml", "DaemonSet/agent/mount-cgroup"),
    Case("list.kubernetes.yaml", "web"),
    Case("cronjob.kubernetes.yaml"),
    Case("empty-context.kubernetes.yaml"),
    Case("privileged-first.kubernetes.yaml", "tools/shell"),
    Case("dash-line.kubernetes.yaml"),
    Case("ephemeral.kubernetes.yaml", "pod/debugged/debugger", ("SYS_PTRACE",)),
    Case("twins.kubernetes.yaml", "green"),
    Case("shared-context.kubernetes.yaml", "pair/one"),
    Case("shared-context.kubernetes.yaml", "pair/three", ()),
    Case("alias-context.kubernetes.yaml", "alias/two"),
    *(
        Case("anchors.kubernetes.yaml", f"shared/{name}")
        for name in ("one", "two", "three", "four")
    ),
    Case("wrong-names.kubernetes.yaml"),
    Case("crlf.kubernetes.yaml"),
    Case("json.kubernetes.json", "a/main"),
    Case("json.kubernetes.json", "a/side"),
    Case("flow-pod.kubernetes.json", "p/a"),
    Case("flow-pod.kubernetes.json", "p/b"),
    Case("flow-pod.kubernetes.json", "p/c"),
    Case("empty-set.kubernetes.yaml", caps=()),
    Case("caddy.container"),
    Case("plain.container"),
    Case("flags.container"),
    Case("crlf.container"),
    Case("ntp.service", caps=("SYS_TIME", "SETUID", "SETGID")),
    Case("web.service", caps=("NET_BIND_SERVICE",)),
    Case("ambient.service"),
    Case("dropin.conf"),
    Case("emitted.conf", caps=("CHOWN", "KILL")),
    Case("lines.service", caps=("SETGID", "CHOWN")),
)
