"""Which ids a program has mapped into a user namespace, by what /proc shows."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from capadvise.kernel import syscalls, user_namespaces
from capadvise.model.caps import Cap
from capadvise.model.recording import Phase
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.observe.tracking.distinct_checks import DistinctChecks
from capadvise.observe.tracking.tasks import Key, Scope, Task


def test_the_highest_id_that_another_user_namespace_maps(tmp_path: Path) -> None:
    (tmp_path / "7" / "ns").mkdir(parents=True)
    (tmp_path / "7" / "ns" / "user").touch()  # another inode than the initial namespace's
    (tmp_path / "7" / "uid_map").write_text("         0     100000         10\n 10 50 1\n")
    (tmp_path / "7" / "gid_map").write_text("")
    number = (tmp_path / "7" / "ns" / "user").stat().st_ino
    assert user_namespaces.mapped(7, "uid", tmp_path) == (number, 100_009)
    assert user_namespaces.mapped(7, "gid", tmp_path) is None
    assert user_namespaces.mapped(8, "uid", tmp_path) is None


def test_which_ids_were_mapped_into_a_user_namespace_is_looked_up_until_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By what is in /proc of the target's own threads, a round or two after the check."""
    symbols = Symbols(b"ffffffff81000000 T map_write\nffffffff81001000 T other\n")
    written, other = (struct.pack("<Q", at) for at in (0xFFFFFFFF81000010, 0xFFFFFFFF81001010))
    kept = DistinctChecks(symbols)
    scope, another = Scope(1, 7, 0), Scope(2, 9, 0)
    ids = syscalls.Ids(0, 0, 0)
    tasks = {7: Task("", ids, ids, scope), 8: Task("", ids, ids, scope),
             9: Task("", ids, ids, another)}  # fmt: skip
    shown = {9: (1, 999_999)}
    monkeypatch.setattr(user_namespaces, "mapped", lambda pid, kind: shown.get(pid))
    for stack in (written, other):
        key = Key(Cap.parse("SETUID"), 0, 1, None, stack, "p", 0, Phase.RUN, (), 1)
        kept.add(key, None, 7, 0, 1)
        kept.shown.allowed(scope, 7, key.cap, stack, first=True)
    kept.shown.look(tasks)
    assert [check.args for check in kept.checks(scope)] == [(), ()]
    shown[8] = (2, 200_099)
    kept.shown.look(tasks)
    assert [check.args for check in kept.checks(scope)] == [(("uid", 200_099),), ()]
    # A second program maps: until that is seen as well, nobody knows how high it went.
    kept.shown.allowed(scope, 12, Cap.parse("SETUID"), written, first=False)
    kept.shown.look(tasks)
    assert [check.args for check in kept.checks(scope)] == [(), ()]
    shown[7] = (3, 300_000)
    kept.shown.look(tasks)
    assert [check.args for check in kept.checks(scope)] == [(("uid", 300_000),), ()]
