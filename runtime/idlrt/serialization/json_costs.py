"""Upper bounds of the memory of a message's values, computed before they are created.

The costs are those of all serializations (`idlrt.serialization._decoded_size`): the same values have the same cost in
each. They are computed from the parsed JSON objects, whose memory is bounded separately.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

from idlrt.errors import RemoteProtocolError
from idlrt.serialization._decoded_size import (
    FIELD,
    UNKNOWN_MEMBER,
    budget_of,
    container_cost,
    costs_of_record,
    member_cost,
    record_cost,
    struct_cost,
)
from idlrt.serialization._rest_fields import fields_of, key_of
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import over_decoded, over_limit, public_error
from idlrt.serialization.types import TypeId
from idlrt.spec import BaseType, EnumType, Field, ListType, MapType, SetType, StructType, Type

__all__ = ["Meter"]

# Minimum size of an element in bytes, including the comma after it.
_MINIMUM: Final[dict[int, int]] = {
    **dict.fromkeys((TypeId.BOOL, TypeId.I8, TypeId.I16, TypeId.I32, TypeId.I64, TypeId.DOUBLE), 2),
    **dict.fromkeys((TypeId.STRING, TypeId.STRUCT, TypeId.MAP, TypeId.SET, TypeId.LIST), 3),
    TypeId.UUID: 38,
}
_FIELD_HEAD: Final = 4  # `"a":`

# JSON objects: upper bound for each byte of text, and for each character that creates an object or a slot for one.
_PLAIN: Final = 40
_ARRAY, _OBJECT, _ITEM, _VALUE = 104, 300, 156, 56
_WIDEST: Final = 4  # bytes per character in memory for text that is not ASCII

_TEXTS: Final = ("string", "binary")

# Messages whose upper bound is at most this are not counted in detail: the bound is reported.
_SMALL: Final = 1 << 16


class Meter:
    """Computes the memory of the values of one record: the arguments of a method, or its result.

    Args:
        fields: fields of the record.
        limits: limits of the connection.
        rest: whether the mapping of REST applies: see `idlrt.serialization.plain_json.JsonOptions`.
    """

    __slots__ = ("_costs", "_fields", "_limits", "_names", "_rest", "_root", "_tables")

    def __init__(self, fields: Sequence[Field[Any]], limits: Limits, *, rest: bool = False) -> None:
        self._fields = fields
        self._rest = rest
        self._names = _by_name(fields, rest=rest)
        self._limits = limits
        self._root: Final = record_cost(fields) + FIELD * len(fields)
        self._costs: Final = costs_of_record(fields, _MINIMUM, _FIELD_HEAD)
        self._tables: dict[Any, Mapping[str, Field[Any]]] = {}

    def check_text(self, text: bytes, root: str) -> None:
        """Check the memory of the JSON objects before they are created.

        Args:
            text: the JSON text.
            root: name of the decoded value, for messages.

        Raises:
            RemoteProtocolError: they may exceed a limit.
        """
        size = len(text)
        budget = budget_of(self._limits, size)
        if _PLAIN * size <= budget:
            return
        most = size if text.isascii() else _WIDEST * size
        most += _ARRAY * text.count(b"[") + _OBJECT * text.count(b"{")
        most += _ITEM * text.count(b",") + _VALUE * (text.count(b":") + 1)
        if min(most, _PLAIN * size) > budget:
            raise public_error(over_decoded(size, size, self._limits), root)

    def measure(self, plain: object, size: int, root: str) -> int:
        """Return an upper bound of the memory of the values decoded from `plain`, in bytes.

        Args:
            plain: the record: an object, or an array in the order of the fields. Other values cost nothing.
            size: size of its text in bytes.
            root: name of the decoded value, for messages.

        Raises:
            RemoteProtocolError: a limit is exceeded.
        """
        limits = self._limits
        bound = self._root + self._costs.bound(size)
        budget = budget_of(limits, size)
        if bound <= min(budget, _SMALL) and size <= min(limits.max_string, 2 * limits.max_container):
            return bound
        try:
            cost = size + self._root + self._record(plain, size)
        except RecursionError:
            raise RemoteProtocolError(f"cannot read {root}: nested too deeply") from None
        except _OverLimit as error:
            raise public_error(over_limit(0, error.value, error.limit, error.most), root) from None
        if cost > budget:
            raise public_error(over_decoded(size, size, limits), root)
        return cost

    def _record(self, plain: object, size: int) -> int:
        if _is_object(plain):
            pairs = [(self._names[name], item) for name, item in plain.items() if name in self._names]
        elif _is_array(plain):
            pairs = list(zip(self._fields, plain, strict=False))
        else:
            return 0
        return sum(self._cost(field.type, item, size) for field, item in pairs)

    def _cost(self, type: Type[Any], plain: object, size: int) -> int:
        """Return the cost of a value. Scalars cost nothing beyond their slot in the container."""
        match type:
            case StructType():
                return self._struct(type.cls, plain, size)
            case ListType() | SetType():
                return self._elements(type, plain, size)
            case MapType():
                return self._map(type, plain, size)
            case EnumType():
                return UNKNOWN_MEMBER if isinstance(plain, int) else 0
            case BaseType():
                if isinstance(plain, str) and size > self._limits.max_string:
                    self._check(_bytes_of(type, plain), "max_string", self._limits.max_string)
                return 0
            case _:
                return 0

    def _struct(self, cls: Any, plain: object, size: int) -> int:
        if not _is_object(plain):
            return 0
        table = self._tables.get(cls)
        if table is None:
            table = self._tables[cls] = _by_name(cls.__thrift_fields__, rest=self._rest)
        cost = struct_cost(cls)
        for name, item in plain.items():
            field = table.get(name)
            if field is not None:
                cost += FIELD + self._cost(field.type, item, size)
        return cost

    def _elements(self, type: ListType[Any] | SetType[Any], plain: object, size: int) -> int:
        if not _is_array(plain):
            return 0
        self._check(len(plain), "max_container", self._limits.max_container)
        cost = container_cost(type) + member_cost(type) * len(plain)
        if self._is_counted(type.element, size):
            cost += sum(self._cost(type.element, item, size) for item in plain)
        return cost

    def _map(self, type: MapType[Any], plain: object, size: int) -> int:
        """Return the cost of a map: an object, or, if keys are not scalars, an array of objects with `key` and
        `value`.
        """
        pairs: list[tuple[Any, Any]]
        if _is_object(plain):
            pairs = list(plain.items())
        elif _is_array(plain):
            pairs = [(item.get("key"), item.get("value")) for item in plain if _is_object(item)]
        else:
            return 0
        self._check(len(pairs), "max_container", self._limits.max_container)
        cost = container_cost(type) + member_cost(type) * len(pairs)
        if isinstance(type.key, EnumType):
            cost += UNKNOWN_MEMBER * len(pairs)
        elif self._is_counted(type.key, size):
            cost += sum(self._cost(type.key, key, size) for key, _ in pairs)
        if self._is_counted(type.value, size):
            cost += sum(self._cost(type.value, value, size) for _, value in pairs)
        return cost

    def _is_counted(self, type: Type[Any], size: int) -> bool:
        """Whether values of a type have to be counted individually."""
        return not isinstance(type, BaseType) or (size > self._limits.max_string and type.name in _TEXTS)

    def _check(self, value: int, limit: str, most: int) -> None:
        if value > most:
            raise _OverLimit(value, limit, most)


class _OverLimit(Exception):
    """A string or container is larger than a limit allows."""

    def __init__(self, value: int, limit: str, most: int) -> None:
        super().__init__(limit)
        self.value = value
        self.limit = limit
        self.most = most


def _by_name(fields: Sequence[Field[Any]], *, rest: bool) -> dict[str, Field[Any]]:
    """Return the fields by their names in the IDL and in Python; with `rest`, by their keys."""
    if rest:
        return {key_of(field, rest=True): field for field in fields_of(fields, rest=True)}
    return {field.attribute: field for field in fields} | {field.name: field for field in fields}


def _bytes_of(type: BaseType[Any], text: str) -> int:
    """Return the size of a string, or of decoded base64, in bytes."""
    if type.name == "binary":
        return len(text.rstrip("=")) * 3 // 4
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def _is_object(plain: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(plain, dict)


def _is_array(plain: object) -> TypeGuard[list[Any]]:
    return isinstance(plain, list)
