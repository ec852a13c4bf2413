"""What an image could do about its files, so that the container needs less. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from capadvise.judgement.judge import Effect, Judged
from capadvise.model.caps import Cap
from capadvise.model.recording import FileChange, ImageFile

_OF = {
    Cap.parse("CHOWN"): FileChange.OWNER,
    Cap.parse("FOWNER"): FileChange.MODE,
    Cap.parse("DAC_OVERRIDE"): FileChange.FOLDER,
}


def remediation_of(
    cap: Cap, files: Sequence[ImageFile], evidence: Iterable[Judged] = ()
) -> str | None:
    """How to build the image so that a capability is not needed for its files; None where they
    have nothing to do with it."""
    change = _OF.get(cap)
    changed = [file for file in files if file.change is change]
    users = {item.check.uid for item in evidence if item.effect >= Effect.TOLERATED}
    only_root = users == {0}  # it may write to its own folder, and then give the file away
    if change is FileChange.MODE or (change is FileChange.FOLDER and only_root):
        changed = [file for file in changed if file.owner.partition(":")[0] != "0"]
    if not changed:
        return None
    first = changed[0]
    more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
    where = f"{first.path} (layer {first.layer} of the image{more})"
    match change:
        case FileChange.OWNER:
            return (
                f"{where} belongs to {first.owner} and is given to {first.became}: build it with "
                f"COPY --chown={first.became}, or run the container as that USER"
            )
        case FileChange.MODE:
            return f"{where} gets the mode {first.became}: chmod it where the image is built"
        case _:
            return (
                f"{where} belongs to {first.owner}, and {first.became} writes there: run the "
                f"container as USER {first.owner}, or chown it where the image is built"
            )
