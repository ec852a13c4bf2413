"""Which files ``check`` takes for what, and which of them are judged together."""

from __future__ import annotations

from pathlib import Path

import pytest

from capadvise.cli import main
from capadvise.config import LANGUAGES, recognise
from capadvise.gate.gathering import projects
from capadvise.model.errors import BadInput
from tests.support.gate_files import gated_folder
from tests.support.hostile import pod


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return gated_folder(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("compose.yaml", "", "compose"),
        ("docker-compose.prod.yml", "x-a: 1\n", "compose"),
        ("stack.yml", "# c\nname: x\nservices:\n  a: {}\n", "compose"),
        ("stack.yml", "include: [a.yaml]\n", "compose"),
        ("stack.json", '{"services": {}}', "compose"),
        ("a.yaml", "apiVersion: v1\nkind: Pod\n", "kubernetes"),
        ("a.yaml", "---\n# c\nkind: List\n", "kubernetes"),
        ("compose.yaml", 'apiVersion: v1\n"kind": Pod\n', "kubernetes"),
        ("a.json", '{\n  "kind": "Pod"\n}', "kubernetes"),
        ("a.json", '{"items": [], "apiVersion": "v1"}', "kubernetes"),
        ("compose.yaml", "services:\n  kind:\n    image: a\n", "compose"),
        ("a.yaml", "  kind: Pod\n  spec: {}\n", "kubernetes"),
        ("web.container", "[Container]\n", "quadlet"),
        ("web.service", "[Service]\n", "systemd"),
        ("web.service.d/10-caps.conf", "[Service]\n", "systemd"),
        ("web.container.d/10-caps.conf", "[Container]\n", "quadlet"),
        ("config.json", '{"ociVersion": "1.0.2"}', "oci"),
    ],
)
def test_files_are_recognized(path: str, text: str, kind: str) -> None:
    language = recognise(path, text)
    assert language is not None
    assert language.name == kind


SERVICES = {
    "systemd": "[Service]\n",
    "quadlet": "[Container]\n",
    "oci": '{"process": {"capabilities": {}}}',
}


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("units/web.service", "systemd", "web"),
        ("web@.service", "systemd", "web"),
        ("web.service.d/10-caps.conf", "systemd", "web"),
        ("x/web.container", "quadlet", "web"),
        ("web.container.d/10.conf", "quadlet", "web"),
        ("bundles/web/config.json", "oci", "web"),
        ("config.json", "oci", "process"),
    ],
)
def test_the_only_service_of_a_file_is_called_after_it(path: str, kind: str, name: str) -> None:
    assert LANGUAGES[kind].read(SERVICES[kind], path)[0].service == name


def test_a_unit_is_judged_together_with_its_drop_ins(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("web.service").write_text(
        "[Service]\nExecStart=/bin/x\nCapabilityBoundingSet=CAP_SYS_ADMIN\n"
    )
    Path("web.service.d").mkdir()
    Path("web.service.d/9.conf").write_text(
        "[Service]\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_CHOWN CAP_NET_BIND_SERVICE\n"
    )
    Path("web.service.d/1.conf").write_text("[Service]\nCapabilityBoundingSet=CAP_SYS_MODULE\n")
    files = ["web.service.d/9.conf", "web.service", "web.service.d/1.conf"]
    assert main(["check", *files, "--strict", "--against", "baseline"]) == 0
    assert "matches its report: web" in capsys.readouterr().out
    assert main(["check", files[1], "--format", "github"]) == 1
    assert main(["check", *files[1:], "--format", "github"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("::error file=web.service.d/1.conf,line=2,title=capadvise root-equ")


def test_a_drop_in_need_not_speak_of_capabilities(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for unit, text in (
        ("web.service", "[Service]\nCapabilityBoundingSet=\n"),
        ("web.container", "[Container]\nDropCapability=all\n"),
    ):
        Path(unit).write_text(text)
        Path(f"{unit}.d").mkdir()
        Path(f"{unit}.d/a.conf").write_text("[Unit]\nAfter=x\n")
        assert main(["check", unit, f"{unit}.d/a.conf", "--strict"]) == 0
        assert "a.conf" not in capsys.readouterr().err
        assert main(["check", unit]) == 0
        assert f"not judged: {unit}.d/a.conf was not named" in capsys.readouterr().out
        assert main(["check", unit, "--strict"]) == 1
        capsys.readouterr()
        assert main(["check", f"{unit}.d/a.conf", "--format", "github"]) == 0
        assert ",line=1," in capsys.readouterr().out


def test_an_override_that_was_not_named_is_judged_and_a_drop_in_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("compose.override.yml").write_text("services: {quiet: {privileged: true}}\n")
    assert main(["check", "./compose.yaml"]) == 1
    assert "compose.override.yml, line 1: quiet: it is privileged" in capsys.readouterr().out
    Path("[a]").mkdir()
    Path("[a]/web.service").write_text("[Service]\n")
    Path("[a]/web.service.d").mkdir()
    Path("[a]/web.service.d/b.conf").touch()
    main(["check", "[a]/web.service"])
    assert "[a]/web.service.d/b.conf was not named" in capsys.readouterr().out


def test_a_file_without_anything_to_judge_says_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x.yaml").write_text("kind: ConfigMap\ndata: {}\n")
    assert main(["check", "x.yaml"]) == 0
    assert "note: x.yaml: it holds no service or container" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "a: 1\n", "x:\n      kind: Pod\n", "{}"])
def test_other_files_are_not(text: str) -> None:
    assert recognise("x.yaml", text) is None


@pytest.mark.parametrize(
    "text",
    [
        "kind: Pod\nservices: {a: {image: x}}\n",
        '{"ociVersion": "1.0.2", "kind": "Pod", "process": {}}',
        "services: {a: {image: x}}\n---\nkind: Pod\n",
    ],
)
def test_what_two_formats_claim_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="line 1: ambiguous"):
        recognise("x.yaml", text)


@pytest.mark.parametrize(
    ("paths", "groups"),
    [
        (["compose.yaml", "compose.override.yaml"], ["compose.yaml compose.override.yaml"]),
        (
            ["compose.yml", "compose.a.yml", "compose.b.yml"],
            ["compose.yml compose.a.yml compose.b.yml"],
        ),
        (["a/compose.yaml", "b/compose.prod.yaml"], ["a/compose.yaml", "b/compose.prod.yaml"]),
        (["docker-compose.yml", "compose.prod.yml"], ["docker-compose.yml", "compose.prod.yml"]),
        (["compose.prod.yaml", "compose.yaml"], ["compose.prod.yaml", "compose.yaml"]),
        (["a.yaml", "a.b.yaml"], ["a.yaml", "a.b.yaml"]),
        (["compose.yaml", "compose.yaml"], ["compose.yaml"]),
        (["a.service", "b.service.d/1.conf"], ["a.service", "b.service.d/1.conf"]),
        (
            ["a.service.d/2.conf", "a.service.d/1.conf", "a.service"],
            ["a.service a.service.d/1.conf a.service.d/2.conf"],
        ),
    ],
)
def test_overrides_belong_to_the_file_that_they_are_called_after(
    paths: list[str], groups: list[str]
) -> None:
    assert [" ".join(group) for group in projects(paths)] == groups


def test_without_docker_files_are_judged_as_written_and_that_is_said(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(place))
    Path("compose.yaml").write_text(
        "services: {a: {cap_drop: [ALL], user: $UID}, b: {extends: a, cap_drop: [ALL]}}\n"
    )
    assert main(["check", "compose.yaml"]) == 1  # it could hide anything
    captured = capsys.readouterr()
    assert "warning, line 1: a: user was not resolved [unresolved]" in captured.out
    assert "error, line 1: b: extends was not resolved [unresolved]" in captured.out
    said = "judged as written, without extends and overrides: docker compose is not installed"
    assert said in " ".join(captured.out.split())
    assert captured.err == ""


def test_without_docker_what_is_included_is_not_taken_to_be_good(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(place))
    Path("compose.yaml").write_text("include: [other.yaml]\n")
    assert main(["check", "compose.yaml"]) == 2
    assert "its included files cannot be judged: docker compose is" in capsys.readouterr().err


def test_without_docker_an_override_hides_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(place))
    Path("compose.yaml").write_text("services: {a: {cap_drop: [ALL], privileged: true}}\n")
    Path("compose.override.yaml").write_text("services: {a: {cap_drop: [ALL], ports: [80]}}\n")
    assert main(["check", "compose.yaml", "compose.override.yaml"]) == 1


def test_files_that_only_include_others_are_told_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A repository of Flux or kustomize consists of them."""
    head = "apiVersion: source.toolkit.fluxcd.io/v1\nmetadata: {name: a}\n"
    for number in range(6):
        (folder := tmp_path / f"app{number}").mkdir()
        (folder / "kustomization.yaml").write_text("resources: [x]\n")
        (folder / "release.yaml").write_text(
            f"{head}kind: HelmRelease\n---\n{head}kind: Component\n"
        )
        (folder / "service.yaml").write_text("apiVersion: v1\nkind: Service\nspec: {}\n")
    (tmp_path / "app0" / "pod.yaml").write_text(pod("privileged: true"))
    assert main(["check", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out.count("[privileged]") == 1
    assert said.out.count("[not-judged]") == 1
    assert "12 files that include others, or are templates\n" in said.out
    assert "and 8 more [not-judged]" in said.out.replace("\n    ", " ")
    assert "service.yaml" not in said.out
    assert said.err.count("holds no service") == 4
    assert "2 more files hold none" in said.err
