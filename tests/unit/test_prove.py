"""The search for the floor, against workloads whose needs are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from capadvise import comparisons
from capadvise.attempts import Attempt, LikelyAttempts
from capadvise.caps import Cap, CapSet, parse_set
from capadvise.catalog import default
from capadvise.comparisons import Comparisons
from capadvise.decide import Need, Proof, Proposal, Verdict, decide_all
from capadvise.differences import SILENCE, Noise, Observed, compare
from capadvise.judge import UNKNOWN_SITE, WHILE_STOPPED, Effect, Judged
from capadvise.outcome import Interrupted, NotProvable, TrialOutcome
from capadvise.prove import prove
from capadvise.proven import Proven, Trial, conclude
from capadvise.recording import Phase
from capadvise.report.proof_text import proof_lines
from tests.support import recordings
from tests.support.recordings import BIND, check

EVERYTHING = frozenset(Cap(number) for number in range(41) if number != 24)


def caps(text: str) -> CapSet:
    return parse_set(text.split())


def proposal(text: str, self_restricting: str = "") -> Proposal:
    needs = tuple(
        Need(
            cap, Verdict.USED, Proof.CALL_SITE, "r", self_restricting=cap in caps(self_restricting)
        )
        for cap in sorted(caps(text))
    )
    return Proposal(needs, caps(text))


@dataclass
class Fake:
    """A workload that passes when ``works`` says so; counts its trials."""

    works: Callable[[CapSet], bool]
    observe: Callable[[CapSet], Observed] = lambda _: Observed(0)
    refused: Callable[[CapSet], CapSet] = lambda _: frozenset()
    tried: list[CapSet] = field(default_factory=list)

    def __call__(self, given: CapSet) -> TrialOutcome:
        self.tried.append(given)
        passed = self.works(given)
        why = "" if passed else "it failed"
        return TrialOutcome(passed, why, 0.1, self.observe(given), self.refused(given))

    def prove(self, known: Proposal) -> Proven:
        first = self(EVERYTHING)
        self.tried.clear()
        return prove(known, EVERYTHING, first, self, isolation="workload", removal_order=ORDER)


def test_an_unknown_check_that_a_trial_did_without_is_not_recommended() -> None:
    """sysctl -a on a kernel that the catalog does not know: two keys are missing, and nobody asked
    for them."""
    need = Need(Cap(21), Verdict.USED, Proof.NONE, "r", uncertain=UNKNOWN_SITE)
    known = Proposal((need,), frozenset({Cap(21)}))
    trials = (Trial(frozenset(), True, 0.1, without=Cap(21), differences=("stderr differs",)),)
    proven = Proven("command", trials, frozenset())
    assert conclude(known, proven).recommended == frozenset()
    sure = replace(need, uncertain=None)
    assert conclude(replace(known, needs=(sure,)), proven).recommended == {Cap(21)}


ORDER = default().removal_order


def needing(text: str) -> Callable[[CapSet], bool]:
    return lambda given: caps(text) <= given


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
    fake = Fake(needing(truth))
    proven = fake.prove(proposal(recommended))
    assert proven.floor == caps(truth)
    assert not proven.flaky
    once = [trial for trial in proven.trials if not trial.repeat]
    assert len(once) <= 3 + 2 * len(caps(recommended))


@pytest.mark.parametrize(
    ("truth", "recommended"),
    [("SETFCAP", ""), ("SETFCAP CHOWN", "CHOWN"), ("SETFCAP BPF", ""), ("CHECKPOINT_RESTORE", "")],
)
def test_what_no_check_named_is_found_by_search(truth: str, recommended: str) -> None:
    fake = Fake(needing(truth))
    proven = fake.prove(proposal(recommended))
    assert proven.floor == caps(truth)
    found = len(caps(truth) - caps(recommended))
    once = [trial for trial in proven.trials if not trial.repeat]
    assert len(once) <= 3 + 2 * len(caps(truth)) + 12 * found
    need = conclude(proposal(recommended), proven).need(min(caps(truth) - caps(recommended)))
    assert need.verdict is Verdict.REQUIRED
    assert "found by trial" in need.reason


def test_what_a_trial_was_refused_is_added_first() -> None:
    fake = Fake(needing("CHOWN MKNOD"), refused=lambda given: caps("MKNOD") - given)
    proven = fake.prove(proposal("CHOWN"))
    assert proven.floor == caps("CHOWN MKNOD")
    assert len([trial for trial in proven.trials if not trial.repeat]) <= 6


def test_either_of_two_is_enough_and_the_more_powerful_goes() -> None:
    works: Callable[[CapSet], bool] = lambda given: bool(caps("BPF SYS_ADMIN") & given)  # noqa: E731
    assert Fake(works).prove(proposal("BPF SYS_ADMIN")).floor == caps("BPF")


def test_the_floor_fails_without_any_one_member() -> None:
    fake = Fake(lambda given: caps("SETUID SETGID") <= given and bool(given & caps("CHOWN FOWNER")))
    floor = fake.prove(proposal("SETUID SETGID CHOWN FOWNER")).floor
    assert floor is not None
    assert fake.works(floor)
    assert not any(fake.works(floor - {cap}) for cap in floor)


def test_a_workload_that_never_passes_is_no_verdict() -> None:
    with pytest.raises(NotProvable):
        Fake(lambda _: False).prove(proposal("CHOWN"))


def test_a_flaky_workload_is_called_flaky() -> None:
    answers = iter([True, False, False, True] + [False, True] * 50)
    proven = Fake(lambda _: next(answers)).prove(proposal("CHOWN"))
    assert proven.flaky
    assert proven.floor is None
    assert conclude(proposal("CHOWN"), proven) == proposal("CHOWN")


def test_an_interrupted_search_keeps_the_best_set() -> None:
    calls = iter(range(100))

    def works(given: CapSet) -> bool:
        if next(calls) == 4:
            raise Interrupted
        return caps("CHOWN") <= given

    proven = Fake(works).prove(proposal("CHOWN FOWNER KILL"))
    assert not proven.complete
    assert proven.floor is not None
    assert caps("CHOWN") <= proven.floor < EVERYTHING


def test_what_is_kept_beside_an_empty_floor_is_tried_as_a_whole() -> None:
    """httpd drops its rights with SETGID and SETUID, and starts with neither."""
    for lossy in ("", "SETGID", "SETGID SETUID"):
        lost = caps(lossy)

        def observe(given: CapSet, lost: CapSet = lost) -> Observed:
            return Observed(0, stderr=tuple(cap.short for cap in sorted(lost - given)))

        known = proposal("SETGID SETUID", self_restricting="SETGID SETUID")
        proven = Fake(lambda _: True, observe).prove(known)
        assert proven.floor == frozenset()
        assert conclude(known, proven).recommended >= lost


def test_tolerated_with_a_loss_is_kept_and_without_one_is_not() -> None:
    def observe(given: CapSet) -> Observed:
        said = () if caps("SYS_NICE") <= given else ("cannot set niceness",)
        return Observed(0, stderr=said)

    known = proposal("CHOWN SYS_NICE FOWNER")
    proven = Fake(needing("CHOWN"), observe).prove(known)
    after = conclude(known, proven)
    assert after.floor == caps("CHOWN")
    assert after.recommended == caps("CHOWN SYS_NICE")
    assert after.need(Cap.parse("SYS_NICE")).lost_without == "it says: cannot set niceness"
    assert after.need(Cap.parse("FOWNER")).verdict is Verdict.TOLERATED
    assert after.need(Cap.parse("FOWNER")).lost_without is None
    assert after.need(Cap.parse("CHOWN")).verdict is Verdict.REQUIRED


def test_what_no_trial_came_to_is_kept() -> None:
    known = proposal("CHOWN KILL")
    proven = Fake(needing("CHOWN")).prove(known)
    after = conclude(known, replace(proven, untried=caps("KILL")))
    assert after.floor == caps("CHOWN")
    assert after.recommended == caps("CHOWN KILL")
    assert "no trial reached" in (after.need(Cap.parse("KILL")).lost_without or "")


def test_when_something_is_used_that_no_trial_came_to_is_not_known() -> None:
    """A request that somebody made by hand came after a first start, and not only there."""
    first = recordings.recording(recordings.CHOWN)
    later = replace(recordings.recording(), start=2)
    known = decide_all((first, later), recordings.CATALOG)
    assert known.need(Cap.parse("CHOWN")).only == "only at the first start"
    proven = Fake(needing("")).prove(known)
    after = conclude(known, replace(proven, untried=caps("CHOWN")))
    assert after.need(Cap.parse("CHOWN")).only is None


def test_what_nothing_requires_can_still_be_lost() -> None:
    def observe(given: CapSet) -> Observed:
        return Observed(0, files=(("f", "0:0 2755" if caps("FSETID") <= given else "0:0 0755"),))

    known = proposal("CHOWN FSETID")
    after = conclude(known, Fake(lambda _: True, observe).prove(known))
    assert after.floor == frozenset()
    assert after.recommended == caps("FSETID")


def test_giving_up_rights_is_kept_whatever_a_check_says() -> None:
    known = proposal("SETUID NET_BIND_SERVICE", self_restricting="SETUID")
    after = conclude(known, Fake(needing("NET_BIND_SERVICE")).prove(known))
    assert after.recommended == caps("SETUID NET_BIND_SERVICE")
    assert after.floor == caps("NET_BIND_SERVICE")


def test_differences_are_sentences() -> None:
    full = Observed(0, ("ok",), (("a", "0:0 2755"), ("b", "1:1 0644")), (("nginx", 33, 33),))
    less = Observed(1, ("ok", "no luck"), (("a", "0:0 0755"),), (("nginx", 0, 0),))
    assert compare(full, less) == [
        "it exits with 1 instead of 0",
        "it says: no luck",
        "a is 0:0 0755 instead of 0:0 2755",
        "b is missing instead of 1:1 0644",
        "nginx runs as 0:0",
    ]
    assert compare(full, full) == []


def test_the_floor_is_minimal_where_less_asks_for_less() -> None:
    """With SETUID it becomes another user and has to hand its files over; without, it need not."""

    def works(given: CapSet) -> bool:
        return caps("KILL") <= given and (not caps("SETUID") <= given or caps("CHOWN") <= given)

    known = proposal("CHOWN KILL SETUID", self_restricting="SETUID")
    proven = Fake(works).prove(known)
    assert proven.floor == caps("KILL")
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


@pytest.mark.parametrize("needed", ["", "KILL"])
@pytest.mark.parametrize(
    ("enough", "recommended"),
    [
        # It ends at the first refusal: without the one it never comes to the use of the other.
        (lambda given: caps("CHOWN FOWNER") <= given, "CHOWN FOWNER"),
        # Either does: together nothing is lost by one of them, and all by both.
        (lambda given: bool(caps("CHOWN FOWNER") & given), "FOWNER"),
    ],
)
def test_what_is_lost_by_two_together_is_not_left_out(
    needed: str, enough: Callable[[CapSet], bool], recommended: str
) -> None:
    def observe(given: CapSet) -> Observed:
        return Observed(0, files=(("f", "1:1 0600" if enough(given) else "0:0 0644"),))

    known = proposal(f"CHOWN FOWNER SYS_NICE {needed}")
    proven = Fake(needing(needed), observe).prove(known)
    assert proven.floor == caps(needed)
    assert conclude(known, proven).recommended == caps(f"{recommended} {needed}")
    once = [trial for trial in proven.trials if not trial.repeat]
    assert len(once) <= 3 + 2 * len(known.recommended)


# ------------------------------------------------------------------ alternatives, side by side


def with_alternative(text: str, cap: str, other: str) -> Proposal:
    known = proposal(text)
    needs = tuple(
        replace(need, alternatives=((Cap.parse(other),),)) if need.cap.short == cap else need
        for need in known.needs
    )
    return replace(known, needs=needs)


RISKS = {"SYS_ADMIN": 3, "DAC_READ_SEARCH": 3, "DAC_OVERRIDE": 2}


def search(fake: Fake, known: Proposal, **more: Any) -> Proven:
    return prove(
        known,
        EVERYTHING,
        fake(EVERYTHING),
        fake,
        isolation="workload",
        removal_order=ORDER,
        risk=lambda cap: RISKS.get(cap.short, 1),
        **more,
    )


def test_an_alternative_that_is_less_of_a_risk_takes_the_place_of_a_member() -> None:
    either = Fake(lambda given: bool(given & caps("SYS_ADMIN PERFMON")))
    known = with_alternative("SYS_ADMIN", "SYS_ADMIN", "PERFMON")
    proven = search(either, known)
    assert proven.floor == caps("PERFMON")
    concluded = conclude(known, proven)
    assert concluded.recommended == caps("PERFMON")
    assert concluded.need(Cap.parse("SYS_ADMIN")).verdict is Verdict.TOLERATED


def test_an_alternative_that_is_more_of_a_risk_is_tried_and_said_to_pass() -> None:
    either = Fake(lambda given: bool(given & caps("DAC_OVERRIDE DAC_READ_SEARCH")))
    known = with_alternative("DAC_OVERRIDE", "DAC_OVERRIDE", "DAC_READ_SEARCH")
    proven = search(either, known)
    assert proven.floor == caps("DAC_OVERRIDE")
    assert conclude(known, proven).needs[0].tried == (("DAC_READ_SEARCH", True),)
    (last,) = [trial for trial in proven.trials if trial.instead]
    assert (last.without, last.passed) == (Cap.parse("DAC_OVERRIDE"), True)


def test_a_setting_that_makes_a_capability_needless_is_tried() -> None:
    asked: list[tuple[CapSet, str]] = []

    def try_setting(given: CapSet, setting: str) -> TrialOutcome:
        asked.append((given, setting))
        return TrialOutcome(True, "", 0.1, Observed(0))

    known = proposal("NET_BIND_SERVICE CHOWN")
    proven = search(Fake(needing("NET_BIND_SERVICE CHOWN")), known, try_setting=try_setting)
    setting = "net.ipv4.ip_unprivileged_port_start=0"
    assert asked == [(caps("CHOWN"), setting)]
    assert proven.floor == caps("NET_BIND_SERVICE CHOWN")
    need = conclude(known, proven).need(Cap.parse("NET_BIND_SERVICE"))
    assert (need.verdict, need.tried) == (Verdict.REQUIRED, ((setting, True),))


def test_a_group_in_the_place_of_a_capability_is_tried() -> None:
    asked: list[tuple[CapSet, str]] = []

    def try_setting(given: CapSet, setting: str) -> TrialOutcome:
        asked.append((given, setting))
        return TrialOutcome(True, "", 0.1, Observed(0))

    known = proposal("DAC_OVERRIDE CHOWN")
    fake = Fake(needing("DAC_OVERRIDE CHOWN"))
    proven = search(fake, known, try_setting=try_setting, groups=lambda: "group=adm")
    assert asked == [(caps("CHOWN"), "group=adm")]
    assert conclude(known, proven).need(Cap.parse("DAC_OVERRIDE")).tried == (("group=adm", True),)
    fake = Fake(needing("CHOWN"))
    proven = search(fake, proposal("CHOWN"), try_setting=try_setting, groups=lambda: "group=adm")
    assert len(asked) == 1, "the floor passes over no file's mode"


def test_what_is_tried_next_is_told_ahead() -> None:
    told: list[Attempt] = []
    fake = Fake(needing("CHOWN SETUID"))
    search(fake, proposal("CHOWN SETUID"), ahead=told.extend)
    assert {Attempt(given) for given in fake.tried[1:]} <= set(told)


def test_what_is_kept_in_the_end_is_begun_beside_the_last_removals() -> None:
    """It was begun when all others had ended."""
    kept = Attempt(caps("CHOWN FOWNER"))
    told: dict[CapSet, bool] = {}

    def observe(given: CapSet) -> Observed:
        return Observed(0, stderr=() if caps("FOWNER") <= given else ("cannot change the mode",))

    fake = Fake(needing("CHOWN"), observe)

    def ahead(attempts: Sequence[Attempt]) -> None:
        told[fake.tried[-1]] = kept in attempts

    known = proposal("CHOWN FOWNER SYS_NICE")
    proven = search(fake, known, ahead=ahead)
    assert conclude(known, proven).recommended == kept.caps
    assert fake.tried[-1] == kept.caps
    assert told[caps("CHOWN")]


def test_a_flaky_workload_shows_both_logs() -> None:
    answers = iter([False, True])  # of the set that is recommended

    def run(given: CapSet) -> TrialOutcome:
        passed = given == EVERYTHING or (bool(given) and next(answers))
        return TrialOutcome(passed, "", 0.1, Observed(0), output=f"passed: {passed}\n")

    known = proposal("CHOWN")
    proven = prove(
        known, EVERYTHING, run(EVERYTHING), run, isolation="workload", removal_order=ORDER
    )
    assert proven.flaky
    assert proven.logs == ("passed: False\n", "passed: True\n")
    assert "The log of one ends with: passed: False" in list(proof_lines(proven))


def test_what_differs_by_itself_is_not_recommended() -> None:
    """A name that is another each time: of the 311 lines of one report, nothing was a loss."""
    number = iter(range(100))

    def observe(_: CapSet) -> Observed:
        return Observed(0, files=((f"run/x.{next(number) * 7919:08}.tmp", "0:0 0644"),))

    known = proposal("CHOWN FOWNER")
    proven = Fake(needing("CHOWN"), observe).prove(known)
    concluded = conclude(known, proven)
    assert concluded.recommended == proven.floor == caps("CHOWN")
    assert not any(trial.differences for trial in proven.trials if trial.passed)


def test_what_is_lost_is_still_seen_beside_noise() -> None:
    number = iter(range(100))

    def observe(given: CapSet) -> Observed:
        owner = "1:1 0644" if caps("FOWNER") <= given else "0:0 0644"
        files = ((f"run/x.{next(number) * 7919:08}.tmp", "0:0 0644"), ("data", owner))
        return Observed(0, files=files)

    known = proposal("CHOWN FOWNER")
    concluded = conclude(known, Fake(needing("CHOWN"), observe).prove(known))
    assert concluded.recommended == caps("CHOWN FOWNER")
    assert (
        concluded.need(Cap.parse("FOWNER")).lost_without == "data is 0:0 0644 instead of 1:1 0644"
    )


ANY_OF = "CHOWN NET_ADMIN NET_BIND_SERVICE NET_RAW SYS_NICE SYS_TIME"
"""What the entrypoint of pihole takes any one of."""


def _any_of(given: CapSet) -> bool:
    return caps("SETUID") <= given and bool(caps(ANY_OF) & given)


def test_of_several_that_would_do_the_one_of_the_lowest_risk_is_taken() -> None:
    proven = Fake(_any_of).prove(proposal(f"SETUID {ANY_OF}"))
    assert proven.floor == caps("SETUID NET_BIND_SERVICE")


@pytest.mark.parametrize("others", ["SYS_NICE", "NET_BIND_SERVICE SYS_NICE"])
def test_of_several_that_would_do_the_one_that_is_kept_anyway_is_taken(others: str) -> None:
    def observe(given: CapSet) -> Observed:
        return Observed(0, files=(("data", "1:1 0644" if caps("CHOWN") <= given else "0:0 0644"),))

    known = proposal(f"SETUID CHOWN {others}")
    proven = Fake(_any_of, observe).prove(known)
    concluded = conclude(known, proven)
    assert (proven.floor, concluded.recommended) == (caps("SETUID CHOWN"),) * 2
    once = [trial for trial in proven.trials if not trial.repeat]
    assert len(once) <= 3 + 2 * len(known.recommended)


def test_what_another_one_makes_needless_is_not_recommended() -> None:
    """Without DAC_OVERRIDE alone something differs, and without FOWNER too, but not where the
    other is there."""

    def observe(given: CapSet) -> Observed:
        good = bool(caps("FOWNER FSETID") & given) and caps("CHOWN") <= given
        return Observed(0, files=(("data", "1:1 0644" if good else "0:0 0644"),))

    known = proposal("SETUID CHOWN FOWNER FSETID")
    concluded = conclude(known, Fake(needing("SETUID"), observe).prove(known))
    assert concluded.recommended == caps("SETUID CHOWN FSETID")


@pytest.mark.parametrize("verdict", [Verdict.UNUSED, Verdict.ADVISORY])
def test_what_trials_passed_without_is_not_uncertain_any_more(verdict: Verdict) -> None:
    """io_uring was used, and its workers were not seen: the trials had them, too."""
    unseen = Need(Cap(10), verdict, Proof.NONE, "not checked", uncertain="io_uring")
    known = Proposal((*proposal("CHOWN").needs, unseen), caps("CHOWN"))
    after = conclude(known, Fake(needing("CHOWN")).prove(known))
    assert after.need(Cap(10)).uncertain is None
    assert known.need(Cap(10)).uncertain == "io_uring"


@pytest.mark.parametrize(("leaves_nothing", "doubt"), [(False, WHILE_STOPPED), (True, None)])
def test_what_outlasts_a_stop_not_all_trials_tell(leaves_nothing: bool, doubt: str | None) -> None:
    stopping = Need(Cap(5), Verdict.ADVISORY, Proof.NONE, "kill", uncertain=WHILE_STOPPED)
    known = Proposal((*proposal("CHOWN").needs, stopping), caps("CHOWN"))
    proven = Fake(needing("CHOWN")).prove(known)
    after = conclude(known, replace(proven, leaves_nothing=leaves_nothing))
    assert after.need(Cap(5)).uncertain == doubt


def test_a_need_that_was_found_by_trial_keeps_what_its_checks_say() -> None:
    """Never that no check tells what it is for, above the very check."""
    judged = Judged(BIND, None, Effect.DENIED, "opening a file")
    refused = Need(Cap(0), Verdict.DENIED, Proof.NONE, "giving a file away", evidence=(judged,))
    known = Proposal((refused,), frozenset())
    after = conclude(known, Fake(needing("CHOWN")).prove(known))
    assert after.need(Cap(0)).reason == "found by trial: giving a file away"


@pytest.mark.parametrize(
    ("why", "failed_at", "told"),
    [
        ("exited with 1 before the check passed: find: './a': Permission denied", "start", "find"),
        ("timed out before the check passed: no answer", "start", "healthcheck"),
        ("its engine found it unhealthy: mariadb: cannot read", "start", "mariadb"),
        ("exited with 1 before the check passed", "restart", "find"),
        ("exited with 1 before the check passed", "start", "mariadbd"),
    ],
)
def test_what_made_the_trial_fail_is_told_first(why: str, failed_at: str, told: str) -> None:
    """Not what used it most, or first: mariadbd did, which is not what failed."""
    cap = Cap.parse("DAC_OVERRIDE")
    used = [
        ("mariadbd", Phase.RUN, 1),
        ("healthcheck", Phase.HEALTHCHECK, 1),
        ("mariadb", Phase.HEALTHCHECK, 1),
        ("find", Phase.RUN, 2),
    ]
    evidence = tuple(
        Judged(
            check("DAC_OVERRIDE", "generic_permission", "openat", program=program, phase=phase),
            *(None, Effect.USED, "r"),
            start=start,
        )
        for program, phase, start in used
    )
    need = Need(cap, Verdict.USED, Proof.CALL_SITE, "r", evidence=evidence)
    trial = Trial(frozenset(), False, 0.1, cap, differences=(why,), failed_at=failed_at)
    after = conclude(Proposal((need,), frozenset({cap})), Proven("c", (trial,), frozenset({cap})))
    assert after.need(cap).evidence[0].check.program == told
    assert set(after.need(cap).evidence) == set(evidence)


@dataclass
class AtTheFullMinute(Fake):
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
    assert proven.floor == caps("DAC_OVERRIDE SETUID")
    assert not proven.flaky


@dataclass
class Late(Fake):
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
    assert proven.floor == caps("SETUID")
    assert not proven.flaky
    assert conclude(known, proven).recommended == caps("SETUID")


def test_a_doubtful_need_is_given_all_its_time() -> None:
    need = Need(Cap(21), Verdict.USED, Proof.CALL_SITE, "r", uncertain="most programs go on")
    known = Proposal((need, *proposal("SETUID").needs), caps("SETUID") | {Cap(21)})
    fake = Late(needing("SETUID"), late=frozenset({(caps("SETUID"), 0)}))
    assert fake.prove(known).floor == caps("SETUID")


def test_what_should_pass_is_begun_before_what_should_fail() -> None:
    """A set with an alternative in it takes as long as two starts; it was begun when the removals
    had ended."""
    need = Need(Cap.parse("DAC_OVERRIDE"), Verdict.USED, Proof.CALL_SITE, "r")
    other = (Cap.parse("DAC_READ_SEARCH"),)
    known = proposal("CHOWN DAC_OVERRIDE")
    needs = tuple(
        replace(one, alternatives=(other,)) if one.cap == need.cap else one for one in known.needs
    )
    attempts = LikelyAttempts(replace(known, needs=needs), EVERYTHING, ORDER, changeable=False)
    sets = [*map(caps, ("", "CHOWN DAC_OVERRIDE", "CHOWN DAC_READ_SEARCH"))]
    removals = [*map(caps, ("CHOWN", "DAC_OVERRIDE"))]
    assert attempts.at_first() == [*map(Attempt, [*sets, *removals, EVERYTHING])]


def test_everything_is_not_begun_again_where_noise_is_known() -> None:
    """The proof waited for it in the end, to give it up."""
    number = iter(range(100))

    def observe(_: CapSet) -> Observed:
        return Observed(0, stderr=(f"{next(number)}",))

    told: list[Attempt] = []
    fake = Fake(needing("CHOWN SETUID"), observe)

    def ahead(attempts: Sequence[Attempt]) -> None:
        if EVERYTHING in fake.tried[1:]:
            told.extend(attempts)

    search(fake, proposal("CHOWN SETUID SYS_NICE"), ahead=ahead)
    assert fake.tried.count(EVERYTHING) == 2
    assert told
    assert Attempt(EVERYTHING) not in told


def test_what_a_trial_left_is_compared_once_as_long_as_no_noise_is_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands of files: each removal compared those of all trials again."""
    said: list[tuple[str, ...]] = []

    def compared(full: Observed, less: Observed, noise: Noise = SILENCE) -> list[str]:
        said.append(less.stderr)
        return compare(full, less, noise)

    monkeypatch.setattr(comparisons, "compare", compared)
    first, less = Observed(0), Observed(0, stderr=("it cannot",))
    known = Comparisons(first, lambda: Observed(0, stderr=("it cannot",)))
    trials = [Trial(caps("CHOWN"), True, 0.1)] * 2
    known.note(1, first, less)
    for _ in range(3):
        assert [trial.differences for trial in known.told(trials)] == [(), ("it says: it cannot",)]
    assert said == [("it cannot",)]
    assert known.lost(first, less) == []  # it says so with everything, too
    assert [trial.differences for trial in known.told(trials)] == [(), ()]


@pytest.mark.parametrize("isolation", ["command", "container", "none"])
def test_what_fails_with_everything_may_need_what_a_trial_shuts_out(isolation: str) -> None:
    """A client of another machine: nobody was told why it fails."""
    nothing = Proven(isolation, (Trial(EVERYTHING, False, 0.1),), None)
    said = " ".join(proof_lines(nothing))
    assert "the workload fails even with every capability" in said
    assert ("--no-isolate" in said) is (isolation == "command")
