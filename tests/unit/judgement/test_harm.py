"""No advice that harms: every cure is held against a list of what must not be weakened."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import pytest

from capadvise.catalog import default
from capadvise.catalog.capabilities import EditPlace
from capadvise.judgement.harm import (
    CONTAINER,
    HOST,
    Harm,
    file_capabilities_refused,
    grant_harm,
    owner_of_path,
    runs_others,
    sayable,
)
from capadvise.judgement.watched import Owner, OwnerKind, PathPart, WatchedCall, WatchFinding
from capadvise.model.caps import NAMES, Cap, parse_set
from capadvise.model.recording import RefusedBy
from capadvise.report.watch import cure, finding_json
from tests.support.weakening import weakened

CATALOG = default()
OWNERS = (
    Owner(OwnerKind.CONTAINER, "web", "docker", "shop", container="3" * 64),
    Owner(OwnerKind.CONTAINER, "web", "docker", container="3" * 64),
    Owner(OwnerKind.CONTAINER, "web", "podman", container="3" * 64),
    Owner(OwnerKind.POD, "db", "cri", pod="prod/db-0"),
    Owner(OwnerKind.UNIT, "nginx.service"),
    Owner(OwnerKind.USER, "alice"),
    Owner(OwnerKind.PROGRAM, "backup"),
)
ABOUT = (
    *("/etc/shadow, reading", "/etc", "//etc/passwd, writing", "/srv/../etc/shadow", "/", ""),
    *("/root/.ssh/id_rsa, reading", "/home/bob/secret, reading", "/home", "/usr/bin/python3"),
    *("/boot/grub", "/dev/sda, reading", "/proc/1/mem, reading", "/proc/self/root/etc/shadow"),
    *(
        "/sys/kernel",
        "/lib/modules",
        "/bin/sh",
        "/sbin/init",
        "/opt/app/bin/run",
        "/run/docker.sock",
    ),
    *("/var/run/docker.sock", "/var/lib/dpkg/status", "/var/spool/cron/root", "/var/log/audit/a"),
    *("/mnt/host/etc/shadow, reading", "/host/root", "/srv/web/.ssh/authorized_keys", "/var/lib"),
    *("uid 0", "uid 5", "0, 0, 0", "shadow, reading", "127.0.0.1:81", "/data, uid 999"),
)
BELOW = re.compile(r"^(etc|root|home|usr|boot|dev|proc|sys|lib|bin|sbin|opt|run|var)$")


def findings() -> Iterator[WatchFinding]:
    """Every kind of refusal."""
    everyone = product(OWNERS, RefusedBy, range(len(NAMES)), (0, 5, 65534))
    for number, (owner, by, cap, uid) in enumerate(everyone):
        part = list(PathPart)[number % len(PathPart)]
        for bounding in (frozenset(), frozenset({Cap(cap)})):
            about = ABOUT[number % len(ABOUT)]
            call = WatchedCall(
                *(owner, "program", 7, uid, "openat", about), denied=(), bounding=bounding
            )
            caps = (Cap(cap),) if by is not RefusedBy.SECCOMP else ()
            opener = Cap(cap) if by is RefusedBy.SECCOMP else None
            yield WatchFinding(call, "EPERM", by, caps, "AppArmor", None, opener, part)


def test_no_cure_weakens_the_system() -> None:
    said = set(map(cure, findings()))
    assert [(text, why) for text in said if (why := weakened(text))] == []
    assert len(said) > 200, "many cures were looked at"


@pytest.mark.parametrize("about", ABOUT)
@pytest.mark.parametrize("cap", ["CHOWN", "FOWNER", "DAC_OVERRIDE", "DAC_READ_SEARCH"])
def test_no_file_of_the_system_is_given_away(cap: str, about: str) -> None:
    refusers = (RefusedBy.MODE, RefusedBy.CAPABILITY, RefusedBy.MOUNT)
    for owner, by, uid, part in product(OWNERS, refusers, (0, 5), PathPart):
        call = WatchedCall(*(owner, "cat", 7, uid, "openat", about), denied=())
        found = WatchFinding(call, "EACCES", by, (Cap.parse(cap),), "", None, None, part)
        assert not weakened(finding_json(found, "now"))


def test_what_is_root_equivalent_is_never_first_and_says_so() -> None:
    for found in findings():
        if found.by is not RefusedBy.CAPABILITY:
            continue
        text, (cap,) = cure(found), found.caps
        place = CONTAINER if found.call.owner.kind in (OwnerKind.CONTAINER, OwnerKind.POD) else HOST
        if grant_harm(cap, place, CATALOG, root=True) is None:
            continue
        first, *others = text.split("; or ")
        assert cap.name not in first, text
        for other in others:
            assert found.call.uid == 0, text
            assert "root-equivalent" in other, text


def test_the_cures_that_do_no_harm_are_said() -> None:
    """The other side: a filter that refuses everything would hold the tests above."""
    call = WatchedCall(*(OWNERS[4], "web", 7, 5, "openat", "/srv/data/f, reading"), denied=())
    read = Cap.parse("DAC_READ_SEARCH")
    mode = WatchFinding(call, "EACCES", RefusedBy.MODE, (read,), "", None)
    assert cure(mode) == "give /srv/data/f to uid 5, or to one of its groups"
    bind = WatchFinding(
        call, "EACCES", RefusedBy.CAPABILITY, (Cap.parse("NET_BIND_SERVICE"),), "", None
    )
    assert cure(bind).startswith('"CapabilityBoundingSet=CAP_NET_BIND_SERVICE and AmbientCap')


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        *((path, "the system") for path in ("/", "/etc", "/etc/shadow", "//etc/x", "/./etc/x")),
        *((path, "the system") for path in ("/proc/self/root/x", "/mnt/etc/shadow", "/srv/../x")),
        *((path, "the system") for path in ("/var/lib/docker/x", "/var/log", "/tmp", "/host/x")),
        *((path, "root") for path in ("/root", "/root/.bashrc")),
        *((path, "another user") for path in ("/home", "/home/ann/x")),
        *((path, None) for path in ("/data", "/srv/x", "/var/lib/redis/dump.rdb", "/tmp/w/f")),
        *((path, None) for path in ("/var/www", "/var/www/html", "/var/cache/nginx", "/mnt/data")),
    ],
)
def test_whose_a_path_is(path: str, owner: str | None) -> None:
    assert owner_of_path(path) == owner


@pytest.mark.parametrize(
    "name",
    [
        *("python3", "/usr/bin/python3.11", "python", "pypy3", "perl", "perl5.36.0", "ruby3.1"),
        *("node", "nodejs", "java", "php8.2", "lua5.4", "tclsh8.6", "Rscript", "awk", "mawk"),
        *("bash", "sh", "dash", "zsh", "busybox", "env", "sudo", "timeout", "find", "xargs"),
        *(
            "/lib64/ld-linux-x86-64.so.2",
            "gdb",
            "vim.basic",
            "tar",
            "setpriv",
            "server.py",
            "a.jar",
        ),
    ],
)
def test_what_runs_others_gets_no_file_capabilities(name: str) -> None:
    assert runs_others(name)
    bind = parse_set(["NET_BIND_SERVICE"])
    assert file_capabilities_refused(bind, [name], CATALOG, image=True)


@pytest.mark.parametrize(
    "name", ["nginx", "/usr/sbin/nginx", "redis-server", "ping", "server", "7z"]
)
def test_other_programs_may_have_them(name: str) -> None:
    assert runs_others(name) is None
    assert file_capabilities_refused(parse_set(["NET_RAW"]), [name], CATALOG, image=False) is None


@pytest.mark.parametrize("cap", ["SYS_ADMIN", "DAC_READ_SEARCH", "SETUID", "CHOWN", "SYS_MODULE"])
def test_nobody_makes_every_user_root(cap: str) -> None:
    assert file_capabilities_refused(parse_set([cap]), ["nginx"], CATALOG, image=False)


def test_one_place_decides_what_is_said_and_in_which_order() -> None:
    cures = [("c", Harm("opens all")), ("r", Harm("root", refused=True)), ("a", None), ("b", None)]
    assert sayable(cures) == ["a", "b", "c (opens all)"]


HARDENING = ("dev.tty.legacy_tiocsti=0",)
"""Settings of the whole machine that close something."""


def test_no_remediation_of_the_catalog_weakens_the_machine_without_a_word() -> None:
    for cap in map(Cap, range(len(NAMES))):
        entry = CATALOG.entry(cap)
        assert entry is not None
        ways = [(way.do, way.edits) for way in entry.remediation]
        ways += [(use.remediation, use.edits) for use in entry.uses]
        assert "It opens something" not in ways[0][0]
        for do, edits in ways:
            assert not weakened("; ".join([do, *(text for _, text in edits)])), (cap, do)
            opens = [text for place, text in edits if place is EditPlace.SYSCTL] or (
                ["setcap"] * ("setcap" in do)
            )
            if opens and opens[0] not in HARDENING:
                assert "It opens something: " in do, (cap, do)
