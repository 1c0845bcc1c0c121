"""Compiles a table of fields into a Python function that reads it from the binary protocol.

The function tries the fields in the order in which writers write them. One `struct` call reads a field's
head (type and id, compared as three bytes) together with the four bytes behind it, which are already the
value, or the length, of most types. What no field took, out of order or unknown, goes round the loop again
or is skipped. The text for

    1: required i64 id   2: optional string name

is

    def read(d, p, end, depth):
     if depth < 0: ...
     f0 = MISSING; f1 = None
     while True:
      q = p; h, x = U(d, p)
      if h == K1: f0, h, x = U1(d, p+3); p += 11
      if h == K2: s = p+7; p = s+x; f1 = d[s:p].decode(); h, x = U(d, p)
      if not d[p]: break
      if p == q: p = skip(...)
     if p >= end: raise too_short(...)
     if f0 is MISSING: ...
     return C(id=f0, name=f1), p + 1

`d` is the message with some zero bytes behind it: reading a little too far reads a stop byte, and
`p >= end` notices once, at the end. Slices cannot reach past `d`, so only the lengths of containers are
checked at once, against what is left of the message, before anything is allocated for them. Where a reader
fails, the same message is read again by its careful twin (`is_careful`), which checks every step and
can say which field it was.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from idlrt.spec import (
    BaseType,
    DeclaredError,
    EnumType,
    Field,
    FrozenMap,
    ListType,
    MapType,
    SetType,
    StructType,
    Type,
    Union,
)
from idlrt.wire._binary_layout import MINIMUM_SIZES, format_of, type_id
from idlrt.wire._binary_skip import missing, over_limit, skip, too_deep, too_short, wrong_elements
from idlrt.wire._source import Source
from idlrt.wire.protocol import Limits

__all__ = ["PADDING", "Read", "compile_record_reader", "compile_struct_reader"]

Read: TypeAlias = Callable[[bytes, int, int, int], tuple[Any, int]]
"""`(data with PADDING behind it, offset, offset where the data ends, structs that may still nest)` → value, offset."""

PADDING = bytes(32)

_MISSING: Any = msgspec.UNSET


class _Reader:
    """What all functions of one reader share while it is written."""

    def __init__(self, label: str, limits: Limits, nested: Callable[[Any], Read], *, is_careful: bool) -> None:
        self.label = label
        self.limits = limits
        self.is_careful = is_careful
        self.nested = nested
        self.source = Source(
            {
                "MISSING": _MISSING,
                "UUID": uuid.UUID,
                "FrozenMap": FrozenMap,
                "missing": missing,
                "over_limit": over_limit,
                "skip": skip,
                "too_deep": too_deep,
                "too_short": too_short,
                "wrong_elements": wrong_elements,
                "max_depth": limits.max_depth,
            }
        )

    def unpacker(self, format: str) -> str:
        return self.source.constant("U", struct.Struct(format).unpack_from, key=format)


def compile_struct_reader(cls: Any, limits: Limits, nested: Callable[[Any], Read], *, is_careful: bool = False) -> Read:
    """The reader of a generated class.

    Args:
        nested: gives the reader of another class; called when that class is first read.
        is_careful: check every step, to say exactly what is wrong.
    """
    reader = _Reader(cls.__name__, limits, nested, is_careful=is_careful)
    source = reader.source
    fields = sorted(cls.__thrift_fields__, key=lambda field: field.id)
    defaults = _class_defaults(cls)
    variables = [f"f{index}" for index in range(len(fields))]
    is_union = issubclass(cls, Union)
    with source.block("def read(d, p, end, depth):"):
        source.line(f"if depth < 0: raise too_deep(p, {reader.label!r}, max_depth)")
        initial: dict[str, list[str]] = {}
        for field, variable in zip(fields, variables, strict=True):
            default = None if is_union else defaults.get(field.attribute, _MISSING)
            if field.is_required or not (default is None or isinstance(default, (int, float, str, bytes))):
                value = "MISSING"
            else:
                value = "None" if default is None else source.constant("D", default, key=(field.id, default))
            initial.setdefault(value, []).append(variable)
        for value, names in initial.items():
            source.line(f"{' = '.join(names)} = {value}")
        if is_union:
            source.line("unknown = False")
        _read_fields(reader, fields, variables, is_union=is_union)
        for field, variable in zip(fields, variables, strict=True):
            default = defaults.get(field.attribute, _MISSING)
            if field.is_required:
                with source.block(f"if {variable} is MISSING:"):
                    source.line(f"raise missing(p, {reader.label!r}, {field.name!r})")
            elif not is_union and callable(default):
                source.line(f"if {variable} is MISSING: {variable} = {source.constant('D', default)}()")
        constructor = source.constant("C", cls)
        keywords = ", ".join(f"{field.attribute}={variable}" for field, variable in zip(fields, variables, strict=True))
        if is_union:
            source.line(f"if unknown and {' and '.join([f'{v} is None' for v in variables] or ['True'])}:")
            source.line(f" return {source.constant('empty', _empty_union)}({constructor}), p + 1")
        source.line(f"return {constructor}({keywords}), p + 1")
    compiled: Read = source.function("read", f"<binary reader of {reader.label}>")
    return compiled


def compile_record_reader(
    fields: Sequence[Field[Any]],
    defaults: Sequence[Any],
    limits: Limits,
    nested: Callable[[Any], Read],
    *,
    is_careful: bool = False,
) -> Read:
    """The reader of fields without a class: it answers a tuple in the order of `fields`."""
    reader = _Reader("arguments", limits, nested, is_careful=is_careful)
    source = reader.source
    variables = {field.id: f"f{index}" for index, field in enumerate(fields)}
    in_order = sorted(fields, key=lambda field: field.id)
    with source.block("def read(d, p, end, depth):"):
        for index, field in enumerate(fields):
            default = defaults[index] if index < len(defaults) else None
            initial = "MISSING" if field.is_required else source.constant("D", default, key=("default", index))
            source.line(f"{variables[field.id]} = {initial}")
        _read_fields(reader, in_order, [variables[field.id] for field in in_order], is_union=False)
        for field in fields:
            if field.is_required:
                with source.block(f"if {variables[field.id]} is MISSING:"):
                    source.line(f"raise missing(p, {reader.label!r}, {field.name!r})")
        source.line(f"return ({''.join(variables[field.id] + ', ' for field in fields)}), p + 1")
    compiled: Read = source.function("read", "<binary reader of record>")
    return compiled


def _class_defaults(cls: Any) -> dict[str, Any]:
    """Python name → default value, or the function that makes it, of the fields that have one."""
    if issubclass(cls, DeclaredError):
        declared: dict[str, Any] = {}
        for name, default in cls.__declared_defaults__.items():
            if isinstance(default, type(msgspec.field())):
                default = default.default if default.default_factory is msgspec.NODEFAULT else default.default_factory
            declared[name] = default
        return {name: default for name, default in declared.items() if default is not msgspec.NODEFAULT}
    names: tuple[str, ...] = cls.__struct_fields__
    values: tuple[Any, ...] = cls.__struct_defaults__
    found: dict[str, Any] = {}
    for name, default in zip(reversed(names), reversed(values), strict=False):
        if default is not msgspec.NODEFAULT:
            found[name] = getattr(default, "factory", default)
    return found


def _empty_union(cls: Any) -> Any:
    """A union whose set field only a newer peer knows."""
    name = cls.__struct_fields__[0]
    union = cls(**{name: _MISSING})
    setattr(union, name, None)
    return union


def _read_fields(reader: _Reader, fields: Sequence[Field[Any]], variables: list[str], *, is_union: bool) -> None:
    source = reader.source
    head_and_word = reader.unpacker(">3sI")
    with source.block("while True:"):
        source.line(f"q = p; h, x = {head_and_word}(d, p)")
        for field, variable in zip(fields, variables, strict=True):
            head = source.constant("K", struct.pack(">bh", type_id(field.type), field.id))
            with source.block(f"if h == {head}:"):
                label = f"{reader.label}.{field.name}"
                format = format_of(field.type)
                if format in ("q", "d"):  # the value and the next head in one call
                    source.line(f"{variable}, h, x = {reader.unpacker(f'>{format}3sI')}(d, p+3); p += 11")
                else:
                    _read_after_head(reader, field.type, variable, label)
                    source.line(f"h, x = {head_and_word}(d, p)")
        source.line("if not d[p]: break")
        with source.block("if p == q:"):
            if is_union:
                source.line("unknown = True")
            source.line("p = skip(d, p+3, end, d[p], depth, max_depth)")
    source.line("if p >= end: raise too_short(p, 1, end, " + repr(reader.label) + ")")


def _read_after_head(reader: _Reader, type: Type[Any], target: str, label: str) -> None:
    """Read the value whose head is at `p`; `x` holds the four bytes behind the head."""
    source = reader.source
    match type:
        case BaseType(name="bool"):
            source.line(f"{target} = x > 0xFFFFFF; p += 4")
        case BaseType(name="i32"):
            source.line(f"{target} = x if x < 0x80000000 else x - 0x100000000; p += 7")
        case EnumType() as enum_type:
            number = source.local("n")
            source.line(f"{number} = x if x < 0x80000000 else x - 0x100000000; p += 7")
            source.line(f"{target} = {_member(source, enum_type, number)}")
        case BaseType(name="string" | "binary" as name):
            start = _string_start(reader, "x", "p+7", label)
            source.line(f"{target} = d[{start}:p]{'.decode()' if name == 'string' else ''}")
        case ListType() | SetType() as sequence:
            length, element = source.local("n"), type_id(sequence.element)
            # The usual case, the right type and fewer than 256 elements, is one comparison.
            with source.block(f"if x == {element << 24}:"):
                source.line(f"{length} = d[p+7]; p += 8")
            with source.block("else:"):
                source.line("p += 3")
                _read_list_head(reader, length, element, label)
            _read_length(reader, length, MINIMUM_SIZES[element], label)
            _read_elements(reader, sequence, length, target, label)
        case _:
            source.line("p += 3")
            _read_value(reader, type, target, label)


def _string_start(reader: _Reader, length: str, start: str, label: str) -> str:
    """Move `p` behind a string of `length` bytes that starts at `start`; answers where it starts."""
    source = reader.source
    name = source.local("s")
    source.line(f"{name} = {start}; p = {name} + {length}")
    if reader.is_careful:
        source.line(f"if p > end: raise too_short({name}, {length}, end, {label!r})")
    if reader.limits.max_string < reader.limits.max_message:
        limit = reader.limits.max_string
        source.line(f"if {length} > {limit}: raise over_limit({name}, {length}, 'max_string', {limit}, {label!r})")
    return name


def _member(source: Source, type: EnumType[Any], number: str) -> str:
    """An expression for the enum's value of a number; calling the class costs three times a look-up."""
    members = source.constant("M", type.cls._value2member_map_, key=id(type.cls))
    return f"{members}[{number}] if {number} in {members} else {source.constant('E', type.cls)}({number})"


def _read_value(reader: _Reader, type: Type[Any], target: str, label: str) -> None:
    """Read the value at `p` into `target`, and leave `p` behind it."""
    source = reader.source
    match type:
        case BaseType(name="bool"):
            source.line(f"{target} = d[p] != 0; p += 1")
        case BaseType(name="string" | "binary" as name):
            length = source.local("n")
            source.line(f"({length},) = {reader.unpacker('>I')}(d, p)")
            start = _string_start(reader, length, "p+4", label)
            source.line(f"{target} = d[{start}:p]{'.decode()' if name == 'string' else ''}")
        case BaseType(name="uuid"):
            source.line(f"{target} = UUID(bytes=d[p:p+16]); p += 16")
        case EnumType() as enum_type:
            number = source.local("n")
            source.line(f"({number},) = {reader.unpacker('>i')}(d, p); p += 4")
            source.line(f"{target} = {_member(source, enum_type, number)}")
        case BaseType() as base:
            format = format_of(base) or ""
            source.line(f"({target},) = {reader.unpacker('>' + format)}(d, p); p += {struct.calcsize('>' + format)}")
        case StructType() as referred:
            source.line(f"{target}, p = {_nested_name(reader, referred)}(d, p, end, depth - 1)")
        case ListType() | SetType() as sequence:
            length, element = source.local("n"), type_id(sequence.element)
            _read_list_head(reader, length, element, label)
            _read_length(reader, length, MINIMUM_SIZES[element], label)
            _read_elements(reader, sequence, length, target, label)
        case MapType() as mapping:
            _read_map(reader, mapping, target, label)
        case _:
            raise TypeError(f"{type!r} cannot be read")


def _read_length(reader: _Reader, length: str, minimum: int, label: str) -> None:
    """Check a container's announced length against the rest of the message, and against the limit."""
    source = reader.source
    source.line(f"if {length} * {minimum} > end - p: raise too_short(p, {length} * {minimum}, end, {label!r})")
    if reader.limits.max_container < reader.limits.max_message:
        limit = reader.limits.max_container
        source.line(f"if {length} > {limit}: raise over_limit(p, {length}, 'max_container', {limit}, {label!r})")


def _read_list_head(reader: _Reader, length: str, element: int, label: str) -> None:
    source = reader.source
    kind = source.local("t")
    source.line(f"{kind}, {length} = {reader.unpacker('>BI')}(d, p); p += 5")
    source.line(f"if {kind} != {element} and {length}: raise wrong_elements(p, {kind}, {element}, {label!r})")


def _read_elements(reader: _Reader, type: ListType[Any] | SetType[Any], length: str, target: str, label: str) -> None:
    source = reader.source
    if isinstance(type, ListType):
        make = "tuple" if type.is_frozen else "list"
    else:
        make = "frozenset" if type.is_frozen else "set"
    format = format_of(type.element)
    if format is not None:  # numbers in a row are one `struct` call
        size = struct.calcsize(">" + format)
        unpack = source.constant("unpack", struct.unpack_from)
        source.line(f"{target} = {make}({unpack}(f'>{{{length}}}{format}', d, p)); p += {length} * {size}")
        return
    if isinstance(type.element, BaseType) and type.element.name == "bool":
        source.line(f"{target} = {make}([b != 0 for b in d[p:p+{length}]]); p += {length}")
        return
    items, item = source.local("l"), source.local("e")
    source.line(f"{items} = []; add{items} = {items}.append")
    with source.block(f"for _ in range({length}):"):
        _read_value(reader, type.element, item, label)
        source.line(f"add{items}({item})")
    source.line(f"{target} = {items if make == 'list' else f'{make}({items})'}")


def _read_map(reader: _Reader, type: MapType[Any], target: str, label: str) -> None:
    source = reader.source
    key_id, value_id = type_id(type.key), type_id(type.value)
    key_kind, value_kind, length = source.local("t"), source.local("t"), source.local("n")
    source.line(f"{key_kind}, {value_kind}, {length} = {reader.unpacker('>BBI')}(d, p); p += 6")
    _read_length(reader, length, MINIMUM_SIZES[key_id] + MINIMUM_SIZES[value_id], label)
    with source.block(f"if {length} and ({key_kind} != {key_id} or {value_kind} != {value_id}):"):
        source.line(f"raise wrong_elements(p, {key_kind}, {key_id}, {label!r}, {value_kind}, {value_id})")
    items, key, value = source.local("m"), source.local("k"), source.local("w")
    key_format, value_format = format_of(type.key), format_of(type.value)
    if key_format is not None and value_format is not None:
        pairs = struct.Struct(f">{key_format}{value_format}")
        unpack = source.constant("I", pairs.iter_unpack, key=pairs.format)
        source.line(f"{items} = dict({unpack}(d[p:p+{length}*{pairs.size}])); p += {length} * {pairs.size}")
    elif isinstance(type.key, BaseType) and type.key.name == "string" and value_format is not None:
        # The value and the length of the next key in one call; behind the last pair it reads on for nothing.
        ahead, size = source.local("n"), struct.calcsize(">" + value_format)
        source.line(f"{items} = {{}}; ({ahead},) = {reader.unpacker('>I')}(d, p)")
        with source.block(f"for _ in range({length}):"):
            start = _string_start(reader, ahead, "p+4", label)
            source.line(f"{key} = d[{start}:p].decode()")
            unpack = reader.unpacker(f">{value_format}I")
            source.line(f"{items}[{key}], {ahead} = {unpack}(d, p); p += {size}")
    else:
        source.line(f"{items} = {{}}")
        with source.block(f"for _ in range({length}):"):
            _read_value(reader, type.key, key, label)
            _read_value(reader, type.value, value, label)
            source.line(f"{items}[{key}] = {value}")
    source.line(f"{target} = {f'FrozenMap({items})' if type.is_frozen else items}")


def _nested_name(reader: _Reader, type: StructType[Any]) -> str:
    """A name for the reader of another class, which is compiled when it is first called."""
    name = f"R{id(type)}"
    names = reader.source.names

    def first_call(data: bytes, start: int, end: int, depth: int) -> tuple[Any, int]:
        read = names[name] = reader.nested(type.cls)
        result: tuple[Any, int] = read(data, start, end, depth)
        return result

    names.setdefault(name, first_call)
    return name
