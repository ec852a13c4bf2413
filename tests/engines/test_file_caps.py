"""A program file with capabilities in an image, as caddy has it: executing it takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.containers import CLIENTS, record

pytestmark = pytest.mark.kernel
CURE = "/files/chown"


@pytest.mark.parametrize("options", [(), ("--user=1234",)])
def test_the_file_is_the_reason_and_its_cure_is_proven(
    docker_image: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Without its file capabilities the program needs nothing: it changes no owner."""
    script = ("sh", "-c", f"{CURE} --help && sleep 1")
    words = ("docker", "run", "--rm", "--network=none", *options, docker_image, *script)
    seen = record(tmp_path / "report.json", *words, options=("--prove",))
    assert seen.code == 0, seen.stderr
    conclusion = seen.report["conclusion"]
    assert (conclusion["standing"], seen.recommended) == ("proven-minimal", {"CHOWN"}), seen.stderr
    (need,) = [one for one in seen.report["needs"] if one["cap"] == "CAP_CHOWN"]
    said = "cannot be executed without it: /files/chown has file capabilities cap_chown=ep"
    assert need["reason"] == said
    assert "then it needs no capability, a trial passed" in need["remediation"]
    (passed,) = conclusion["also_passed"]
    assert (passed["caps"], passed["with"]["without_file_capabilities"]) == ([], [CURE])


@pytest.mark.parametrize("engine", ["docker", "podman"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), (CURE, "--help")),
        (("--user=1234",), (CURE, "--help")),
        (("--workdir=/files",), ("./chown", "--help")),
        ((), ("sh", "-c", f"{CURE} --help; :")),
    ],
)
def test_a_program_that_ends_at_once_is_looked_up_in_the_image(
    docker_image: str,
    podman_image: str,
    tmp_path: Path,
    engine: str,
    options: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    """No process is left that finds its file when the exec is reported."""
    image = docker_image if engine == "docker" else podman_image
    start = (*CLIENTS[engine], "run", "--rm", "--network=none", *options, image, *words)
    seen = record(tmp_path / "report.json", *start)
    assert (seen.code, seen.recommended) == (0, {"CHOWN"}), seen.stderr
    (recording,) = seen.report["recordings"]
    assert [one["path"] for one in recording["capable_files"]] == [CURE]
    assert recording["setid_exec"] is True
