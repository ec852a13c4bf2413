"""A report for the tests of the formats, with what a test wants to be different."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from capadvise.caps import CapSet
from capadvise.catalog import default
from capadvise.formats.snippet import Snippet, snippet_of
from capadvise.recording import Lost
from tests.unit.test_report import RECORDING, report

QUIET = replace(RECORDING, io_uring=False, lost=Lost(), fixed_capsets=())


def made(caps: CapSet, *, user: str = "0:0", name: str = "nginx", **recording: Any) -> Snippet:
    """What the formats get; ``recording`` changes fields of a recording without any caution."""
    changed = report(replace(QUIET, **recording), name)
    target = replace(changed.target, user=user)
    return snippet_of(replace(changed, target=target), caps, default())
