"""Whether a call that sets ids changes something."""

from __future__ import annotations

import pytest

from capadvise.linux.kernel.syscalls import Ids, arguments

ROOT, DAEMON, SET_UID = Ids(0, 0, 0), Ids(33, 33, 33), Ids(1000, 0, 0)


@pytest.mark.parametrize(
    ("call", "values", "ids", "changes"),
    [
        ("setuid", (0,), ROOT, 0),
        ("setuid", (33,), ROOT, 1),
        ("setuid", (33,), DAEMON, 0),
        ("setuid", (0,), SET_UID, 1),  # without SETUID the real one stays that of the user
        ("setuid", (1000,), SET_UID, 0),
        ("setuid", (33,), SET_UID, 1),
        ("setreuid", (1000, 0), SET_UID, 0),
        ("setresuid", (0, 0, 0), SET_UID, 0),
        ("setresuid", (33, 33, 33), SET_UID, 1),
    ],
)
def test_a_set_uid_program_has_the_real_id_of_its_user(
    call: str, values: tuple[int, ...], ids: Ids, changes: int
) -> None:
    assert arguments(call, values, ids, ROOT)["changes"] == changes
