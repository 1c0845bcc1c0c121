"""Type names of other languages, and the Thrift types that correspond to them."""

from __future__ import annotations

__all__ = ["foreign_type"]

_SAME = {
    "i8": "int8 sbyte int8_t char",
    "i16": "int16 short int16_t",
    "i32": "int int32 integer int32_t sint32 Integer Int32",
    "i64": "long int64 int64_t sint64 Long Int64",
    "double": "double64 float32 float64 real decimal Double Float",
    "string": "str String text varchar",
    "bool": "boolean Boolean Bool",
    "binary": "bytes blob bytearray Bytes",
    "uuid": "UUID Uuid guid GUID",
}
_THRIFT_NAMES = {foreign: thrift for thrift, names in _SAME.items() for foreign in names.split()}

_UNSIGNED = {
    "uint8": "i16",
    "u8": "i16",
    "uint16": "i32",
    "u16": "i32",
    "uint32": "i64",
    "u32": "i64",
    "unsigned": "i64",
    "uint": "i64",
    "uint64": "i64",
    "u64": "i64",
    "ui64": "i64",
}

_CONTAINERS = {
    "array": "list",
    "vector": "list",
    "dict": "map",
    "hashmap": "map",
    "List": "list",
    "Map": "map",
    "Set": "set",
}


def foreign_type(name: str) -> tuple[str, str] | None:
    """Return a message about a known foreign type name and its replacement (may be empty), or `None`."""
    if name == "void":
        return "`void` is only allowed as a return type", ""
    if name == "slist":
        return "`slist` is no longer part of Thrift", "string"
    if name == "float":
        return "`float` is a type of fbthrift and not supported", "double"
    if name == "map":
        return "`map` requires a key type and a value type", ""
    if name in ("list", "set"):
        return f"`{name}` requires an element type", ""
    if name in _THRIFT_NAMES:
        return f"Thrift has no type `{name}`", _THRIFT_NAMES[name]
    if name in _UNSIGNED:
        return f"Thrift has no unsigned type `{name}`", _UNSIGNED[name]
    if name in _CONTAINERS:
        return f"Thrift has no type `{name}`", f"{_CONTAINERS[name]}<...>"
    return None
