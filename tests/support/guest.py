"""A systemd as process 1 of namespaces of its own: the kernel and the programs are this machine's.

What it changes stays there: ``/etc`` and ``/var`` have a layer in memory, ``/run`` and ``/tmp`` are
empty at first but for a checkout below them, and the network is its own. capadvise runs in its
mounts, control groups and network, but in the initial pid namespace, where alone the kernel's trace
can be read: there, ``/proc`` is the machine's, and what asks systemd goes through ``nsenter``, for
it talks to nobody whose pid it cannot see.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from capadvise.kernel.process_tree import descendants
from tests.support.cgroups import REMOVE_CGROUP
from tests.support.runs import CAPADVISE
from tests.support.shown import COVER, shown
from tests.support.wait import until

SYSTEMD = Path("/usr/lib/systemd/systemd")
_MASKED = (
    *("systemd-sysctl.service", "systemd-modules-load.service", "systemd-udevd.service"),
    *("systemd-udev-trigger.service", "systemd-udevd-control.socket", "systemd-binfmt.service"),
    *("systemd-udevd-kernel.socket", "proc-sys-fs-binfmt_misc.automount", "ldconfig.service"),
    *("systemd-journal-catalog-update.service", "systemd-remount-fs.service", "dbus.socket"),
    *("systemd-tmpfiles-setup-dev.service", "systemd-tmpfiles-setup-dev-early.service"),
    *("systemd-tmpfiles-setup.service", "systemd-sysusers.service", "apparmor.service"),
    *("systemd-hwdb-update.service", "tmp.mount"),
    *("dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount"),
    *("sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount", "systemd-update-done.service"),
)
"""They would change this machine, or only take time."""
_BOOT = """\
set -e
mount --make-rprivate /
cover /run 755
cover /tmp 1777
mkdir -p /run/lock /run/cgroup /run/bin
for folder in $LAYERS; do
  mkdir -p /run/layers/$folder/upper /run/layers/$folder/work
  mount -t overlay overlay /$folder \
    -o lowerdir=/$folder,upperdir=/run/layers/$folder/upper,workdir=/run/layers/$folder/work
done
rm -rf /etc/systemd/system /etc/fstab
mkdir /etc/systemd/system
for unit in $MASKED; do ln -s /dev/null /etc/systemd/system/$unit; done
mount -t cgroup2 cgroup2 /run/cgroup
mkdir /run/cgroup/$NAME && echo 0 > /run/cgroup/$NAME/cgroup.procs
ip link set lo up
exec unshare --cgroup sh -c '
  umount -R -l /sys/fs/cgroup
  mount -t cgroup2 cgroup2 /sys/fs/cgroup && umount -l /run/cgroup
  exec "$@"' sh "$@"
"""
_ENTER = 'mount --make-rprivate / && mount -t proc proc /proc && exec "$@"'
_SHIM = """\
#!/bin/sh
SYSTEMD_IGNORE_CHROOT=1 exec nsenter --target {pid} --pid /usr/bin/{name} "$@"
"""
_ASKERS = ("systemctl", "systemd-analyze", "systemd-run")


class Guest:
    """What is done there."""

    def __init__(self, pid: int) -> None:
        """``pid``: of its process 1, as we count."""
        self.pid = pid
        self.root = Path(f"/proc/{pid}/root")
        for name in _ASKERS:
            shim = self.root / "run/bin" / name
            shim.write_text(_SHIM.format(pid=pid, name=name))
            shim.chmod(0o755)

    def words(self, *argv: str, network: bool = True) -> list[str]:
        """A command line that executes another one there, in the initial pid namespace, and with
        ``network`` in its own."""
        kinds = ("--mount", "--cgroup", "--uts", "--ipc", *(["--net"] if network else []))
        enter = ("nsenter", f"--target={self.pid}", *kinds)
        return [*enter, "unshare", "--mount", "sh", "-c", _ENTER, "sh", *argv]

    @property
    def environment(self) -> dict[str, str]:
        """Of what is executed there."""
        path = f"/run/bin:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "HOME": "/root", "XDG_STATE_HOME": "/run/state"}

    def call(self, *argv: str, seconds: float = 90) -> subprocess.CompletedProcess[str]:
        """Execute something there."""
        return subprocess.run(
            self.words(*argv),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def capadvise(self, *argv: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """The program under test, there."""
        return self.call(CAPADVISE, *argv, seconds=seconds)

    def systemctl(self, *argv: str) -> str:
        """What it prints, whatever its exit status."""
        return self.call("systemctl", *argv).stdout.strip()

    def unit(self, name: str, text: str) -> None:
        """Add a unit."""
        (self.root / "etc/systemd/system" / name).write_text(text)
        self.call("systemctl", "daemon-reload")

    def state(self, unit: str) -> str:
        """``active``, ``inactive``, ``failed`` …"""
        return self.systemctl("is-active", unit)

    def traces(self) -> list[str]:
        """What capadvise has not removed of its own files there. ``os.walk``, as ``Path.rglob``
        fails where a folder is removed meanwhile."""
        patterns = {"run/systemd/system": "*capadvise*", "run/capadvise-units": "*"}
        return [
            os.path.relpath(f"{folder}/{name}", self.root)
            for place, pattern in patterns.items()
            for folder, folders, files in os.walk(self.root / place)
            for name in (*folders, *files)
            if fnmatch(name, pattern)
        ]


@contextmanager
def booted(layers: Sequence[str] = ("etc", "var")) -> Iterator[Guest]:
    """A guest that is up; nothing of it stays, nor of what is changed below ``layers``."""
    name = f"capadvise-units-test-{os.getpid()}-{time.monotonic_ns()}"
    environment = {
        **os.environ,
        "NAME": name,
        "LAYERS": " ".join(layers),
        "MASKED": " ".join(_MASKED),
        "SHOWN": "\n".join(shown()),
        "container": "other",
    }
    kinds = ("--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--mount-proc")
    systemd = (str(SYSTEMD), "--system", "--unit=basic.target", "--log-target=null")
    process = subprocess.Popen(
        ["unshare", *kinds, "--kill-child", "sh", "-c", COVER + _BOOT, "sh", *systemd],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(lambda: descendants(process.pid) != [], seconds=20)
        pid = descendants(process.pid)[0]
        until(lambda: Path(f"/proc/{pid}/root/run/systemd/private").is_socket(), seconds=60)
        guest = Guest(pid)
        until(lambda: guest.state("basic.target") == "active", seconds=60)
        yield guest
    finally:
        process.kill()
        process.wait()
        subprocess.run(
            ["unshare", "--mount", "sh", "-c", REMOVE_CGROUP], env=environment, check=True
        )
