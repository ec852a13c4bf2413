"""``emit --without`` and ``check``, with a report whose container works without SYS_ADMIN."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from capadvise.cli import main
from capadvise.judgement.conclusion import Standing, conclude_report, standing_of
from capadvise.judgement.opening import Opening
from capadvise.judgement.proven import Proven, Trial, conclude
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, parse_set
from capadvise.model.errors import BadInput
from capadvise.model.recording import Namespace
from capadvise.model.seccomp_profile import OpenedCall, SeccompProfile
from capadvise.report.dump import dump
from capadvise.report.load import loaded
from capadvise.report.save import save
from tests.support.recordings import CATALOG, FULL, check, report_of

SYS_ADMIN = Cap.parse("SYS_ADMIN")
DEFAULT = SeccompProfile.parse(
    {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {"names": ["read", "write", "execve"], "action": "SCMP_ACT_ALLOW"},
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ"}],
            },
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ],
    }
)
CALLS = tuple(map(OpenedCall.parse, ("clone(NEWUSER|NEWPID)", "mount")))
WORKS = Opening(
    *(SYS_ADMIN, frozenset(), CALLS, True, "docker 26.1.5", DEFAULT),
    needed=(("mount", "exited with 1"),),
    refused_by_mac=("mount",),
    trials=9,
)
FAILS = Opening(
    *(SYS_ADMIN, frozenset(), (), False, "docker 26.1.5", None),
    forbidden="mount calls mount: mounting a file system",
    trials=3,
)


def _report(opening: Opening | None, minimal: str | None = "SYS_ADMIN") -> Report:
    """A container of docker that was proven, and then tried without."""
    ns = Namespace.CHILD if minimal is None else Namespace.TARGET
    recorded = report_of(check("SYS_ADMIN", "ns_capable path_mount", "mount", ns=ns))
    target = replace(
        recorded.target,
        kind="container",
        name="web",
        engine="docker",
        argv=("docker", "run", "web"),
        image="web",
    )
    least = None if minimal is None else parse_set([minimal])
    trials = (Trial(FULL, least is not None, 1.0),)
    if least is not None:
        trials += (Trial(least, True, 1.0), Trial(frozenset(), False, 1.0, SYS_ADMIN))
    proven = Proven("container", trials, least, date="2026-12-02", opening=opening)
    proposal = conclude(recorded.proposal, proven)
    return replace(recorded, target=target, proposal=proposal, proven=proven)


@pytest.fixture
def emit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Runs ``emit`` in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(opening: Opening | None, *words: str) -> tuple[int, str, str]:
        save(Path("web.json"), _report(opening), CATALOG)
        try:
            code = main(["emit", "web.json", *words])
        except SystemExit as error:
            code = int(error.code or 0)
        return (code, *capsys.readouterr())

    return run


Emit = Callable[..., tuple[int, str, str]]
AS = {
    "compose": ("- seccomp=./web.seccomp.json", "- systempaths=unconfined"),
    "docker": ("--security-opt=seccomp=./web.seccomp.json", "systempaths=unconfined"),
    "kubernetes": ("localhostProfile: web.seccomp.json", "procMount: Unmasked"),
}


@pytest.mark.parametrize("form", AS)
def test_a_format_names_the_profile_that_is_written_beside_it(form: str, emit: Emit) -> None:
    code, text, said = emit(WORKS, "--without", "SYS_ADMIN", "--format", form)
    assert code == 0, said
    assert all(part in text for part in AS[form])
    assert "SYS_ADMIN #" not in text
    assert "--cap-add" not in text
    written = SeccompProfile.parse(json.loads(Path("web.seccomp.json").read_text()))
    before, after = DEFAULT.allowed(), written.allowed()
    assert {call for call in after if after[call] != before.get(call)} == {"clone", "mount"}
    assert all(before[call] <= after[call] for call in before)
    assert "clone3" not in after


def test_podman_and_quadlet_take_the_profile_of_podman_alone(emit: Emit) -> None:
    by_podman = replace(WORKS, engine="podman 5.4.2")
    for form in ("podman", "quadlet"):
        assert emit(WORKS, "--without", "SYS_ADMIN", "--format", form)[0] == 2
    _, text, _ = emit(by_podman, "--without", "SYS_ADMIN", "--format", "podman")
    assert "--security-opt=seccomp=./web.seccomp.json --security-opt=unmask=ALL" in text
    _, text, _ = emit(by_podman, "--without", "SYS_ADMIN", "--format", "quadlet")
    assert "SeccompProfile=/etc/containers/systemd/web.seccomp.json\nUnmask=ALL\n" in text
    assert emit(by_podman, "--without", "SYS_ADMIN", "--format", "docker")[0] == 2


def test_a_compose_file_is_patched_with_the_profile_in_the_place_of_the_capability(
    emit: Emit,
) -> None:
    file = Path("compose.yaml")
    file.write_text(
        "services:\n  web:\n    image: web\n    cap_add: [SYS_ADMIN] # for the sandbox\n"
        "    security_opt:\n      - seccomp=unconfined\n      - label=disable\n  db: {image: db}\n"
    )
    words = ("--without", "SYS_ADMIN", "--format", "compose", "--into", "compose.yaml")
    _, _, said = emit(WORKS, *words, "--service", "web", "--dry-run")
    assert not Path("web.seccomp.json").exists(), said
    code, _, said = emit(WORKS, *words, "--service", "web")
    assert code == 0, said
    services = yaml.safe_load(file.read_text())["services"]
    assert services["db"] == {"image": "db"}
    assert "cap_add" not in services["web"]
    assert services["web"]["security_opt"] == [
        "label=disable",
        "seccomp=./web.seccomp.json",
        "systempaths=unconfined",
    ]
    assert Path("web.seccomp.json").exists()
    assert emit(WORKS, "--without", "SYS_ADMIN", "--format", "kubernetes", "--into", "x")[0] == 2


def test_an_oci_configuration_holds_the_profile(emit: Emit) -> None:
    _, text, _ = emit(WORKS, "--without", "SYS_ADMIN", "--format", "oci")
    linux = json.loads(text)["linux"]
    assert linux["seccomp"] == WORKS.filter.raw
    assert linux["maskedPaths"] == linux["readonlyPaths"] == []
    assert not Path("web.seccomp.json").exists()


def test_the_doubt_and_the_price_stand_in_the_file(emit: Emit) -> None:
    _, text, _ = emit(WORKS, "--without", "cap_sys_admin", "--format", "compose")
    plain = " ".join(text.replace("#", " ").split()).replace("docker- default", "docker-default")
    assert "tried without AppArmor; docker-default refuses: mount" in plain
    assert "the price: everybody in the container can make user namespaces" in plain


def test_delta_prints_only_what_was_added(emit: Emit) -> None:
    code, text, _ = emit(WORKS, "--without", "SYS_ADMIN", "--delta")
    assert (code, text.splitlines()) == (0, [*map(str, CALLS), "systempaths=unconfined"])
    assert emit(WORKS, "--delta")[0] == 2


@pytest.mark.parametrize(
    ("opening", "words", "said"),
    [
        (None, ("SYS_ADMIN",), "no trial was made without SYS_ADMIN"),
        (WORKS, ("SYS_PTRACE",), "no trial was made without SYS_PTRACE"),
        (WORKS, ("SYS_ADMIM",), "is not the name of a capability"),
        (FAILS, ("SYS_ADMIN",), "mount calls mount: mounting a file system"),
        (WORKS, ("SYS_ADMIN", "--drop-in"), "takes no --drop-in"),
    ],
)
def test_what_was_not_shown_is_not_emitted(
    opening: Opening | None, words: tuple[str, ...], said: str, emit: Emit
) -> None:
    code, text, error = emit(opening, "--format", "compose", "--without", *words)
    assert (code, text) == (2, "")
    assert said in " ".join(error.split())
    assert not Path("web.seccomp.json").exists()


def test_check_takes_the_opened_profile_for_what_was_proven(
    emit: Emit, capsys: pytest.CaptureFixture[str]
) -> None:
    emit(WORKS, "--without", "SYS_ADMIN", "--format", "compose", "-o", "compose.yaml")
    file = Path("compose.yaml")
    file.write_text(file.read_text().replace("  web:\n", "  web:\n    image: web\n"))
    words = ["check", "compose.yaml", "--against", "web.json"]
    assert main(words) == 0, capsys.readouterr()
    narrow = DEFAULT.opened(CALLS[:1])
    Path("web.seccomp.json").write_text(narrow.text())
    capsys.readouterr()
    assert main(words) == 1
    assert "it lacks SYS_ADMIN" in capsys.readouterr().out


@pytest.mark.parametrize("opening", [WORKS, replace(WORKS, caps=parse_set(["CHOWN"])), FAILS])
def test_a_report_keeps_its_opening(opening: Opening) -> None:
    document = json.loads(json.dumps(dump(_report(opening), CATALOG)))
    again = loaded(document, "web.json", CATALOG)
    assert again.proven is not None
    assert again.proven.opening == opening


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("calls", ["clone3"]),
        ("calls", ["mount\nprivileged: true"]),
        ("profile", {"defaultAction": "SCMP_ACT_LOG", "syscalls": []}),
        ("profile", None),
        ("forbidden", "nothing"),
    ],
)
def test_an_opening_of_a_hostile_report_is_refused(key: str, value: object) -> None:
    document = json.loads(json.dumps(dump(_report(WORKS), CATALOG)))
    document["proof"]["opening"][key] = value
    with pytest.raises(BadInput):
        loaded(document, "web.json", CATALOG)


def test_a_host_without_apparmor_leaves_it_likely() -> None:
    report = _report(WORKS)
    chosen = standing_of(report, WORKS.caps, WORKS.beside)
    assert chosen == (Standing.LIKELY, "tried without AppArmor; docker-default refuses: mount")
    proven = _report(replace(WORKS, refused_by_mac=()))
    assert standing_of(proven, WORKS.caps, WORKS.beside) == (Standing.PROVEN, None)
    assert conclude_report(report, CATALOG).standing is Standing.PROVEN_MINIMAL
    headline = conclude_report(report, CATALOG).headline("web")
    assert headline.endswith(" · or no capability with 2 calls opened (likely)")


def test_a_program_that_the_default_refuses_whatever_it_has_is_concluded_by_its_opening() -> None:
    """bubblewrap under docker: no capability opens pivot_root."""
    conclusion = conclude_report(_report(WORKS, minimal=None), CATALOG)
    assert (conclusion.standing, conclusion.caps) == (Standing.LIKELY, frozenset())
    assert conclusion.headline("web").startswith("web most likely needs no capability")


@pytest.mark.parametrize(
    ("opening", "minimal", "step"),
    [
        (None, "SYS_ADMIN", "capadvise prove --without SYS_ADMIN REPORT"),
        (None, None, "capadvise prove --without SYS_ADMIN REPORT"),
        (None, "CHOWN", "capadvise emit REPORT --format compose"),
        (WORKS, "SYS_ADMIN", "capadvise emit REPORT --format compose --without SYS_ADMIN"),
        (FAILS, "SYS_ADMIN", "capadvise emit REPORT --format compose"),
    ],
)
def test_the_next_step_leads_to_it(opening: Opening | None, minimal: str | None, step: str) -> None:
    conclusion = conclude_report(_report(opening, minimal), CATALOG)
    assert " ".join(conclusion.next.words) == step
