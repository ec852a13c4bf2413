"""What ``check`` says of a setting that gives a service a part of the host:
``catalog/exposures.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capadvise.catalog import values
from capadvise.model import strict


@dataclass(frozen=True, slots=True)
class ExposureFact:
    """One kind of exposure, as the file explains it."""

    rule: str
    severity: str
    says: str
    """The fact; ``{}`` stands for what the configuration file says."""
    why: str
    remedy: str
    control: str = ""
    """The control of the Pod Security Standards that forbids it; empty if none does."""
    since: str = ""
    """The version of capadvise that finds it first; empty: all do."""


def exposures_of(path: Path, raw: Any) -> Mapping[str, ExposureFact]:
    """Check the file and return its facts by kind; ``path`` is for messages. Raises BadInput with
    file and line."""
    kinds = raw.keys() - {strict.LINE}
    return {kind: values.record(ExposureFact, path, raw[kind]) for kind in kinds}
