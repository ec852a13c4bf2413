"""Files of other tools that start containers: what gives power is found, in each of them, and
what people usually write stays quiet."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capadvise.cli import main
from capadvise.config.foreign.file import meant, read
from capadvise.config.foreign.trees import EXPRESSION, roots
from capadvise.config.yaml.tree import Mapping, Node, Scalar, Sequence
from capadvise.model.errors import BadInput

FOLDER = Path(__file__).parent / "foreign"
HOSTILE = sorted(each for each in (FOLDER / "hostile").rglob("*") if each.is_file())
HONEST = sorted(each for each in (FOLDER / "honest").rglob("*") if each.is_file())
Out = pytest.CaptureFixture[str]


def findings(capsys: Out, *arguments: str) -> list[dict[str, Any]]:
    main(["check", "--format", "json", *arguments])
    files = json.loads(capsys.readouterr().out)["files"]
    return [item for file in files for each in file["services"] for item in each["findings"]]


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_privileged_container_fails(path: Path, capsys: Out) -> None:
    found = findings(capsys, str(path))
    lines = path.read_text().splitlines()
    first = next(item["line"] for item in found if item["rule"] == "privileged")
    assert "rivileged" in lines[first - 1]


@pytest.mark.parametrize("path", HONEST, ids=lambda path: str(path.relative_to(FOLDER)))
def test_what_people_write_is_quiet(path: Path, capsys: Out) -> None:
    assert main(["check", "--strict", str(path)]) == 0
    assert "nothing found" in capsys.readouterr().out or read(path.read_text(), str(path))


def test_a_folder_of_them_does_not_pass(capsys: Out) -> None:
    assert main(["check", str(FOLDER / "hostile")]) == 1
    assert main(["check", "--strict", str(FOLDER / "honest")]) == 0
    assert f"{len(HONEST)} files" in capsys.readouterr().out


TF = 'resource "docker_container" "web" {{\n  image = "x"\n  {}\n}}\n'
POD = (
    'resource "kubernetes_pod" "p" {{\n  spec {{\n    container {{\n      name = "c"\n{}\n'
    "    }}\n  }}\n}}\n"
)
CONTEXT = "      security_context {{\n        privileged = {}\n      }}"
JOB = "jobs:\n  a:\n    runs-on: x\n    container:\n      image: x\n      {}\n"
TASK = (
    "- hosts: all\n  tasks:\n    - docker_container:\n        name: web\n"
    "        image: x\n        {}\n"
)


@pytest.mark.parametrize(
    ("path", "text", "rule"),
    [
        ("a.tf", TF.format("privileged = true"), "privileged"),
        ("a.tf", TF.format('privileged = "true"'), "privileged"),
        ("a.tf", TF.format("privileged = true # not = false"), "privileged"),
        ("a.tf", TF.format("/* } */ privileged = true"), "privileged"),
        ("a.tf", TF.format('command = ["/*"]\n  privileged = true'), "privileged"),
        ("a.tf", TF.format('env = ["A=#"]\n  privileged = true'), "privileged"),
        ("a.tf", TF.format('env = ["${f("}")}", "$${"]\n  privileged = true'), "privileged"),
        ("a.tf", TF.format("labels = <<E\n}\nE\n  privileged = true"), "privileged"),
        ("a.tf", TF.format('dynamic "capabilities" {\ncontent {\nadd = ["ALL"]\n}\n}'), "add-all"),
        ("a.tf", TF.format("privileged = var.a ? true : false"), "not-judged"),
        ("a.tf", TF.format("privileged = true ? true : false"), "not-judged"),
        ("a.tf", TF.format("privileged = !false"), "not-judged"),
        ("a.tf", TF.format('pid_mode = "${var.a}"'), "not-judged"),
        ("a.tf", TF.format("capabilities {\n add = var.caps\n }"), "not-judged"),
        ("a.tf", TF.format('runtime = "x"'), "not-judged"),
        ("a.tf", TF.format('something_new = "x"'), "not-judged"),
        ("a.tf", POD.format(CONTEXT.format("true")), "privileged"),
        ("a.tf", POD.format(CONTEXT.format('"true"')), "privileged"),
        ("a.tf", POD.format(CONTEXT.format("var.x")), "not-judged"),
        ("a.tf", 'module "m" {\n  args = merge(local.x, { privileged = true })\n}\n', "not-judged"),
        (
            "a.tf.json",
            '{"resource": [{"docker_container": {"w": [{"image": "x", "privileged": true}]}}]}',
            "privileged",
        ),
        ("ci.yml", JOB.format("options: --privileged"), "privileged"),
        ("ci.yml", JOB.format("options: --cap-add ${{ matrix.cap }}"), "not-judged"),
        ("ci.yml", JOB.format("options: ${{ matrix.options }}"), "not-judged"),
        ("ci.yml", JOB.format("volumes: ['/:/host']"), "host-folder"),
        ("ci.yml", "jobs: {a: {runs-on: x, steps: [{run: docker run --privileged x}]}}",
         "privileged"),
        ("ci.yml", "jobs:\n a: {runs-on: x, steps: [{run: $D --privileged x}]}", "not-judged"),
        (
            "ci.yml",
            "jobs:\n a: {runs-on: x, steps: [{uses: a/b, with: {args: --privileged}}]}",
            "not-judged",
        ),
        ("ci.yml", "x: &a {image: x, options: --privileged}\njobs: {a: {uses: y, container: *a}}",
         "privileged"),
        ("tasks.yml", TASK.format("privileged: yes"), "privileged"),
        ("tasks.yml", TASK.format('privileged: "{{ p }}"'), "not-judged"),
        ("tasks.yml", TASK.format("<<: {privileged: yes}"), "privileged"),
        ("tasks.yml", "- docker_container: name=web image=x privileged=yes\n", "privileged"),
        ("tasks.yml", "- block:\n  - shell: docker run --privileged x\n", "privileged"),
        (".gitlab-ci.yml", "variables: {ARGS: --privileged}\na: {script: [make]}\n", "not-judged"),
        ("r.toml", '[[runners]]\n[runners.docker]\nprivileged = true\n', "privileged"),
        ("r.toml", '[[ runners ]]\ndocker = {privileged = true}\n', "privileged"),
        ("x.nomad", 'job "a/b" {\ntask "t" {\ndriver = "docker"\nconfig {\nprivileged = true\n}}}',
         "privileged"),
        ("x.hcl", 'job "a" {\ntask "t" {\ndriver = "docker"\nconfig {\nprivileged = var.p\n}}}',
         "not-judged"),
        ("devcontainer.json", '{"image": "x", // c\n"privileged": true,}', "privileged"),
        ("devcontainer.json", '{"a": "//", "privileged": true}', "privileged"),
        ("devcontainer.json", '{"image": "x", "runArgs": ["-v=/:/h"]}', "host-folder"),
        ("devcontainer.json", '{"image": "x", "features": {"ghcr.io/devcontainers/features/'
         'docker-from-docker:1": {}}}', "control-socket"),
        (".drone.yml", "kind: pipeline\nsteps:\n- {name: a, image: x, privileged: true}\n",
         "privileged"),
        (".woodpecker.yml", "steps: {a: {image: x, privileged: true}}\n", "privileged"),
        (".woodpecker.yml", "steps: {a: {privileged: true}}\n", "not-judged"),
        (".woodpecker.yml", "steps: [{name: a, image: x, commands: [docker run --privileged x]}]\n",
         "privileged"),
        ("azure-pipelines.yml", "resources: {containers: [{container: a, image: x, options: "
         "--privileged}]}\n", "privileged"),
        ("azure-pipelines.yml", "jobs: [{container: {image: x, options: -v /:/h}}]\n",
         "host-folder"),
        ("azure-pipelines.yml", "steps: [{bash: docker run --privileged x}]\n", "privileged"),
    ],
)  # fmt: skip
def test_power_is_found(tmp_path: Path, capsys: Out, path: str, text: str, rule: str) -> None:
    (tmp_path / path).write_text(text)
    assert rule in [item["rule"] for item in findings(capsys, str(tmp_path / path))]
    assert rule in [item["rule"] for item in findings(capsys, str(tmp_path))], "in a folder, too"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.tf", TF.format("privileged = false")),
        ("a.tf", TF.format("# privileged = true")),
        ("a.tf", TF.format('env = ["X=privileged = true"]')),
        ("a.tf", 'variable "privileged" {\n  type = bool\n  default = false\n}\n'),
        ("a.tf", 'locals {\n  (var.a) = "docker"\n  b = [for x in y : { a = x }]\n}\n'),
        ("ci.yml", JOB.format("ports: [80]")),
        ("ci.yml", "jobs:\n a: {runs-on: x, steps: [{run: 'docker run -v $PWD:/w x'}]}"),
        ("ci.yml", "jobs:\n a: {runs-on: x, steps: [{run: \"# docker run --privileged x\"}]}"),
        ("tasks.yml", TASK.format('user: "{{ uid }}"')),
        ("devcontainer.json", '{"image": "x", "customizations": {"a": {"privileged": true}}}'),
        ("devcontainer.json", '{"dockerFile": "../Dockerfile", "context": "..", "settings": {}}'),
        (".woodpecker.yml", "steps:\n- {name: a, image: x, commands: [make], environment: {A: b}, "
         "settings: {repo: a}, when: [{event: push}]}\nservices: [{name: db, image: postgres}]\n"),
        (".drone.yml", "kind: pipeline\nsteps:\n- {name: a, image: x, environment: {A: b}}\n"),
        ("azure-pipelines.yml", "resources: {containers: [{container: a, image: x}]}"
         "\nsteps: [{script: make, displayName: a}, {task: Docker@2, inputs: {repository: x}}]\n"),
        ("tasks.yml", TASK.format("log_options: {max-size: 10m}")),
    ],
)  # fmt: skip
def test_these_are_quiet(tmp_path: Path, path: str, text: str) -> None:
    (tmp_path / path).write_text(text)
    assert main(["check", "--strict", str(tmp_path / path)]) == 0


def test_a_privileged_engine_is_said_once(tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "ci.yml"
    service = "services: {e: {image: 'docker:dind', options: --privileged}}"
    path.write_text(f"jobs:\n a: {{runs-on: x, {service}}}\n")
    assert [item["rule"] for item in findings(capsys, str(path))] == ["privileged"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pyproject.toml", "[tool.docker]\na = 1\n"),
        ("broken.toml", "a = docker {{ x }}\n"),
        ("bake.hcl", 'target "docker" {\n  tags = ["x"]\n}\n'),
        ("policy.hcl", "path {{{ privileged\n"),
        ("vpc.tf", 'resource "aws_vpc" "x" {\n  a = 1\n}\n'),
        ("broken.tf", "{% if x %}\n"),
        ("values.yaml", "image: {repository: x}\nprivileged: true\n"),
        ("list.yaml", "- name: x\n  privileged: true\n"),
        ("openapi.yaml", "paths: {/x: {get: {script: a}}}\n"),
        ("data.json", '[{"command": 1}]'),
    ],
)
def test_other_programs_files_are_passed_over(
    tmp_path: Path, capsys: Out, path: str, text: str
) -> None:
    (tmp_path / path).write_text(text)
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x, cap_drop: [ALL]}}\n")
    assert main(["check", str(tmp_path)]) == 0
    assert path not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("a.tf", 'resource "docker_container" "x" {\n  a = \n  b = 1\n', "line"),
        ("a.tf", 'a { b = "x" privileged = true }', "line 1: a line end is expected before ="),
        ("a.tf", "privileged\n{", "line 1: '=' or '{' is expected here"),
        ("a.tf", "docker = " + "[" * 50_000, "nested too deeply"),
        ("r.toml", "[[runners]]\nx = [\n", "line"),
        (".gitlab-ci.yml", "a: [\n", "line"),
        ("devcontainer.json", '{"a": /* never ends', "line"),
    ],
)
def test_half_a_file_is_refused_with_its_line(
    tmp_path: Path, capsys: Out, path: str, text: str, line: str
) -> None:
    (tmp_path / path).write_text(text)
    assert main(["check", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert path in said
    assert line in said


def test_the_compose_file_of_a_development_container_is_read(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / ".devcontainer").mkdir()
    (tmp_path / "dev.yml").write_text("services: {a: {image: x, privileged: true}}\n")
    path = tmp_path / ".devcontainer" / "devcontainer.json"
    path.write_text('{"dockerComposeFile": ["../dev.yml"], "service": "a"}')
    assert "privileged" in [item["rule"] for item in findings(capsys, str(path))]
    path.write_text('{"dockerComposeFile": "../absent.yml", "service": "a"}')
    main(["check", str(path)])
    assert "absent.yml, which it names, could not be read" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_terminal_is_not_written_to(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "a.tf").write_text(TF.format('"\x1b[2J" = "\x1b[31m"\n  runtime = "\x1b[1m"'))
    assert main(["check", str(tmp_path / "a.tf")]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["a=1\n", "a = [", '"${', "<<A\n", "/*", "a {\n", "(", "f("])
def test_no_text_takes_for_ever(text: str) -> None:
    start = time.process_time()
    with suppress(BadInput):
        read("docker = 1\n" + text * 30_000, "a.tf")
    with suppress(BadInput):
        read("docker = 1\n" + text * 800_000, "a.tf")
    assert time.process_time() - start < 20


def plain(node: Node) -> Any:
    if isinstance(node, Scalar):
        return node.value if node.tag != EXPRESSION else f"<{node.value}>"
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return [(plain(key), plain(value)) for key, value in node.pairs]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('a "b" c { d = 1 }', [("b", [("<c>", [("<d>", "1")])])]),
        ("a = [1, 2,\n 3]", ["1", "2", "3"]),
        ('a = { b = "x", "c": 1, (d) = 2 }', [("<b>", "x"), ("c", "1"), ("<(d)>", "2")]),
        ('a = "x${f("y", {z = "}"})}"', 'x${f("y", {z = "}"})}'),
        (r'a = "\"\\"', '"\\'),
        ("a = <<-E\n  x\n  E\nb = 1", "  x\n"),
        ("a = jsonencode([true])", ["true"]),
        ("a = jsonencode(x, y)", "<jsonencode(x, y)>"),
        ("a = f(\n  1,\n  2)\nb = 1", "<f(\n  1,\n  2)>"),
        ("a = [x ? 1 : 2, 3]", ["<x ? 1 : 2>", "3"]),
        ("a = [for x in y : x]\nb = 1", "<[for x in y : x]>"),
        ("a = { b = 1 }.b", "<{ b = 1 }.b>"),
        ("a = (x)", "<(x)>"),
        ("a = -1", "-1"),
        ("a = ! x", "<! x>"),
    ],
)
def test_hcl(text: str, value: Any) -> None:
    (root,) = roots(text + "\n", "a.tf")
    assert isinstance(root, Mapping)
    assert plain(root.pairs[0][1]) == value


FILES = st.sampled_from([*HOSTILE, *HONEST])


@given(FILES, st.data())
def test_damaged_files_are_read_or_refused(path: Path, data: st.DataObject) -> None:
    text = path.read_text()
    start = data.draw(st.integers(0, len(text)))
    end = min(len(text), start + data.draw(st.integers(0, 40)))
    garbage = data.draw(st.text("{}[]()\"'#/*=:,<-E\n\\$%&!|>\x00é", max_size=12))
    with suppress(BadInput):
        read(text[:start] + garbage + text[end:], str(path))
    with suppress(BadInput):
        meant(str(path), text[:end] + garbage)


@given(st.text(max_size=60), st.sampled_from(["a.tf", "a.toml", "devcontainer.json", "action.yml"]))
def test_garbage_is_read_or_refused(text: str, path: str) -> None:
    with suppress(BadInput):
        read(text, path)


def test_large_files_take_time_in_proportion(tmp_path: Path, capsys: Out) -> None:
    """Each place of each container was once searched in the whole file."""
    (jobs := tmp_path / ".gitlab-ci.yml").write_text(
        "".join(f"job{n}:\n  script: [make]\n  image: alpine\n" for n in range(20_000))
    )
    tasks = "".join(
        f"  - docker_container:\n      name: y{n}\n      image: x\n" for n in range(9000)
    )
    (book := tmp_path / "playbook.yml").write_text(f"- hosts: all\n  tasks:\n{tasks}")
    start = time.process_time()
    assert main(["check", str(jobs), str(book)]) == 0
    assert time.process_time() - start < 10
    assert "in 29000 services of 2 files" in capsys.readouterr().out


BY_ITS_TARGET = {
    "main.tf": 'resource "docker_container" "c" {\n image = "x"\n volumes {\n'
    ' host_path = var.sock\n container_path = "/var/run/docker.sock"\n }\n}\n',
    "playbook.yml": "- hosts: all\n  tasks:\n  - docker_container: {name: a, image: x, "
    "mounts: [{type: bind, source: '{{ y }}', target: /hostfs}]}\n",
    "x.nomad": 'job "a" {\n group "g" {\n task "t" {\n volume_mount {\n'
    ' volume = "v"\n destination = "/var/run/docker.sock"\n }\n }\n }\n}\n',
    "client.hcl": 'client {\n host_volume "all" {\n path = "/"\n read_only = false\n }\n}\n',
}


@pytest.mark.parametrize("name", BY_ITS_TARGET)
def test_the_other_end_of_a_mount_tells(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(BY_ITS_TARGET[name])
    assert main(["check", str(tmp_path)]) == 1


def test_gitlab_includes_are_followed_in_the_repository(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "ci" / "more").mkdir(parents=True)
    (first := tmp_path / ".gitlab-ci.yml").write_text(
        "include: [{local: /ci/a.yml}, 'ci/more/*.yml', {template: Jobs/SAST.gitlab-ci.yml}]\n"
    )
    (tmp_path / "ci" / "more" / "c.yml").write_text("variables: {A: b}\n")
    (tmp_path / "ci" / "a.yml").write_text("include: {local: /ci/b.yml}\n")
    (tmp_path / "ci" / "b.yml").write_text("b: {script: [make]}\n")
    assert main(["check", "--strict", str(first)]) == 0
    (tmp_path / "ci" / "b.yml").write_text("b: {script: [docker run --privileged x]}\n")
    assert main(["check", str(first)]) == 1
    assert "b.yml" in capsys.readouterr().out


@pytest.mark.parametrize(
    "include",
    ["https://e.org/a.yml", "{remote: https://e.org/a.yml}", "{project: a/b, file: c.yml}", "$A"],
)
def test_remote_includes_are_not_judged(include: str, tmp_path: Path, capsys: Out) -> None:
    (file := tmp_path / ".gitlab-ci.yml").write_text(f"include: [{include}]\n")
    assert main(["check", "--strict", str(file)]) == 1
    assert "[not-judged]" in capsys.readouterr().out


def test_an_include_stays_in_its_repository(tmp_path: Path, capsys: Out) -> None:
    (file := tmp_path / ".gitlab-ci.yml").write_text("include: ../../../../../etc/hostname\n")
    assert main(["check", "--strict", str(file)]) == 1
    assert f"{tmp_path}/etc/hostname, which it" in capsys.readouterr().out.replace("\n   ", "")
