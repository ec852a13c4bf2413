"""The search for the floor, against workloads whose needs are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from capadvise.judgement.decide import Need, Proof, Proposal, Verdict
from capadvise.judgement.differences import OUTPUT, Observed
from capadvise.judgement.proven import Interrupted, NotProvable, TrialOutcome, conclude
from capadvise.model.caps import Cap, CapSet
from capadvise.proof.plan import SearchTask, prove
from capadvise.report.words import proof_lines
from tests.support.known_needs import EVERYTHING, ORDER, KnownWorkload, caps, needing, proposal


@pytest.mark.parametrize(
    ("truth", "recommended"),
    [
        ("", ""),
        ("CHOWN", "CHOWN"),
        ("CHOWN SETUID SETGID", "CHOWN SETUID SETGID"),
        ("CHOWN", "CHOWN FOWNER DAC_OVERRIDE"),
        ("", "CHOWN FOWNER"),
    ],
)
def test_a_recommended_set_that_works_is_within_budget(truth: str, recommended: str) -> None:
    fake = KnownWorkload(needing(truth))
    proven = fake.prove(proposal(recommended))
    assert proven.minimal == caps(truth)
    assert not proven.flaky
    once = [trial for trial in proven.trials if not trial.repeat]
    assert len(once) <= 3 + 2 * len(caps(recommended))


@pytest.mark.parametrize(
    ("truth", "recommended"),
    [("SETFCAP", ""), ("SETFCAP CHOWN", "CHOWN"), ("SETFCAP BPF", ""), ("CHECKPOINT_RESTORE", "")],
)
def test_what_no_check_named_is_found_by_search(truth: str, recommended: str) -> None:
    fake = KnownWorkload(needing(truth))
    proven = fake.prove(proposal(recommended))
    assert proven.minimal == caps(truth)
    found = len(caps(truth) - caps(recommended))
    once = [trial for trial in proven.trials if not trial.repeat]
    assert len(once) <= 3 + 2 * len(caps(truth)) + 12 * found
    need = conclude(proposal(recommended), proven).need(min(caps(truth) - caps(recommended)))
    assert need.verdict is Verdict.REQUIRED
    assert "found by trial" in need.reason


def test_what_a_trial_was_refused_is_added_first() -> None:
    fake = KnownWorkload(needing("CHOWN MKNOD"), refused=lambda given: caps("MKNOD") - given)
    proven = fake.prove(proposal("CHOWN"))
    assert proven.minimal == caps("CHOWN MKNOD")
    assert len([trial for trial in proven.trials if not trial.repeat]) <= 6


def test_what_may_be_needed_by_the_recording_is_added_first() -> None:
    """A program that looks for its capability in /proc is refused nothing."""
    fake = KnownWorkload(needing("CHOWN KILL"))
    doubtful = Need(Cap.parse("KILL"), Verdict.INCIDENTAL, Proof.NONE, "", uncertain="signal 0")
    known = proposal("CHOWN")
    proven = fake.prove(replace(known, needs=(*known.needs, doubtful)))
    assert proven.minimal == caps("CHOWN KILL")
    assert len([trial for trial in proven.trials if not trial.repeat]) <= 6


def test_either_of_two_is_enough_and_the_more_powerful_goes() -> None:
    works: Callable[[CapSet], bool] = lambda given: bool(caps("BPF SYS_ADMIN") & given)  # noqa: E731
    assert KnownWorkload(works).prove(proposal("BPF SYS_ADMIN")).minimal == caps("BPF")


def test_the_floor_fails_without_any_one_member() -> None:
    fake = KnownWorkload(
        lambda given: caps("SETUID SETGID") <= given and bool(given & caps("CHOWN FOWNER"))
    )
    minimal = fake.prove(proposal("SETUID SETGID CHOWN FOWNER")).minimal
    assert minimal is not None
    assert fake.works(minimal)
    assert not any(fake.works(minimal - {cap}) for cap in minimal)


def test_a_workload_that_never_passes_is_no_verdict() -> None:
    with pytest.raises(NotProvable):
        KnownWorkload(lambda _: False).prove(proposal("CHOWN"))


def test_a_flaky_workload_is_called_flaky() -> None:
    answers = iter([True, False, False, True] + [False, True] * 50)
    proven = KnownWorkload(lambda _: next(answers)).prove(proposal("CHOWN"))
    assert proven.flaky
    assert proven.minimal is None
    assert conclude(proposal("CHOWN"), proven) == proposal("CHOWN")


def test_an_interrupted_search_keeps_the_best_set() -> None:
    calls = iter(range(100))

    def works(given: CapSet) -> bool:
        if next(calls) == 4:
            raise Interrupted
        return caps("CHOWN") <= given

    proven = KnownWorkload(works).prove(proposal("CHOWN FOWNER KILL"))
    assert not proven.complete
    assert proven.minimal is not None
    assert caps("CHOWN") <= proven.minimal < EVERYTHING


def test_the_floor_is_minimal_where_less_asks_for_less() -> None:
    """With SETUID it becomes another user and has to hand its files over; without, it need not."""

    def works(given: CapSet) -> bool:
        return caps("KILL") <= given and (not caps("SETUID") <= given or caps("CHOWN") <= given)

    known = proposal("CHOWN KILL SETUID", self_restricting="SETUID")
    proven = KnownWorkload(works).prove(known)
    assert proven.minimal == caps("KILL")
    after = conclude(known, proven)
    assert after.recommended == caps("CHOWN KILL SETUID")
    assert proven.recommended_sound
    assert after.need(Cap.parse("CHOWN")).lost_without == (
        "with the others kept, the workload fails: it failed"
    )
    less = (replace(t, caps=t.caps - caps("SETUID")) for t in proven.trials if not t.passed)
    after = conclude(known, replace(proven, trials=tuple(less)))
    assert after.need(Cap.parse("CHOWN")).lost_without == (
        "with the others also removed, the workload fails: it failed"
    )


def test_a_flaky_workload_shows_both_logs() -> None:
    answers = iter([False, True])  # of the set that is recommended

    def run(given: CapSet) -> TrialOutcome:
        passed = given == EVERYTHING or (bool(given) and next(answers))
        return TrialOutcome(passed, "", 0.1, Observed(0), output=f"passed: {passed}\n")

    known = proposal("CHOWN")
    proven = prove(SearchTask(known, EVERYTHING, run(EVERYTHING), "workload", ORDER), run)
    assert proven.flaky
    assert proven.logs == ("passed: False\n", "passed: True\n")
    assert "The log of one ends with: passed: False" in list(proof_lines(proven))


ANY_OF = "CHOWN NET_ADMIN NET_BIND_SERVICE NET_RAW SYS_NICE SYS_TIME"
"""What the entrypoint of pihole takes any one of."""


def _any_of(given: CapSet) -> bool:
    return caps("SETUID") <= given and bool(caps(ANY_OF) & given)


def test_of_several_that_would_do_the_one_of_the_lowest_risk_is_taken() -> None:
    proven = KnownWorkload(_any_of).prove(proposal(f"SETUID {ANY_OF}"))
    assert proven.minimal == caps("SETUID NET_BIND_SERVICE")


@pytest.mark.parametrize("others", ["SYS_NICE", "NET_BIND_SERVICE SYS_NICE"])
def test_of_several_that_would_do_the_one_that_is_kept_anyway_is_taken(others: str) -> None:
    def observe(given: CapSet) -> Observed:
        return Observed(0, files=(("data", "1:1 0644" if caps("CHOWN") <= given else "0:0 0644"),))

    known = proposal(f"SETUID CHOWN {others}")
    proven = KnownWorkload(_any_of, observe).prove(known)
    concluded = conclude(known, proven)
    assert (proven.minimal, concluded.recommended) == (caps("SETUID CHOWN"),) * 2
    once = [trial for trial in proven.trials if not trial.repeat]
    assert len(once) <= 3 + 2 * len(known.recommended)


@dataclass
class AtTheFullMinute(KnownWorkload):
    """It does its job when the time has come: every trial is late that has no more than the first
    one took, until one has passed in all the time that it is allowed."""

    patient: bool = False

    def __call__(self, given: CapSet) -> TrialOutcome:
        again = given in self.tried
        outcome = super().__call__(given)
        if given == EVERYTHING and not again:
            return outcome
        if not (self.patient or again):
            return replace(outcome, passed=False, why="the check failed", late=True)
        self.patient |= outcome.passed
        return outcome


@pytest.mark.parametrize("recommended", ["DAC_OVERRIDE SETUID", "DAC_OVERRIDE"])
def test_what_was_late_is_not_taken_for_a_failure(recommended: str) -> None:
    fake = AtTheFullMinute(needing("DAC_OVERRIDE SETUID"), refused=lambda _: caps("SETUID"))
    proven = fake.prove(proposal(recommended))
    assert proven.minimal == caps("DAC_OVERRIDE SETUID")
    assert not proven.flaky


@dataclass
class Late(KnownWorkload):
    """Some of its trials are late: (set, how often it was tried before)."""

    late: frozenset[tuple[CapSet, int]] = frozenset()

    def __call__(self, given: CapSet) -> TrialOutcome:
        before = self.tried.count(given)
        outcome = super().__call__(given)
        late = replace(outcome, passed=False, why="timed out", late=True)
        return late if (given, before) in self.late else outcome


@pytest.mark.parametrize(
    "late",
    [
        [("KILL SETUID", 0), ("CHOWN SETUID", 1)],  # the first is forgotten when the second passes
        [("CHOWN SETUID", 0), ("KILL SETUID", 1)],
        [("SETUID", 1)],
        [("CHOWN KILL SETUID", 0)],
    ],
)
def test_what_was_late_tells_nothing_once_a_late_one_has_passed(
    late: list[tuple[str, int]],
) -> None:
    lates = frozenset((caps(text), number) for text, number in late)
    known = proposal("CHOWN KILL SETUID")
    proven = Late(needing("SETUID"), late=lates).prove(known)
    assert proven.minimal == caps("SETUID")
    assert not proven.flaky
    assert conclude(known, proven).recommended == caps("SETUID")


def test_a_doubtful_need_is_given_all_its_time() -> None:
    need = Need(Cap(21), Verdict.NEEDED, Proof.CALL_SITE, "r", uncertain="most programs go on")
    known = Proposal((need, *proposal("SETUID").needs), caps("SETUID") | {Cap(21)})
    fake = Late(needing("SETUID"), late=frozenset({(caps("SETUID"), 0)}))
    assert fake.prove(known).minimal == caps("SETUID")


def _also_checked(known: Proposal, name: str) -> Proposal:
    need = Need(Cap.parse(name), Verdict.INCIDENTAL, Proof.CALL_SITE, "r")
    return replace(known, needs=(*known.needs, need))


def test_a_loss_that_no_evidence_explains_is_traced_to_its_capability() -> None:
    """What ``getfattr`` lists depends on SYS_ADMIN, whose check the catalog calls incidental."""

    def observe(given: CapSet) -> Observed:
        lines = ("trusted.a",) if caps("SYS_ADMIN") <= given else ()
        return Observed(0, printed=((OUTPUT, lines),))

    known = _also_checked(_also_checked(proposal("CHOWN"), "SYS_ADMIN"), "KILL")
    fake = KnownWorkload(needing("CHOWN"), observe)
    proven = fake.prove(known)
    concluded = conclude(known, proven)
    assert (proven.minimal, concluded.recommended) == (caps("CHOWN"), caps("CHOWN SYS_ADMIN"))
    assert concluded.need(Cap.parse("SYS_ADMIN")).lost_without == 'it does not print "trusted.a"'
    assert proven.recommended_sound
    assert proven.cautions == ()


def test_a_message_alone_is_a_caution_and_no_member() -> None:
    def observe(given: CapSet) -> Observed:
        return Observed(0, () if caps("KILL") <= given else ("cannot kill",))

    known = _also_checked(proposal("CHOWN"), "KILL")
    proven = KnownWorkload(needing("CHOWN"), observe).prove(known)
    assert conclude(known, proven).recommended == caps("CHOWN")
    assert proven.cautions == (
        'compared with every capability, it loses: new message: "cannot kill"',
    )


def test_a_use_that_comes_by_chance_is_a_caution() -> None:
    numbers = iter(range(100))

    def run(given: CapSet) -> TrialOutcome:
        number = next(numbers)
        files = (("f", "1:1 0644" if number == 0 else "0:0 0644"),)
        used = caps("CHOWN") if number == 0 else frozenset[Cap]()
        return TrialOutcome(True, "", 0.1, Observed(0, files=files), used=used)

    known = proposal("CHOWN")
    proven = prove(SearchTask(known, EVERYTHING, run(EVERYTHING), "workload", ORDER), run)
    assert conclude(known, proven).recommended == frozenset()
    assert any("only some used CHOWN" in caution for caution in proven.cautions)
