"""The gate with reports: whose report it is, and what is too much or too little."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.config import LANGUAGES
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.gate.against import against
from capadvise.gate.baseline import ReportFolder
from capadvise.gate.finding import Finding, Severity
from capadvise.gate.service import Service
from capadvise.judgement.decide import Proposal, decide
from capadvise.judgement.proven import conclude
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, parse_set
from capadvise.model.errors import BadInput
from capadvise.model.recording import Lost
from capadvise.report.save import save
from tests.support.recordings import (
    BIND,
    CATALOG,
    CHOWN,
    NOISE,
    RECORDING,
    check,
    proven,
    recording,
    report_of,
)

STANDING = "recorded once, not proven"
ERROR, WARNING = Severity.ERROR, Severity.WARNING
BOTH = report_of(BIND, CHOWN, NOISE).proposal


def compared(
    proposal: Proposal, add: tuple[str, ...], kind: str = "quadlet", **more: object
) -> list[Finding]:
    declared = Declared("web", 1, ("ALL",), add, **more)  # type: ignore[arg-type]
    service = Service.of(declared, (("f", declared),), LANGUAGES[kind].judged_by, CATALOG)
    return list(against(service, proposal, "web.json", STANDING))


def test_exactly_what_is_recommended_is_right() -> None:
    assert compared(BOTH, ("CHOWN", "NET_BIND_SERVICE")) == []


def test_more_is_named_with_what_the_report_says_of_it() -> None:
    (found,) = compared(BOTH, ("CHOWN", "NET_BIND_SERVICE", "NET_RAW", "SYS_ADMIN"))
    assert (found.rule, found.severity) == ("over-permissioned", ERROR)
    assert found.what == "it holds NET_RAW, SYS_ADMIN, for which web.json shows no need"
    assert found.why == (
        "Not checked: NET_RAW; incidental: SYS_ADMIN. Root-equivalent on the host: SYS_ADMIN. "
        "The report: recorded once, not proven."
    )
    assert found.remedy == "Drop ALL and add CHOWN, NET_BIND_SERVICE."


def test_what_the_recording_could_not_see_is_no_error() -> None:
    seen = decide(replace(RECORDING, lost=Lost(0, 3), io_uring=False, fixed_capsets=()), CATALOG)
    more, open_ = compared(seen, (*(c.short for c in seen.recommended), "SYS_ADMIN", "LEASE"))
    assert more.what == "it holds LEASE, for which web.json shows no need"
    assert "SYS_ADMIN" in more.remedy
    assert (open_.rule, open_.severity) == ("over-permissioned", WARNING)
    assert open_.what == "it holds SYS_ADMIN, which may be needed, as far as web.json tells"
    assert open_.why == "SYS_ADMIN: events were dropped."
    proved = replace(seen, minimal=frozenset[Cap]())
    (more,) = compared(proved, (*(c.short for c in seen.recommended), "SYS_ADMIN"))
    assert more.severity is ERROR


SIGNAL_0 = check(
    "KILL", "ns_capable check_kill_permission", "kill", args=(("signal", 0),), detail="signal 0"
)


def test_what_may_be_needed_is_a_warning_with_its_call() -> None:
    more, open_ = compared(decide(recording(SIGNAL_0), CATALOG), ("KILL", "LEASE"))
    assert (more.what, more.severity) == (
        "it holds LEASE, for which web.json shows no need",
        ERROR,
    )
    assert more.remedy == "Drop ALL and add KILL."
    assert open_.severity is WARNING
    assert open_.what == "it holds KILL, which may be needed, as far as web.json tells"
    assert open_.why.startswith("KILL (kill, signal 0, by nginx): without it,")


def test_a_program_that_reads_its_own_sets_may_need_all_that_it_holds() -> None:
    reads = recording(own_set_readers=(("caddy", frozenset()),))
    (open_,) = compared(decide(reads, CATALOG), ("KILL", "LEASE"))
    assert open_.severity is WARNING
    assert open_.why.startswith("a capability (caddy reads its own sets): ")


def test_the_default_set_is_granted_where_nothing_is_dropped() -> None:
    declared = Declared("web", 1)
    service = Service.of(declared, (("f", declared),), LANGUAGES["compose"].judged_by, CATALOG)
    (found,) = against(service, BOTH, "web.json", STANDING)
    assert found.what == (
        "it holds DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_RAW, "
        "SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP, for which web.json shows no need"
    )


def test_less_is_named_with_what_it_is_for() -> None:
    (found,) = compared(BOTH, ("NET_BIND_SERVICE",))
    assert (found.rule, found.severity) == ("under-permissioned", ERROR)
    assert found.what == "it lacks CHOWN, which web.json shows a need for"
    assert found.why.startswith("CHOWN: changing a file's owner or group")
    assert found.remedy == "Add CHOWN."


@pytest.mark.parametrize(
    ("kind", "severity"), [("quadlet", ERROR), ("compose", WARNING), ("kubernetes", WARNING)]
)
def test_a_low_port_may_need_nothing_in_docker(kind: str, severity: Severity) -> None:
    (found,) = compared(BOTH, ("CHOWN",), kind)
    assert (found.rule, found.severity) == ("under-permissioned", severity)
    assert ("Add NET_BIND_SERVICE." in found.remedy) is (kind == "quadlet")
    host = Exposure.HOST_NETWORK
    (found,) = compared(BOTH, ("CHOWN",), kind, exposed=(ExposureAt(host, "host", 1),))
    assert (found.severity, found.remedy) == (ERROR, "Add NET_BIND_SERVICE.")


def test_what_is_kept_beyond_the_minimal_set_should_be_there_and_may_be() -> None:
    seen = report_of(BIND, CHOWN)
    proof = proven(seen, parse_set(["NET_BIND_SERVICE"])).proven
    assert proof is not None
    lost = ("a is 1:1 instead of 0:0",)
    trials = tuple(replace(trial, differences=lost) for trial in proof.trials)
    proposal = conclude(seen.proposal, replace(proof, trials=trials))
    assert proposal.recommended == parse_set(["CHOWN", "NET_BIND_SERVICE"])
    assert compared(proposal, ("CHOWN", "NET_BIND_SERVICE")) == []
    (found,) = compared(proposal, ("NET_BIND_SERVICE",))
    assert (found.rule, found.severity) == ("under-permissioned", WARNING)
    assert found.why.endswith("Without it: a is 1:1 instead of 0:0.")


def test_an_alternative_that_is_granted_is_neither_too_much_nor_too_little() -> None:
    either = ((Cap.parse("DAC_OVERRIDE"),),)
    needs = [replace(n, alternatives=either) if n.cap == CHOWN.cap else n for n in BOTH.needs]
    proposal = replace(BOTH, needs=tuple(needs))
    assert compared(proposal, ("DAC_OVERRIDE", "NET_BIND_SERVICE")) == []
    (found,) = compared(proposal, ("CHOWN", "DAC_OVERRIDE", "NET_BIND_SERVICE"))
    assert found.rule == "over-permissioned"


def test_privileged_is_not_counted_capability_by_capability() -> None:
    assert compared(BOTH, (), privileged=True) == []


# ------------------------------------------------------------------------------ whose report


def named(report: Report, name: str, service: str | None = None) -> Report:
    return replace(report, target=replace(report.target, name=name, service=service))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("reports")
    for file, target, service in (
        ("web", "nginx", None),
        ("x", "db", None),
        ("y", "python3", "cache"),
        ("app", "a", None),
        ("api.app", "b", None),
        ("Job.api.app", "c", None),
    ):
        save(made / f"{file}.json", named(report_of(BIND), target, service), CATALOG)
    return made


@pytest.mark.parametrize(
    ("service", "file"),
    [
        ("web", "web"),
        ("nginx", "web"),
        ("db", "x"),
        ("cache", "y"),
        ("proxy", None),
        ("Deployment/site/app", "app"),
        ("Deployment/api/app", "api.app"),
        ("Job/api/app", "Job.api.app"),
        ("Deployment/web/sidecar", None),
    ],
)
def test_a_report_is_found_by_file_or_by_target(
    folder: Path, service: str, file: str | None
) -> None:
    found = ReportFolder(folder, CATALOG).find(service)
    assert found == (None if file is None else folder / f"{file}.json")


def test_two_reports_for_one_service_are_refused(folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folder, tmp_path / "reports"))
    save(folder / "z.json", named(report_of(BIND), "db"), CATALOG)
    with pytest.raises(BadInput, match=r"x\.json and .*z\.json both fit the service db"):
        ReportFolder(folder, CATALOG).find("db")


def test_a_folder_without_reports_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no report"):
        ReportFolder(tmp_path, CATALOG)


def test_a_single_report_is_that_of_the_only_service(folder: Path) -> None:
    path = folder / "web.json"
    assert ReportFolder(path, CATALOG, alone=True).find("other") == path
    assert ReportFolder(path, CATALOG).find("other") is None


def test_a_report_that_saw_no_start_cannot_tell_what_is_too_much() -> None:
    declared = Declared("web", 1, ("ALL",), ("CHOWN", "NET_BIND_SERVICE", "NET_RAW"))
    service = Service.of(declared, (("f", declared),), LANGUAGES["quadlet"].judged_by, CATALOG)
    (found,) = against(service, BOTH, "web.json", "its start was not observed", enough=False)
    assert (found.severity, found.what) == (
        WARNING,
        "it holds NET_RAW: web.json cannot tell whether it needs it",
    )
    assert "its start was not observed" in found.why


def test_what_matches_a_report_that_saw_no_start_may_lack_something() -> None:
    declared = Declared("web", 1, ("ALL",), ("CHOWN", "NET_BIND_SERVICE"))
    service = Service.of(declared, (("f", declared),), LANGUAGES["quadlet"].judged_by, CATALOG)
    (found,) = against(service, BOTH, "web.json", "its start was not observed", enough=False)
    assert (found.rule, found.severity, found.what) == (
        "under-permissioned",
        WARNING,
        "its next start may need more than web.json shows",
    )
