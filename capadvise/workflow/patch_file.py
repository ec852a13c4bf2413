"""A patch of the user's own file: confirmed, shown and written. The way of ``emit --into`` and of
``check --fix``; the screens show the change first, then go by the same steps."""

from __future__ import annotations

from capadvise.gate.patching import Patching, extending
from capadvise.model.errors import CannotPatch
from capadvise.workflow.confirm import confirm
from capadvise.workflow.notice import notice


def patch_file(
    made: Patching, *, with_dependents: bool = False, dry_run: bool = False, about: str = ""
) -> bool:
    """Show the diff on stdout, then write, unless it is a dry run; what must be known is said on
    stderr. Returns whether it was written. ``with_dependents``: the services that extend this one
    may change, too; ``about``: stands before each note, where several services are patched.

    Raises CannotPatch, and then nothing was written.
    """
    change = made.change
    if change.patched.dependents and not (with_dependents or dry_run):
        raise CannotPatch(
            f"{extending(change.patched)} would change too",
            hint="emit --into --with-dependents, if that is meant; --dry-run shows the change",
        )
    for note in (*made.snippet.cautions, *made.notes):
        notice(f"note: {about}{note}")
    service = change.patched.service
    what = f"{change.path}: {service}" if service else str(change.path)
    if change.empty:
        notice(f"{what}: nothing to change")
        return False
    confirm(made)
    print(change.diff(), end="", flush=True)
    if dry_run:
        return False
    change.write()
    notice(f"{what}: written")
    return True
