"""The image of capadvise is used as its page says: with exactly the capabilities, mounts and
namespaces named there. About 100 s, most of it to make the image."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from capadvise.config.kubernetes.admission import PodOwner
from capadvise.targets.kubernetes import objects
from tests.support.building import TOP, built
from tests.support.containers import call
from tests.support.pods import Node
from tests.support.required import missing, tool
from tests.support.wait import until

FOLDER = TOP / "demos" / "image"
LOADED, IMAGE, WEB = (
    "capadvise:latest",
    *(f"capadvise-test-{os.getpid()}-{x}" for x in ("self", "web")),
)
LOOP = "while sleep 0.2; do chown 1:1 /tmp; chown 0:0 /tmp; done"
TRACING = "/sys/kernel/tracing"

pytestmark = [pytest.mark.kernel, pytest.mark.long]


@dataclass(frozen=True)
class Place:
    """Where the commands of the page are run."""

    tracing: Path
    work: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The image, a container beside it, and a place where tracefs is mounted."""
    if os.geteuid() != 0:
        missing("only root makes images here")
    for name in ("docker", "mmdebstrap"):
        tool(name)
    folder = tmp_path_factory.mktemp("image")
    tracing = folder / "tracing"
    tracing.mkdir()
    subprocess.run(["mount", "-t", "tracefs", "none", tracing], check=True)
    try:
        load(built(TOP, folder / "dist"))
        options = ("--network=none", "--entrypoint=sh")
        call("docker", "run", "-d", "--name", WEB, *options, IMAGE, "-c", LOOP)
        yield Place(tracing, folder)
    finally:
        call("docker", "rm", "-f", WEB)
        call("docker", "rmi", "-f", IMAGE)
        subprocess.run(["umount", tracing], check=True)
        shutil.rmtree(folder)


def load(dist: Path) -> None:
    """With a name of its own; an image that has its usual name keeps it."""
    other = call("docker", "image", "inspect", "--format={{.Id}}", LOADED).stdout.strip()
    done = call("docker", "load", "-i", str(dist / "capadvise-image.tar"))
    assert done.returncode == 0, done.stderr
    call("docker", "tag", LOADED, IMAGE)
    call(*("docker", "tag", other, LOADED) if other else ("docker", "rmi", LOADED))


def of_page(verb: str) -> list[str]:
    """The words of the command of the page that calls a subcommand of capadvise."""
    text = (FOLDER / "README.md").read_text()
    blocks = re.findall(
        r"^```sh\n(docker run .*?)^```$", text.replace("\\\n", ""), re.MULTILINE | re.DOTALL
    )
    (command,) = [block for block in blocks if f"capadvise {verb} " in block]
    return shlex.split(command.partition(" > ")[0])


def run(place: Place, words: list[str], without: str = "") -> subprocess.CompletedProcess[str]:
    """The command, with names of ours; without the option that names ``without``."""
    pid = call("docker", "inspect", "--format={{.State.Pid}}", WEB).stdout.strip()
    ours = {"capadvise": IMAGE, "60": "1", "$(docker inspect -f '{{.State.Pid}}' web)": pid}
    words = [ours.get(word, word) for word in words]
    if without:
        (at,) = [at for at, word in enumerate(words) if without in word]
        del words[at - (words[at - 1] == "-v") : at + 1]
    words = [word.replace(f"{TRACING}:", f"{place.tracing}:", 1) for word in words]
    words = [word.replace("$PWD", str(place.work)) for word in words]
    return call(*(word.replace("$(id -u)", "0") for word in words))


def test_it_watches_a_container_with_exactly_the_set_of_its_page(place: Place) -> None:
    done = run(place, of_page("attach"))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["proposal"]["cap_add"] == ["CHOWN"]
    assert report["target"]["container"]
    (place.work / "web.json").write_text(done.stdout)
    explained = run(place, of_page("explain"))
    assert " needs at least CHOWN (1; " in " ".join(explained.stdout.split()), explained.stderr


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("SYS_PTRACE", "--cap-add SYS_PTRACE"),
        ("SYSLOG", "CAP_SYSLOG"),
        ("--pid=host", "--pid=host"),
        (TRACING, "tracefs is not mounted"),
    ],
)
def test_without_one_of_them_it_says_what_is_missing(place: Place, without: str, said: str) -> None:
    done = run(place, of_page("attach"), without)
    assert done.returncode in (2, 3), done
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("without", "known"), [("", True), ("SYS_PTRACE", False)])
def test_it_inspects_a_container_with_exactly_the_set_of_its_page(
    place: Place, without: str, known: bool
) -> None:
    done = run(place, [*of_page("inspect"), "--json"], without)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["program"] == "sh"
    assert (found["posture"]["namespaces"]["mnt"] == "own") is known


def test_as_an_observer_of_a_cluster_it_watches_pods(place: Place, kubelet: Node) -> None:
    """By the very command that ``capadvise kubernetes record`` gives it, with its set, on a root
    that it cannot write; and the reports are read as ``record`` reads them."""
    owner = PodOwner.parse("pod/web-1", kubelet.namespace)
    (made,) = objects.observer(owner, "node", "observer", "run", IMAGE, 600)["spec"]["containers"]
    context, probe = made["securityContext"], made["readinessProbe"]["exec"]["command"]
    sets = [f"--cap-drop={cap}" for cap in context["capabilities"]["drop"]]
    sets += [f"--cap-add={cap}" for cap in context["capabilities"]["add"]]
    assert context["readOnlyRootFilesystem"] is not context["allowPrivilegeEscalation"]
    restraints = ["--read-only", "--security-opt=no-new-privileges", "--network=none", *sets]
    places = ["--pid=host", "--tmpfs=/reports", "-v", f"{place.tracing}:{TRACING}"]
    environment = [f"--env={one['name']}={one['value']}" for one in made["env"]]
    shell, *command = made["command"]
    words = [*restraints, *places, *environment, f"--entrypoint={shell}", IMAGE, *command]
    name = f"{IMAGE}-observer"
    started = call("docker", "run", "-d", "--name", name, *words)
    try:
        assert started.returncode == 0, started.stderr
        until(
            lambda: call("docker", "exec", name, *probe).returncode == 0,
            shows=lambda: call("docker", "logs", name),
        )
        with kubelet.pod("web-1") as pod:
            assert pod.ended(pod.run("web", "chown", "5", "/data")) == 0
            done = call("docker", "exec", name, "sh", "-c", objects.COLLECT)
    finally:
        call("docker", "rm", "-f", name)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (report,) = found if isinstance(found, list) else [found]
    assert report["target"]["pod"] == f"{kubelet.namespace}/web-1"
    assert report["proposal"]["cap_add"] == ["CHOWN"]


def test_the_image_holds_no_more_than_120_mb_and_each_part_has_its_licence(place: Place) -> None:
    with tarfile.open(place.work / "dist/capadvise-image.tar") as image:
        (saved,) = json.load(reader(image, "manifest.json"))
        with tarfile.open(fileobj=reader(image, saved["Layers"][0])) as layer:
            sizes = {entry.name.removeprefix("./"): entry.size for entry in layer}
        config = json.load(reader(image, saved["Config"]))
    assert config["config"]["Entrypoint"] == ["/usr/bin/capadvise"]
    assert "usr/bin/capadvise" in sizes
    assert sum(sizes.values()) < 120e6
    listed = json.loads((place.work / "dist/image.cdx.json").read_text())
    parts = {part["name"]: part for part in listed["components"]}
    for name in ("capadvise", "python3-prctl", "python3-ptrace"):
        assert f"usr/share/doc/{name}/copyright" in sizes
        assert parts[name]["licenses"]
    for program in ("prctl", "ptrace"):
        (source,) = (place.work / "dist").glob(f"python-{program}-*.tar.gz")
        version = source.name.split("-")[2].removesuffix(".tar.gz")
        assert parts[f"python3-{program}"]["version"].startswith(version)


def reader(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    held = archive.extractfile(name)
    assert held is not None
    return held
