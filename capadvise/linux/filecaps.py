"""File capabilities: what an exec of a file gives."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from capadvise.caps import CapSet, from_mask


@dataclass(frozen=True, slots=True)
class FileCaps:
    """The extended attribute ``security.capability`` of a file."""

    permitted: CapSet
    inheritable: CapSet
    effective: bool
    """The program holds them at once, without asking: one that knows nothing of capabilities."""
    root: int | None = None
    """They count in user namespaces whose root has this uid alone; None: everywhere."""

    @classmethod
    def decode(cls, raw: bytes) -> FileCaps | None:
        """``struct vfs_cap_data`` of linux/capability.h; None for what the kernel would refuse."""
        revision = raw[3] if len(raw) >= 4 else 0
        words = {1: 2, 2: 4, 3: 4}.get(revision, 0)
        size = 4 + 4 * words + (4 if revision == 3 else 0)
        if not words or len(raw) != size:
            return None
        values = struct.unpack_from(f"<{words}I", raw, 4)
        high = (values[2], values[3]) if words == 4 else (0, 0)
        return cls(
            permitted=from_mask(values[0] | high[0] << 32),
            inheritable=from_mask(values[1] | high[1] << 32),
            effective=bool(raw[0] & 1),
            root=struct.unpack_from("<I", raw, 20)[0] if revision == 3 else None,
        )
