"""Examples of values, as JSON: those of a field depend on nothing but its name, its type and its constraints.

Every example is valid. Where none is found (a pattern that no known text matches, a type that contains itself), there
is no example.
"""

from __future__ import annotations

import base64
import math
import re
import uuid
import zlib
from typing import Any, Final

from idlrt.openapi.constraints import Rules, constrain, enum_names, enum_values, rules_of, rules_within, size_of
from idlrt.openapi.defaults import NO_VALUE, default_of
from idlrt.openapi.scalars import BITS
from idlrt.serialization.plain_json import JsonOptions, json_key
from idlrt.spec import BaseType, EnumType, Field, ListType, MapType, SetType, StructType, Type, Union

__all__ = ["Examples"]

_MOST_LEVELS: Final = 6
# Tried where a pattern must match, besides repeated letters and digits.
_TEXTS: Final = (
    "a", "A", "0", "abc", "ABC", "Abc", "abc-123", "ABC-123", "abc_1", "a1", "A1", "ABC123", "AB-1234", "1.0", "1.0.0",
    "v1", "v1.0.0", "#ffffff", "user@example.com", "example.com", "https://example.com/", "/path", "+4930123456",
    "2024-01-31", "12:30", "12:30:00", "2024-01-31T12:30:00Z", "127.0.0.1", "en", "en-US", "EUR",
    "123e4567-e89b-12d3-a456-426614174000",
)  # fmt: skip


class _NoExample(Exception):
    pass


class Examples:
    """Generator of examples.

    Args:
        json: mapping of values.
    """

    def __init__(self, json: JsonOptions) -> None:
        self._json = json
        self._open: list[Any] = []

    def of_class(self, cls: Any) -> Any:
        """Return an example of a struct, union or exception; `None` for none."""
        try:
            return self._class(cls)
        except _NoExample:
            return None

    def of_enum(self, cls: Any) -> Any:
        """Return an example of an enum; `None` for none."""
        try:
            return self._enum(EnumType(cls), {}, 0)
        except _NoExample:
            return None

    def of_field(self, field: Field[Any], cls: Any = None, *, as_text: bool | None = None) -> Any:
        """Return an example of a field or an argument; `None` for none.

        Args:
            cls: class that has the field; `None` for an argument.
            as_text: whether `i64` is text; `None`: as the options and the field say.
        """
        try:
            return self._field(field, cls, as_text=as_text)
        except _NoExample:
            return None

    def of_type(self, type: Type[Any], name: str) -> Any:
        """Return an example of a type; `None` for none."""
        try:
            return self._value(type, name, {}, self._json.i64_as_text, 0)
        except _NoExample:
            return None

    def _field(self, field: Field[Any], cls: Any, *, as_text: bool | None = None) -> Any:
        if as_text is None:
            as_text = self._json.i64_as_text or "http.as_text" in field.annotations
        default = default_of(field, cls, self._json, as_text=as_text)
        if default is not NO_VALUE and default not in ([], {}):
            return default
        return self._value(field.type, field.name, rules_of(field.annotations), as_text, 0)

    def _class(self, cls: Any) -> Any:
        if cls in self._open or len(self._open) > _MOST_LEVELS:
            raise _NoExample
        self._open.append(cls)
        try:
            fields = [field for field in cls.__thrift_fields__ if "http.none" not in field.annotations]
            return self._one_of(fields, cls) if issubclass(cls, Union) else self._all_of(fields, cls)
        finally:
            self._open.pop()

    def _one_of(self, fields: list[Field[Any]], cls: Any) -> Any:
        for field in fields:
            try:
                return {json_key(field): self._field(field, cls)}
            except _NoExample:
                continue
        raise _NoExample

    def _all_of(self, fields: list[Field[Any]], cls: Any) -> Any:
        found: dict[str, Any] = {}
        for field in fields:
            try:
                found[json_key(field)] = self._field(field, cls)
            except _NoExample:
                if field.is_required:
                    raise
        return found

    def _value(self, type: Type[Any], name: str, rules: Rules, as_text: bool, number: int) -> Any:
        if isinstance(type, StructType):
            return self._class(type.cls)
        if isinstance(type, EnumType):
            return self._enum(type, rules, number)
        if isinstance(type, ListType | SetType):
            return self._list(type, name, rules, as_text)
        if isinstance(type, MapType):
            return self._map(type, name, rules, as_text)
        assert isinstance(type, BaseType)
        return _scalar(type.name, name, rules, as_text, number)

    def _enum(self, type: EnumType[Any], rules: Rules, number: int) -> Any:
        members = enum_names(type)
        chosen = [*members]
        for rule in ("const", "in"):
            if rule in rules:
                numbers = {*enum_values(type, rules[rule])}
                chosen = [name for name in chosen if int(members[name]) in numbers]
        forbidden = {*enum_values(type, rules.get("not_in", ()))}
        chosen = [name for name in chosen if int(members[name]) not in forbidden]
        if number >= len(chosen):
            raise _NoExample
        return int(members[chosen[number]]) if self._json.enums_as_numbers else chosen[number]

    def _list(self, type: ListType[Any] | SetType[Any], name: str, rules: Rules, as_text: bool) -> list[Any]:
        least = size_of(rules, "min_size") or 0
        most = size_of(rules, "max_size")
        count = max(least, 1) if most is None else min(max(least, 1), most)
        if count > 100:
            raise _NoExample
        within = rules_within(rules, "elem")
        try:
            found = [self._value(type.element, name, within, as_text, number) for number in range(count)]
        except _NoExample:
            if least:
                raise
            return []
        if isinstance(type, SetType) and any(each in found[:place] for place, each in enumerate(found)):
            raise _NoExample
        return found

    def _map(self, type: MapType[Any], name: str, rules: Rules, as_text: bool) -> Any:
        is_object = isinstance(type.key, BaseType | EnumType)
        least = size_of(rules, "min_size") or 0
        most = size_of(rules, "max_size")
        count = max(least, 1) if most is None else min(max(least, 1), most)
        if count > 100:
            raise _NoExample
        try:
            pairs = [
                (
                    self._value(type.key, name, rules_within(rules, "key"), as_text, number),
                    self._value(type.value, name, rules_within(rules, "value"), as_text, number),
                )
                for number in range(count)
            ]
        except _NoExample:
            if least:
                raise
            pairs = []
        if not is_object:
            if any(key in [other for other, _ in pairs[:place]] for place, (key, _) in enumerate(pairs)):
                raise _NoExample
            return [{"key": key, "value": value} for key, value in pairs]
        found = {_key_text(key): value for key, value in pairs}
        if len(found) < least:
            raise _NoExample
        return found


def _key_text(key: Any) -> str:
    return ("true" if key else "false") if isinstance(key, bool) else str(key)


def _scalar(type: str, name: str, rules: Rules, as_text: bool, number: int) -> Any:
    wish = 1 + zlib.crc32(name.encode()) % 100
    if type == "bool":
        wanted = rules.get("const")
        return wanted[-1].lower() == "true" if wanted else number % 2 == 0
    if type in BITS:
        found = int(_number(type, rules, wish, number))
        return str(found) if type == "i64" and as_text else found
    if type == "double":
        return _number(type, rules, wish + 0.5, number)
    if type == "uuid":
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name}{number}"))
    if type == "binary":
        text = _sized(name, rules, number).encode()
        return base64.b64encode(text).decode("ascii")
    return _text(name, rules, number)


def _number(type: str, rules: Rules, wish: float, number: int) -> float:
    """Return a number within constraints: the wish where it is, else one near to the bounds.

    Args:
        number: how many other numbers are needed besides.
    """
    is_whole = type in BITS
    schema = constrain({"type": "integer" if is_whole else "number"}, BaseType[Any](type), rules)
    if "const" in schema:
        return float(schema["const"]) if not is_whole else int(schema["const"])
    candidates: list[float] = [*schema.get("enum", ())]
    if not candidates:
        low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
        high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
        edges = [edge for edge in (low, high) if math.isfinite(edge)]
        middle = [(low + high) / 2] if len(edges) == 2 else []
        near = (0, 1, -1, 0.5, -0.5, *range(2, number + 3), *range(-2 - number, -1))
        candidates = [wish, *middle, *(edge + step for edge in edges for step in near)]
        candidates += [wish + step for step in range(1, number + 20)]
    if is_whole:
        edge = 1 << BITS[type] - 1
        candidates = [math.floor(each) for each in candidates if -edge <= each < edge]
    found = [each for each in dict.fromkeys(candidates) if _is_within(each, schema)]
    if number >= len(found):
        raise _NoExample
    return found[number]


def _is_within(number: float, schema: dict[str, Any]) -> bool:
    return (
        schema.get("minimum", -math.inf) <= number <= schema.get("maximum", math.inf)
        and number > schema.get("exclusiveMinimum", -math.inf)
        and number < schema.get("exclusiveMaximum", math.inf)
        and number not in schema.get("not", {}).get("enum", ())
    )


def _text(name: str, rules: Rules, number: int) -> str:
    schema = constrain({"type": "string"}, BaseType[Any]("string"), rules)
    if "const" in schema:
        return str(schema["const"])
    candidates: list[str] = [*schema.get("enum", ())][number:]
    if not candidates:
        prefix, suffix = (rules.get(rule, ("",))[-1] for rule in ("prefix", "suffix"))
        inside = "".join(rules.get("contains", ()))
        candidates = [_sized(name, rules, number), f"{prefix}{inside or name}{suffix}", f"{prefix}{inside}{suffix}"]
        candidates = [*filter(None, candidates), *_TEXTS]
        candidates += [letter * count for count in range(1, 41) for letter in "aA0x1"]
    for each in candidates:
        if _fits(each, rules, schema):
            return each
    raise _NoExample


def _fits(text: str, rules: Rules, schema: dict[str, Any]) -> bool:
    sizes = [size_of(rules, rule) for rule in ("min_size", "min_rune_size", "max_size", "max_rune_size")]
    low, high = max(sizes[0] or 0, sizes[1] or 0), [size for size in sizes[2:] if size is not None]
    if not low <= len(text) or any(len(text.encode()) > size for size in high):
        return False
    patterns = [each["pattern"] for each in (schema, *schema.get("allOf", ())) if "pattern" in each]
    forbidden = [each["not"]["pattern"] for each in schema.get("allOf", ()) if "not" in each]
    if any(not re.search(pattern, text) for pattern in patterns) or any(re.search(each, text) for each in forbidden):
        return False
    return text not in schema.get("not", {}).get("enum", ())


def _sized(name: str, rules: Rules, number: int) -> str:
    """Return a text with the name of the field, within bounds of its size."""
    text = name if number == 0 else f"{name}{number + 1}"
    low = max(size_of(rules, "min_size") or 0, size_of(rules, "min_rune_size") or 0)
    if low > 10_000:
        raise _NoExample
    while len(text) < low:
        text += f" {name}"
    sizes = [size for rule in ("max_size", "max_rune_size") if (size := size_of(rules, rule)) is not None]
    return text[: min(sizes)] if sizes else text
