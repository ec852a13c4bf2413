"""What engines print of containers and images, and the archives of images: made by others."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import typing
from contextlib import suppress
from dataclasses import fields
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from capadvise.kernel import user_namespaces
from capadvise.kernel.posture import mounts, read
from capadvise.model.errors import BadInput
from capadvise.targets.client.cgroup_path import parse_place
from capadvise.targets.client.client import Client
from capadvise.targets.client.container import Container, parse_inspect
from capadvise.targets.containers import project
from capadvise.targets.containers.container_starts import ContainerStarts, healthcheck_command
from capadvise.targets.containers.containers import ContainerState, DockerRoster
from capadvise.targets.image.archive import config_of, read_archive
from capadvise.targets.image.tarball import BadArchive
from capadvise.targets.shims import container_id
from tests.fuzz.strategies import TEXTS, mutated

ID = "0123456789abcdef" * 4
MOUNT = {"Type": "bind", "Source": "/a", "Destination": "/b", "RW": True}
CONFIG = {
    "User": "1:2",
    "Image": "i",
    "ContainerStatepoint": ["/e"],
    "Cmd": ["a"],
    "Labels": {"com.docker.compose.service": "web"},
    "Healthcheck": {"Test": ["CMD-SHELL", "true"]},
    "Env": ["A=b"],
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/v": {}},
}
INSPECTED = {
    "Id": ID,
    "Name": "/web",
    "Image": f"sha256:{ID}",
    "Config": CONFIG,
    "State": {"Status": "exited", "Pid": 0, "ExitCode": 3, "FinishedAt": "2026-01-01"},
    "HostConfig": {"Privileged": False, "CapAdd": ["KILL"], "SecurityOpt": ["a=b"]},
    "GraphDriver": {"Data": {"UpperDir": "/u"}},
    "Mounts": [MOUNT],
}
EVENT = {
    "Actor": {"ID": ID, "Attributes": {"name": "web", "image": "i", "exitCode": "3"}},
    "Action": "die",
}
SERVICES = st.dictionaries(
    TEXTS,
    st.fixed_dictionaries(
        {"image": TEXTS},
        optional={
            "cap_add": st.lists(TEXTS, max_size=3),
            "security_opt": st.none() | st.lists(TEXTS, max_size=3),
            "labels": st.none() | st.dictionaries(TEXTS, TEXTS, max_size=3),
            "command": st.none() | st.lists(TEXTS, max_size=3),
        },
    ),
    max_size=3,
)


def well_typed(one: Container) -> None:
    """What is said to be a text is one, however deep."""
    hints = typing.get_type_hints(Container)
    for field in fields(one):
        value, hint = getattr(one, field.name), hints[field.name]
        if hint in (str, int, bool):
            assert type(value) is hint, field.name
        elif hint == str | None or hint == int | None:
            assert value is None or type(value) in typing.get_args(hint), field.name
        elif hint == tuple[str, ...]:
            assert type(value) is tuple, field.name
            assert all(type(item) is str for item in value), field.name
    assert all(type(item) is str for pair in one.labels.items() for item in pair)
    assert all(type(mount.destination) is str and type(mount.source) is str for mount in one.mounts)


@settings(deadline=None)
@given(mutated([INSPECTED]))
def test_a_description_of_a_container_is_read_or_refused(raw: Any) -> None:
    with suppress(BadInput):
        for one in parse_inspect("docker", json.dumps(raw)):
            well_typed(one)
            healthcheck_command(one.healthcheck)


class Unasked(DockerRoster):
    """There is no engine that could tell more."""

    def _ask(self, entry: ContainerState) -> None:
        return None


@settings(deadline=None)
@given(mutated(EVENT))
def test_any_event_is_noted_or_passed_over(raw: Any) -> None:
    roster = Unasked(Client("docker", ()), "a=b", ContainerStarts())
    roster.happened(json.dumps(raw).encode())
    for entry in roster.entries.values():
        assert isinstance(entry.name, str)
        assert entry.service is None or isinstance(entry.service, str)


@settings(deadline=None)
@given(SERVICES)
def test_what_a_project_calls_things_stays_in_its_place(services: dict[str, Any]) -> None:
    """compose has seen to the types."""
    changed = project.recorded({"name": "p", "services": services}, tuple(services), "a=b")
    again = json.loads(json.dumps(changed))["services"]
    assert list(again) == list(services)
    for service in again.values():
        assert service["cap_add"] == ["ALL"]
        assert service["labels"]["a"] == "b"
        assert service["security_opt"][-1] == "seccomp=unconfined"


@settings(deadline=None)
@given(mutated({"Config": CONFIG}))
def test_the_configuration_of_an_image_is_read_or_refused(raw: Any) -> None:
    with suppress(ValueError):
        config = config_of(raw)
        assert isinstance(config.user, str)
        for words in (config.entrypoint, config.command, config.healthcheck, config.volumes):
            assert all(isinstance(word, str) for word in words)


def archive(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, data in members:
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), 0o4755
            info.pax_headers = {"SCHILY.xattr.security.capability": "\x01\x00\x00\x02"}
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


LAYER = archive(("bin/su", b"x" * 600), ("a/.wh.b", b""))
IMAGE = archive(
    ("0/layer.tar", LAYER),
    ("1/layer.tar", gzip.compress(LAYER)),
    ("config.json", json.dumps({"config": CONFIG}).encode()),
    (
        "manifest.json",
        json.dumps([{"Config": "config.json", "Layers": ["0/layer.tar", "1/layer.tar"]}]).encode(),
    ),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The archive with bytes changed, cut out or repeated."""
    raw = bytearray(IMAGE)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(raw)))
        end = min(len(raw), at + draw(st.sampled_from([0, 1, 8, 12, 512])))
        raw[at:end] = draw(st.binary(max_size=16) | st.just(bytes(raw[at:end] * 2)))
    return bytes(raw)


@settings(deadline=None)
@given(damaged())
def test_an_archive_is_read_or_refused(raw: bytes) -> None:
    with suppress(BadArchive):
        image = read_archive(io.BytesIO(raw))
        assert all(one.path.startswith("/") and "/../" not in one.path for one in image.special)


def test_what_this_test_damages_is_sound() -> None:
    image = read_archive(io.BytesIO(IMAGE))
    assert [one.path for one in image.special] == ["/bin/su"]
    assert not image.unread


GROUPS = st.lists(
    st.sampled_from(
        [
            *("0::/", "1:cpu,cpuacct:/docker/", ID, ".scope", "docker-", "libpod-", "\n", "/"),
            *("/kubepods/burstable/pod", "0" * 32, "12:name=systemd:/", ":", "crio-", " - "),
            *("22 27 0:21 / /proc rw,relatime - proc proc rw", "\\040", "0 100000 65536"),
        ]
    )
    | TEXTS,
    max_size=12,
).map("".join)


@given(GROUPS)
def test_any_text_of_proc_is_read(text: str) -> None:
    place = parse_place(text)
    assert place is None or len(place.container) == 64
    read.parse_groups(text)
    mounts.parse_mounts(text)
    user_namespaces.parse_map(text)
    container_id(text.split())
