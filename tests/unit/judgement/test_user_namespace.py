"""In which user namespace a need can be met: by call site, whose object it is, and arguments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capadvise.judgement.decide import Need, Proof, Proposal, Verdict, decide
from capadvise.judgement.judge import Effect, Judged
from capadvise.judgement.proven import Proven
from capadvise.judgement.user_namespace import NeedScope, fit_of, place
from capadvise.model.caps import Cap
from capadvise.model.posture import Exposed, Posture, Root, Sharing
from capadvise.model.recording import Check, Namespace, Origin, Retried
from capadvise.observe.retry.mode import restriction
from capadvise.report.dump import dump
from capadvise.report.explain_report import namespace_text
from capadvise.report.text import fit_line, in_short
from capadvise.targets.client.client import Client
from capadvise.targets.client.invocation import recognize
from capadvise.targets.containers import data, grant
from tests.support.recordings import CATALOG, check, recording, report
from tests.support.wait import PATIENCE

OWN = Posture(namespaces=dict.fromkeys(("mnt", "net", "uts", "ipc", "pid"), Sharing.OWN))
HOST = Posture(namespaces=dict.fromkeys(("user", "mnt", "net", "uts", "ipc", "pid"), Sharing.HOST))
ROOTLESS = replace(OWN, namespaces=OWN.namespaces | {"user": Sharing.OWN})
CHOWN = ("CHOWN", "chown_ok setattr_prepare ext4_setattr notify_change", "fchownat")
BIND = ("NET_BIND_SERVICE", "ns_capable __inet_bind inet_bind_sk", "bind")
MARK = ("NET_ADMIN", "sk_setsockopt do_sock_setsockopt", "setsockopt")
MOUNT = ("SYS_ADMIN", "mount_capable do_new_mount path_mount", "mount")
HOSTNAME = ("SYS_ADMIN", "__x64_sys_sethostname", "sethostname")
KILL = ("KILL", "check_kill_permission", "kill")
GENETLINK = "genl_rcv_msg netlink_rcv_skb genl_rcv"
IDS = ("SETUID", "new_idmap_permitted map_write proc_uid_map_write", "write")
INIT = ("SYS_ADMIN", "__do_sys_fanotify_init", "fanotify_init")
MARKS = ("SYS_ADMIN", "do_fanotify_mark", "fanotify_mark")
LINKS = ("SYS_PTRACE", "__ptrace_may_access ptrace_may_access proc_pid_readlink", "readlink")
MKNOD = ("MKNOD", "vfs_mknod do_mknodat", "mknodat")


def args(**values: int) -> dict[str, Any]:
    return {"args": tuple(values.items())}


TABLE = [
    # what is asked of the machine's user namespace, wherever it runs
    (MKNOD, {}, OWN, NeedScope.HOST),
    (("SYS_TIME", "cap_settime do_sys_settimeofday64", "settimeofday"), {}, OWN, NeedScope.HOST),
    (("SYS_RESOURCE", "do_prlimit", "prlimit64"), {}, OWN, NeedScope.HOST),
    (("SYS_NICE", "can_nice set_one_prio", "setpriority"), {}, OWN, NeedScope.HOST),
    (("IPC_LOCK", "can_do_mlock do_mlock", "mlock"), {}, OWN, NeedScope.HOST),
    (("SYS_MODULE", "__do_sys_finit_module", "finit_module"), {}, OWN, NeedScope.HOST),
    # what is asked of the owner: of ids and processes it is one's own
    (CHOWN, {}, HOST, NeedScope.USER_NAMESPACE),
    # another process: the target's own, or one of the host's that it can see?
    (KILL, args(foreign=0), HOST, NeedScope.USER_NAMESPACE),
    (KILL, args(foreign=1), HOST, NeedScope.HOST),
    (KILL, {}, OWN, NeedScope.USER_NAMESPACE),
    (KILL, {}, HOST, None),
    (LINKS, {}, HOST, NeedScope.HOST),
    (LINKS, {}, OWN, NeedScope.USER_NAMESPACE),
    (("SYS_PTRACE", (), "ptrace"), {"origin": Origin.HOLDER}, HOST, NeedScope.HOST),
    (("SYS_CHROOT", "__x64_sys_chroot", "chroot"), {}, HOST, NeedScope.USER_NAMESPACE),
    (("SYS_ADMIN", "unshare_nsproxy_namespaces", "unshare"), {}, HOST, NeedScope.USER_NAMESPACE),
    # which ids are mapped further?
    (IDS, {}, OWN, None),
    (IDS, args(uid=999), OWN, NeedScope.USER_NAMESPACE),
    # whose network, hostname or mounts?
    (BIND, {}, OWN, NeedScope.USER_NAMESPACE),
    (BIND, {}, HOST, NeedScope.HOST),
    (BIND, {}, Posture(), None),
    (HOSTNAME, {}, OWN, NeedScope.USER_NAMESPACE),
    (HOSTNAME, {}, HOST, NeedScope.HOST),
    (("SYS_ADMIN", "path_umount", "umount2"), {}, OWN, NeedScope.USER_NAMESPACE),
    (("SYS_ADMIN", "path_umount", "umount2"), {}, HOST, NeedScope.HOST),
    (("NET_ADMIN", "rtnetlink_rcv_msg", "sendto"), {}, OWN, NeedScope.USER_NAMESPACE),
    (("NET_ADMIN", f"netlink_capable {GENETLINK}", "sendto"), {}, OWN, NeedScope.HOST),
    (("NET_ADMIN", f"netlink_ns_capable {GENETLINK}", "sendto"), {}, OWN,
     NeedScope.USER_NAMESPACE),
    (("NET_ADMIN", GENETLINK, "sendto"), {}, OWN, None),
    # what the call asks for
    (MARK, args(level=1, name=36), OWN, NeedScope.USER_NAMESPACE),
    (MARK, args(level=1, name=33), OWN, NeedScope.HOST),
    (MARK, {}, OWN, None),
    (MOUNT, {"detail": "file system tmpfs"}, OWN, NeedScope.USER_NAMESPACE),
    (MOUNT, {"detail": "file system overlay, fuse.sshfs"}, OWN, NeedScope.USER_NAMESPACE),
    (MOUNT, {"detail": "file system tmpfs"}, HOST, NeedScope.HOST),
    (MOUNT, {"detail": "file system tmpfs, ext4"}, OWN, NeedScope.HOST),
    (MOUNT, {"detail": "file system bind, none, tmpfs"}, OWN, NeedScope.USER_NAMESPACE),
    (MOUNT, {}, OWN, None),
    (MOUNT, args(flags=0x1000), OWN, NeedScope.USER_NAMESPACE),
    (INIT, args(flags=0), OWN, NeedScope.HOST),  # opens the files that it reports
    (INIT, args(flags=0x200), OWN, NeedScope.USER_NAMESPACE),  # reports ids
    (INIT, args(flags=0x220), OWN, NeedScope.HOST),  # without a limit on marks
    (INIT, {}, OWN, None),
    (MARKS, args(flags=0x1), OWN, NeedScope.USER_NAMESPACE),  # a file
    (MARKS, args(flags=0x11), OWN, None),  # a mount: from Linux 6.16
    (MARKS, args(flags=0x101), OWN, NeedScope.HOST),  # a file system
    (MARKS, args(flags=0x101), ROOTLESS, NeedScope.USER_NAMESPACE),
    (MARKS, {}, OWN, None),
    (("SYS_ADMIN", "xattr_permission vfs_setxattr ovl_fill_super", "fsconfig"), {}, OWN,
     NeedScope.USER_NAMESPACE),
    (("SYS_ADMIN", "xattr_permission vfs_setxattr", "setxattr"), {}, OWN, NeedScope.HOST),
    (("SYS_ADMIN", "xattr_permission vfs_getxattr", "getxattr"), {}, OWN, None),
    # what was seen of a run in a user namespace of its own
    (CHOWN, {}, ROOTLESS, NeedScope.USER_NAMESPACE),
    (MOUNT, {}, ROOTLESS, NeedScope.USER_NAMESPACE),
    (MKNOD, {"ns": Namespace.HOST, "granted": False, "result": -1}, ROOTLESS, NeedScope.HOST),
    # without a call site
    (("CHOWN", (), "chown"), {"retried": Retried.SHOWN, "without": "EPERM"}, OWN,
     NeedScope.USER_NAMESPACE),
    (("MKNOD", (), "mknod"), {"retried": Retried.SHOWN, "without": "EPERM"}, OWN, NeedScope.HOST),
    (("SYS_ADMIN", (), "mount"), {"retried": Retried.SHOWN, "without": "EPERM"}, OWN, None),
    (("SYS_ADMIN", (), "sethostname"), {"retried": Retried.SHOWN, "without": "EPERM"}, OWN,
     NeedScope.USER_NAMESPACE),
    (("SYS_ADMIN", (), "umount2"), {"retried": Retried.SHOWN, "without": "EPERM"}, HOST,
     NeedScope.HOST),
    (("CHOWN", "nobody_knows", "chown"), {}, OWN, None),
    (("MKNOD", "nobody_knows", "mknod"), {}, OWN, NeedScope.HOST),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "more", "posture", "scope"), TABLE)
def test_scope(
    asked: tuple[str, str, str], more: dict[str, Any], posture: Posture, scope: NeedScope | None
) -> None:
    judged = decide(recording(check(*asked, **more)), CATALOG)
    assert place(judged.needs[0], CATALOG, posture).scope is scope


def test_one_use_that_is_for_the_host_decides() -> None:
    both = decide(recording(check(*HOSTNAME), check(*MOUNT, detail="file system ext4")), CATALOG)
    where = place(both.needs[0], CATALOG, OWN)
    assert (where.scope, where.why) == (NeedScope.HOST, "mount(2)")
    fit = fit_of(both, CATALOG, OWN)
    assert fit.fits is False
    assert [(cap.short, why) for cap, why in fit.outside] == [("SYS_ADMIN", "mount(2)")]


def test_what_programs_go_on_without_is_lost_there() -> None:
    """The kernel says in a user namespace that it has no audit, and a login goes on; who is for
    audit alone does not."""
    asked = check("AUDIT_WRITE", "audit_netlink_ok audit_receive_msg", "sendto")
    judged = Judged(asked, CATALOG.sites.match(asked.cap, asked.site), Effect.NEEDED, "", ())
    needs = [
        Need(Cap.parse(cap), Verdict.NEEDED, Proof.CALL_SITE, "", evidence=(judged,))
        for cap in ("AUDIT_WRITE", "AUDIT_CONTROL")
    ]
    assert [bool(place(need, CATALOG, OWN).lost) for need in needs] == [True, False]
    login = Proposal((needs[0],), frozenset({needs[0].cap}))
    fit = fit_of(login, CATALOG, OWN)
    assert (fit.fits, fit.outside, in_short(fit)) == (True, (), "yes, without AUDIT_WRITE")


def test_who_makes_containers_does_without_device_nodes_there() -> None:
    """runc and crun mount the host's instead, where they are in a user namespace."""
    pivot = check("SYS_ADMIN", "__do_sys_pivot_root", "pivot_root", program="runc")
    nodes = [check(*MKNOD, program=program) for program in ("runc", "udevd")]
    fits = [fit_of(decide(recording(pivot, node), CATALOG), CATALOG, OWN) for node in nodes]
    assert [fit.fits for fit in fits] == [True, False]
    assert in_short(fits[0]) == "yes, without MKNOD"


def test_ids_that_are_mapped_further_must_be_there() -> None:
    proposal = decide(recording(check(*IDS, **args(uid=200_099))), CATALOG)
    fit = fit_of(proposal, CATALOG, OWN)
    assert in_short(fit) == "yes, with the ids up to 200099 mapped"


def test_a_file_system_that_is_watched_can_be_one_that_the_program_mounted() -> None:
    marks = check(*MARKS, **args(flags=0x101))
    mounts = check(*MOUNT, detail="file system tmpfs")
    fits = [
        fit_of(decide(recording(*seen), CATALOG), CATALOG, OWN).fits
        for seen in ([marks], [marks, mounts])
    ]
    assert fits == [False, None]


@pytest.mark.parametrize(("flags", "fits"), [(None, False), (0x20000, False), (0x40000000, True)])
def test_who_enters_a_namespace_must_have_made_one(flags: int | None, fits: bool) -> None:
    """``ip netns exec``: the network is the target's own where it has made one."""
    seen = [check("SYS_ADMIN", "netns_install validate_nsset __do_sys_setns", "setns")]
    if flags is not None:
        new = "unshare_nsproxy_namespaces ksys_unshare"
        seen.append(check("SYS_ADMIN", new, "unshare", **args(flags=flags)))
    assert fit_of(decide(recording(*seen), CATALOG), CATALOG, OWN).fits is fits


UMOUNT = ("SYS_ADMIN", "path_umount", "umount2")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (0, "no: SYS_ADMIN, sethostname(2) in the host's UTS namespace and umount2(2) in the "
         "host's mount namespace"),
        (0x4000000, "no: SYS_ADMIN, umount2(2) in the host's mount namespace"),
        (0x4020000, "not known: SYS_ADMIN, sethostname(2): the owner of the UTS namespace is "
         "unknown and umount2(2): the owner of the mount namespace is unknown"),
    ],
)  # fmt: skip
def test_what_is_done_in_a_namespace_of_its_own_is_not_said_to_be_the_hosts(
    flags: int, said: str
) -> None:
    """``unshare -mu``: bubblewrap does the same as an ordinary user."""
    new = "unshare_nsproxy_namespaces ksys_unshare"
    made = [check("SYS_ADMIN", new, "unshare", **args(flags=flags))] if flags else []
    seen = decide(recording(*made, check(*HOSTNAME), check(*UMOUNT)), CATALOG)
    assert in_short(fit_of(seen, CATALOG, HOST)) == said


def test_a_namespace_is_named_once_for_all_that_is_done_in_it() -> None:
    seen = decide(recording(check(*UMOUNT), check("SYS_ADMIN", "path_umount", "umount")), CATALOG)
    said = "no: SYS_ADMIN, umount2(2) and umount(2) in the host's mount namespace"
    assert in_short(fit_of(seen, CATALOG, HOST)) == said


def test_what_is_only_to_be_held_can_be_held_there() -> None:
    """By a program that calls capset(2) with a fixed set: no check asks for it."""
    holds = replace(recording(check(*CHOWN)), fixed_capsets=(("it", frozenset({Cap(16)})),))
    assert fit_of(decide(holds, CATALOG), CATALOG, OWN).fits is True


def test_what_is_incidental_does_not_decide() -> None:
    noise = check("SYS_ADMIN", "cap_vm_enough_memory __vm_enough_memory mmap_region", "mmap")
    fit = fit_of(decide(recording(check(*CHOWN), noise), CATALOG), CATALOG, OWN)
    assert (fit.fits, fit.ids) == (True, 65_536)


@pytest.mark.parametrize(
    ("uid", "ids"),
    [(33, 65_536), (65_535, 65_536), (70_000, 70_001), (0xFFFFFFFF, 65_536), (1 << 32, 65_536)],
)
def test_ids_that_must_be_mapped(uid: int, ids: int) -> None:
    seen = decide(recording(check(*CHOWN, **args(uid=uid, gid=0xFFFFFFFF))), CATALOG)
    assert fit_of(seen, CATALOG, OWN).ids == ids


def test_the_report_says_it() -> None:
    told = dump(report(), CATALOG)
    assert told["needs"][0]["scope"] in ("user-namespace", "host", None)
    inside = dump(replace(report(), posture=OWN), CATALOG)
    assert inside["proposal"]["user_namespace"] == {"fits": True, "ids": 65_536}
    assert {need["cap"]: need["scope"] for need in inside["needs"]}["CAP_NET_BIND_SERVICE"] == (
        "user-namespace"
    )
    outside = dump(replace(report(), posture=HOST), CATALOG)
    assert outside["proposal"]["user_namespace"] == {"fits": False, "ids": None}


@pytest.mark.parametrize(
    ("settings", "named", "remedy"),
    [
        ({}, None, ""),
        ({"kernel.unprivileged_userns_clone": "1"}, None, ""),
        ({"user.max_user_namespaces": "0"}, "user.max_user_namespaces", "sysctl"),
        ({"kernel.unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone", "sysctl"),
        (
            {"kernel.apparmor_restrict_unprivileged_userns": "1"},
            "kernel.apparmor_restrict_unprivileged_userns",
            'the rule "userns,"',
        ),
    ],
)
def test_what_keeps_users_from_user_namespaces(
    settings: dict[str, str], named: str | None, remedy: str
) -> None:
    """Debian's setting and Ubuntu's are told apart: the second one is no sysctl to be changed."""
    told = restriction(settings.get)
    assert (told is None) == (named is None)
    if told is not None and named is not None:
        assert told[0].startswith(named)
        assert remedy in told[1]


def page_of(*asked: Check, posture: Posture, proven: Proven | None = None) -> str:
    """What ``explain`` and ``run`` say of it."""
    seen = recording(*asked)
    known = replace(
        report(),
        recordings=(seen,),
        proposal=decide(seen, CATALOG),
        posture=posture,
        proven=proven,
    )
    lines = [fit_line(known, CATALOG) or "", *namespace_text(known, CATALOG)]
    return " ".join(" ".join(lines).split())


CONTAINER = replace(OWN, namespaces=OWN.namespaces | {"user": Sharing.HOST})
PROVEN = Proven("command", (), frozenset(), user_namespace=True)


def test_the_page_says_what_stands_in_the_way() -> None:
    bind, clock = check(*BIND), check("SYS_TIME", "cap_settime do_settimeofday64", "settimeofday")
    assert "No. These would have no effect there: - SYS_TIME: settimeofday(2)" in page_of(
        bind, clock, posture=CONTAINER
    )
    assert "as in a container, it would: - docker run: dockerd" in page_of(bind, posture=HOST)
    told = page_of(check(*HOSTNAME), posture=CONTAINER)
    assert told.startswith("Fits a user namespace: yes Would it run in a user namespace? Yes.")
    assert "the risk would be lower: SYS_ADMIN high." in told
    assert "Kubernetes: hostUsers: false" in told
    assert "`capadvise prove --userns` can tell" in page_of(check(*MOUNT), posture=CONTAINER)
    high = page_of(check(*CHOWN, **args(uid=70_000)), posture=CONTAINER)
    assert (
        "It uses ids up to 70000, which must be mapped: engines and Kubernetes map those up" in high
    )


def test_a_volume_without_idmapped_mounts_is_named() -> None:
    volume = Exposed("no-idmap", "/data", True, "nfs4")
    there = replace(CONTAINER, root=Root("overlay", False, exposed=(volume,)))
    told = page_of(check(*HOSTNAME), posture=there)
    assert "yes, but not with the volume /data (nfs4)" in told
    assert "/data is on nfs4, which has no idmapped mounts" in told


def test_the_page_says_nothing_of_what_runs_there_already() -> None:
    assert page_of(check(*HOSTNAME), posture=ROOTLESS) == ""


def test_trials_there_say_more_than_checks() -> None:
    device = check(*MKNOD)
    assert page_of(device, posture=CONTAINER, proven=PROVEN).startswith(
        "Fits a user namespace: yes"
    )
    failed = page_of(device, posture=CONTAINER, proven=replace(PROVEN, minimal=None))
    assert failed.startswith("Fits a user namespace: no: it fails there even with every capability")


def test_a_podman_container_gets_one_in_place_of_what_it_says_of_users() -> None:
    """One that had one keeps its own."""
    asked = recognize(
        ["podman", "run", "--userns=host", "--network=none", "--uidmap", "0:1:5", "IMAGE", "id"]
    )
    assert asked is not None
    client = Client("podman", ("podman",))
    changed = grant.with_user_namespace(asked, client, OWN)
    assert " ".join(changed.argv()) == (
        "podman run --network=none --uidmap=0:2147483648:65536 --gidmap=0:2147483648:65536 IMAGE id"
    )
    assert grant.first_id(changed) == 1 << 31
    assert grant.with_user_namespace(asked, client, ROOTLESS) == asked
    assert grant.first_id(asked) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_data_is_given_to_the_mapped_ids(tmp_path: Path) -> None:
    """As an idmapped mount shows it; a link is not followed."""
    top, outside = tmp_path / "data", tmp_path / "outside"
    (top / "folder").mkdir(parents=True)
    outside.touch()
    for name, owner in (("folder/mine", 33), ("foreign", 70_000)):
        (top / name).touch()
        os.chown(top / name, owner, owner)
    (top / "link").symlink_to(outside)
    data.shift(top, 1000)
    owners = {path.name: os.lstat(path).st_uid for path in (top, *top.rglob("*"), outside)}
    assert owners == {
        **{"data": 1000, "folder": 1000, "mine": 1033, "link": 1000},
        **{"foreign": 70_000, "outside": 0},
    }


KILLED = """
import os, signal
from types import SimpleNamespace
from capadvise.targets.attaching import namespace_addresses

def adopt(*_):
    os.kill(os.getpid(), signal.SIGKILL)

namespace_addresses([0], None, SimpleNamespace(adopt=adopt))
"""


def test_who_enters_a_namespace_for_us_ends_with_us() -> None:
    """It has what we had open: the guardian would not see our end, and the buffers would stay."""
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, timeout=PATIENCE)
    assert done.returncode == -signal.SIGKILL
