"""What is emitted is taken by the real consumer, and works there: for root and for others."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.catalog import default
from capadvise.catalog.capabilities import EditPlace
from capadvise.config import LANGUAGES
from capadvise.kernel.procfs import capability_sets
from capadvise.model.caps import NAMES, Cap, CapSet, parse_set
from tests.engines import launch
from tests.engines.launch import sets
from tests.support.containers import call
from tests.support.recordings import snippet_with
from tests.support.required import tool

NONE: CapSet = frozenset()
CHOWN = parse_set(["CHOWN"])
SOME = parse_set(["CHOWN", "NET_BIND_SERVICE", "KILL", "SYS_ADMIN"])
ALL = capability_sets().bounding
"""As many as this machine has to give."""
CASES = pytest.mark.parametrize(
    "caps", [NONE, CHOWN, SOME, ALL], ids=["none", "one", "some", "all"]
)
STATUS = ("cat", "/proc/self/status")
GIVE_AWAY = ("sh", "-c", "touch /tmp/f && chown 5 /tmp/f && ls -n /tmp/f")
LOW_PORT = (
    *("sh", "-c"),
    "nc -l -p 80 -e echo works & while kill -0 $! 2>/dev/null; do"
    " nc 127.0.0.1 80 </dev/null && break; sleep 0.1; done; wait",
)
"""Nobody hangs up early: the listener sends, and a client that came too soon asks again."""
ENGINES = ["docker", "podman", "compose", "quadlet", "oci", "setpriv"]
AMBIENT = ["podman", "quadlet", "oci", "setpriv"]
"""Those that give capabilities to a user other than root."""


@pytest.fixture
def start(request: pytest.FixtureRequest, tmp_path: Path) -> launch.Launch:
    """The consumer that the test's ``engine`` names, with its image."""
    engine = request.getfixturevalue("engine")
    if engine in ("docker", "compose"):
        request.getfixturevalue("docker_image")
    elif engine in ("podman", "quadlet"):
        request.getfixturevalue("podman_image")
    root = request.getfixturevalue("root_file_system")
    functions: dict[str, launch.Launch] = {
        "docker": launch.docker,
        "podman": launch.podman,
        "compose": launch.compose,
        "quadlet": launch.quadlet,
        "oci": lambda snippet, command, folder: launch.runc(snippet, command, folder, root),
        "setpriv": launch.setpriv,
    }
    return functions[engine]


@CASES
@pytest.mark.parametrize("engine", ENGINES)
def test_root_holds_the_set_and_no_more(
    engine: str, start: launch.Launch, caps: CapSet, tmp_path: Path
) -> None:
    done = start(snippet_with(caps), STATUS, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (sets(done.stdout)["Bnd"], sets(done.stdout)["Eff"]) == (caps, caps)
    assert "NoNewPrivs:\t1" in done.stdout


@CASES
@pytest.mark.parametrize("engine", ENGINES)
def test_another_user_holds_it_where_there_is_an_ambient_set(
    engine: str, start: launch.Launch, caps: CapSet, tmp_path: Path
) -> None:
    done = start(snippet_with(caps, user="33:34"), STATUS, tmp_path)
    assert done.returncode == 0, done.stderr
    held = caps if engine in AMBIENT else NONE
    assert (sets(done.stdout)["Bnd"], sets(done.stdout)["Eff"]) == (caps, held)
    assert "Uid:\t33\t" in done.stdout
    assert "Gid:\t34\t" in done.stdout


@pytest.mark.parametrize(
    ("engine", "user"),
    [
        *((engine, "0:0") for engine in ("docker", "podman", "compose", "quadlet", "oci")),
        *((engine, "33:33") for engine in ("podman", "quadlet", "oci")),
    ],
)
def test_with_the_capability_it_works_and_without_it_does_not(
    engine: str, user: str, start: launch.Launch, tmp_path: Path
) -> None:
    """The file's new owner is uid 5, which root and others can make it with CHOWN alone."""
    for number, (caps, works) in enumerate(((CHOWN, True), (NONE, False))):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = start(snippet_with(caps, user=user), GIVE_AWAY, folder)
        assert (done.returncode == 0) is works, done.stderr
        assert (" 5 " in done.stdout) is works


def test_setpriv_works_for_another_user() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own lets no other user in
        Path(folder).chmod(0o755)
        file = Path(folder) / "file"
        file.touch()
        for caps, owner in ((NONE, 0), (CHOWN, 5)):
            launch.setpriv(
                snippet_with(caps, user="33:33"), ("chown", "5", str(file)), Path(folder)
            )
            assert file.stat().st_uid == owner


@pytest.mark.parametrize("engine", ["docker", "compose"])
def test_another_user_has_it_in_docker_by_file_capabilities(
    engine: str, start: launch.Launch, tmp_path: Path
) -> None:
    """As the notes say: /files/chown was given cap_chown=ep, and bounds and no_new_privs let it."""
    command = ("sh", "-c", "touch /tmp/f && /files/chown 5 /tmp/f && ls -n /tmp/f")
    done = start(snippet_with(CHOWN, user="33:33"), command, tmp_path)
    assert " 5 " in done.stdout, done.stderr


@pytest.mark.parametrize("engine", ["docker", "compose", "podman", "quadlet"])
@pytest.mark.parametrize("user", ["0:0", "33:33"])
def test_a_low_port_is_bound(engine: str, user: str, start: launch.Launch, tmp_path: Path) -> None:
    done = start(snippet_with(parse_set(["NET_BIND_SERVICE"]), user=user), LOW_PORT, tmp_path)
    assert done.stdout == "works\n", done.stderr


@pytest.mark.parametrize("emitted", [True, False])
def test_it_is_the_sysctl_that_lets_another_user_bind_in_docker(
    docker_image: str, emitted: bool
) -> None:
    """Docker sets it by itself since 20.10; where it does not, the emitted flag does."""
    text = LANGUAGES["docker"].render(snippet_with(parse_set(["NET_BIND_SERVICE"]), user="33:33"))
    flags = [word for word in text.splitlines()[-1].split() if "--sysctl" not in word or emitted]
    host = "--sysctl=net.ipv4.ip_unprivileged_port_start=1024"
    done = call(
        *(tool("docker"), "run", "--rm", "--network=none", host, *flags, docker_image, *LOW_PORT)
    )
    assert (done.stdout == "works\n") is emitted


@CASES
@pytest.mark.parametrize("user", ["0:0", "33:33"])
def test_compose_takes_it_as_a_second_file(caps: CapSet, user: str, tmp_path: Path) -> None:
    snippet = snippet_with(caps, user=user)
    reason = "${HOME:?no} $(id) # '\" {{.}} $"
    hostile = replace(snippet, caps=tuple((cap, reason) for cap, _ in snippet.caps))
    files = launch.compose_files(hostile, tmp_path)
    done = call(*files, "config", "--format", "json")
    assert done.stderr == ""
    service = json.loads(done.stdout)["services"]["nginx"]
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == [cap.short for cap in sorted(caps)]
    assert service.get("user") == (None if user == "0:0" else user)


@CASES
def test_quadlet_takes_back_what_the_file_said(caps: CapSet, tmp_path: Path) -> None:
    tool("/usr/lib/systemd/system-generators/podman-system-generator")
    flags = launch.quadlet_run(snippet_with(caps, user="33:33"), tmp_path)
    added = [flags[at + 1] for at, flag in enumerate(flags) if flag == "--cap-add"]
    dropped = [flags[at + 1] for at, flag in enumerate(flags) if flag == "--cap-drop"]
    assert (parse_set(added), dropped) == (caps, ["all"])
    assert "--security-opt=no-new-privileges" in flags
    assert flags[flags.index("--user") + 1] == "33:33"


def test_setcap_gives_a_program_of_the_host_what_it_needs(tmp_path: Path) -> None:
    program = tmp_path / "my $program"
    program.write_bytes(Path(tool("busybox")).read_bytes())
    program.chmod(0o755)
    caps = parse_set(["NET_BIND_SERVICE", "NET_RAW"])
    snippet = replace(snippet_with(caps, user="33:33"), argv=(str(program),))
    tool("setcap")
    done = call("bash", "-c", LANGUAGES["setcap"].render(snippet))
    assert done.returncode == 0, done.stderr
    assert call(tool("getcap"), str(program)).stdout.endswith(
        " cap_net_bind_service,cap_net_raw=ep\n"
    )


def test_a_capability_that_this_kernel_lacks_is_not_hidden() -> None:
    assert "CAP_55" in LANGUAGES["docker"].render(snippet_with(frozenset({Cap(55)})))


def test_the_catalogs_edits_for_compose_are_accepted(tmp_path: Path) -> None:
    """Each as a service of its own, in one file: 0.2 s."""
    entries = filter(None, (default().entry(Cap(number)) for number in range(len(NAMES))))
    ways = [way for entry in entries for way in (*entry.remediation, *entry.uses)]
    edits = {text for way in ways for place, text in way.edits if place is EditPlace.COMPOSE}
    lines = ["services:"]
    for number, edit in enumerate(sorted(edits)):
        lines += [f"  s{number}:", "    image: x", *(f"    {line}" for line in edit.splitlines())]
    (tmp_path / "profile.json").write_text("{}")
    (tmp_path / "userns.json").write_text("{}")
    file = tmp_path / "compose.yaml"
    file.write_text("\n".join(lines) + "\n")
    done = call("docker", "compose", "-f", str(file), "config", "-q")
    assert done.returncode == 0, done.stderr
    assert len(edits) > 40
