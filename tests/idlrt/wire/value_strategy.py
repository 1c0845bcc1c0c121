"""Values of any type in a table of fields, as hypothesis makes them."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import strategies as st

from idlrt.spec import (
    BaseType,
    EnumType,
    FrozenMap,
    ListType,
    MapType,
    SetType,
    StructType,
    Type,
    Union,
)

_INTEGERS = {"i8": 2**7, "i16": 2**15, "i32": 2**31, "i64": 2**63}
_MOST = 4


def values(cls: Any, depth: int = 3) -> st.SearchStrategy[Any]:
    """Values of a generated class.

    Args:
        depth: structs within structs; below that optional fields are left out.
    """
    fields = cls.__thrift_fields__
    if issubclass(cls, Union):
        arms = [field for field in fields if depth > 0 or isinstance(field.type, BaseType)]
        return st.one_of(*[_of(field.type, depth).map(functools.partial(_arm, cls, field.attribute)) for field in arms])
    needed = {field.attribute: _of(field.type, depth) for field in fields if field.is_required}
    # A field that has a default of its own is not None.
    extra = {field.attribute: _of(field.type, depth) for field in fields if not field.is_required and depth > 0}
    made = st.fixed_dictionaries(needed, optional=extra)
    return made.map(lambda chosen: cls(**chosen))


def _arm(cls: Any, attribute: str, value: Any) -> Any:
    return cls(**{attribute: value})


def _of(type: Type[Any], depth: int) -> st.SearchStrategy[Any]:
    match type:
        case BaseType(name="bool"):
            return st.booleans()
        case BaseType(name="double"):
            return st.floats(allow_nan=False)
        case BaseType(name="string"):
            return st.text(max_size=20)
        case BaseType(name="binary"):
            return st.binary(max_size=20)
        case BaseType(name="uuid"):
            return st.uuids()
        case BaseType(name=name):
            return st.integers(-_INTEGERS[name], _INTEGERS[name] - 1)
        case EnumType() as enum_type:
            return (st.sampled_from(list(enum_type.cls)) | st.integers(-(2**31), 2**31 - 1)).map(enum_type.cls)
        case StructType() as referred:
            return st.deferred(lambda: values(referred.cls, depth - 1))
        case ListType() as sequence:
            items = st.lists(_of(sequence.element, depth), max_size=_MOST if depth > 0 else 0)
            return items.map(tuple) if sequence.is_frozen else items
        case SetType() as sequence:
            items = st.lists(_of(sequence.element, depth), max_size=_MOST if depth > 0 else 0)
            return items.map(frozenset if sequence.is_frozen else set)
        case MapType() as mapping:
            pair = st.tuples(_of(mapping.key, depth), _of(mapping.value, depth))
            made = st.lists(pair, max_size=_MOST if depth > 0 else 0).map(dict)
            return made.map(FrozenMap) if mapping.is_frozen else made
        case _:
            raise AssertionError(f"{type!r} has no values")
