"""Compiler of JSON writers, the counterpart of `_plain_reader`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from idlrt.serialization import _plain_converters
from idlrt.serialization._conversion_errors import ConversionError, described, step_of_key
from idlrt.serialization._plain_batches import BITS, Batch, checked, finite, numbers_as_text, texts
from idlrt.serialization._plain_reader import Many, is_unchanged, many
from idlrt.serialization._plain_scalars import Convert, is_scalar, key_writer, scalar_writer
from idlrt.serialization._plain_structs import Member, fields_writer
from idlrt.serialization._rest_fields import fields_of, is_as_text, key_of
from idlrt.spec import (
    BaseType,
    DeclaredError,
    Field,
    ListType,
    MapType,
    SetType,
    StructType,
    Type,
    Union,
    VoidType,
    unknown_of,
)

__all__ = ["PlainWriter"]

# Of `Any`, so that type checkers do not ask what is inside.
_COLLECTIONS: tuple[type[Any], ...] = (Collection,)
_MAPS: tuple[type[Any], ...] = (Mapping,)
_NO_SEQUENCES: tuple[type[Any], ...] = (str, bytes, bytearray, Mapping)


class PlainWriter:
    """Compiler of writers, which are cached on their types.

    Args:
        i64_as_text: as in `JsonOptions`, likewise the next three.
        structs: writer of the structs inside; `None`: this one.

    Attributes:
        rest: likewise.
    """

    def __init__(
        self,
        *,
        i64_as_text: bool,
        enums_as_numbers: bool,
        for_display: bool,
        rest: bool = False,
        structs: PlainWriter | None = None,
    ) -> None:
        self.rest = rest
        self._i64_as_text = i64_as_text
        self._enums_as_numbers = enums_as_numbers
        self._for_display = for_display
        self._structs = self if structs is None else structs
        self._key = ("write", i64_as_text, enums_as_numbers, for_display, rest, structs is None)
        # For fields with `http.as_text`, which does not apply to the fields of structs inside.
        self._as_text = self
        if rest and not i64_as_text:
            self._as_text = PlainWriter(
                i64_as_text=True, enums_as_numbers=enums_as_numbers, for_display=for_display, rest=True, structs=self
            )

    def of(self, type: Type[Any]) -> Convert:
        """Return the writer of a type.

        Raises:
            TypeError: values of the type have no JSON.
        """
        if isinstance(type, StructType):
            return self.of_class(type.cls)
        return _plain_converters.of_type(type, self._key, self._made)

    def of_field(self, field: Field[Any]) -> Convert:
        """Return the writer of the values of a field or argument.

        Raises:
            TypeError: values of its type have no JSON.
        """
        return self._writer_of(field).of(field.type)

    def of_class(self, cls: Any) -> Convert:
        """Return the converter of a generated class."""
        structs = self._structs
        return _plain_converters.of_class(cls, structs._key, structs._struct)

    def _made(self, type: Type[Any]) -> Convert:
        if isinstance(type, StructType):
            return self._later(type)
        if isinstance(type, ListType | SetType):
            return self._sequence(type)
        if isinstance(type, MapType):
            return self._map(type) if is_scalar(type.key) else self._pairs(type)
        if isinstance(type, VoidType):
            return _write_nothing
        if is_scalar(type):
            return scalar_writer(
                type,
                i64_as_text=self._i64_as_text,
                enums_as_numbers=self._enums_as_numbers,
                for_display=self._for_display,
            )
        raise TypeError(f"{type!r} has no JSON")

    def _later(self, type: StructType[Any]) -> Convert:
        """Return a writer of a class that is compiled on first use, because types may be recursive."""
        made: Convert | None = None

        def write(value: Any, depth: int) -> Any:
            nonlocal made
            if made is None:
                made = self.of_class(type.cls)
            return made(value, depth)

        return write

    def _writer_of(self, field: Field[Any]) -> PlainWriter:
        return self._as_text if self.rest and is_as_text(field) else self

    def _member(self, field: Field[Any]) -> Member:
        writer = self._writer_of(field)
        return Member(field, key_of(field, rest=self.rest), writer._made(field.type), writer._i64_as_text)

    def _struct(self, cls: Any) -> Convert:
        for_display = self._for_display
        fields = [self._member(field) for field in fields_of(_in_idl_order(cls), rest=self.rest)]
        write_fields = fields_writer(cls, fields)
        if not issubclass(cls, Union):
            return write_fields

        def write(value: Any, depth: int) -> dict[str, Any]:
            plain: dict[str, Any] = write_fields(value, depth)
            if len(plain) != 1 and not (for_display and not plain and unknown_of(value) is not None):
                raise ConversionError(_not_one(cls, value, len(plain)))
            return plain

        return write

    def _many(self, type: Type[Any]) -> Many:
        return many(lambda: self.of(type), self._batch(type))

    def _batch(self, type: Type[Any]) -> Batch | None:
        if not isinstance(type, BaseType):
            return None
        if type.name == "string":
            return None if self._for_display else texts
        if type.name == "i64" and self._i64_as_text:
            return numbers_as_text("i64")
        if type.name == "double":
            return finite
        return checked(type.name) if type.name in BITS or type.name == "bool" else None

    def _is_kept(self, type: Type[Any]) -> bool:
        """Whether a batch of a type needs no conversion."""
        return isinstance(type, BaseType) and type.name != "double" and not (type.name == "i64" and self._i64_as_text)

    def _sequence(self, type: ListType[Any] | SetType[Any]) -> Convert:
        write_all, wanted = self._many(type.element), repr(type)

        def write(value: Any, depth: int) -> list[Any]:
            items = value if value.__class__ is list else _elements(value, wanted)
            return write_all(items, depth)

        return write

    def _map(self, type: MapType[Any]) -> Convert:
        """Return the writer of a map with scalar keys: an object."""
        is_text = isinstance(type.key, BaseType) and type.key.name == "string"
        batch = self._batch(type.key) if is_text else None
        same_values = self._batch(type.value) if is_text and self._is_kept(type.value) else None
        if isinstance(type.key, BaseType) and type.key.name in BITS:
            batch = numbers_as_text(type.key.name)
        write_key = key_writer(type.key, enums_as_numbers=self._enums_as_numbers, for_display=self._for_display)
        write_keys, write_values, wanted = many(lambda: write_key, batch), self._many(type.value), repr(type)

        def write(value: Any, depth: int) -> dict[str, Any]:
            if same_values is not None and value.__class__ is dict and is_unchanged(value, same_values):
                return value.copy()
            keys, items = _parts(value, wanted)
            try:
                names = write_keys(keys, depth)
            except ConversionError as error:
                raise ConversionError(f"invalid key: {error.what}") from None
            try:
                return dict(zip(names, write_values(items, depth), strict=True))
            except ConversionError as error:
                raise error.at(step_of_key(names[int(error.path.pop())])) from None

        return write

    def _pairs(self, type: MapType[Any]) -> Convert:
        """Return the writer of a map with other keys: an array of objects with `key` and `value`."""
        write_keys, write_values, wanted = self._many(type.key), self._many(type.value), repr(type)

        def write(value: Any, depth: int) -> list[dict[str, Any]]:
            keys, items = _parts(value, wanted)
            plain_keys = _write_part(write_keys, keys, "key", depth)
            plain_values = _write_part(write_values, items, "value", depth)
            return [{"key": key, "value": item} for key, item in zip(plain_keys, plain_values, strict=True)]

        return write


def _in_idl_order(cls: Any) -> list[Field[Any]]:
    """Return the fields of a class in IDL order; its table has them in wire order."""
    table: tuple[Field[Any], ...] = cls.__thrift_fields__
    names = cls.__declared_defaults__ if issubclass(cls, DeclaredError) else cls.__struct_fields__
    places = {name: place for place, name in enumerate(names)}
    return sorted(table, key=lambda field: places.get(field.attribute, len(places)))


def _not_one(cls: Any, value: Any, count: int) -> str:
    if count == 0 and unknown_of(value) is not None:
        return f"{cls.__name__} has a field set that this version of the IDL does not know, and JSON has no name for it"
    return f"{cls.__name__} is a union: exactly one field must be set, got {count or 'none'}"


def _write_nothing(value: Any, depth: int) -> None:
    if value is not None:
        raise ConversionError(f"must be None, got {described(value)}")


def _elements(value: Any, wanted: str) -> list[Any]:
    if isinstance(value, _NO_SEQUENCES) or not isinstance(value, _COLLECTIONS):
        raise ConversionError(f"must be {wanted}, got {described(value)}")
    return list(value)


def _parts(value: Any, wanted: str) -> tuple[list[Any], list[Any]]:
    """Return the keys and the values of a map."""
    if not isinstance(value, _MAPS):
        raise ConversionError(f"must be {wanted}, got {described(value)}")
    return list(value), list(value.values())


def _write_part(write_all: Many, items: list[Any], name: str, depth: int) -> list[Any]:
    try:
        return write_all(items, depth)
    except ConversionError as error:
        index = int(error.path.pop())
        raise error.at(f".{name}").at(index) from None
