"""Names and numbers of system calls: ``catalog/syscalls.tsv``."""

from collections.abc import Mapping
from dataclasses import dataclass

AUDIT_ARCHS = {
    0xC000003E: "x86_64",
    0x40000003: "i386",
    0xC00000B7: "generic",
    0xC00000F3: "generic",
    0xC0000102: "generic",
}
"""Table by the number that the kernel's audit and seccomp give to an architecture (AUDIT_ARCH_* of
linux/audit.h): x86-64, i386, aarch64, riscv64, loongarch64."""
MACHINES = {"x86_64": 0xC000003E, "i686": 0x40000003, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
"""``uname -m`` → that number."""
INTERFACES = {"x86_64": (0xC000003E, 0x40000003), "aarch64": (0xC00000B7,)}
"""``uname -m`` → all ways into the kernel whose numbers are known, the machine's own first."""


@dataclass(frozen=True, slots=True)
class Syscalls:
    """The tables ``x86_64``, ``i386`` and ``generic``."""

    names: Mapping[str, Mapping[int, str]]
    numbers: Mapping[str, Mapping[str, int]]

    def name(self, arch: int, number: int) -> str | None:
        """The name of a call; None if the architecture or the number is unknown."""
        return self.names.get(AUDIT_ARCHS.get(arch, ""), {}).get(number)


def parse_syscalls(text: str) -> Syscalls:
    """The table of a text."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    tables = lines[0].split("\t")[1:]
    numbers: dict[str, dict[str, int]] = {table: {} for table in tables}
    for line in lines[1:]:
        name, *columns = line.split("\t")
        for table, column in zip(tables, columns, strict=True):
            if column != "-":
                numbers[table][name] = int(column)
    names = {t: {number: name for name, number in table.items()} for t, table in numbers.items()}
    return Syscalls(names, numbers)
