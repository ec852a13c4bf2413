"""The search for the smallest opening, with programs whose needs are known."""

from __future__ import annotations

import pytest

from capadvise.judgement.opening import Additions
from capadvise.model.clone_flags import CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWUSER
from capadvise.model.companion import Companion
from capadvise.model.seccomp_profile import OpenedCall
from capadvise.proof.opening import OpeningTrial, grown, shrunk

EVERYTHING = Additions().plus(["mount", "umount2", "setns", "unshare", "clone", "bpf"])


def _holds(more: Additions, needs: list[str], *, unmasked: bool) -> str | None:
    """The first of the needs that is not among them; None: all are."""
    if unmasked and not more.unmasked and "mount" in more.names:
        return "masks"
    flags = {one.call: one.flags for one in more.calls}
    for need in map(OpenedCall.parse, needs):
        if need.call not in flags or need.flags & ~flags[need.call]:
            return need.call
    return None


def _attempts(needs: list[str], *, unmasked: bool = False, hidden: bool = False) -> tuple:
    made: list[Additions] = []
    seen = sum({bit for need in needs for bit in OpenedCall.parse(need).kinds})

    def attempt(more: Additions) -> OpeningTrial:
        made.append(more)
        missing = _holds(more, needs, unmasked=unmasked)
        told = frozenset({missing} - {"masks", None} if not hidden else ())
        return OpeningTrial(missing is None, missing or "", told, seen | CLONE_NEWUSER)

    return attempt, made


@pytest.mark.parametrize("unmasked", [False, True])
def test_it_grows_by_the_calls_that_its_own_trials_were_refused(unmasked: bool) -> None:
    needs = ["clone(NEWUSER|NEWPID)", "mount", "umount2"]
    attempt, made = _attempts(needs, unmasked=unmasked)
    found = grown(Additions(), EVERYTHING, attempt)
    assert found is not None
    assert (found.names, found.unmasked) == ({"clone", "mount", "umount2"}, unmasked)
    assert next(x.flags for x in found.calls if x.call == "clone") == CLONE_NEWUSER | CLONE_NEWPID
    assert len(made) <= 6


def test_a_refusal_that_no_trial_shows_is_found_by_opening_all() -> None:
    attempt, _ = _attempts(["setns"], hidden=True)
    found = grown(Additions(), EVERYTHING, attempt)
    assert found is not None
    least, _ = shrunk(found, lambda more: _holds(more, ["setns"], unmasked=False), lambda _: None)
    assert (set(map(str, least.calls)), least.unmasked) == ({"setns"}, False)


def test_a_target_that_needs_the_capability_itself_gets_none() -> None:
    attempt, _ = _attempts(["reboot"], hidden=True)
    assert grown(Additions(), EVERYTHING, attempt) is None


def test_each_member_is_removed_once_and_each_that_stays_was_missed() -> None:
    needs = ["clone(NEWUSER|NEWNET)", "mount"]
    asked: list[Additions] = []

    def lost(more: Additions) -> str | None:
        asked.append(more)
        return _holds(more, needs, unmasked=False)

    first = Additions(frozenset({OpenedCall.whole("clone")}), unmasked=True).plus(["mount", "bpf"])
    least, needed = shrunk(first, lost, lambda _: None)
    assert sorted(map(str, least.calls)) == ["clone(NEWUSER|NEWNET)", "mount"]
    assert not least.unmasked
    assert {what for what, _ in needed} == {
        "clone",
        "clone CLONE_NEWUSER",
        "clone CLONE_NEWNET",
        "mount",
    }
    assert next(x.flags for x in least.calls if x.flags) == CLONE_NEWUSER | CLONE_NEWNET


def test_a_removal_that_passes_once_and_fails_then_is_no_removal() -> None:
    answers = iter([None, "it failed"])
    least, needed = shrunk(Additions().plus(["mount"]), lambda _: next(answers), lambda _: None)
    assert (least.names, needed) == ({"mount"}, (("mount", "it failed"),))


def test_an_opening_is_a_companion_of_its_set() -> None:
    more = Additions(unmasked=True).plus(["mount", "setns"])
    words = [one.words for one in more.companions]
    assert words == ["seccomp=default+mount+setns", "systempaths=unconfined"]
    assert [Companion.parse(word) for word in words] == list(more.companions)
    assert Companion.parse(words[0]).arguments == ["mount", "setns"]
    assert not any(one.is_flag for one in more.companions)
