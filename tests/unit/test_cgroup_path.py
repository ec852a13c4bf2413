"""A container by the control group of a process in it; its pod, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capadvise.linux.engines.cli.cgroup_path import Place, parse_place
from capadvise.linux.running.target import told_by_cri
from capadvise.recording import Target

ID, OTHER = "0123456789abcdef" * 4, "f" * 64
POD = "2c48913c-b29f-11e7-9350-020968147796"
SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"0::/system.slice/docker-{ID}.scope", Place(ID, "docker")),
        (f"8:pids:/docker/{ID}\n0::/", Place(ID, "docker")),
        (f"0::/machine.slice/libpod-{ID}.scope/container", Place(ID, "podman")),
        (f"8:pids:/libpod_parent/libpod-{ID}", Place(ID, "podman")),
        (f"0::{SLICE}.slice/cri-containerd-{ID}.scope", Place(ID, "cri", POD)),
        (f"0::{SLICE}.slice/crio-{ID}.scope", Place(ID, "cri", POD)),
        (f"8:pids:/kubepods/burstable/pod{POD}/{ID}", Place(ID, "cri", POD)),
        (f"8:pids:/docker/{OTHER}/docker/{ID}", Place(ID, "docker")),
        ("0::/user.slice/user-1000.slice/session-1.scope", None),
        ("0::/", None),
        ("", None),
        (f"0::/docker/{ID[:-1]}", None),
    ],
)
def test_where_a_process_runs(text: str, place: Place | None) -> None:
    assert parse_place(text) == place


POD_TARGET = Target("container", ID[:12], ("app",), "/", "0:0", engine="cri", pod=POD)


@pytest.mark.parametrize(
    ("said", "pod", "name"),
    [
        (
            {
                "status": {
                    "metadata": {"name": "app"},
                    "image": {"image": "registry/app:1"},
                    "labels": {
                        "io.kubernetes.pod.name": "web-0",
                        "io.kubernetes.pod.namespace": "shop",
                    },
                }
            },
            "shop/web-0",
            "app",
        ),
        ({}, POD, ID[:12]),
        ([], POD, ID[:12]),
        ({"status": {"labels": None}}, POD, ID[:12]),
    ],
)
def test_crictl_tells_the_names(
    said: object, pod: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that answers in its place: no kubelet runs here."""
    crictl = tmp_path / "crictl"
    crictl.write_text(f"#!/bin/sh\nprintf %s '{json.dumps(said)}'\n")
    crictl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    target = told_by_cri(POD_TARGET, ID)
    assert (target.pod, target.name) == (pod, name)
