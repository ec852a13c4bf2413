"""What the trials of one workload lost against each other, without the noise. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from capadvise.judgement.differences import SILENCE, Noise, Observed, compare, learn
from capadvise.judgement.proven import Trial


@dataclass
class Comparisons:
    """Noise is learned once something differs: most trials leave the same."""

    first: Observed
    """Of the trial with everything."""
    once_more: Callable[[], Observed | None]
    """A second trial with everything; None: it failed."""
    _noise: Noise | None = None
    """None: nothing has differed yet."""
    _compared: dict[int, tuple[Observed, Observed]] = field(default_factory=dict)
    """What the trials that passed were measured by, and what they left, by their number."""
    _said: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """How these differ, as long as nothing new is known for noise: thousands of files are compared,
    and it is asked before each removal."""

    @property
    def know_noise(self) -> bool:
        """Whether everything has been tried once more."""
        return self._noise is not None

    def lost(self, more: Observed, less: Observed) -> list[str]:
        """What only the capabilities can have made."""
        if not compare(more, less):
            return []
        if self._noise is None:
            self._noise = SILENCE
            if (again := self.once_more()) is not None:
                self.equal(self.first, again)
        return compare(more, less, self._noise)

    def equal(self, one: Observed, other: Observed) -> None:
        """Two trials of one set: what differs is noise."""
        self._said.clear()
        self._noise = learn(self._noise or SILENCE, one, other)

    def note(self, number: int, more: Observed, less: Observed) -> None:
        """The trial of this number has passed."""
        self._compared[number] = more, less

    def told(self, trials: Iterable[Trial]) -> tuple[Trial, ...]:
        """The trials; what is known for noise by now is no difference."""
        return tuple(
            replace(trial, differences=self._differences(number))
            if number in self._compared
            else trial
            for number, trial in enumerate(trials)
        )

    def _differences(self, number: int) -> tuple[str, ...]:
        if number not in self._said:
            noise = self._noise or SILENCE
            self._said[number] = tuple(compare(*self._compared[number], noise))
        return self._said[number]
