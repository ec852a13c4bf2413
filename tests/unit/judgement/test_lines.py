"""Which parts of the lines vary, and which differences are none."""

from __future__ import annotations

import random
import uuid

import pytest

from capadvise.judgement.lines import QUIET, learn_lines


def test_only_the_words_that_differ_vary() -> None:
    noise = learn_lines(QUIET, ["pid 17: 104 files"], ["pid 230: 104 files"])
    assert noise.changed(["pid 17: 104 files"], ["pid 9: 104 files"]) == ([], [])
    assert noise.changed(["pid 17: 104 files"], ["pid 9: 4 files"]) == (
        ["pid 17: 104 files"],
        ["pid 9: 4 files"],
    )
    assert noise.changed(["pid 17: 104 files"], ["pid x: 104 files"])[0]


def test_a_sign_is_part_of_a_number() -> None:
    noise = learn_lines(QUIET, ["at 9 24061"], ["at 9 51190"])
    assert noise.changed(["at 9 24061"], ["at 9 -98337"]) == ([], [])


def test_a_line_that_comes_only_sometimes_hides_no_other() -> None:
    noise = learn_lines(QUIET, ["ready"], ["ready", "waited 3 times"])
    assert noise.changed(["ready", "waited 7 times"], ["ready"]) == ([], [])
    assert noise.changed(["ready"], ["lost"]) == (["ready"], ["lost"])


@pytest.mark.parametrize("seed", range(20))
def test_random_lines_are_no_loss(seed: int) -> None:
    chance = random.Random(seed)

    def lines() -> list[str]:
        octets = ":".join(f"{chance.randrange(256):02x}" for _ in range(6))
        name = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz_0123456789", k=8))
        return [
            f"link/ether {octets} brd",
            f"id={uuid.UUID(int=chance.getrandbits(128))} ok",
            f"took {chance.random():.3f} s, {chance.randrange(900)} kB/s",
            f"./tmp{name}",
            f"at {chance.randrange(24):02}:{chance.randrange(60):02}",
            "always",
        ]

    noise = learn_lines(learn_lines(QUIET, lines(), lines()), lines(), lines())
    assert noise.changed(lines(), lines()) == ([], [])
    assert noise.changed(lines(), lines()[:-1]) == (["always"], [])


def test_times_and_the_own_sets_vary_also_if_two_trials_agree() -> None:
    assert QUIET.changed(["took 0.01 s"], ["took 0.02 s"]) == ([], [])
    assert QUIET.changed(["at 04:52"], ["at 04:53"]) == ([], [])
    assert QUIET.changed(["CapEff:\t000001ffffffffff"], ["CapEff:\t0000000000000000"]) == ([], [])
    assert QUIET.changed(["104\td"], ["4\td"]) == (["104\td"], ["4\td"])


def test_dots_that_count_the_time_of_a_wait_are_no_words() -> None:
    said = QUIET.changed(
        ["waiting.. done", "2026 LOG: up"], ["waiting...... done", ".2026 LOG: up"]
    )
    assert said == ([], [])
    assert QUIET.changed(["up"], ["up", "...", ""]) == ([], [])
    assert QUIET.changed(["./f"], [".f"]) == (["./f"], [".f"])
