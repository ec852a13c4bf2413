"""What is lost, and what only looks so: two trials of one set differ, too."""

from __future__ import annotations

import random
import string
from dataclasses import replace

import pytest

from capadvise.judgement.differences import (
    CHANGED,
    ORIGINAL,
    OUTPUT,
    SAME,
    SILENCE,
    Comparisons,
    Observed,
    compare,
    effects,
    examples,
    learn,
)
from capadvise.model.caps import Cap, CapSet, Credentials, mask_of

CHOWN, NET_RAW = Cap.parse("CHOWN"), Cap.parse("NET_RAW")
OWN, LOST = "1000:1000 0644", "0:0 0644"


def _word(chance: random.Random, letters: str = string.ascii_letters, size: int = 6) -> str:
    return "".join(chance.choice(letters) for _ in range(size))


def _process(program: str, user: int, *caps: Cap, groups: str = "", **limits: int) -> Credentials:
    """``caps``: effective, permitted and bounding."""
    masks = tuple(mask_of(caps) if place in (1, 2, 3) else 0 for place in range(5))
    return Credentials(program, str(user), str(user), groups, masks, **limits)


def _at_check(*processes: Credentials, granted: CapSet = frozenset({CHOWN, NET_RAW})) -> Observed:
    return Observed(0, credentials=processes, granted=granted)


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
    one = Observed(143, credentials=(_process("app", 5), _process("sh", 0)))
    other = Observed(137, credentials=(_process("app", 5),))
    noise = learn(SILENCE, one, other)
    assert compare(other, one, noise) == []
    worse = Observed(0, credentials=(_process("app", 0),))
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


def _left(size: str, content: str, *more: tuple[str, str, str]) -> Observed:
    details = (("f", "kind", "a file"), ("f", "size", size), ("f", "content", content), *more)
    return Observed(0, files=(("f", "0:0 0644"),), details=details)


def test_each_field_of_a_file_counts() -> None:
    full = _left("104", "a", ("f", "attribute trusted.a", "1"), ("f", "time", "9"))
    assert compare(full, _left("0", "b", ("f", "time", "9"))) == [
        "f has 0 bytes instead of 104",
    ]
    assert compare(full, _left("104", "b", ("f", "time", ""))) == [
        "f has no attribute trusted.a",
        "f has other content",
        "f has another time of change",
    ]


def test_a_field_that_varies_hides_no_other() -> None:
    noise = learn(SILENCE, _left("104", "a"), _left("98", "b"))
    assert compare(_left("104", "c"), _left("99", "d"), noise) == []
    assert compare(_left("104", "c"), _left("0", "d"), noise) == ["f has 0 bytes instead of 104"]
    lost = Observed(0, files=(("f", LOST),), details=_left("98", "b").details)
    owned = Observed(0, files=(("f", OWN),), details=_left("98", "b").details)
    assert compare(owned, lost, noise) == [f"f is {LOST} instead of {OWN}"]


def test_an_owner_that_varies_hides_no_mode_and_nothing_below() -> None:
    one = Observed(0, files=(("d", "1:1 0755"), ("d/f", OWN)))
    noise = learn(SILENCE, one, Observed(0, files=(("d", "2:2 0755"), ("d/f", OWN))))
    less = Observed(0, files=(("d", "3:3 0700"), ("d/f", LOST)))
    assert compare(one, less, noise) == [
        "d is * 0700 instead of * 0755",
        f"d/f is {LOST} instead of {OWN}",
    ]


def test_what_was_there_before_is_not_missing() -> None:
    full = Observed(0, files=(("/var/f", f"5:0 0644{CHANGED}"), ("/var/g", f"5:0 0644{SAME}")))
    full = Observed(0, files=(*full.files, ("/var/h", "removed")))
    assert compare(full, Observed(0)) == [
        "/var/f stays as it was",
        "/var/g is not written to",
        "/var/h is not removed",
    ]


def test_files_that_only_one_has_are_nothing_if_the_comparison_stopped() -> None:
    full = Observed(0, files=(("a", OWN), ("b", OWN)), stopped="after 2 changed files, at b")
    assert compare(full, Observed(0, files=(("a", LOST),))) == [f"a is {LOST} instead of {OWN}"]


def test_lines_of_the_standard_output_are_a_loss() -> None:
    def printed(*lines: str) -> Observed:
        return Observed(0, printed=((OUTPUT, lines),))

    assert compare(printed("104 d"), printed("4 d")) == ['it prints "4 d" instead of "104 d"']
    assert compare(printed("a", "b"), printed("b")) == ['it does not print "a"']
    noise = learn(SILENCE, printed("pid 1"), printed("pid 2"))
    assert compare(printed("pid 3"), printed("pid 4"), noise) == []


def test_messages_are_no_effects() -> None:
    full, less = Observed(0, ("ready",)), Observed(1, ("cannot",))
    assert effects(compare(full, less)) == ["it exits with 1 instead of 0"]
    assert effects(compare(full, Observed(0))) == []


def _printing(*numbers: int) -> list[Observed]:
    return [Observed(0, printed=((OUTPUT, (f"pid {number}", "ready")),)) for number in numbers]


@pytest.mark.parametrize(("numbers", "asked"), [((1, 1, 1), 1), ((1, 2, 3), 2)])
def test_everything_is_tried_three_times_where_two_differ(
    numbers: tuple[int, ...], asked: int
) -> None:
    first, *again = _printing(*numbers)
    runs = iter(again)
    comparisons = Comparisons(first, lambda: next(runs))
    assert comparisons.lost(first, Observed(0)) != []
    assert len([*runs]) == 2 - asked


def test_what_was_compared_is_named() -> None:
    comparisons = Comparisons(_left("1", "a"), lambda: None)
    files = "owners, modes, sizes, attributes and contents of 1 changed file in 1 folder"
    assert comparisons.compared("container") == (files, "stderr", "exit status")
    files_of_unit = "not compared: the unit's files, which are the real ones"
    assert comparisons.compared("unit") == (files, "journal", "exit status", files_of_unit)
    partly = Comparisons(Observed(0, uncompared=("/v", "/w")), lambda: None)
    assert partly.compared("container")[-1] == "not compared: what it wrote to /v, /w"


def test_groups_that_a_process_keeps_are_a_loss() -> None:
    full = Observed(0, credentials=(_process("app", 5), _process("sh", 0, groups="1 2")))
    kept = Observed(0, credentials=(_process("app", 5, groups="0 10"), _process("sh", 0)))
    assert compare(full, kept) == [
        "app runs as 5:5 with the groups 0 10",
        "sh runs as 0:0 with no other group",
    ]
    assert compare(full, Observed(0, credentials=(_process("app", 0, groups="1"),))) == [
        "app runs as 0:0",
        "sh does not run",
    ]


def test_a_worker_that_stays_root_is_a_loss_beside_a_master_that_is_root() -> None:
    full = _at_check(_process("web", 0, CHOWN), _process("web", 33))
    assert compare(full, _at_check(_process("web", 0, CHOWN))) == ["no web runs as 33:33"]
    assert compare(full, _at_check(_process("web", 33))) == ["no web runs as 0:0"]
    assert compare(full, _at_check(full.credentials[0], _process("web", 33, CHOWN))) == [
        "web, as 33:33, keeps CHOWN (permitted, effective, bounding)"
    ]


def test_the_smaller_set_of_a_trial_is_no_loss() -> None:
    """Of the sets, what each process has dropped counts."""
    full = _at_check(
        _process("all", 0, CHOWN, NET_RAW), _process("none", 5), _process("one", 6, CHOWN)
    )
    less = (_process("all", 0, CHOWN), _process("none", 5), _process("one", 6, CHOWN))
    assert compare(full, _at_check(*less, granted=frozenset({CHOWN}))) == []
    less = (_process("all", 0), _process("none", 5, CHOWN), _process("one", 6))
    assert compare(full, _at_check(*less, granted=frozenset({CHOWN}))) == [
        "all, as 0:0, lacks CHOWN (permitted, effective, bounding)",
        "none, as 5:5, keeps CHOWN (permitted, effective, bounding)",
        "one, as 6:6, lacks CHOWN (permitted, effective, bounding)",
    ]
    less = (_process("all", 0), _process("none", 5), _process("one", 6))
    assert compare(full, _at_check(*less, granted=frozenset())) == []


def test_limits_that_a_process_does_not_get_are_a_loss() -> None:
    """A trial with flags adds limits: these are no loss."""
    full = _at_check(_process("box", 5, no_new_privs=1, filters=2))
    assert compare(full, _at_check(_process("box", 5, no_new_privs=1, filters=3))) == []
    assert compare(full, _at_check(_process("box", 5, filters=1))) == [
        "box, as 5:5, is without no_new_privs",
        "box, as 5:5, is without a seccomp filter",
    ]


def test_an_id_that_can_be_taken_again_is_a_loss() -> None:
    less = _at_check(Credentials("app", "5 5 0", "5"))
    lost = compare(_at_check(_process("app", 5)), less)
    assert lost == ["app runs as 5:5, and can be user 0 again"]


def test_processes_that_come_and_go_are_learned_by_name() -> None:
    app = _process("app", 5)
    one, other = (_at_check(app, _process(name, 0)) for name in ("sleep", "date"))
    noise = learn(SILENCE, one, other)
    assert compare(one, _at_check(app), noise) == []
    assert compare(one, _at_check(app, _process("stat", 0)), noise) == []
    assert compare(one, _at_check(_process("app", 0)), noise) == ["app runs as 0:0"]
    varies = learn(SILENCE, _at_check(_process("app", 5, CHOWN)), _at_check(app))
    assert compare(_at_check(app), _at_check(_process("app", 5, CHOWN)), varies) == []
    assert compare(_at_check(app), _at_check(_process("app", 6)), varies) == ["app runs as 6:6"]
    assert compare(_at_check(_process("w-1", 5)), _at_check(_process("w-23", 5))) == []


def test_a_folder_that_only_one_trial_could_look_at_is_no_loss() -> None:
    full = Observed(0, files=(("/t", OWN), ("/t/f", OWN), ("/tf", OWN)))
    less = Observed(0, files=(("/tf", LOST),), uncompared=("/t",))
    assert compare(full, less) == [f"/tf is {LOST} instead of {OWN}"]
    noise = learn(SILENCE, full, replace(less, files=(("/tf", OWN),)))
    assert compare(full, replace(full, files=(("/tf", OWN),)), noise) == [
        f"/t is missing instead of {OWN}",
        f"/t/f is missing instead of {OWN}",
    ]


def test_ports_are_compared_one_by_one() -> None:
    """A port that is another one each time hides neither a lost one nor makes one."""
    one, other = (Observed(0, listening=("tcp:80", port)) for port in ("tcp:8001", "tcp:8002"))
    less = Observed(0, listening=("tcp:8003", "udp:53"))
    assert compare(one, less) == [
        "it does not listen on tcp:80",
        "it does not listen on tcp:8001",
        "it listens on tcp:8003",
        "it listens on udp:53",
    ]
    noise = learn(SILENCE, one, other)
    assert compare(one, less, noise) == ["it does not listen on tcp:80"]
