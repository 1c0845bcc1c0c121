"""Constants and defaults as Python expressions."""

from __future__ import annotations

import math

from idlc.codegen.python.imports import Imports
from idlc.codegen.python.wrap import Node, Pair, call, display
from idlc.model import (
    BaseType,
    Constant,
    EnumConstant,
    Field,
    ListConstant,
    ListType,
    MapConstant,
    MapType,
    SetConstant,
    SetType,
    StructConstant,
    Type,
    resolve,
)

__all__ = ["is_immutable", "quoted", "value"]


def is_immutable(constant: Constant) -> bool:
    """Whether all instances can share the value as a default."""
    return isinstance(constant, (bool, int, float, str, bytes, EnumConstant))


def value(constant: Constant, type: Type, imports: Imports, *, is_key: bool = False) -> Node:
    """The expression of a constant of `type`; a new object each time it is evaluated."""
    type = resolve(type)
    match constant:
        case EnumConstant(enum=enum, number=number, member=member):
            name = imports.name(enum)
            return f"{name}({number})" if member is None else f"{name}.{imports.members.of_enum(enum)[id(member)]}"
        case ListConstant(items=items):
            assert isinstance(type, ListType)
            inner = [value(item, type.element, imports, is_key=is_key) for item in items]
            return display("()" if is_key else "[]", *inner)
        case SetConstant(items=items):
            assert isinstance(type, SetType)
            inner = [value(item, type.element, imports, is_key=True) for item in items]
            plain = display("{}", *inner) if inner else "set()"
            return call("frozenset", *([plain] if inner else [])) if is_key else plain
        case MapConstant(pairs=pairs):
            assert isinstance(type, MapType)
            inner = [
                Pair(
                    Pair(value(key, type.key, imports, is_key=True), ": "),
                    value(item, type.value, imports, is_key=is_key),
                )
                for key, item in pairs
            ]
            plain = display("{}", *inner)
            return call("rpc.FrozenMap", plain) if is_key else plain
        case StructConstant(struct=struct, fields=fields):
            given = imports.members.of_struct(struct)
            inner = [_keyword(field, item, given, imports) for field, item in fields]
            return call(imports.name(struct), *inner)
        case str() if isinstance(type, BaseType) and type.name == "uuid":
            return f"rpc.Uuid({quoted(constant)})"
        case str():
            return quoted(constant)
        case bytes():
            return _quoted_bytes(constant)
        case float():
            return repr(constant).replace("e+", "e") if math.isfinite(constant) else f'float("{constant}")'
        case bool() | int():
            return repr(constant)


def _keyword(field: Field, item: Constant, given: dict[int, str], imports: Imports) -> Node:
    return Pair(f"{given[id(field)]}=", value(item, field.type, imports))


def quoted(text: str) -> str:
    """A string literal."""
    return _between_quotes("".join(map(_escape, text)))


def _escape(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _quoted_bytes(data: bytes) -> str:
    body = "".join("\\\\" if byte == 92 else chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in data)
    return "b" + _between_quotes(body)


def _between_quotes(body: str) -> str:
    """Double quotes, unless single ones need fewer backslashes."""
    quote = "'" if body.count('"') > body.count("'") else '"'
    return quote + body.replace(quote, "\\" + quote) + quote
