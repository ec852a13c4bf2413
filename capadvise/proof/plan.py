"""Chooses the next trial. Pure: a callable runs the trials.

The order: everything (does it work at all?), none, the recommended set; then the removal of one
capability at a time, the most powerful first. If a set fails, the search adds the capabilities that
may be needed as far as the recording tells, then those that its trial was refused, then the
alternatives that the catalog names, and only then halves the rest: some needs never cause a check
that an observer could see.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from capadvise.judgement.decide import Proposal, Verdict
from capadvise.judgement.differences import Comparisons, Observed, effects, examples
from capadvise.judgement.proven import (
    Interrupted,
    NotProvable,
    Proven,
    Trial,
    TrialOutcome,
    conclude,
)
from capadvise.model.caps import Cap, CapSet
from capadvise.model.companion import Companion, Pairs
from capadvise.model.recording import Difference, SecondRun
from capadvise.model.wording import set_text
from capadvise.proof.attempts import Attempt, LikelyAttempts

Say = Callable[[Trial], None]
Ahead = Callable[[Sequence[Attempt]], None]
"""Gets the likely next trials, the likeliest first, to run them side by side."""
_MAY_COUNT = (Verdict.INCIDENTAL, Verdict.DENIED)
Risk = Callable[[Cap], int]
"""The power that a capability gives an attacker: more is worse."""


class RunTrial(Protocol):
    """Runs a trial."""

    def __call__(self, caps: CapSet, beside: tuple[Companion, ...] = ()) -> TrialOutcome:
        """``beside``: companions of the set."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The companions of a workload."""

    known: Pairs = ()
    find: Callable[[CapSet], Pairs] = lambda _: ()
    """Returns companions that only a trial shows, for members of this set."""
    written: Callable[[CapSet], tuple[Companion, ...]] = lambda _: ()
    """Returns the flags that files write beside this set."""


_NOTHING_BESIDE = Beside()


def fewest(recommended: CapSet) -> int:
    """The number of trials if the recommended set is minimal: everything, none, the set, the set
    without each member, and the set with the flags that files write beside it. It takes more if a
    member can go."""
    return 4 + len(recommended)


@dataclass(frozen=True, slots=True)
class SearchTask:
    """The input of a search."""

    proposal: Proposal
    everything: CapSet
    """All capabilities that the target can be given."""
    first: TrialOutcome
    """The outcome of the trial with everything."""
    isolation: str
    removal_order: Sequence[Cap]
    """The catalog's: the most powerful first."""
    risk: Risk = lambda _: 0
    untried: CapSet = frozenset()
    """Needed in the recording, but not used in the first trial."""


def prove(
    task: SearchTask,
    run_trial: RunTrial,
    *,
    say: Say = lambda _: None,
    ahead: Ahead = lambda _: None,
    beside: Beside = _NOTHING_BESIDE,
) -> Proven:
    """Find the minimal set. Raises NotProvable if the first trial failed."""
    if not task.first.passed:
        raise NotProvable(task.first)
    attempts = LikelyAttempts(task.proposal, task.everything, task.removal_order, beside.known)
    search = _Search(task, attempts, run_trial, say, ahead, beside)
    minimal: CapSet | None = None
    complete = True
    sound: bool | None = None
    try:
        minimal = search.minimal()
        if not search.flaky:
            search.regain(search.recommended(minimal))
            minimal = search.with_alternatives(minimal)
            minimal = search.with_what_is_kept(minimal, search.recommended(minimal) - task.untried)
            search.bring_back(search.recommended(minimal))
            search.try_companions(minimal)
            sound = search.in_its_time(search.recommended(minimal))
            for caps in dict.fromkeys((search.recommended(minimal), minimal)):
                search.try_written(caps)
    except Interrupted:
        complete, minimal = False, search.best
    if search.flaky:
        minimal = None
    return Proven(
        task.isolation,
        search.without_noise(),
        minimal,
        search.flaky,
        sound,
        complete,
        task.untried,
        search.cautions(minimal),
        logs=search.logs,
        compared=search.comparisons.compared(task.isolation),
    )


def settle(
    task: SearchTask, refused: CapSet, run_trial: RunTrial, *, say: Say = lambda _: None
) -> SecondRun:
    """Run the workload with the recommended set, without the capabilities in doubt: ``refused``,
    and others that the trial with everything did not use. If that makes a difference, find out by
    which of them, or else by which of those that were checked and seemed incidental."""
    attempts = LikelyAttempts(task.proposal, task.everything, task.removal_order)
    search = _Search(task, attempts, run_trial, say, lambda _: None, _NOTHING_BESIDE)
    return search.settle(refused)


@dataclass
class _Search:
    """The trials of one workload. Each set is tried once, except for repeats that settle a
    doubt."""

    task: SearchTask
    attempts: LikelyAttempts
    run_trial: RunTrial
    say: Say
    ahead: Ahead
    beside: Beside
    trials: list[Trial] = field(default_factory=list)
    outcomes: dict[CapSet, TrialOutcome] = field(default_factory=dict)
    flaky: bool = False
    forgotten: int = 0
    """The number of times that late trials were forgotten."""
    logs: tuple[str, ...] = ()
    """The output of the two trials that did not agree."""
    at_chance: CapSet = frozenset()
    """Capabilities that only some of the trials with everything used."""
    best: CapSet | None = None
    start: CapSet = frozenset()
    """The set from which capabilities are removed: it passes, and loses least."""

    def __post_init__(self) -> None:
        self.comparisons = Comparisons(self.task.first.observed, self._everything_again)
        self.outcomes[self.task.everything] = self.task.first
        self.best = self.task.everything
        self._note(self.task.everything, self.task.first)

    def _note(
        self,
        caps: CapSet,
        outcome: TrialOutcome,
        without: Cap | None = None,
        *,
        repeat: bool = False,
        instead: tuple[str, ...] = (),
        larger: CapSet | None = None,
    ) -> None:
        # A removal is compared with the set that it was made from, and flags with the set alone:
        # earlier losses have other causes.
        whole = None
        if without is not None or instead:
            made_from = caps if without is None else caps | {without}
            whole = self.outcomes.get(made_from if larger is None else larger)
        base = whole.observed if whole is not None and whole.passed else self.task.first.observed
        lost = [outcome.why]
        if outcome.passed:
            lost = self.comparisons.lost(base, outcome.observed)
            self.comparisons.note(len(self.trials), base, outcome.observed)
        failed_at = outcome.failed_at
        trial = Trial(
            *(caps, outcome.passed, outcome.seconds, without, repeat, tuple(lost)),
            failed_at,
            instead,
        )
        self.trials.append(trial)
        if outcome.passed and self.best is not None and len(caps) < len(self.best):
            self.best = caps
        self.say(trial)

    def without_noise(self) -> tuple[Trial, ...]:
        """The trials so far, without the differences that are known to be noise."""
        return tuple(
            trial
            if (lost := self.comparisons.of_trial(number)) is None
            else replace(trial, differences=lost)
            for number, trial in enumerate(self.trials)
        )

    def recommended(self, minimal: CapSet) -> CapSet:
        interim = Proven("", self.without_noise(), minimal, untried=self.task.untried)
        return conclude(self.task.proposal, interim).recommended

    def _everything_again(self) -> Observed | None:
        again = self.run_trial(self.task.everything)
        self._note(self.task.everything, again, repeat=True)
        if again.used is not None and self.task.first.used is not None:
            self.at_chance |= self.task.first.used ^ again.used
        return again.observed if again.passed else None

    def with_what_is_kept(self, minimal: CapSet, recommended: CapSet) -> CapSet:
        """The minimal set, with members replaced by capabilities that are recommended anyway. It
        also tries if recommended capabilities make each other unnecessary."""
        minimal = self._shared(minimal, recommended - minimal)
        self._try_without_spare(minimal, recommended - minimal)
        return minimal

    def _shared(self, minimal: CapSet, kept: CapSet) -> CapSet:
        """Only a capability that was removed before a member was tried can replace the member:
        otherwise the member would have gone."""
        whole = minimal | kept
        order = self.attempts.by_power(whole)
        for at, cap in enumerate(order):
            others = [one for one in order[:at] if one in kept]
            for other in sorted(others, key=lambda one: (self.task.risk(one), one)):
                caps = minimal - {cap} | {other}
                passes = cap in minimal and self._passes_in_budget(caps, cap, (other.short,))
                if passes and self._as_good(whole - {cap}, whole):
                    return self._shared(self._smallest(caps, other), kept - {other})
        return minimal

    def _smallest(self, caps: CapSet, new: Cap) -> CapSet:
        """Remove the members that the new one makes unnecessary."""
        for cap in self.attempts.by_power(caps - {new}):
            if self._passes_in_budget(caps - {cap}, cap, ()):
                caps = caps - {cap}
        return caps

    def _try_without_spare(self, minimal: CapSet, kept: CapSet) -> None:
        """Try each kept capability for which nothing is lost while all the others are there: the
        proof then shows that these replace it."""
        for cap in self.attempts.by_power(kept):
            less = (minimal | kept) - {cap}
            if len(kept) < 2:
                break
            instead = tuple(one.short for one in sorted(less))
            if self._passes_in_budget(less, cap, instead) and self._as_good(less, minimal | kept):
                kept = kept - {cap}

    def _passes_in_budget(self, caps: CapSet, without: Cap, instead: tuple[str, ...]) -> bool:
        """The same as ``passes``, after the minimal set is known; false after enough trials."""
        if caps in self.outcomes:
            passed = self.outcomes[caps].passed
            return passed and (not instead or self._again(caps, without, instead))
        return self._tries() < 3 + 2 * len(self.start) and self.passes(caps, without, instead)

    def _tries(self) -> int:
        return sum(not trial.repeat for trial in self.trials)

    def passes(
        self, caps: CapSet, without: Cap | None = None, instead: tuple[str, ...] = ()
    ) -> bool:
        """Run the trial of a set, once."""
        if caps not in self.outcomes:
            outcome = self.outcomes[caps] = self.run_trial(caps)
            self._note(caps, outcome, without, instead=instead)
        return self.outcomes[caps].passed

    def surely(self, caps: CapSet, *, expected: bool, without: Cap | None = None) -> bool:
        """The same as ``passes``; a result that contradicts the evidence must come twice."""
        passed = self.passes(caps, without)
        return passed if passed == expected else self._again(caps, without)

    def in_its_time(self, caps: CapSet, without: Cap | None = None) -> bool:
        """The same as ``passes``, for a set that probably works: a trial that was late gets all
        the time that the workload allows. A program that waits for a point in time, as cron does
        for the next minute, takes longer in one trial than in another."""
        passed = self.passes(caps, without)
        return self._again(caps, without) if self.outcomes[caps].late else passed

    def _forget_late(self) -> None:
        """A late set has passed with more time, so other late trials tell nothing about their
        sets."""
        self.forgotten += 1
        late = {caps for caps, outcome in self.outcomes.items() if outcome.late}
        self.outcomes = {tried: self.outcomes[tried] for tried in self.outcomes.keys() - late}
        self.trials = [
            replace(trial, without=None) if trial.caps in late and not trial.passed else trial
            for trial in self.trials
        ]

    def _again(self, caps: CapSet, without: Cap | None, instead: tuple[str, ...] = ()) -> bool:
        """Repeat the trial of a set. One that was late has more time then."""
        before, again = self.outcomes[caps], self.run_trial(caps)
        self._note(caps, again, without, repeat=True, instead=instead)
        if before.passed and again.late:
            before, again = again, self.run_trial(caps)
            self._note(caps, again, without, repeat=True, instead=instead)
        if again.passed and before.passed:
            self.comparisons.equal(before.observed, again.observed)
        elif again.passed and before.late:
            self._forget_late()
        elif again.passed != before.passed:
            self.flaky = True
            self.logs = (before.output, again.output)
        self.outcomes[caps] = again  # the repeat is observed; the first trial need not have been
        return again.passed

    def minimal(self) -> CapSet:
        """Find a set that passes, and fails without any one member."""
        recommended = self.start = self.attempts.recommended
        self._announce(self.attempts.at_first())
        if self.surely(frozenset(), expected=not recommended):
            return frozenset()
        caps = self.start = self._repair(recommended)
        known: tuple[CapSet, int] | None = None
        # A removal that failed from a larger set can pass now: a program that cannot become
        # another user need not hand over its files. Sets are tried once.
        while (caps, self.forgotten) != known and not self.flaky:
            known = caps, self.forgotten
            order = self.attempts.by_power(caps)
            for number, cap in enumerate(order):
                self._announce(self._removals(caps, order, number))
                less = caps - {cap}
                doubtful = self.task.proposal.need(cap).uncertain is not None
                if (self.in_its_time if doubtful else self.passes)(less, cap):
                    # It will probably pass again: the next trials begin beside the repeat.
                    self._announce([Attempt(less), *self._removals(less, order, number + 1)], less)
                    if self._again(less, cap):
                        caps = less
                if self.flaky:
                    break
        return caps

    def settle(self, refused: CapSet) -> SecondRun:
        """Find the capabilities without which something differs."""
        least = self.attempts.recommended - self.task.proposal.in_doubt
        lost = self._lost_with(least)
        if lost:
            self._again(least, None)
            lost = self._lost_with(least)
        differed = [Difference(None, tuple(lost))] * bool(lost or self.flaky)
        needed = frozenset[Cap]() if not differed else None
        for more in (refused, refused | self._incidental()) if lost else ():
            if more and needed is None and not self._lost_with(least | more):
                needed, refused = more, more
                for cap in self.attempts.by_power(more):
                    if lost := self._lost_with(least | needed - {cap}, cap):
                        differed.append(Difference(cap, tuple(lost)))
                    else:
                        needed = needed - {cap}
        compared = self.comparisons.compared(self.task.isolation)
        if needed is None or self.flaky:
            return SecondRun(False, refused, differed=tuple(differed), compared=compared)
        return SecondRun(True, refused, needed, differed=tuple(differed), compared=compared)

    def _incidental(self) -> CapSet:
        """Capabilities that were granted, and whose checks seemed to be incidental."""
        return self.task.everything & {
            need.cap
            for need in self.task.proposal.needs
            if need.verdict is Verdict.INCIDENTAL
            and any(item.check.granted for item in need.evidence)
        }

    def _lost_with(self, caps: CapSet, without: Cap | None = None) -> list[str]:
        """The differences to the trial with everything."""
        if not self.passes(caps, without):
            return [self.outcomes[caps].why]
        return self.comparisons.lost(self.task.first.observed, self.outcomes[caps].observed)

    def _removals(self, caps: CapSet, order: Sequence[Cap], at: int) -> list[Attempt]:
        """The next removals: the remaining members, then the others again if one has gone; and the
        set that is tried in the end, with the removed capabilities that are worth keeping."""
        again = [cap for cap in order[:at] if cap in caps] if len(caps) < len(order) else []
        removals = self.attempts.removals(caps, [*order[at:], *again])
        last = self.recommended(caps) if (gone := caps < self.start) else caps
        flags = self.beside.written(last)
        with_flags = [Attempt(last, flags)] if flags else []
        return [*removals, *([Attempt(last)] if gone else ()), *with_flags]

    def _announce(self, attempts: Sequence[Attempt], again: CapSet | None = None) -> None:
        """``again``: a set that is tried a second time."""
        known = self.outcomes.keys() - {again}
        if not self.comparisons.know_noise:
            known -= {self.task.everything}
        wanted = [one for one in attempts if one.beside or one.caps not in known]
        self.ahead(list(dict.fromkeys(wanted)))

    def with_alternatives(self, minimal: CapSet) -> CapSet:
        """The minimal set, with less risky alternatives in place of members if these pass, too.
        Each alternative is tried, as far as the budget goes."""
        most = 3 + 2 * len(self.task.proposal.recommended)
        for cap, group, _ in list(self.attempts.others(minimal)):
            if cap not in minimal or frozenset(group) & minimal:
                continue  # an alternative has replaced it
            if self._tries() >= most:
                break
            caps = minimal - {cap} | frozenset(group)
            passed = self.passes(caps, without=cap, instead=tuple(one.short for one in group))
            if passed and max(map(self.task.risk, group)) < self.task.risk(cap):
                minimal = caps
        return minimal

    def try_companions(self, minimal: CapSet) -> None:
        """Try the minimal set without the members that a companion may replace, with that."""
        for caps, companion in (*self.beside.known, *self.beside.find(minimal)):
            if replaced := sorted(caps & minimal):
                less = minimal - caps
                outcome = self.run_trial(less, (companion,))
                instead = (companion.words,)
                self._note(less, outcome, replaced[0], instead=instead, larger=minimal)

    def try_written(self, caps: CapSet) -> None:
        """Try a set with all the flags that files write beside it. If it fails or loses something,
        try them one by one, and keep those with which it does neither."""
        flags = self.beside.written(caps)
        if not flags or not self.passes(caps) or self._holds(caps, flags) or len(flags) == 1:
            return
        kept: tuple[Companion, ...] = ()
        for flag in flags:
            if (*kept, flag) != flags and self._holds(caps, (*kept, flag)):
                kept = (*kept, flag)

    def _holds(self, caps: CapSet, flags: tuple[Companion, ...]) -> bool:
        """True if the set loses nothing with these flags."""
        words = tuple(flag.words for flag in flags)
        outcome = self.run_trial(caps, flags)
        self._note(caps, outcome, instead=words)
        if outcome.late:  # the second time, it has all the time that the workload allows
            outcome = self.run_trial(caps, flags)
            self._note(caps, outcome, repeat=True, instead=words)
        return outcome.passed and not self.without_noise()[-1].differences

    def bring_back(self, chosen: CapSet) -> None:
        """If the recommended set loses an effect compared with everything, find out by which of the
        capabilities that were checked, and that no evidence shows to be needed."""
        lost = self._surely_lost(chosen)
        if not lost:
            return
        needs = self.task.proposal.needs
        checked = frozenset(need.cap for need in needs if need.verdict in _MAY_COUNT)
        whole = chosen | (checked & self.task.everything)
        if whole == chosen or not self.passes(whole):
            return
        if len(self._effects_lost(whole)) < len(lost):  # it may come back by chance
            self._again(whole, None)
        least = len(self._effects_lost(whole))
        if not self.passes(whole) or least >= len(self._effects_lost(chosen)):
            return
        for cap in self.attempts.by_power(whole - chosen):
            if self.passes(whole - {cap}) and len(self._effects_lost(whole - {cap})) <= least:
                whole = whole - {cap}
        for cap in self.attempts.by_power(whole - chosen):
            if self.passes(chosen | {cap}):
                self._again(chosen, cap)

    def _surely_lost(self, chosen: CapSet) -> list[str]:
        """The effects that this set loses, in two trials: one alone may lose them by chance."""
        if not (self.passes(chosen) and self._effects_lost(chosen)):
            return []
        if sum(trial.caps == chosen for trial in self.trials) == 1:
            self._again(chosen, None)
        return self._effects_lost(chosen) if self.passes(chosen) else []

    def _effects_lost(self, caps: CapSet) -> list[str]:
        first = self.task.first.observed
        return effects(self.comparisons.lost(first, self.outcomes[caps].observed))

    def cautions(self, minimal: CapSet | None) -> tuple[str, ...]:
        if minimal is None:
            return ()
        cautions = []
        chosen = self.recommended(minimal)
        at_chance = self.at_chance - chosen
        if at_chance:
            cautions.append(
                "of several trials with every capability, only some used "
                f"{set_text(at_chance)}: a loss without it can have been taken for chance"
            )
        outcome = self.outcomes.get(chosen)
        if outcome is not None and outcome.passed:
            lost = self.comparisons.known_lost(self.task.first.observed, outcome.observed)
            if lost:
                cautions.append(f"compared with every capability, it loses: {examples(lost)}")
        if stopped := self.task.first.observed.stopped:
            cautions.append(f"the comparison of the changed files stopped {stopped}")
        return tuple(cautions)

    def regain(self, chosen: CapSet) -> None:
        """If the recommended set fails, or loses something compared with the first one, find out by
        which of the capabilities that it leaves out. The trials of the minimal set do not show what
        two removals lose: without one capability the program may never use the other."""
        caps = self.start
        if not caps - chosen or not self.passes(caps):
            return
        if self.in_its_time(chosen) and self._as_good(chosen, caps):
            return
        removals = {(trial.caps, trial.without) for trial in self.trials}
        for cap in self.attempts.by_power(caps - chosen):
            less = caps - {cap}
            if (
                less in self.outcomes and (less, cap) not in removals
            ):  # that trial was about another capability
                self._again(less, cap)
            if self.passes(less, without=cap) and self._as_good(less, caps):
                caps = less

    def _as_good(self, less: CapSet, caps: CapSet) -> bool:
        return (
            self.passes(caps)
            and self.passes(less)
            and not self.comparisons.lost(
                self.outcomes[caps].observed, self.outcomes[less].observed
            )
        )

    def _repair(self, caps: CapSet) -> CapSet:
        """Find a set that passes, from one that should."""
        if caps and self.surely(caps, expected=True):
            return caps
        own = self.task.first.kept & self.task.everything
        for grown in _grown(caps, self._refused, own, self.task.everything, self.task.proposal):
            if self.in_its_time(grown):
                return grown
            caps = grown
        rest = self.attempts.by_power(self.task.everything - caps)[::-1]
        return caps | _halved(self.in_its_time, caps, rest)

    def _refused(self, caps: CapSet) -> CapSet:
        return self.outcomes[caps].refused & self.task.everything


def _grown(
    caps: CapSet,
    refused: Callable[[CapSet], CapSet],
    own: CapSet,
    everything: CapSet,
    proposal: Proposal,
) -> Iterator[CapSet]:
    """Enlarge the set by the capabilities that may be needed as far as the recording tells, then by
    those that its own trials were refused, then by those that programs keep for themselves
    (``own``), then by the alternatives of its members."""
    doubtful = frozenset(doubt.cap for doubt in proposal.doubts if doubt.cap in everything)
    if not doubtful <= caps:
        caps = caps | doubtful
        yield caps
    for _ in range(3):
        missing = refused(caps)
        if missing <= caps:
            break
        caps = caps | missing
        yield caps
    if own != everything and not own <= caps:
        caps = caps | own
        yield caps
    alternatives = frozenset(
        cap
        for need in proposal.needs
        if need.cap in caps
        for group in need.alternatives
        for cap in group
    )
    if not alternatives & everything <= caps:
        yield caps | (alternatives & everything)


def _halved(passes: Callable[[CapSet], bool], base: CapSet, candidates: Sequence[Cap]) -> CapSet:
    """Find the candidates that must be added to ``base``; all of them together are enough."""
    if len(candidates) <= 1:
        return frozenset(candidates)
    middle = len(candidates) // 2
    left, right = frozenset(candidates[:middle]), frozenset(candidates[middle:])
    if passes(base | left):
        return _halved(passes, base, candidates[:middle])
    if passes(base | right):
        return _halved(passes, base, candidates[middle:])
    of_left = _halved(passes, base | right, candidates[:middle])
    if passes(base | of_left):
        return of_left
    return of_left | _halved(passes, base | of_left, candidates[middle:])
