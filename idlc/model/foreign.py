"""Type names that people bring along from other languages, and what Thrift calls them."""

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
_THRIFT_NAMES = {foreign: ours for ours, names in _SAME.items() for foreign in names.split()}

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
    """A message about `name` and what to write instead (may be empty); `None` for a name nobody would expect."""
    if name == "void":
        return "`void` is not a type of values; only a function can return it", ""
    if name == "slist":
        return "`slist` is no longer part of Thrift", "string"
    if name == "float":
        return "`float` is fbthrift's and is not supported", "double"
    if name in ("list", "set", "map"):
        return f"`{name}` needs the type of what is in it", ""
    if name in _THRIFT_NAMES:
        return f"Thrift has no type `{name}`", _THRIFT_NAMES[name]
    if name in _UNSIGNED:
        return f"Thrift has no unsigned type `{name}`", _UNSIGNED[name]
    if name in _CONTAINERS:
        return f"Thrift has no type `{name}`", f"{_CONTAINERS[name]}<...>"
    return None
