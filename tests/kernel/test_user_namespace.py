"""Whether a program fits a user namespace: the verdict beside a trial in one.

Each program is recorded as root with every capability, in namespaces of its own; then it is run as
root of a user namespace that maps other ids, as a container's is. It fits where that ends with 0.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support.runs import CAPADVISE

FIRST, IDS = 300_000, 65_536
OWN = ("--mount", "--uts", "--ipc")
MAPPED = (
    *("--user", f"--map-users=0:{FIRST}:{IDS}", f"--map-groups=0:{FIRST}:{IDS}"),
    *("--setuid=0", "--setgid=0", "--pid", "--fork", "--mount-proc"),
)
DEVICES = """\
device() {
    test -e "$1" || return 0
    mknod -m 666 node-"$3" c "$2" "$3"
    mount --bind node-"$3" "$1"
}
device /dev/fuse 10 229
device /dev/net/tun 10 200
exec "$@"
"""
"""All may open these, as udev and engines have them; without udev they are root's alone."""
PYTHON = "/usr/bin/python3"
"""Ours may be in a folder of root's."""
SOCKET = f"{PYTHON} -c 'import socket; socket.socket()"
LISTS = "l u w m"
LOCK = "import ctypes; raise SystemExit(-ctypes.CDLL(None).mlockall(3))"

MAP = """\
unshare -U sleep 3 &
until test $(readlink /proc/$!/ns/user) != $(readlink /proc/$$/ns/user); do sleep 0.1; done
echo 0 {first} 2 >/proc/$!/uid_map || exit
wait
"""
"""Maps ids further. It goes on for a while: which ones is to be seen in /proc."""

CONTAINER = r"""
mkdir -p b/rootfs/bin b/rootfs/proc b/rootfs/sys b/rootfs/dev
cp "$(which busybox)" b/rootfs/bin/; cd b; runc spec
sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"busybox", "true"/' config.json
runc --root "$PWD/state" run nested-$$
"""


OTHER = "setpriv --reuid 33 --clear-groups sleep 9 & until grep -q sleep /proc/$!/comm; do :; done"
"""A process of another user, who is that before the next command."""


@dataclass(frozen=True)
class Program:
    """A shell's command, and whether it fits with 65,536 ids, as trials have shown."""

    shell: str
    fits: bool
    network: bool = True
    """Of its own; else the host's."""


PROGRAMS = [
    Program("touch f; chown 33:33 f", True),
    Program("touch f; chown 70000 f", False),
    Program("touch f; chown 33 f; chmod 600 f; cat f; echo x >>f", True),
    Program("touch f; setcap cap_net_raw=ep f", True),
    Program("touch f; chattr +i f && chattr -i f", False),
    Program("mount -t tmpfs none m && umount m", True),
    Program("mount --bind l m && umount m", True),
    Program("mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none m && umount m", True),
    Program("bindfs l m && fusermount3 -u m", True),
    Program("truncate -s 8M i; mke2fs -q i; mount -o loop i m && umount m", False),
    Program("mount -t debugfs none m && umount m", False),
    Program("unshare -m sh -c 'mount -t tmpfs none m; mount -t ramfs none l'", True),
    Program("unshare -m sh -c 'mount -t tmpfs none m; mount -t devtmpfs none l'", False),
    Program("mknod n c 1 3", False),
    Program("mknod n p", True),
    Program("ulimit -n 64; ulimit -Hn 128", False),  # root of some machines may not either
    Program("renice -n -5 -p $$", False),
    Program(f"ulimit -l 64; {PYTHON} -c '{LOCK}'", False),
    Program(f"{SOCKET}.setsockopt(1, 36, 1)'", True),  # SO_MARK
    Program(f"{SOCKET}.setsockopt(0, 19, 1)'", True),  # IP_TRANSPARENT
    Program("iptables -A INPUT -j ACCEPT", True),
    Program("nft add table t", True),
    Program("ip link add name a type veth peer name b", True),
    Program("ip tuntap add t mode tun", True),
    Program(f'{SOCKET}.bind(("", 81))\'', True),
    Program(f'{SOCKET}.bind(("", 81))\'', False, network=False),
    Program(f"{SOCKET}.setsockopt(1, 36, 1)'", False, network=False),
    Program("ping -c1 127.0.0.1", True),
    Program("date -s @$(date +%s)", False),
    Program("dmesg", False),
    Program("hostname other", True),
    Program("chroot / true", True),
    Program("setpriv --reuid 33 --regid 33 --clear-groups true", True),
    Program("setpriv --reuid 70000 --regid 33 --clear-groups true", False),
    Program(f"{OTHER}; kill $!", True),
    Program("unshare -Urm mount -t tmpfs none m", True),
    Program("bwrap --bind / / --proc /proc true", True),
    Program("unshare -n sh -c 'nsenter -t $$ -n true'", True),
    Program("unshare -u sh -c 'hostname a; nsenter -t $$ -u hostname b'", True),
    Program(f"{OTHER}; renice -n 5 -p $!", True),
    Program("mount -o remount,bind,ro /sys", True),
    Program(CONTAINER, True),
    Program(MAP.format(first=1000), True),
    Program(MAP.format(first=70000), False),
]


def in_folder(program: Program, folder: Path, owner: int) -> list[str]:
    """The words that run it there."""
    folder.mkdir()
    for name in (".", *LISTS.split()):
        (folder / name).mkdir(exist_ok=True)
        subprocess.run(["chown", f"{owner}:{owner}", str(folder / name)], check=True)
    up = "ip link set lo up\nsysctl -qw net.ipv4.ping_group_range='1 0'" if program.network else ""
    return ["sh", "-ec", f'{up}\ncd {folder}\nexec "$@"', "sh"]


def verdict(program: Program, top: Path) -> bool | None:
    """What the report says."""
    network = ("--net",) * program.network
    report = top / "r.json"
    done = subprocess.run(
        [
            *("unshare", *OWN, *network, *in_folder(program, top / "recorded", 0)),
            *(CAPADVISE, "run", "-o", str(report), "--", "sh", "-c", program.shell),
        ],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert report.exists(), (program, done.stderr)
    told = json.loads(report.read_text())["proposal"]["user_namespace"]
    fits: bool | None = told["fits"] and told["ids"] <= IDS
    return fits


def trial(program: Program, top: Path) -> tuple[bool, str]:
    """What happens there."""
    network = ("--net",) * program.network
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-ec", DEVICES, "sh"),
            *("unshare", *MAPPED, *OWN, *network, *in_folder(program, top / "tried", FIRST)),
            *("sh", "-c", program.shell),
        ],
        cwd=top,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    return done.returncode == 0, done.stderr


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that other users may enter: pytest closes its own to them at each start."""
    with TemporaryDirectory(prefix="capadvise-userns-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.long
def test_verdicts_agree_with_trials(open_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def both(numbered: tuple[int, Program]) -> tuple[Program, bool | None, bool, str]:
        number, program = numbered
        top = open_folder / str(number)
        top.mkdir(mode=0o755)
        return program, verdict(program, top), *trial(program, top)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(both, enumerate(PROGRAMS)))
    agree = [said is passed for _, said, passed, _ in results]
    with capsys.disabled():
        print(
            f"\nfits a user namespace: {sum(agree)} of {len(agree)} verdicts agree with the trial"
        )
    wrong = [
        (program.shell, program.network, said, passed, error)
        for program, said, passed, error in results
        if not said is passed is program.fits
    ]
    assert not wrong, "\n".join(map(str, wrong))


def proven(top: Path, command: str) -> tuple[int, dict[str, Any], str]:
    """The exit status, the report and the page of trials in a user namespace."""
    file, saved = top / "w.yaml", top / "proven.json"
    file.write_text(f"name: it\nsetup: mkdir m\ncommand: {command}\n")
    done = subprocess.run(
        [CAPADVISE, "prove", str(file), "--userns", "-o", str(saved)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    page = done.stdout + done.stderr
    assert saved.exists(), page
    return done.returncode, json.loads(saved.read_text()), page


def test_the_minimal_set_there(tmp_path: Path) -> None:
    """A mount that a user namespace allows: the set counts there alone, and so do its checks."""
    code, report, page = proven(tmp_path, "mount -t tmpfs none m")
    assert code == 0, page
    assert report["proposal"]["minimal"] == ["CAP_SYS_ADMIN"]
    assert report["proposal"]["user_namespace"]["fits"] is True
    assert report["proof"]["user_namespace"] is True
    assert any("mapped one to one" in caution for caution in report["proof"]["cautions"])
    assert report["posture"]["namespaces"]["user"] == "own"
    assert re.search(r"proven minimal, \d trials in a user namespace", " ".join(page.split()))
    mounts = [
        check
        for check in report["recordings"][0]["checks"]
        if check["syscall"] in ("mount", "fsmount")
    ]
    assert {check["ns"] for check in mounts} == {"target"}


def test_what_fails_there_even_with_every_capability(tmp_path: Path) -> None:
    code, report, page = proven(tmp_path, "mknod n c 1 3")
    assert code == 1, page
    assert report["proposal"]["user_namespace"]["fits"] is False
    assert "fails even with every capability" in page
