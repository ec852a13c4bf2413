"""Needs that come of the image's files, and how the image could be built instead."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.judgement.judge import Effect, Judged
from capadvise.judgement.remediation import remediation_of
from capadvise.model.caps import Cap
from capadvise.model.recording import FileChange, ImageFile
from capadvise.targets.client.container import parse_inspect
from capadvise.targets.image.ownership import changed_files, file_in_image
from tests.support.recordings import BIND

GIVEN = ImageFile("/data/file", 2, FileChange.OWNER, "0:0", "999:999")
MODE = ImageFile("/data", 1, FileChange.MODE, "999:999", "0700")
PUT = ImageFile("/data", 1, FileChange.FOLDER, "999:999", "0:0")


@pytest.mark.parametrize(
    ("cap", "files", "said"),
    [
        ("CHOWN", [GIVEN], "/data/file (layer 2 of the image) belongs to 0:0"),
        ("CHOWN", [GIVEN, GIVEN, GIVEN], "and 2 more"),
        ("CHOWN", [GIVEN], "COPY --chown=999:999"),
        ("FOWNER", [GIVEN, MODE], "gets the mode 0700"),
        ("DAC_OVERRIDE", [PUT], "as USER 999:999"),
        ("FOWNER", [replace(MODE, owner="0:0")], None),
        ("CHOWN", [MODE, PUT], None),
        ("SYS_ADMIN", [GIVEN, MODE, PUT], None),
        ("CHOWN", [], None),
    ],
)
def test_the_way_out(cap: str, files: Sequence[ImageFile], said: str | None) -> None:
    found = remediation_of(Cap.parse(cap), files)
    assert found is None if said is None else said in (found or "")


def test_what_root_has_put_into_its_own_folder_and_given_away_is_no_reason() -> None:
    """It was said that the new owner writes there, and that the container is to run as root."""
    cap = Cap.parse("DAC_OVERRIDE")
    given_away = replace(PUT, owner="0:0", became="5:0")
    by_root, by_5 = ([Judged(replace(BIND, uid=uid), None, Effect.NEEDED, "")] for uid in (0, 5))
    assert remediation_of(cap, [given_away], by_root) is None
    assert "5:0 writes there" in (remediation_of(cap, [given_away], by_5) or "")
    assert "as USER 999:999" in (remediation_of(cap, [PUT], by_root) or "")


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    """A container's layer above two of the image."""
    for layer in ("upper", "top-init/diff", "two", "one"):
        (tmp_path / layer / "data").mkdir(parents=True)
    return tmp_path


def changed(layers: Path) -> list[tuple[str, int, str]]:
    lower = f"{layers}/top-init/diff:{layers}/two:{layers}/one"
    upper = f"{layers}/upper"
    raw = f"""[{{"Id": "1", "Name": "n", "Image": "i", "Config": {{}}, "State": {{}},
        "HostConfig": {{}}, "GraphDriver": {{"Data": {{"UpperDir": "{upper}",
        "LowerDir": "{lower}"}}}}}}]"""
    (container,) = parse_inspect("docker", raw)
    return [(f.path, f.layer, str(f.change)) for f in changed_files(container, 0)]


def test_nothing_is_said_where_nobody_knows_what_the_container_called_the_ids(
    layers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user namespace has ended: of a rootless podman, the ids of the host were shown."""
    for layer in ("upper", "two"):
        (layers / layer / "data" / "f").touch()
    (layers / "upper" / "data" / "f").chmod(0o600)
    assert len(changed(layers)) == 1
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert changed(layers) == []


def test_a_changed_mode_is_found_in_the_topmost_layer_that_has_the_file(layers: Path) -> None:
    for layer in ("upper", "two", "one"):
        (layers / layer / "data" / "file").touch(mode=0o644)
    assert changed(layers) == []
    (layers / "upper" / "data" / "file").chmod(0o600)
    assert changed(layers) == [("/data/file", 2, "mode")]
    (layers / "two" / "data" / "file").unlink()
    assert changed(layers) == [("/data/file", 1, "mode")]


def test_no_link_leads_out_of_a_layer(layers: Path, tmp_path: Path) -> None:
    """Where the image has a link and the container a folder, the file is a new one."""
    (layers / "outside").mkdir()
    (layers / "outside" / "file").touch(mode=0o600)
    (layers / "upper" / "way").mkdir()
    (layers / "upper" / "way" / "file").touch(mode=0o644)
    (layers / "one" / "way").symlink_to(layers / "outside")
    assert ("/way/file", 1, "mode") not in changed(layers)


def test_what_is_gone_has_not_changed(layers: Path) -> None:
    (layers / "upper" / "data").chmod(0o700)
    assert changed(layers) == [("/data", 2, "mode")]
    (layers / "upper").rename(layers / "removed")
    assert changed(layers) == []


def test_a_file_of_an_image_is_found_behind_links(tmp_path: Path) -> None:
    """The topmost layer decides; a link never leads out of the image."""
    top, base = tmp_path / "top", tmp_path / "base"
    for folder in (top / "usr/bin", base / "usr/bin", base / "opt"):
        folder.mkdir(parents=True)
    (top / "usr/bin/caddy").touch()
    (base / "usr/bin/caddy").touch()
    (base / "bin").symlink_to("usr/bin")
    (base / "opt/server").symlink_to("../../../bin/caddy")
    (base / "opt/loop").symlink_to("loop")
    found = ("/usr/bin/caddy", top / "usr/bin/caddy")
    for path in ("/usr/bin/caddy", "//bin/caddy", "/opt/server", "/opt/./server"):
        assert file_in_image([top, base], path) == found
    for missing in ("/opt/loop", "/opt/other", "/opt/server/x"):
        assert file_in_image([top, base], missing) is None
    assert file_in_image([], "/bin/caddy") is None
