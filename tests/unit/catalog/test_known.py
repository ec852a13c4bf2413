"""Programs that were proven before: what they are found by, how they are shown, what check says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from capadvise.catalog import default
from capadvise.catalog.known import Known
from capadvise.catalog.known_index import KnownIndex, other_version, repository, tag
from capadvise.cli import main
from capadvise.config import LANGUAGES
from capadvise.config.snippet_from import known_snippet
from capadvise.model.caps import parse_set
from capadvise.model.errors import BadInput
from capadvise.report.known_text import known_text
from tests.generate.facts.known import parse_program
from tests.proven.index import index
from tests.proven.run import PROGRAMS, differences, names, programs, ways
from tests.support.readers import DECLARED, read

KNOWN = default().known
NGINX = KNOWN.program("nginx")


@pytest.mark.parametrize(
    ("reference", "name", "version"),
    [
        ("nginx", "nginx", ""),
        ("nginx:1.27", "nginx", "1.27"),
        ("library/nginx", "nginx", ""),
        ("docker.io/library/nginx:1.27-alpine@sha256:ab", "nginx", "1.27-alpine"),
        ("index.docker.io/bitnami/redis:8", "bitnami/redis", "8"),
        ("localhost:5000/nginx", "localhost:5000/nginx", ""),
        ("localhost:5000/nginx:1", "localhost:5000/nginx", "1"),
        ("docker://docker.io/library/nginx:1", "nginx", "1"),
        ("docker-daemon:nginx:1.27", "nginx", "1.27"),
        ("registry-1.docker.io/library/nginx", "nginx", ""),
        ("mirror.gcr.io/library/nginx:1", "nginx", "1"),
        ("public.ecr.aws/docker/library/nginx", "nginx", ""),
        ("public.ecr.aws/team/nginx", "public.ecr.aws/team/nginx", ""),
        ("registry.example:5000/team/nginx@sha256:ab", "registry.example:5000/team/nginx", ""),
        ("registry.example/library/nginx", "registry.example/library/nginx", ""),
        ("docker.io.example.org/nginx", "docker.io.example.org/nginx", ""),
        ("", "", ""),
    ],
)
def test_references(reference: str, name: str, version: str) -> None:
    assert (repository(reference), tag(reference)) == (name, version)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("redis", "redis"),
        ("redis-server", "redis"),
        ("redis-server.service", "redis"),
        ("/usr/lib/systemd/system/redis-server.service", "redis"),
        ("redis-server@one.service", "redis"),
        ("redis-server=5:8.0.2-3", "redis"),
        ("redis-server:amd64", "redis"),
        ("mariadbd", "mariadb"),
        ("/usr/sbin/mariadbd", "mariadb"),
        ("redis-server8", "redis"),
        ("redis8.0-server", "redis"),
        ("redis@sha256:ab", "redis"),
        ("bitnami/redis:7", "redis"),
        ("example.org/redis", None),
        ("redis:5000/team/web", None),
        ("redis:5000/team/web:8", None),
        ("nothing", None),
        ("", None),
    ],
)
def test_what_a_program_is_found_by(word: str, found: str | None) -> None:
    program = KNOWN.find(word)
    assert (program and program.name) == found


def test_a_unit_is_found_by_its_template(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(KnownIndex(default().folder))
    monkeypatch.setattr(known.index, "raw", {"units": {"web@": "nginx"}})
    assert known.of(known.index.by_unit("web@one.service")) == NGINX


def test_every_file_is_read_and_in_the_index() -> None:
    paths = sorted(KNOWN.folder.glob("*.yaml"), key=lambda path: path.stem)
    every = tuple(parse_program(path, path.read_text(encoding="utf-8")) for path in paths)
    assert sorted(program.name for program in every) == list(KNOWN.names())
    assert index(every) == KNOWN.index.raw
    for program in every:
        for variant in program.variants:
            assert variant.minimal <= variant.recommended
            assert {need.cap for need in variant.needs} == variant.recommended


def test_every_row_is_made_of_a_workload_that_is_there() -> None:
    wanted = yaml.safe_load(PROGRAMS.read_text())
    for name in KNOWN.names():
        said = [variant.workload for variant in KNOWN.program(name).variants]
        assert said == [way.workload for way in ways(wanted[name])], name
    assert programs(["nginx"]).keys() == {"nginx"}


def test_every_row_has_the_names_and_the_sets_of_others_that_programs_yaml_says() -> None:
    """``python -m tests.proven.run --names`` brings rows up to date."""
    wanted = programs()
    for path in sorted(KNOWN.folder.glob("*.yaml")):
        row = yaml.load(path.read_text(), yaml.CSafeLoader)
        said = names(path.stem, wanted[path.stem])
        assert {key: row.get(key) for key in said} == said, path.stem
        assert ("published" in row) == ("published" in said), path.stem


def test_the_sets_of_others_are_explained_where_they_differ() -> None:
    wanted = [name for name, program in programs().items() if "published" in program]
    assert len(wanted) >= 10
    for program in map(KNOWN.program, KNOWN.names()):
        for one in program.published:
            assert one.variant in ("", *(each.name for each in program.variants)), program.name
            same = one.caps == program.beside(one).minimal
            assert same or one.difference, (program.name, one.what)


@pytest.mark.parametrize(
    ("caps", "said"),
    [
        ("CHOWN SETGID SETUID NET_BIND_SERVICE", "The minimal set here is the same."),
        ("CHOWN SETGID SETUID NET_BIND_SERVICE KILL", "Beyond the minimal set here: KILL. Why."),
        ("SETGID SETUID NET_BIND_SERVICE", "Without CHOWN of the minimal set here. Why."),
    ],
)
def test_what_others_publish_is_shown(caps: str, said: str) -> None:
    listed = [f"CAP_{name}" for name in caps.split()]
    wanted = {"what": "a unit", "caps": listed, "source": "somewhere", "difference": "Why."}
    raw = yaml.safe_load(_text()) | {"published": [wanted]}
    raw["variants"] = raw["variants"][:1]
    text = "\n".join(
        known_text(parse_program(Path("nginx.yaml"), yaml.safe_dump(raw)), "nginx", default())
    )
    assert f"{said} Source: somewhere" in " ".join(text.split())


def test_one_name_stands_for_one_program() -> None:
    other = parse_program(Path("other.yaml"), _text(name="other"))
    with pytest.raises(BadInput, match="nginx-light: it stands for both nginx and other"):
        index((NGINX, other))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "another", "the name must be that of the file"),
        ("variants", [], "'variants' must be a list"),
        ("images", "nginx", "'images' must be a list of texts"),
        ("colour", "blue", "unknown key 'colour'"),
    ],
)
def test_files_that_are_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        parse_program(Path("nginx.yaml"), _text(**{key: value}))


def _text(**other: object) -> str:
    path = KNOWN.folder / "nginx.yaml"
    return yaml.safe_dump({**yaml.safe_load(path.read_text()), **other})


def test_what_has_changed_since_is_said() -> None:
    made = yaml.safe_load((KNOWN.folder / "nginx.yaml").read_text())
    assert list(differences(made)) == []
    made["variants"][0]["minimal"] = ["CAP_SETUID"]
    (said,) = differences(made)
    assert said.startswith("nginx, port 80, workers as www-data: minimal: ['CAP_CHOWN', ")
    assert said.endswith("before, ['CAP_SETUID'] now")


def test_one_program_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["known", "library/nginx:99.1"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"The proof is for nginx {NGINX.upstream}, not for 99.1." in text
    assert text.startswith("nginx needs CHOWN, SETGID, SETUID, NET_BIND_SERVICE (4; docker grants")
    assert main(["known", "nginx", "-v"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "minimal set: CHOWN, SETGID, SETUID, NET_BIND_SERVICE" in text
    assert "only at the first start; without it: the workload fails" in text
    assert main(["known", "bitnami/redis"]) == 0
    assert "bitnami/redis starts it as another user than" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tag_", "is_proven"),
    [
        (NGINX.upstream, True),
        (f"{NGINX.upstream}-alpine", True),
        (NGINX.upstream.rpartition(".")[0], True),
        (NGINX.upstream.partition(".")[0], True),
        (f"{NGINX.upstream}0", False),
        (f"{NGINX.upstream[0]}.", False),
        ("latest", True),
        ("${TAG}", True),
    ],
)
def test_which_version_a_tag_names(tag_: str, is_proven: bool) -> None:
    assert (other_version("nginx", NGINX.version, f"nginx:{tag_}") is None) is is_proven


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("php8.4-fpm", None),
        ("php8.2-fpm", "The proof is for php 8.4.11, not for 8.2."),
        ("php=2:8.4.11-1", None),
        ("php=8.4.11-1", None),
        ("php=8.4.11-2", "The proof is for php 2:8.4.11-1, not for 8.4.11-2."),
        ("php=8.4", None),
        ("php=8.3", "The proof is for php 8.4.11, not for 8.3."),
        ("php:8.3-fpm@sha256:00", "The proof is for php 8.4.11, not for 8.3."),
        ("php@sha256:00", None),
        ("php", None),
        ("php4", None),
        ("php-7", "The proof is for php 8.4.11, not for 7."),
        ("php.service", None),
        ("php@7.service", None),
        ("team:5000/php", None),
    ],
)
def test_what_is_not_the_proven_version_is_said(word: str, said: str | None) -> None:
    assert other_version("php", "2:8.4.11-1", word) == said


def test_an_image_that_is_only_called_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    word = "registry.example:5000/team/nginx:99\x1b"
    said = "registry.example:5000/team/nginx is not nginx or "
    assert main(["known", word]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert said in text
    assert "it is only called like nginx, and may differ." in text
    assert "not for 99" not in text  # a tag of others
    assert main(["known", word, "--format", "docker"]) == 0
    assert f"note: {said}" in capsys.readouterr().err
    assert main(["known", "team/no-such-program"]) == 2


def test_a_hostile_tag_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["known", "nginx:9\x1b[31m"]) == 0
    assert "not for 9\\x1b[31m." in capsys.readouterr().out


def test_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["known"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == set(KNOWN.names())


def test_what_is_unknown_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["known", "no-such\x1b"]) == 2
    assert "no set is known for 'no-such\\x1b'" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_set_in_every_language(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the gate's own reader finds in it is the set."""
    assert main(["known", "nginx", "--format", name]) == 0
    text = capsys.readouterr().out
    (declared, *_) = read(name, text)
    assert parse_set(declared.add) == NGINX.variants[0].recommended
    assert "proven on" in text or name == "oci"


def test_one_of_several_variants(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["known", "redis", "--format", "docker"]) == 0
    asked = capsys.readouterr()
    assert "redis was proven in 4 variants" in asked.err
    assert "--cap-add=SETUID" in asked.out
    assert main(["known", "redis", "--format", "docker", "--variant", "as ROOT"]) == 0
    assert "--cap-add" not in capsys.readouterr().out
    assert main(["known", "redis", "--format", "docker", "--variant", "blue"]) == 2
    assert "no variant of redis is called 'blue'" in capsys.readouterr().err


def test_a_variant_that_another_user_starts() -> None:
    """Its set is rendered for that user, and no container that root starts lacks it."""
    raw = yaml.safe_load((KNOWN.folder / "nginx.yaml").read_text())
    raw["variants"] = raw["variants"][:1]
    raw["variants"].append({**raw["variants"][0], "name": "by a user", "user": "www-data"})
    program = parse_program(Path("nginx.yaml"), yaml.safe_dump(raw))
    by_root, by_user = program.variants
    assert (by_root.user, by_user.user) == ("root", "www-data")
    assert "started by: www-data" in " ".join(known_text(program, "nginx", default()))
    snippet = known_snippet(program, by_user, set_name="minimal")
    assert "AmbientCapabilities=CAP_CHOWN" in LANGUAGES["systemd"].render(snippet)
    raw["variants"] = raw["variants"][1:]
    assert parse_program(Path("nginx.yaml"), yaml.safe_dump(raw)).common == frozenset()


def test_an_image_of_another_user_gets_the_variant_of_such_a_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = yaml.safe_load(_text())
    (first, *_) = raw["variants"]
    of_user = {**first, "name": "by a user", "user": "www-data", "minimal": [], "recommended": []}
    raw["variants"] = [{**first, "name": "by root"}, {**of_user, "needs": []}]
    program = parse_program(Path("nginx.yaml"), yaml.safe_dump(raw))
    monkeypatch.setitem(KNOWN._read, "nginx", program)
    assert main(["known", "bitnami/nginx:1", "--format", "docker"]) == 0
    asked = capsys.readouterr()
    assert "this is: by a user" in asked.err
    assert "--cap-add" not in asked.out
    assert "--user" not in asked.out  # it is the image's own, by whatever name
    assert main(["known", "nginx", "--variant", "by a user", "--format", "docker"]) == 0
    assert "--user=www-data" in capsys.readouterr().out
    assert main(["known", "nginx:1", "--format", "docker"]) == 0
    assert "this is: by root" in capsys.readouterr().err
    text = " ".join(" ".join(known_text(program, "bitnami/nginx", default())).split())
    assert "of the variants below, those with a user are for it." in text
    raw["variants"] = raw["variants"][:1]
    root_alone = parse_program(Path("nginx.yaml"), yaml.safe_dump(raw))
    text = " ".join(" ".join(known_text(root_alone, "bitnami/nginx", default())).split())
    assert "what follows is for a start as root." in text


COMPOSE = """
services:
  web:
    image: nginx:99
    cap_drop: [ALL]
    cap_add: [{caps}]
    {more}
"""


@pytest.mark.parametrize(
    ("caps", "more", "said"),
    [
        ("CHOWN, SETGID, SETUID, NET_BIND_SERVICE", "", ""),
        ("CHOWN, SETGID, SETUID, NET_BIND_SERVICE, KILL", "", "this service also holds KILL"),
        ("CHOWN, SETUID, NET_BIND_SERVICE", "", ""),  # its image may start as another user
        ("CHOWN, SETUID, NET_BIND_SERVICE", "user: root", "this service lacks SETGID"),
        (
            "CHOWN, SETUID, SYS_TIME",
            'user: "0:0"',
            "holds SYS_TIME and lacks SETGID.",  # low ports are open in docker's networks
        ),
        ("CHOWN, SETGID, SETUID", "user: root", ""),
        (
            "CHOWN, SETGID, SETUID",
            "user: root\n    network_mode: host",
            "this service lacks NET_BIND_SERVICE",
        ),
        ("", 'user: "33"', ""),
        ("", "privileged: true", "this service also holds 35 others, "),
    ],
)
def test_services_without_a_report(
    caps: str, more: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(COMPOSE.format(caps=caps, more=more))
    main(["check", str(path), "--format", "github"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "known-needs" in line]
    assert len(lines) == bool(said)
    for line in lines:
        assert line.startswith("::notice file=")
        assert said in line
        assert f"The proof is for nginx {NGINX.upstream}, not for 99." in line


def test_the_remedy_of_a_service_that_drops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text("services: {a: {image: nginx}, b: {image: redis}, c: {image: mine}}\n")
    main(["check", str(path)])
    text = " ".join(capsys.readouterr().out.split())
    assert "known-needs" not in text
    assert text.count("[no-drop-all]") == 1  # of all three
    assert "→ a: The image name suggests nginx." in text
    assert "→ b: The image name suggests redis." in text
    assert "`capadvise known nginx` shows the proof." in text
    main(["check", str(path), "--format", "json"])
    (file,) = json.loads(capsys.readouterr().out)["files"]
    remedies = [service["findings"][0]["remedy"] for service in file["services"]]
    assert ["known nginx" in remedies[0], "known" in remedies[2]] == [True, False]


def test_a_unit_without_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nginx.service"
    path.write_text("[Service]\nExecStart=/usr/sbin/nginx\nCapabilityBoundingSet=CAP_SYS_TIME\n")
    main(["check", str(path), "--format", "github"])
    assert "this service also holds SYS_TIME." in capsys.readouterr().out


def test_a_unit_that_only_starts_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "supervisor.service"
    path.write_text("[Service]\nExecStart=/usr/bin/supervisord -n\n")
    assert KNOWN.index.by_unit("supervisor") is not None
    main(["check", str(path), "--format", "github"])
    assert "known-needs" not in capsys.readouterr().out


def test_an_image_of_another_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(COMPOSE.format(caps="KILL", more="").replace("nginx:99", "bitnami/nginx"))
    main(["check", str(path), "--format", "github"])
    assert "known-needs" not in capsys.readouterr().out


PRINTED = re.compile(r"^ {2}- (?:command|works if).*:\n((?: {6}.*\n?)+)", re.MULTILINE)


def test_commands_are_printed_as_they_are_typed() -> None:
    """Each of them parses, line by line as it stands there, and says what the file says."""
    known = default().known
    scripts = []
    for name in known.names():
        program = known.program(name)
        printed = PRINTED.findall("\n".join(known_text(program, name, default())) + "\n")
        assert len(printed) == 2 * len(program.variants), name
        said = [text for one in program.variants for text in (one.command, one.check)]
        for shown, text in zip(printed, said, strict=True):
            lines = [line[6:] for line in shown.splitlines()]
            assert [line for line in lines if line != "W=$PWD"] == text.splitlines(), name
            assert ("W=$PWD" in lines) is ("$W" in text), name
            scripts.append(shown)
    together = "".join(f"f{number}() {{\n{text}\n}}\n" for number, text in enumerate(scripts))
    assert len(scripts) > 100
    done = subprocess.run(["bash", "-n"], input=together, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_notes_are_of_this_image_alone() -> None:
    """The official image starts nginx as root: no note asks for that."""
    program = default().known.program("nginx")
    snippet = known_snippet(program, program.variants[0], set_name="recommended", asked="nginx")
    text = LANGUAGES["compose"].render(snippet)
    assert "if the image sets another user" not in text
    assert "containerd" not in text
    kubernetes = LANGUAGES["kubernetes"].render(snippet)
    assert "docker" not in kubernetes
