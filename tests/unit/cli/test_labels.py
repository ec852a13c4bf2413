"""Labels of images: what is written, and what is read of whoever wrote them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capadvise.cli import main
from capadvise.config import LANGUAGES
from capadvise.config.snippet import Snippet
from capadvise.model.caps import parse_set
from capadvise.model.errors import BadInput
from capadvise.model.image import claim_of
from capadvise.targets import engine_images
from capadvise.targets.client.client import Client
from capadvise.targets.engine_images import labels_of
from tests.support.known import nginx_alone
from tests.support.recordings import snippet_with

CAPS = parse_set(["CHOWN", "CAP_55"])
LABELS = {"io.capadvise.minimal": "CHOWN", "io.capadvise.recommended": "CHOWN,KILL"}


def written(snippet: Snippet) -> dict[str, str]:
    """As a builder reads the lines."""
    (line,) = re.findall(r"(?s)^LABEL (.*)\n\Z", LANGUAGES["label"].render(snippet), re.MULTILINE)
    found = re.findall(r'([a-z.]+)="((?:[^"\\]|\\.)*)"', line)
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in found}


def test_what_is_written_is_read() -> None:
    snippet = replace(snippet_with(CAPS), minimal=parse_set(["CHOWN"]), digest="sha256:ab")
    claim = claim_of(written(replace(snippet, variant='an "odd" $one')))
    assert claim is not None
    assert (claim.recommended, claim.minimal) == (CAPS, parse_set(["CHOWN"]))
    assert (claim.user, claim.report, claim.variant) == ("0:0", "sha256:ab", 'an "odd" $one')
    assert claim.problems == ()


def test_the_minimal_set_alone_and_no_capability() -> None:
    minimal = replace(snippet_with(frozenset()), set_name="minimal")
    assert "io.capadvise.recommended" not in written(minimal)
    claim = claim_of(written(minimal))
    assert claim is not None
    assert (claim.minimal, claim.recommended) == (frozenset(), None)


@pytest.mark.parametrize("value", ["CHOWN;KILL", "\x1b[2J", "x" * 9_000_000, "CHOWN," * 999_999])
def test_hostile_values_are_cut_and_named(value: str) -> None:
    claim = claim_of({"io.capadvise.minimal": value, "io.capadvise.version": value})
    assert claim is not None
    assert len(claim.version) <= 2000
    assert claim.minimal is None
    (problem,) = claim.problems
    assert problem.startswith("the label io.capadvise.minimal holds no capabilities: ")
    assert len(problem) < 150


def test_labels_of_others_say_nothing() -> None:
    assert claim_of({"io.capadvise.colour": "blue", "maintainer": "x"}) is None


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """What an engine says of each image."""

    def described(*_: object) -> str:
        return json.dumps([{"Config": {"Labels": found}}])

    found: dict[str, str] = {}
    monkeypatch.setattr(Client, "described_image", described)
    monkeypatch.setattr(engine_images, "clients", lambda: [Client("docker", ("docker",))])
    return found.update


def test_an_image_is_shown_escaped(
    labelled: Callable[[dict[str, str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    labelled({**LABELS, "io.capadvise.report": "\x1b[2J", "io.capadvise.user": "$(id)"})
    assert main(["known", "image:web\x1b"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "minimal set: CHOWN" in text
    assert main(["known", "image:web", "--format", "docker", "--set", "minimal"]) == 0
    text = capsys.readouterr().out
    assert "--cap-add=CHOWN" in text
    assert "KILL" not in text
    assert "$(id)" not in text
    assert main(["known", "image:web", "--format", "systemd"]) == 0
    assert "CAP_KILL" in capsys.readouterr().out


def test_an_image_without_labels(
    labelled: Callable[[dict[str, str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["known", "image:web"]) == 2
    assert "web has no label that says what it needs" in capsys.readouterr().err
    labelled({"io.capadvise.version": "1"})
    assert main(["known", "image:web", "--format", "docker"]) == 2
    assert "no label names that set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("caps", "said"),
    [
        ("CHOWN, KILL", ""),
        ("CHOWN", ""),
        ("CHOWN, KILL, SYS_TIME", "needs CHOWN and KILL; this service also holds SYS_TIME"),
        ("KILL", ""),  # that something is missing, no label proves
    ],
)
def test_a_service_beside_the_labels_of_its_image(
    caps: str,
    said: str,
    labelled: Callable[[dict[str, str]], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They hide nothing of the table of known programs, and are read only where it is asked for."""
    nginx_alone(monkeypatch)
    labelled(LABELS)
    path = tmp_path / "compose.yaml"
    path.write_text(
        f"services:\n  a:\n    image: nginx\n    user: root\n    cap_drop: [ALL]\n"
        f"    cap_add: [{caps}]\n"
    )
    main(["check", str(path), "--format", "github", "--images"])
    text = capsys.readouterr().out
    assert ("label-needs" in text) is bool(said)
    assert said in text
    assert "known-needs" in text  # what was proven is said in any case
    main(["check", str(path), "--format", "github"])
    assert "label-needs" not in capsys.readouterr().out


def test_labels_that_cannot_be_read_are_named_and_hide_nothing(
    labelled: Callable[[dict[str, str]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled({"io.capadvise.minimal": "CHWON\x1b", "io.capadvise.version": "1"})
    path = tmp_path / "compose.yaml"
    path.write_text("services:\n  a:\n    image: nginx\n    cap_add: [SYS_TIME]\n")
    main(["check", str(path), "--format", "github", "--images"])
    text = capsys.readouterr().out
    assert r"a: the label io.capadvise.minimal holds no capabilities: CHWON\x1b. " in text
    assert "name suggests nginx" in text


def test_the_minimal_set_of_a_label_is_not_called_the_recommended_one(
    labelled: Callable[[dict[str, str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    labelled({"io.capadvise.minimal": "CHOWN"})
    assert main(["known", "image:web", "--format", "label"]) == 0
    printed = capsys.readouterr()
    assert 'io.capadvise.minimal="CHOWN"' in printed.out
    assert "io.capadvise.recommended" not in printed.out
    assert "no label names the recommended set: this is the minimal one" in printed.err
    labelled(LABELS)
    assert main(["known", "image:web", "--format", "label"]) == 0
    both = capsys.readouterr().out
    assert 'io.capadvise.minimal="CHOWN"' in both
    assert 'io.capadvise.recommended="CHOWN,KILL"' in both


def layout(folder: Path, **other: Any) -> Path:
    config, manifest = "a" * 64, "b" * 64
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / config).write_text(json.dumps({"config": {"Labels": LABELS}}))
    (blobs / manifest).write_text(json.dumps({"config": {"digest": f"sha256:{config}"}}))
    index = {"manifests": [{"digest": f"sha256:{manifest}"}], **other}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def test_a_folder_in_ocis_layout(tmp_path: Path) -> None:
    assert labels_of(f"oci:{layout(tmp_path)}") == LABELS


@pytest.mark.parametrize(
    "digest", ["sha256:../../../etc/passwd", "sha256:ab", "../x", "", 7, None, {}]
)
def test_a_digest_leads_nowhere_else(digest: object, tmp_path: Path) -> None:
    folder = layout(tmp_path, manifests=[{"digest": digest}])
    with pytest.raises(BadInput, match="not an image in OCI's layout"):
        labels_of(f"oci:{folder}")


def test_a_pipe_and_a_flood_in_a_layout(tmp_path: Path) -> None:
    folder = layout(tmp_path)
    (folder / "index.json").write_text("[" * 5_000_000)
    with pytest.raises(BadInput, match="too large"):
        labels_of(f"oci:{folder}")
    (folder / "index.json").write_text("[" * 1_000_000)
    with pytest.raises(BadInput, match="not an image"):
        labels_of(f"oci:{folder}")
    (folder / "index.json").unlink()
    os.mkfifo(folder / "index.json")
    with pytest.raises(BadInput, match=r"index\.json: a pipe, which is not read"):
        labels_of(f"oci:{folder}")
