"""Patched files are what their real consumers take, and take as they were meant."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from capadvise.config import LANGUAGES
from capadvise.model.caps import Cap
from tests.support.containers import composed
from tests.support.patching import CASES, FOLDER, USUAL, Case, patch, snippet
from tests.support.required import tool

QUADLET = "/usr/libexec/podman/quadlet"
THREE = ("cap_add", "cap_drop", "privileged")


def cases(language: str) -> pytest.MarkDecorator:
    found = [case for case in CASES if case.language == language]
    return pytest.mark.parametrize("case", found, ids=lambda case: case.name)


def shorts(names: list[str] | None) -> list[str]:
    return sorted(Cap.parse(name).short for name in names or ())


# ------------------------------------------------------------------------------ compose


def resolved(folder: Path, text: str, name: str) -> dict[str, Any]:
    """The services as compose itself understands a file."""
    file = folder / "project" / name
    file.parent.mkdir(exist_ok=True)
    shutil.copy(FOLDER / "extends.compose.yml", folder)  # what another one extends
    file.write_bytes(text.encode())
    return composed(folder, "-f", str(file), "--profile", "*")


@cases("compose")
def test_compose_gives_the_service_what_was_meant(case: Case, tmp_path: Path) -> None:
    tool("docker")
    patched = case.patched()
    services = resolved(tmp_path, patched.text, case.file)
    service = services.pop(patched.service)
    assert shorts(service.get("cap_add")) == sorted(case.caps)
    assert [name.upper() for name in service["cap_drop"]] == ["ALL"]
    assert not service.get("privileged")


@cases("compose")
def test_compose_sees_no_other_change(case: Case, tmp_path: Path) -> None:
    tool("docker")
    patched = case.patched()
    before, after = (resolved(tmp_path, text, case.file) for text in (case.text, patched.text))
    for services in (before, after):
        for key in THREE:
            services[patched.service].pop(key, None)
    if case.name == "extends.compose.yml-ntp":  # said so: a child is what its parent is
        before.pop("child"), after.pop("child")
    assert [*map(without_empty, before.items())] == [*map(without_empty, after.items())]


@pytest.mark.parametrize("said", ["", "    privileged: true\n"])
def test_a_patched_override_is_not_privileged_although_its_base_is(
    said: str, tmp_path: Path
) -> None:
    tool("docker")
    given = replace(snippet(USUAL), privileged=True)
    override = "services:\n  web:\n    restart: always\n" + said
    base = "services:\n  web:\n    image: x\n    privileged: true\n"
    for number, text in enumerate((base, LANGUAGES["compose"].patch(override, "web", given).text)):
        (tmp_path / f"{number}.yaml").write_text(text)
    web = composed(tmp_path, "-f", "0.yaml", "-f", "1.yaml")["web"]
    assert not web.get("privileged")
    assert (web["cap_drop"], shorts(web["cap_add"])) == (["ALL"], sorted(USUAL))


def without_empty(item: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    name, service = item
    return name, {k: v for k, v in service.items() if v or k not in THREE}


# ------------------------------------------------------------------------------ kubernetes


def objects(text: str) -> Iterator[Any]:
    for document in yaml.safe_load_all(text):
        if document["kind"].endswith("List"):
            kind = document["kind"].removesuffix("List")
            for item in document["items"]:
                yield item if kind == "" else {"apiVersion": "v1", "kind": kind} | item
        else:
            yield document


@cases("kubernetes")
def test_kubernetes_schemas_take_the_manifest(case: Case) -> None:
    found = list(objects(case.patched().text))
    for item in found:
        kubernetes_validate.validate(item, "1.31", strict=True)
    assert found


# ------------------------------------------------------------------------------ units


def generated(folder: Path, case: Case, text: str) -> list[str]:
    """The words of the command that quadlet makes of a file."""
    (folder / case.file).write_bytes(text.encode())
    done = subprocess.run(
        [QUADLET, "--dryrun"],
        env={**os.environ, "QUADLET_UNIT_DIRS": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    command = re.search(r"^ExecStart=(.*)$", done.stdout, re.MULTILINE)
    assert command
    return shlex.split(command[1])


@cases("quadlet")
def test_quadlet_makes_the_command_that_was_meant(case: Case, tmp_path: Path) -> None:
    tool(QUADLET)
    words = generated(tmp_path, case, case.patched().text)
    flags = list(pairwise(words))
    assert shorts([word for flag, word in flags if flag == "--cap-add"]) == sorted(case.caps)
    assert [word for flag, word in flags if flag == "--cap-drop"] == ["all"]
    assert not [word for word in words if "privileged" in word or word.startswith("--cap-add=")]


def test_a_quadlet_drop_in_takes_back_what_the_file_says(tmp_path: Path) -> None:
    tool(QUADLET)
    (tmp_path / "app.container.d").mkdir()
    drop_in = patch("quadlet", "[Container]\nAddCapability=CHOWN KILL\n", None, USUAL).text
    (tmp_path / "app.container.d" / "caps.conf").write_text(drop_in)
    case = Case("app.container")
    words = generated(tmp_path, case, "[Container]\nImage=x\nAddCapability=SYS_ADMIN\n")
    flags = list(pairwise(words))
    assert shorts([word for flag, word in flags if flag == "--cap-add"]) == sorted(USUAL)


def shown(folder: Path, unit: str) -> None:
    """systemd says nothing of the unit: neither an error nor a warning."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"./{unit}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = [line for line in done.stderr.splitlines() if "apabilit" in line or unit in line]
    assert (done.returncode, said) == (0, [])


@cases("systemd")
def test_systemd_takes_the_unit(case: Case, tmp_path: Path) -> None:
    tool("systemd-analyze")
    text = case.patched().text.encode()
    if case.file.endswith(".service"):
        (tmp_path / case.file).write_bytes(text)
        shown(tmp_path, case.file)
    else:
        (tmp_path / "app.service").write_text("[Service]\nExecStart=/bin/true\n")
        (tmp_path / "app.service.d").mkdir()
        (tmp_path / "app.service.d" / case.file).write_bytes(text)
        shown(tmp_path, "app.service")


def exposed(folder: Path, unit: str) -> set[str]:
    """The settings of a unit's bounding set that systemd finds too wide."""
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--json=short",
            "--no-pager",
            f"./{unit}",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return {
        row["name"]
        for row in json.loads(done.stdout)
        if row["name"].startswith("CapabilityBoundingSet") and row["set"] is False
    }


def test_systemd_sees_the_bounding_set_that_was_meant(tmp_path: Path) -> None:
    tool("systemd-analyze")
    unit = "[Service]\nExecStart=/bin/true\nCapabilityBoundingSet=CAP_SYS_ADMIN CAP_KILL\n"
    (tmp_path / "app.service").write_text(patch("systemd", unit, None, ("SYS_TIME",)).text)
    assert exposed(tmp_path, "app.service") == {"CapabilityBoundingSet=~CAP_SYS_TIME"}
