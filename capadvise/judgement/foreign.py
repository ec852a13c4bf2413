"""Folders of the host that a container's user may not write to: give them to it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from capadvise.judgement.judge import Effect
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.model.recording import Check, ForeignFolder, Recording

FILES: CapSet = parse_set(["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER"])
"""What a folder of another owner makes a program ask for."""


def folders_of(recordings: Iterable[Recording]) -> tuple[ForeignFolder, ...]:
    """Each once, as the first recording saw it: those of trials saw copies."""
    folders: dict[str, ForeignFolder] = {}
    for recording in recordings:
        for folder in recording.foreign_folders:
            folders.setdefault(folder.path, folder)
    return tuple(folders.values())


def advice(folder: ForeignFolder) -> str:
    """``chown -R 1234 /srv/data``, and what does so elsewhere."""
    uid, _, gid = folder.user.partition(":")
    owner = f"{uid}:{gid}" if gid not in ("", "0") else uid
    group = gid if gid not in ("", "0") else uid
    return (
        f"chown -R {owner} {folder.source} (podman: mount {folder.path} with :U; Kubernetes: "
        f"fsGroup: {group})"
    )


def cautions_of(recordings: Sequence[Recording]) -> Iterable[str]:
    """What is in the way, and what to do."""
    in_vain = [one for one in recordings if any(_refused(check) for check in one.checks)]
    for folder in folders_of(in_vain):
        uid = folder.user.partition(":")[0]
        yield (
            f"user {uid} may not write to {folder.path}, which belongs to {folder.owner}, and an "
            f"engine gives no capability to that user: {advice(folder)}"
        )


def _refused(check: Check) -> bool:
    return check.cap in FILES and not check.granted


def undeliverable(cap: Cap, effects: Iterable[tuple[Effect, bool]]) -> bool:
    """Whether the folders are why a capability was asked for, in vain. ``effects``: of the checks,
    and whether each was granted."""
    used = [granted for effect, granted in effects if effect is Effect.USED]
    return cap in FILES and bool(used) and not any(used)
