"""A container by the control group of a process in it; its pod, too."""

from __future__ import annotations

import pytest

from capadvise.targets.client.cgroup_path import Place, parse_place

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
