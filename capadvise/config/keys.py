"""Keys, options and types by what they reach: ``keys`` of ``catalog/host.yaml``. One that is not
known to change nothing of a service's rights is not judged."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from capadvise.catalog import default
from capadvise.config import host_paths
from capadvise.config.declared import NEW, Exposure, ExposureAt


@lru_cache
def _known(consumer: str) -> tuple[frozenset[str], dict[str, Any]]:
    facts = default().host.lists["keys"][consumer]
    lists = ("known", "reads", "writes", "values")
    return frozenset(name for which in lists for name in facts.get(which, ())), facts


def reached(consumer: str, key: str, value: str, line: int) -> Iterator[ExposureAt]:
    """The exposures of a file of the host that a key names, whose content gets into the service or
    which its consumer writes; and of a key, or a value of it, that nobody knows."""
    names, facts = _known(consumer)
    values = facts.get("values", {}).get(key, ("*",))
    writes = key in facts.get("writes", ())
    if writes or key in facts.get("reads", ()):
        for item in host_paths.mounted(value, line, writable=writes):
            judged = writes or item.kind is Exposure.UNKNOWN
            kind = item.kind if judged else Exposure.READABLE_FOLDER
            yield ExposureAt(kind, f"{key}={value}", line, NEW)
        return
    known = key in names and any(fnmatchcase(value, each) for each in values)
    if not known and not key.startswith(("x-", "X-")):
        yield ExposureAt(Exposure.UNKNOWN, f"{key}={value}", line, NEW)
