"""Program files with capabilities: what executing them takes, and the trial of ``setcap -r``."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.required import tool
from tests.support.runs import Run

from .rows import PYTHON

BIND, CURE = "cap_net_bind_service", "without them (setcap -r) it can be executed"
WITHOUT = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service")


def capable(folder: Path, flags: str = "ep", caps: str = BIND, program: str = "sleep") -> Path:
    """A copy of a program with file capabilities."""
    folder.mkdir(exist_ok=True)
    folder.parent.chmod(0o755)
    file = folder / "fcap"
    subprocess.run(["cp", f"/bin/{program}", file], check=True)
    subprocess.run([tool("setcap"), f"{caps}={flags}", file], check=True)
    return file


def reason(file: Path) -> str:
    return f"cannot be executed without it: {file} has file capabilities {BIND}=ep"


@pytest.mark.parametrize("command", [("./fcap", "0.1"), ("sh", "-c", "./fcap 0.1; true")])
@pytest.mark.parametrize("options", [(), ("--user", "nobody"), ("--retry",)])
def test_the_file_is_the_reason(
    run: Run, tmp_path: Path, command: tuple[str, ...], options: tuple[str, ...]
) -> None:
    file = capable(tmp_path / "w")
    result = run(*command, options=options)
    assert result.code == 0, result.stderr
    assert result.recommended == {"NET_BIND_SERVICE"}
    (need,) = [one for one in result.report["needs"] if one["verdict"] == "needed"]
    assert (need["reason"], need["uncertain"]) == (reason(file), None)
    assert f"setcap -r {file}" in need["remediation"]
    assert result.report["conclusion"]["standing"] == "recorded"


@pytest.mark.parametrize("flags", ["p", "ei", "i"])
def test_without_the_effective_bit_or_without_permitted_ones_it_runs_with_less(
    run: Run, tmp_path: Path, flags: str
) -> None:
    """pP' = (X & fP) | (pI & fI): only forced ones (fP) that are missing fail an exec."""
    capable(tmp_path / "w", flags)
    assert run("./fcap", "0.1").recommended == set()
    result = run(*WITHOUT, "./fcap", "0.1")
    assert (result.code, result.recommended) == (0, {"SETPCAP"}), result.stderr


def test_a_program_without_an_effective_bit_that_raises_it_itself_demands_it(
    run: Run, tmp_path: Path
) -> None:
    file = capable(tmp_path / "w", "p", program="true")
    source = "int capset(void *, void *); int main(void) {\n"
    source += (
        "  unsigned h[2] = {0x20080522, 0}, d[6] = {1 << 10, 1 << 10};\n  return capset(h, d); }"
    )
    build = ["gcc", "-w", "-x", "c", "-", "-o", file]
    subprocess.run(build, input=source, text=True, check=True)
    subprocess.run([tool("setcap"), f"{BIND}=p", file], check=True)
    result = run("./fcap")
    assert result.recommended == {"NET_BIND_SERVICE"}, result.stderr
    (need,) = [one for one in result.report["needs"] if one["cap"] == "CAP_NET_BIND_SERVICE"]
    assert need["reason"] == "calling capset(2) with a fixed set that contains it"


def test_a_mount_without_set_id_bits_makes_them_void(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "w" / "m"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid", "none", folder], check=True)
    try:
        capable(folder)
        assert run("m/fcap", "0.1").recommended == set()
        result = run(*WITHOUT, "m/fcap", "0.1")
        assert (result.code, result.recommended) == (0, {"SETPCAP"}), result.stderr
    finally:
        subprocess.run(["umount", folder], check=True)


def test_no_new_privs_does_not_make_them_void(run: Run, tmp_path: Path) -> None:
    """They add nothing then, but the exec fails as before: get_file_caps() of commoncap.c comes
    first."""
    file = capable(tmp_path / "w")
    result = run("setpriv", "--no-new-privs", "./fcap", "0.1")
    assert result.recommended == {"NET_BIND_SERVICE"}, result.stderr
    refused = run(*WITHOUT, "--no-new-privs", "./fcap", "0.1")
    assert refused.code == 126, refused.stderr
    assert named(refused.report) == [
        f"{file} has file capabilities {BIND}=ep, which the bounding set lacks; {CURE}"
    ]


def named(report: dict[str, Any]) -> list[str]:
    refusals = report["recordings"][0]["refusals"]
    return [
        one["evidence"]
        for one in refusals
        if one["syscall"] == "execve" and one["by"] == "capability"
    ]


@pytest.mark.parametrize(
    "script", ["./fcap 0.1; true", "cd /; $OLDPWD/fcap 0.1; true", "PATH=$PWD; fcap 0.1; true"]
)
def test_a_refused_exec_names_the_file(run: Run, tmp_path: Path, script: str) -> None:
    file = capable(tmp_path / "w")
    result = run(*WITHOUT, "sh", "-c", script)
    assert result.code == 0, result.stderr
    assert result.recommended == {"NET_BIND_SERVICE", "SETPCAP"}, result.stderr
    assert named(result.report) == [
        f"{file} has file capabilities {BIND}=ep, which the bounding set lacks; {CURE}"
    ]


def test_an_exec_that_is_refused_for_another_reason_names_none(run: Run, tmp_path: Path) -> None:
    """The arguments are too long."""
    capable(tmp_path / "w")
    script = "import os; os.execv('./fcap', ['fcap', 'x' * (1 << 22)])"
    result = run(PYTHON, "-c", script)
    assert result.code == 1, result.stderr
    assert result.report["recordings"][0]["capable_files"] == []


@pytest.mark.parametrize("command", [("./fcap", "0.1"), ("sh", "-c", "./fcap 0.1")])
def test_the_cure_is_tried_and_proven(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Also for the command itself, whose exec fails in trials: they go on."""
    file = capable(tmp_path / "w")
    result = run(*command, options=("--prove",))
    assert result.code == 0, result.stderr
    conclusion = result.report["conclusion"]
    assert conclusion["standing"] == "proven-minimal", result.stderr
    assert conclusion["recommended"] == ["CAP_NET_BIND_SERVICE"]
    (passed,) = conclusion["also_passed"]
    assert (passed["caps"], passed["with"]["without_file_capabilities"]) == ([], [str(file)])
    failed = [
        one for one in result.report["proof"]["trials"] if not one["caps"] and not one["instead"]
    ]
    assert [one["passed"] for one in failed] == [False] * len(failed)
    assert "126" in failed[0]["differences"][0]
    said = f"With `setcap -r {file}` where the image or package is built, it needs no capability"
    assert said.replace(" ", "") in "".join(result.stderr.split())
    got = subprocess.run([tool("getcap"), file], capture_output=True, text=True, check=True)
    assert BIND in got.stdout, "a trial changed the user's own file"


def test_what_is_used_stays_needed_without_the_file(run: Run, tmp_path: Path) -> None:
    """It binds a low port with one of two: only the other one can go."""
    file = capable(tmp_path / "w", caps=f"{BIND},cap_net_raw", program="python3")
    bind = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 81))"
    result = run("./fcap", "-c", bind, options=("--prove",))
    assert result.code == 0, result.stderr
    assert result.recommended == {"NET_BIND_SERVICE", "NET_RAW"}, result.stderr
    passed = result.report["conclusion"]["also_passed"]
    assert [(one["caps"], one["with"]["without_file_capabilities"]) for one in passed] == [
        (["CAP_NET_BIND_SERVICE"], [str(file)])
    ]
    needs = {need["cap"]: need for need in result.report["needs"]}
    assert "binding" in needs["CAP_NET_BIND_SERVICE"]["reason"]
    assert "cannot be executed without it" in needs["CAP_NET_BIND_SERVICE"]["reason"]
