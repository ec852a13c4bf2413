"""A trial of a container: made anew with the trial's set, under the engine's own defaults."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capadvise.caps import CapSet
from capadvise.errors import BadInput
from capadvise.linux.engines.cli.client import TRIAL_LABEL, EngineError
from capadvise.linux.engines.cli.invocation import Invocation, recognize
from capadvise.linux.engines.record import grant, project, volumes
from capadvise.linux.engines.record.record import Run, Start, engine_of, run_containers
from capadvise.linux.kernel import procfs
from capadvise.linux.kernel.snapshot import LARGEST_COPY_KB, Files, copyable, snapshot
from capadvise.linux.supervise.command import Command
from capadvise.linux.supervise.observation import Observation


@dataclass(slots=True)
class _Copies:
    """Private copies of what the container may write to."""

    folder: Path
    made: list[Path] = field(default_factory=list)

    def __call__(self, source: str) -> str:
        """Raises BadInput for what is too large."""
        path = os.path.abspath(os.path.expanduser(source))
        try:
            mode = os.stat(path).st_mode
        except OSError:  # the engine makes it, a folder
            mode = stat.S_IFDIR
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            return path
        if os.path.exists(path) and not copyable(path):
            raise BadInput(
                f"{path} has more than {LARGEST_COPY_KB >> 10} MB or is a mount: trials make no "
                "copy of it",
                hint="let them write to it with --reuse-volumes, or mount it read-only",
            )
        copy = self.folder / f"volume{len(self.made)}"
        if not os.path.exists(path):
            copy.mkdir()
        elif stat.S_ISDIR(mode):
            shutil.copytree(path, copy, symlinks=True, copy_function=_copy_file)
            _same_owner(path, copy)
        else:
            _copy_file(path, str(copy))
        self.made.append(copy)
        return str(copy)


def _copy_file(source: str, target: str) -> str:
    found = os.lstat(source)
    if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
        shutil.copy2(source, target, follow_symlinks=False)
    else:  # a socket, a pipe or a device, which has no content to be copied
        os.mknod(target, found.st_mode, found.st_rdev)
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
    if not os.path.islink(target):
        os.chmod(target, stat.S_IMODE(found.st_mode))
    return target


def _same_owner(source: str, target: Path) -> None:
    """``copytree`` leaves the owners of folders out."""
    for folder, _, _ in os.walk(source):
        found = os.stat(folder)
        os.chown(target / os.path.relpath(folder, source), found.st_uid, found.st_gid)


def observe_trial(
    plan: dict[str, Any], command: Command, top: Path, out: Path, err: Path
) -> tuple[Observation, Files]:
    """Run it once; what the container said goes into two files, without the client's own talk.

    Raises CannotObserve where the engine does not answer, BadInput where a volume cannot be copied.
    """
    invocation = recognize(command.argv)
    if invocation is None:
        raise BadInput("the report's command starts no container that is known")
    copies = _Copies(top)
    start = _start(invocation, command.caps or frozenset(), plan, top, copies)
    files: list[tuple[str, str]] = []

    def look(run: Run) -> None:
        client, subject = start.client, run.subject
        for entry in subject.roster.entries.values():
            container = client.find(entry.id) if subject.is_target(entry) else None
            if container and container.upper:
                files.extend(snapshot(Path(container.upper)))
            if container and subject.places(entry):
                with suppress(EngineError):
                    for path, text in zip((out, err), client.logs(container.id), strict=True):
                        path.write_text(text, errors="backslashreplace")
        for copy in copies.made:
            files.extend((f"{copy.name}/{path}", text) for path, text in snapshot(copy))

    return run_containers(start, command, at_end=look).each[0], tuple(files)


def _start(
    invocation: Invocation, caps: CapSet, plan: dict[str, Any], top: Path, copies: _Copies
) -> Start:
    client = engine_of(invocation)
    label = f"{TRIAL_LABEL}={procfs.mark()}"
    reuse = plan["reuse_volumes"]
    if invocation.verb == "run":
        kept = [o for o in invocation.options if o.name in ("volume", "mount")]
        options = kept if reuse else volumes.of_options(invocation.options, copies)
        ours = grant.tried(invocation, caps, top.name, label, options)
        return Start(invocation, client, ours.argv(), label)
    service = plan["service"]
    resolved = project.config(invocation)
    services = {
        name: grant.in_trial(
            grant.tried_service(one, caps) if name == service else one,
            one.get("image") or f"{resolved['name']}-{name}",
            label,
            list(one.get("volumes") or ()) if reuse else volumes.of_service(one, copies),
        )
        for name, one in resolved["services"].items()
    }
    changed = volumes.of_project({**resolved, "services": services}, reuse=reuse)
    path = project.write(changed, top)
    ours = project.of_file(grant.in_front(invocation, top.name), path, top.name)
    return Start(invocation, client, ours.argv(), label, target=service, project=top.name)
