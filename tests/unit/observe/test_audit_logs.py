"""What is read of the audit logs of this boot."""

from __future__ import annotations

from pathlib import Path

import pytest

from capadvise.kernel.procfs import boot_time
from capadvise.observe.audit import logs

LINE = 'type=AVC msg=audit({}:7): apparmor="DENIED" operation="open" profile="web" comm="{}"\n'
SUCCESS = "type=SYSCALL msg=audit({}:7): success=yes syscall=1 pid=1\n"


def test_files_are_read_from_the_boot_on_the_oldest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_FOLDER", tmp_path)
    now = boot_time() + 60
    for name, after in (("audit.log", 9), ("audit.log.1", 5), ("audit.log.10", 1)):
        text = LINE.format(now + after, name) + LINE.format(1000.5, "before the boot")
        (tmp_path / name).write_text(text + SUCCESS.format(now) + "x" * 100_000)
    log = logs.since_boot(now + 9)
    assert log is not None
    assert log.place == str(tmp_path)
    assert [record.fields["comm"] for record in log.records] == ["audit.log.10", "audit.log.1"]
