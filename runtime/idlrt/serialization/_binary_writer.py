"""Compiler of binary writers: field tables to Python functions.

The function appends pieces of bytes to a list that is joined once. Constant bytes (field heads, the stop
byte) and numbers that follow each other are packed by one `struct` call. The text for

    1: required i64 id   2: optional string name

is

    def write(o, out, depth):
     if depth < 0: raise ValueError(...)
     out.append(P1(b"\\n\\0\\1", o.id))
     v1 = o.name
     if v1 is not None:
      b2 = v1.encode()
      n3 = len(b2)
      out.append(b"\\v\\0\\2"); out.append(L[n3] if n3 < 256 else P2(n3)); out.append(b2)
     out.append(b"\\0")

Values are not checked here: one that cannot be packed raises any exception of Python, and `explain` then
finds the field.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

from idlrt.serialization._binary_layout import format_of, type_id
from idlrt.serialization._source import Source
from idlrt.serialization._unknown import kept_in_binary
from idlrt.serialization._walk_primitives import bytes_of
from idlrt.serialization.base import Limits
from idlrt.serialization.options import keeps_unknown, write_errors_of
from idlrt.spec import (
    STRING,
    Argument,
    BaseType,
    EnumType,
    Field,
    ListType,
    MapType,
    SetType,
    StructType,
    Type,
    Union,
    unknown_of,
)

__all__ = ["Nested", "Write", "compile_record_writer", "compile_struct_writer"]

Write: TypeAlias = Callable[[Any, list[bytes], int], None]
"""`(value, list of chunks to append to, remaining struct depth)`"""

Nested: TypeAlias = Callable[[Any, bool], Write]
"""Returns the writer of another class, of one value or of consecutive ones; called on first use."""


# Most strings are short: looking four bytes up is twice as fast as packing them.
_LENGTHS = tuple(length.to_bytes(4, "big") for length in range(256))


class _Pending:
    """Constant bytes and numbers that will be packed together."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._parts: list[bytes | tuple[str, str]] = []

    def _take_constant(self) -> bytes:
        """Remove and return the last pending constant bytes; empty if a number is last."""
        last = self._parts[-1] if self._parts else b""
        if not isinstance(last, bytes):
            return b""
        del self._parts[-1:]
        return last

    def constant(self, data: bytes) -> None:
        self._parts.append(self._take_constant() + data)

    def number(self, format: str, expression: str) -> None:
        self._parts.append((format, expression))

    @property
    def has_numbers(self) -> bool:
        """Whether packing needs a call."""
        return any(not isinstance(part, bytes) for part in self._parts)

    def flush(self) -> None:
        parts, self._parts = self._parts, []
        if not parts:
            return
        if len(parts) == 1 and isinstance(parts[0], bytes):
            self._source.line(f"out.append({self._source.constant('K', parts[0])})")
            return
        if [part[0] for part in parts if not isinstance(part, bytes)] == ["?"]:
            self._flush_boolean(parts)
            return
        format = ">"
        arguments: list[str] = []
        for part in parts:
            if isinstance(part, bytes):
                format += f"{len(part)}s"
                arguments.append(self._source.constant("K", part))
            else:
                format += part[0]
                arguments.append(part[1])
        packer = self._source.constant("P", struct.Struct(format).pack, key=format)
        self._source.line(f"out.append({packer}({', '.join(arguments)}))")

    def _flush_boolean(self, parts: list[bytes | tuple[str, str]]) -> None:
        """Write a single boolean among constants as a choice between two constants."""
        [expression] = [part[1] for part in parts if not isinstance(part, bytes)]
        choices = [b"".join(part if isinstance(part, bytes) else value for part in parts) for value in (b"\1", b"\0")]
        yes, no = (self._source.constant("K", choice) for choice in choices)
        self._source.line(f"out.append({yes} if {expression} else {no})")


def compile_struct_writer(cls: Any, nested: Nested, limits: Limits, *, is_many: bool = False) -> Write:
    """Compile the writer of a generated class: of one value, or of consecutive ones."""
    source = _WriterSource(limits)
    fields = [(field, f"o.{field.attribute}") for field in sorted(cls.__thrift_fields__, key=_by_id)]
    with source.block(f"def write({'many' if is_many else 'o'}, out, depth):"):
        source.line(f"if depth < 0{' and many' if is_many else ''}: raise ValueError('nested too deep')")
        if is_many:
            with source.block("for o in many:"):
                _write_class(source, cls, fields, nested, limits)
        else:
            _write_class(source, cls, fields, nested, limits)
    return _compiled(source, cls.__name__)


def _write_class(
    source: _WriterSource, cls: Any, fields: list[tuple[Field[Any], str]], nested: Nested, limits: Limits
) -> None:
    if issubclass(cls, Union):
        # Fields can be assigned after the constructor checked them, and no reader would accept the bytes. After a newer
        # peer's field none is set.
        count = " + ".join(f"({expression} is not None)" for _, expression in fields) or "0"
        source.line(f"n = {count}; u = None")
        source.line("if n == 0: u = unknown_of(o)")
        source.line("if n != 1 and u is None: raise ValueError('a union must have exactly one field set')")
        _write_fields(source, fields, nested, kept="kept_in_binary(u, True)")
        return
    if not fields:
        source.line("if not hasattr(o, '__thrift_fields__'): raise TypeError('this is no struct')")
    if keeps_unknown(limits):
        source.line("u = unknown_of(o)")
        _write_fields(source, fields, nested, kept="kept_in_binary(u, False)")
        return
    _write_fields(source, fields, nested)


def compile_record_writer(fields: Sequence[Field[Any]], nested: Nested, limits: Limits) -> Write:
    """Compile the writer of a record: its first argument has a value for each field."""
    source = _WriterSource(limits)
    with source.block("def write(o, out, depth):"):
        if fields:
            source.line(f"{''.join(f'a{index}, ' for index in range(len(fields)))} = o")
        values = [(field, f"a{index}") for index, field in enumerate(fields)]
        values.sort(key=lambda value: value[0].id)
        if len(fields) > 1 and any(isinstance(field, Argument) for field in fields):
            # Most calls give all arguments: those are packed together.
            # By identity: values may have an `==` of their own.
            given = " and ".join(f"{expression} is not None" for _, expression in values)
            with source.block(f"if {given}:"):
                _write_fields(source, values, nested, is_complete=True)
                source.line("return")
        _write_fields(source, values, nested)
    return _compiled(source, "record")


def _escaped(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class _WriterSource(Source):
    """Source of a writer.

    Attributes:
        encode: the call that encodes a text.
        encode_each: the same as a function, for `map`.
    """

    def __init__(self, limits: Limits) -> None:
        text_errors = write_errors_of(limits)
        super().__init__({"bytes_of": bytes_of, "kept_in_binary": kept_in_binary, "unknown_of": unknown_of})
        is_strict = text_errors == "strict"
        self.encode = "encode()" if is_strict else f"encode('utf-8', {text_errors!r})"
        self.encode_each: Callable[[str], bytes] = str.encode if is_strict else _escaped


def _compiled(source: Source, name: str) -> Write:
    compiled: Write = source.function("write", f"<binary writer of {name}>")
    return compiled


def _by_id(field: Field[Any]) -> int:
    return field.id


def _write_fields(
    source: _WriterSource,
    fields: list[tuple[Field[Any], str]],
    nested: Nested,
    kept: str = "",
    *,
    is_complete: bool = False,
) -> None:
    """Generate code that writes a struct.

    Args:
        kept: an expression for unknown fields, where the variable `u` is not None.
        is_complete: none of the fields is `None`.
    """
    pending = _Pending(source)
    for field, expression in fields:
        head = struct.pack(">bh", type_id(field.type), field.id)
        if field.is_required or is_complete:
            if (
                isinstance(field.type, BaseType) and field.type.name == "bool" and not is_complete
            ):  # None would pass for false
                value = source.local("v")
                source.line(f"{value} = {expression}")
                source.line(f"if {value} is None: raise TypeError('a required field is None')")
                expression = value
            pending.constant(head)
            _write_value(source, pending, field.type, expression, nested)
            continue
        pending.flush()
        value = source.local("v")
        source.line(f"{value} = {expression}")
        with source.block(f"if {value} is not None:"):
            pending.constant(head)
            _write_value(source, pending, field.type, value, nested)
            pending.flush()
    if kept:
        pending.flush()
        source.line(f"if u is not None: out.append({kept})")
    pending.constant(b"\0")
    pending.flush()


def _write_value(source: _WriterSource, pending: _Pending, type: Type[Any], expression: str, nested: Nested) -> None:
    """Generate code that writes a value. `expression` is evaluated once."""
    match type:
        case BaseType(name="bool"):
            pending.number("?", expression)
        case BaseType(name="string" | "binary" as name):
            data, length = source.local("b"), source.local("n")
            source.line(f"{data} = {expression}.{source.encode}" if name == "string" else f"{data} = {expression}")
            if name == "binary":
                source.line(f"if {data}.__class__ is not bytes: {data} = bytes_of({data})")
            source.line(f"{length} = len({data})")
            _write_bytes(source, pending, data, length)
        case BaseType(name="uuid"):
            pending.number("16s", f"{expression}.bytes")
        case BaseType() as base:
            pending.number(format_of(base) or "", expression)
        case EnumType():
            pending.number("i", expression)
        case StructType() as referred:
            pending.flush()
            source.line(f"{_nested_name(source, referred, nested)}({expression}, out, depth - 1)")
        case ListType() | SetType() as sequence:
            _write_sequence(source, pending, sequence, expression, nested)
        case MapType() as mapping:
            items = source.local("m")
            source.line(f"{items} = {expression}")
            pending.constant(bytes([type_id(mapping.key), type_id(mapping.value)]))
            pending.number("I", f"len({items})")
            pending.flush()
            key_format, value_format = format_of(mapping.key), format_of(mapping.value)
            if key_format is not None and value_format is not None:
                _write_numbers(source, items, key_format + value_format)
                return
            key, value = source.local("k"), source.local("w")
            with source.block(f"for {key}, {value} in {items}.items():"):
                if mapping.key == STRING and value_format is not None:
                    _write_pair(source, key, value, value_format)
                    return
                _write_value(source, pending, mapping.key, key, nested)
                _write_value(source, pending, mapping.value, value, nested)
                pending.flush()
        case _:
            raise TypeError(f"{type!r} cannot be written")


def _write_bytes(source: Source, pending: _Pending, data: str, length: str) -> None:
    if pending.has_numbers:
        pending.number("I", length)
        pending.flush()
    else:
        pending.flush()
        source.line(f"out.append({_lengths(source)}[{length}] if {length} < 256 else {_pack_length(source)}({length}))")
    source.line(f"out.append({data})")


@cache
def _pairs(after: str) -> tuple[Callable[..., bytes], ...]:
    """Return packers by length below 256: a length, a string of that length, and a number."""
    return tuple(struct.Struct(f">I{length}s{after}").pack for length in range(256))


def _write_pair(source: _WriterSource, key: str, value: str, value_format: str) -> None:
    """Generate code that writes a string and a number: one call if the string is short."""
    data, length = source.local("b"), source.local("n")
    source.line(f"{data} = {key}.{source.encode}; {length} = len({data})")
    short = source.constant("S", _pairs(value_format), key=("pairs", value_format))
    number = source.constant("P", struct.Struct(">" + value_format).pack, key=">" + value_format)
    source.line(f"if {length} < 256: out.append({short}[{length}]({length}, {data}, {value}))")
    source.line(
        f"else: out.append({_pack_length(source)}({length})); out.append({data}); out.append({number}({value}))"
    )


class _NumberPackers(dict[int, Callable[..., bytes]]):
    """Packers of a count of numbers, or of pairs of numbers. Few are cached: most lists have similar lengths."""

    def __init__(self, formats: str) -> None:
        self._formats = formats

    def __missing__(self, count: int) -> Callable[..., bytes]:
        format = f">{count}{self._formats}" if len(self._formats) == 1 else ">" + self._formats * count
        pack = struct.Struct(format).pack
        if len(self) < 64:
            self[count] = pack
        return pack


@cache
def _number_packers(formats: str) -> _NumberPackers:
    return _NumberPackers(formats)


def _write_numbers(source: Source, items: str, formats: str) -> None:
    """Generate code that writes a map of numbers: one call if there are few pairs, because each count is a format."""
    length, row = source.local("n"), source.local("x")
    packers = source.constant("N", _number_packers(formats), key=("numbers", formats))
    pair = source.constant("P", struct.Struct(">" + formats).pack, key=">" + formats)
    source.line(f"{length} = len({items})")
    with source.block(f"if {length} < 256:"):
        source.line(f"{row} = [None] * (2 * {length}); {row}[::2] = {items}; {row}[1::2] = {items}.values()")
        source.line(f"out.append({packers}[{length}](*{row}))")
    with source.block("else:"):
        source.line(f"for pair in {items}.items(): out.append({pair}(*pair))")


def _lengths(source: Source) -> str:
    return source.constant("L", _LENGTHS, key="lengths")


def _pack_length(source: Source) -> str:
    return source.constant("P", struct.Struct(">I").pack, key=">I")


def _write_sequence(
    source: _WriterSource, pending: _Pending, type: ListType[Any] | SetType[Any], expression: str, nested: Nested
) -> None:
    items = source.local("l")
    source.line(f"{items} = {expression}")
    source.line(f"if isinstance({items}, str): raise TypeError('a str is no list')")
    pending.constant(bytes([type_id(type.element)]))
    format = "?" if isinstance(type.element, BaseType) and type.element.name == "bool" else format_of(type.element)
    pending.number("I", f"len({items})")
    pending.flush()
    if format is not None:  # numbers in a row are one `struct` call
        packers = source.constant("N", _number_packers(format), key=("numbers", format))
        source.line(f"out.append({packers}[len({items})](*{items}))")
        return
    item = source.local("e")
    if type.element == STRING:
        # `map` encodes without looking the method up for each.
        data, length = source.local("b"), source.local("n")
        with source.block(f"for {data} in map({source.constant('encode', source.encode_each)}, {items}):"):
            source.line(f"{length} = len({data})")
            _write_bytes(source, pending, data, length)
        return
    if isinstance(type.element, StructType):
        source.line(f"{_nested_name(source, type.element, nested, is_many=True)}({items}, out, depth - 1)")
        return
    with source.block(f"for {item} in {items}:"):
        _write_value(source, pending, type.element, item, nested)
        pending.flush()


def _nested_name(source: Source, type: StructType[Any], nested: Nested, *, is_many: bool = False) -> str:
    """Return a name for the writer of another class, compiled on its first call."""
    name = f"{'L' if is_many else 'W'}{id(type)}"

    def first_call(value: Any, out: list[bytes], depth: int) -> None:
        writer = source.names[name] = nested(type.cls, is_many)
        writer(value, out, depth)

    source.names.setdefault(name, first_call)
    return name
