"""Compiler of JSON readers: functions that convert JSON values to values of the IDL's types.

Each type becomes a function once. Elements of containers are read by the list: scalars by msgspec in C, and one by one
only where something in the list needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any, TypeAlias, cast

from idlrt.serialization import _plain_converters
from idlrt.serialization._conversion_errors import ConversionError, briefly, step_of_key
from idlrt.serialization._hash_probes import HashProbes, watched_from
from idlrt.serialization._plain_batches import BITS, Batch, checked, texts
from idlrt.serialization._plain_scalars import Convert, is_scalar, key_reader, scalar_reader
from idlrt.serialization._plain_structs import Fields, Member, fields_reader, too_deep, unknown
from idlrt.serialization._rest_fields import fields_of, is_as_text, key_of
from idlrt.serialization._rest_scalars import rest_key_reader, rest_scalar_reader
from idlrt.serialization._sensitive import key_text, step_text
from idlrt.serialization.errors import DecodeError
from idlrt.spec import BaseType, Field, FrozenMap, ListType, MapType, SetType, StructType, Type, Union, VoidType

__all__ = ["Many", "PlainReader"]

Many: TypeAlias = Callable[[list[Any], int], list[Any]]
"""A `Convert` of a whole list. The last step of an error's path is the index."""


class PlainReader:
    """Compiler of readers, which are cached on their types.

    Args:
        refuse_unknown: whether unknown fields of structs are errors.
        rest: whether the mapping of REST applies (`JsonOptions.rest`).
        i64_as_text: whether `i64` may be text; only with `rest`, because else it always may.
        structs: reader of the structs inside; `None`: this one.

    Attributes:
        refuse_unknown: likewise.
        rest: likewise.
    """

    def __init__(
        self, *, refuse_unknown: bool, rest: bool = False, i64_as_text: bool = False, structs: PlainReader | None = None
    ) -> None:
        self.refuse_unknown = refuse_unknown
        self.rest = rest
        self._i64_as_text = i64_as_text
        self._structs = self if structs is None else structs
        self._key = ("read", refuse_unknown, rest, i64_as_text, structs is None)
        # For fields with `http.as_text`, which does not apply to the fields of structs inside.
        self._as_text = self
        if rest and not i64_as_text:
            self._as_text = PlainReader(refuse_unknown=refuse_unknown, rest=True, i64_as_text=True, structs=self)

    def of(self, type: Type[Any]) -> Convert:
        """Return the reader of a type.

        Raises:
            TypeError: values of the type have no JSON.
        """
        if isinstance(type, StructType):
            return self.of_class(type.cls)
        return _plain_converters.of_type(type, self._key, self._made)

    def of_field(self, field: Field[Any]) -> Convert:
        """Return the reader of the values of a field or argument.

        Raises:
            TypeError: values of its type have no JSON.
        """
        return self._reader_of(field).of(field.type)

    def of_class(self, cls: Any) -> Convert:
        """Return the converter of a generated class."""
        structs = self._structs
        make = structs._union if issubclass(cls, Union) else structs._struct
        return _plain_converters.of_class(cls, structs._key, make)

    def _made(self, type: Type[Any]) -> Convert:
        if isinstance(type, StructType):
            return self._later(type)
        if isinstance(type, ListType):
            return self._list(type)
        if isinstance(type, SetType):
            return self._set(type)
        if isinstance(type, MapType):
            return self._map(type) if is_scalar(type.key) else self._pairs(type)
        if isinstance(type, VoidType):
            return _read_nothing
        if is_scalar(type):
            return rest_scalar_reader(type, i64_as_text=self._i64_as_text) if self.rest else scalar_reader(type)
        raise TypeError(f"{type!r} has no JSON")

    def _later(self, type: StructType[Any]) -> Convert:
        """Return a reader of a class that is compiled on first use, because types may be recursive."""
        made: Convert | None = None

        def read(plain: Any, depth: int) -> Any:
            nonlocal made
            if made is None:
                made = self.of_class(type.cls)
            return made(plain, depth)

        return read

    def _reader_of(self, field: Field[Any]) -> PlainReader:
        return self._as_text if self.rest and is_as_text(field) else self

    def _fields(self, cls: Any) -> Fields:
        return [
            Member(field, key_of(field, rest=self.rest), self._reader_of(field)._made(field.type))
            for field in fields_of(cls.__thrift_fields__, rest=self.rest)
        ]

    def _struct(self, cls: Any) -> Convert:
        return fields_reader(cls, self._fields(cls), refuse_unknown=self.refuse_unknown)

    def _union(self, cls: Any) -> Convert:
        fields = {
            member.key: (member.field.attribute, member.convert, step_text(key_text(member.field, member.key)))
            for member in self._fields(cls)
        }

        def read(plain: Any, depth: int) -> Any:
            if plain.__class__ is not dict:
                raise ConversionError(f"expected an object, got {briefly(plain)}")
            if depth < 0:
                raise too_deep()
            if len(plain) != 1:
                raise ConversionError(f"{cls.__name__} is a union: expected exactly one key, got {len(plain)}")
            [(name, item)] = plain.items()
            if name not in fields:
                raise unknown(cls, name)
            attribute, read_item, step = fields[name]
            try:
                if item is None:
                    raise ConversionError("the field of a union must not be null")
                return cls(**{attribute: read_item(item, depth - 1)})
            except ConversionError as error:
                raise error.at(step) from None

        return read

    def _many(self, type: Type[Any]) -> Many:
        return many(lambda: self.of(type), _batch(type))

    def _list(self, type: ListType[Any]) -> Convert:
        read_all, is_frozen = self._many(type.element), type.is_frozen

        def read(plain: Any, depth: int) -> Any:
            found = read_all(plain if plain.__class__ is list else _array(plain), depth)
            return tuple(found) if is_frozen else found

        return read

    def _set(self, type: SetType[Any]) -> Convert:
        read_all = self._many(type.element)
        watched, is_frozen = watched_from(type.element), type.is_frozen

        def read(plain: Any, depth: int) -> Any:
            found = read_all(plain if plain.__class__ is list else _array(plain), depth)
            if watched and len(found) >= watched:
                _check_collisions(found)
            elements = frozenset(found) if is_frozen else set(found)
            if len(elements) != len(found):
                index = _repeated(found)
                raise ConversionError(f"repeated element {briefly(plain[index])} of a set").at(index)
            return elements

        return read

    def _map(self, type: MapType[Any]) -> Convert:
        """Return the reader of a map with scalar keys: an object."""
        read_key = rest_key_reader if self.rest else key_reader
        read_keys, read_values = many(lambda: read_key(type.key), _key_batch(type.key)), self._many(type.value)
        watched, is_frozen = watched_from(type.key), type.is_frozen
        same_values = _batch(type.value) if _is_kept(type) else None

        def read(plain: Any, depth: int) -> Any:
            if plain.__class__ is not dict:
                raise ConversionError(f"expected an object, got {briefly(plain)}")
            if same_values is not None and is_unchanged(plain, same_values):
                return plain.copy()
            names = list(plain)
            try:
                keys = read_keys(names, depth)
            except ConversionError as error:
                raise ConversionError(f"invalid key: {error.what}") from None
            if watched and len(keys) >= watched:
                _check_collisions(keys)
            try:
                values = read_values(list(plain.values()), depth)
            except ConversionError as error:
                raise error.at(step_of_key(names[_index(error)])) from None
            items = dict(zip(keys, values, strict=True))
            if len(items) != len(keys):
                raise ConversionError(f"repeated key {briefly(names[_repeated(keys)])}")
            return FrozenMap(items) if is_frozen else items

        return read

    def _pairs(self, type: MapType[Any]) -> Convert:
        """Return the reader of a map with other keys: an array of objects with `key` and `value`."""
        read_keys, read_values = self._many(type.key), self._many(type.value)
        watched, is_frozen = watched_from(type.key), type.is_frozen

        def read(plain: Any, depth: int) -> Any:
            pairs = plain if plain.__class__ is list else _array(plain)
            for index, pair in enumerate(pairs):
                if pair.__class__ is not dict or pair.keys() != {"key", "value"}:
                    what = "an object with other keys" if isinstance(pair, dict) else briefly(pair)
                    raise ConversionError(f"expected an object with `key` and `value`, got {what}").at(index)
            keys = _read_part(read_keys, pairs, "key", depth)
            if watched and len(keys) >= watched:
                _check_collisions(keys)
            items = dict(zip(keys, _read_part(read_values, pairs, "value", depth), strict=True))
            if len(items) != len(keys):
                raise ConversionError("repeated key").at(_repeated(keys))
            return FrozenMap(items) if is_frozen else items

        return read


def many(find: Callable[[], Convert], batch: Batch | None) -> Many:
    """Return the converter of a list.

    Args:
        find: returns the converter of an element; called on first use, because types may be recursive.
        batch: converts a whole list where it can.
    """
    convert: Convert | None = None

    def convert_all(items: list[Any], depth: int) -> list[Any]:
        nonlocal convert
        if batch is not None:
            done = batch(items)
            if done is not None:
                return done
        if convert is None:
            convert = find()
        found: list[Any] = []
        try:
            # In C; after an error `found` has the elements before it.
            found.extend(map(convert, items, repeat(depth)))
        except ConversionError as error:
            raise error.at(len(found)) from None
        return found

    return convert_all


def _batch(type: Type[Any]) -> Batch | None:
    if isinstance(type, BaseType):
        if type.name == "string":
            return texts
        if type.name in BITS or type.name in ("bool", "double"):
            return checked(type.name)
    return None


def _key_batch(type: Type[Any]) -> Batch | None:
    return texts if isinstance(type, BaseType) and type.name == "string" else None


def is_unchanged(items: dict[Any, Any], same_values: Batch) -> bool:
    """Return whether a map with string keys needs no conversion: copying a `dict` is ten times as fast as building it.

    Args:
        same_values: a batch that changes nothing.
    """
    return texts(items) is not None and same_values(list(items.values())) is not None


def _is_kept(type: MapType[Any]) -> bool:
    key, value = type.key, type.value
    is_text = isinstance(key, BaseType) and key.name == "string"
    # Doubles may be written as integers.
    return is_text and not type.is_frozen and isinstance(value, BaseType) and value.name != "double"


def _read_nothing(plain: Any, depth: int) -> None:
    if plain is not None:
        raise ConversionError(f"expected null, got {briefly(plain)}")


def _array(plain: Any) -> list[Any]:
    if isinstance(plain, list | tuple):
        return list(cast("list[Any]", plain))
    raise ConversionError(f"expected an array, got {briefly(plain)}")


def _read_part(read_all: Many, pairs: list[Any], name: str, depth: int) -> list[Any]:
    try:
        return read_all([pair[name] for pair in pairs], depth)
    except ConversionError as error:
        index = _index(error)
        raise error.at(f".{name}").at(index) from None


def _index(error: ConversionError) -> int:
    """Remove and return the last step of a path, which is an index."""
    return int(error.path.pop())


def _repeated(found: list[Any]) -> int:
    """Return the index of the first repeated element."""
    seen: set[Any] = set()
    for index, each in enumerate(found):
        if each in seen:
            return index
        seen.add(each)
    return 0


def _check_collisions(keys: list[Any]) -> None:
    """Reject crafted keys with colliding hashes."""
    probes, seen = HashProbes(len(keys)), set[Any]()
    try:
        for key in keys:
            probes.look(key, 0)
            before = len(seen)
            seen.add(key)
            if len(seen) > before:
                probes.added(key)
    except DecodeError:
        raise ConversionError("too many keys with colliding hashes") from None
