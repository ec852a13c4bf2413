"""The gate beside the real consumers: docker compose resolves, docker and systemd take names."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from capadvise.catalog import default
from capadvise.cli import main
from capadvise.config import LANGUAGES
from capadvise.config.declared import Declared
from capadvise.config.granted import granted
from capadvise.model.caps import from_mask
from capadvise.report.save import save
from tests.support.recordings import BIND, report_of
from tests.support.required import missing, tool

IMAGE = "capadvise-gate-test"
Run = pytest.CaptureFixture[str]


def need(argv: list[str]) -> None:
    """A consumer that a test needs."""
    if subprocess.run([tool(argv[0]), *argv[1:]], capture_output=True).returncode:
        missing(f"`{' '.join(argv)}` does not work here")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    need(["docker", "compose", "version"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(capsys: Run, *files: str) -> list[tuple[str, str, str, int]]:
    """(service, rule, file, line) of all that the gate says."""
    main(["check", *files, "--format", "json"])
    captured = capsys.readouterr()
    assert captured.err == ""
    return [
        (service["name"], finding["rule"], finding["path"], finding["line"])
        for file in json.loads(captured.out)["files"]
        for service in file["services"]
        for finding in service["findings"]
    ]


WEB = "services:\n  web:\n    image: nginx\n    cap_add: [SYS_ADMIN]\n"
OVERRIDE = "services:\n  web:\n    security_opt: [no-new-privileges:true]\n"


@pytest.mark.parametrize("door", ["fix", "into"])
def test_docker_compose_takes_a_project_of_which_one_file_was_patched(
    door: str, folder: Path, capsys: Run
) -> None:
    """An option that stands in both files is one that it refuses."""
    save(folder / "base" / "web.json", report_of(BIND), default())
    Path("compose.yaml").write_text(WEB)
    Path("compose.override.yaml").write_text(OVERRIDE)
    if door == "fix":
        main(["check", "compose.yaml", "--against", "base", "--fix"])
    else:
        into = ["--format", "compose", "--into", "compose.yaml", "--service", "web"]
        main(["emit", "base/web.json", *into])
    assert "written" in capsys.readouterr().err
    shown = subprocess.run(
        ["docker", "compose", "config", "--format=json"], capture_output=True, text=True
    )
    assert shown.stderr == ""
    web = json.loads(shown.stdout)["services"]["web"]
    assert web["cap_add"] == ["NET_BIND_SERVICE"]
    assert web["security_opt"] == ["no-new-privileges:true"]


def test_a_variable_that_is_missing_hides_nothing_else(folder: Path, capsys: Run) -> None:
    Path("base.yaml").write_text("services:\n  p:\n    image: x\n    cap_add: [SYS_ADMIN]\n")
    Path("compose.yaml").write_text(
        "services:\n  web:\n    extends: {file: base.yaml, service: p}\n    cap_drop: [ALL]\n"
        "  db:\n    image: ${IMAGE:?}\n    cap_drop: [ALL]\n    privileged: ${P:-true}\n"
    )
    assert main(["check", "compose.yaml", "--format", "json"]) == 1
    captured = capsys.readouterr()
    (file,) = json.loads(captured.out)["files"]
    (remark,) = file["findings"]
    assert "judged without its variables: docker compose: error while" in remark["what"]
    assert [
        (service["name"], finding["rule"], finding["severity"], finding["line"])
        for service in file["services"]
        for finding in service["findings"]
    ] == [("db", "unresolved", "error", 8), ("web", "root-equivalent", "error", 2)]


def test_variables_are_those_of_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Run
) -> None:
    Path("compose.yaml").write_text(
        "services:\n  web:\n    image: x\n    privileged: ${P:-false}\n"
        "    cap_drop: [ALL]\n    cap_add: ['${CAP:-CHOWN}']\n"
    )
    depends = [("web", "variable", "compose.yaml", line) for line in (4, 6)]
    assert found(capsys, "compose.yaml") == depends
    assert main(["check", "compose.yaml", "--strict"]) == 1
    capsys.readouterr()
    monkeypatch.setenv("P", "true")
    assert found(capsys, "compose.yaml") == [("web", "privileged", "compose.yaml", 4), *depends]
    monkeypatch.setenv("P", "false")
    monkeypatch.setenv("CAP", "SYS_ADMIN")
    ((service, rule, _, _), *rest) = found(capsys, "compose.yaml")
    assert (service, rule, rest) == ("web", "root-equivalent", depends)


def test_what_a_service_extends_counts(folder: Path, capsys: Run) -> None:
    Path("common.yaml").write_text("services:\n  base:\n    image: x\n    cap_add: [SYS_ADMIN]\n")
    Path("compose.yaml").write_text(
        "services:\n  web:\n    extends: {file: common.yaml, service: base}\n    cap_drop: [ALL]\n"
    )
    ((service, rule, path, _),) = found(capsys, "compose.yaml")
    assert (service, rule, path) == ("web", "root-equivalent", "compose.yaml")


def test_services_of_included_files_and_of_profiles_count(folder: Path, capsys: Run) -> None:
    Path("more.yaml").write_text("services:\n  more:\n    image: x\n    privileged: true\n")
    Path("compose.yaml").write_text(
        "include: [more.yaml]\nservices:\n  debug:\n    image: x\n    profiles: [debug]\n"
        "    cap_drop: [ALL]\n    cap_add: [SYS_MODULE]\n"
    )
    assert sorted(found(capsys, "compose.yaml"))[:2] == [
        ("debug", "root-equivalent", "compose.yaml", 7),
        ("more", "privileged", "compose.yaml", 1),
    ]


def test_overrides_are_taken_together_and_findings_are_where_things_are_written(
    folder: Path, capsys: Run
) -> None:
    Path("compose.yaml").write_text("services:\n  web:\n    image: x\n    cap_drop: [ALL]\n")
    Path("compose.prod.yaml").write_text("services:\n  web:\n    cap_add:\n      - SYS_RAWIO\n")
    assert found(capsys, "compose.yaml") == []
    assert found(capsys, "compose.yaml", "compose.prod.yaml") == [
        ("web", "root-equivalent", "compose.prod.yaml", 4)
    ]


def test_what_compose_does_not_take_is_judged_as_written(folder: Path, capsys: Run) -> None:
    Path("compose.yaml").write_text(
        "services:\n  web: {image: x, bogus: 1, user: $U, privileged: true}\n"
    )
    assert main(["check", "compose.yaml"]) == 1
    captured = capsys.readouterr()
    assert "it is privileged" in captured.out
    note = r"compose\.yaml: judged as written, .*: docker compose: .*bogus"
    assert re.search(note, " ".join(captured.out.split()))


def test_nothing_is_fetched_from_the_network(folder: Path, capsys: Run) -> None:
    Path("compose.yaml").write_text(
        "include: [https://github.com/docker/awesome-compose.git]\n"
        "services: {web: {image: x, cap_drop: [ALL]}}\n"
    )
    assert main(["check", "compose.yaml"]) == 2
    assert "cannot be judged: docker compose: experimental git" in capsys.readouterr().err


# ------------------------------------------------------------------------------ what docker grants


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """A busybox, and nothing else."""
    need(["docker", "info"])
    need(["busybox", "true"])
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(os.path.realpath(shutil.which("busybox") or ""), "bin/busybox")
    subprocess.run(
        ["docker", "import", "-", IMAGE], input=archive.getvalue(), check=True, capture_output=True
    )
    yield IMAGE
    subprocess.run(["docker", "rmi", "--force", IMAGE], capture_output=True)


@pytest.mark.parametrize(
    ("add", "drop"),
    [
        ((), ()),
        ((), ("ALL",)),
        (("CHOWN", "cap_kill"), ("all",)),
        (("ALL",), ("ALL",)),
        (("ALL",), ("NET_RAW", "SYS_ADMIN")),
        (("NET_RAW", "NET_ADMIN"), ("NET_RAW", "KILL")),
    ],
)
def test_docker_grants_what_the_gate_says(
    image: str, add: tuple[str, ...], drop: tuple[str, ...]
) -> None:
    flags = [f"--cap-add={name}" for name in add] + [f"--cap-drop={name}" for name in drop]
    run = ["docker", "run", "--rm", "--network=none", *flags, image, "/bin/busybox"]
    done = subprocess.run(
        [*run, "grep", "CapBnd", "/proc/self/status"], capture_output=True, text=True, check=True
    )
    here = int(re.findall(r"CapBnd:\s*(\w+)", Path("/proc/self/status").read_text())[0], 16)
    said = granted(Declared("web", 1, drop, add), LANGUAGES["compose"].judged_by, default())
    # Docker gives ALL as far as the daemon itself has it.
    assert from_mask(int(done.stdout.split()[1], 16)) == said & from_mask(here)


def test_docker_does_not_give_what_is_added_to_another_user(image: str) -> None:
    run = ["docker", "run", "--rm", "--network=none", "--user=1000", "--cap-add=NET_ADMIN", image]
    done = subprocess.run(
        [*run, "/bin/busybox", "grep", "Cap", "/proc/self/status"],
        capture_output=True,
        text=True,
        check=True,
    )
    sets = dict(line.split(":\t") for line in done.stdout.splitlines())
    assert int(sets["CapEff"], 16) == int(sets["CapAmb"], 16) == 0
    assert int(sets["CapBnd"], 16) & 1 << 12


@pytest.mark.parametrize("name", ["NET_RAW", "net_raw", "CAP_NET_RAW", "SYS_ADM", "CAP_ALL", "13"])
def test_docker_takes_the_names_that_the_gate_says(image: str, name: str) -> None:
    create = ["docker", "create", f"--cap-add={name}", image, "/bin/busybox"]
    done = subprocess.run(create, capture_output=True, text=True)
    if done.returncode == 0:
        subprocess.run(["docker", "rm", done.stdout.strip()], capture_output=True)
    assert (done.returncode == 0) == (LANGUAGES["compose"].judged_by.parse(name) is not None)


@pytest.mark.parametrize("name", ["CAP_NET_RAW", "cap_net_raw", "13", "NET_RAW", "CAP_SYS_ADM"])
def test_systemd_takes_the_names_that_the_gate_says(tmp_path: Path, name: str) -> None:
    need(["systemd-analyze", "--version"])
    (unit := tmp_path / "t.service").write_text(
        f"[Service]\nExecStart=/bin/true\nCapabilityBoundingSet={name}\n"
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "debug"},
    )
    refused = f"Failed to parse capability '{name}', ignoring" in done.stderr
    assert refused == (LANGUAGES["systemd"].judged_by.parse(name) is None)
