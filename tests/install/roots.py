"""Each artefact in clean roots: ``python -m tests.install.roots DIST [SUITE…]``, as root.

DIST is what ``demos/release/build`` made. A root is made by debootstrap with Python alone; each
artefact is installed as its page says, checks a folder, records and proves a command, and is
removed again. The table says how long that took and what was left. Ubuntu's roots
need the package ubuntu-keyring.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from capadvise import __version__

DEBIAN = ("http://deb.debian.org/debian", "main", "sid")
UBUNTU = ("http://archive.ubuntu.com/ubuntu", "main,universe", "gutsy")  # needs ubuntu-keyring
SUITES = {
    "bookworm": DEBIAN,
    "trixie": DEBIAN,
    "sid": DEBIAN,
    "noble": UBUNTU,
    "questing": UBUNTU,
    "resolute": UBUNTU,
}
"""Suite → mirror, components and debootstrap's script, which it lacks for newer suites."""
UPDATE = "apt-get update -qq -o Acquire::Check-Valid-Until=false"  # a mirror may be a snapshot
APT = "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq"
HOW = {
    f"capadvise_{__version__}_all.deb": (
        f"{UPDATE}; {APT} /dist/capadvise_{__version__}_all.deb",
        "capadvise",
        "apt-get purge -y -qq capadvise",
    ),
    "capadvise.pyz": (
        "true",
        "python3 /dist/capadvise.pyz",
        "rm -r /root/.shiv",
    ),
    f"capadvise-{__version__}-py3-none-any.whl": (
        f"{UPDATE}; {APT} python3-venv; python3 -m venv /opt/v; "
        f"/opt/v/bin/pip install -q /dist/capadvise-{__version__}-py3-none-any.whl",
        "/opt/v/bin/capadvise",
        "rm -r /opt/v",
    ),
}
"""Artefact → how it is installed, called and removed."""
CHECKED = "cd /root && echo 'services: {web: {image: x, privileged: true}}' > compose.yaml && "


def inside(root: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the root, with mounts of its own."""
    shared = ("/proc", "/sys", "/dev", "/etc/ssl/certs")  # the last: certificates of a proxy's
    mounts = "; ".join(f"mount --rbind {place} {root}{place}" for place in shared)
    whole = f'{mounts}; exec chroot {root} /bin/bash -e -c "$1"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-ec", whole, "sh", script],
        capture_output=True,
        text=True,
        timeout=600,
    )


def ours(root: Path) -> set[str]:
    """Files that have our name in their path."""
    done = inside(
        root, "find / -xdev -ipath '*capadvise*' -not -path '/dist/*' -not -path '/var/*'"
    )
    return set(done.stdout.splitlines())


def tried(root: Path, artefact: str) -> list[str]:
    """The cells of a row."""
    install, program, remove = HOW[artefact]
    cells = []
    for name, script, right in (
        ("installed", install, lambda done: done.returncode == 0),
        ("version", f"{program} --version", lambda done: __version__ in done.stdout),
        (
            "checked",
            f"{CHECKED} {program} check .",
            lambda done: done.returncode == 1 and "[privileged]" in done.stdout,
        ),
        (
            "recorded",
            f"cd /root && {program} run -o r.json -- chown 1 compose.yaml",
            lambda done: "chown needs CHOWN" in done.stderr,
        ),
        (
            "proven",
            f"cd /root && {program} prove r.json",
            lambda done: (
                "proven minimal" in done.stdout
                or "python3-prctl" in done.stderr
                or "python-prctl" in done.stderr
            ),
        ),
        ("removed", f"{remove}; rm -rf /root/*.json /root/compose.yaml", lambda done: True),
    ):
        started = time.monotonic()
        done = inside(root, script)
        passed, seconds = right(done), time.monotonic() - started
        said = "names what it lacks" if "hint:" in done.stderr and name == "proven" else "yes"
        cells.append(f"{said if passed else 'NO'} {seconds:.1f} s")
        if not passed:
            print(done.stdout[-500:], done.stderr[-500:], file=sys.stderr)
    left = {path for path in ours(root) if "/.local/state" not in path}
    return [*cells, "nothing" if not left else ", ".join(sorted(left)[:3])]


def made(suite: str, root: Path) -> str:
    """Make a root of this suite; its version of Python."""
    mirror, components, script = SUITES[suite]
    words = ["debootstrap", "--variant=minbase", "--include=python3,ca-certificates"]
    words += [f"--components={components}", suite, str(root), mirror]
    recipe = f"/usr/share/debootstrap/scripts/{script}"
    subprocess.run([*words, recipe], check=True, stdout=subprocess.DEVNULL)
    (root / "dist").mkdir()
    return inside(root, "python3 --version").stdout.split()[-1]


def main(dist: Path, suites: list[str]) -> int:
    """Print the table; 1 if a cell says no."""
    print("| | artefact | installed | version | checked | recorded | proven | removed | left |")
    print("| --- " * 9 + "|")
    failed = False
    for suite in suites:
        with tempfile.TemporaryDirectory(prefix="capadvise-root-") as name:
            root = Path(name) / "root"
            python = made(suite, root)
            for artefact in HOW:
                shutil.copy(dist / artefact, root / "dist")
                row = tried(root, artefact)
                failed |= not fine(row)
                print(f"| {suite}, {python} | {artefact} | {' | '.join(row)} |", flush=True)
    return failed


def fine(row: list[str]) -> bool:
    """Whether every step of it passed and nothing was left."""
    return not any(cell.startswith("NO") for cell in row) and row[-1] == "nothing"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:] or list(SUITES)))
