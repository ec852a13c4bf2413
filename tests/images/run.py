"""``python -m tests.images.run [NAME…]``: the table of all images, or of these.

``--times`` only proves each of them, and says where the time went: for a quiet machine. It installs
what they are made of, and needs root, docker and a kernel that can be traced.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from tests.images import verify
from tests.images.build import image
from tests.images.recipe import Recipe, names, recipe
from tests.support import runs
from tests.support.containers import ENVIRONMENT

_SETUP = Path(__file__).parents[2] / ".ci" / "setup"
_NEW, _OTHER = "new volume", "other owner"
HEAD = (
    *("image", "proven", "minimal", "recommended adds", "new volume", "other owner", "restart"),
    *("each removal breaks it", "seconds", "trials"),
)


@dataclass(frozen=True)
class Failure:
    """Where a proven set did not do."""

    caps: str
    """``minimal`` or ``recommended``."""
    data: str
    at: str
    """``start`` or ``restart``."""
    words: str


@dataclass(frozen=True)
class Row:
    """What was seen of one image."""

    recipe: Recipe
    proven: bool
    minimal: tuple[str, ...]
    recommended: tuple[str, ...]
    seconds: float
    """Of ``capadvise run --prove``."""
    trials: int
    said: str
    recording: float
    """Seconds of the recording."""
    each: tuple[float, ...]
    """Seconds of each trial: two at a time."""
    failures: tuple[Failure, ...] = ()
    spare: tuple[str, ...] = ()
    """Members of the minimal set without which the client is served all the same."""

    @property
    def right(self) -> bool:
        """Whether all is as it must be."""
        return self.proven and not self.failures and not self.spare

    def __str__(self) -> str:
        """A line of the table."""

        def held(failures: Iterable[Failure]) -> str:
            return "; ".join(f"{one.caps} fails" for one in failures) or "ok"

        failures, has_data = self.failures, self.recipe.data is not None
        at_start = [one for one in failures if one.at == "start"]
        seen = (
            held(one for one in at_start if one.data == _NEW),
            held(one for one in at_start if one.data == _OTHER) if has_data else "–",
            held(one for one in failures if one.at == "restart"),
            f"not {' '.join(self.spare)}" if self.spare else "yes",
        )
        cells = (
            self.recipe.name,
            "yes" if self.proven else "**no**",
            " ".join(self.minimal) or "nothing",
            " ".join(sorted({*self.recommended} - {*self.minimal})) or "–",
            *(seen if self.proven else ["–"] * 4),
            f"{self.seconds:.0f}",
            str(self.trials),
        )
        return f"| {' | '.join(cells)} |"


def tried(recipe: Recipe) -> Row:
    """Record and prove it as a user does, without any option; then see for oneself."""
    with image(recipe) as name:
        row = _proven(recipe, name)
        if not row.proven:
            return row
        began = time.monotonic()
        failures = [*_failing(recipe, name, "minimal", row.minimal)]
        # what has come up without one capability is given twice as long
        hasty = replace(recipe, patience=max(3, time.monotonic() - began))
        if row.recommended != row.minimal:
            failures += _failing(recipe, name, "recommended", row.recommended)
        return replace(row, failures=tuple(failures), spare=tuple(_spare(hasty, name, row.minimal)))


def _proven(recipe: Recipe, name: str) -> Row:
    with _data(recipe) as place, tempfile.TemporaryDirectory() as folder:
        mount = ["--volume", f"{place}:{recipe.data}"] if place else []
        began = time.monotonic()
        seen = runs.record(
            Path(folder) / "report.json",
            *("docker", "run", "--rm", *mount, *recipe.options, name, *recipe.arguments),
            options=("--prove",),
            env=ENVIRONMENT,
        )
    proof = seen.report.get("proof") or {} if seen.report else {}
    trials = proof.get("trials", ())
    return Row(
        recipe,
        proven=seen.code == 0 and seen.minimal is not None,
        minimal=tuple(sorted(seen.minimal or ())),
        recommended=tuple(sorted(seen.recommended)) if seen.report else (),
        seconds=time.monotonic() - began,
        trials=len(trials),
        said=seen.stderr,
        recording=sum(one["seconds"] for one in seen.report.get("recordings", ())[:1]),
        each=tuple(trial["seconds"] for trial in trials),
    )


def _data(recipe: Recipe) -> AbstractContextManager[str | None]:
    """What it is recorded with: a folder of the host, which is neither root's nor its user's."""
    return verify.foreign_folder() if recipe.data else nullcontext()


def _failing(
    recipe: Recipe, name: str, label: str, caps: tuple[str, ...], *, must_stop: bool = False
) -> Iterator[Failure]:
    """What fails with just this set. ``must_stop``: see ``verify.serves``."""
    sources = {_NEW: verify.volume(f"capadvise-new-{os.getpid()}")}
    if recipe.data:
        sources[_OTHER] = verify.foreign_folder()
    for data, source in sources.items():
        with source as place:
            if failed := verify.serves(recipe, name, place, caps, must_stop=must_stop):
                yield Failure(label, data, failed.at, failed.words)


def _spare(recipe: Recipe, name: str, minimal: tuple[str, ...]) -> Iterator[str]:
    """Those without which nothing fails: it does not fail to stop, either, if it stops at all."""
    stops = next(_failing(recipe, name, "", minimal, must_stop=True), None) is None
    for cap in minimal:
        less = tuple({*minimal} - {cap})
        if next(_failing(recipe, name, "", less, must_stop=stops), None) is None:
            yield cap


GOALS = {"nginx": 12.0, "redis": 8.0, "postgres": 35.0, "mail": 90.0}
"""Seconds that a proof may take on a quiet machine of two processors."""
_TIMES = ("image", "proven", "seconds", "goal", "recording", "trials", "seconds of each")


def _times(recipes: list[Recipe]) -> int:
    """Of the proofs alone."""
    print(f"| {' | '.join(_TIMES)} |\n|{'---|' * len(_TIMES)}", flush=True)
    missed = False
    for one in recipes:
        load = os.getloadavg()[0]
        with image(one) as name:
            row = _proven(one, name)
        goal = GOALS.get(one.name)
        missed |= not row.proven or (goal is not None and row.seconds > goal)
        cells = (
            *(one.name, "yes" if row.proven else "**no**", f"{row.seconds:.1f}"),
            *("–" if goal is None else f"{goal:.0f}", f"{row.recording:.1f}", str(row.trials)),
            " ".join(f"{seconds:.1f}" for seconds in row.each),
        )
        print(f"| {' | '.join(cells)} |", flush=True)
        if load > _BUSY:
            print(f"{one.name}: the load was {load:.1f}: no measurement", file=sys.stderr)
    return int(missed)


_BUSY = 1.5
"""A load, as it was before, with which times mean nothing."""


def main(wanted: list[str]) -> int:
    """As a program."""
    times, wanted = "--times" in wanted, [word for word in wanted if word != "--times"]
    recipes = [recipe(name) for name in wanted or names()]
    packages = {package for one in recipes for package in one.install}
    subprocess.run([_SETUP, "dev", *sorted(packages)], check=True, stdout=sys.stderr)
    if times:
        return _times(recipes)
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    rows = []
    for one in recipes:
        row = tried(one)
        print(row, flush=True)
        if not row.right:
            print(row.said, file=sys.stderr)
        for failure in row.failures:
            print(f"{one.name}: {failure}", file=sys.stderr)
        rows.append(row)
    return 0 if all(row.right for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
