"""Generated fast path of binary readers: all fields of a struct, in order, with lengths below 256.

One `struct` call reads everything up to the next value of unknown size. At unexpected input, `p` stays before it
and the code after the fast path continues there.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from idlrt.serialization._binary_layout import format_of, type_id
from idlrt.serialization._binary_values import (
    PADDING,
    Reader,
    check_container,
    is_string,
    member,
    read_elements,
    read_pairs,
    read_value,
    text,
)
from idlrt.spec import BaseType, EnumType, Field, ListType, MapType, SetType, Type

__all__ = ["read_expected", "read_many_expected"]


def read_expected(
    reader: Reader, fields: Sequence[Field[Any]], variables: list[str], unset: dict[str, str], answer: str
) -> None:
    """Generate code that reads all fields in order and returns; unexpected input falls through to the code after it.

    Args:
        unset: value of each variable whose field is absent.
        answer: expression of the value to return.
    """
    source = reader.source
    with source.block("while True:"):
        _read_run(reader, fields, variables, unset, "break")
        source.line("if p >= end: raise too_short(p, 1, end)")
        source.line(f"return {answer}, p + 1")


def read_many_expected(reader: Reader, fields: Sequence[Field[Any]], variables: list[str], answer: str) -> None:
    """Generate code that reads `n` consecutive values and returns; `one` reads unexpected ones."""
    source = reader.source
    source.line("many = []")
    with source.block("while n:"):
        source.line("n -= 1; q = p")
        _read_run(reader, fields, variables, {}, "one_more, p = one(d, q, end, depth); many.append(one_more); continue")
        source.line(f"many.append({answer}); p += 1")
    source.line("if p > end: raise too_short(p, 1, end)")
    source.line("return many, p")


def _read_run(
    reader: Reader, fields: Sequence[Field[Any]], variables: list[str], unset: dict[str, str], otherwise: str
) -> None:
    run = _Run(reader, unset, otherwise)
    for field, variable in zip(fields, variables, strict=True):
        run.field(field, variable)
    run.flush()
    reader.source.line(f"if d[p]: {otherwise}")


class _Run:
    """Consecutive fields that one `struct` call reads: heads, and values of fixed size.

    A string is read as a Pascal string of `struct`: a length byte, followed by the bytes. The length byte is the last
    one of the length; the three before it must be zero, as in the heads of containers.

    Args:
        unset: values that variables of absent fields are reset to.
        otherwise: code for unexpected input.
    """

    def __init__(self, reader: Reader, unset: dict[str, str], otherwise: str) -> None:
        self._reader = reader
        self._unset = unset
        self._otherwise = otherwise
        self._format, self._size = ">", 0
        self._targets: list[str] = []
        self._surprises: list[str] = []
        self._after: list[str] = []
        self._variables: list[str] = []

    def field(self, field: Field[Any], variable: str) -> None:
        """Add a field; flush if its size is not fixed."""
        source, type = self._reader.source, field.type
        head = struct.pack(">bh", type_id(type), field.id)
        match type:
            case BaseType(name="string" | "binary"):
                data = self._value(head + b"\0\0\0", "256p", variable)
                self._after.append(f"{variable} = {text(self._reader, type, data)}")
                # The bytes of the string itself come on top of what the format has before them.
                self._size -= 255
                self.flush(f"{self._size} + len({data})")
                if self._reader.limits.max_string < self._reader.limits.max_message:
                    limit = self._reader.limits.max_string
                    refusal = f"over_limit(p, len({data}), 'max_string', {limit})"
                    source.line(f"if len({data}) > {limit}: raise {refusal}")
            case BaseType(name="uuid"):
                data = self._value(head, "16s", variable)
                self._after.append(f"{variable} = UUID(bytes={data})")
            case BaseType() as base:
                self._value(head, format_of(base) or "?", variable, is_final=True)
            case EnumType() as enum_type:
                number = self._value(head, "i", variable)
                self._after.append(f"{variable} = {member(source, enum_type, number)}")
            case ListType() | SetType() as sequence:
                element = type_id(sequence.element)
                length, ahead = self._length(head + bytes([element, 0, 0, 0]), sequence.element, variable)
                # With fewer than 256 elements only the limit matters: each of them finds out where the message ends.
                check_container(self._reader, length)
                read_elements(self._reader, sequence, length, variable, ahead)
            case MapType() as mapping:
                key, value = type_id(mapping.key), type_id(mapping.value)
                length, ahead = self._length(head + bytes([key, value, 0, 0, 0]), mapping.key, variable)
                check_container(self._reader, length)
                read_pairs(self._reader, mapping, length, variable, ahead)
            case _:
                self._value(head, "", variable)
                self.flush()
                read_value(self._reader, type, variable)

    def _value(self, head: bytes, format: str, variable: str, *, is_final: bool = False) -> str:
        """Expect `head`, then a value of `format`; return the variable that has the value."""
        source = self._reader.source
        size = len(head) + struct.calcsize(">" + format)
        if self._size + size > len(PADDING):
            self.flush()
        expected, found = source.constant("K", head), source.local("h")
        self._format += f"{len(head)}s{format}"
        self._size += size
        self._targets.append(found)
        self._surprises.append(f"{found} != {expected}")
        if not format:
            return ""
        target = variable if is_final else source.local("v")
        self._targets.append(target)
        if is_final:
            self._variables.append(variable)
        return target

    def _length(self, head: bytes, first: Type[Any], variable: str) -> tuple[str, str]:
        """Generate code that reads a container's length, and that of its first string if it starts with a string."""
        length, ahead = self._value(head, "B", variable), ""
        if is_string(first):
            ahead = self._reader.source.local("n")
            self._format += "I"
            self._targets.append(ahead)
        self.flush()
        return length, ahead

    def flush(self, size: str = "") -> None:
        """Generate the code that reads the added fields."""
        if not self._targets:
            return
        source = self._reader.source
        unpack = self._reader.unpacker(self._format)
        source.line(f"{', '.join(self._targets)}, = {unpack}(d, p)")
        undo = "".join(f"{name} = {self._unset[name]}; " for name in self._variables if name in self._unset)
        source.line(f"if {' or '.join(self._surprises)}: {undo}{self._otherwise}")
        for line in self._after:
            source.line(line)
        source.line(f"p += {size or self._size}")
        self._format, self._size = ">", 0
        self._targets, self._surprises, self._after, self._variables = [], [], [], []
