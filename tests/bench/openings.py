"""Programs that people give SYS_ADMIN: what docker's seccomp profile must open instead.

Usage: nice python -m tests.bench.openings [NAME …]
As root, beside a dockerd. Each program of this list whose Debian packages are installed runs in a
container of an image of them: recorded, proven, tried without SYS_ADMIN (start, check, stop, second
start), and then started with exactly what ``emit --without`` wrote. Prints the rows of the table of
docs/containers.md: the set before, what replaces it, or the use that forbids it.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import images
from tests.support.containers import MARK, call
from tests.support.runs import CAPADVISE

IMAGE = f"{MARK}-openings"
_SECONDS = 900
_USER = ("--user=33",)
_BASE = ("coreutils", "dash", "util-linux", "mount")


@dataclass(frozen=True)
class Program:
    """One program, and how its container is started."""

    name: str
    words: tuple[str, ...]
    packages: tuple[str, ...] = ()
    options: tuple[str, ...] = _USER


def _sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


_OPEN = ("--security-opt=systempaths=unconfined",)
PROGRAMS = (
    Program("unshare, a user and mount namespace", ("unshare", "-Urm", "true")),
    Program("bubblewrap, every namespace", ("bwrap", "--unshare-all", "--bind", "/", "/", "true")),
    Program(
        "bubblewrap, with its own /proc",
        ("bwrap", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"),
        options=(*_USER, *_OPEN),
    ),
    Program(
        "bubblewrap, as root",
        ("bwrap", "--unshare-user", "--unshare-pid", "--bind", "/", "/", "true"),
        options=(),
    ),
    Program(
        "an overlay in a user namespace",
        _sh(
            "unshare -Urm sh -ec 'mount -t tmpfs t /tmp; cd /tmp; mkdir l u w m;"
            " mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m; touch m/f'"
        ),
    ),
    Program(
        "unshare -p with its own /proc",
        ("unshare", "-Urpf", "--mount-proc", "true"),
        options=(*_USER, *_OPEN),
    ),
    Program(
        "nsenter into its own child",
        _sh("unshare -Ur sleep 9 & sleep 2; nsenter -U --preserve-credentials -t $! true; kill $!"),
    ),
    Program("a network of its own", ("unshare", "-Urn", "true")),
    Program(
        "a host name in a namespace of its own", _sh("unshare -Uru hostname sandbox"), ("hostname",)
    ),
    Program(
        "bindfs (FUSE) in a user namespace",
        _sh(
            "cd /tmp; mkdir a b; touch a/f; unshare -Urm sh -ec"
            " 'bindfs --no-allow-other a b; test -e b/f; umount b'"
        ),
        ("bindfs", "fuse3"),
        (*_USER, "--device=/dev/fuse"),
    ),
    Program(
        "bindfs (FUSE), as root",
        _sh("cd /tmp; mkdir a b; touch a/f; bindfs a b; test -e b/f; umount b"),
        ("bindfs", "fuse3"),
        ("--device=/dev/fuse",),
    ),
    Program("hostname", ("hostname", "x"), ("hostname",), ()),
    Program("mount of a tmpfs", ("mount", "-t", "tmpfs", "none", "/tmp"), options=()),
    Program("mount --bind", ("mount", "--bind", "/usr", "/tmp"), options=()),
    Program("unshare -m, as root", ("unshare", "-m", "true"), options=()),
)


def _installed(packages: tuple[str, ...]) -> bool:
    return call("dpkg-query", "-W", *packages).returncode == 0


def main(names: list[str]) -> None:
    """Print a row for each program, as soon as it is known."""
    packages = tuple(dict.fromkeys(p for one in PROGRAMS for p in one.packages))
    packages = tuple(p for p in (*packages, "bubblewrap") if _installed((p,)))
    with tempfile.TemporaryDirectory() as folder:
        images.debian(Path(folder, "i.tar"), (*_BASE, *packages), {})
        images.load(Path(folder, "i.tar"), IMAGE, ("docker",))
        try:
            print(
                "| program | set before | without SYS_ADMIN | trials, seconds |\n"
                + "| --- " * 4
                + "|"
            )
            for one in PROGRAMS:
                if (not names or one.name in names) and set(one.packages) <= set(packages):
                    print(_row(one, Path(folder)), flush=True)
        finally:
            call("docker", "image", "rm", "-f", IMAGE)


def _row(one: Program, folder: Path) -> str:
    report, began = folder / "r.json", time.monotonic()
    report.unlink(missing_ok=True)
    run = ("docker", "run", "--rm", "--network=none", *one.options, IMAGE, *one.words)
    call(CAPADVISE, "run", "-q", "-o", str(report), "--", *run, timeout=_SECONDS)
    done = call(
        *(CAPADVISE, "prove", "--without", "SYS_ADMIN", "-o", str(report), str(report)),
        timeout=_SECONDS,
    )
    document: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    proof = document.get("proof") or {}
    opening = proof.get("opening")
    if opening is None:
        last = (done.stderr.strip().splitlines() or ["no report"])[-1]
        return f"| {one.name} | | not tried: {last} | |"
    minimal = proof["minimal"]
    before = "none is enough" if minimal is None else ", ".join(_short(minimal["caps"])) or "none"
    answer = f"no: {opening['forbidden']}"
    if opening["profile"]:
        left = ", ".join(_short(opening["caps"])) or "no capability"
        calls = ", ".join([*opening["calls"], *["unmasked paths"] * opening["unmasked"]])
        answer = f"{left}; {calls.replace('|', chr(92) + '|')}; {_started(one, report)}"
    seconds = f"{opening['trials']}, {time.monotonic() - began:.0f}"
    return f"| {one.name} | {before} | {answer} | {seconds} |"


def _short(caps: list[str]) -> Iterator[str]:
    return (cap.removeprefix("CAP_") for cap in caps)


def _started(one: Program, report: Path) -> str:
    """What a real start with the emitted flags says."""
    emit = (CAPADVISE, "emit", report.name, "--without", "SYS_ADMIN", "--format", "docker")
    done = subprocess.run(emit, cwd=report.parent, capture_output=True, text=True)
    flags = shlex.split(done.stdout, comments=True)
    argv = ("docker", "run", "--rm", "--network=none", *one.options, *flags, IMAGE, *one.words)
    tried = call(*argv, cwd=report.parent)
    return "starts as emitted" if tried.returncode == 0 else f"FAILS: {tried.stderr.strip()[-80:]}"


if __name__ == "__main__":
    main(sys.argv[1:])
