"""Debian's packages of any architecture: fetched through apt by name, unpacked, never installed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capadvise" / "kernels"
ARCHIVE = "/usr/share/keyrings/debian-archive-keyring.pgp"
CLOUD = "cloud-"
"""The flavour that is booted here: with few drivers. Without it: what a real machine has."""


@dataclass(frozen=True)
class Architecture:
    """What differs between guests."""

    name: str
    """As Debian calls it."""
    qemu: tuple[str, ...]
    """The command and what it emulates."""
    tty: str
    """Serial ports, but for their number."""
    processors: int = 2


AMD64 = Architecture("amd64", ("qemu-system-x86_64", "-cpu", "max"), "ttyS")
# without pointer authentication, which is slow where it is emulated
ARM64 = Architecture(
    "arm64",
    ("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a76"),
    "ttyAMA",
    processors=1,  # with two, each event that is switched on waits long for the other one
)
ARCHITECTURES = {item.name: item for item in (AMD64, ARM64)}


@dataclass(frozen=True)
class Kernel:
    """One kernel of the matrix."""

    name: str
    suites: tuple[str, ...]
    """Where it comes from; of several the newest counts."""
    observers: tuple[str, ...]
    """What it has, the preferred one first."""
    architecture: Architecture = AMD64


KERNELS = (
    Kernel("5.10", ("bullseye", "bullseye-security"), ("kprobe",)),
    Kernel("6.1", ("bookworm", "bookworm-security"), ("kprobe",)),
    Kernel("6.12", ("trixie", "trixie-security"), ("fprobe", "kprobe")),
    Kernel("newest", ("trixie-backports",), ("tracepoint", "fprobe", "kprobe")),
    Kernel("6.1", ("bookworm", "bookworm-security"), ("kprobe",), ARM64),
    Kernel("6.12", ("trixie", "trixie-security"), ("kprobe",), ARM64),
    Kernel("newest", ("trixie-backports",), ("tracepoint", "fprobe", "kprobe"), ARM64),
)
PROGRAMS = ("trixie", "trixie-security")
"""Where a guest's programs come from that are not this machine's."""


@dataclass(frozen=True)
class Unpacked:
    """A kernel on disk."""

    image: Path
    modules: Path
    """``…/lib/modules/VERSION``"""


def fetch(kernel: Kernel, flavour: str = CLOUD) -> Unpacked:
    """The newest package of this kernel; what was fetched before is kept."""
    place = _place(kernel.architecture) / kernel.name
    apt = _Apt(place, kernel.suites, kernel.architecture)
    parts = apt.parts(flavour + kernel.architecture.name)
    folder = place / parts[0]
    if not folder.exists():
        _unpack(apt, parts, folder)
    (image,) = [*folder.glob("boot/vmlinuz-*"), *folder.glob("usr/lib/modules/*/vmlinuz")]
    (modules,) = [*folder.glob("lib/modules/*"), *folder.glob("usr/lib/modules/*")]
    return Unpacked(image, modules)


def fetch_source(kernel: Kernel) -> Path:
    """The archive of this kernel's source as Debian packages it; kept for the next time."""
    place = _place(kernel.architecture) / kernel.name
    apt = _Apt(place, kernel.suites, kernel.architecture)
    depends = apt.run("apt-cache", "depends", "--no-recommends", "--no-suggests", "linux-source")
    (name,) = re.findall(r"Depends: (linux-source-[\d.]+)", depends)
    folder = place / name
    if not folder.exists():
        _unpack(apt, (name,), folder)
    (archive,) = folder.glob("usr/src/linux-source-*.tar.xz")
    return archive


def fetch_programs(architecture: Architecture, names: tuple[str, ...]) -> list[Path]:
    """Packages of another architecture, with all that they depend on; kept for the next time."""
    folder = _place(architecture) / "programs"
    apt = _Apt(folder, PROGRAMS, architecture)
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    install = ("-qq", "--no-install-recommends", "install", *names)
    apt.run("apt-get", "-y", "--download-only", *install)
    # what lies in the archives is not printed
    uris = apt.run("apt-get", f"-oDir::Cache::archives={folder}/none/", "--print-uris", *install)
    return [archives / name for name in re.findall(r"(?m)^\S+ (\S+\.deb) ", uris)]


def _unpack(apt: _Apt, names: Sequence[str], folder: Path) -> None:
    fresh = folder.with_suffix(".new")
    subprocess.run(["rm", "-rf", fresh], check=True)
    fresh.mkdir(parents=True)
    apt.run("apt-get", "-q", "download", *names, cwd=fresh)
    for package in fresh.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, fresh], check=True)
        package.unlink()
    fresh.rename(folder)


def _place(architecture: Architecture) -> Path:
    return CACHE if architecture == AMD64 else CACHE / architecture.name


class _Apt:
    """apt with sources and lists of its own, where nothing is installed. The mirror is the one that
    this machine uses."""

    def __init__(self, folder: Path, suites: tuple[str, ...], architecture: Architecture) -> None:
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(
            "".join(f"deb [signed-by={ARCHIVE}] {_mirror(name)} {name} main\n" for name in suites)
        )
        self._options = {
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State::lists": lists,
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder,
            "APT::Architecture": architecture.name,
            "APT::Architectures": architecture.name,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        self.run("apt-get", "-qq", "update")

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """apt-get or apt-cache with our options."""
        options = [f"-o{name}={value}" for name, value in self._options.items()]
        done = subprocess.run(
            [command[0], *options, *command[1:]],
            cwd=cwd,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def parts(self, flavour: str) -> list[str]:
        """The packages that hold the kernel behind a meta-package: newer ones are in parts."""
        package = f"linux-image-{flavour}"
        part = re.compile(
            rf"linux-(?:image|binary|modules)-\d(?:(?!cloud)[\w.+~-])*-{flavour}(?![\w-])"
        )
        record = self.run("apt-cache", "show", "--no-all-versions", package)
        names: list[str] = []
        for name in part.findall(re.sub(r"(?m)^(?!Depends|Pre-Depends).*\n", "", record)):
            names += [name] if name not in names else []
        for name in names:
            depends = self.run("apt-cache", "depends", "--no-recommends", "--no-suggests", name)
            names += [item for item in part.findall(depends) if item not in names]
        return names


def _mirror(suite: str) -> str:
    wanted = "debian-security" if suite.endswith("-security") else "debian"
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    for uri in targets.stdout.split():
        if uri.rstrip("/").endswith(f"/{wanted}"):
            return uri
    raise SystemExit(f"no source of apt here is a Debian archive ({wanted}): kernels come from it")
