"""What a proof says of each need, and what it recommends beside the floor: what is lost without it,
and what differs by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from capadvise.judgement import differences
from capadvise.judgement.decide import Need, Proof, Proposal, Verdict, decide_all
from capadvise.judgement.differences import SILENCE, Comparisons, Noise, Observed, compare
from capadvise.judgement.judge import UNKNOWN_SITE, WHILE_STOPPED, Effect, Judged
from capadvise.judgement.proven import Proven, Trial, conclude
from capadvise.model.caps import Cap, CapSet, Credentials
from capadvise.model.recording import Phase
from capadvise.report.words import proof_lines
from tests.support import recordings
from tests.support.known_needs import EVERYTHING, KnownWorkload, caps, needing, proposal
from tests.support.recordings import BIND, check


def test_an_unknown_check_that_a_trial_did_without_is_not_recommended() -> None:
    """sysctl -a on a kernel that the catalog does not know: two keys are missing, and nobody asked
    for them."""
    need = Need(Cap(21), Verdict.NEEDED, Proof.NONE, "r", uncertain=UNKNOWN_SITE)
    known = Proposal((need,), frozenset({Cap(21)}))
    trials = (Trial(frozenset(), True, 0.1, without=Cap(21), differences=("stderr differs",)),)
    proven = Proven("command", trials, frozenset())
    assert conclude(known, proven).recommended == frozenset()
    sure = replace(need, uncertain=None)
    assert conclude(replace(known, needs=(sure,)), proven).recommended == {Cap(21)}


def test_what_is_kept_beside_an_empty_floor_is_tried_as_a_whole() -> None:
    """httpd drops its rights with SETGID and SETUID, and starts with neither."""
    for lossy in ("", "SETGID", "SETGID SETUID"):
        lost = caps(lossy)

        def observe(given: CapSet, lost: CapSet = lost) -> Observed:
            return Observed(0, stderr=tuple(cap.short for cap in sorted(lost - given)))

        known = proposal("SETGID SETUID", self_restricting="SETGID SETUID")
        proven = KnownWorkload(lambda _: True, observe).prove(known)
        assert proven.minimal == frozenset()
        after = conclude(known, proven)
        assert after.recommended >= lost
        for cap in lost:  # the trial of the other one alone has shown it
            assert f'"{cap.short}"' in (after.need(cap).lost_without or ""), lossy


def test_tolerated_with_a_loss_is_kept_and_without_one_is_not() -> None:
    def observe(given: CapSet) -> Observed:
        said = () if caps("SYS_NICE") <= given else ("cannot set niceness",)
        return Observed(0, stderr=said)

    known = proposal("CHOWN SYS_NICE FOWNER")
    proven = KnownWorkload(needing("CHOWN"), observe).prove(known)
    after = conclude(known, proven)
    assert after.minimal == caps("CHOWN")
    assert after.recommended == caps("CHOWN SYS_NICE")
    assert after.need(Cap.parse("SYS_NICE")).lost_without == 'new message: "cannot set niceness"'
    assert after.need(Cap.parse("FOWNER")).verdict is Verdict.OPTIONAL
    assert after.need(Cap.parse("FOWNER")).lost_without is None
    assert after.need(Cap.parse("CHOWN")).verdict is Verdict.REQUIRED


def test_what_no_trial_came_to_is_kept() -> None:
    known = proposal("CHOWN KILL")
    proven = KnownWorkload(needing("CHOWN")).prove(known)
    after = conclude(known, replace(proven, untried=caps("KILL")))
    assert after.minimal == caps("CHOWN")
    assert after.recommended == caps("CHOWN KILL")
    assert "no trial reached" in (after.need(Cap.parse("KILL")).lost_without or "")


def test_when_something_is_used_that_no_trial_came_to_is_not_known() -> None:
    """A request that somebody made by hand came after a first start, and not only there."""
    first = recordings.recording(recordings.CHOWN)
    later = replace(recordings.recording(), start=2)
    known = decide_all((first, later), recordings.CATALOG)
    assert known.need(Cap.parse("CHOWN")).only == "only at the first start"
    proven = KnownWorkload(needing("")).prove(known)
    after = conclude(known, replace(proven, untried=caps("CHOWN")))
    assert after.need(Cap.parse("CHOWN")).only is None


def test_what_nothing_requires_can_still_be_lost() -> None:
    def observe(given: CapSet) -> Observed:
        return Observed(0, files=(("f", "0:0 2755" if caps("FSETID") <= given else "0:0 0755"),))

    known = proposal("CHOWN FSETID")
    after = conclude(known, KnownWorkload(lambda _: True, observe).prove(known))
    assert after.minimal == frozenset()
    assert after.recommended == caps("FSETID")


def test_giving_up_rights_is_kept_whatever_a_check_says() -> None:
    known = proposal("SETUID NET_BIND_SERVICE", self_restricting="SETUID")
    after = conclude(known, KnownWorkload(needing("NET_BIND_SERVICE")).prove(known))
    assert after.recommended == caps("SETUID NET_BIND_SERVICE")
    assert after.minimal == caps("NET_BIND_SERVICE")


def test_differences_are_sentences() -> None:
    full = Observed(
        0, ("ok",), (("a", "0:0 2755"), ("b", "1:1 0644")), (Credentials("nginx", "33", "33"),)
    )
    less = Observed(1, ("ok", "no luck"), (("a", "0:0 0755"),), (Credentials("nginx", "0", "0"),))
    assert compare(full, less) == [
        "it exits with 1 instead of 0",
        'new message: "no luck"',
        "a is 0:0 0755 instead of 0:0 2755",
        "b is missing instead of 1:1 0644",
        "nginx runs as 0:0",
    ]
    assert compare(full, full) == []


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
    proven = KnownWorkload(needing(needed), observe).prove(known)
    assert proven.minimal == caps(needed)
    assert conclude(known, proven).recommended == caps(f"{recommended} {needed}")
    once = [trial for trial in proven.trials if not trial.repeat]
    assert len(once) <= 3 + 2 * len(known.recommended)


def test_what_differs_by_itself_is_not_recommended() -> None:
    """A name that is another each time: of the 311 lines of one report, nothing was a loss."""
    number = iter(range(100))

    def observe(_: CapSet) -> Observed:
        return Observed(0, files=((f"run/x.{next(number) * 7919:08}.tmp", "0:0 0644"),))

    known = proposal("CHOWN FOWNER")
    proven = KnownWorkload(needing("CHOWN"), observe).prove(known)
    concluded = conclude(known, proven)
    assert concluded.recommended == proven.minimal == caps("CHOWN")
    assert not any(trial.differences for trial in proven.trials if trial.passed)


def test_what_is_lost_is_still_seen_beside_noise() -> None:
    number = iter(range(100))

    def observe(given: CapSet) -> Observed:
        owner = "1:1 0644" if caps("FOWNER") <= given else "0:0 0644"
        files = ((f"run/x.{next(number) * 7919:08}.tmp", "0:0 0644"), ("data", owner))
        return Observed(0, files=files)

    known = proposal("CHOWN FOWNER")
    concluded = conclude(known, KnownWorkload(needing("CHOWN"), observe).prove(known))
    assert concluded.recommended == caps("CHOWN FOWNER")
    assert (
        concluded.need(Cap.parse("FOWNER")).lost_without == "data is 0:0 0644 instead of 1:1 0644"
    )


def test_what_another_one_makes_needless_is_not_recommended() -> None:
    """Without DAC_OVERRIDE alone something differs, and without FOWNER too, but not where the
    other is there."""

    def observe(given: CapSet) -> Observed:
        good = bool(caps("FOWNER FSETID") & given) and caps("CHOWN") <= given
        return Observed(0, files=(("data", "1:1 0644" if good else "0:0 0644"),))

    known = proposal("SETUID CHOWN FOWNER FSETID")
    concluded = conclude(known, KnownWorkload(needing("SETUID"), observe).prove(known))
    assert concluded.recommended == caps("SETUID CHOWN FSETID")


@pytest.mark.parametrize("verdict", [Verdict.NOT_CHECKED, Verdict.INCIDENTAL])
def test_what_trials_passed_without_is_not_uncertain_any_more(verdict: Verdict) -> None:
    """io_uring was used, and its workers were not seen: the trials had them, too."""
    unseen = Need(Cap(10), verdict, Proof.NONE, "not checked", uncertain="io_uring")
    known = Proposal((*proposal("CHOWN").needs, unseen), caps("CHOWN"))
    after = conclude(known, KnownWorkload(needing("CHOWN")).prove(known))
    assert after.need(Cap(10)).uncertain is None
    assert known.need(Cap(10)).uncertain == "io_uring"


@pytest.mark.parametrize(("leaves_nothing", "doubt"), [(False, WHILE_STOPPED), (True, None)])
def test_what_outlasts_a_stop_not_all_trials_tell(leaves_nothing: bool, doubt: str | None) -> None:
    stopping = Need(Cap(5), Verdict.INCIDENTAL, Proof.NONE, "kill", uncertain=WHILE_STOPPED)
    known = Proposal((*proposal("CHOWN").needs, stopping), caps("CHOWN"))
    proven = KnownWorkload(needing("CHOWN")).prove(known)
    after = conclude(known, replace(proven, leaves_nothing=leaves_nothing))
    assert after.need(Cap(5)).uncertain == doubt


def test_a_need_that_was_found_by_trial_keeps_what_its_checks_say() -> None:
    """Never that no check tells what it is for, above the very check."""
    judged = Judged(BIND, None, Effect.DENIED, "opening a file")
    refused = Need(Cap(0), Verdict.DENIED, Proof.NONE, "giving a file away", evidence=(judged,))
    known = Proposal((refused,), frozenset())
    after = conclude(known, KnownWorkload(needing("CHOWN")).prove(known))
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
            *(None, Effect.NEEDED, "r"),
            start=start,
        )
        for program, phase, start in used
    )
    need = Need(cap, Verdict.NEEDED, Proof.CALL_SITE, "r", evidence=evidence)
    trial = Trial(frozenset(), False, 0.1, cap, differences=(why,), failed_at=failed_at)
    after = conclude(Proposal((need,), frozenset({cap})), Proven("c", (trial,), frozenset({cap})))
    assert after.need(cap).evidence[0].check.program == told
    assert set(after.need(cap).evidence) == set(evidence)


def test_what_a_trial_left_is_compared_once_as_long_as_no_noise_is_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands of files: each removal compared those of all trials again."""
    said: list[tuple[str, ...]] = []

    def compared(full: Observed, less: Observed, noise: Noise = SILENCE) -> list[str]:
        said.append(less.stderr)
        return compare(full, less, noise)

    monkeypatch.setattr(differences, "compare", compared)
    first, less = Observed(0), Observed(0, stderr=("it cannot",))
    known = Comparisons(first, lambda: Observed(0, stderr=("it cannot",)))
    known.note(1, first, less)
    for _ in range(3):
        assert [known.of_trial(0), known.of_trial(1)] == [None, ('new message: "it cannot"',)]
    assert said == [("it cannot",)]
    assert known.lost(first, less) == []  # it says so with everything, too
    assert known.of_trial(1) == ()


@pytest.mark.parametrize("isolation", ["command", "container", "none"])
def test_what_fails_with_everything_may_need_what_a_trial_shuts_out(isolation: str) -> None:
    """A client of another machine: nobody was told why it fails."""
    nothing = Proven(isolation, (Trial(EVERYTHING, False, 0.1),), None)
    said = " ".join(proof_lines(nothing))
    assert "the workload fails even with every capability" in said
    assert ("--no-isolate" in said) is (isolation == "command")


def test_what_is_kept_anyway_is_no_alternative_that_failed() -> None:
    """It is tried in the place of each member, and told only where it is enough."""
    cap, other = Cap.parse("NET_BIND_SERVICE"), Cap.parse("CHOWN")
    need = Need(cap, Verdict.NEEDED, Proof.CALL_SITE, "r")
    minimal = frozenset({cap})

    def tried(need: Need, *instead: str) -> tuple[tuple[str, bool], ...]:
        trials = (Trial(frozenset(), False, 0.1, cap, instead=instead),)
        return conclude(Proposal((need,), minimal), Proven("c", trials, minimal)).need(cap).tried

    assert tried(need, "CHOWN") == ()
    assert tried(need, "ports=81") == (("ports=81", False),)
    assert tried(replace(need, alternatives=((other,),)), "CHOWN") == (("CHOWN", False),)
