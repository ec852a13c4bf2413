"""An ordinary user who runs capadvise."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.runs import CAPADVISE

OTHER = 65534
AS_NOBODY = """
set -e
mount --make-rprivate /
hidden=$1 subids=$2 work=$3
shift 3
# The interpreter may lie below a home that only root can enter: show that part alone.
if [ -n "$hidden" ]; then
    mount --bind "$hidden" /mnt
    top=/$(echo "$hidden" | cut -d/ -f2)
    mount -t tmpfs -o mode=755 none "$top"
    mkdir -p "$hidden"
    mount --move /mnt "$hidden"
fi
mount -t tmpfs -o mode=755 none /mnt
[ -z "$subids" ] || echo "nobody:$subids" > /mnt/ids
touch /mnt/ids
for file in /etc/subuid /etc/subgid; do
    [ -e "$file" ] && mount --bind /mnt/ids "$file"
done
cd "$work"
exec setpriv --reuid nobody --regid nogroup --clear-groups env HOME="$work" "$@"
"""


@dataclass(frozen=True)
class Nobody:
    """An ordinary user, in a folder of their own."""

    work: Path
    hidden: str

    def capadvise(self, *argv: str, subids: str) -> subprocess.CompletedProcess[str]:
        """``subids``: ``first:count``, or nothing."""
        before = ["unshare", "-m", "bash", "-c", AS_NOBODY, "-", self.hidden, subids]
        return subprocess.run(
            [*before, str(self.work), CAPADVISE, *argv], capture_output=True, text=True, timeout=60
        )


def nobody_in(folder: Path) -> Nobody:
    """``folder`` becomes their home."""
    base = Path(sys.executable).resolve().parents[1]
    top = Path("/", base.parts[1])
    work = folder / "nobody"
    work.mkdir()
    for parent in (work, *list(work.parents)[:4]):
        if str(parent) != "/tmp":
            parent.chmod(parent.stat().st_mode | 0o055)
    os.chown(work, OTHER, OTHER)
    return Nobody(work, str(base) if top.stat().st_mode & 0o5 != 0o5 else "")
