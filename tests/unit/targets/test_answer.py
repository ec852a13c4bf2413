"""Other programs are asked once, with an end to waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from capadvise.targets.client.answer import NoAnswer, TooLate, answer_of


def asked(script: str, seconds: float = 10.0, **options: str) -> str:
    return answer_of(["sh", "-c", script], "tool", seconds, **options).stdout


def test_it_answers_what_it_is_given_where_it_is_asked(tmp_path: Path) -> None:
    assert asked("cat; pwd", given="a\n", folder=str(tmp_path)) == f"a\n{tmp_path}\n"
    with_more = answer_of(["sh", "-c", "echo $MORE$HOME"], "tool", 10, environment={"MORE": "x"})
    assert with_more.stdout.startswith("x/")
    assert asked("read -r line || echo nothing is sent") == "nothing is sent\n"
    assert asked(r"printf '\377'") == "\\xff"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo first >&2; echo 'it is bad' >&2; echo \"See 'tool --help'.\" >&2; exit 3",
            "it is bad",
        ),
        ("exit 1", "it failed"),
    ],
)
def test_its_last_line_says_why_it_fails(script: str, said: str) -> None:
    with pytest.raises(NoAnswer, match=f"^tool: {said}$"):
        asked(script)


def test_one_that_hangs_is_not_waited_for() -> None:
    with pytest.raises(TooLate, match=r"^tool: did not answer within 0\.1 s"):
        asked("exec sleep 60", 0.1)


def test_one_that_is_not_there_is_named() -> None:
    with pytest.raises(NoAnswer, match="no-such-tool: No such file or directory"):
        answer_of(["no-such-tool"], "tool", 1)
