"""Errors of system calls, baselines, and seccomp profiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capadvise.catalog import Meaning, default
from capadvise.catalog.askers import NamespaceScope
from capadvise.catalog.circumstances import Circumstance
from capadvise.model import strict
from capadvise.model.caps import NAMES, Cap, parse_set
from capadvise.model.errors import BadInput
from capadvise.report.explain import capability_text
from tests.generate.facts.baselines import exposures_of, pod_security_of, profiles_of, runtime_of
from tests.generate.facts.compiling import parse_errnos, parse_signs
from tests.support.cost import loaded

CATALOG = default()
ALL = [Cap(number) for number in range(len(NAMES))]
ADMIN = Cap.parse("SYS_ADMIN")

ROW = "- {syscall: bind, errno: EACCES, candidates: [CAP_NET_BIND_SERVICE], source: measured}\n"
ERRNOS = "errnos:\n" + ROW
RUNTIME = "name: docker\ngrants: [CAP_CHOWN]\nnotes: []\nsource: s\n"
PODS = (
    "name: pod-security\nbaseline_addable: [CAP_CHOWN]\nrestricted_addable: []\n"
    "notes: []\nsource: s\n"
)
PROFILE = (
    ":\n  opens:\n    CAP_BPF: [bpf]\n  never: [swapon]\n  apparmor: []\n  notes: []\n  source: s\n"
)
SECCOMP = f"docker{PROFILE}podman{PROFILE}"
EXPOSURE = "disk:\n  rule: r\n  severity: error\n  says: 'it gets {}'\n  why: w\n  remedy: m\n"
SIGNS = (CATALOG.folder / "signs.yaml").read_text()


def _of(made: Callable[[Path, Any], Any]) -> Callable[[Path, str], Any]:
    return lambda path, text: made(path, strict.load(path, text))


FILES: dict[str, tuple[Callable[[Path, str], Any], str]] = {
    "signs.yaml": (parse_signs, SIGNS),
    "errnos.yaml": (parse_errnos, ERRNOS),
    "docker.yaml": (_of(runtime_of), RUNTIME),
    "pod-security.yaml": (_of(pod_security_of), PODS),
    "seccomp.yaml": (_of(profiles_of), SECCOMP),
    "exposures.yaml": (_of(exposures_of), EXPOSURE),
}


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file_is_read(name: str) -> None:
    parse, text = FILES[name]
    assert parse(Path(name), text)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("errnos.yaml", ("syscall:", "call:"), "line 2: unknown key 'call'"),
        ("errnos.yaml", (", source: measured", ""), "line 2: key 'source' is missing"),
        ("errnos.yaml", ("errno: EACCES", "errno: EACCES, errno: EPERM"), "line 2: key 'errno' ap"),
        ("errnos.yaml", ("EACCES", "EACCESS"), "line 2: 'EACCESS' is not the name of an error"),
        ("errnos.yaml", ("SERVICE", "SERVER"), "line 2: 'CAP_NET_BIND_SERVER' is not the name"),
        ("errnos.yaml", ("CAP_NET_", "NET_"), "line 2: 'NET_BIND_SERVICE' is not the name"),
        ("errnos.yaml", ("[CAP_NET_BIND_SERVICE]", "[CAP_KILL, CAP_KILL]"), "line 2: 'CAP_KILL' a"),
        ("errnos.yaml", ("[CAP_NET_BIND_SERVICE]", "[]"), "line 2: 'candidates' is empty"),
        ("errnos.yaml", (ROW, ROW * 2), "line 3: bind with EACCES appears twice"),
        ("errnos.yaml", (ROW, "  a: 1"), "'errnos' must be a list"),
        ("exposures.yaml", ("why", "reason"), "line 5: unknown key 'reason'"),
        ("exposures.yaml", ("  why: w\n", ""), "line 2: key 'why' is missing"),
        ("exposures.yaml", ("why: w", "why: []"), "line 5: 'why' must be a text"),
        ("docker.yaml", ("grants", "grant"), "line 2: unknown key 'grant'"),
        ("docker.yaml", ("source: s\n", ""), "line 1: key 'source' is missing"),
        ("docker.yaml", ("notes: []", "notes: []\nnotes: []"), "line 4: key 'notes' appears twice"),
        ("docker.yaml", ("[CAP_CHOWN]", "CAP_CHOWN"), "line 2: 'grants' must be a list of texts"),
        ("docker.yaml", ("CAP_CHOWN", "CAP_GOD"), "line 1: 'CAP_GOD' is not the name"),
        ("docker.yaml", ("name: docker", "name: podman"), "line 1: name 'podman' is not that of"),
        ("docker.yaml", ("source: s", "source: ''"), "line 4: 'source' must be a text"),
        ("pod-security.yaml", ("baseline_", "base_"), "line 2: unknown key 'base_addable'"),
        ("signs.yaml", ("  overlay-mount:", "  underlay-mount:"), "unknown key 'underlay-mount'"),
        ("signs.yaml", ("names: [may_open]", "names: may_open"), "'names' must be a list of texts"),
        ("signs.yaml", ("value: 40", "value: many"), "'value' must be a number"),
        ("signs.yaml", ("CLONE_NEWNET", "CLONE_FILES"), "'CLONE_FILES' makes no namespace"),
        ("signs.yaml", ("[ENOENT,", "[ENONE,"), "'ENONE' is not the name of an error"),
        ("seccomp.yaml", ("[swapon]", "[a, a]"), "line 4: 'a' appears twice in 'never'"),
        ("seccomp.yaml", ("podman", "lxc"), "line 8: unknown key 'lxc'"),
        ("seccomp.yaml", ("CAP_BPF", "CAP_EBPF"), "line 3: 'CAP_EBPF' is not the name"),
        ("seccomp.yaml", ("    CAP_BPF: [bpf]\n", "    - bpf\n"), "line 2: 'opens' must map"),
        ("seccomp.yaml", ("[bpf]", "[bpf]\n    CAP_BPF: [bpf]"), "line 4: key 'CAP_BPF' appears"),
        ("seccomp.yaml", ("  source: s\n", ""), "line 2: key 'source' is missing"),
    ],
)
def test_a_broken_file_is_refused_with_file_and_line(
    name: str, change: tuple[str, str], said: str
) -> None:
    parse, text = FILES[name]
    assert change[0] in text
    with pytest.raises(BadInput, match=f"{name}: .*{said}"):
        parse(Path(name), text.replace(*change))


def test_what_runtimes_grant() -> None:
    grants = {runtime.name: runtime.grants for runtime in CATALOG.baselines.runtimes}
    assert {name: len(caps) for name, caps in grants.items()} == {
        "docker": 14,
        "podman": 11,
        "containerd": 14,
        "cri-o": 9,
    }
    assert grants["containerd"] == grants["docker"]
    assert grants["docker"] - grants["podman"] == parse_set(["NET_RAW", "MKNOD", "AUDIT_WRITE"])
    assert grants["podman"] - grants["cri-o"] == parse_set(["SYS_CHROOT", "SETFCAP"])
    assert all(caps <= frozenset(ALL) for caps in grants.values())


def test_what_pods_may_add() -> None:
    pods = CATALOG.baselines.pod_security
    docker = CATALOG.baselines.runtimes[0].grants
    assert docker - pods.baseline_addable == parse_set(["NET_RAW"])
    assert pods.baseline_addable < docker
    assert pods.restricted_addable == parse_set(["NET_BIND_SERVICE"])


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_a_call_that_is_never_opened_is_not_opened_by_a_capability(engine: str) -> None:
    profile = CATALOG.seccomp[engine]
    assert not set(profile.never) & {call for calls in profile.opens.values() for call in calls}


def test_what_sys_admin_opens_in_seccomp() -> None:
    docker, podman = (CATALOG.seccomp[engine].opens[ADMIN] for engine in ("docker", "podman"))
    assert len(docker) == 26
    assert {"mount", "bpf", "unshare"} <= set(docker)
    assert "mount" not in podman


SILENT = {
    "AUDIT_CONTROL": {"sendto", "sendmsg"},  # netlink: the refusal is an answer, not an error
    "AUDIT_WRITE": {"sendto", "sendmsg"},
    "NET_ADMIN": {"sendto"},
    "BLOCK_SUSPEND": {"epoll_ctl"},
    "DAC_READ_SEARCH": {"getdents64"},  # refused when the directory is opened
    "IPC_LOCK": {"io_uring_setup"},
    "SETGID": {"setfsgid"},
    "SETUID": {"setfsuid", "execve"},
}
"""Calls that ask for a capability and never fail for want of it."""


def test_the_errors_cover_what_the_entry_says() -> None:
    for cap in ALL:
        entry = CATALOG.entry(cap)
        assert entry is not None, cap
        own = [pair for pair, candidates in CATALOG.errnos.items() if cap in candidates]
        assert set(entry.errno) <= {errno for _, errno in own}, cap
        if entry.errno:
            missing = set(entry.syscalls) - {syscall for syscall, _ in own}
            assert missing == SILENT.get(cap.short, set()), cap
        else:
            assert not own, cap


def test_sys_admin_is_tried_last() -> None:
    assert all(caps[-1] == ADMIN for caps in CATALOG.errnos.values() if ADMIN in caps)


@pytest.mark.parametrize(
    ("syscall", "errno", "caps"),
    [
        ("bind", "EACCES", "NET_BIND_SERVICE DAC_READ_SEARCH DAC_OVERRIDE"),
        ("mlock", "ENOMEM", "IPC_LOCK"),
        ("mmap", "EAGAIN", "IPC_LOCK"),
        ("clone3", "EAGAIN", "SYS_RESOURCE SYS_ADMIN"),
        ("setpriority", "EACCES", "SYS_NICE"),
        ("ioprio_set", "EPERM", "SYS_NICE SYS_ADMIN"),
        ("mq_open", "EINVAL", "SYS_RESOURCE"),
        ("setsockopt", "EINVAL", "NET_RAW"),
        ("getxattr", "ENODATA", "SYS_ADMIN"),
        ("migrate_pages", "EPERM", "SYS_PTRACE SYS_NICE"),
    ],
)
def test_candidates(syscall: str, errno: str, caps: str) -> None:
    assert CATALOG.errnos[syscall, errno] == tuple(map(Cap.parse, caps.split()))


def test_a_pair_without_candidates_is_missing() -> None:
    assert ("read", "EINTR") not in CATALOG.errnos


GOLDEN = """\
Who grants it by default
  - None of docker, podman, containerd and cri-o: it must be added.
  - Kubernetes lets a pod add it only at the Pod Security level privileged.

What it unlocks in seccomp, the system call filter
  - With it, docker's default profile allows mount, umount2, fsopen, fsconfig,
    fsmount, fspick, move_mount, open_tree and 18 more.
  - The capability is useless while its calls are closed, and a call that is let
    through without it is usually still refused by the kernel: it takes both.
  - Blocked in docker even with it: pivot_root, swapon, swapoff, keyctl and
    io_uring_setup.
"""


def test_an_explanation_says_who_grants_it_and_what_it_opens() -> None:
    assert GOLDEN in "\n".join(capability_text(ADMIN, CATALOG))


@pytest.mark.parametrize(
    ("cap", "said"),
    [
        ("KILL", "  - docker, podman, containerd and cri-o."),
        ("NET_RAW", "  - docker and containerd; not podman or cri-o."),
        (
            "NET_RAW",
            ("  - No system call: docker's default profile allows the same calls without it."),
        ),
        ("SYS_BOOT", "  - With it, docker's default profile allows reboot."),
    ],
)
def test_an_explanation_says(cap: str, said: str) -> None:
    assert said in list(capability_text(Cap.parse(cap), CATALOG))


def test_watching_reads_none_of_these_files() -> None:
    script = (
        "import capadvise.cli, capadvise.cli.commands.run\n"
        "from capadvise.catalog import default\n"
        "default().preload()\n"
        "assert not {'errnos', 'baselines', 'seccomp', 'known'} & vars(default()).keys()"
    )
    names = ("baselines", "capabilities", "known")
    assert not {f"capadvise.catalog.{name}" for name in names} & loaded(script)


def test_lists_of_names_are_of_things_that_there_are() -> None:
    assert CATALOG.names["device-sites"] <= {rule.id for rule in CATALOG.sites.rules}
    assert CATALOG.names["wrappers"] - {"time"} <= CATALOG.names["runners"] | {"doas"}
    with pytest.raises(KeyError):
        CATALOG.names["no-such-list"]


def test_the_table_of_the_host_names_kinds_and_calls_that_there_are() -> None:
    lists = CATALOG.host.lists
    kinds = {group[key] for group in lists["groups"] for key in ("reading", "writing")}
    assert kinds | set(lists["groups-of-root"]) <= {"harmless", *CATALOG.exposures}
    closed: set[str] = set.intersection(
        *(
            {*profile.never, *(call for calls in profile.opens.values() for call in calls)}
            for profile in CATALOG.seccomp.values()
        )
    )
    assert set(lists["calls-that-matter"]) <= closed
    assert all(group["why"] for group in lists["groups"])


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ("circumstances", {key for c in Circumstance for key in (str(c), f"not {c}")}),
        ("refused", set(map(str, Meaning))),
        ("meanings", set(map(str, Meaning))),
        ("scopes", set(map(str, NamespaceScope))),
        ("shared-namespaces", set(CATALOG.texts["namespaces"])),
        ("user-namespace-conditions", set(CATALOG.texts["user-namespaces"])),
    ],
)
def test_each_thing_has_its_text(table: str, keys: set[str]) -> None:
    assert set(CATALOG.texts[table]) == keys
