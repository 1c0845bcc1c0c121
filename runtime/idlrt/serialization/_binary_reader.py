"""Compiler of binary readers: field tables to Python functions.

The function first expects what most writers write: all fields, in order, with lengths below 256. Then one
`struct` call reads everything up to the next value of unknown length (`_binary_expected`). From the first
unexpected byte on it takes fields in any order: one call reads a field's head (type and id, compared as three
bytes) together with the four bytes behind it, which are already the value, or the length, of most types. A field
that is out of order is read in another pass of the loop; an unknown one is skipped. The text for

    1: required i64 id   2: optional string name

is

    def read(d, p, end, depth):
     if depth < 0: ...
     f0 = MISSING; f1 = None
     while True:
      h, f0, g, b = U9(d, p)
      if h != K1 or g != K2: f0 = MISSING; break
      f1 = b.decode(); p += 18 + len(b)
      if d[p]: break
      if p >= end: raise too_short(...)
      return C(id=f0, name=f1), p + 1
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
checked at once, against what is left of the message, before anything is allocated for them. When a reader
fails with any exception, the same message is read again from the field table (`_walk_reader`), with every step
checked, to find the field.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from idlrt.serialization._binary_expected import read_expected, read_many_expected
from idlrt.serialization._binary_layout import MINIMUM_SIZES, format_of, type_id
from idlrt.serialization._binary_values import (
    MISSING,
    PADDING,
    Read,
    Reader,
    ReadMany,
    member,
    read_elements,
    read_length,
    read_list_head,
    read_value,
    string_start,
    text,
)
from idlrt.serialization._source import Source
from idlrt.serialization._unknown import keep_binary
from idlrt.serialization.options import keeps_unknown
from idlrt.spec import (
    UNKNOWN,
    BaseType,
    DeclaredError,
    EnumType,
    Field,
    ListType,
    SetType,
    Type,
    Union,
    empty_union,
    set_unknown,
)

__all__ = ["PADDING", "Read", "ReadMany", "compile_many_reader", "compile_record_reader", "compile_struct_reader"]


def compile_struct_reader(cls: Any, reader: Reader) -> Read:
    """Compile the reader of a generated class."""
    source = reader.source
    fields, variables, answer = _parts(cls, source)
    defaults = _class_defaults(cls)
    is_union = issubclass(cls, Union)
    keeps = hasattr(cls, UNKNOWN) and (is_union or keeps_unknown(reader.limits))
    with source.block("def read(d, p, end, depth):"):
        source.line("if depth < 0: raise too_deep(p, max_depth)")
        initial: dict[str, list[str]] = {}
        for field, variable in zip(fields, variables, strict=True):
            default = None if is_union else defaults.get(field.attribute, MISSING)
            if field.is_required or not (default is None or isinstance(default, (int, float, str, bytes))):
                value = "MISSING"
            else:
                value = "None" if default is None else source.constant("D", default, key=(field.id, default))
            initial.setdefault(value, []).append(variable)
        for value, names in initial.items():
            source.line(f"{' = '.join(names)} = {value}")
        if is_union or keeps:
            source.line("unknown = None")
        if not is_union:
            unset = {name: value for value, names in initial.items() for name in names}
            read_expected(reader, fields, variables, unset, answer)
        _read_fields(reader, fields, variables, notes_unknown=is_union or keeps, keeps=keeps)
        for field, variable in zip(fields, variables, strict=True):
            default = defaults.get(field.attribute, MISSING)
            if field.is_required:
                with source.block(f"if {variable} is MISSING:"):
                    source.line(f"raise missing(p, {field.name!r})")
            elif not is_union and callable(default):
                source.line(f"if {variable} is MISSING: {variable} = {source.constant('D', default)}()")
        if is_union:
            nothing = " and ".join([f"{v} is None" for v in variables] or ["True"])
            empty = f"{source.constant('empty', empty_union)}({source.constant('C', cls)}, bytes(unknown))"
            source.line(f"if unknown is not None and {nothing}: return {empty}, p + 1")
        elif keeps:
            keep = source.constant("keep", set_unknown)
            source.line(f"if unknown: value = {answer}; {keep}(value, bytes(unknown)); return value, p + 1")
        source.line(f"return {answer}, p + 1")
    compiled: Read = source.function("read", f"<binary reader of {reader.label}>")
    return compiled


def compile_many_reader(cls: Any, reader: Reader, one: Read) -> ReadMany:
    """Compile the reader of consecutive values of a generated class; `one` reads a single one."""
    source = reader.source
    fields, variables, answer = _parts(cls, source)
    source.names["one"] = one
    with source.block("def read_many(d, p, end, depth, n):"):
        source.line("if depth < 0 and n: raise too_deep(p, max_depth)")
        if issubclass(cls, Union):
            source.line("many = []")
            source.line("for _ in range(n): one_more, p = one(d, p, end, depth); many.append(one_more)")
            source.line("return many, p")
        else:
            read_many_expected(reader, fields, variables, answer)
    compiled: ReadMany = source.function("read_many", f"<binary reader of many {reader.label}>")
    return compiled


def _parts(cls: Any, source: Source) -> tuple[list[Field[Any]], list[str], str]:
    """Return the fields of a class in wire order, a variable for each, and the expression that creates the value."""
    fields = sorted(cls.__thrift_fields__, key=lambda field: field.id)
    variables = [f"f{index}" for index in range(len(fields))]
    pairs = zip(fields, variables, strict=True)
    keywords = ", ".join(f"{field.attribute}={variable}" for field, variable in pairs)
    return fields, variables, f"{source.constant('C', cls)}({keywords})"


def compile_record_reader(fields: Sequence[Field[Any]], defaults: Sequence[Any], reader: Reader) -> Read:
    """Compile the reader of a record: it returns a tuple in the order of `fields`."""
    source = reader.source
    variables = {field.id: f"f{index}" for index, field in enumerate(fields)}
    in_order = sorted(fields, key=lambda field: field.id)
    answer = f"({''.join(variables[field.id] + ', ' for field in fields)})"
    with source.block("def read(d, p, end, depth):"):
        unset: dict[str, str] = {}
        made: dict[str, str] = {}
        for index, field in enumerate(fields):
            variable = variables[field.id]
            default = defaults[index] if index < len(defaults) else None
            initial = "MISSING"
            if not field.is_required:
                constant = source.constant("D", default, key=("default", index))
                if callable(default):
                    made[variable] = constant
                else:
                    initial = constant
            unset[variable] = initial
            source.line(f"{variable} = {initial}")
        if not (in_order and in_order[0].id == 0):  # of a result only one field is there
            read_expected(reader, in_order, [variables[field.id] for field in in_order], unset, answer)
        _read_fields(reader, in_order, [variables[field.id] for field in in_order])
        for field in fields:
            if field.is_required:
                with source.block(f"if {variables[field.id]} is MISSING:"):
                    source.line(f"raise missing(p, {field.name!r})")
        for variable, constant in made.items():
            source.line(f"if {variable} is MISSING: {variable} = {constant}()")
        source.line(f"return {answer}, p + 1")
    compiled: Read = source.function("read", "<binary reader of record>")
    return compiled


def _class_defaults(cls: Any) -> dict[str, Any]:
    """Return defaults by attribute name: a value, or a function that creates it."""
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


def _read_fields(
    reader: Reader,
    fields: Sequence[Field[Any]],
    variables: list[str],
    *,
    notes_unknown: bool = False,
    keeps: bool = False,
) -> None:
    """Generate code that reads fields to the end of a struct.

    Args:
        notes_unknown: the variable `unknown` is set to the result of `keep_binary`.
        keeps: keep unknown fields.
    """
    source = reader.source
    head_and_word = reader.unpacker(">3sI")
    with source.block("while True:"):
        source.line(f"q = p; h, x = {head_and_word}(d, p)")
        for field, variable in zip(fields, variables, strict=True):
            head = source.constant("K", struct.pack(">bh", type_id(field.type), field.id))
            with source.block(f"if h == {head}:"):
                format = format_of(field.type)
                if format in ("q", "d"):  # the value and the next head in one call
                    source.line(f"{variable}, h, x = {reader.unpacker(f'>{format}3sI')}(d, p+3); p += 11")
                else:
                    _read_after_head(reader, field.type, variable)
                    source.line(f"h, x = {head_and_word}(d, p)")
        source.line("if not d[p]: break")
        with source.block("if p == q:"):
            source.line("p = skip(d, p+3, end, d[p], depth, limits)")
            if notes_unknown:
                ids = frozenset(struct.pack(">h", field.id) for field in fields) if keeps else None
                source.line(
                    f"unknown = {source.constant('keep', keep_binary)}(unknown, d, q, p, {source.constant('I', ids)})"
                )
    source.line("if p >= end: raise too_short(p, 1, end)")


def _read_after_head(reader: Reader, type: Type[Any], target: str) -> None:
    """Generate code that reads the value whose head is at `p`; `x` has the four bytes after the head."""
    source = reader.source
    match type:
        case BaseType(name="bool"):
            source.line(f"{target} = x > 0xFFFFFF; p += 4")
        case BaseType(name="i32"):
            source.line(f"{target} = x if x < 0x80000000 else x - 0x100000000; p += 7")
        case EnumType() as enum_type:
            number = source.local("n")
            source.line(f"{number} = x if x < 0x80000000 else x - 0x100000000; p += 7")
            source.line(f"{target} = {member(source, enum_type, number)}")
        case BaseType(name="string" | "binary"):
            start = string_start(reader, "x", "p+7")
            source.line(f"{target} = {text(reader, type, f'd[{start}:p]')}")
        case ListType() | SetType() as sequence:
            length, element = source.local("n"), type_id(sequence.element)
            # The usual case, the right type and fewer than 256 elements, is one comparison.
            with source.block(f"if x == {element << 24}:"):
                source.line(f"{length} = d[p+7]; p += 8")
            with source.block("else:"):
                source.line("p += 3")
                read_list_head(reader, length, element)
            read_length(reader, length, MINIMUM_SIZES[element])
            read_elements(reader, sequence, length, target)
        case _:
            source.line("p += 3")
            read_value(reader, type, target)
