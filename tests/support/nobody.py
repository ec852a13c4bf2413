"""An ordinary user who runs capadvise."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.runs import CAPADVISE
from tests.support.shown import COVER, STAGE, closed, shown

OTHER = 65534
AS_NOBODY = f"""
set -e
mount --make-rprivate /
{COVER}
subids=$1 work=$2
shift 2
# capadvise and the interpreter may lie below a home that only its owner can enter: show them alone.
printf '%s\\n' "$CLOSED" | while IFS= read -r home; do [ -z "$home" ] || cover "$home" 755; done
mount -t tmpfs -o mode=755 none {STAGE}
[ -z "$subids" ] || echo "nobody:$subids" > {STAGE}/ids
touch {STAGE}/ids
for file in /etc/subuid /etc/subgid; do
    [ -e "$file" ] && mount --bind {STAGE}/ids "$file"
done
cd "$work"
exec setpriv --reuid nobody --regid nogroup --clear-groups env -u SHOWN -u CLOSED HOME="$work" "$@"
"""


@dataclass(frozen=True)
class Nobody:
    """An ordinary user, in a folder of their own."""

    work: Path

    def capadvise(self, *argv: str, subids: str) -> subprocess.CompletedProcess[str]:
        """``subids``: ``first:count``, or nothing."""
        before = ["unshare", "-m", "bash", "-c", AS_NOBODY, "-", subids, str(self.work)]
        homes = {"SHOWN": "\n".join(shown(self.work)), "CLOSED": "\n".join(dict.fromkeys(closed()))}
        return subprocess.run(
            [*before, CAPADVISE, *argv],
            env={**os.environ, **homes},
            capture_output=True,
            text=True,
            timeout=60,
        )


def nobody_in(folder: Path) -> Nobody:
    """``folder`` becomes their home."""
    work = folder / "nobody"
    work.mkdir()
    for parent in (work, *list(work.parents)[:4]):
        if str(parent) != "/tmp":
            parent.chmod(parent.stat().st_mode | 0o055)
    os.chown(work, OTHER, OTHER)
    return Nobody(work)
