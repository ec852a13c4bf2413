"""Reading the few values that matter off nodes."""

from __future__ import annotations

from collections.abc import Callable

from capadvise.config.yaml.tree import Node, Scalar, Sequence, target
from capadvise.model.caps import Cap

_OFF = ("", "~", "null", "false", "no", "off", "n", "f", "0")


def text(node: Node | None) -> str | None:
    """The text of a scalar."""
    scalar = None if node is None else target(node)
    return scalar.value if isinstance(scalar, Scalar) else None


def is_on(node: Node | None) -> bool:
    """Whether a switch is on, or can be: ``${PRIVILEGED}`` is settled elsewhere."""
    said = text(node)
    return said is not None and said.lower() not in _OFF


def names(node: Node | None) -> tuple[str, ...]:
    """The scalars of a list."""
    listed = None if node is None else target(node)
    items = listed.items if isinstance(listed, Sequence) and listed.tag != "!reset" else ()
    return tuple(item.value for item in map(target, items) if isinstance(item, Scalar))


def as_docker_takes_it(name: str) -> str | None:
    """Docker takes any case, with the prefix or without."""
    if name.strip().upper() == "ALL":
        return "ALL"
    try:
        return Cap.parse(name).short
    except ValueError:
        return None


def same(node: Node | None, want: frozenset[str], fits: Callable[[str], str | None]) -> bool:
    """Whether a list says exactly this."""
    said = [fits(name) for name in names(node)]
    return len(said) == len(want) and set(said) == want
