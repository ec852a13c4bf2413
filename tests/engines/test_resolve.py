"""``check --resolve``: the programs that read files say what they come to; and ``emit --into``
writes nothing that they take otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capadvise.cli import main
from capadvise.config import LANGUAGES
from capadvise.config.patched import Patched
from capadvise.config.quadlet import file as quadlet
from capadvise.config.systemd.file import held_groups
from capadvise.gate.files import Change
from capadvise.gate.patching import Patching
from capadvise.model.errors import CannotPatch
from capadvise.workflow import ask_consumer
from capadvise.workflow.patch_file import confirm
from tests.support.patching import CASES, Case, snippet
from tests.support.required import tool

QUADLET = "/usr/libexec/podman/quadlet"
DROPPED = "image: x, cap_drop: [ALL]"


def check(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, Any]:
    status = main(["check", *argv, "--format", "json"])
    return status, json.loads(capsys.readouterr().out)


def test_quadlet_says_what_a_container_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool(QUADLET)
    unit = tmp_path / "web.container"
    unit.write_text(
        "[Container]\nImage=x\nVolume=data.volume:/d\nDropCapability=all\nAddCapability=CHOWN\n"
    )
    (tmp_path / "data.volume").write_text("[Volume]\n")
    status, answer = check(capsys, str(unit), "--resolve")
    assert status == 0
    assert answer["files"][0]["services"][0]["granted"] == ["CAP_CHOWN"]
    shown = ask_consumer.ask(LANGUAGES["quadlet"], [str(unit)], [unit.read_text()])
    (made,) = quadlet.read_shown(shown or "", "web.container")
    assert (made.drop, made.add) == (("all",), ("chown",))
    (tmp_path / "web.container.d").mkdir()
    drop_in = tmp_path / "web.container.d" / "a.conf"
    drop_in.write_text("[Container]\nPodmanArgs=--privileged\n")
    status, answer = check(capsys, str(unit), str(drop_in), "--resolve")
    assert status == 1


def test_systemd_says_what_a_unit_may_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool("systemd-analyze")
    unit = tmp_path / "web.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nCapabilityBoundingSet=CAP_CHOWN\n")
    assert check(capsys, str(unit), "--resolve", "--strict")[0] == 0
    shown = ask_consumer.ask(LANGUAGES["systemd"], [str(unit)], [unit.read_text()])
    groups = held_groups(shown or "")
    assert groups is not None
    assert [sorted(group) for group, held in groups.items() if held] == [
        ["CAP_CHOWN", "CAP_FSETID", "CAP_SETFCAP"]
    ]


def test_kubectl_resolves_a_kustomization(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool("kubectl")
    (tmp_path / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: x, "
        "securityContext: {capabilities: {drop: [ALL]}}}]}\n"
    )
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [pod.yaml]\npatches:\n- patch: |-\n    apiVersion: v1\n    kind: Pod\n"
        "    metadata: {name: a}\n    spec:\n      containers:\n      - name: c\n"
        "        securityContext: {privileged: true}\n"
    )
    assert check(capsys, str(tmp_path))[0] == 0
    status, answer = check(capsys, str(tmp_path), "--resolve")
    assert status == 1
    rules = [f["rule"] for file in answer["files"] for s in file["services"] for f in s["findings"]]
    assert "privileged" in rules


def test_helm_renders_a_chart_with_its_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """helm is in no distribution: what stands for it says what it was asked."""
    (tmp_path / "bin").mkdir()
    helm = tmp_path / "bin" / "helm"
    helm.write_text(
        "#!/bin/sh\n[ $1 = template ] && [ -e $3/Chart.yaml ] || exit 1\n"
        "echo 'kind: Pod'; echo 'metadata: {name: '$2'}'\n"
        "echo 'spec: {containers: [{name: c, securityContext: {privileged: true}}]}'\n"
    )
    helm.chmod(0o755)
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: x\n")
    (chart / "templates" / "pod.yaml").write_text("kind: Pod\n{{- if .x }}\nspec: {}\n{{- end }}\n")
    status, answer = check(capsys, str(chart))
    assert status == 0
    assert {f["rule"] for file in answer["files"] for f in file["findings"]} == {"not-judged"}
    monkeypatch.setenv("PATH", f"{helm.parent}:/usr/bin:/bin")
    status, answer = check(capsys, str(chart), "--resolve")
    assert status == 1
    assert [f["rule"] for file in answer["files"] for f in file["findings"]] == []
    names = [service["name"] for file in answer["files"] for service in file["services"]]
    assert names == ["Pod/capadvise/c"]


# ------------------------------------------------------------------------------ confirming


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_patch_is_confirmed(case: Case, tmp_path: Path) -> None:
    for program in ("docker", "kubectl", QUADLET, "systemd-analyze"):
        tool(program)
    (tmp_path / case.file).write_text(case.text)
    change = Change(tmp_path / case.file, case.text.encode(), case.patched())
    confirm(Patching(change, LANGUAGES[case.language], snippet(case.caps)))


@pytest.mark.parametrize(
    ("name", "language", "text"),
    [
        (
            "compose.yaml",
            "compose",
            "services: {web: {image: x, cap_drop: [ALL], privileged: yes}}\n",
        ),
        (
            "pod.yaml",
            "kubernetes",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: web, "
            "securityContext: {privileged: false, <<: {privileged: true}}}]}\n",
        ),
        (
            "web.container",
            "quadlet",
            "[Container]\nImage=x\nDropCapability=all\nAddCapability=all\n",
        ),
        ("web.service", "systemd", "[Service]\nExecStart=/bin/x\nCapabilityBoundingSet=025\n"),
    ],
)
def test_a_patch_without_effect_is_not_written(
    name: str, language: str, text: str, tmp_path: Path
) -> None:
    """As if the patcher had read the file otherwise than its consumer does."""
    for program in ("docker", "kubectl", QUADLET, "systemd-analyze"):
        tool(program)
    service = {"compose": "web", "kubernetes": "Pod/a/web"}.get(language, "")
    change = Change(tmp_path / name, text.encode(), Patched(text, service))
    with pytest.raises(CannotPatch, match="would not give"):
        confirm(
            Patching(change, LANGUAGES[language], replace(snippet(()), no_new_privileges=False))
        )
