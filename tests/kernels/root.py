"""The guest's root file system, as an initramfs: Python, capadvise, and the programs of the table.

Everything lies where it lies on this machine, so that nothing needs to be installed there. For
another architecture the programs are Debian's, and Python with what capadvise needs is, too.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from tests.kernels import packages

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PROGRAMS = """
    apparmor_parser bash busybox cat chmod chown chroot cp curl date dash dmesg find grep head
    hostname id install ip ipcmk ipcrm kill ls mkdir mkfs.xfs mknod modprobe mount nginx nice
    nsenter ping ps readlink renice rm rmdir sed setcap setpriv setsid sh sleep stat strace su
    sysctl tar timeout touch trace-cmd true truncate umount unix_chkpwd unshare
"""
FILES = """
    /etc/login.defs /etc/pam.d /etc/security /etc/nsswitch.conf /etc/protocols /etc/services
    /etc/apt /etc/nginx/mime.types
    /usr/lib/x86_64-linux-gnu/libgcc_s.so.1 /usr/share/xfsprogs/mkfs
"""
PACKAGES = """
    apparmor bash bsdutils busybox-static coreutils curl dash findutils grep hostname iproute2
    iputils-ping kmod libcap2-bin libpam-runtime login login.defs mount netbase nginx-light passwd
    procps python3 python3-prctl python3-ptrace python3-pyte python3-shtab python3-yaml sed strace
    tar trace-cmd util-linux xfsprogs
"""
"""Where the programs and files are of another architecture."""
LEFT_OUT = """
    usr/share/doc usr/share/man usr/share/locale usr/share/zoneinfo usr/lib/*/gconv
    usr/lib/*/libicu* usr/lib/python3*/test usr/lib/python3*/pydoc_data usr/lib/python3*/idlelib
"""
"""In packages, and not in the guest: it has all in memory, and unpacks it at its start."""
UNUSED = {"test", "idlelib", "tkinter", "ensurepip", "turtledemo", "lib2to3", "site-packages"}
MODULES = "overlay veth dummy loop xfs libcrc32c crc32c_generic"
ACCOUNTS = {
    "passwd": "root:x:0:0::/root:/bin/bash\nwww-data:x:33:33::/:/bin/sh\n"
    "user:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "group": "root:x:0:\nadm:x:4:\nwww-data:x:33:\nuser:x:1000:\nnogroup:x:65534:\n",
    "shadow": "root:*:1::::::\nwww-data:*:1::::::\nuser:*:1::::::\nnobody:*:1::::::\n",
}


class Root:
    """A folder that becomes the guest's root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        for name in (
            "proc",
            "sys",
            "dev",
            "tmp",
            "run",
            "mnt",
            "root",
            "etc",
            "var/log",
            "var/lib",
        ):
            (folder / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (folder / "usr" / name).mkdir(parents=True)
            (folder / name).symlink_to(f"usr/{name}")
        self._known: set[Path] = set()

    def add(self, path: Path) -> None:
        """A file or folder of this machine, at the same place; links with what they point to."""
        if path in self._known or not (path.exists() or path.is_symlink()):
            return
        self._known.add(path)
        place = self.folder / path.parent.resolve().relative_to("/") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            if not place.is_symlink():
                place.symlink_to(os.readlink(path))
            self.add(path.parent / os.readlink(path))
        elif path.is_dir():
            for entry in path.iterdir():
                self.add(entry)
        else:
            shutil.copy2(path, place)

    def add_linked(self, paths: Iterable[Path]) -> None:
        """Programs and libraries, with the libraries that they need."""
        for path in paths:
            self.add(path)
            said = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
            for library in re.findall(r"(/.+) \(0x", said):
                self.add(Path(library))

    def pack(self, archive: Path) -> None:
        """As an initramfs."""
        names = subprocess.run(["find", "."], cwd=self.folder, stdout=subprocess.PIPE, check=True)
        with archive.open("wb") as out:
            subprocess.run(
                ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"],
                cwd=self.folder,
                input=names.stdout,
                stdout=out,
                check=True,
            )


def python_of(architecture: packages.Architecture) -> Path:
    """The guest's Python, with capadvise."""
    own = Path(sys.prefix).resolve() / "bin/python"
    return own if architecture == packages.AMD64 else Path("/usr/bin/python3")


def build(
    folder: Path, archive: Path, architecture: packages.Architecture, *, selinux: bool = False
) -> None:
    """The root that all kernels of an architecture share. ``selinux``: with a policy."""
    root = Root(folder)
    if architecture == packages.AMD64:
        _add_own_programs(root)
    else:
        _add_packages(root, architecture)
    for name in ("capadvise", "catalog", "tests/programs", "tests/__init__.py"):
        root.add(REPOSITORY / name)
    for name in ("kernel/rows.py", "kernel/__init__.py", "kernels"):
        root.add(REPOSITORY / "tests" / name)
    root.add(REPOSITORY / "pyproject.toml")
    for name, text in ACCOUNTS.items():
        (folder / "etc" / name).write_text(text)
    (folder / "etc/apparmor").mkdir(exist_ok=True)
    (folder / "etc/apparmor/parser.conf").unlink(missing_ok=True)
    (folder / "etc/apparmor/parser.conf").touch()
    shutil.copy2(HERE / "guest", folder / "init")
    (folder / "tmp").chmod(0o1777)
    if selinux:
        options = ("-M", "false", "-c", "31", "-o", folder / "selinux.policy", "-f", "/dev/null")
        subprocess.run(["secilc", *options, HERE / "selinux.cil"], check=True)
    if architecture != packages.AMD64:
        _compile(folder)
    root.pack(archive)


def _add_own_programs(root: Root) -> None:
    """This machine's programs and Python."""
    missing = [name for name in PROGRAMS.split() if not shutil.which(name)]
    if missing:
        raise SystemExit(
            f"the guest needs {', '.join(missing)}: run tests/run once, it installs them"
        )
    root.add_linked(Path(str(shutil.which(name))) for name in PROGRAMS.split())
    for name in FILES.split():
        root.add(Path(name))
    root.add_linked(Path("/usr/lib/x86_64-linux-gnu/security").glob("*.so"))
    python = Path(sys.executable).resolve()
    root.add_linked([python])
    library = Path(sysconfig.get_path("stdlib"))
    for entry in library.iterdir():
        if entry.name not in UNUSED and not entry.name.startswith("config-"):
            root.add(entry)
    root.add_linked(library.glob("lib-dynload/*.so"))
    _add_environment(root, python)


def _add_packages(root: Root, architecture: packages.Architecture) -> None:
    """Debian's programs and Python of another architecture."""
    exclude = [f"--exclude=./{name}" for name in LEFT_OUT.split()]
    for package in packages.fetch_programs(architecture, tuple(PACKAGES.split())):
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
        ) as content:
            command = ["tar", "-x", "--keep-directory-symlink", *exclude, "-C", root.folder]
            subprocess.run(command, stdin=content.stdout, check=True)
    for name in FILES.split():
        if name.startswith("/etc"):  # some are made by scripts of packages, for any architecture
            root.add(Path(name))
    (root.folder / "usr/lib/python3/dist-packages/capadvise.pth").write_text(f"{REPOSITORY}\n")


def _compile(folder: Path) -> None:
    """What Python would compile at its first start, where that takes minutes: by Debian's Python
    of this machine, which does so for every architecture."""
    command = ["/usr/bin/python3", "-m", "compileall", "-q", "-s", folder, "-p", "/"]
    subprocess.run([*command, folder / "usr/lib", folder / REPOSITORY.relative_to("/")])


def _add_environment(root: Root, python: Path) -> None:
    """The virtual environment, with no more than capadvise in it."""
    prefix = Path(sys.prefix).resolve()
    for name in ("pyvenv.cfg", "bin/python", "bin/python3", f"bin/{python.name}", "bin/capadvise"):
        root.add(prefix / name)
    root.add(Path("/usr/bin/env"))
    python3 = root.folder / "usr/bin/python3"
    if not python3.is_symlink():  # else the environment is of Debian's own, and brought it
        python3.symlink_to(python)
    wanted, files = ["capadvise", "python-prctl", "python-ptrace"], []
    for name in wanted:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform or version
        files += [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
        for requirement in distribution.requires or ():
            if "extra ==" not in requirement:
                name = re.match(r"[\w.-]+", requirement)
                if name and name[0] not in wanted:
                    wanted.append(name[0])
    for file in files:
        if "/../" not in str(file):
            root.add(file)
    for extension in files:
        if extension.suffix == ".so" or ".so." in extension.name:
            root.add_linked([extension])


def build_modules(source: Path, folder: Path, archive: Path) -> None:
    """The modules that the table needs, of one kernel; a further initramfs."""
    root = Root(folder)
    version = source.name
    place = folder / "lib/modules" / version
    place.mkdir(parents=True)
    for name in MODULES.split():
        for module in (source / "kernel").rglob(f"{name}.ko*"):
            shutil.copy2(module, place)
    for name in ("modules.builtin", "modules.order", "modules.builtin.modinfo"):
        if (source / name).exists():
            shutil.copy2(source / name, place)
    subprocess.run(["depmod", "-b", folder, version], check=True, stderr=subprocess.DEVNULL)
    root.pack(archive)
