"""Conversion of literals and constants to types, and descriptions of both for messages.

All functions are pure and report nothing; conversions return `None` if the value does not fit the type.
"""

from __future__ import annotations

import math
import re
from uuid import UUID

from idlc.model.program import (
    BaseType,
    Constant,
    Enum,
    EnumConstant,
    ListConstant,
    ListType,
    MapConstant,
    MapType,
    Reference,
    SetConstant,
    Struct,
    StructConstant,
    Type,
    resolve,
)
from idlc.source import SourceFile
from idlc.syntax import nodes
from idlc.syntax.literals import binary

__all__ = [
    "convert",
    "describe",
    "describe_members",
    "fits",
    "identity",
    "kind_of_constant",
    "read_base",
]

_BITS = {"i8": 7, "i16": 15, "i32": 31, "i64": 63}
# Messages list at most this many members of an enum.
_SHOWN = 10
_UUID = re.compile(r"\{?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\}?")


def read_base(node: nodes.Value, type: BaseType, source: SourceFile) -> Constant | None:
    """Return the value of a literal as a base type, or `None`. The range of integers is checked by `fits`, not here."""
    name = type.name
    if isinstance(node, nodes.ConstantName):
        node = nodes.IntLiteral(node.start, node.end, int(node.text == "true"))
        if name == "double":
            return None
    if isinstance(node, nodes.IntLiteral):
        if name == "bool":
            return bool(node.value) if node.value in (0, 1) else node.value
        if name in _BITS:
            return node.value
        return float(node.value) if name == "double" else None
    if isinstance(node, nodes.DoubleLiteral):
        return node.value if name == "double" else None
    if isinstance(node, nodes.StringLiteral):
        if name == "binary":
            return binary(source.text[node.start + 1 : node.end - 1])
        return _text_as(node.value, name)
    return None


def _text_as(text: str, name: str) -> Constant | None:
    if name == "string":
        return text
    if name == "binary":
        return text.encode("utf-8", "surrogatepass")
    if name == "uuid" and (found := _UUID.fullmatch(text)):
        return str(UUID(found.group(1)))
    return None


def fits(value: Constant, type: BaseType) -> bool:
    """Return whether a value of `read_base` is in the range of its type."""
    if type.name == "bool":
        return isinstance(value, bool)
    if type.name == "double":
        return isinstance(value, float) and math.isfinite(value)
    bits = _BITS.get(type.name)
    return bits is None or (isinstance(value, int) and -(1 << bits) <= value < 1 << bits)


def convert(value: Constant, type: Type) -> Constant | None:
    """Convert a constant to another type; return `None` if it does not fit."""
    wire = resolve(type)
    if isinstance(wire, BaseType):
        return _convert_base(value, wire)
    if isinstance(wire, Reference):
        return _convert_reference(value, wire)
    if isinstance(wire, MapType):
        if not isinstance(value, MapConstant):
            return None
        pairs = [(convert(key, wire.key), convert(item, wire.value)) for key, item in value.pairs]
        whole = [(key, item) for key, item in pairs if key is not None and item is not None]
        return MapConstant(tuple(whole)) if len(whole) == len(pairs) else None
    if not isinstance(value, ListConstant | SetConstant):
        return None
    items = [convert(item, wire.element) for item in value.items]
    found = tuple(item for item in items if item is not None)
    if len(found) < len(items):
        return None
    if isinstance(wire, ListType):
        return ListConstant(found)
    return SetConstant(tuple({identity(item): item for item in reversed(found)}.values())[::-1])


def _convert_base(value: Constant, type: BaseType) -> Constant | None:
    if isinstance(value, EnumConstant):
        value = value.number
    if isinstance(value, bool | int):
        if type.name == "bool":
            return bool(value) if value in (0, 1) else None
        if type.name in _BITS:
            return int(value) if fits(int(value), type) else None
        return float(value) if type.name == "double" and not isinstance(value, bool) else None
    if isinstance(value, float):
        return value if type.name == "double" else None
    if isinstance(value, bytes):
        return value if type.name == "binary" else None
    return _text_as(value, type.name) if isinstance(value, str) else None


def _convert_reference(value: Constant, type: Reference) -> Constant | None:
    if isinstance(type.target, Struct):
        return value if isinstance(value, StructConstant) and value.struct is type.target else None
    assert isinstance(type.target, Enum)
    if isinstance(value, EnumConstant):
        return value if value.enum is type.target else None
    if isinstance(value, int) and not isinstance(value, bool):
        member = next((member for member in type.target.members if member.value == value), None)
        return EnumConstant(type.target, value, member)
    return None


def identity(value: object) -> object:
    """Return a hashable key of a constant, which is equal for equal constants and different for different ones."""
    if isinstance(value, EnumConstant):
        return ("enum", id(value.enum), value.number)
    if isinstance(value, ListConstant):
        return ("list", tuple(identity(item) for item in value.items))
    if isinstance(value, SetConstant):
        return ("set", frozenset(identity(item) for item in value.items))
    if isinstance(value, MapConstant):
        return ("map", frozenset((identity(key), identity(item)) for key, item in value.pairs))
    if isinstance(value, StructConstant):
        return ("struct", frozenset((field.name, identity(item)) for field, item in value.fields))
    return (type(value).__name__, value)


def describe(node: nodes.Value) -> str:
    """Return the kind of a literal, with an article, for messages."""
    match node:
        case nodes.IntLiteral():
            return "an integer"
        case nodes.DoubleLiteral():
            return "a double"
        case nodes.StringLiteral():
            return "a string"
        case nodes.ConstantName():
            return "a bool"
        case nodes.ListLiteral():
            return "a list"
        case nodes.MapLiteral():
            return "a map"


def kind_of_constant(value: Constant) -> str:
    """Return the kind of a constant, with an article, for messages."""
    match value:
        case bool():
            return "a bool"
        case int():
            return "an integer"
        case float():
            return "a double"
        case str():
            return "a string"
        case bytes():
            return "a binary"
        case EnumConstant():
            return f"a member of enum `{value.enum.name}`"
        case ListConstant():
            return "a list"
        case SetConstant():
            return "a set"
        case MapConstant():
            return "a map"
        case StructConstant():
            return f"a `{value.struct.name}`"


def describe_members(enum: Enum) -> str:
    """List the members of an enum, for help texts."""
    names = [f"`{member.name}`" for member in enum.members]
    if not names:
        return f"`{enum.name}` has no members"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"its members are {', '.join(names[:_SHOWN])}{more}"
