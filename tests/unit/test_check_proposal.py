"""What a health check could look like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.errors import BadInput
from capadvise.report.model import Report
from capadvise.workflow.check_proposal import check_proposal, how_to_check
from capadvise.workflow.jobs import job_of
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
