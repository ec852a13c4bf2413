"""Labels of an image that say which capabilities it needs: see ``model.image``. Pure."""

from collections.abc import Iterator

from capadvise import __version__
from capadvise.config.snippet import Snippet, comment
from capadvise.model.caps import CapSet
from capadvise.model.escape import printable
from capadvise.model.image import PREFIX


def render(snippet: Snippet) -> str:
    """Lines of a Dockerfile: ``docker build``, ``podman build`` and ``buildah`` take them."""
    reasons = [comment(f"{cap.short}: {reason}") for cap, reason in snippet.caps]
    lines = [f'{name}="{_quoted(value)}"' for name, value in _labels(snippet)]
    label = " \\\n      ".join(lines)
    return "".join((snippet.comments(), *reasons, f"LABEL {label}\n"))


def _labels(snippet: Snippet) -> Iterator[tuple[str, str]]:
    caps = frozenset(cap for cap, _ in snippet.caps)
    minimal = caps if snippet.set_name == "minimal" else snippet.minimal
    if minimal is not None:
        yield f"{PREFIX}minimal", _short(minimal)
    if snippet.set_name != "minimal":
        yield f"{PREFIX}recommended", _short(caps)
    yield f"{PREFIX}user", snippet.user
    if snippet.variant:
        yield f"{PREFIX}variant", snippet.variant
    if snippet.digest:
        yield f"{PREFIX}report", snippet.digest
    yield f"{PREFIX}version", __version__


def _short(caps: CapSet) -> str:
    return ",".join(cap.short for cap in sorted(caps))


def _quoted(text: str) -> str:
    """In double quotes a Dockerfile knows these: docs.docker.com/reference/dockerfile."""
    return printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
