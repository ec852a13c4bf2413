"""Makes tests/kernels/functions.tsv: in which kernels the functions are that the catalog names.

Looks at the symbols of Debian's kernels with all their modules, and, for names that a kernel does
not list, at its source. With --here it looks at the kernel that runs here instead, and only for
names that the list does not have yet. The last column is yours: what stands there stays.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, cast

from capadvise.catalog.sites import like
from tests.kernels import image, named, packages
from tests.kernels.machine_code import base_name, functions_of_module
from tests.kernels.named import Function, Kernel

HEAD = f"""\
The kernel functions and patterns that catalog/sites/ and catalog/signs.yaml name, and in which of
Debian's kernels (with all modules) each is a symbol, so that it can stand in a stack. "source":
series that define it, in "file", and have it inlined or not built. "why", by hand: where it is, if
none of these kernels has it. `{named.COMMAND}` makes the list, and with --here
adds what is new from the running kernel."""
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_OTHERS = ("arch", "drivers", "sound", "samples")
"""Where the same name can stand for something else."""
_DEFINITION = re.compile(rb"\n(?:[A-Za-z_][^\n;(){}=#]*[\s*])?(\w+)\((?=[^;{]*(.))")


def symbols_of(kernel: packages.Unpacked) -> set[str]:
    """The names of all functions of a kernel and its modules."""
    names = {base_name(name) for _, name in image.read(kernel.image).functions}
    return names | _of_modules(kernel.modules)


def symbols_here() -> set[str]:
    """Those of the running kernel, and of modules that it could load."""
    lines = map(str.split, Path("/proc/kallsyms").read_text(encoding="utf-8").splitlines())
    names = {base_name(line[2]) for line in lines if line[1] in "tTwW"}
    return names | _of_modules(Path("/lib/modules") / os.uname().release)


def _of_modules(folder: Path) -> set[str]:
    return {base_name(name) for path in folder.rglob("*.ko*") for name in functions_of_module(path)}


def defined_in(archive: Path, names: Iterable[str]) -> dict[str, str]:
    """Which of these the source defines: name → file. Of several files, one of the core."""
    wanted = {name.encode() for name in names}
    places: dict[str, str] = {}
    for file, text in _sources(archive):
        for match in _DEFINITION.finditer(text):
            if match[1] in wanted and match[2] == b"{":
                name = match[1].decode()
                places[name] = min(places.get(name, file), file, key=_rank)
    return places


def _sources(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The files of an archive in C. The module tarfile would take five times as long."""
    with subprocess.Popen(["xz", "-dc", archive], stdout=subprocess.PIPE) as unpacked:
        stream = cast(IO[bytes], unpacked.stdout)
        while (head := stream.read(512))[:1] > b"\0":
            size = int(head[124:135], 8)
            text = stream.read(-(-size // 512) * 512)[:size]
            name = b"/".join(part.rstrip(b"\0") for part in (head[345:500], head[:100]) if part[0])
            file = name.decode().partition("/")[2]
            if file.endswith((".c", ".h")) and not file.startswith(("tools/", "scripts/")):
                yield file, text


def _rank(file: str) -> tuple[bool, str]:
    return file.startswith(_OTHERS), file


def matched(pattern: str, symbols: set[str]) -> bool:
    """Whether a kernel has the function, or one that the pattern matches."""
    if "*" not in pattern:
        return pattern in symbols
    part = max(pattern.split("*"), key=len)
    return any(part in name and like(name, pattern) for name in symbols)


def everywhere(names: Iterable[str], known: Mapping[str, Function]) -> list[Function]:
    """The rows from Debian's kernels; of what is in none of them, what was known."""
    symbols: dict[Kernel, set[str]] = {}
    files: dict[str, str] = {}
    sources: dict[str, set[str]] = {}
    for kernel in packages.KERNELS:
        unpacked = packages.fetch(kernel, "")
        series = ".".join(unpacked.modules.name.split(".")[:2])
        mine = symbols[kernel.architecture.name, series] = symbols_of(unpacked)
        print(f"{kernel.architecture.name} {series}: {len(mine)} functions", flush=True)
        if kernel.architecture == packages.AMD64:
            missing = [name for name in names if "*" not in name and name not in mine]
            found = defined_in(packages.fetch_source(kernel), missing)
            files |= found
            for name in found:
                sources.setdefault(name, set()).add(series)
    rows = []
    for name in names:
        kernels = frozenset(each for each, mine in symbols.items() if matched(name, mine))
        only = tuple(sources.get(name, set()) - {series for _, series in kernels})
        row = Function(name, kernels, only, files[name] if only else "")
        old = known.get(name, row)
        rows.append(replace(row, kernels=kernels or old.kernels, why=old.why))
    return rows


def here(names: Iterable[str], known: Mapping[str, Function]) -> list[Function]:
    """The rows that are known, and those that the running kernel adds."""
    release, machine = os.uname().release, os.uname().machine
    if machine not in _MACHINES:
        raise SystemExit(f"the list has no column for {machine}")
    kernel = _MACHINES[machine], ".".join(release.split(".")[:2])
    symbols = symbols_here()
    there = frozenset([kernel])
    return [
        known.get(name) or Function(name, there if matched(name, symbols) else frozenset())
        for name in names
    ]


def main() -> int:
    """Fail for names that are nowhere."""
    parser = argparse.ArgumentParser(prog=named.COMMAND, description=__doc__)
    parser.add_argument(
        "--here", action="store_true", help="add what is new from the kernel that runs here"
    )
    known = named.parse(named.LIST.read_text(encoding="utf-8")) if named.LIST.exists() else {}
    names = list(dict.fromkeys(name for each in named.namings() for name in each.functions()))
    rows = (here if parser.parse_args().here else everywhere)(names, known)
    kept = [row for row in rows if row.kernels or row.source or row.why]
    named.LIST.write_text(named.dump(kept, HEAD), encoding="utf-8")
    nowhere = [row.name for row in rows if row not in kept]
    for name in nowhere:
        print(f"{name} is in none of these kernels", file=sys.stderr)
    return int(bool(nowhere))


if __name__ == "__main__":
    sys.exit(main())
