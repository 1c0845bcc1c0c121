"""Writer that walks field tables over the primitives of any protocol, the counterpart of `_walk_reader`.

Values are checked only where a protocol would otherwise write wrong bytes without an error; any other unsuitable value
raises an exception of Python, and `explain` then finds the field.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from idlrt.printable import plural
from idlrt.serialization._binary_layout import type_id
from idlrt.serialization._unknown import write_kept
from idlrt.serialization._walk_primitives import Output
from idlrt.serialization.base import Limits
from idlrt.serialization.options import keeps_unknown
from idlrt.serialization.types import TypeId
from idlrt.spec import BaseType, EnumType, Field, ListType, MapType, SetType, StructType, Type, Union, unknown_of

__all__ = ["WalkWriter", "Write"]


Write: TypeAlias = Callable[[Any, Any], None]
"""`(Output, value)`"""

_WriteFields: TypeAlias = Callable[[Output, list[Any], bytes | None, bool], None]
"""`(Output, values, kept unknown fields, whether it is a union)`"""


class WalkWriter:
    """Factory of write functions; those of classes are cached.

    Args:
        primitives: the class of `Output`.
        limits: whose `max_depth` holds.
    """

    def __init__(self, primitives: type[Any], limits: Limits) -> None:
        self._primitives = primitives
        self._limits = limits
        self._lock = threading.Lock()
        self._structs: dict[type, Write] = {}

    def write(self, write: Write, value: Any) -> bytes:
        """Return the bytes of a value.

        Raises:
            Exception: one of `explain.WRITE_ERRORS`; it does not fit.
        """
        out = self._primitives(self._limits)
        write(out, value)
        data: bytes = out.taken()
        return data

    def struct(self, cls: type[Any]) -> Write:
        """Return the write function of a generated class."""
        write = self._structs.get(cls)
        if write is None:
            with self._lock:
                write = self._structs.setdefault(cls, self._make_struct(cls))
        return write

    def record(self, fields: Sequence[Field[Any]]) -> Write:
        """Return the write function of a record; its value is a sequence with one value per field."""
        order = sorted(range(len(fields)), key=lambda index: fields[index].id)
        write_fields = self._make_fields([fields[index] for index in order])
        width = len(fields)

        def write(out: Output, values: Sequence[Any]) -> None:
            if len(values) != width:
                raise ValueError(f"expected {plural(width, 'value')}, one per field, got {len(values)}")
            out.depth -= 1
            write_fields(out, [values[index] for index in order], None, False)

        return write

    def _make_struct(self, cls: Any) -> Write:
        fields: list[Field[Any]] = sorted(cls.__thrift_fields__, key=lambda field: field.id)
        write_fields = self._make_fields(fields)
        attributes = [field.attribute for field in fields]
        is_union, keeps = issubclass(cls, Union), keeps_unknown(self._limits)

        def write(out: Output, value: Any) -> None:
            out.depth -= 1
            if out.depth < 0:
                raise ValueError("nested too deep")
            values = [getattr(value, attribute) for attribute in attributes]
            kept = unknown_of(value) if keeps and not is_union else None
            if is_union:
                count = len(values) - values.count(None)
                kept = unknown_of(value) if count == 0 else None
                if count != 1 and kept is None:
                    raise ValueError("a union must have exactly one field set")
            elif not attributes and not hasattr(value, "__thrift_fields__"):
                raise TypeError("this is no struct")
            write_fields(out, values, kept, is_union)
            out.depth += 1

        return write

    def _make_fields(self, fields: Sequence[Field[Any]]) -> _WriteFields:
        """Return the function that writes a struct, given its values in the order of ids."""
        heads = [(field.is_required, type_id(field.type), field.id, self._value(field.type)) for field in fields]
        closes, boolean = self._primitives.CLOSES_FIELDS, int(TypeId.BOOL)

        def write(out: Output, values: list[Any], kept: bytes | None, is_union: bool) -> None:
            state = out.begin_struct()
            for (is_required, kind, id, write_value), value in zip(heads, values, strict=True):
                if value is None:
                    if is_required:
                        raise TypeError("a required field is None")
                    continue
                if kind == boolean:
                    out.write_field_bool(id, value)
                else:
                    out.field(kind, id)
                    write_value(out, value)
                if closes:
                    out.end_field()
            if kept is not None:
                write_kept(out, kept, is_union=is_union)
            out.end_struct(state)

        return write

    def _value(self, type: Type[Any]) -> Write:
        match type:
            case BaseType():
                write: Write = getattr(self._primitives, f"write_{type.name}")
                return write
            case EnumType():
                number: Write = self._primitives.write_i32
                return number
            case StructType() as referred:
                return self._later(referred)
            case ListType() | SetType() as sequence:
                return self._sequence(sequence)
            case MapType() as mapping:
                return self._mapping(mapping)
            case _:
                raise TypeError(f"{type!r} cannot be written")

    def _later(self, referred: StructType[Any]) -> Write:
        made: Write | None = None

        def write(out: Output, value: Any) -> None:
            nonlocal made
            if made is None:
                made = self.struct(referred.cls)
            made(out, value)

        return write

    def _sequence(self, type: ListType[Any] | SetType[Any]) -> Write:
        write_element, element = self._value(type.element), type_id(type.element)

        def write(out: Output, items: Any) -> None:
            if isinstance(items, str):
                raise TypeError("a str is no list")
            out.begin_list(element, len(items))
            for item in items:
                write_element(out, item)
            out.end_list()

        return write

    def _mapping(self, type: MapType[Any]) -> Write:
        write_key, write_value = self._value(type.key), self._value(type.value)
        key_id, value_id = type_id(type.key), type_id(type.value)

        def write(out: Output, items: Any) -> None:
            out.begin_map(key_id, value_id, len(items))
            for key, value in items.items():
                write_key(out, key)
                write_value(out, value)
            out.end_map()

        return write
