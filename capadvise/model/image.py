"""Images: what inspecting one shows, and the needs that its labels claim.

The names of the labels are public: ``capadvise help known`` explains them. A label is no proof:
the maker of an image writes what they like, and all text read here is hostile.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from capadvise.model.caps import CapSet, parse_set

PREFIX = "io.capadvise."
SETS, WORDS = ("minimal", "recommended"), ("user", "report", "version", "variant")
_OLD_MINIMAL = f"{PREFIX}floor"
"""The word of versions before 0.3 for the minimal set."""
NAMES = (*(f"{PREFIX}{key}" for key in (*SETS, *WORDS)), _OLD_MINIMAL)
CLAIMED = "the maker of the image wrote it: a claim, not a proof"
IMAGE, LAYOUT = "image:", "oci:"
"""Begin the name of an image that an engine has, and of a folder, as skopeo writes it."""
_LONGEST = 2000
"""Characters of a label that are read: enough for the names of all capabilities."""


@dataclass(frozen=True, slots=True)
class Riser:
    """A program of an image that gives its starter more than it has. The path is hostile."""

    path: str
    layer: int
    """Its number, from 1 at the bottom."""
    set_uid: int | None = None
    """The user that it runs as."""
    set_gid: int | None = None
    caps: CapSet = frozenset()
    """File capabilities: permitted."""


@dataclass(frozen=True, slots=True)
class ImageInspection:
    """The description that an image has of itself, and its content. All texts are hostile."""

    name: str
    engine: str
    user: str
    """The user in the Dockerfile; empty: root."""
    argv: tuple[str, ...]
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    healthcheck: tuple[str, ...]
    layers: int
    risers: tuple[Riser, ...]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """The needs that the labels of an image claim."""

    minimal: CapSet | None
    """The minimal set; None: no label says it."""
    recommended: CapSet | None
    user: str
    """The user that starts it; unescaped, as the next three are. Empty: no label."""
    report: str
    """``sha256:…``: the digest of the report's file."""
    version: str
    """capadvise's."""
    variant: str
    """The version and the variant, if the set is that of a known program."""
    problems: tuple[str, ...] = ()
    """Labels that cannot be read, a sentence each, unescaped."""


def claim_of(labels: Mapping[str, str]) -> Claim | None:
    """Read our labels; None if there are none."""
    if not any(name in labels for name in NAMES):
        return None
    problems: list[str] = []
    if _OLD_MINIMAL in labels:
        labels = {f"{PREFIX}minimal": labels[_OLD_MINIMAL], **labels}
    minimal, recommended = (_set(labels, key, problems) for key in SETS)
    user, report, version, variant = (labels.get(PREFIX + key, "")[:_LONGEST] for key in WORDS)
    return Claim(minimal, recommended, user, report, version, variant, tuple(problems))


def _set(labels: Mapping[str, str], key: str, problems: list[str]) -> CapSet | None:
    text = labels.get(PREFIX + key)
    if text is None:
        return None
    with suppress(ValueError):
        if len(text) <= _LONGEST:
            return parse_set(filter(None, text.split(",")))
    shown = text[:60] + "…" * (len(text) > 60)
    problems.append(f"the label {PREFIX}{key} holds no capabilities: {shown}")
    return None
