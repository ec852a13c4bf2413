"""What a health check could look like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.judgement.report import Report
from capadvise.model.errors import BadInput
from capadvise.workflow.jobs import check_proposal, how_to_check, job_of, with_check
from tests.support.recordings import BIND, CHOWN, report_of


def of(report: Report, kind: str) -> Report:
    return replace(report, target=replace(report.target, kind=kind, engine="podman"))


def test_what_binds_a_port_is_asked_for_a_connection() -> None:
    listening = replace(BIND, syscall="bind", detail="tcp 0.0.0.0:80")
    assert check_proposal(report_of(CHOWN, listening)) == "exec 3<>/dev/tcp/127.0.0.1/80"


def test_what_binds_none_is_to_live() -> None:
    datagrams = replace(BIND, syscall="bind", detail="udp 0.0.0.0:53")
    assert check_proposal(report_of(datagrams)) == 'sleep 5; kill -0 "${PIDS%%,*}"'


def test_a_container_is_asked_of_its_engine() -> None:
    text = check_proposal(of(report_of(BIND), "container"))
    assert text.endswith('podman inspect --format {{.State.Running}} "$CONTAINER" | grep -q true')


def test_a_daemon_without_a_check_gets_one_sentence_on_how_to_write_it() -> None:
    report = report_of(BIND)
    report = replace(report, workload=replace(report.workload, check=None))
    with pytest.raises(BadInput) as raised:
        job_of(report)
    assert raised.value.hint == how_to_check(report)


@pytest.mark.parametrize("succeeded", [None, True])
def test_what_was_stopped_is_proven_by_a_check_while_it_runs(succeeded: bool | None) -> None:
    """Its trials waited for an end that nobody brought about, and failed with every capability."""
    report = report_of(BIND)
    run = replace(report.recording, succeeded=succeeded, interrupted=succeeded is True)
    work = replace(report.workload, kind="oneshot", check=None)
    stopped = replace(report, recordings=(run,), workload=work)
    with pytest.raises(BadInput, match="the recorded run was stopped") as raised:
        job_of(stopped)
    assert raised.value.hint == how_to_check(stopped)
    assert with_check(stopped, "true").workload.kind == "daemon"
    ended = replace(run, succeeded=True, interrupted=False)
    assert with_check(replace(stopped, recordings=(ended,)), "true").workload.kind == "oneshot"


def test_what_has_a_check_is_not_said_to_have_none() -> None:
    """It ended before the check was tried."""
    report = report_of(BIND)
    run = replace(report.recording, succeeded=None)
    work = replace(report.workload, kind="daemon", check="true")
    with pytest.raises(BadInput, match="ended before its health check passed"):
        job_of(replace(report, recordings=(run,), workload=work))
