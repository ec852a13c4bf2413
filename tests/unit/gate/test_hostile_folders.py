"""Folders in which something is hidden from whoever looks at single files: ``check --strict`` finds
it, and does not stop at what belongs to other programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capadvise.cli import main
from tests.support.hostile import BOX, SOUND, START, UNIT, pod, service

POD = (
    '{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}, "spec": {"containers": '
    '[{"name": "c", "securityContext": {"privileged": true}}]}}'
)
ADMIN = "[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN\n"
QUIET = service("init: true")
LOUD = "services: {a: {privileged: true}}\n"
FILTERED = service("security_opt: ['seccomp:./p.json']")
FOLDERS: dict[str, tuple[int, dict[str, str]]] = {
    "JSON with tabs": (1, {"pod.json": json.dumps(json.loads(POD), indent="\t")}),
    "JSON with a separator of lines": (2, {"pod.json": POD.replace('"a"', '"a\u2028"')}),
    "a stream of JSON": (2, {"pod.json": POD + POD}),
    "JSON with an escaped key": (
        2,
        {"pod.json": POD.replace("kind", "k\\u0069nd").replace('"a"', '"a\u2028"')},
    ),
    "quoted keys": (1, {"stack.yaml": 'services: {"a": {"image": x, "privileged": true}}'}),
    "no image": (1, {"stack.yaml": "services: {a: {build: ., privileged: true}}"}),
    "another name, and ambiguous": (
        2,
        {"stack.yaml": "services: {a: {image: x, !!binary cHJpdmlsZWdlZA==: true}}"},
    ),
    "a kind that is not plain": (
        2,
        {"p.yaml": pod("privileged: true").replace("kind:", "!!binary a2luZA==:")},
    ),
    "a link to another name": (1, {"x/a.txt": LOUD, "compose.yaml": "->x/a.txt"}),
    "a drop-in for all services": (1, {"a.service": UNIT, "service.d/1.conf": ADMIN}),
    "a drop-in for a prefix": (1, {"a-b.service": UNIT, "a-.service.d/1.conf": ADMIN}),
    "a drop-in for a template": (1, {"a@1.service": UNIT, "a@.service.d/1.conf": ADMIN}),
    "a later drop-in of another folder": (
        1,
        {
            "a.service": START,
            "a.service.d/2.conf": ADMIN,
            "service.d/1.conf": "[Service]\nCapabilityBoundingSet=CAP_KILL\n",
        },
    ),
    "a drop-in for all containers": (
        1,
        {"a.container": BOX, "container.d/1.conf": "[Container]\nAddCapability=SYS_ADMIN\n"},
    ),
    "a manifest that a unit starts": (1, {"a.kube": "[Kube]\nYaml=x.data\n", "x.data": POD}),
    "a manifest that is not there": (1, {"a.kube": "[Kube]\nYaml=x.data\n"}),
    "arguments of a pod": (1, {"a.pod": "[Pod]\nPodmanArgs=--pid=host\n"}),
    "the network of a pod": (1, {"a.pod": "[Pod]\nNetwork=host\n"}),
    "the socket in a pod": (1, {"a.pod": "[Pod]\nVolume=/run/docker.sock:/s\n"}),
    "a volume that is the root": (1, {"a.volume": "[Volume]\nType=none\nDevice=/\n"}),
    "a build that sees the root": (1, {"a.build": "[Build]\nImageTag=x\nVolume=/:/h\n"}),
    "an override": (1, {"compose.yaml": QUIET, "compose.override.yaml": LOUD}),
    "a variant before a quieter one": (
        1,
        {
            "compose.yaml": QUIET,
            "compose.dev.yaml": LOUD,
            "compose.prod.yaml": "services: {a: {privileged: false}}\n",
        },
    ),
    "what .env names": (
        1,
        {"compose.yaml": QUIET, "o.yaml": LOUD, ".env": "COMPOSE_FILE=compose.yaml:o.yaml\n"},
    ),
    "what .env names with a colon": (
        1,
        {"compose.yaml": QUIET, "o.yaml": LOUD, ".env": "COMPOSE_FILE: 'compose.yaml:o.yaml'\n"},
    ),
    "a filter that lets all through": (
        1,
        {"compose.yaml": FILTERED, "p.json": '{"defaultAction": "SCMP_ACT_ALLOW"}'},
    ),
    "a filter that is not there": (1, {"compose.yaml": FILTERED}),
    "a filter that filters": (
        0,
        {"compose.yaml": FILTERED, "p.json": '{"defaultAction": "SCMP_ACT_ERRNO"}'},
    ),
    "a drop-in that another one hides": (
        0,
        {"a-b.service": UNIT, "a-.service.d/1.conf": ADMIN, "a-b.service.d/1.conf": ""},
    ),
    "a drop-in that takes back": (
        0,
        {
            "a.service": START + "CapabilityBoundingSet=CAP_SYS_ADMIN\n",
            "service.d/1.conf": "[Service]\nCapabilityBoundingSet=\n",
        },
    ),
    "services of others": (
        0,
        {
            "x.service": "[D-BUS Service]\nName=x\nExec=/bin/x\n",
            "y.service": "<?xml version='1.0'?>\n<service-group/>\n",
            ".gitlab-ci.yml": "services: [postgres]\n",
            "services.yaml": "services: {a: {class: X, arguments: []}}\n",
            "compose.yaml": QUIET,
            "tsconfig.json": '{\n // c\n "a": 1\n}',
        },
    ),
    "units that give nothing": (
        0,
        {"a.pod": "[Pod]\nPodName=x\n", "a.volume": "[Volume]\n", "a.network": "[Network]\n"},
    ),
    "a manifest that is sound": (
        0,
        {"a.kube": "[Kube]\nYaml=x.yaml\n", "x.yaml": pod(SOUND)},
    ),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_judged_as_a_whole(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, files = FOLDERS[name]
    for path, text in files.items():
        place = tmp_path / path
        place.parent.mkdir(exist_ok=True)
        if text.startswith("->"):
            place.symlink_to(text[2:])
        else:
            place.write_text(text)
    assert main(["check", "--strict", str(tmp_path)]) == status, capsys.readouterr().out


def test_a_variable_that_env_sets_is_filled_in(tmp_path: Path) -> None:
    """By docker compose, where it is here; without it the gate says that it did not judge."""
    (tmp_path / "compose.yaml").write_text(service("volumes: ['$V:/v']"))
    (tmp_path / ".env").write_text("V=/var/run/docker.sock\n")
    assert main(["check", "--strict", str(tmp_path / "compose.yaml")]) == 1


def test_a_unit_that_runs_nothing_is_no_error_but_its_drop_in_counts(tmp_path: Path) -> None:
    (tmp_path / "a.service").write_text("[Unit]\nSuccessAction=reboot\n")
    (tmp_path / "b.service").write_text(UNIT)
    assert main(["check", "--strict", str(tmp_path)]) == 0
    (tmp_path / "a.service.d").mkdir()
    (tmp_path / "a.service.d" / "1.conf").write_text("[Service]\nExecStart=+/bin/sh\n")
    assert main(["check", "--strict", str(tmp_path)]) == 1
