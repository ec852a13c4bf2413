"""What is lost, and what only looks so: two trials of one set differ, too."""

from __future__ import annotations

import random
import string

import pytest

from capadvise.judgement.differences import ORIGINAL, SILENCE, Observed, compare, examples, learn

OWN, LOST = "1000:1000 0644", "0:0 0644"


def _word(chance: random.Random, letters: str = string.ascii_letters, size: int = 6) -> str:
    return "".join(chance.choice(letters) for _ in range(size))


def _seen(seed: int, owner: str = OWN, *more: tuple[str, str]) -> Observed:
    """As s6, mail servers and databases leave it: what is called randomly, and what is not."""
    chance = random.Random(seed)
    stamp = f"17800{chance.randrange(10000, 99999)}"
    files = [
        (f"run/s6-rc:s6-rc-init:{_word(chance)}/servicedirs/sshd/run", "0:0 0755"),
        (f"run/s6-rc:s6-rc-init:{_word(chance)}", "0:0 0755"),
        (f"mail/new/{stamp}.M{_word(chance, string.digits)}P{chance.randrange(99)}.host", owner),
        (f"mail/dovecot-uidvalidity.{_word(chance, string.hexdigits[:16], 8)}", owner),
        (f"tmp/tmp{_word(chance)}", "0:0 0600"),
        ("data/store", owner),
    ]
    lines = (f"worker {_word(chance)}{_word(chance, 'N')} starts", "ready")
    return Observed(0, lines, (*sorted(files), *more))


@pytest.mark.parametrize("seed", range(20))
def test_random_names_are_no_loss(seed: int) -> None:
    noise = learn(SILENCE, _seen(100 + seed), _seen(200 + seed))
    assert compare(_seen(300 + seed), _seen(400 + seed), noise) == []
    assert compare(_seen(300 + seed), _seen(400 + seed)) != []


def test_an_owner_is_a_loss_also_below_a_random_name() -> None:
    noise = learn(SILENCE, _seen(1), _seen(2))
    lost = compare(_seen(3), _seen(4, LOST), noise)
    assert lost == [
        f"data/store is {LOST} instead of {OWN}",
        f"mail/dovecot-uidvalidity.* is {LOST} instead of {OWN}",
        f"mail/new/*.host is {LOST} instead of {OWN}",
    ]


def test_what_is_missing_is_a_loss_though_its_name_is_random() -> None:
    noise = learn(SILENCE, _seen(1), _seen(2))
    less = _seen(4)
    gone = Observed(0, less.stderr, tuple(f for f in less.files if "mail/new" not in f[0]))
    assert compare(_seen(3), gone, noise) == [f"mail/new/*.host is missing instead of {OWN}"]


def test_what_is_there_at_times_only_says_nothing() -> None:
    once = _seen(1, OWN, ("run/early.pid", "0:0 0644"))
    noise = learn(SILENCE, once, _seen(2))
    assert compare(_seen(3, OWN, ("run/early.pid", "0:0 0644")), _seen(4), noise) == []


def test_credentials_and_an_exit_status_that_change_by_themselves() -> None:
    one = Observed(143, credentials=(("app", 5, 5), ("sh", 0, 0)))
    other = Observed(137, credentials=(("app", 5, 5),))
    noise = learn(SILENCE, one, other)
    assert compare(other, one, noise) == []
    worse = Observed(0, credentials=(("app", 0, 0),))
    assert compare(other, worse, noise) == ["app runs as 0:0"]


def test_other_words_of_the_standard_error_are_a_loss() -> None:
    noise = learn(SILENCE, _seen(1), _seen(2))
    said = Observed(0, (*_seen(4).stderr, "chown: not permitted"), _seen(4).files)
    assert compare(_seen(3), said, noise) == ['new message: "chown: not permitted"']


def test_a_line_that_is_said_twice_hides_no_other() -> None:
    said = Observed(0, ("no", "no", "no", "lost"))
    assert compare(Observed(0), said) == ['new message: "no"', 'new message: "lost"']


def test_three_examples_are_shown() -> None:
    assert examples([]) == ""
    assert examples(["a", "b", "c"]) == "a; b; c"
    assert examples(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"


def test_what_a_layer_does_not_hold_is_not_said_to_be_missing_where_the_image_has_it() -> None:
    """A folder of the image that was not given away was said to be missing."""
    changed = Observed(0, files=(("data", f"5:0 0755{ORIGINAL}"), ("new", "0:0 0644")))
    less = Observed(0, files=(("data", f"0:0 0700{ORIGINAL}"),))
    assert compare(changed, Observed(0)) == [
        "data stays as it is in the image",
        "new is missing instead of 0:0 0644",
    ]
    assert compare(Observed(0), less) == ["data is 0:0 0700, changed from the image"]
    assert compare(changed, less)[0] == "data is 0:0 0700 instead of 5:0 0755"
