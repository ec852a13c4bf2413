"""The gate takes files for what their readers take them for: tried on docker compose 2.26, quadlet
of podman 5.4 and systemd 257."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from capadvise.cli import main
from capadvise.config import recognise
from capadvise.config.compose import file as compose
from capadvise.config.compose.files import named_by_env as named_together
from capadvise.config.declared import Exposure
from capadvise.config.quadlet import file as quadlet
from capadvise.config.systemd import file as systemd
from capadvise.config.units.names import called_after, drop_in_folders
from capadvise.gate import installed as gate_installed
from capadvise.gate.gathering import paths_of, projects

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(files: dict[str, str]) -> None:
    for path, text in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)


def errors(capsys: Out, *argv: str) -> tuple[int, list[str]]:
    """The exit code, and the rules of the errors."""
    status = main(["check", *argv, "--format", "json"])
    answer: Any = json.loads(capsys.readouterr().out)
    return status, [
        finding["rule"]
        for file in answer["files"]
        for service in file["services"]
        for finding in service["findings"]
        if finding["severity"] == "error"
    ]


# ------------------------------------------------------------------------------ drop-ins


@pytest.mark.parametrize(
    ("unit", "stems"),
    [
        ("a-b-c.service", "a-b-c a-b- a-"),
        ("a--b.service", "a--b a-- a-"),
        ("a-b@.service", "a-b@ a-"),
        ("a-b@x-y.service", "a-b@x-y a-b@ a- a-@x-y a-@"),
        ("a-b-c.container", "a-b-c a-b- a-"),
        ("a-b@x.container", "a-b@x a-b@ a-@ a-"),
    ],
)
def test_drop_ins_lie_where_the_reader_looks(unit: str, stems: str) -> None:
    ending = unit[unit.rindex(".") :]
    expected = [f"{stem}{ending}.d" for stem in stems.split()]
    assert list(drop_in_folders(unit)) == [*expected, f"{ending[1:]}.d"]


def test_a_linked_folder_of_drop_ins_is_followed(capsys: Out) -> None:
    write(
        {
            "units/web.service": "[Service]\nCapabilityBoundingSet=\n",
            "common/1.conf": "[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN\n",
        }
    )
    os.symlink("../common", "units/web.service.d")
    assert errors(capsys, "units") == (1, ["root-equivalent"])


def test_a_drop_in_that_is_masked_takes_nothing_away(capsys: Out) -> None:
    write(
        {
            "web.service": "[Service]\nAmbientCapabilities=CAP_SYS_ADMIN\n",
            "service.d/1.conf": "[Service]\nCapabilityBoundingSet=\nAmbientCapabilities=\n",
        }
    )
    assert errors(capsys, ".") == (0, [])
    os.mkdir("web.service.d")
    os.symlink(os.devnull, "web.service.d/1.conf")
    assert errors(capsys, ".") == (1, ["root-equivalent"])


def test_the_drop_ins_of_an_instance_change_its_template(capsys: Out) -> None:
    write(
        {
            "web@.service": "[Service]\nPrivateUsers=yes\nCapabilityBoundingSet=CAP_SYS_ADMIN\n",
            "web@a.service.d/1.conf": "[Service]\nPrivateUsers=no\n",
            "other@a.service.d/1.conf": "[Service]\nPrivateUsers=no\n",
        }
    )
    assert errors(capsys, ".") == (1, ["root-equivalent"])
    paths = ["web@.service", "web@a.service.d/1.conf", "other@a.service.d/1.conf"]
    assert projects(paths) == [[paths[0]], paths[:2], paths[2:]]
    assert called_after(paths[:2]) == "web@a.service"


# ------------------------------------------------------------------------------ folders


def test_a_folder_that_cannot_be_read_is_no_pass(place: Path) -> None:
    write({"compose.yaml": "services: {}\n", "closed/a": "", "names/compose.yaml": ""})
    os.chmod("closed", 0)
    os.chmod("names", 0o444)
    code = "import sys; from capadvise.cli import main; sys.exit(main(['check', '.']))"
    argv = [sys.executable, "-c", code]
    if os.geteuid() == 0:
        without = "-dac_override,-dac_read_search"
        argv = ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}", *argv]
    answer = subprocess.run(argv, capture_output=True, text=True, check=False)
    os.chmod("closed", 0o755)
    os.chmod("names", 0o755)
    assert answer.returncode == 2
    for path in ("./closed", "./names/compose.yaml"):
        assert f"error: {path}: Permission denied" in answer.stderr


def test_a_closed_folder_of_drop_ins_is_told(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    write({"web.service": "[Service]\nCapabilityBoundingSet=\n", "web.service.d/1": ""})
    assert main(["check", "web.service"]) == 0
    assert "not judged" not in capsys.readouterr().out
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert main(["check", "web.service", "--strict"]) == 1
    assert "not judged: web.service.d was not named" in capsys.readouterr().out
    monkeypatch.setattr(gate_installed, "UNIT_PATH", ["."])
    assert main(["check", "--installed"]) == 2


def test_what_is_in_a_folder_is_listed_once() -> None:
    write({"a/b.yaml": "", "a/web.service.d/1.conf": "", "a/x.txt": ""})
    os.symlink("nothing", "a/c.yaml")
    os.symlink("/dev/null", "a/d.yaml")
    assert [path for path, _ in paths_of(["a"])] == ["a/b.yaml", "a/web.service.d/1.conf"]


def test_braces_in_a_comment_make_no_template(capsys: Out) -> None:
    """What is refused was a warning then, and kubectl ran it privileged."""
    spec = "{containers: [{name: c, image: x, securityContext: {privileged: true}}]}"
    write({"p.yaml": f"# {{{{ }}}} \u2028\nkind: Pod\nspec: {spec}\n"})
    assert main(["check", "."]) == 2
    assert "p.yaml: line 1: ambiguous: a line end" in capsys.readouterr().err


def test_a_template_that_is_yaml_is_one_where_helm_reads_it(capsys: Out) -> None:
    manifest = "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: {{ .Values.a }}}]}\n"
    write({"x/Chart.yaml": "name: x\n", "x/templates/a.yaml": manifest})
    assert main(["check", "x"]) == 0
    assert "not judged: x/templates/a.yaml: a template" in capsys.readouterr().out
    write({"y/templates/a.yaml": manifest})
    assert main(["check", "y"]) == 2


@pytest.mark.parametrize("key", ["pid: host", "volumes: ['/:/h']", "security_opt: [label:disable]"])
def test_an_override_of_any_name_is_found_in_a_folder(key: str, capsys: Out) -> None:
    write({"prod.yaml": f"services:\n  web:\n    {key}\n"})
    status = main(["check", ".", "--strict"])
    assert (status, "prod.yaml" in capsys.readouterr().out) == (1, True)
    write({"prod.yaml": "services: {App/Mailer: {arguments: [a], tags: [b]}}\n"})  # Symfony's
    main(["check", "."])
    assert "1 file of other kinds skipped" in capsys.readouterr().out


def test_exceptions_do_not_care_how_the_folder_was_named(capsys: Out) -> None:
    write(
        {
            "ci/compose.yaml": "services: {dind: {image: x, cap_drop: [ALL], privileged: true}}\n",
            "accepted": "exceptions: [{rule: privileged, what: privileged, path: ci/*.yaml, "
            f"owner: me, reason: ci, expires: {date.today()}}}]\n",
        }
    )
    for path in (".", "ci", "./ci/compose.yaml"):
        assert main(["check", path, "--strict", "--exceptions", "accepted"]) == 0


# ------------------------------------------------------------------------------ compose


@pytest.mark.parametrize(
    ("paths", "groups"),
    [
        (
            ["compose.yaml", "docker-compose.override.yml"],
            ["compose.yaml docker-compose.override.yml"],
        ),
        (
            ["compose.override.yaml", "compose.override.yml", "compose.yaml"],
            [
                "compose.yaml compose.override.yml",
                "compose.yaml compose.override.yml compose.override.yaml",
            ],
        ),
        (
            ["compose.override.yaml", "compose.yaml", "docker-compose.override.yml"],
            [
                "compose.yaml compose.override.yaml",
                "compose.yaml compose.override.yaml docker-compose.override.yml",
            ],
        ),
    ],
)
def test_one_override_is_read_by_itself(paths: list[str], groups: list[str]) -> None:
    assert [" ".join(group) for group in projects(paths, unnamed=paths)] == groups


def test_an_override_that_is_not_read_hides_nothing(capsys: Out) -> None:
    write(
        {
            "compose.yaml": "services: {a: {image: x, privileged: true}}\n",
            "compose.override.yml": "services: {a: {cap_drop: [ALL]}}\n",
            "compose.override.yaml": "services: {a: {privileged: false}}\n",
        }
    )
    for path in (".", "compose.yaml"):
        assert errors(capsys, path) == (1, ["privileged"])


@pytest.mark.parametrize(
    "setting",
    [
        "COMPOSE_FILE=./a.yaml:./b.yaml",
        "COMPOSE_FILE='a.yaml:b.yaml'",
        'COMPOSE_FILE="a.yaml:b.yaml" # both',
        "COMPOSE_FILE=a.yaml:b.yaml # both",
        "COMPOSE_FILE=a.yaml;b.yaml\nCOMPOSE_PATH_SEPARATOR=;",
    ],
)
def test_what_env_names_is_read_as_compose_does(setting: str) -> None:
    write({"a.yaml": "", ".env": f"{setting}\n"})
    assert named_together("a.yaml") == named_together("./a.yaml") == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize("before", [b"# caf\xe9\n", b"\xef\xbb\xbf"])
def test_other_bytes_in_env_hide_nothing(before: bytes) -> None:
    write({"a.yaml": ""})
    Path(".env").write_bytes(before + b"COMPOSE_FILE=a.yaml:b.yaml\n")
    assert named_together("a.yaml") == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize("named", ["./compose.yaml:../more.yml", "prod.yml:../more.yml"])
def test_what_env_names_is_judged_with_it(named: str, capsys: Out) -> None:
    first = named.partition(":")[0].removeprefix("./")
    write(
        {
            f"a/{first}": "services: {web: {image: x, cap_drop: [ALL]}}\n",
            "a/.env": f"COMPOSE_FILE={named}\n",
            "more.yml": "services: {web: {privileged: true}}\n",
        }
    )
    for path in ("a", f"a/{first}", f"./a/{first}"):
        assert errors(capsys, path) == (1, ["privileged"])


def test_where_env_names_files_no_override_is_read(capsys: Out) -> None:
    write(
        {
            "compose.yaml": "services: {a: {image: x, privileged: true}}\n",
            "compose.override.yaml": "services: {a: {cap_drop: [ALL], privileged: false}}\n",
        }
    )
    assert errors(capsys, ".") == (0, [])
    write({".env": "COMPOSE_FILE=compose.yaml\n"})
    for path in (".", "compose.yaml"):
        assert errors(capsys, path) == (1, ["privileged"])


@pytest.mark.parametrize(
    ("read_only", "writable"),
    [("true", False), ("false", True), ("${RO}", True), ("${RO:-no}", True), ("${RO:-yes}", False)],
)
def test_a_variable_does_not_make_a_mount_read_only(read_only: str, writable: bool) -> None:
    mount = f"{{type: bind, source: /etc, target: /e, read_only: '{read_only}'}}"
    (service,) = compose.read(f"services: {{a: {{image: x, volumes: [{mount}]}}}}\n")
    assert service.exposes(Exposure.SYSTEM_FOLDER) is writable


@pytest.mark.parametrize(
    ("service", "more"),
    [
        ("volumes: ['${DATA:-./data}:/data']", ""),
        ("volumes: [data:/data]", "volumes: {data: {driver_opts: {device: $DATA, o: bind}}}"),
        ("secrets: [s]", "secrets: {s: {file: '${DATA}'}}"),
        ("network_mode: '${MODE:-none}'", ""),
    ],
)
def test_variables_of_all_that_is_judged_are_resolved(service: str, more: str) -> None:
    assert compose.uses_variables(f"services: {{a: {{image: x, {service}}}}}\n{more}\n")


def test_other_variables_need_no_docker() -> None:
    text = "services: {a: {image: $IMAGE, environment: {A: $A}, volumes: ['./d:/d']}}\n"
    assert not compose.uses_variables(text)


def test_what_a_named_volume_is_can_depend_on_a_variable() -> None:
    volumes = "volumes: {data: {driver_opts: {device: $DATA, o: bind}}}"
    (service,) = compose.read(f"services: {{a: {{image: x, volumes: [data:/d]}}}}\n{volumes}\n")
    assert [said for said, _ in service.variables] == ["$DATA"]


def test_who_joins_a_service_is_where_that_is() -> None:
    """NET_ADMIN in the host's network is root-equivalent, also by way of another service."""
    text = (
        "services:\n  a: {image: x, network_mode: 'service:b', pid: 'service:c'}\n"
        "  b: {image: x, network_mode: 'service:c', ipc: 'service:b'}\n"
        "  c: {image: x, network_mode: host, ipc: 'service:d'}\n"
        "  d: {image: x, ipc: 'service:c'}\n"
    )
    exposed = {each.service: [item.kind for item in each.exposed] for each in compose.read(text)}
    assert exposed == {
        "a": [Exposure.SHARED_PROCESSES, Exposure.HOST_NETWORK],
        "b": [Exposure.HOST_NETWORK],
        "c": [Exposure.HOST_NETWORK],
        "d": [],
    }


# ------------------------------------------------------------------------------ own users


@pytest.mark.parametrize(
    ("lines", "own"),
    [
        ("UserNS=auto", True),
        ("UserNS=host\nUserNS=auto", True),
        ("UserNS=auto\nUserNS=host", False),
        ("UserNS=auto\nPodmanArgs=--userns=host", False),
        ("UserNS=auto\nPodmanArgs=--userns host", False),
        ("UserNS=host\nPodmanArgs=--userns=auto", True),
        ("PodmanArgs=--userns=auto --userns=host", False),
        ("PodmanArgs=--userns=auto --userns=host --userns=auto", True),
    ],
)
def test_the_last_user_namespace_counts(lines: str, own: bool) -> None:
    (read,) = quadlet.read(f"[Container]\nImage=x\n{lines}\n")
    assert read.exposes(Exposure.OWN_USERS) is own


@pytest.mark.parametrize(
    ("lines", "own"),
    [("ye", False), ("Self", False), ("self", True), ("yes\nPrivateUsers=ye", True)],
)
def test_a_private_users_that_systemd_does_not_know_is_none(lines: str, own: bool) -> None:
    (read,) = systemd.read(f"[Service]\nExecStart=/bin/x\nPrivateUsers={lines}\n")
    assert read.exposes(Exposure.OWN_USERS) is own


# ------------------------------------------------------------------------------ quadlet


@pytest.mark.parametrize(
    "mount", ["Volume=data.volume:/data", "Mount=type=volume,source=data.volume,target=/data"]
)
def test_the_volumes_of_a_quadlet_are_judged_with_it(mount: str, capsys: Out) -> None:
    write(
        {
            "web.container": f"[Container]\nImage=x\nDropCapability=all\n{mount}\n",
            "data.volume": "[Volume]\nDevice=/etc\nType=none\nOptions=bind\n",
        }
    )
    assert errors(capsys, "web.container") == (1, ["host-folder"])
    os.remove("data.volume")
    assert main(["check", "web.container"]) == 0
    assert "not judged: data.volume, which it names, could not be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "SeccompProfile=open.json",
        "PodmanArgs=--security-opt seccomp=open.json",
        "SeccompProfile=unconfined",
        "AppArmor=unconfined",
    ],
)
def test_a_quadlet_without_a_filter_is_told(line: str, capsys: Out) -> None:
    write(
        {
            "web.container": f"[Container]\nImage=x\nDropCapability=all\n{line}\n",
            "open.json": '{"defaultAction": "SCMP_ACT_ALLOW"}',
        }
    )
    assert main(["check", "web.container"]) == 0
    assert "[unconfined]" in capsys.readouterr().out
    write({"open.json": '{"defaultAction": "SCMP_ACT_ERRNO"}'})
    assert main(["check", "web.container", "--strict"]) == ("unconfined" in line)
    os.remove("open.json")  # it is not judged then
    assert main(["check", "web.container", "--strict"]) == 1


# ------------------------------------------------------------------------------ units, bundles


@pytest.mark.parametrize(
    ("command", "user"),
    [("/x", "a"), ("!/x", None), ("-!/x", None), ("!!/x", "a"), ("/x ; !/y", None), ("/x !", "a")],
)
def test_a_command_can_keep_root(command: str, user: str | None) -> None:
    (read,) = systemd.read(f"[Service]\nUser=a\nExecStart={command}\n")
    assert read.user == user


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("b/config.json", '{"process": {"args": ["sh"]}}', "oci"),
        ("b/config.json", '{"Process": {"Capabilities": {}}}', "oci"),
        ("b/config.json", '{"ociversion": "1.0"}', "oci"),
        ("b/config.json", '{"process": "fast", "args": []}', None),
        ("b/config.json", '{"process": {"limit": 5}}', None),
        ("b/other.json", '{"process": {"args": ["sh"]}}', None),
    ],
)
def test_a_bundle_need_not_say_its_version(path: str, text: str, kind: str | None) -> None:
    """Not for runc, at least."""
    language = recognise(path, text)
    assert (language and language.name) == kind


@pytest.mark.parametrize("line", ["SupplementaryGroups=a docker", "Group=disk"])
def test_a_group_that_controls_the_host_does_so_for_any_user(line: str, capsys: Out) -> None:
    write({"web.service": f"[Service]\nCapabilityBoundingSet=\nDynamicUser=yes\n{line}\n"})
    assert errors(capsys, "web.service")[0] == 1


def test_what_stands_twice_is_found_at_both_lines(capsys: Out) -> None:
    """An exception for the second accepted nothing."""
    socket = "/var/run/docker.sock"
    accept = "# capadvise: accept control-socket, reason: it is watched"
    write(
        {
            "compose.yaml": "services:\n  a:\n    image: x\n    cap_drop: [ALL]\n    volumes:\n"
            f"      - {{type: bind, source: {socket}, target: /a}} {accept}\n"
            f"      - {{type: bind, source: {socket}, target: /b}} {accept}\n"
        }
    )
    assert main(["check", "compose.yaml", "--strict"]) == 0
    main(["check", "compose.yaml", "--no-inline", "--format", "github"])
    out = capsys.readouterr().out
    assert "line=6," in out
    assert "line=7," in out


def test_configurations_of_other_programs_are_skipped(capsys: Out) -> None:
    """One nginx.conf in a repository, and the check of its folder ended with exit code 2."""
    write({"nginx.conf": "events {\n}\nhttp {\n  log_format a '$b';\n}\n"})
    write({"my.conf": "[mysqld]\nuser = mysql\n", "pg_hba.conf": "local  all  all  peer\na b\n"})
    write({"a.service": "[Service]\nExecStart=/bin/true\nCapabilityBoundingSet=\n"})
    assert main(["check", ".", "--strict"]) == 0
    assert "3 files of other kinds skipped" in capsys.readouterr().out
    assert main(["check", "nginx.conf"]) == 2


def test_a_drop_in_is_one_wherever_it_lies(capsys: Out) -> None:
    """A deployment copies it to its place. It does not change a unit beside it."""
    write({"deploy/a.conf": "# of ours\n[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN\n"})
    write({"deploy/a.service": "[Service]\nExecStart=/bin/a\nCapabilityBoundingSet=\n"})
    assert main(["check", "deploy"]) == 1
    said = capsys.readouterr().out
    assert "deploy/a.conf" in said
    assert "SYS_ADMIN [root-equivalent]" in said
    write({"deploy/a.service": "[Service]\nExecStart=/bin/a\n"})
    write({"deploy/a.conf": "[Service]\nCapabilityBoundingSet=\n"})
    assert main(["check", "deploy", "--strict"]) == 1
