"""What ``explain`` says of the programs of ``demos/sys-admin``: the way out that the demo takes.
About 1 s each."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.runs import CAPADVISE
from tests.support.shown import STAGE

DEMOS = Path(__file__).parents[2] / "demos" / "sys-admin"
SCRATCH = f'mount -t tmpfs none {STAGE} && mkdir {STAGE}/u {STAGE}/w {STAGE}/m && exec "$@"'
FUSE = f"fuse-overlayfs -o lowerdir=/etc/apt,upperdir={STAGE}/u,workdir={STAGE}/w {STAGE}/m"


def _shell(name: str) -> str:
    """What the service ``before`` runs, with the folder of the demo for /demo."""
    command: list[str] = _service(name, "before")["command"]
    return " ".join(command[2:] if command[:2] == ["sh", "-c"] else command).replace(
        "/demo", str(DEMOS / name)
    )


def _service(name: str, service: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEMOS / name / "compose.yaml").read_text())
    return dict(found["services"][service])


@pytest.mark.parametrize(
    ("name", "command", "said"),
    [
        ("host-name", None, "SYS_ADMIN: host name"),
        ("tmpfs", None, "SYS_ADMIN: new mount calls, mounting"),
        ("bind-mount", None, "SYS_ADMIN: new mount calls"),
        (
            "fuse",
            f"{FUSE} && findmnt {STAGE}/m && umount {STAGE}/m",
            "SYS_ADMIN: mounting, unmounting",
        ),
        ("sandbox", None, "SYS_ADMIN: creating namespaces, mounting, unmounting, pivot_root"),
        ("seccomp-filter", None, "SYS_ADMIN: seccomp filter"),
        ("perf", None, "SYS_ADMIN would also be enough, but gives far more"),
        ("bpf", None, "SYS_ADMIN would also be enough, but gives far more"),
    ],
)
def test_the_way_out_is_the_one_that_the_demo_takes(
    tmp_path: Path, name: str, command: str | None, said: str
) -> None:
    report = tmp_path / "r.json"
    inside = ["unshare", "--uts", "--mount", "--ipc", "--net", "sh", "-c", SCRATCH, "sh"]
    watched = [CAPADVISE, "run", "-q", "-o", str(report), "--", "sh", "-c", command or _shell(name)]
    ran = subprocess.run([*inside, *watched], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    told = subprocess.run(
        [CAPADVISE, "explain", report], capture_output=True, text=True, check=True
    )
    assert said in " ".join(told.stdout.split()), told.stdout
    after = _service(name, "after")
    edit = set(after) - {"extends", "command"}
    if any("/demo" in volume for volume in after.get("volumes", ())):  # not part of the edit
        edit -= {"volumes"}
    if "cap_add" in edit:  # narrower ones: they are what is proposed
        assert set(after["cap_add"]) == set(
            yaml.safe_load(report.read_text())["proposal"]["cap_add"]
        )
    else:
        assert all(f" {key}:" in told.stdout for key in edit)
