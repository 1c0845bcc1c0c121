"""Values of our generated classes as a peer's classes, and back: walked along our tables of fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from idlrt.spec import BaseType, EnumType, FrozenMap, ListType, MapType, SetType, StructType, Type, Union

Classes = Mapping[str, Any]


def to_peer(value: Any, type: Type[Any], classes: Classes) -> Any:
    """`value` of `type`, as the peer has it. Lists, sets and maps keep their order.

    Args:
        classes: the peer's, by name; and as "frozen map" what it has for maps that are keys.
    """
    if value is None:
        return None
    match type:
        case StructType() as referred:
            made = classes[referred.cls.__name__]()
            for field in referred.cls.__thrift_fields__:
                setattr(made, field.name, to_peer(getattr(value, field.attribute), field.type, classes))
            return made
        case EnumType():
            return int(value)
        case ListType() as sequence:
            items = [to_peer(item, sequence.element, classes) for item in value]
            return tuple(items) if sequence.is_frozen else items
        case SetType() as sequence:
            # A copy of a set may have another order; who writes a set takes a list, or as a key a tuple, as well.
            if isinstance(sequence.element, BaseType):
                return tuple(value) if sequence.is_frozen else value
            items = [to_peer(item, sequence.element, classes) for item in value]
            return tuple(items) if sequence.is_frozen else items
        case MapType() as mapping:
            made = {
                to_peer(key, mapping.key, classes): to_peer(item, mapping.value, classes) for key, item in value.items()
            }
            return classes["frozen map"](made) if mapping.is_frozen else made
        case _:
            return value


def from_peer(value: Any, type: Type[Any]) -> Any:
    """A peer's value of `type`, as ours."""
    if value is None:
        return None
    match type:
        case StructType() as referred:
            values = {
                field.attribute: from_peer(getattr(value, field.name), field.type)
                for field in referred.cls.__thrift_fields__
            }
            if issubclass(referred.cls, Union):
                values = {name: each for name, each in values.items() if each is not None}
            return referred.cls(**values)
        case EnumType() as enum_type:
            return enum_type.cls(value)
        case ListType() as sequence:
            items = [from_peer(item, sequence.element) for item in value]
            return tuple(items) if sequence.is_frozen else items
        case SetType() as sequence:
            found = frozenset(from_peer(item, sequence.element) for item in value)
            return found if sequence.is_frozen else set(found)
        case MapType() as mapping:
            pairs = {from_peer(key, mapping.key): from_peer(item, mapping.value) for key, item in value.items()}
            return FrozenMap(pairs) if mapping.is_frozen else pairs
        case _:
            return value
