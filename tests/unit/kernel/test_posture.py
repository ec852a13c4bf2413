"""What /proc tells of a process's confinement: pasted texts of real machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capadvise.kernel import procfs
from capadvise.kernel.posture import mounts, read
from capadvise.kernel.posture.own_state import own_sysctls, text_of
from capadvise.kernel.posture.read import Machine, posture_of
from capadvise.model.posture import Cgroup, Exposed, Mac, Root, Sharing, User

DOCKER = r"""
700 601 0:52 / / rw,relatime - overlay overlay rw,lowerdir=/l/AB:/l/C\:D:/l/E,upperdir=/u,workdir=/w
701 700 0:55 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
702 700 0:56 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
705 700 0:59 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
706 705 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw
707 700 254:0 /var/lib/docker/containers/6/hosts /etc/hosts rw,relatime - ext4 /dev/vda rw
708 701 0:55 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc proc rw
709 700 0:25 /docker.sock /var/run/docker.sock rw - tmpfs tmpfs rw
714 700 0:70 / /nfs rw,relatime - nfs4 server:/x rw
710 700 254:0 /etc /host\040etc ro,relatime - ext4 /dev/vda rw
712 700 0:6 /null /proc/keys rw - devtmpfs devtmpfs rw
713 700 0:6 /kvm /dev/kvm rw - devtmpfs devtmpfs rw
711 700 254:0 /srv/data /data rw,relatime - ext4 /dev/vda rw
a line that is none
"""
HOST = """
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 0:25 / /run rw - tmpfs tmpfs rw
29 27 0:6 / /dev rw - devtmpfs devtmpfs rw
"""


def test_what_a_container_is_let_in_to(tmp_path: Path) -> None:
    found = mounts.root_of(
        mounts.parse_mounts(DOCKER), tmp_path, host=False, of_host=mounts.parse_mounts(HOST)
    )
    assert found == Root(
        "overlay",
        read_only=False,
        layers=3,
        host=False,
        exposed=(
            Exposed("engine-socket", "/var/run/docker.sock", True, "/run/docker.sock"),
            Exposed("no-idmap", "/nfs", True, "nfs4"),
            Exposed("host-folder", "/host etc", False, "/etc"),
            Exposed("device", "/dev/kvm", True, "/dev/kvm"),
        ),
    )


def test_no_name_hides_a_mount_or_takes_all_memory(tmp_path: Path) -> None:
    """Of what ends lines elsewhere, the kernel escapes the newline alone; and a process can call
    all of its memory its arguments."""
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "mountinfo").write_bytes(
        b"1 0 254:0 / / rw - ext4 /dev/vda rw\n"
        b"2 1 254:1 / /a\rb\fc\x1cd\xe2\x80\xa8e rw - xfs /dev/b rw\n"
    )
    read = mounts.parse_mounts(text_of(folder / "mountinfo"))
    assert [mount.target for mount in read] == ["/", "/a\rb\fc\x1cd\u2028e"]
    (folder / "cmdline").write_bytes(b"a\0" + b"b" * (8 << 20) + b"\0")
    assert procfs.arguments(7, tmp_path) == ("a",)
    assert len(procfs.command_line(7, tmp_path)) == 1 << 20


def test_a_privileged_container_with_the_host_in_it(tmp_path: Path) -> None:
    text = """
1 0 0:52 / / rw - overlay overlay rw,lowerdir+=/a,lowerdir+=/b
2 1 0:55 / /proc rw - proc proc rw
3 1 0:59 / /sys rw - sysfs sysfs rw
4 1 0:6 / /dev rw - devtmpfs devtmpfs rw
5 1 254:0 / /host rw - ext4 /dev/vda rw
6 5 0:7 / /host/sys/kernel/debug rw - debugfs debugfs rw
"""
    whole = mounts.root_of(
        mounts.parse_mounts(text), tmp_path, host=False, of_host=mounts.parse_mounts(HOST)
    )
    assert whole is not None
    assert whole.layers == 2
    assert [(mount.kind, mount.target) for mount in whole.exposed] == [
        ("proc", "/proc"),
        ("sys", "/sys"),
        ("devices", "/dev"),
        ("host-root", "/host"),
    ]


@pytest.mark.parametrize(("folders", "found"), [(["etc", "usr", "var"], "host-root"), (["db"], "")])
def test_from_inside_a_whole_system_is_told_by_its_folders(
    folders: list[str], found: str, tmp_path: Path
) -> None:
    for folder in folders:
        (tmp_path / "data" / folder).mkdir(parents=True)
    text = "1 0 0:52 / / rw - overlay o rw\n2 1 8:1 / /data rw - ext4 /dev/sda1 rw\n"
    root = mounts.root_of(mounts.parse_mounts(text), tmp_path, host=None, of_host=())
    assert root is not None
    assert [mount.kind for mount in root.exposed] == [found] * bool(found)


V1 = "9:memory:/docker/1\n8:pids,cpu:/docker/1\n7:name=systemd:/docker/1\n"


@pytest.mark.parametrize(
    ("text", "files", "found"),
    [
        (
            "0::/a/b\n",
            {"a/memory.max": "1048576", "a/b/memory.max": "max", "a/b/pids.max": "9"},
            Cgroup("v2", "/a/b", False, {"memory.max": "1048576", "pids.max": "9"}),
        ),
        (
            V1,
            {
                "memory/docker/1/memory.limit_in_bytes": "9223372036854771712",
                "pids/docker/1/pids.max": "7",
                "pids/docker/1/cpu.cfs_quota_us": "-1",
            },
            Cgroup("v1", "/docker/1", False, {"pids.max": "7"}),
        ),
        (f"{V1}0::/\n", {}, Cgroup("hybrid", "/docker/1", False, {})),
        ("0::/../../other\n", {"memory.max": "5"}, Cgroup("v2", "/../../other", False, {})),
    ],
)
def test_control_groups(text: str, files: dict[str, str], found: Cgroup, tmp_path: Path) -> None:
    for name, value in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    own = mounts.parse_mounts(
        f"1 0 0:1 / {tmp_path} rw - cgroup2 c rw\n"
        f"2 0 0:2 / {tmp_path}/memory rw - cgroup c rw,memory\n"
        f"3 0 0:3 / {tmp_path}/pids rw - cgroup c rw,cpu,pids\n"
    )
    assert read.cgroup_of(read.parse_groups(text), (), own, {}) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("docker-default (enforce)\n", Mac("apparmor", "docker-default", "enforce")),
        ("a (b) (complain)\n", Mac("apparmor", "a (b)", "complain")),
        ("unconfined\n", Mac("apparmor", "unconfined", "unconfined")),
        (
            "system_u:system_r:container_t:s0:c1,c2\0",
            Mac("selinux", "system_u:system_r:container_t:s0:c1,c2", "enforce"),
        ),
        ("User\n", Mac("smack", "User", None)),
        ("", None),
    ],
)
def test_labels(text: str, found: Mac | None) -> None:
    assert read.parse_label(text, ("capability", "smack"), True) == found


STATUS = {
    "Uid": "100005\t100005\t100005\t100005",
    "Gid": "100007\t100007\t0\t0",
    "Groups": "100008",
}
INSIDE = {"Uid": "5 5 5 5", "Gid": "7 7 7 7", "Groups": ""}


@pytest.mark.parametrize(
    ("status", "sharing", "ours", "found"),
    [
        (STATUS, Sharing.OWN, False, User(5, 7, (8,), 100005, rootless=True)),
        (INSIDE, Sharing.OWN, True, User(5, 7, (), 100005, rootless=True)),
        (INSIDE, Sharing.UNKNOWN, True, User(5, 7, (), 100005, rootless=None)),
        ({"Uid": "1"}, Sharing.OWN, True, None),
    ],
)
def test_users(status: dict[str, str], sharing: Sharing, ours: bool, found: User | None) -> None:
    table = "         0     100000      65536\n"
    assert read.parse_user(status, table, table, sharing, ours=ours) == found


def test_sandboxes() -> None:
    gvisor = "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n"
    kata = "reboot=k panic=1 systemd.unit=kata-containers.target agent.log=debug\n"
    assert read.sandbox_inside(gvisor, "", "") == "gvisor"
    assert read.sandbox_inside("Linux version 6.12", kata, "") == "kata"
    assert read.sandbox_inside("", "", "1 0 0:1 /x / rw - virtiofs kataShared rw\n") == "kata"
    assert read.sandbox_inside("Linux version 6.18", "root=/dev/vda", DOCKER) is None
    assert read.sandbox_outside("/usr/bin/containerd-shim-kata-v2\0-id\0x") == "kata"
    assert read.sandbox_outside("runsc-sandbox\0--root=/x") == "gvisor"
    assert read.sandbox_outside("vim\0runsc") is None


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300), st.sampled_from([DOCKER, V1, "0 0 1\n", "Uid:\t1 2 3 4\n", ""]))
def test_no_text_of_a_foreign_kernel_breaks_the_readers(text: str, known: str) -> None:
    for mixed in (text, known + text, text + known, known.replace(" ", text[:3])):
        found = mounts.parse_mounts(mixed)
        mounts.root_of(found, Path("/nonexistent"), host=None, of_host=found)
        read.cgroup_of(read.parse_groups(mixed), found, found, {})
        read.parse_label(mixed, (), None)
        status = procfs.parse_status(mixed)
        read.parse_user(status, mixed, mixed, Sharing.OWN, ours=False)


def test_a_kernel_that_says_little(tmp_path: Path) -> None:
    """Fields that an old or foreign kernel does not have are missing, nothing fails."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name:\tx\nUid:\tmany\n")
    found = posture_of(7, Machine.read(tmp_path))
    assert (found.seccomp, found.user, found.root, found.cgroup) == (None, None, None, None)
    assert found.namespaces == {}


def test_a_process_that_is_gone_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="status"):
        posture_of(7, Machine.read(tmp_path))


def test_our_own_process() -> None:
    found = posture_of(os.getpid(), Machine.read())
    assert found.user is not None
    assert found.user.uid == os.geteuid()
    assert found.securebits is not None
    mounted = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    assert (found.root is not None) is ("/" in mounted)  # below chroot(8) it may not be


def test_the_settings_of_a_command_are_those_that_we_see(tmp_path: Path) -> None:
    folder = tmp_path / "sys/net/ipv4"
    folder.mkdir(parents=True)
    (folder / "ping_group_range").write_text("1\t0\n")
    assert own_sysctls(tmp_path) == {"net.ipv4.ping_group_range": "1 0"}
