"""The image of capadvise, built of a Debian made here, is used as its page says: with exactly the
capabilities, mounts and namespaces named there. About 100 s, most of it to make the image."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from capadvise.config.kubernetes.admission import PodOwner
from capadvise.targets.kubernetes import objects
from tests.support.containers import call
from tests.support.pods import Node
from tests.support.required import missing, tool
from tests.support.wait import until

TOP = Path(__file__).parents[2]
FOLDER = TOP / "demos" / "image"
BASE, IMAGE, WEB = (f"capadvise-test-{os.getpid()}-{name}" for name in ("base", "self", "web"))
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
    for name in ("docker", "debootstrap"):
        tool(name)
    folder = tmp_path_factory.mktemp("image")
    tracing = folder / "tracing"
    tracing.mkdir()
    subprocess.run(["mount", "-t", "tracefs", "none", tracing], check=True)
    try:
        base(folder)
        build()
        call("docker", "run", "-d", "--name", WEB, "--network=none", BASE, "sh", "-c", LOOP)
        yield Place(tracing, folder)
    finally:
        call("docker", "rm", "-f", WEB)
        call("docker", "rmi", "-f", IMAGE, BASE)
        subprocess.run(["umount", tracing], check=True)
        shutil.rmtree(folder)


def base(folder: Path) -> None:
    """A small Debian, as the official image is one; with the certificates that pip trusts here."""
    root = folder / "root"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", root], check=True)  # no disk is waited for
    try:
        done = call("debootstrap", "--variant=minbase", "trixie", str(root), timeout=600)
        assert done.returncode == 0, done.stdout
        (root / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "trusted.crt")
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as archive:
            subprocess.run(
                ["docker", "import", "--change", "ENV PIP_CERT=/trusted.crt", "-", BASE],
                stdin=archive.stdout,
                check=True,
                capture_output=True,
            )
    finally:
        subprocess.run(["umount", root], check=True)


def build() -> None:
    """As the page says, of what is in the tree now."""
    names = ["pyproject.toml", "README.md", "LICENSE", "capadvise", "catalog"]
    names.append(str((FOLDER / "Containerfile").relative_to(TOP)))
    with subprocess.Popen(
        ["tar", "-C", TOP, "--exclude=__pycache__", "-c", *names], stdout=subprocess.PIPE
    ) as archive:
        done = subprocess.run(
            [
                *("docker", "build", "--network=host", f"--build-arg=BASE={BASE}"),
                *("-f", "demos/image/Containerfile", "-t", IMAGE, "-"),
            ],
            stdin=archive.stdout,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


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
    ours = {"capadvise": IMAGE, "web": WEB, "container:web": f"container:{WEB}", "60": "1"}
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
        ("docker.sock", "docker"),
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
