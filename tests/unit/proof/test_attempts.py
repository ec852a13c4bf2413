"""What the search tries in the place of a capability, and which trials it begins ahead of the
answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from capadvise.judgement.decide import Need, Proof, Proposal, Verdict
from capadvise.judgement.differences import Observed
from capadvise.judgement.flags import default_seccomp, no_new_privs
from capadvise.judgement.proven import TrialOutcome, conclude
from capadvise.model.caps import Cap, CapSet
from capadvise.model.companion import DEFAULT_SECCOMP, KNOWN, NO_NEW_PRIVS, Companion
from capadvise.proof.attempts import Attempt, LikelyAttempts
from capadvise.proof.plan import Beside
from tests.support.known_needs import (
    EVERYTHING,
    ORDER,
    KnownWorkload,
    caps,
    needing,
    proposal,
    search,
)
from tests.support.recordings import CATALOG, report_of


def with_alternative(text: str, cap: str, other: str) -> Proposal:
    known = proposal(text)
    needs = tuple(
        replace(need, alternatives=((Cap.parse(other),),)) if need.cap.short == cap else need
        for need in known.needs
    )
    return replace(known, needs=needs)


def test_an_alternative_that_is_less_of_a_risk_takes_the_place_of_a_member() -> None:
    either = KnownWorkload(lambda given: bool(given & caps("SYS_ADMIN PERFMON")))
    known = with_alternative("SYS_ADMIN", "SYS_ADMIN", "PERFMON")
    proven = search(either, known)
    assert proven.minimal == caps("PERFMON")
    concluded = conclude(known, proven)
    assert concluded.recommended == caps("PERFMON")
    assert concluded.need(Cap.parse("SYS_ADMIN")).verdict is Verdict.OPTIONAL


def test_an_alternative_that_is_more_of_a_risk_is_tried_and_said_to_pass() -> None:
    either = KnownWorkload(lambda given: bool(given & caps("DAC_OVERRIDE DAC_READ_SEARCH")))
    known = with_alternative("DAC_OVERRIDE", "DAC_OVERRIDE", "DAC_READ_SEARCH")
    proven = search(either, known)
    assert proven.minimal == caps("DAC_OVERRIDE")
    assert conclude(known, proven).needs[0].tried == (("DAC_READ_SEARCH", True),)
    (last,) = [trial for trial in proven.trials if trial.instead]
    assert (last.without, last.passed) == (Cap.parse("DAC_OVERRIDE"), True)


def test_a_setting_that_makes_a_capability_needless_is_tried() -> None:
    asked: list[tuple[CapSet, str]] = []

    def run_trial(given: CapSet, beside: tuple[Companion, ...]) -> TrialOutcome:
        asked.extend((given, one.words) for one in beside)
        return TrialOutcome(True, "", 0.1, Observed(0))

    known = proposal("NET_BIND_SERVICE CHOWN")
    fake = KnownWorkload(needing("NET_BIND_SERVICE CHOWN"), with_beside=run_trial)
    proven = search(fake, known, beside=Beside(KNOWN))
    setting = "net.ipv4.ip_unprivileged_port_start=0"
    assert asked == [(caps("CHOWN"), setting)]
    assert proven.minimal == caps("NET_BIND_SERVICE CHOWN")
    need = conclude(known, proven).need(Cap.parse("NET_BIND_SERVICE"))
    assert (need.verdict, need.tried) == (Verdict.REQUIRED, ((setting, True),))
    (trial,) = [one for one in proven.trials if one.beside]
    assert (trial.caps, trial.passed, trial.beside) == (caps("CHOWN"), True, (KNOWN[0][1],))


def test_a_group_in_the_place_of_a_capability_is_tried() -> None:
    asked: list[tuple[CapSet, str]] = []

    def run_trial(given: CapSet, beside: tuple[Companion, ...]) -> TrialOutcome:
        asked.extend((given, one.words) for one in beside)
        return TrialOutcome(True, "", 0.1, Observed(0))

    known = proposal("DAC_OVERRIDE CHOWN")
    fake = KnownWorkload(needing("DAC_OVERRIDE CHOWN"), with_beside=run_trial)
    of_adm = (caps("DAC_OVERRIDE"), Companion.of_groups(["adm"]))
    beside = Beside(find=lambda _: [of_adm])
    proven = search(fake, known, beside=beside)
    assert asked == [(caps("CHOWN"), "group=adm")]
    assert conclude(known, proven).need(Cap.parse("DAC_OVERRIDE")).tried == (("group=adm", True),)
    fake = KnownWorkload(needing("CHOWN"), with_beside=run_trial)
    proven = search(fake, proposal("CHOWN"), beside=beside)
    assert len(asked) == 1, "the floor passes over no file's mode"


_BOTH = (NO_NEW_PRIVS, DEFAULT_SECCOMP)


@pytest.mark.parametrize(
    ("fails_with", "loses_with", "tried", "held"),
    [
        ((), (), [_BOTH], _BOTH),
        (_BOTH[:1], (), [_BOTH, _BOTH[:1], _BOTH[1:]], _BOTH[1:]),
        (_BOTH[1:], (), [_BOTH, _BOTH[:1]], _BOTH[:1]),
        (_BOTH, (), [_BOTH, _BOTH[:1], _BOTH[1:]], ()),
        ((), _BOTH[:1], [_BOTH, _BOTH[:1], _BOTH[1:]], _BOTH[1:]),
    ],
)
def test_what_files_write_is_tried_with_the_set(
    fails_with: tuple[Companion, ...],
    loses_with: tuple[Companion, ...],
    tried: list[tuple[Companion, ...]],
    held: tuple[Companion, ...],
) -> None:
    """All flags at once, as the file has them; one by one where that fails or loses something."""
    asked: list[tuple[CapSet, tuple[Companion, ...]]] = []

    def run_trial(given: CapSet, beside: tuple[Companion, ...]) -> TrialOutcome:
        asked.append((given, beside))
        passed = not set(beside) & set(fails_with)
        files = () if set(beside) & set(loses_with) else (("f", "of nobody"),)
        return TrialOutcome(passed, "it failed", 0.1, Observed(0, files=files))

    flags = Beside(written=lambda _: _BOTH)
    needs = needing("CHOWN")
    fake = KnownWorkload(
        needs, lambda _: Observed(0, files=(("f", "of nobody"),)), with_beside=run_trial
    )
    proven = search(fake, proposal("CHOWN"), beside=flags)
    assert asked == [(caps("CHOWN"), beside) for beside in tried]
    assert proven.minimal == caps("CHOWN"), "flags change no set"
    proved = replace(report_of(), proposal=conclude(proposal("CHOWN"), proven), proven=proven)
    found = {
        flag
        for flag, of in zip(
            _BOTH,
            (no_new_privs(proved, caps("CHOWN")), default_seccomp(proved, caps("CHOWN"), CATALOG)),
            strict=True,
        )
        if of.written
    }
    assert found == set(held)
    assert no_new_privs(proved, EVERYTHING).written is None, "no trial of that set had it"


def test_what_is_tried_next_is_told_ahead() -> None:
    told: list[Attempt] = []
    fake = KnownWorkload(needing("CHOWN SETUID"))
    search(fake, proposal("CHOWN SETUID"), ahead=told.extend)
    assert {Attempt(given) for given in fake.tried[1:]} <= set(told)


def test_what_is_kept_in_the_end_is_begun_beside_the_last_removals() -> None:
    """It was begun when all others had ended."""
    kept = Attempt(caps("CHOWN FOWNER"))
    told: dict[CapSet, bool] = {}

    def observe(given: CapSet) -> Observed:
        return Observed(0, stderr=() if caps("FOWNER") <= given else ("cannot change the mode",))

    fake = KnownWorkload(needing("CHOWN"), observe)

    def ahead(attempts: Sequence[Attempt]) -> None:
        told[fake.tried[-1]] = kept in attempts

    known = proposal("CHOWN FOWNER SYS_NICE")
    proven = search(fake, known, ahead=ahead)
    assert conclude(known, proven).recommended == kept.caps
    assert fake.tried[-1] == kept.caps
    assert told[caps("CHOWN")]


def test_what_should_pass_is_begun_before_what_should_fail() -> None:
    """A set with an alternative in it takes as long as two starts; it was begun when the removals
    had ended."""
    need = Need(Cap.parse("DAC_OVERRIDE"), Verdict.NEEDED, Proof.CALL_SITE, "r")
    other = (Cap.parse("DAC_READ_SEARCH"),)
    known = proposal("CHOWN DAC_OVERRIDE")
    needs = tuple(
        replace(one, alternatives=(other,)) if one.cap == need.cap else one for one in known.needs
    )
    attempts = LikelyAttempts(replace(known, needs=needs), EVERYTHING, ORDER)
    sets = [*map(caps, ("", "CHOWN DAC_OVERRIDE", "CHOWN DAC_READ_SEARCH"))]
    removals = [*map(caps, ("CHOWN", "DAC_OVERRIDE"))]
    assert attempts.at_first() == [*map(Attempt, [*sets, *removals, EVERYTHING])]


def test_everything_is_not_begun_again_where_noise_is_known() -> None:
    """The proof waited for it in the end, to give it up."""
    number = iter(range(100))

    def observe(_: CapSet) -> Observed:
        return Observed(0, stderr=(f"{next(number)}",))

    told: list[Attempt] = []
    fake = KnownWorkload(needing("CHOWN SETUID"), observe)

    def ahead(attempts: Sequence[Attempt]) -> None:
        if EVERYTHING in fake.tried[1:]:
            told.extend(attempts)

    search(fake, proposal("CHOWN SETUID SYS_NICE"), ahead=ahead)
    assert fake.tried.count(EVERYTHING) == 2
    assert told
    assert Attempt(EVERYTHING) not in told
