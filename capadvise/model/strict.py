"""Strict YAML: duplicate, unknown and missing keys are errors with file and line."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from capadvise.model.errors import BadInput

LINE = "__line__"
"""Key under which every mapping keeps the line that it starts on."""


class _Lines(dict[str, Any]):
    """A mapping of a file, which knows the line of each of its keys."""

    lines: dict[str, int]


@lru_cache(maxsize=1)
def _loader() -> Any:
    """The loader class. PyYAML is imported here: 11 ms that ``run`` need not spend."""
    import yaml

    # Without libyaml it is slower, with the same result.
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class StrictLoader(base):  # type: ignore[misc]
        pass

    def mapping(loader: Any, node: Any) -> dict[str, Any]:
        values = _Lines({LINE: node.start_mark.line + 1})
        values.lines = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node)
            line = key_node.start_mark.line + 1
            if key in values:
                raise BadInput(f"line {line}: key {key!r} appears twice")
            values[key] = loader.construct_object(value_node, deep=True)
            values.lines[key] = line
        return values

    StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return StrictLoader


def load(path: Path, text: str) -> Any:
    """One YAML document. Every mapping gets its line under LINE.

    Raises BadInput, naming file and line, for what is not YAML or has duplicate keys.
    """
    documents = load_all(path, text)
    if len(documents) != 1:
        raise BadInput(f"{path}: expected one document, found {len(documents)}")
    return documents[0]


def load_all(path: Path, text: str) -> list[Any]:
    """All YAML documents of a text, as ``load``."""
    import yaml

    try:
        return list(yaml.load_all(text, Loader=_loader()))  # a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise BadInput(f"{path}: line {line}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from error
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def place(path: Path, mapping: Any, key: str = "") -> str:
    """The place of a key, to begin a message with: file and line. Without the key, or if the
    mapping lacks it, the place is the mapping's."""
    lines = mapping.lines if isinstance(mapping, _Lines) else {}
    return f"{path}: line {lines.get(key) or mapping.get(LINE, '?')}"


def keys(
    path: Path, mapping: Any, *, required: Iterable[str], optional: Iterable[str] = ()
) -> None:
    """Check the keys of one mapping; raises BadInput with file, line and key."""
    if not isinstance(mapping, Mapping):
        raise BadInput(f"{path}: expected keys and values, found {type(mapping).__name__}")
    required = tuple(required)
    if unknown := [key for key in mapping if key not in (*required, *optional, LINE)]:
        raise BadInput(f"{place(path, mapping, unknown[0])}: unknown key {unknown[0]!r}")
    if missing := [key for key in required if mapping.get(key) is None]:
        raise BadInput(f"{place(path, mapping, missing[0])}: key {missing[0]!r} is missing")
