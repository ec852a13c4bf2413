"""Making the image of a recipe, out of what is installed here."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from capadvise.model.caps import Cap
from tests.images.recipe import Recipe
from tests.support import images
from tests.support.containers import CLIENTS, call
from tests.support.required import tool

BASE = (
    *("coreutils", "findutils", "dash", "bash", "util-linux", "gosu", "grep", "sed", "hostname"),
    *("libc-bin", "passwd", "procps"),
)
NAMES = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"


@contextmanager
def image(recipe: Recipe) -> Iterator[str]:
    """Its name, as long as the block lasts."""
    name = f"capadvise-{recipe.name}:1"
    of_host = {f"etc/{file}": Path(f"/etc/{file}").read_text() for file in ("passwd", "group")}
    with TemporaryDirectory() as folder:
        tar = Path(folder) / "image.tar"
        if recipe.static:
            programs = {name: tool(program) for name, program in recipe.static.items()}
            images.static(tar, programs, recipe.files)
        else:
            images.debian(
                tar,
                packages((*BASE, *recipe.packages)),
                {"etc/nsswitch.conf": NAMES, **of_host, **recipe.files},
                recipe.owners,
                {path: Cap.parse(cap) for path, cap in recipe.filecaps.items()},
            )
        images.load(tar, name, CLIENTS["docker"], *recipe.changes)
    try:
        yield name
    finally:
        call("docker", "image", "rm", "--force", name)


def packages(patterns: tuple[str, ...]) -> list[str]:
    """Those of them that are installed."""
    words = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${binary:Package}\n", *patterns]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("installed")]
