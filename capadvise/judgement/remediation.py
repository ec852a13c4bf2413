"""Hints on files that would make a container need less. Pure.

An image can be built with other owners and modes. A folder of the host can be given to the user of
the container, to whom an engine gives no capability.
"""

from collections.abc import Iterable, Sequence

from capadvise.judgement.harm import owner_of_path
from capadvise.judgement.judge import Effect, Judged
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.model.companion import Companion
from capadvise.model.recording import Check, FileChange, ForeignFolder, ImageFile, Recording
from capadvise.model.wording import set_text

_CHANGES = {
    Cap.parse("CHOWN"): FileChange.OWNER,
    Cap.parse("FOWNER"): FileChange.MODE,
    Cap.parse("DAC_OVERRIDE"): FileChange.FOLDER,
}
_FOR_FOLDERS: CapSet = parse_set(["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER"])
"""Capabilities that a program needs for a folder of another owner."""


def remediation_of(
    cap: Cap, files: Sequence[ImageFile], evidence: Iterable[Judged] = ()
) -> str | None:
    """Say how to build the image so that its files do not need a capability; None if they do not
    matter for it."""
    change = _CHANGES.get(cap)
    changed = [file for file in files if file.change is change]
    users = {item.check.uid for item in evidence if item.effect >= Effect.OPTIONAL}
    only_root = users == {0}  # root may write to its own folder, and then give the file away
    if change is FileChange.MODE or (change is FileChange.FOLDER and only_root):
        changed = [file for file in changed if file.owner.partition(":")[0] != "0"]
    if not changed:
        return None
    first = changed[0]
    more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
    return _otherwise_built(first, change, f"{first.path} (layer {first.layer} of the image{more})")


def _otherwise_built(first: ImageFile, change: FileChange | None, where: str) -> str:
    """How to build an image otherwise. ``where``: the file in words."""
    if owner_of_path(first.path):
        return f"{where} belongs to the system of the image: let the program use files of its own"
    match change:
        case FileChange.OWNER:
            return (
                f"{where} belongs to {first.owner} and is given to {first.became}: build it with "
                f"COPY --chown={first.became}, or run the container as that USER"
            )
        case FileChange.MODE:
            return f"{where} gets the mode {first.became}: chmod it where the image is built"
        case _:
            said = f"{where} belongs to {first.owner}, and {first.became} writes there"
            if first.owner.partition(":")[0] in ("0", "root"):
                return f"{said}: build it with COPY --chown={first.became}"
            return (
                f"{said}: run the container as USER {first.owner}, or chown it where the image is "
                "built"
            )


def without_file_caps(
    files: Iterable[str], *, used: bool, left: CapSet | None = None, failed: str | None = None
) -> str:
    """How program files need no capability to be executed. ``used``: the target also uses it.
    ``left``: the set of a trial of this, if one was made; ``failed``: how that failed."""
    do = f"`{Companion.without_file_caps(files).words}` where the image or package is built"
    if left is None:
        return f"{do}; its use remains" if used else f"{do} (not tried; it was not used)"
    if failed is not None:
        return f"{do} is not enough: in a trial, {failed}"
    needs = set_text(left) if left else "no capability"
    return f"{do}: then it needs {needs}, a trial passed"


def folders_of(recordings: Iterable[Recording]) -> tuple[ForeignFolder, ...]:
    """Each folder once, as the first recording saw it: recordings of trials saw copies."""
    folders: dict[str, ForeignFolder] = {}
    for recording in recordings:
        for folder in recording.foreign_folders:
            folders.setdefault(folder.path, folder)
    return tuple(folders.values())


def in_the_way(recordings: Iterable[Recording]) -> tuple[ForeignFolder, ...]:
    """The folders of runs that were refused a capability to override their owner."""
    return folders_of(one for one in recordings if any(map(_refused, one.checks)))


def advice(folder: ForeignFolder) -> str:
    """``chown -R 1234 /srv/data``, and its equivalents elsewhere. Files of the
    system, or of another user, are given to nobody."""
    if whose := owner_of_path(folder.source):
        return (
            f"mount a folder of its own in the place of {folder.source}, which belongs to {whose}, "
            "and give it that one"
        )
    uid, _, gid = folder.user.partition(":")
    owner = f"{uid}:{gid}" if gid not in ("", "0") else uid
    group = gid if gid not in ("", "0") else uid
    return (
        f"chown -R {owner} {folder.source} (podman: mount {folder.path} with :U; Kubernetes: "
        f"fsGroup: {group})"
    )


def cautions_of(recordings: Iterable[Recording]) -> Iterable[str]:
    """Name the folders that are in the way, and the remedy."""
    for folder in in_the_way(recordings):
        uid = folder.user.partition(":")[0]
        yield (
            f"user {uid} may not write to {folder.path}, which belongs to {folder.owner}, and an "
            f"engine gives no capability to that user: {advice(folder)}"
        )


def _refused(check: Check) -> bool:
    return check.cap in _FOR_FOLDERS and not check.granted


def undeliverable(cap: Cap, effects: Iterable[tuple[Effect, bool]]) -> bool:
    """True if such a folder explains why a capability was checked and always refused. ``effects``:
    of each check, and whether it was granted."""
    needed = [granted for effect, granted in effects if effect is Effect.NEEDED]
    return cap in _FOR_FOLDERS and bool(needed) and not any(needed)
