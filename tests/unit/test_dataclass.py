"""``capadvise.dataclass`` beside the standard library's: nobody can tell them apart."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from capadvise.dataclass import dataclass


def ours(few: int, monkeypatch: pytest.MonkeyPatch) -> type:
    """Of its values, the first few are made without compiling anything."""
    monkeypatch.setattr("capadvise.dataclass._FEW", few)

    @dataclass(frozen=True, slots=True)
    class Ours:
        """A value."""

        name: str
        ports: tuple[int, ...] = ()
        notes: list[str] = dataclasses.field(default_factory=list, compare=False)

    Ours.__qualname__ = "Ours"
    monkeypatch.setitem(globals(), "Ours", Ours)  # for pickle
    return Ours


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """The same."""

    name: str
    ports: tuple[int, ...] = ()
    notes: list[str] = dataclasses.field(default_factory=list, compare=False)


def _error(call: Callable[[], object]) -> tuple[type, str]:
    with pytest.raises((TypeError, AttributeError)) as caught:
        call()
    return caught.type, str(caught.value)


@pytest.mark.parametrize(
    "of",
    [
        lambda cls: repr(cls("a", (1,))),
        lambda cls: cls("a") == cls("a", notes=["not compared"]),
        lambda cls: cls("a") == cls("b"),
        lambda cls: (cls("a") == ("a", ()), cls("a") != object()),
        lambda cls: len({cls("a"), cls("a"), cls("a", (1,))}),
        lambda cls: repr(dataclasses.replace(cls("a", (1,)), name="b")),
        lambda cls: dataclasses.asdict(cls("a", (1,))),
        lambda cls: [(field.name, field.default) for field in dataclasses.fields(cls)],
        lambda cls: repr(pickle.loads(pickle.dumps(cls("a", (1,), ["x"]))).notes),
        lambda cls: cls("a").notes is cls("a").notes,
        lambda cls: cls.__match_args__,
        lambda cls: hasattr(cls("a"), "__dict__"),
        lambda cls: cls.__doc__ is not None,
        lambda cls: _error(lambda: setattr(cls("a"), "name", "b")),
        lambda cls: _error(lambda: delattr(cls("a"), "name")),
        lambda cls: repr(cls(ports=(1,), name="a", notes=["x"])),
        lambda cls: _error(lambda: cls()),
        lambda cls: _error(lambda: cls("a", colour=1)),
        lambda cls: _error(lambda: cls("a", name="b")),
        lambda cls: _error(lambda: cls("a", (), [], 1)),
    ],
)
@pytest.mark.parametrize("few", [0, 1, 1000])
def test_it_does_as_the_standard_library_does(
    of: Callable[[Any], object], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, theirs = of(ours(few, monkeypatch)), of(Theirs)
    assert str(own).replace("Ours", "Theirs") == str(theirs)


def test_one_that_changes() -> None:
    @dataclass(slots=True)
    class Counter:
        count: int = 0

    counter = Counter()
    counter.count += 1
    assert counter == Counter(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter)


def test_one_that_is_only_equal_to_itself() -> None:
    @dataclass(slots=True, eq=False)
    class Thread:
        pid: int

    thread = Thread(7)
    assert thread != Thread(7)
    assert thread in {thread}


def test_values_of_two_classes_are_never_equal() -> None:
    @dataclass(frozen=True, slots=True)
    class Signalled:
        number: int

    @dataclass(frozen=True, slots=True)
    class Exited:
        number: int

    assert Signalled(9) != Exited(9)


def test_a_method_that_is_written_out_stays() -> None:
    @dataclass(frozen=True, slots=True)
    class Secret:
        text: str

        def __repr__(self) -> str:
            return "…"

    assert repr(Secret("x")) == "…"


def test_no_command_waits_for_what_describes_signatures() -> None:
    """``dataclasses`` imports it, and whoever asks it gets it all the same."""
    code = """
import sys, capadvise.cli, capadvise.parser, capadvise.commands.run, capadvise.commands.check
print("inspect" in sys.modules)
import dataclasses
@dataclasses.dataclass
class Point:
    x: int
print(Point.__doc__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\nPoint(x: int)\n", done.stderr


def test_what_means_more_than_a_field_is_left_to_the_standard_library() -> None:
    @dataclass(slots=True)
    class Counter:
        made: ClassVar[int] = 7
        count: int = 0

    assert [field.name for field in dataclasses.fields(Counter)] == ["count"]
    assert Counter.__qualname__.endswith("<locals>.Counter")
    with pytest.raises(ValueError, match="mutable default"):

        @dataclass(slots=True)
        class Shared:
            names: list[str] = []  # noqa: RUF012
