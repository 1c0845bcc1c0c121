"""Write constants and default values as Python expressions."""

from __future__ import annotations

import math

from idlc.codegen.python.imports import Imports
from idlc.model import (
    BaseType,
    Constant,
    EnumConstant,
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
    """Whether instances can share the value as a default."""
    return isinstance(constant, (bool, int, float, str, bytes, EnumConstant))


def value(constant: Constant, type: Type, imports: Imports, *, is_key: bool = False) -> str:
    """Return the expression of a constant of `type`. Each evaluation of it makes a new object.

    Args:
        is_key: the value is in key position, where containers are frozen.
    """
    type = resolve(type)
    match constant:
        case EnumConstant(enum=enum, number=number, member=member):
            name = imports.name(enum)
            return f"{name}({number})" if member is None else f"{name}.{imports.members.of_enum(enum)[id(member)]}"
        case ListConstant(items=items):
            assert isinstance(type, ListType)
            inner = [value(item, type.element, imports, is_key=is_key) for item in items]
            if not is_key:
                return f"[{', '.join(inner)}]"
            return f"({inner[0]},)" if len(inner) == 1 else f"({', '.join(inner)})"
        case SetConstant(items=items):
            assert isinstance(type, SetType)
            inner = [value(item, type.element, imports, is_key=True) for item in items]
            plain = f"{{{', '.join(inner)}}}" if inner else ""
            return f"frozenset({plain})" if is_key else plain or "set()"
        case MapConstant(pairs=pairs):
            assert isinstance(type, MapType)
            inner = [
                f"{value(key, type.key, imports, is_key=True)}: {value(item, type.value, imports, is_key=is_key)}"
                for key, item in pairs
            ]
            plain = f"{{{', '.join(inner)}}}"
            return f"rpc.FrozenMap({plain})" if is_key else plain
        case StructConstant(struct=struct, fields=fields):
            given = imports.members.of_struct(struct)
            inner = [f"{given[id(field)]}={value(item, field.type, imports)}" for field, item in fields]
            return f"{imports.name(struct)}({', '.join(inner)})"
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


def quoted(text: str) -> str:
    """Return `text` as a string literal."""
    if text.isprintable() and "\\" not in text and '"' not in text:
        return f'"{text}"'
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
