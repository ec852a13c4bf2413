"""Whatever the gate reads can be a device, a pipe or a file of 10 GB: git carries links to such
things. Nothing hangs, and nothing grows."""

from __future__ import annotations

import os
import signal
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import capadvise.cli.files  # noqa: F401 - not to be measured as memory of a read
from capadvise.cli import main
from capadvise.kernel import procfs
from capadvise.targets.client.answer import NoAnswer, TooLate, answer_of
from tests.support.wait import until

SECONDS, MEMORY = 2, 80 << 20
WAITS = 20
"""Seconds after which it hangs, on a machine that is busy with other things."""
COMPOSE = "services:\n  w: {image: x, cap_drop: [ALL], user: '1'%s}\n"
UNIT = "[Service]\nExecStart=/bin/true\n"
QUADLET = "[Container]\nImage=x\nDropCapability=all\n"


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 << 30)


def silent_pipe(path: Path) -> None:
    """A link to a pipe of ours that never ends, as /dev/stdin can be."""
    ends, _ = os.pipe()
    path.symlink_to(f"/proc/self/fd/{ends}")


ENDLESS: dict[str, Callable[[Path], None]] = {
    "zero": lambda path: path.symlink_to("/dev/zero"),
    "fifo": os.mkfifo,
    "sparse": sparse,
    "silent pipe": silent_pipe,
    "kernel log": lambda path: path.symlink_to("/proc/kmsg"),
}
PLACES: dict[str, tuple[dict[str, str], str, str]] = {
    "named": ({}, "a.yaml", "a.yaml"),
    "in a folder": ({"b.yaml": COMPOSE % ""}, "a.yaml", "."),
    ".env": ({"compose.yaml": COMPOSE % ""}, ".env", "compose.yaml"),
    ".env with variables": (
        {"compose.yaml": COMPOSE % ", volumes: ['${A:-x}:/b']"},
        *(".env", "compose.yaml"),
    ),
    "override": ({"compose.yaml": COMPOSE % ""}, "compose.override.yaml", "compose.yaml"),
    "named by .env": (
        {"compose.yaml": COMPOSE % "", ".env": "COMPOSE_FILE=compose.yaml:b.yaml\n"},
        *("b.yaml", "compose.yaml"),
    ),
    "env_file": ({"c.yaml": COMPOSE % ", env_file: e"}, "e", "c.yaml --resolve"),
    "env_file in long form": (
        {"c.yaml": COMPOSE % ", env_file: [{path: e, required: false}]"},
        *("e", "c.yaml --resolve"),
    ),
    "label_file": ({"c.yaml": COMPOSE % ", label_file: [e]"}, "e", "c.yaml --resolve"),
    "include": ({"c.yaml": f"{COMPOSE % ''}include: [i.yaml]\n"}, "i.yaml", "c.yaml"),
    "environment of an include": (
        {
            "c.yaml": f"{COMPOSE % ''}include: [{{path: sub/i.yaml, env_file: e}}]\n",
            "sub/i.yaml": "services: {v: {image: x}}\n",
        },
        *("e", "c.yaml"),
    ),
    "env_file of an included service": (
        {
            "c.yaml": f"{COMPOSE % ''}include: [sub/i.yaml]\n",
            "sub/i.yaml": "services: {v: {image: x, env_file: e}}\n",
        },
        *("sub/e", "c.yaml"),
    ),
    "extends": ({"c.yaml": COMPOSE % ", extends: {file: i.yaml, service: w}"}, "i.yaml", "c.yaml"),
    "seccomp": ({"c.yaml": COMPOSE % ", security_opt: ['seccomp=p.json']"}, "p.json", "c.yaml"),
    "seccomp of a quadlet": (
        {"a.container": f"{QUADLET}SeccompProfile=p.json\n"},
        *("p.json", "a.container"),
    ),
    "report of a folder": ({"c.yaml": COMPOSE % ""}, "r/w.json", "c.yaml --against r"),
    "report": ({"c.yaml": COMPOSE % ""}, "w.json", "c.yaml --against w.json"),
    "to be fixed": ({"c.yaml": COMPOSE % ""}, "w.json", "c.yaml --fix --against w.json"),
    "exceptions": ({"c.yaml": COMPOSE % ""}, "e.yaml", "c.yaml --exceptions e.yaml"),
    "drop-in": ({"a.service": UNIT}, "a.service.d/x.conf", "a.service"),
    "drop-in in a folder": ({"a.service": UNIT}, "a.service.d/x.conf", "."),
    "drop-in that is named": ({"a.service": UNIT}, "a.service.d/x.conf", "a.service.d/x.conf"),
    "manifest of a .kube": ({"a.kube": "[Kube]\nYaml=p.yaml\n"}, "p.yaml", "a.kube"),
    "volume of a quadlet": ({"a.container": f"{QUADLET}Volume=d.volume:/d\n"}, "d.volume", "."),
    "beside a quadlet": ({"a.container": QUADLET}, "d.volume", "a.container --resolve"),
    "kustomization": (
        {"kustomization.yaml": "resources: [p.yaml]\n"},
        *("p.yaml", "kustomization.yaml --resolve"),
    ),
    "base of a kustomization": (
        {"o/kustomization.yaml": "resources: [../b]\n", "b/kustomization.yaml": "resources: [p]\n"},
        *("b/p", "o --resolve"),
    ),
    "unit of the machine": ({"units/b.service": UNIT}, "units/a.service", "--installed"),
}


@pytest.fixture
def hurried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever waits is interrupted, and whoever takes memory is seen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("capadvise.gate.installed.UNIT_PATH", ("units",))

    def too_late(*_: object) -> None:
        pytest.fail(f"it did not end within {WAITS} s")

    before = signal.signal(signal.SIGALRM, too_late)
    tracemalloc.start()
    signal.alarm(WAITS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    tracemalloc.stop()


@pytest.mark.parametrize("endless", ENDLESS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("hurried")
def test_no_read_of_the_gate_hangs_or_grows(
    place: str, endless: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files, path, words = PLACES[place]
    for name in (*files, path):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        Path(name).write_text(text)
    ENDLESS[endless](Path(path))
    began = time.process_time()
    assert main(["check", *words.split()]) in (0, 1, 2)
    assert time.process_time() - began < SECONDS
    assert tracemalloc.get_traced_memory()[1] < MEMORY
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.usefixtures("hurried")
def test_a_consumer_gets_a_limit_of_memory() -> None:
    eats = ["python3", "-c", "x = bytearray(1 << 30)\nprint(len(x))"]
    with pytest.raises(NoAnswer):
        answer_of(eats, "python3", 60, memory=256 << 20)
    assert answer_of(eats, "python3", 60, memory=2 << 30).stdout == f"{1 << 30}\n"


def test_a_consumer_that_hangs_leaves_nothing_behind() -> None:
    """A plugin of docker is a child of the client, and outlives it."""
    seconds = f"987.{os.getpid()}"  # no other run has it
    with pytest.raises(TooLate):
        answer_of(["sh", "-c", f"sleep {seconds} & wait"], "sh", 0.3, memory=1 << 30)

    def left() -> list[int]:
        return [pid for pid in procfs.processes() if procfs.arguments(pid) == ("sleep", seconds)]

    until(lambda: not left())
