"""What ``check`` says of a setting that gives a service a part of the host:
``catalog/exposures.yaml``."""

from dataclasses import dataclass


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
