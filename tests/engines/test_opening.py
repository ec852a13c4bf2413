"""Containers that have SYS_ADMIN only for the seccomp profile of their engine."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capadvise.model.caps import parse_set
from capadvise.model.seccomp_profile import OpenedCall, SeccompProfile
from capadvise.targets.client.invocation import recognize
from capadvise.targets.containers.default_profile import default_profiles
from tests.support import images
from tests.support.containers import CLIENTS, ENVIRONMENT, MARK, loaded, record, trials_of
from tests.support.runs import CAPADVISE

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("sandboxes")]
IMAGE = f"{MARK}-sandboxes:1"


@pytest.fixture(scope="module")
def sandboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Images with bubblewrap and unshare."""
    tar = tmp_path_factory.mktemp("sandboxes") / "sandboxes.tar"
    images.debian(tar, ("coreutils", "dash", "util-linux", "mount", "hostname", "bubblewrap"), {})
    yield from loaded(CLIENTS.values(), tar, {IMAGE: ()})


def _without(
    report: Path, engine: str, *words: str, options: tuple[str, ...] = ()
) -> tuple[dict[str, Any], str]:
    """The result of ``prove --without SYS_ADMIN``, and what it printed."""
    start = (*CLIENTS[engine], "run", "--rm", "--network=none", *options, IMAGE, *words)
    record(report, *start)
    argv = [CAPADVISE, "prove", "--without", "SYS_ADMIN", "-o", str(report), str(report)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=500, env=ENVIRONMENT)
    document = json.loads(report.read_text())
    said = done.stdout + done.stderr
    assert not trials_of(IMAGE, engine)
    assert document["proof"]["opening"], said
    return document, said


@pytest.mark.parametrize("engine", CLIENTS)
def test_the_default_profile_is_read_from_what_the_engine_gives_its_runtime(engine: str) -> None:
    call = recognize((*CLIENTS[engine], "run", IMAGE))
    assert call is not None
    name, (less, more) = default_profiles(call, None, [frozenset(), parse_set(["SYS_ADMIN"])])
    assert name.startswith(f"{engine} ")
    assert name[-1].isalnum()
    opened = {call for call, ways in more.allowed().items() if less.allowed().get(call) != ways}
    assert {"sethostname", "bpf"} <= opened
    assert less.refuses("sethostname")
    assert not less.refuses("read")


def test_a_sandbox_of_another_user_is_proven_without_halving(tmp_path: Path) -> None:
    """The profile refuses a call before any capability is checked: its trial names SYS_ADMIN."""
    words = ("docker", "run", "--rm", "--network=none", "--user=33", IMAGE)
    report = tmp_path / "r.json"
    seen = record(report, *words, "unshare", "-Urm", "true", options=("--prove",))
    assert seen.minimal == {"SYS_ADMIN"}, seen.stderr
    assert len(seen.report["proof"]["trials"]) <= 8


def _started_as_emitted(folder: Path, engine: str, *words: str) -> None:
    """A real container with what ``emit`` wrote works, and without the profile it does not; the
    profile allows what the engine's default allows, and the members."""
    emit = [CAPADVISE, "emit", "r.json", "--without", "SYS_ADMIN"]
    done = subprocess.run([*emit, "--format", engine], cwd=folder, capture_output=True, text=True)
    flags = shlex.split(done.stdout, comments=True)
    run = [*CLIENTS[engine], "run", "--rm", "--network=none"]
    for options, works in ((flags, True), ([x for x in flags if "seccomp=" not in x], False)):
        argv = [*run, *options, IMAGE, *words]
        tried = subprocess.run(argv, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT)
        assert (tried.returncode == 0) is works, (options, tried.stderr)
    call = recognize((*CLIENTS[engine], "run", IMAGE))
    assert call is not None
    _, (default,) = default_profiles(call, None, [frozenset()])
    written = SeccompProfile.parse(json.loads(next(folder.glob("*.seccomp.json")).read_text()))
    delta = subprocess.run([*emit, "--delta"], cwd=folder, capture_output=True, text=True).stdout
    members = {OpenedCall.parse(word) for word in delta.split()}
    before, after = default.allowed(), written.allowed()
    assert {name for name in after if after[name] != before.get(name)} == {x.call for x in members}
    assert after == default.opened(members).allowed()
    assert written.raw["defaultAction"] == default.raw["defaultAction"]


def test_unshare_needs_two_calls_and_no_capability(tmp_path: Path) -> None:
    report, said = _without(
        tmp_path / "r.json", "docker", "unshare", "-Urm", "true", options=("--user=33",)
    )
    _started_as_emitted(tmp_path, "docker", "unshare", "-Urm", "true")
    opening = report["proof"]["opening"]
    assert opening["calls"] == ["mount", "unshare(NEWNS|NEWUSER)"], said
    assert (opening["caps"], opening["unmasked"], opening["forbidden"]) == ([], False, "")
    members = {one["member"] for one in opening["needed"]}
    assert members == {"mount", "unshare", "unshare CLONE_NEWNS", "unshare CLONE_NEWUSER"}


def test_bubblewrap_runs_with_calls_that_no_capability_opens(tmp_path: Path) -> None:
    """docker's profile refuses pivot_root with every capability."""
    words = ("bwrap", "--unshare-pid", "--bind", "/", "/", "true")
    report, said = _without(tmp_path / "r.json", "docker", *words, options=("--user=33",))
    opening = report["proof"]["opening"]
    calls = ["clone(NEWNS|NEWUSER|NEWPID)", "mount", "pivot_root", "umount2"]
    assert opening["calls"] == calls, said
    assert opening["caps"] == []


def test_a_privileged_container_that_mounts_its_own_proc_needs_two_calls_and_no_masks(
    tmp_path: Path,
) -> None:
    """The kernel lets nobody mount another /proc while parts of the old one are hidden."""
    words = ("unshare", "-Urpf", "--mount-proc", "true")
    options = ("--user=33", "--privileged")
    report, said = _without(tmp_path / "r.json", "docker", *words, options=options)
    opening = report["proof"]["opening"]
    assert (opening["caps"], opening["unmasked"]) == ([], True), said
    assert opening["calls"] == ["mount", "unshare(NEWNS|NEWUSER|NEWPID)"]
    assert "systempaths=unconfined" in {one["member"] for one in opening["needed"]}


def test_a_host_name_of_a_user_namespace_takes_one_call_with_podman(tmp_path: Path) -> None:
    script = "unshare -Ur sh -c 'unshare -u hostname foo'"
    report, said = _without(
        tmp_path / "r.json", "podman", "sh", "-c", script, options=("--user=33",)
    )
    opening = report["proof"]["opening"]
    assert (opening["calls"], opening["caps"]) == (["sethostname"], []), said
    _started_as_emitted(tmp_path, "podman", "sh", "-c", script)


@pytest.mark.parametrize("engine", CLIENTS)
@pytest.mark.parametrize(
    ("words", "use"),
    [
        (("hostname", "x"), "hostname calls sethostname: setting the host name"),
        (("mount", "-t", "tmpfs", "none", "/tmp"), "mount calls "),
    ],
)
def test_a_use_in_the_containers_own_namespace_is_named(
    engine: str, words: tuple[str, ...], use: str, tmp_path: Path
) -> None:
    report, said = _without(tmp_path / "r.json", engine, *words)
    opening = report["proof"]["opening"]
    assert opening["forbidden"].startswith(use), said
    assert (opening["profile"], opening["calls"]) == (None, [])
