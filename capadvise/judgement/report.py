"""What a report holds, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from capadvise.judgement.decide import Proposal
from capadvise.judgement.proven import Proven
from capadvise.model.posture import Posture
from capadvise.model.recording import Recording
from capadvise.model.target import Target
from capadvise.model.workload import Workload

SCHEMA = "capadvise.report/1"
"""The shape of the file is public: ``schema.json`` beside this module describes it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a report file holds."""

    target: Target
    workload: Workload
    posture: Posture
    recordings: tuple[Recording, ...]
    proposal: Proposal
    """With the verdicts of the proof, where there is one."""
    proven: Proven | None = None

    @property
    def recording(self) -> Recording:
        """The first recording."""
        return self.recordings[0]

    @property
    def was_stopped(self) -> bool:
        """By the user, or as its time was up, while nothing told whether it works."""
        run = self.recording
        return run.succeeded is None or (run.interrupted and self.workload.check is None)

    @property
    def partial(self) -> bool:
        """Whether no start of the target was seen, and no trial has shown that the set is enough:
        such a report tells what to add, not what to take away."""
        proven = (
            self.proven is not None and self.proven.minimal is not None and self.proven.complete
        )
        return not proven and all(recording.attached for recording in self.recordings)
