"""Generated code for single values of the binary protocol, used by `_binary_reader` and `_binary_expected`.

All of it works on the variables `d`, `p`, `end` and `depth` of the function that is being written.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import msgspec

from idlrt.serialization._binary_layout import MINIMUM_SIZES, format_of, type_id
from idlrt.serialization._binary_skip import skip
from idlrt.serialization._hash_probes import watched_from
from idlrt.serialization._source import Source
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import NeedsSlowPath, missing, over_limit, too_deep, too_short, wrong_elements
from idlrt.serialization.options import text_errors_of
from idlrt.spec import (
    BaseType,
    EnumType,
    FrozenMap,
    ListType,
    MapType,
    SetType,
    StructType,
    Type,
)

__all__ = [
    "MISSING",
    "PADDING",
    "Read",
    "ReadMany",
    "Reader",
    "check_container",
    "is_string",
    "member",
    "read_elements",
    "read_length",
    "read_list_head",
    "read_pairs",
    "read_value",
    "string_start",
    "text",
]

Read: TypeAlias = Callable[[bytes, int, int, int], tuple[Any, int]]
"""`(data followed by PADDING, offset, end of the data, remaining struct depth)` → value, offset."""

ReadMany: TypeAlias = Callable[[bytes, int, int, int, int], tuple[list[Any], int]]
"""As `Read`, with the number of consecutive values → list, offset."""

PADDING = bytes(512)
"""Zero bytes after the data: the maximum that a single call may read beyond the end."""

MISSING: Any = msgspec.UNSET
"""Value of a variable whose field has not been read."""


class Reader:
    """Shared state of the parts of a function under construction.

    Args:
        label: what is read, for tracebacks.
        nested: gives the reader of another class; called when that class is first read.
        nested_many: the same for a row of values.
    """

    def __init__(
        self,
        label: str,
        limits: Limits,
        nested: Callable[[Any], Read],
        nested_many: Callable[[Any], ReadMany],
    ) -> None:
        self.label = label
        self.limits = limits
        errors = text_errors_of(limits)
        self.decode = "decode()" if errors == "strict" else f"decode('utf-8', {errors!r})"
        self.nested = nested
        self.nested_many = nested_many
        self.source = Source(
            {
                "MISSING": MISSING,
                "UUID": uuid.UUID,
                "FrozenMap": FrozenMap,
                "NeedsSlowPath": NeedsSlowPath,
                "missing": missing,
                "over_limit": over_limit,
                "skip": skip,
                "limits": limits,
                "too_deep": too_deep,
                "too_short": too_short,
                "wrong_elements": wrong_elements,
                "max_depth": limits.max_depth,
            }
        )

    def unpacker(self, format: str) -> str:
        """Return a name for the function that unpacks `format` at an offset."""
        return self.source.constant("U", struct.Struct(format).unpack_from, key=format)


def string_start(reader: Reader, length: str, start: str) -> str:
    """Move `p` after a string of `length` bytes at `start`; return its start."""
    source = reader.source
    name = source.local("s")
    source.line(f"{name} = {start}; p = {name} + {length}")
    if reader.limits.max_string < reader.limits.max_message:
        limit = reader.limits.max_string
        source.line(f"if {length} > {limit}: raise over_limit({name}, {length}, 'max_string', {limit})")
    return name


def member(source: Source, type: EnumType[Any], number: str) -> str:
    """Return an expression for the enum member of a number; a lookup costs a third of a call of the class."""
    members = source.constant("M", type.cls._value2member_map_, key=id(type.cls))
    return f"{members}[{number}] if {number} in {members} else {source.constant('E', type.cls)}({number})"


def read_value(reader: Reader, type: Type[Any], target: str) -> None:
    """Generate code that reads the value at `p` into `target` and moves `p` after it."""
    source = reader.source
    match type:
        case BaseType(name="bool"):
            source.line(f"{target} = d[p] != 0; p += 1")
        case BaseType(name="string" | "binary"):
            length = source.local("n")
            source.line(f"({length},) = {reader.unpacker('>I')}(d, p)")
            start = string_start(reader, length, "p+4")
            source.line(f"{target} = {text(reader, type, f'd[{start}:p]')}")
        case BaseType(name="uuid"):
            source.line(f"{target} = UUID(bytes=d[p:p+16]); p += 16")
        case EnumType() as enum_type:
            number = source.local("n")
            source.line(f"({number},) = {reader.unpacker('>i')}(d, p); p += 4")
            source.line(f"{target} = {member(source, enum_type, number)}")
        case BaseType() as base:
            format = format_of(base) or ""
            source.line(f"({target},) = {reader.unpacker('>' + format)}(d, p); p += {struct.calcsize('>' + format)}")
        case StructType() as referred:
            source.line(f"{target}, p = {_nested_name(reader, referred)}(d, p, end, depth - 1)")
        case ListType() | SetType() as sequence:
            length, element = source.local("n"), type_id(sequence.element)
            read_list_head(reader, length, element)
            read_length(reader, length, MINIMUM_SIZES[element])
            read_elements(reader, sequence, length, target)
        case MapType() as mapping:
            _read_map(reader, mapping, target)
        case _:
            raise TypeError(f"{type!r} cannot be read")


def read_length(reader: Reader, length: str, minimum: int) -> None:
    """Generate checks of a container's length against the rest of the message and the limit."""
    source = reader.source
    source.line(f"if {length} * {minimum} > end - p: raise too_short(p, {length} * {minimum}, end)")
    check_container(reader, length)


def check_container(reader: Reader, length: str) -> None:
    source = reader.source
    if reader.limits.max_container < reader.limits.max_message:
        limit = reader.limits.max_container
        source.line(f"if {length} > {limit}: raise over_limit(p, {length}, 'max_container', {limit})")


def _check_watched(reader: Reader, length: str, key: Type[Any]) -> None:
    """Defer to the careful reader for sets and maps whose keys must be checked for collisions."""
    watched = watched_from(key)
    if watched:
        reader.source.line(f"if {length} >= {watched}: raise NeedsSlowPath")


def read_list_head(reader: Reader, length: str, element: int) -> None:
    source = reader.source
    kind = source.local("t")
    source.line(f"{kind}, {length} = {reader.unpacker('>BI')}(d, p); p += 5")
    source.line(f"if {kind} != {element} and {length}: raise wrong_elements(p, {kind}, {element})")


def read_elements(
    reader: Reader, type: ListType[Any] | SetType[Any], length: str, target: str, ahead: str = ""
) -> None:
    """Generate code that reads the elements at `p`; `ahead` has the length of the first string, if it was read."""
    source = reader.source
    if isinstance(type, ListType):
        make = "tuple" if type.is_frozen else "list"
    else:
        make = "frozenset" if type.is_frozen else "set"
    if isinstance(type, SetType):
        _check_watched(reader, length, type.element)
    format = format_of(type.element)
    if format is not None:  # numbers in a row are one `struct` call
        size = struct.calcsize(">" + format)
        unpack = source.constant("unpack", struct.unpack_from)
        source.line(f"{target} = {make}({unpack}(f'>{{{length}}}{format}', d, p)); p += {length} * {size}")
        return
    if isinstance(type.element, BaseType) and type.element.name == "bool":
        source.line(f"{target} = {make}([b != 0 for b in d[p:p+{length}]]); p += {length}")
        return
    if isinstance(type.element, StructType):
        items = source.local("l")
        source.line(f"{items}, p = {_nested_name(reader, type.element, is_many=True)}(d, p, end, depth - 1, {length})")
        source.line(f"{target} = {items if make == 'list' else f'{make}({items})'}")
        return
    items, item = source.local("l"), source.local("e")
    source.line(f"{items} = []")
    if is_string(type.element):
        ahead = _read_ahead(reader, ahead)
        # For a handful of them that is quicker than a range.
        with source.block(f"while {length}:"):
            data = _string_and_next(reader, ahead)
            source.line(f"{items}.append({text(reader, type.element, data)}); {length} -= 1")
        source.line("p -= 4")
        source.line(f"{target} = {items if make == 'list' else f'{make}({items})'}")
        return
    with source.block(f"for _ in range({length}):"):
        read_value(reader, type.element, item)
        source.line(f"{items}.append({item})")
    source.line(f"{target} = {items if make == 'list' else f'{make}({items})'}")


def is_string(type: Type[Any]) -> bool:
    return isinstance(type, BaseType) and type.name in ("string", "binary")


def text(reader: Reader, type: Type[Any], data: str) -> str:
    """Return an expression for the value of a string with the bytes `data`."""
    return f"{data}.{reader.decode}" if isinstance(type, BaseType) and type.name == "string" else data


@cache
def _strings(after: str) -> tuple[Callable[..., Any], ...]:
    """Return readers by length below 256: a string of that length and `after` in one call."""
    return tuple(struct.Struct(f">{length}s{after}").unpack_from for length in range(256))


def _read_ahead(reader: Reader, ahead: str) -> str:
    """Start reading strings: move `p` after the first length; return the variable that has it."""
    if not ahead:
        ahead = reader.source.local("n")
        reader.source.line(f"({ahead},) = {reader.unpacker('>I')}(d, p)")
    reader.source.line("p += 4")
    return ahead


def _string_and_next(reader: Reader, ahead: str, between: str = "", value: str = "") -> str:
    """Generate code that reads a string of `ahead` bytes, an optional number, and the length of the next string.

    Behind the last string that length is read for nothing.

    Args:
        between: the format of the number that follows the string, for the name `value`.
    """
    source = reader.source
    length, data = source.local("n"), source.local("b")
    values, after = (f"{value}, {ahead}" if value else f"{ahead},"), between + "I"
    short = source.constant("S", _strings(after), key=("strings", after))
    if reader.limits.max_string < reader.limits.max_message:
        limit = reader.limits.max_string
        source.line(f"if {ahead} > {limit}: raise over_limit(p, {ahead}, 'max_string', {limit})")
    source.line(f"{length} = {ahead}")
    source.line(f"if {length} < 256: {data}, {values.rstrip(',')} = {short}[{length}](d, p)")
    rest = f"{values} = {reader.unpacker('>' + after)}(d, p+{length})"
    source.line(f"else: {data} = d[p:p+{length}]; {rest}")
    source.line(f"p += {length} + {struct.calcsize('>' + after)}")
    return data


def _read_map(reader: Reader, type: MapType[Any], target: str) -> None:
    source = reader.source
    key_id, value_id = type_id(type.key), type_id(type.value)
    key_kind, value_kind, length = source.local("t"), source.local("t"), source.local("n")
    source.line(f"{key_kind}, {value_kind}, {length} = {reader.unpacker('>BBI')}(d, p); p += 6")
    read_length(reader, length, MINIMUM_SIZES[key_id] + MINIMUM_SIZES[value_id])
    with source.block(f"if {length} and ({key_kind} != {key_id} or {value_kind} != {value_id}):"):
        source.line(f"raise wrong_elements(p, {key_kind}, {key_id}, {value_kind}, {value_id})")
    read_pairs(reader, type, length, target)


def read_pairs(reader: Reader, type: MapType[Any], length: str, target: str, ahead: str = "") -> None:
    """Generate code that reads the pairs at `p`; `ahead` has the length of the first key, if it was read."""
    source = reader.source
    _check_watched(reader, length, type.key)
    items, key, value = source.local("m"), source.local("k"), source.local("w")
    key_format, value_format = format_of(type.key), format_of(type.value)
    if key_format is not None and value_format is not None:
        pairs = struct.Struct(f">{key_format}{value_format}")
        unpack = source.constant("I", pairs.iter_unpack, key=pairs.format)
        source.line(f"{items} = dict({unpack}(d[p:p+{length}*{pairs.size}])); p += {length} * {pairs.size}")
    elif is_string(type.key) and (value_format is not None or is_string(type.value)):
        source.line(f"{items} = {{}}")
        ahead = _read_ahead(reader, ahead)
        with source.block(f"while {length}:"):
            if value_format is not None:
                data = _string_and_next(reader, ahead, value_format, value)
            else:
                data = _string_and_next(reader, ahead)
                value = text(reader, type.value, _string_and_next(reader, ahead))
            source.line(f"{items}[{text(reader, type.key, data)}] = {value}; {length} -= 1")
        source.line("p -= 4")
    else:
        source.line(f"{items} = {{}}")
        with source.block(f"for _ in range({length}):"):
            read_value(reader, type.key, key)
            read_value(reader, type.value, value)
            source.line(f"{items}[{key}] = {value}")
    source.line(f"{target} = {f'FrozenMap({items})' if type.is_frozen else items}")


def _nested_name(reader: Reader, type: StructType[Any], *, is_many: bool = False) -> str:
    """Return a name for the reader of another class, compiled on its first call."""
    name = f"{'L' if is_many else 'R'}{id(type)}"
    names = reader.source.names

    def first_call(*arguments: Any) -> Any:
        read = names[name] = reader.nested_many(type.cls) if is_many else reader.nested(type.cls)
        return read(*arguments)

    names.setdefault(name, first_call)
    return name
