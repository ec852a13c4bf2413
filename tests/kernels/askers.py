"""Compares who asks for a capability in stock kernels with what the catalog judges.

Prints how many of the askers of each kernel are judged, and, for those that are not, the rows that
catalog/askers.tsv wants: read the kernel's source and complete them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from capadvise.catalog import Catalog, default
from capadvise.catalog.askers import Asker, NamespaceScope
from capadvise.catalog.sites import among
from capadvise.model.caps import Cap
from tests.kernels import image, machine_code, packages

LEAST = {"core": 1.0, "drivers": 0.95}
"""So much of each must be judged."""
QUICK = "newest"


@dataclass(frozen=True)
class Seen:
    """An asker of one kernel."""

    function: str
    cap: Cap | None
    module: str
    scope: NamespaceScope
    part: str
    """``core`` or ``drivers``."""


def seen_in(kernel: packages.Unpacked) -> Iterator[Seen]:
    """Everybody who asks in a kernel and its modules."""
    for item in machine_code.of_image(image.read(kernel.image)):
        yield _seen(item, "vmlinux", "core")
    for path in sorted(kernel.modules.rglob("*.ko*")):
        folder = path.relative_to(kernel.modules / "kernel").parts[0]
        part = "drivers" if folder in ("drivers", "sound") else "core"
        for item in machine_code.of_module(path):
            yield _seen(item, path.name.partition(".ko")[0], part)


def _seen(item: machine_code.Asked, module: str, part: str) -> Seen:
    initial = item.wrappers & machine_code.INITIAL
    scope = NamespaceScope.BOTH if initial and item.wrappers - initial else NamespaceScope.OWNER
    if initial == item.wrappers:
        scope = NamespaceScope.INITIAL
    return Seen(item.function, None if item.cap is None else Cap(item.cap), module, scope, part)


def judged(item: Seen, catalog: Catalog, rows: Mapping[str, list[Asker]]) -> bool:
    """Whether a rule that names the function, or its own row, says what a refusal means."""
    for row in rows.get(item.function, ()):
        if row.meaning and (item.cap is None or row.cap in (None, item.cap)):
            return True
    for rule in catalog.sites.rules:
        names = [pattern.partition("<")[0] for pattern in rule.at]
        named = any(name != "*" and among(item.function, (name,)) for name in names)
        if named and (rule.caps is None or item.cap is None or item.cap in rule.caps):
            return True
    return False


def compare(unpacked: packages.Unpacked, catalog: Catalog) -> list[str]:
    """Print the share that is judged; what is wrong, a line each."""
    rows: dict[str, list[Asker]] = {}
    for row in catalog.askers:
        rows.setdefault(row.function, []).append(row)
    seen = set(seen_in(unpacked))
    built_in = {f for f, known in rows.items() if any(_is_driver(row) for row in known)}
    wrong = []
    for part, least in LEAST.items():
        mine = [s for s in seen if part == _part(s, built_in)]
        missing = [s for s in mine if not judged(s, catalog, rows)]
        share = 1 - len(missing) / len(mine)
        print(f"{unpacked.modules.name}: {part}: {len(mine) - len(missing)} of {len(mine)} judged")
        lines = [_line(item, _series(unpacked)) for item in sorted(missing, key=str)]
        print("\n".join(lines) or "  none is new", flush=True)
        if share < least:
            wrong.append(f"{unpacked.modules.name}: {part}: {share:.1%} instead of {least:.0%}")
    for item in sorted(seen, key=str):
        known = [row.scope for row in rows.get(item.function, ()) if row.cap == item.cap]
        if item.scope is NamespaceScope.INITIAL and known == [NamespaceScope.OWNER]:
            wrong.append(f"{unpacked.modules.name}: {item.function} asks the initial namespace")
    return wrong


def _is_driver(row: Asker) -> bool:
    return row.source.startswith(("drivers/", "sound/"))


def _part(item: Seen, built_in: set[str]) -> str:
    return "drivers" if item.function in built_in else item.part


def _series(unpacked: packages.Unpacked) -> str:
    return ".".join(unpacked.modules.name.split(".")[:2])


def _line(item: Seen, kernel: str) -> str:
    cap = "?" if item.cap is None else item.cap.name
    columns = [item.function, cap, kernel, item.module, "SOURCE", str(item.scope)]
    return "\t".join([*columns, "MEANING", "ERROR", "-", "TEXT", "-"])


def main() -> int:
    """Fail where too many are not judged."""
    parser = argparse.ArgumentParser(prog="tests/kernels/askers", description=__doc__)
    names = list(dict.fromkeys(kernel.name for kernel in packages.KERNELS))
    parser.add_argument("--architecture", choices=packages.ARCHITECTURES, default="amd64")
    parser.add_argument("--kernel", choices=names, help="this one alone")
    parser.add_argument(
        "--quick", action="store_true", help="the newest one, as the tests of kernels boot it"
    )
    args = parser.parse_args()
    wanted = QUICK if args.quick else args.kernel
    flavour = packages.CLOUD if args.quick else ""
    wrong: list[str] = []
    for kernel in packages.KERNELS:
        ours = kernel.architecture.name == args.architecture
        if ours and wanted in (None, kernel.name):
            wrong += compare(packages.fetch(kernel, flavour), default())
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
