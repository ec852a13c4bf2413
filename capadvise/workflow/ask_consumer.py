"""What the program that reads a file makes of it, where it is installed: kubectl, docker compose,
quadlet, systemd. None where it is not, or does not take the file."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from capadvise.formats import compose, flags, kubernetes
from capadvise.formats.declared import Declared
from capadvise.formats.unit_file import parse, split
from capadvise.gate.sources import QUADLETS
from capadvise.model.caps import NAMES
from capadvise.model.errors import BadInput
from capadvise.targets.client.answer import NoAnswer, TooLate, answer_of

SECONDS = 30.0
"""They read files; one that takes longer hangs."""
MAX_BESIDE, MAX_BYTES = 200, 1 << 20
"""Of the files beside one that is asked about."""
_QUADLET = ("/usr/libexec/podman/quadlet", "/usr/lib/podman/quadlet")


def services(text: str, folder: Path) -> tuple[Declared, ...] | None:
    """The services of a compose file, by docker compose."""
    from capadvise.targets.containers.compose import resolved_text

    for variables in (True, False):
        try:
            return compose.read(resolved_text(text, str(folder), variables=variables))
        except NoAnswer:
            continue
    return None


def containers(text: str) -> tuple[Declared, ...] | None:
    """The containers of a manifest, by kubectl."""
    shown = _output(["kubectl", "label", "--local", "-o", "json", "-f", "-", "capadvise=x"], text)
    if not shown:
        return None
    decoder, rest, objects = json.JSONDecoder(), shown.strip(), []
    while rest:
        value, end = decoder.raw_decode(rest)
        objects.append(json.dumps(value))
        rest = rest[end:].strip()
    return kubernetes.read("\n---\n".join(objects))


def container(name: str, files: Mapping[str, str]) -> Declared | None:
    """The container of a quadlet among other files, by the command line that quadlet makes."""
    program = next(filter(os.path.exists, _QUADLET), None)
    if program is None:
        return None
    with tempfile.TemporaryDirectory(prefix="capadvise-units-") as folder:
        _write(Path(folder), files)
        shown = _output([program, "-dryrun"], environment={"QUADLET_UNIT_DIRS": folder})
    unit = re.search(rf"^---{re.escape(Path(name).stem)}\.service---$", shown or "", re.MULTILINE)
    if shown is None or unit is None:
        return None
    service = shown[unit.end() :].partition("\n---")[0]
    commands = parse(service).all_of("Service").values("ExecStart")
    words = [word for item in commands for word in split(item.value, 1, "shell-like")]
    return flags.declared(words[words.index("run") + 1 :], "podman", 1) if "run" in words else None


def bounding(name: str, files: Mapping[str, str]) -> dict[frozenset[str], bool] | None:
    """Groups of capabilities, and whether a unit may hold any of one, by systemd."""
    argv = ["systemd-analyze", "security", "--offline=true", "--json=short", f"./{name}"]
    with tempfile.TemporaryDirectory(prefix="capadvise-units-") as folder:
        _write(Path(folder), files)
        shown = _output(argv, folder=folder)
    try:
        rows = json.loads(shown or "")
    except ValueError:
        return None
    groups = {}
    for row in rows:
        _, is_group, group = str(row["name"]).partition("CapabilityBoundingSet=~")
        if is_group:
            groups[frozenset(members(group))] = not row["set"]
    return groups


def complaint(name: str, files: Mapping[str, str], of: str) -> str | None:
    """The first thing that ``systemd-analyze verify`` does not like of a file among these."""
    if shutil.which("systemd-analyze") is None:
        return None
    # It fails for whatever it finds, in files of others as well.
    argv = ["sh", "-c", 'systemd-analyze verify --man=no "./$1" 2>&1 || :', "sh", name]
    with tempfile.TemporaryDirectory(prefix="capadvise-units-") as folder:
        _write(Path(folder), files)
        said = _output(argv, folder=folder) or ""
    lines = (line.partition(f"{of}:") for line in said.splitlines())
    return next((rest for _, is_about_it, rest in lines if is_about_it), None)


def around(paths: Sequence[str], texts: Sequence[str]) -> dict[str, str]:
    """A unit and its drop-ins, and the quadlets beside it that it can refer to, by their names in
    their folder."""
    folder = Path(paths[0]).parent
    files = {os.path.relpath(path, folder): text for path, text in zip(paths, texts, strict=True)}
    beside = [each for each in sorted(folder.iterdir()) if each.suffix in QUADLETS]
    for other in beside[:MAX_BESIDE]:
        if other.name not in files and other.is_file() and other.stat().st_size < MAX_BYTES:
            files[other.name] = other.read_text(encoding="utf-8", errors="replace")
    return files


def rendered(path: str, argv: Sequence[str]) -> str:
    """What a tool makes of a kustomization or a chart. Raises BadInput where it refuses it."""
    try:
        return answer_of(argv, argv[0], SECONDS).stdout
    except NoAnswer as error:
        raise BadInput(f"{path}: {error}") from error


def members(group: str) -> set[str]:
    """``CAP_SYS_(NICE|RESOURCE)`` and ``CAP_MAC_*`` as names."""
    pattern = re.compile(group.replace("*", "[A-Z_]*"))
    return {f"CAP_{name}" for name in NAMES if pattern.fullmatch(f"CAP_{name}")}


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text, encoding="utf-8", newline="")


def _output(
    argv: Sequence[str],
    given: str = "",
    *,
    folder: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """What a program prints; None where it is not there, or fails."""
    if shutil.which(argv[0]) is None:
        return None
    try:
        return answer_of(
            argv, argv[0], SECONDS, given=given, folder=folder, environment=environment
        ).stdout
    except TooLate as error:
        raise BadInput(str(error)) from error
    except NoAnswer:
        return None


def named(declared: Sequence[Declared] | None, service: str) -> Declared | None:
    """The one of this name."""
    return next((item for item in declared or () if item.service == service), None)
