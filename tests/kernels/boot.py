"""Booting a kernel in QEMU, without KVM, for one job."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.kernels.packages import AMD64, Architecture, Unpacked
from tests.kernels.root import Root, build_modules

MEMORY_MB = 1500


def run(
    kernel: Unpacked,
    base: Path,
    job: str,
    architecture: Architecture = AMD64,
    *,
    options: str = "",
    seconds: int,
) -> Iterator[str]:
    """Run a shell script as the guest's only job, and yield what it prints, line by line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_modules(kernel.modules, folder / "modules", folder / "modules.cpio")
        script = Root(folder / "job")
        (folder / "job" / "job").write_text(job)
        script.pack(folder / "job.cpio")
        initramfs = folder / "initramfs"
        with initramfs.open("wb") as out:
            for part in (base, folder / "modules.cpio", folder / "job.cpio"):
                out.write(part.read_bytes())
        console, tty = folder / "console", architecture.tty
        process = subprocess.Popen(
            [
                *("timeout", str(seconds), *architecture.qemu),
                *("-accel", "tcg", "-smp", str(architecture.processors), "-m", str(MEMORY_MB)),
                *("-display", "none", "-no-reboot", "-nic", "none"),
                *("-serial", f"file:{console}", "-serial", "stdio"),
                *("-kernel", str(kernel.image), "-initrd", str(initramfs)),
                *("-append", f"console={tty}0 job={tty}1 quiet panic=-1 mitigations=off {options}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        for line in process.stdout:
            yield line.rstrip("\r\n")
        if process.wait():
            yield f"qemu ended with {process.returncode}; the console's last lines:"
            yield from console.read_text(errors="replace").splitlines()[-15:]
