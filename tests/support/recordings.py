"""Recordings and reports made by hand: one builder, and the values that most tests take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from capadvise.catalog import default
from capadvise.config.snippet import Snippet
from capadvise.config.snippet_from import snippet_of
from capadvise.judgement.decide import decide
from capadvise.judgement.proven import Proven, Trial, conclude
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.model.posture import Cgroup, Exposed, Mac, Posture, Root, Seccomp, Sharing, User
from capadvise.model.recording import (
    Check,
    Held,
    Host,
    Lost,
    Namespace,
    Recording,
    RefusedBy,
    RefusedCall,
    Told,
)
from capadvise.model.target import Target
from capadvise.model.workload import Workload

CATALOG = default()
FULL = frozenset(Cap(number) for number in range(41))
HOST = Host("6.18", "x86_64", 40, "tracepoint", ("capability", "bpf"))


def check(cap: str, site: str | Sequence[str], syscall: str, **more: Any) -> Check:
    """A granted check of nginx. ``site``: names, innermost first; in a text, blanks between."""
    values: dict[str, Any] = {
        "id": 0,
        "granted": True,
        "ns": Namespace.TARGET,
        "program": "nginx",
        "pid": 812,
        "count": 1,
        "first": 0.01,
        "result": 0,
        "uid": 0,
    }
    names = site.split() if isinstance(site, str) else site
    return Check(cap=Cap.parse(cap), site=tuple(names), syscall=syscall, **values | more)


def recording(*checks: Check, **more: Any) -> Recording:
    """Of a run as root with every capability, that ended well; the checks are numbered."""
    values: dict[str, Any] = {
        "host": HOST,
        "held": Held(FULL, FULL, frozenset()),
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 1.5,
        "exit_status": 0,
        "succeeded": True,
    }
    numbered = tuple(replace(item, id=number) for number, item in enumerate(checks, 1))
    return Recording(checks=numbered, **values | more)


BIND = check(
    "NET_BIND_SERVICE",
    "ns_capable __inet_bind inet_bind_sk __sys_bind __x64_sys_bind",
    "bind",
    id=1,
    count=2,
    detail="tcp 0.0.0.0:80",
)
NOISE = replace(
    BIND,
    id=2,
    cap=Cap.parse("SYS_ADMIN"),
    site=("security_vm_enough_memory_mm", "do_brk_flags"),
    syscall="brk",
    detail=None,
    args=(("mode", 1),),
)
CHOWN = replace(
    BIND,
    cap=Cap.parse("CHOWN"),
    site=("capable_wrt_inode_uidgid", "chown_ok", "setattr_prepare", "__x64_sys_fchownat"),
    syscall="fchownat",
    detail=None,
)
QUIET = recording(
    BIND,
    NOISE,
    refused_calls=(
        RefusedCall(
            *("openat", "EACCES", "nginx", 3),
            told=Told(RefusedBy.MODE, "owner and mode of a file"),
        ),
    ),
)
RECORDING = replace(
    QUIET,
    lost=Lost(0, 7),
    io_uring=True,
    fixed_capsets=(("bird", parse_set(["NET_ADMIN"])),),
)
"""As QUIET, with what makes a report cautious."""

POSTURE = Posture(
    {"kernel.dmesg_restrict": "1"},
    namespaces={"user": Sharing.HOST, "mnt": Sharing.OWN, "net": Sharing.UNKNOWN},
    no_new_privs=False,
    securebits=("NOROOT",),
    seccomp=Seccomp("filter", 1),
    mac=Mac("apparmor", "docker-default", "enforce"),
    cgroup=Cgroup("v2", "/docker/1", writable=False, limits={"pids.max": "100"}),
    root=Root(
        "overlay",
        read_only=False,
        layers=3,
        host=False,
        exposed=(Exposed("engine-socket", "/run/docker.sock", True, "/run/docker.sock"),),
    ),
    user=User(0, 0, (0, 1), host_uid=100000, rootless=True),
    sandbox=None,
)


def report(recording: Recording = RECORDING, name: str = "nginx") -> Report:
    """Of one recording of ``nginx -g 'daemon off;'``."""
    return Report(
        Target("command", name, (name, "-g", "daemon off;"), "/", "0:0"),
        Workload("daemon", check="curl -fs localhost"),
        POSTURE,
        (recording,),
        decide(recording, CATALOG),
    )


def report_of(*checks: Check, **more: Any) -> Report:
    """Of these checks, without any caution; ``more`` are fields of the recording."""
    return report(recording(*checks, **{"refused_calls": QUIET.refused_calls, **more}))


def proven(unproven: Report, minimal: CapSet) -> Report:
    """The report with a proof that ended in this minimal set."""
    trials = tuple(
        Trial(unproven.proposal.recommended - {cap}, cap not in minimal, 0.1, without=cap)
        for cap in sorted(unproven.proposal.recommended)
    )
    proof = Proven("command", trials, minimal, recommended_sound=True)
    return replace(unproven, proposal=conclude(unproven.proposal, proof), proven=proof)


def snippet_with(caps: CapSet, *, user: str = "0:0", name: str = "nginx", **more: Any) -> Snippet:
    """What the formats get; ``more`` are fields of a recording without any caution."""
    known = report(replace(QUIET, **more), name)
    target = replace(known.target, user=user)
    return snippet_of(replace(known, target=target), caps, CATALOG)
