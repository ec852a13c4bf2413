"""Boots stock kernels and runs the table in each; prints kernel × observer × result."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kernels import boot, packages, root

TOOLS = ("cpio", "depmod", "dpkg", "apt-get")
SECONDS = 3600
"""So long may one guest take. On an idle machine it is a twentieth."""


@dataclass(frozen=True)
class Result:
    """One kernel and observer."""

    release: str
    observer: str
    passed: int
    failed: int
    seconds: int
    rows: tuple[tuple[str, bool], ...] = ()
    """The name of each test, and whether it passed."""


QUICK = "6.12"
"""The kernel of --quick: that of the newest stable release, where both kinds of probes work."""
UNCHECKED = r"^\[[a-z-]+\] "
"""The tests of rows that have an id of ``catalog/unchecked.yaml``."""
QUICK_ROWS = (
    r"^(true|id|ping|chown nobody f|chmod 644 f|cat f|su |ip link|install .* 2755|sh: mount)"
    "|refusals are told|others are not|kill 9|apparmor|watch names|ordinary user|doctor|xfs|module"
    "|securebits"
)


def main() -> int:
    """Fail if anything failed, or a guest did not come to its end."""
    args = _arguments()
    architecture = packages.ARCHITECTURES[args.architecture]
    missing = [tool for tool in (architecture.qemu[0], *TOOLS) if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"missing: {', '.join(missing)}; tests/kernels/run installs them")
    if args.quick:
        args.kernel, args.only = QUICK, QUICK_ROWS
    if args.unchecked:
        args.only = args.only or UNCHECKED
    options = ""
    if args.selinux:
        options, args.only = "security=selinux selinux=1", args.only or "selinux|watch names"
    chosen = [
        kernel
        for kernel in packages.KERNELS
        if kernel.architecture == architecture and args.kernel in (None, kernel.name)
    ]
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        base = Path(name) / "base.cpio"
        root.build(Path(name) / "root", base, architecture, selinux=args.selinux)
        for kernel in chosen:
            observers = [args.observer] if args.observer else list(kernel.observers)
            booted = list(_boot(kernel, base, observers, args.only, options))
            results += booted
            results += [
                Result(kernel.name, observer, 0, 1, 0)
                for observer in observers[len(booted) :]  # the guest did not come so far
            ]
    if args.unchecked:
        print("\n".join(by_row(results)))
    print(f"{'kernel':28} {'observer':11} {'result':16} {'seconds':>7}")
    for item in results:
        said = f"{item.passed} of {item.passed + item.failed} passed"
        print(f"{item.release:28} {item.observer:11} {said:16} {item.seconds:7}")
    return int(any(item.failed or not item.passed for item in results))


def by_row(results: Sequence[Result]) -> Iterator[str]:
    """Each test, and the kernels in which it passed. Pure."""
    for name in dict.fromkeys(name for one in results for name, _ in one.rows):
        said = {f"{one.release} {one.observer}": dict(one.rows).get(name) for one in results}
        failed = [where for where, passed in said.items() if not passed]
        yield f"{'agree' if not failed else 'differ: ' + ', '.join(failed)}  {name}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/kernels/run", description=__doc__)
    names = list(dict.fromkeys(kernel.name for kernel in packages.KERNELS))
    parser.add_argument("--kernel", choices=names, help="this one alone")
    parser.add_argument("--architecture", choices=packages.ARCHITECTURES, default="amd64")
    parser.add_argument("--observer", help="this one alone")
    parser.add_argument("--only", default="", help="only tests whose names match this pattern")
    parser.add_argument(
        "--unchecked", action="store_true", help="the needs that no check shows, row by row"
    )
    parser.add_argument("--quick", action="store_true", help="one kernel, a dozen programs")
    parser.add_argument(
        "--selinux", action="store_true", help="with SELinux in AppArmor's place; takes secilc"
    )
    return parser.parse_args()


def _boot(
    kernel: packages.Kernel, base: Path, observers: list[str], only: str, options: str
) -> Iterator[Result]:
    unpacked, architecture = packages.fetch(kernel), kernel.architecture
    python = root.python_of(architecture)
    job = f"""
    cd {shlex.quote(str(root.REPOSITORY))}
    export PATH={shlex.quote(str(python.parent))}:$PATH ONLY='{only}'
    exec {shlex.quote(str(python))} -m tests.kernels.table {" ".join(observers)}
    """
    seconds, rows = SECONDS * len(observers), list[tuple[str, bool]]()
    for line in boot.run(unpacked, base, job, architecture, options=options, seconds=seconds):
        words = line.split()
        if words[:1] in (["ok"], ["FAIL"]):
            name = re.split(r": \w+\(", " ".join(words[3:]))[0]  # what follows is the failure
            rows.append((name, words[0] == "ok"))
        if words[:1] == ["result:"]:
            passed, failed, took = map(int, words[2:5])
            release = unpacked.modules.name
            yield Result(release, words[1], passed, failed, took, tuple(rows))
            rows.clear()
        print(f"  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
