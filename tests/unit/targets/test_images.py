"""Images are read from their archives: what lies on top counts, and no archive can do harm."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from capadvise.kernel.executables import FileCaps
from capadvise.model.caps import from_mask, parse_set
from capadvise.model.errors import BadInput
from capadvise.targets.image import archive, tarball
from capadvise.targets.image.archive import Config, Image, config_of, read_archive
from capadvise.targets.running.inspect import inspect_image

NET_RAW = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
Member = tuple[str, dict[str, object]]


def tar(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of (path, attributes of TarInfo, or ``data``)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for path, attributes in members:
            info = tarfile.TarInfo(path)
            data = attributes.get("data", b"")
            assert isinstance(data, bytes)
            info.size = len(data)
            for name, value in attributes.items():
                if name != "data":
                    setattr(info, name, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def file(path: str, mode: int = 0o755, **more: object) -> Member:
    return path, {"mode": mode, **more}


def with_caps(path: str, raw: bytes = NET_RAW) -> Member:
    value = raw.decode("utf-8", "surrogateescape")
    return file(path, pax_headers={"SCHILY.xattr.security.capability": value})


def docker_archive(*contents: bytes, config: dict[str, object] | None = None) -> bytes:
    """As ``docker save`` writes it; the manifest comes last."""
    names = [f"{number}/layer.tar" for number in range(len(contents))]
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": names}]
    return tar(
        *((name, {"data": data}) for name, data in zip(names, contents, strict=True)),
        ("config.json", {"data": json.dumps(config or {"config": {}}).encode()}),
        ("manifest.json", {"data": json.dumps(manifest).encode()}),
    )


def special(*contents: bytes) -> dict[str, int]:
    """The special programs of such layers: path → layer."""
    image = read_archive(io.BytesIO(docker_archive(*contents)))
    assert image.unread == ()
    return {found.path: found.layer for found in image.special}


SU = tar(file("usr/bin/su", 0o4755), file("usr/bin/plain"))


@pytest.mark.parametrize(
    ("upper", "left"),
    [
        ([], {"/usr/bin/su": 1}),
        ([file("usr/bin/other")], {"/usr/bin/su": 1}),
        ([file("usr/bin/su")], {}),
        ([file("usr/bin/su", 0o2755)], {"/usr/bin/su": 2}),
        ([file("usr/bin/su", 0o2644)], {}),
        ([file("usr/bin/.wh.su")], {}),
        ([file("usr/.wh.bin")], {}),
        ([file("usr/.wh..wh..opq")], {}),
        ([file("etc/.wh..wh..opq")], {"/usr/bin/su": 1}),
        ([("usr/bin", {"type": tarfile.DIRTYPE})], {"/usr/bin/su": 1}),
        ([("usr/bin", {"type": tarfile.SYMTYPE, "linkname": "/bin"})], {}),
        ([file("./usr/bin/../bin/su")], {}),
        ([file("a", 0o4755), ("b", {"type": tarfile.LNKTYPE, "linkname": "a"})], None),
    ],
)
def test_what_an_upper_layer_hides_is_gone(
    upper: Iterable[Member], left: dict[str, int] | None
) -> None:
    expected = {"/usr/bin/su": 1, "/a": 2, "/b": 2} if left is None else left
    assert special(SU, tar(*upper)) == expected


def test_a_later_entry_of_one_layer_wins() -> None:
    assert special(tar(file("su", 0o4755), file("su"))) == {}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_every_form_of_tar_is_read(form: int, packed: bool) -> None:
    long = "/".join(["a" * 60] * 2) if form == tarfile.USTAR_FORMAT else "/".join(["ä" * 99] * 9)
    content = tar(file(long, 0o4711, uid=7, data=b"x" * 700), file("z", 0o4755), form=form)
    image = read_archive(io.BytesIO(docker_archive(gzip.compress(content) if packed else content)))
    assert {(found.path, found.mode, found.uid) for found in image.special} == {
        (f"/{long}", 0o4711, 7),
        ("/z", 0o4755, 0),
    }


def test_file_capabilities_are_read() -> None:
    image = read_archive(io.BytesIO(docker_archive(tar(with_caps("bin/ping")))))
    (ping,) = image.special
    assert ping.caps == FileCaps(parse_set(["NET_RAW"]), frozenset(), True)


@pytest.mark.parametrize(
    ("raw", "caps"),
    [
        (NET_RAW, FileCaps(from_mask(1 << 13), frozenset(), True)),
        (
            struct.pack("<6I", 0x03000000, 0, 1 << 1, 1 << 6, 0, 1000),
            FileCaps(from_mask(1 << 38), from_mask(1 << 1), False, 1000),
        ),
        (struct.pack("<3I", 0x01000001, 1, 0), FileCaps(from_mask(1), frozenset(), True)),
        (NET_RAW[:-1], None),
        (b"", None),
        (b"\0" * 20, None),
    ],
)
def test_file_capabilities_are_decoded(raw: bytes, caps: FileCaps | None) -> None:
    assert FileCaps.decode(raw) == caps


def test_an_oci_archive_is_read() -> None:
    config = {
        "config": {"User": "1000", "ExposedPorts": {"80/tcp": {}}, "Cmd": ["a", "b"]},
        "history": [
            {"created_by": "ADD x"},
            {"created_by": "CMD a", "empty_layer": True},
        ],
    }
    manifest = {"config": {"digest": "sha256:c"}, "layers": [{"digest": "sha256:l"}]}
    index = {"manifests": [{"digest": "sha256:m"}]}
    image = read_archive(
        io.BytesIO(
            tar(
                ("blobs/sha256/c", {"data": json.dumps(config).encode()}),
                ("blobs/sha256/l", {"data": gzip.compress(SU)}),
                ("blobs/sha256/m", {"data": json.dumps(manifest).encode()}),
                ("index.json", {"data": json.dumps(index).encode()}),
            )
        )
    )
    assert image == Image(
        Config(user="1000", ports=("80/tcp",), command=("a", "b")),
        ("ADD x",),
        (archive.Special("/usr/bin/su", 0o4755, 0, 0, None, 1),),
    )


def test_the_configuration_of_both_engines() -> None:
    docker = {"Config": {"Healthcheck": {"Test": ["CMD-SHELL", "true"]}, "Entrypoint": ["/e"]}}
    podman = {"Config": {"Entrypoint": ["/e"]}, "HealthCheck": {"Test": ["CMD-SHELL", "true"]}}
    assert config_of(docker) == config_of(podman)
    assert config_of(docker).healthcheck == ("CMD-SHELL", "true")
    assert config_of({"Config": {"Healthcheck": {"Test": ["NONE"]}}}) == Config()


def header(**fields: bytes) -> bytes:
    """A header whose checksum is right, with these fields at their places."""
    places = {"name": 0, "size": 124, "type": 156, "magic": 257, "sparse": 482}
    block = bytearray(512)
    block[100:108] = b"0000755\0"
    for name, value in fields.items():
        block[places[name] : places[name] + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "hostile",
    [
        header(type=b"x", size=b"77777777777\0"),  # an extension header of 8 GiB
        header(type=b"L", size=b"\x80" + b"\xff" * 11),
        header(size=b"\xff" * 12),  # negative
        header(size=b"notoctal!!!\0"),
        header(name=b"short", size=b"00000001000\0") + b"too short",
        header(type=b"x", size=b"00000000006\0") + b"9 a=b\n".ljust(512, b"\0"),
        header(type=b"x", size=b"00000000006\0") + b"999999".ljust(512, b"\0"),
        header(type=b"S", sparse=b"\1"),
        b"\1" * 512,
        gzip.compress(header(name=b"a"), mtime=0)[:-9],
    ],
)
def test_a_hostile_layer_is_passed_over_and_said(hostile: bytes) -> None:
    image = read_archive(io.BytesIO(docker_archive(SU, hostile.ljust(20, b"x"), SU)))
    assert len(image.special) == 1
    (said,) = image.unread
    assert said.startswith("layer 2 of 3 was not read: ")


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"\0" * 1024,
        tar(("manifest.json", {"data": b"[[[["})),
        tar(("manifest.json", {"data": b"[{}]"})),
        tar(("manifest.json", {"data": b'[{"Config": 1, "Layers": 2}]'})),
        tar(("manifest.json", {"data": b'{"a": 1}'})),
        tar(("index.json", {"data": b'{"manifests": [{"digest": "sha256:../../etc/x"}]}'})),
        tar(("index.json", {"data": b"[" * 5000})),
    ],
)
def test_what_is_no_image_is_refused(archive: bytes) -> None:
    with pytest.raises(tarball.BadArchive):
        read_archive(io.BytesIO(archive))


def test_a_path_cannot_leave_the_root() -> None:
    assert special(tar(file("../../../etc/su", 0o4755))) == {"/etc/su": 1}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MAX_PATHS", 10)
    many = docker_archive(tar(*(file(f"{number}") for number in range(20))))
    with pytest.raises(tarball.BadArchive, match="more than 10 files"):
        read_archive(io.BytesIO(many))


def test_a_pipe_gives_a_little_at_a_time(tmp_path: Path) -> None:
    class Drop(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(100, size or 0))

    assert len(read_archive(Drop(docker_archive(SU))).special) == 1


def scripted(folder: Path, monkeypatch: pytest.MonkeyPatch, **engines: str) -> None:
    """Engines that are played by scripts."""
    for name, script in engines.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    (folder / "cat").symlink_to("/bin/cat")
    monkeypatch.setenv("PATH", str(folder))


def test_an_image_is_of_the_first_engine_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config: dict[str, object] = {"config": {"User": "33", "Entrypoint": ["/a"], "Cmd": ["b"]}}
    owned = file("bin/su", 0o6755, uid=7, gid=8)
    (tmp_path / "image").write_bytes(
        docker_archive(tar(owned), tar(with_caps("bin/ping")), config=config)
    )
    absent = "echo 'no such image' >&2; exit 1"
    save = f'[ $1 = image ] || {{ [ "$*" = "save -- app" ] && cat {tmp_path}/image; }}'
    scripted(tmp_path, monkeypatch, docker=absent, podman=save)
    image = inspect_image("app")
    assert (image.engine, image.user, image.argv, image.layers) == (
        *("podman", "33", ("/a", "b"), 2),
    )
    risers = {riser.path: riser for riser in image.risers}
    assert (risers["/bin/su"].set_uid, risers["/bin/su"].set_gid) == (7, 8)
    assert risers["/bin/ping"].caps == parse_set(["NET_RAW"])


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'no such image' >&2; exit 1", "no image app: docker: no such image; podman is not"),
        ("[ $1 = image ] || echo no archive", "image app: "),
        ("[ $1 = image ]", "image app: "),
    ],
    ids=["none has it", "no archive", "nothing saved"],
)
def test_an_image_that_cannot_be_read_is_named(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(tmp_path, monkeypatch, docker=script)
    with pytest.raises(BadInput) as caught:
        inspect_image("app")
    assert str(caught.value).startswith(said)
