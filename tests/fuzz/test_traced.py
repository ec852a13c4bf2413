"""What a traced process can make up: its filters, its memory, and what audit says of it."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from capadvise.judgement.decide import decide
from capadvise.judgement.report import Report
from capadvise.kernel.posture import cbpf
from capadvise.kernel.syscalls import SIGNATURES
from capadvise.model.posture import Posture
from capadvise.model.target import Target
from capadvise.model.workload import Workload
from capadvise.observe.audit import live
from capadvise.observe.audit.denials import denials, recorded
from capadvise.observe.audit.records import parse_line, parse_lines
from capadvise.observe.retry import decode
from capadvise.report.dump import dump
from capadvise.report.load import load
from capadvise.report.text import proposal_text
from tests.fuzz.strategies import TEXTS, steering
from tests.support import schema
from tests.support.recordings import CATALOG

REPORTS = schema.report()
"""Made once: to check the schema itself takes twenty times as long as to check a report."""
DATA = Path(__file__).parents[1] / "data" / "audit"
LOGS = [path.read_text(errors="backslashreplace") for path in sorted(DATA.iterdir())]
NUMBERS = st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)


@st.composite
def logs(draw: st.DrawFn) -> str:
    """A log of some system, in which pieces were cut out, repeated or made up."""
    lines = draw(st.sampled_from(LOGS)).splitlines()
    start = draw(st.integers(0, max(0, len(lines) - 12)))
    text = "\n".join(lines[start : start + 12])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(text)))
        end = draw(st.integers(at, min(len(text), at + 30)))
        piece = draw(TEXTS | NUMBERS.map(str) | st.just(text[at:end] * 2) | st.just("\n"))
        text = text[:at] + piece + text[end:]
    return text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(logs())
@example(
    'kernel: audit(1389999128.963:30): apparmor="DENIED" operation="\x1bapable" profile="/cupsd" '
    'pid=985 comm="cupsd" capability=36  capname="block_suspend"'
)
def test_a_damaged_audit_log_makes_a_sound_report(tmp_path: Path, text: str) -> None:
    found = denials(parse_lines(text.splitlines()), CATALOG.syscalls)
    if not found:
        return
    recording = recorded(found, CATALOG)
    report = Report(
        Target("process", found[0].program, (found[0].program,), "/", "0:0"),
        Workload("daemon"),
        Posture(),
        (recording,),
        decide(recording, CATALOG),
    )
    path = tmp_path / "r.json"
    path.write_text(json.dumps(dump(report, CATALOG)))
    REPORTS.validate(json.loads(path.read_text()))
    assert load(path, CATALOG).recordings == report.recordings
    assert not steering("\n".join(proposal_text(report, CATALOG, path)))


@given(st.binary(max_size=200) | logs().map(lambda text: bytes(16) + text.encode(errors="replace")))
def test_any_audit_message_is_heard(message: bytes) -> None:
    live._record(message)


@given(st.text(max_size=300))
def test_any_line_is_a_record_or_none(line: str) -> None:
    parse_line(line)


INSTRUCTIONS = st.tuples(
    st.sampled_from([0x20, 0x00, 0x01, 0x60, 0x61, 0x02, 0x03, 0x15, 0x25, 0x35, 0x45, 0x05])
    | st.sampled_from([0x06, 0x16, 0x07, 0x87, 0x80, 0x04, 0x0C, 0x34, 0x3C, 0x64, 0x84, 0x1D])
    | st.integers(0, 65535),
    st.integers(0, 255),
    st.integers(0, 255),
    st.sampled_from([0, 4, 16, 60, 63, 64, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1),
)


@given(
    st.lists(INSTRUCTIONS, max_size=60).map(
        lambda code: b"".join(struct.pack("=HBBI", *i) for i in code)
    )
    | st.binary(max_size=200),
    st.integers(-(2**31), 2**31 - 1),
    st.lists(NUMBERS, max_size=6),
)
def test_any_filter_answers_or_is_none(raw: bytes, number: int, args: Sequence[int]) -> None:
    with suppress(ValueError):
        program = cbpf.Program.parse(raw)
        assert cbpf.answer([program], number, 0xC000003E, args) in set(cbpf.Action)


class Hostile:
    """Memory in which anything may stand, or nothing."""

    def __init__(self, raw: bytes) -> None:
        self.content = raw

    def text(self, address: int) -> bytes:
        return self.content.split(b"\0")[0]

    def raw(self, address: int, size: int) -> bytes:
        return self.content[:size]

    def folder(self, fd: int) -> str:
        return self.content.decode(errors="backslashreplace")


FAMILIES = st.sampled_from([0, 1, 2, 10, 16, 17, 31, 40]) | st.integers(0, 65535)


@given(
    st.sampled_from(sorted(SIGNATURES)),
    st.lists(NUMBERS, min_size=6, max_size=6),
    st.binary(max_size=130)
    | st.builds(
        lambda family, rest: struct.pack("<H", family) + rest, FAMILIES, st.binary(max_size=128)
    ),
)
def test_any_arguments_are_told(call: str, args: Sequence[int], raw: bytes) -> None:
    said = decode.detail(call, args, Hostile(raw))
    assert said is None or isinstance(said, str)
