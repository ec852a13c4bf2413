"""The content of a report, as a value."""

from dataclasses import dataclass

from capadvise.judgement.decide import Proposal
from capadvise.judgement.proven import Proven
from capadvise.model.posture import Posture
from capadvise.model.recording import Recording
from capadvise.model.target import Target
from capadvise.model.workload import Workload

SCHEMA = "capadvise.report/2"
"""The format of the file is public: ``report/schema.json`` describes it. Version 1 is read, and
``report.version_1`` writes it."""


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a report file."""

    target: Target
    workload: Workload
    posture: Posture
    recordings: tuple[Recording, ...]
    proposal: Proposal
    """It contains the verdicts of the proof, if there is one."""
    proven: Proven | None = None

    @property
    def recording(self) -> Recording:
        """The first recording."""
        return self.recordings[0]

    @property
    def was_stopped(self) -> bool:
        """True if the user or a time limit stopped it, and nothing showed that it works."""
        run = self.recording
        return run.succeeded is None or (run.interrupted and self.workload.check is None)

    @property
    def showed_nothing(self) -> bool:
        """True if it was stopped before anything showed that it works: a daemon that waits for
        clients has come through its start."""
        return self.was_stopped and not self.recording.serving
