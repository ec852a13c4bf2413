"""``dataclass`` as the standard library has it, but cheap to define: for what every run loads.

To define a frozen dataclass with slots takes 0.5 to 1 ms: its methods are compiled, one by one. A
run would begin 20 ms later with those of the standard library, and ``check`` end 90 ms later. Here
they share their methods, but for ``__init__``, which is compiled when several values are made.
``replace``, ``fields`` and ``asdict`` are the standard library's. (Tried: msgspec's classes are as
quick to define, but to load it takes 29 ms.)
"""

from __future__ import annotations

import sys
from importlib import import_module
from operator import attrgetter
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]


class _Inspect(ModuleType):
    """``dataclasses`` asks ``inspect`` for the signature of a class that has no text of its own. To
    load it takes 10 ms, which each command would wait for: it is loaded by whoever asks."""

    @staticmethod
    def get_annotations(cls: type) -> dict[str, Any]:
        """As Python 3.13 asks of each class."""
        return dict(vars(cls).get("__annotations__") or {})

    def __getattr__(self, name: str) -> object:
        return getattr(import_module("inspect"), name)


if sys.modules.keys().isdisjoint(("dataclasses", "inspect")):
    sys.modules["inspect"] = _Inspect("inspect")
    try:
        import dataclasses
    finally:
        del sys.modules["inspect"]
else:
    import dataclasses

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, eq: bool = True, slots: bool):
        """As the standard library's. What takes more of its arguments is not for here."""
        assert slots

        def made(plain: type) -> type:
            plain.__doc__ = plain.__doc__ or plain.__name__  # see _Inspect
            cls = _with_fields(plain)
            added = {"__init__": _compiled_when_often_called(cls), "__repr__": _repr}
            if frozen:
                added |= _FROZEN
            if eq:
                added |= _equality(cls, frozen)
            for name, method in added.items():
                if name not in plain.__dict__ or plain.__dict__[name] is None:
                    setattr(cls, name, method)
            return cls

        return made


_fields_only = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)


@_fields_only
class _Sample:
    """Has what the standard library keeps of each class."""

    field: int


_FIELD: Any = vars(_Sample)["__dataclass_fields__"]["field"]


def _with_fields(plain: Any) -> Any:
    """The class with its fields as slots. The standard library takes twice as long: it allows for
    base classes, for annotations with a meaning of their own, and refuses defaults that values
    would share."""
    if plain.__bases__ != (object,) or not all(map(_is_plain, *_fields_of(plain))):
        return _fields_only(plain)
    namespace = dict(vars(plain))
    fields: dict[str, Any] = {}
    for name, kind in namespace.get("__annotations__", {}).items():
        given = namespace.pop(name, dataclasses.MISSING)
        own = isinstance(given, dataclasses.Field)
        field: Any = given if own else dataclasses.field(default=given)
        fields[name] = field
        field.name, field.type = name, kind
        field.kw_only, field._field_type = _FIELD.kw_only, _FIELD._field_type
    for name in ("__dict__", "__weakref__"):
        namespace.pop(name, None)
    namespace |= {
        "__slots__": tuple(fields),
        "__match_args__": tuple(fields),
        "__dataclass_fields__": fields,
        "__dataclass_params__": vars(_Sample)["__dataclass_params__"],
    }
    made = type(plain)(plain.__name__, (), namespace)
    made.__qualname__ = plain.__qualname__
    return made


def _fields_of(plain: Any) -> tuple[list[str], list[Any]]:
    kinds = vars(plain).get("__annotations__", {})
    return [*map(str, kinds.values())], [getattr(plain, name, None) for name in kinds]


def _is_plain(kind: str, given: Any) -> bool:
    field = isinstance(given, dataclasses.Field)
    special = field and given.kw_only is not dataclasses.MISSING
    shared = not field and type(given).__hash__ is None
    return not (special or shared or any(word in kind for word in _MEANT))


_MEANT = ("ClassVar", "InitVar", "KW_ONLY")
"""Annotations that make something else of a field."""


_FEW = 8


def _compiled_when_often_called(cls: Any) -> Any:
    fields, left = cls.__dataclass_fields__, _FEW

    def __init__(self: object, *values: object, **named: object) -> None:
        nonlocal left
        left -= 1
        if left < 0 or not _is_filled(self, fields, values, named):
            cls.__init__ = _init_of(cls)
            cls.__init__(self, *values, **named)

    return __init__


def _is_filled(
    value: object, fields: dict[str, Any], values: tuple[object, ...], named: dict[str, object]
) -> bool:
    """Fill the fields of a value; False where the arguments do not fit, which Python tells best."""
    given = dict(zip(fields, values, strict=False))
    if len(given) < len(values) or given.keys() & named or named.keys() - fields.keys():
        return False
    given |= named
    for name, field in fields.items():
        if name in given:
            made = given[name]
        elif field.default is not dataclasses.MISSING:
            made = field.default
        elif field.default_factory is not dataclasses.MISSING:
            made = field.default_factory()
        else:
            return False
        object.__setattr__(value, name, made)
    return True


def _init_of(cls: Any) -> Any:
    """``def __init__(self, a, b=_default_b): _set(self, "a", a); …``"""
    known: dict[str, Any] = {"_set": object.__setattr__, "_unset": _UNSET}
    parameters, body = ["self"], []
    for field in dataclasses.fields(cls):
        name = value = field.name
        if field.default_factory is not dataclasses.MISSING:
            known[f"_make_{name}"] = field.default_factory
            parameters.append(f"{name}=_unset")
            value = f"_make_{name}() if {name} is _unset else {name}"
        elif field.default is not dataclasses.MISSING:
            known[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}")
        else:
            parameters.append(name)
        body.append(f"_set(self, {name!r}, {value})")
    source = f"def __init__({', '.join(parameters)}):\n {'; '.join(body) or 'pass'}"
    exec(source, known)
    made = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"  # for messages
    return made


_UNSET = object()


def _values(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self))
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _equality(cls: Any, frozen: bool) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(cls) if field.compare]
    get = attrgetter(*names, "__class__")  # a tuple, however many fields there are

    def __eq__(self: object, other: object) -> Any:
        return get(self) == get(other) if other.__class__ is cls else NotImplemented

    def __hash__(self: object) -> int:
        return hash(get(self))

    return {"__eq__": __eq__, "__hash__": __hash__ if frozen else None}


def _setattr(self: object, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: object, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _setstate(self: Any, values: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), values, strict=True):
        object.__setattr__(self, field.name, value)


_FROZEN = {
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _values,
    "__setstate__": _setstate,
}
