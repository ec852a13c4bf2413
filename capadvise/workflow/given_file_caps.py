"""A container whose user gets no capability from its engine: a trial says whether it works once the
file of its program has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from capadvise.formats.comments import SETCAP_TRIED
from capadvise.formats.pflag import Option, words
from capadvise.formats.snippet import setcap_words
from capadvise.judgement.judge import Effect
from capadvise.judgement.report import Report
from capadvise.kernel.scratch import scratch
from capadvise.model.errors import BadInput
from capadvise.proof.trials.stop import Stop
from capadvise.targets.client.client import Client
from capadvise.targets.client.invocation import recognize
from capadvise.targets.image.program import program_with
from capadvise.workflow.given_folders import came_of, one_start, with_caution
from capadvise.workflow.notice import notice


def lacks_file_caps(report: Report) -> bool:
    """Whether the recorded run failed as a user whom its engine gives nothing."""
    of_root = report.target.user.partition(":")[0] == "0"
    failed = report.recording.succeeded is False
    return report.target.kind == "container" and not of_root and failed and bool(_refused(report))


def _refused(report: Report) -> list[str]:
    """The programs that lacked one of what is recommended."""
    return [
        judged.check.program
        for need in report.proposal.needs
        if need.cap in report.proposal.recommended
        for judged in need.evidence
        if judged.effect is Effect.USED and not judged.check.granted
    ]


def with_file_caps(report: Report, before: Mapping[str, str] | None, stop: Stop) -> Report:
    """The report, with a caution that says what came of the trial.

    Raises BrokenTrial where none could be made, and BadInput where that is not to be tried so.
    """
    invocation, caps = recognize(report.target.argv), report.proposal.recommended
    if invocation is None or invocation.image is None:
        raise BadInput("a service of compose is not tried with file capabilities")
    client = Client(invocation.engine, invocation.client)
    with scratch() as folder:
        folder.chmod(0o755)
        entrypoint = [one for one in invocation.options if one.name == "entrypoint"]
        start = (*words(entrypoint), *invocation.rest)
        path = program_with(client, start, _refused(report)[0], caps, folder)
        mount = Option("volume", f"{folder / 'program'}:{path}:ro")
        given = replace(invocation, options=(*invocation.options, mount))
        target = replace(report.target, argv=given.argv())
        said = came_of(one_start(replace(report, target=target), before), report, stop)
    given_to = f"{setcap_words(sorted(caps))} {path}"
    caution = f"{SETCAP_TRIED}{given_to} in the image, {said}"
    notice(caution)
    if said == "it works":
        notice(f"not proven yet: RUN setcap {given_to} in the Dockerfile, and run this again")
    return with_caution(report, caution)
