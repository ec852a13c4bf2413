"""Containers of a user other than root: no engine gives that user a capability, so none is advised
where something else helps; what is advised works when it is done."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.containers import BOX, CLIENTS, MARK, call, containers, record
from tests.support.required import tool
from tests.support.runs import CAPADVISE

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes")]
USER = "1234"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of root, where nobody else may write."""
    place = tmp_path / "own"
    place.mkdir(mode=0o755)
    return place


def test_a_folder_of_another_owner_is_to_be_given(folder: Path, tmp_path: Path) -> None:
    command = ("--network=none", f"--user={USER}", "-v", f"{folder}:/own", BOX)
    words = ("docker", "run", "--rm", *command, "touch", "/own/f")
    seen = record(tmp_path / "report.json", *words, options=("--prove",))
    assert seen.recommended == set(), seen.stderr
    assert seen.code == 1
    assert f"hint: chown -R {USER} {folder}" in seen.stderr
    assert "fsGroup: 1234" in seen.stderr
    assert os.stat(folder).st_uid == 0
    assert not list(folder.iterdir())
    os.chown(folder, int(USER), -1)
    again = record(tmp_path / "report.json", *words, options=("--prove",))
    assert (again.minimal, again.code) == (set(), 0), again.stderr
    applied = call("docker", "run", "--rm", "--cap-drop=ALL", *command, "touch", "/own/g")
    assert applied.returncode == 0, applied.stderr


@pytest.mark.parametrize("engine", CLIENTS)
def test_what_ends_at_once_is_described_before_it_is_removed(
    engine: str, folder: Path, tmp_path: Path
) -> None:
    """A busy engine answers late, and ``--rm`` would not wait for it."""
    client = tmp_path / engine
    words = " ".join((tool(engine), *CLIENTS[engine][1:]))
    going = f"{words} ps -aq --filter name={MARK}-gone --filter status=created"
    client.write_text(f"""#!/bin/sh
case "$*" in *"container inspect"*)
  while [ -n "$({going} --filter status=running)" ]; do sleep 0.1; done
  sleep 0.3;;
esac
exec {tool(engine)} "$@"
""")
    client.chmod(0o755)
    words = (str(client), *CLIENTS[engine][1:], "run", "--rm", "--network=none", f"--user={USER}")
    command = (f"--name={MARK}-gone", "-v", f"{folder}:/own", BOX, "touch", "/own/f")
    seen = record(tmp_path / "report.json", *words, *command)
    (foreign,) = seen.report["recordings"][0]["foreign_folders"]
    assert foreign["source"] == str(folder)
    assert containers(engine, f"name={MARK}-gone") == []
    assert "removed" not in seen.stderr  # as the user's command would have left it


def test_file_capabilities_are_advised_with_what_they_open(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = ("docker", "run", "--rm", "--network=none", f"--user={USER}", BOX)
    seen = record(report, *words, "chown", "5", "/data/file", options=("--prove",))
    assert "hint: an engine gives user 1234 no capability: RUN setcap cap_chown=ep" in seen.stderr
    assert "each user may then do what it does" in seen.stderr
    assert seen.code == 1
    form = call(CAPADVISE, "emit", str(report), "--format", "compose")
    said = " ".join(form.stdout.replace("#", "").split())
    assert "(setcap cap_chown=ep PROGRAM) and leave no_new_privs off (not tried; " in said, form


def test_host_networking_gets_no_sysctl(tmp_path: Path) -> None:
    """runc refuses it, and what is emitted must start."""
    report = tmp_path / "report.json"
    start = ("docker", "run", "--rm", "--network=host", f"--user={USER}", BOX)
    serves = ("--check", "curl -fs localhost:81/file")
    record(report, *start, "httpd", "-f", "-p", "81", "-h", "/data", options=serves)
    for form in ("docker", "compose"):
        words = [CAPADVISE, "emit", str(report), "--format", form]
        emitted = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        settings = [line for line in emitted.splitlines() if not line.strip().startswith("#")]
        assert not [line for line in settings if "sysctl" in line or "no-new-priv" in line]
        assert "NET_BIND_SERVICE" in emitted
        assert "ip_unprivileged_port_start on the host" in " ".join(
            emitted.replace("#", "").split()
        )
