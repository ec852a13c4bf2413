"""Keys, options and types by what they reach: ``keys`` of ``catalog/host.yaml``. One that is not
known to change nothing of a service's rights is not judged."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from capadvise.catalog import default
from capadvise.config import host_paths
from capadvise.config.declared import Exposure, ExposureAt


@lru_cache
def _known(consumer: str) -> tuple[frozenset[str], dict[str, Any]]:
    facts = default().host.lists["keys"][consumer]
    lists = ("known", "reads", "writes", "values")
    return frozenset(name for which in lists for name in facts.get(which, ())), facts


def files(consumer: str, key: str, value: str, line: int) -> Iterator[ExposureAt]:
    """The exposures of a file of the host that a key names: its content gets into the service, or
    its consumer writes it."""
    facts = _known(consumer)[1]
    writes = key in facts.get("writes", ())
    if writes or key in facts.get("reads", ()):
        for item in host_paths.mounted(value, line, writable=writes):
            judged = writes or item.kind is Exposure.UNKNOWN
            kind = item.kind if judged else Exposure.READABLE_FOLDER
            yield ExposureAt(kind, f"{key}={value}", line)


def unjudged(consumer: str, key: str, value: str, line: int) -> Iterator[tuple[str, int]]:
    """(sentence, line) of a key, or of its value, that is not known to be harmless."""
    names, facts = _known(consumer)
    values = facts.get("values", {}).get(key, ("*",))
    harmless = key in names and any(fnmatchcase(value, known) for known in values)
    if not harmless and not key.startswith(("x-", "X-")):
        yield f"{key}={value} is not known to be harmless", line
