"""What watch says of a refused call: owner, mechanism and cure. And what it forgets."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from capadvise.catalog import default
from capadvise.config.kubernetes import file as kubernetes
from capadvise.config.systemd import file as systemd
from capadvise.judgement.watched import (
    Owner,
    OwnerKind,
    Waiting,
    WatchedCall,
    WatchFinding,
    WatchFindings,
    empty_context,
    judged,
)
from capadvise.kernel import procfs
from capadvise.model.caps import Cap, parse_set
from capadvise.model.recording import Check, Namespace, RefusedBy, Told
from capadvise.observe.audit.denials import denials
from capadvise.observe.audit.records import parse_line
from capadvise.observe.ftrace.bpf_assembler import Assembler
from capadvise.observe.ftrace.denials import RefusedCheck
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.report.watch import (
    cure,
    finding_json,
    finding_line,
    metrics,
    summary_json,
    summary_lines,
)
from capadvise.targets.running.machine import CallReader, Owners, unit_or_user
from tests.support import schema

CHOWN = ("setattr_prepare", "notify_change", "chown_common", "__x64_sys_chown")
MODE = ("generic_permission", "inode_permission", "may_open", "do_open", "__x64_sys_openat")
CONTEXT = empty_context(default())
COMPOSE = Owner(OwnerKind.CONTAINER, "web", "docker", "shop", container="3" * 64)
DOCKER = Owner(OwnerKind.CONTAINER, "web", "docker", container="3" * 64)
PODMAN = Owner(OwnerKind.CONTAINER, "web", "podman", container="3" * 64)
POD = Owner(OwnerKind.POD, "db", "cri", pod="prod/db-0")
UNIT = Owner(OwnerKind.UNIT, "nginx.service")


def check(cap: str, site: tuple[str, ...] = CHOWN, ns: Namespace = Namespace.TARGET) -> Check:
    return Check(
        *(1, Cap.parse(cap), False, ns, site, "chown", 7, 1, 0.0),
        syscall="chown",
        result=-1,
    )


LOOKUP = ("generic_permission", "inode_permission")


def test_the_unit_of_a_dead_process_is_known_after_its_group_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel shows a removed group with a mark behind it."""
    removed = "0::/system.slice/short.service (deleted)\n"
    monkeypatch.setattr(procfs, "cgroup", lambda pid: removed)
    owner = Owners().of(7, "touch", ())
    assert owner == Owner(OwnerKind.UNIT, "short.service")


@pytest.mark.parametrize(
    ("syscall", "below", "said", "way"),
    [
        ("openat", ("may_open", "path_openat"), "file", "give /d/f to uid 5, or to one of its"),
        ("openat", ("link_path_walk", "path_openat"), "directory", "search the directories above"),
        ("openat", ("path_openat",), "directory", "let uid 5 write to /d"),
        ("unlinkat", ("may_delete", "vfs_unlink"), "directory", "let uid 5 write to /d"),
        ("renameat2", ("may_create", "vfs_rename"), "directory", "write to the directory"),
    ],
)
def test_whose_mode_refused(syscall: str, below: tuple[str, ...], said: str, way: str) -> None:
    """A file cannot be given to somebody before it is made, and who may not search a directory
    does not get on with the file below it."""
    site = (*LOOKUP, *below, f"__x64_sys_{syscall}")
    checks = (check("DAC_READ_SEARCH", site), check("DAC_OVERRIDE", site))
    given = replace(call(COMPOSE, *checks, uid=5), syscall=syscall, about="/d/f")
    line = finding_line(finding(given))
    assert f"not its {said}: mode and owner refuse uid 5" in line
    assert way in line


def call(owner: Owner = COMPOSE, *checks: Check, uid: int = 0, bounding: str = "") -> WatchedCall:
    return WatchedCall(
        *(owner, "chown", 7, uid, "chown", "/data, uid 999"),
        denied=checks or (check("CHOWN"),),
        bounding=parse_set(bounding.split()),
    )


def finding(given: WatchedCall) -> WatchFinding:
    return judged(given, default(), CONTEXT)


def test_a_line() -> None:
    assert finding_line(finding(call()), "no report of it") == (
        "web (compose: shop) · chown: chown(/data, uid 999) → EPERM · lacks CAP_CHOWN · "
        '"cap_add: [CHOWN]"; or chown /data once, beforehand · no report of it'
    )


@pytest.mark.parametrize(
    ("owner", "uid", "bounding", "said"),
    [
        (DOCKER, 0, "", '"docker run --cap-add=CHOWN"'),
        (PODMAN, 5, "", '"podman run --cap-add=CHOWN"'),
        (POD, 0, "", '"securityContext: {capabilities: {add: [CHOWN]}}"'),
        (UNIT, 0, "", '"CapabilityBoundingSet=CAP_CHOWN"'),
        (UNIT, 5, "CHOWN", '"AmbientCapabilities=CAP_CHOWN"'),
        (UNIT, 0, "CHOWN", "let the program keep CAP_CHOWN, which it was started with"),
    ],
)
def test_the_cure_is_in_the_owners_language(
    owner: Owner, uid: int, bounding: str, said: str
) -> None:
    given = call(owner, uid=uid, bounding=bounding)
    assert cure(finding(given)) == f"{said}; or chown /data once, beforehand"


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        (DOCKER, ". Adding the capability is no cure: uid 5 would not hold it"),
        (COMPOSE, ". Adding the capability is no cure: uid 5 would not hold it"),
        (
            Owner(OwnerKind.USER, "alice"),
            '; or start it as a unit with its User= and "AmbientCapabilities=CAP_CHOWN"',
        ),
    ],
)
def test_who_is_not_root_is_not_sent_there(owner: Owner, said: str) -> None:
    assert cure(finding(call(owner, uid=5))) == f"chown /data once, beforehand{said}"


def test_the_mode_of_a_file_and_another_namespace_are_not_blamed_on_a_capability() -> None:
    reading = check("DAC_READ_SEARCH", MODE), check("DAC_OVERRIDE", MODE)
    mode = finding(call(DOCKER, *reading, uid=5))
    assert mode.by is RefusedBy.MODE
    assert cure(mode) == "give /data to uid 5, or to one of its groups"
    host = finding(call(PODMAN, check("CHOWN", ns=Namespace.HOST)))
    assert host.by is RefusedBy.NAMESPACE
    assert cure(host).startswith("no capability is a cure")


def test_seccomp_is_named() -> None:
    filtered = replace(call(UNIT), denied=(), errno="EPERM", entered=False, syscall="mount")
    line = finding_line(finding(filtered))
    assert "mount(/data, uid 999) → EPERM · seccomp refused it, a capability alone is no" in line
    assert line.endswith("its seccomp filter has to allow mount")


def test_what_a_security_module_refuses_is_never_taken_for_harmless() -> None:
    """setpgid(2) answers EACCES by itself to who comes too late."""
    late = replace(call(UNIT), denied=(), errno="EACCES", entered=True, syscall="setpgid")
    assert finding(late).hidden
    told = finding(replace(late, told=Told(RefusedBy.MAC, "SELinux does not allow setpgid")))
    assert (told.hidden, told.by) == (None, RefusedBy.MAC)


@pytest.mark.parametrize(
    ("owner", "bounding", "opens"),
    [(POD, "", True), (DOCKER, "CHOWN", True), (DOCKER, "SYS_ADMIN", False)],
)
def test_an_engines_filter_opens_calls_with_capabilities(
    owner: Owner, bounding: str, opens: bool
) -> None:
    """A container that has it is under another filter."""
    given = replace(call(owner, bounding=bounding), denied=(), errno="EPERM", entered=False)
    line = finding_line(finding(replace(given, syscall="mount")))
    assert line.endswith(": its engine's default one does with CAP_SYS_ADMIN") is opens
    assert ("seccomp refused it ·" in line) is opens


def test_a_security_module_is_named() -> None:
    """As an audit record tells; what is only noted has no effect."""
    line = (
        'type=AVC msg=audit(1.5:7): apparmor="DENIED" operation="capable" profile="web" pid=0 '
        'comm="web" capability=0 capname="chown"'
    )
    told = {}
    for word in "DENIED", "ALLOWED":
        record = parse_line(line.replace("DENIED", word))
        assert record is not None
        (told[word],) = denials([record], default().syscalls)
    reader = CallReader(Symbols(b""), {}, Owners())
    refused, noted = (judged(call, default(), CONTEXT) for call in reader.audited(told.values()))
    assert (refused.by, refused.caps, refused.hidden) == (RefusedBy.MAC, (), None)
    assert finding_line(refused) == (
        "web (uid 0) · capable() → EPERM · AppArmor's profile web does not allow capability CHOWN"
        " · its security profile has to allow this"
    )
    assert noted.hidden is not None


def test_the_same_call_for_one_user_after_the_other_is_two() -> None:
    """A server takes on the ids of whom it serves, and has the path where it had it before."""
    root, other = (0, 1000, 0), (0, 1001, 0)
    reader = CallReader(Symbols(b""), {92: "chown"}, Owners())
    seen = [
        RefusedCheck(
            *(bytes([number]), int(Cap.parse(cap)), 0, False, 92, 0, "server", 0, b"", 0, 0),
            *((4096, 5, 6, 0, 0, 0), uids, (0, 0, 0), 0, 0, b"/data", ("",)),
        )
        for number, (cap, uids) in enumerate([("CHOWN", root), ("FSETID", root), ("CHOWN", other)])
    ]
    calls = [(call.uid, len(call.denied), keys) for call, keys in reader.calls(seen)]
    assert calls == [(1000, 2, [b"\0", b"\1"]), (1001, 1, [b"\2"])]


def test_a_record_tells_of_a_call_whose_end_was_seen() -> None:
    """It is one finding, not two; what nobody explains has waited long enough after a while."""
    seen = replace(call(), denied=(), errno="EACCES", syscall="openat")
    told = replace(seen, told=Told(RefusedBy.MAC, "AppArmor"))
    other = replace(seen, pid=8)
    waiting = Waiting(most=2)
    assert waiting.due is None
    assert waiting.add(seen, b"1", 5.0)
    assert waiting.add(other, b"2", 4.0)
    assert not waiting.add(seen, b"3", 3.0)
    waiting.forget(replace(told, errno="EPERM"))
    waiting.forget(replace(told, noted=True))
    waiting.forget(told)
    assert waiting.due == 4.0
    assert waiting.take(3.0) == []
    assert waiting.take(4.0) == [(other, b"2")]
    assert waiting.take(None) == []


def test_an_error_that_is_no_refusal_is_left_out() -> None:
    given = replace(call(), denied=(), syscall="epoll_ctl", errno="EPERM")
    assert finding(given).hidden is not None
    assert finding(replace(given, entered=False)).hidden is None


def test_a_first_question_alone_was_answered_by_the_second() -> None:
    first = finding(call(DOCKER, check("DAC_READ_SEARCH", MODE)))
    assert first.hidden is not None
    assert "harmless: " in finding_line(first)


def test_who_wants_to_be_root_again_expects_to_be_refused() -> None:
    setuid = replace(check("SETUID", ("__sys_setuid",)), uid=5, args=(("uid", 0),))
    assert finding(call(DOCKER, setuid, uid=5)).hidden is not None
    other = replace(setuid, args=(("uid", 6),))
    assert finding(call(DOCKER, other, uid=5)).hidden is None


def test_hostile_names_are_escaped_everywhere() -> None:
    hostile = replace(DOCKER, name='w\x1b[31m\n"\\')
    given = replace(call(hostile), program="\r\n", about="/\x1b]0;x\x07")
    one = finding(given)
    one.count = 1
    texts = (finding_line(one), metrics([one], 0), finding_json(one, "now"))
    assert not [text for text in texts if "\x1b" in text or "\r" in text]
    assert metrics([one], 0).count("\n") == 6
    assert 'owner="w\\\\x1b[31m\\\\n\\"\\\\ (docker)"' in metrics([one], 0)


def test_json_is_as_its_schema_says() -> None:
    findings = [finding(call()), finding(call(POD, check("SETPCAP", ("cap_capset",))))]
    for each in findings:
        each.number = each.count = 1
    lines = [finding_json(each, "now", "no report") for each in findings]
    lines += summary_json(findings, 3, "now", dropped=1)
    for line in lines:
        schema.watch().validate(json.loads(line))
    assert json.loads(lines[0])["PRIORITY"] == 4
    assert json.loads(lines[1])["PRIORITY"] == 6


def test_what_is_remembered_is_bounded() -> None:
    kept = WatchFindings(most=10)
    for number in range(100):
        kept.add(finding(replace(call(), program=f"p{number}")))
        _, new = kept.add(finding(replace(call(), program="p0")))
        assert not new
    assert len(kept) == 10
    many = list(kept) * 100
    for number, one in enumerate(many):
        many[number] = replace(one, call=replace(one.call, owner=replace(DOCKER, name=f"{number}")))
    assert metrics(many, 0).count("\n") < 510
    assert 'owner="other"' in metrics(many, 0)


def test_a_summary_counts_and_says_what_it_leaves_out() -> None:
    shown, hidden = finding(call()), finding(call(POD, check("SETPCAP", ("cap_capset",))))
    shown.count = 3
    lines = list(summary_lines([shown, hidden], 60, dropped=0, everything=False))
    assert lines[0] == "In 60 s: 1 finding, 3 refused calls."
    assert lines[1].startswith("         3× web (compose: shop) · ")
    assert lines[2] == "1 harmless kind of refusal not shown; --all shows them."


@pytest.mark.parametrize(
    ("group", "owner"),
    [
        ("system.slice/nginx.service", UNIT),
        ("capadvise-guest/system.slice/nginx.service/worker", UNIT),
        ("system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("user.slice/user-0.slice/session-3.scope", Owner(OwnerKind.USER, "root")),
        (
            "user.slice/user-0.slice/user@0.service/app.slice/web.service",
            Owner(OwnerKind.USER, "root, web.service"),
        ),
        ("user.slice/user-4294967294.slice", Owner(OwnerKind.USER, "uid 4294967294")),
        ("init.scope", None),
        ("", None),
    ],
)
def test_the_owner_by_the_control_group(group: str, owner: Owner | str | None) -> None:
    if isinstance(owner, str):
        owner = Owner(OwnerKind.UNIT, owner)
    assert unit_or_user(group.split("/")) == owner


def test_the_daemon_set_holds_what_it_says() -> None:
    folder = default().folder / "watch"
    (declared,) = kubernetes.read((folder / "kubernetes.yaml").read_text())
    (unit,) = systemd.read((folder / "systemd.service").read_text())
    assert (declared.drop, len(declared.add)) == (("ALL",), 5)
    assert {f"CAP_{name}" for name in declared.add} == set(unit.add)


def test_jumps_lead_to_their_labels() -> None:
    code = Assembler()
    code.jump_if(2, "==", 0, "end")
    code.map(3, 7)
    code.label("end")
    code.exit()
    assert code.code[:8].hex() == "1502020000000000"
    assert code.code[8:24].hex() == "1813000007000000" + 16 * "0"
