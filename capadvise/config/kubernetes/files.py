"""Kubernetes files: manifests, and those that only bring in other files."""

from collections.abc import Iterator

from capadvise.catalog import default
from capadvise.config.language import UnknownFile
from capadvise.config.yaml.reader import Documents, any_text
from capadvise.config.yaml.tree import EMPTY, Node, Scalar, Sequence, entries, target
from capadvise.model.errors import BadInput

REFERRING = default().host.lists["referring"]
"""Kinds that bring in other files, and what resolves them."""
CHARTS = ("Chart.yaml", "kustomization.yaml", "kustomization.yml", "Kustomization")
"""Files that say where others are."""


def claims(file: UnknownFile) -> bool:
    """True if it has the kind or the version of an object. Raises BadInput if it holds objects and
    also brings in others."""
    said = {_refers(file.name, root) for root in file.roots if _is_object(file.name, root)}
    if len(said) > 1:
        raise BadInput(
            "line 1: ambiguous: it is kubernetes and referring at once",
            hint="put each into a file of its own",
        )
    return bool(said)


def only_refers(path: str, text: str) -> bool:
    """True if a manifest is a kustomization or a chart, which holds no objects."""
    file = UnknownFile(path, text)
    return file.name in CHARTS and any(_refers(file.name, root) for root in file.roots)


def references(text: str) -> Iterator[tuple[str, str, int]]:
    """(kind, what resolves it, line) of the objects of a manifest that bring in other files."""
    for root in Documents(text).roots:
        kind = target(entries(root).get("kind", EMPTY))
        if isinstance(kind, Scalar) and kind.value in REFERRING:
            yield kind.value, REFERRING[kind.value], kind.line


def _refers(name: str, root: Node) -> bool:
    kind = target(entries(root).get("kind", EMPTY))
    return name in CHARTS and isinstance(kind, Scalar) and kind.value in ("", *REFERRING)


def _is_object(name: str, root: Node) -> bool:
    """A list of kinds, without a version, is some other program's, as is a number as the only
    version. (A template, ``{{ x }}``, is a mapping.)"""
    keys = entries(root)
    version = target(keys.get("apiVersion", EMPTY))
    versioned = "apiVersion" in keys and not (any_text(version) or "").isdecimal()
    named = "kind" in keys and not isinstance(target(keys["kind"]), Sequence)
    return named or versioned or _refers(name, root)
