"""Boots stock kernels and runs the table in each; prints kernel × observer × result."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.kernels import boot, packages, root

TOOLS = ("qemu-system-x86_64", "cpio", "depmod", "dpkg", "apt-get")
SECONDS = 1800
"""So long may one guest take. On an idle machine it is a tenth."""


@dataclass(frozen=True)
class Result:
    """One kernel and observer."""

    release: str
    observer: str
    passed: int
    failed: int
    seconds: float


def main() -> int:
    """Fail if anything failed, or a guest did not come to its end."""
    args = _arguments()
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"missing: {', '.join(missing)}; tests/run installs them")
    chosen = [kernel for kernel in packages.KERNELS if args.kernel in (None, kernel.name)]
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        base = Path(name) / "base.cpio"
        root.build(Path(name) / "root", base)
        for kernel in chosen:
            observers = [args.observer] if args.observer else list(kernel.observers)
            unpacked = packages.fetch(kernel)
            for observer in observers:
                found = _boot(unpacked, base, observer, args.only)
                results.append(found)
                print(_line(found), flush=True)
    print()
    print(f"{'kernel':28} {'observer':11} {'result':16} {'seconds':>7}")
    for result in results:
        print(_line(result))
    return int(any(result.failed or not result.passed for result in results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/kernels/run", description=__doc__)
    names = [kernel.name for kernel in packages.KERNELS]
    parser.add_argument("--kernel", choices=names, help="this one alone")
    parser.add_argument("--observer", help="this one alone")
    parser.add_argument("--only", default="", help="only tests whose names match this pattern")
    return parser.parse_args()


def _line(result: Result) -> str:
    said = f"{result.passed} of {result.passed + result.failed} passed"
    return f"{result.release:28} {result.observer:11} {said:16} {result.seconds:7.0f}"


def _boot(kernel: packages.Unpacked, base: Path, observer: str, only: str) -> Result:
    began = time.monotonic()
    passed = failed = 0
    for line in _said(kernel, base, observer, only):
        words = line.split()
        if words[:1] == ["result:"]:
            passed, failed = int(words[1]), int(words[2])
        elif words[:1] != ["ok"] or sys.stderr.isatty():
            print(f"  {line}", file=sys.stderr, flush=True)
    return Result(kernel.modules.name, observer, passed, failed, time.monotonic() - began)


def _said(kernel: packages.Unpacked, base: Path, observer: str, only: str) -> Iterator[str]:
    python = Path(sys.prefix) / "bin/python"
    job = f"""
    cd {root.REPOSITORY}
    export PATH={python.parent}:$PATH CAPADVISE_OBSERVER={observer} ONLY='{only}'
    exec {python} -m tests.kernels.table
    """
    return boot.run(kernel, base, job, seconds=SECONDS)


if __name__ == "__main__":
    sys.exit(main())
