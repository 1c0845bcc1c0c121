"""Reader that walks field tables over the primitives of any protocol.

Each type becomes a function of an `Input`, put together once; those of classes are made when a value of the class
is first met, because types may be recursive. A protocol is what its `Input` does: how a field, a container, a
number begins and ends. Compact and JSON are read so. Binary has a separate, faster reader and comes here when that
one has failed, to learn where: so both must agree about what is an error.

The primitive that finds an error raises a `DecodeError`; each enclosing function adds its step to the path. Valid input
pays nothing for that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from idlrt.errors import RemoteProtocolError
from idlrt.serialization._binary_layout import type_id
from idlrt.serialization._decoded_size import (
    FIELD,
    UNKNOWN_MEMBER,
    budget_of,
    container_cost,
    member_cost,
    record_cost,
    struct_cost,
)
from idlrt.serialization._hash_probes import HashProbes, watched_from
from idlrt.serialization._sensitive import key_text
from idlrt.serialization._unknown import keep, mark_of
from idlrt.serialization._walk_primitives import Input
from idlrt.serialization._walk_skip import skip_field
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import (
    DecodeError,
    at_element,
    at_field,
    at_key,
    at_value,
    bad_union,
    missing,
    over_decoded,
    over_limit,
    public_error,
    too_deep,
    too_short,
    wrong_elements,
)
from idlrt.serialization.options import keeps_unknown
from idlrt.spec import (
    UNKNOWN,
    BaseType,
    EnumType,
    Field,
    FrozenMap,
    ListType,
    MapType,
    SetType,
    StructType,
    Type,
    Union,
    empty_union,
    set_unknown,
)

__all__ = ["Read", "WalkReader"]

Read: TypeAlias = Callable[[Any], Any]
"""`(Input)` → value."""

_ReadFields: TypeAlias = Callable[[Input, dict[str, Any]], bytearray | None]
"""`(Input, values to fill)` → unknown fields: `None` if there were none, empty if they are not kept."""


class WalkReader:
    """Factory of read functions; those of classes are cached.

    Args:
        primitives: the class of `Input`.
        limits: what is accepted.
        counts: whether values are charged to the budget of their message (see `_decoded_size`).
    """

    def __init__(self, primitives: type[Any], limits: Limits, *, counts: bool = True) -> None:
        self._primitives = primitives
        self._limits = limits
        self._counts = counts
        self._lock = threading.Lock()
        self._structs: dict[type, Read] = {}

    def fast(self, read: Read) -> Callable[[bytes, int], tuple[Any, int]]:
        """Return a reader that does not count, and whose errors have no path."""
        primitives, limits = self._primitives, self._limits

        def fast(data: bytes, start: int) -> tuple[Any, int]:
            source = primitives(data, start, limits)
            return read(source), source.offset

        return fast

    def read(self, read: Read, label: str, data: bytes, start: int, received: int = 0) -> tuple[Any, int, int]:
        """Read the value at `start`; return it, the offset after it, and its cost in bytes of memory.

        Args:
            received: bytes of the message as they arrived, if that is not what `data` has from `start` on.

        Raises:
            RemoteProtocolError: there is none; the path starts with `label`.
        """
        end, most = len(data), self._limits.max_message
        source = self._primitives(data, start, self._limits)
        source.received = received or end - start
        budget = budget_of(self._limits, source.received)
        source.budget = budget - (end - start)
        try:
            if end - start > most:
                raise over_limit(start, end - start, "max_message", most)
            if source.budget < 0:
                raise over_decoded(start, source.received, self._limits)
            return read(source), source.offset, budget - source.budget
        except DecodeError as error:
            raise public_error(error, label) from None
        except RecursionError:
            raise RemoteProtocolError(
                f"cannot read {label}: nesting at offset {source.offset} is more than Python's recursion limit allows"
            ) from None

    def struct(self, cls: type[Any]) -> Read:
        """Return the read function of a generated class."""
        read = self._structs.get(cls)
        if read is None:
            with self._lock:
                read = self._structs.setdefault(cls, self._make_struct(cls))
        return read

    def record(self, fields: Sequence[Field[Any]], defaults: Sequence[Any]) -> Read:
        """Return the read function of a record; it returns a tuple."""
        read_fields = self._make_fields(fields, {field.id: field.name for field in fields})
        required = [field.name for field in fields if field.is_required]
        absent = {field.name: defaults[i] if i < len(defaults) else None for i, field in enumerate(fields)}
        made = {name: default for name, default in absent.items() if callable(default)}
        counts, charge, cost = self._counts, self._charge, record_cost(fields)

        def read(source: Input) -> tuple[Any, ...]:
            values = absent.copy()
            came: dict[str, Any] = {}
            source.depth -= 1
            state = source.begin_struct()
            read_fields(source, came)
            if counts:
                charge(source, cost + FIELD * len(came))
            for name in required:
                if name not in came:
                    raise missing(source.offset, name)
            source.end_struct(state)
            values.update(came)
            for name, make in made.items():
                if name not in came:
                    values[name] = make()
            return tuple(values.values())

        return read

    def _make_struct(self, cls: Any) -> Read:
        fields: tuple[Field[Any], ...] = cls.__thrift_fields__
        keeps = issubclass(cls, Union) or keeps_unknown(self._limits)
        mark = mark_of(self._primitives.PROTOCOL) if keeps and hasattr(cls, UNKNOWN) else None
        read_fields = self._make_fields(fields, {field.id: field.attribute for field in fields}, mark)
        in_order = sorted(fields, key=lambda field: field.id)
        required = [(field.attribute, field.name) for field in in_order if field.is_required]
        is_union, most = issubclass(cls, Union), self._limits.max_depth
        counts, charge, cost = self._counts, self._charge, struct_cost(cls)

        def read(source: Input) -> Any:
            source.depth -= 1
            if source.depth < 0:
                raise too_deep(source.offset, most)
            state = source.begin_struct()
            values: dict[str, Any] = {}
            unknown = read_fields(source, values)
            if counts:
                charge(source, cost + FIELD * len(values))
            for attribute, name in required:
                if attribute not in values:
                    raise missing(source.offset, name)
            offset = source.offset
            source.end_struct(state)
            source.depth += 1
            if is_union and unknown is not None and not values:
                return empty_union(cls, bytes(unknown))
            try:
                value = cls(**values)
            except TypeError as error:
                raise bad_union(offset, error) from None
            if unknown and not is_union:
                set_unknown(value, bytes(unknown))
            return value

        return read

    def _charge(self, source: Input, cost: int) -> None:
        """Charge the budget before values are created."""
        source.budget -= cost
        if source.budget < 0:
            raise over_decoded(source.offset, source.received, self._limits)

    def _make_fields(
        self, fields: Sequence[Field[Any]], keys: dict[int, str], mark: bytes | None = None
    ) -> _ReadFields:
        """Return the function that reads all fields of a struct, by key.

        Args:
            mark: of the protocol, if unknown fields are kept.
        """
        known = {
            (type_id(field.type), field.id): (keys[field.id], self._field(field), at_field(key_text(field, field.name)))
            for field in fields
        }
        find, limits, closes = known.get, self._limits, self._primitives.CLOSES_FIELDS
        ids = frozenset(field.id for field in fields)

        def read(source: Input, values: dict[str, Any]) -> bytearray | None:
            unknown: bytearray | None = None
            next_field = source.field
            found = None  # the field that is being read
            try:
                while True:
                    head = next_field()
                    found = find(head)
                    if found is not None:
                        values[found[0]] = found[1](source)
                        if closes:
                            source.end_field()
                        found = None
                    elif head[0]:
                        if unknown is None:
                            unknown = bytearray()
                        value = skip_field(source, head, limits)
                        if mark is not None and head[1] not in ids:
                            keep(unknown, mark, head[1], head[0], value)
                    else:
                        return unknown
            except DecodeError as error:
                if found is not None:
                    error.path.append(found[2])
                raise

        return read

    def _field(self, field: Field[Any]) -> Read:
        if isinstance(field.type, BaseType) and field.type.name == "bool":
            read: Read = self._primitives.read_field_bool
            return read
        return self._value(field.type)

    def _value(self, type: Type[Any]) -> Read:
        match type:
            case BaseType():
                read: Read = getattr(self._primitives, f"read_{type.name}")
                return read
            case EnumType():
                return _enum(type.cls, self._primitives.read_i32, self._charge if self._counts else None)
            case StructType() as referred:
                return self._later(referred)
            case ListType() | SetType() as sequence:
                return self._sequence(sequence)
            case MapType() as mapping:
                return self._mapping(mapping)
            case _:
                raise TypeError(f"{type!r} cannot be read")

    def _later(self, referred: StructType[Any]) -> Read:
        made: Read | None = None

        def read(source: Input) -> Any:
            nonlocal made
            if made is None:
                made = self.struct(referred.cls)
            return made(source)

        return read

    def _sequence(self, type: ListType[Any] | SetType[Any]) -> Read:
        read_element, wanted = self._value(type.element), type_id(type.element)
        minimum, most = self._primitives.MINIMUM[wanted], self._limits.max_container
        make: Any
        if isinstance(type, ListType):
            make = tuple if type.is_frozen else None
        else:
            make = frozenset if type.is_frozen else set
        counts, charge, base, each = self._counts, self._charge, container_cost(type), member_cost(type)
        watched = watched_from(type.element) if isinstance(type, SetType) else 0

        def read(source: Input) -> Any:
            kind, length = source.list_head()
            offset = source.offset
            if length * minimum > source.end - offset:
                raise too_short(offset, length * minimum, source.end)
            if length > most:
                raise over_limit(offset, length, "max_container", most)
            if kind != wanted and length:
                raise wrong_elements(offset, kind, wanted)
            if counts:
                charge(source, base + each * length)
            items: list[Any] = []
            append = items.append
            try:
                for _ in range(length):
                    append(read_element(source))
            except DecodeError as error:
                error.path.append(at_element(len(items)))
                raise
            source.end_list()
            if watched and length >= watched:
                return make(_watched(items, source.offset))
            return items if make is None else make(items)

        return read

    def _mapping(self, type: MapType[Any]) -> Read:
        read_key, read_value = self._value(type.key), self._value(type.value)
        wanted_key, wanted_value = type_id(type.key), type_id(type.value)
        minimum = self._primitives.MINIMUM[wanted_key] + self._primitives.MINIMUM[wanted_value]
        most, is_frozen = self._limits.max_container, type.is_frozen
        counts, charge, base, each = self._counts, self._charge, container_cost(type), member_cost(type)
        watched = watched_from(type.key)

        def read(source: Input) -> Any:
            key_kind, value_kind, length = source.map_head()
            offset = source.offset
            if length * minimum > source.end - offset:
                raise too_short(offset, length * minimum, source.end)
            if length > most:
                raise over_limit(offset, length, "max_container", most)
            if length and (key_kind != wanted_key or value_kind != wanted_value):
                raise wrong_elements(offset, key_kind, wanted_key, value_kind, wanted_value)
            if counts:
                charge(source, base + each * length)
            items: dict[Any, Any] = {}
            key, index, has_key, is_whole = None, 0, False, False
            probes = HashProbes(length) if watched and length >= watched else None
            try:
                for index in range(length):  # noqa: B007
                    has_key = False
                    key = read_key(source)
                    has_key = True
                    value = read_value(source)
                    if probes is None:
                        items[key] = value
                    else:
                        is_whole = True
                        _put_watched(probes, items, key, value, source.offset)
                        is_whole = False
            except DecodeError as error:
                if is_whole:  # an error of the map, not of one of its keys
                    raise
                error.path.append(at_value(key) if has_key else at_key(index))
                raise
            source.end_map()
            return FrozenMap(items) if is_frozen else items

        return read


def _watched(keys: list[Any], offset: int) -> dict[Any, None]:
    """Return the keys of a set, checked for collisions."""
    probes, made = HashProbes(len(keys)), dict[Any, None]()
    for key in keys:
        _put_watched(probes, made, key, None, offset)
    return made


def _put_watched(probes: HashProbes, items: dict[Any, Any], key: Any, value: Any, offset: int) -> None:
    """Add a pair to a dict; fail if too many keys collide."""
    probes.look(key, offset)
    before = len(items)
    items[key] = value
    if len(items) > before:
        probes.added(key)


def _enum(cls: Any, read_number: Read, charge: Callable[[Input, int], None] | None) -> Read:
    members = cls._value2member_map_

    def read(source: Input) -> Any:
        number = read_number(source)
        if number in members:
            return members[number]
        if charge is not None:
            charge(source, UNKNOWN_MEMBER)
        return cls(number)

    return read
