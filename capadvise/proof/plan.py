"""Which trial to run next. Pure: the trials are run by a callable.

The way: everything (does it work at all?), nothing, the recommended set; then one away at a time,
the most powerful first. Where a set fails, what the trial itself was refused is added, then what
the catalog names as alternatives, and only then the rest is searched by halving: some needs never
pass through a check that an observer could see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from capadvise.judgement.decide import Proposal
from capadvise.judgement.differences import Comparisons, Observed
from capadvise.judgement.proven import Proven, Trial, conclude
from capadvise.judgement.trial_outcome import Interrupted, NotProvable, TrialOutcome
from capadvise.model.caps import Cap, CapSet
from capadvise.model.companion import Companion, Pairs
from capadvise.proof.attempts import Attempt, LikelyAttempts

RunTrial = Callable[[CapSet], TrialOutcome]
Say = Callable[[Trial], None]
Ahead = Callable[[Sequence[Attempt]], None]
"""Told what is likely to be tried next, the likeliest first, so that trials run side by side."""
Risk = Callable[[Cap], int]
"""How far a capability takes an attacker: more is worse."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What can stand beside the sets of a workload, and how that is tried."""

    known: Pairs
    find: Callable[[CapSet], Pairs]
    """What only a trial of its own tells, for members of this set."""
    run_trial: Callable[[CapSet, Companion], TrialOutcome]


def fewest(recommended: CapSet) -> int:
    """How many trials it takes where the recommended set is the floor: of everything, of nothing,
    of the set, and without each member. More, where one of them can go."""
    return 3 + len(recommended)


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
    beside: Beside | None = None,
) -> Proven:
    """Find the minimal set. Raises NotProvable if the first trial failed."""
    if not task.first.passed:
        raise NotProvable(task.first)
    known = beside.known if beside is not None else ()
    attempts = LikelyAttempts(task.proposal, task.everything, task.removal_order, known)
    search = _Search(task, attempts, run_trial, say, ahead)
    minimal: CapSet | None = None
    complete = True
    sound: bool | None = None
    try:
        minimal = search.minimal()
        if not search.flaky:
            search.regain(search.recommended(minimal))
            minimal = search.with_alternatives(minimal)
            minimal = search.with_what_is_kept(minimal, search.recommended(minimal) - task.untried)
            if beside is not None:
                search.try_companions(minimal, beside)
            sound = search.in_its_time(search.recommended(minimal))
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
        logs=search.logs,
    )


@dataclass
class _Search:
    """Trials of one workload, each set at most once, but for repeats that settle a doubt."""

    task: SearchTask
    attempts: LikelyAttempts
    run_trial: RunTrial
    say: Say
    ahead: Ahead
    trials: list[Trial] = field(default_factory=list)
    outcomes: dict[CapSet, TrialOutcome] = field(default_factory=dict)
    flaky: bool = False
    forgotten: int = 0
    """How often all that were late have been forgotten."""
    logs: tuple[str, ...] = ()
    """Of the two trials that did not agree."""
    best: CapSet | None = None
    start: CapSet = frozenset()
    """What the removals began with: it passes, and loses least."""

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
    ) -> None:
        # A removal is compared with the set that it was made from: what was lost before is not
        # this capability's doing.
        larger = self.outcomes.get(caps | {without}) if without is not None else None
        base = larger.observed if larger is not None and larger.passed else self.task.first.observed
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
        """The trials so far; what is known to be noise by now is no difference."""
        return tuple(
            trial
            if (lost := self.comparisons.of_trial(number)) is None
            else replace(trial, differences=lost)
            for number, trial in enumerate(self.trials)
        )

    def recommended(self, minimal: CapSet) -> CapSet:
        """What the trials so far recommend."""
        interim = Proven("", self.without_noise(), minimal, untried=self.task.untried)
        return conclude(self.task.proposal, interim).recommended

    def _everything_again(self) -> Observed | None:
        again = self.run_trial(self.task.everything)
        self._note(self.task.everything, again, repeat=True)
        return again.observed if again.passed else None

    def with_what_is_kept(self, minimal: CapSet, recommended: CapSet) -> CapSet:
        """The floor, where a member's part can be done by what is recommended anyway; and nothing
        is that another one makes needless."""

        def passes(caps: CapSet, without: Cap, instead: tuple[str, ...]) -> bool:
            if caps in self.outcomes:
                passed = self.outcomes[caps].passed
                return passed and (not instead or self._again(caps, without, instead))
            return self._tries() < most and self.passes(caps, without, instead)

        most = 3 + 2 * len(self.start)
        trials = Trials(passes, self._as_good, self.attempts.by_power, self.task.risk)
        minimal = _shared(trials, minimal, recommended - minimal)
        _without_spare(trials, minimal, recommended - minimal)
        return minimal

    def _tries(self) -> int:
        return sum(not trial.repeat for trial in self.trials)

    def passes(
        self, caps: CapSet, without: Cap | None = None, instead: tuple[str, ...] = ()
    ) -> bool:
        """The trial of a set, run once."""
        if caps not in self.outcomes:
            outcome = self.outcomes[caps] = self.run_trial(caps)
            self._note(caps, outcome, without, instead=instead)
        return self.outcomes[caps].passed

    def surely(self, caps: CapSet, *, expected: bool, without: Cap | None = None) -> bool:
        """As ``passes``; a result that contradicts the evidence must come twice."""
        passed = self.passes(caps, without)
        return passed if passed == expected else self._again(caps, without)

    def in_its_time(self, caps: CapSet, without: Cap | None = None) -> bool:
        """As ``passes``, for a set that may well work: one that was late is given all the time that
        the workload allows. What waits for a point in time, as cron does for the next minute, takes
        longer in one trial than in another."""
        passed = self.passes(caps, without)
        return self._again(caps, without) if self.outcomes[caps].late else passed

    def _forget_late(self) -> None:
        """One that was late has passed: those that were late tell nothing of their sets."""
        self.forgotten += 1
        late = {caps for caps, outcome in self.outcomes.items() if outcome.late}
        self.outcomes = {tried: self.outcomes[tried] for tried in self.outcomes.keys() - late}
        self.trials = [
            replace(trial, without=None) if trial.caps in late and not trial.passed else trial
            for trial in self.trials
        ]

    def _again(self, caps: CapSet, without: Cap | None, instead: tuple[str, ...] = ()) -> bool:
        """The trial of a set that was tried before, run once more. One that was late has more time
        then."""
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
        self.outcomes[caps] = again  # it is observed: the first one need not have been
        return again.passed

    def minimal(self) -> CapSet:
        """A set that passes, and fails without any one member."""
        recommended = self.start = self.attempts.recommended
        self._announce(self.attempts.at_first())
        if self.surely(frozenset(), expected=not recommended):
            return frozenset()
        caps = self.start = self._repair(recommended)
        known: tuple[CapSet, int] | None = None
        # What failed without a member of a larger set can pass without it now: a program that
        # cannot become another user need not hand over its files. Sets are tried once.
        while (caps, self.forgotten) != known and not self.flaky:
            known = caps, self.forgotten
            order = self.attempts.by_power(caps)
            for number, cap in enumerate(order):
                self._announce(self._removals(caps, order, number))
                less = caps - {cap}
                doubtful = self.task.proposal.need(cap).uncertain is not None
                if (self.in_its_time if doubtful else self.passes)(less, cap):
                    # Most likely it does again: what follows is begun beside that.
                    self._announce([Attempt(less), *self._removals(less, order, number + 1)], less)
                    if self._again(less, cap):
                        caps = less
                if self.flaky:
                    break
        return caps

    def _removals(self, caps: CapSet, order: Sequence[Cap], at: int) -> list[Attempt]:
        """What is taken away next: what comes yet, and where one has gone, the others again; and
        the set that is tried in the end, with what is worth keeping of what has gone."""
        again = [cap for cap in order[:at] if cap in caps] if len(caps) < len(order) else []
        removals = self.attempts.removals(caps, [*order[at:], *again])
        gone = caps < self.start
        return [*removals, *([Attempt(self.recommended(caps))] if gone else ())]

    def _announce(self, attempts: Sequence[Attempt], again: CapSet | None = None) -> None:
        """``again``: a set that is tried once more."""
        known = self.outcomes.keys() - {again}
        if not self.comparisons.know_noise:
            known -= {self.task.everything}
        wanted = [one for one in attempts if one.beside or one.caps not in known]
        self.ahead(list(dict.fromkeys(wanted)))

    def with_alternatives(self, minimal: CapSet) -> CapSet:
        """The floor, with what is less of a risk in the place of a member where that passes, too.
        Each alternative is tried, as far as the budget goes."""
        most = 3 + 2 * len(self.task.proposal.recommended)
        for cap, group, _ in list(self.attempts.others(minimal)):
            if cap not in minimal or frozenset(group) & minimal:
                continue  # another one has taken its place
            if self._tries() >= most:
                break
            caps = minimal - {cap} | frozenset(group)
            passed = self.passes(caps, without=cap, instead=tuple(one.short for one in group))
            if passed and max(map(self.task.risk, group)) < self.task.risk(cap):
                minimal = caps
        return minimal

    def try_companions(self, minimal: CapSet, beside: Beside) -> None:
        """The floor without a member, with each of what may take its place beside it."""
        for cap, companion in (*beside.known, *beside.find(minimal)):
            if cap in minimal:
                outcome = beside.run_trial(minimal - {cap}, companion)
                self._note(minimal - {cap}, outcome, cap, instead=(companion.words,))

    def regain(self, chosen: CapSet) -> None:
        """Where the set that is to be recommended fails, or loses what it began with: find out by
        which of those that are left out. The floor's trials do not tell what is lost by two: where
        one is gone the program may never come to the use of the other."""
        caps = self.start
        if not caps - chosen or not self.passes(caps):
            return
        if self.in_its_time(chosen) and self._as_good(chosen, caps):
            return
        told = {(trial.caps, trial.without) for trial in self.trials}
        for cap in self.attempts.by_power(caps - chosen):
            less = caps - {cap}
            if less in self.outcomes and (less, cap) not in told:  # it was about another one
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
        """A set that passes, from one that should."""
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
    """The set, grown by what its own trials were refused, then by what programs keep for
    themselves (``own``), then by the alternatives of its members."""
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
    """What must be added to ``base``; all candidates together are enough."""
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


@dataclass(frozen=True, slots=True)
class Trials:
    """Those of one workload."""

    passes: Callable[[CapSet, Cap, tuple[str, ...]], bool]
    """The trial of a set: without a capability, and what it holds in its place. False, too, where
    there were enough of them."""
    as_good: Callable[[CapSet, CapSet], bool]
    """Whether the smaller set passes, too, and loses nothing."""
    by_power: Callable[[CapSet], list[Cap]]
    """What takes an attacker farthest first, as it was taken away."""
    risk: Callable[[Cap], int]


def _shared(trials: Trials, minimal: CapSet, kept: CapSet) -> CapSet:
    """The floor, with what is kept anyway in the place of a member, where that passes. Only what
    was taken away before a member was tried can do its part: else the member had gone."""
    whole = minimal | kept
    order = trials.by_power(whole)
    for at, cap in enumerate(order):
        others = [one for one in order[:at] if one in kept]
        for other in sorted(others, key=lambda one: (trials.risk(one), one)):
            caps = minimal - {cap} | {other}
            passes = cap in minimal and trials.passes(caps, cap, (other.short,))
            if passes and trials.as_good(whole - {cap}, whole):
                return _shared(trials, _smallest(trials, caps, other), kept - {other})
    return minimal


def _smallest(trials: Trials, caps: CapSet, new: Cap) -> CapSet:
    """What the new member makes needless goes, too."""
    for cap in trials.by_power(caps - {new}):
        if trials.passes(caps - {cap}, cap, ()):
            caps = caps - {cap}
    return caps


def _without_spare(trials: Trials, minimal: CapSet, kept: CapSet) -> CapSet:
    """Of several that are kept, those of which something is lost when all the others are there."""
    for cap in trials.by_power(kept):
        less = (minimal | kept) - {cap}
        if len(kept) < 2:
            break
        instead = tuple(one.short for one in sorted(less))
        if trials.passes(less, cap, instead) and trials.as_good(less, minimal | kept):
            kept = kept - {cap}
    return kept
