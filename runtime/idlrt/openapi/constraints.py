"""Constraints of values (`vt.*`) as keywords of JSON Schema.

Only literal values are translated: a rule that compares with another field or calls a function (`$x`, `@len(...)`) has
no keyword. Sizes of strings are bytes in UTF-8, which JSON Schema cannot count: the bounds of characters that replace
them reject nothing that is within a maximum, and accept nothing that is below a minimum.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from idlrt.openapi.scalars import BITS, Schema
from idlrt.serialization.plain_json import to_plain
from idlrt.spec import Annotations, BaseType, EnumType, ListType, MapType, SetType, Type

__all__ = ["Rules", "constrain", "enum_names", "enum_values", "has_flag", "rules_of", "rules_within", "size_of"]

Rules: TypeAlias = Mapping[str, tuple[str, ...]]
"""Values by name of the rule, without `vt.`."""

_BOUNDS: Final = {"lt": "exclusiveMaximum", "le": "maximum", "gt": "exclusiveMinimum", "ge": "minimum"}
_POSITIVE: Final = "^[1-9][0-9]{0,18}$"
_NOT_NEGATIVE: Final = "^(?:0|[1-9][0-9]{0,18})$"
_SIZE: Final = re.compile(r"[0-9]{1,9}")
# Escaped by `re.escape`, but not special, and rejected by readers with the flag `u` of ECMA-262.
_NEEDLESS: Final = re.compile(r"\\([^\w\s^$\\.*+?()\[\]{}|/])")


def rules_of(annotations: Annotations) -> Rules:
    """Return the constraints among the annotations of a field."""
    return {name[3:]: values for name, values in annotations.items() if name.startswith("vt.")}


def rules_within(rules: Rules, part: str) -> Rules:
    """Return the rules of a part of a container: `elem`, `key` or `value`."""
    return {name[len(part) + 1 :]: values for name, values in rules.items() if name.startswith(f"{part}.")}


def has_flag(rules: Rules, name: str) -> bool:
    """Whether a rule without a value, such as `not_nil`, applies."""
    return name in rules and rules[name][-1].lower() != "false"


def size_of(rules: Rules, name: str) -> int | None:
    """Return the value of a rule about a size; `None` if it is absent, or not a number."""
    text = rules.get(name, ("",))[-1].strip()
    return int(text) if _SIZE.fullmatch(text) else None


def enum_names(type: EnumType[Any]) -> dict[str, Any]:
    """Return the members of an enum by their names in the IDL."""
    members: Iterable[Any] = type.cls.__members__.values()
    return {to_plain(type, member): member for member in members}


def enum_values(type: EnumType[Any], texts: Iterable[str]) -> list[Any]:
    """Return the members of an enum that rules mention by name (`RED`, `Color.RED`) or number, as numbers."""
    names = enum_names(type)
    found: list[int] = []
    for text in texts:
        short = text.strip().rpartition(".")[2]
        if short in names:
            found.append(int(names[short]))
        elif re.fullmatch(r"-?[0-9]{1,10}", short):
            found.append(int(short))
    return found


def constrain(schema: Schema, type: Type[Any], rules: Rules) -> Schema:
    """Return a schema with the keywords of rules.

    Args:
        schema: schema of the type.
        type: type of the values; rules of the parts of a container are not considered here.
    """
    if not rules:
        return schema
    if isinstance(type, BaseType):
        return _of_scalar(schema, type.name, rules)
    if isinstance(type, EnumType):
        return _of_enum(schema, type, rules)
    if isinstance(type, ListType | SetType):
        return schema | _sizes(rules, "Items")
    if isinstance(type, MapType):
        return schema | _sizes(rules, "Items" if schema["type"] == "array" else "Properties")
    return schema


def _sizes(rules: Rules, what: str) -> Schema:
    bounds = {f"min{what}": size_of(rules, "min_size"), f"max{what}": size_of(rules, "max_size")}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _of_scalar(schema: Schema, name: str, rules: Rules) -> Schema:
    if name == "bool":
        values = [text.lower() == "true" for text in rules.get("const", ())]
        return schema | ({"const": values[-1]} if values else {})
    if name == "string":
        return schema | _of_text(rules)
    if name == "binary":
        return schema | _of_binary(rules)
    if name in BITS or name == "double":
        found = _of_number(rules, is_whole=name != "double")
        if not found:
            return schema
        if "anyOf" not in schema:
            return _narrowed_text(schema, found) if schema["type"] == "string" else _narrowed(schema, found)
        branches: Sequence[Schema] = schema["anyOf"]
        number = next(each for each in branches if each["type"] != "string")
        if name == "double":
            return _narrowed(number, found)  # no rule allows NaN; the infinities are not worth a schema
        return {"anyOf": [_narrowed_text(branches[0], found), _narrowed(number, found)]}
    return schema


def _narrowed(schema: Schema, found: Schema) -> Schema:
    """Return the schema of a number with further keywords, without bounds that others make superfluous."""
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    needless: set[str] = set()
    if found.get("minimum", low) < low or "exclusiveMinimum" in found:
        needless.add("minimum")
    if found.get("maximum", high) > high or "exclusiveMaximum" in found:
        needless.add("maximum")
    if "const" in found or "enum" in found:
        return {name: value for name, value in schema.items() if name not in ("minimum", "maximum")} | found
    merged = {name: value for name, value in schema.items() if name not in needless}
    return merged | {name: value for name, value in found.items() if name not in needless or name not in schema}


def _narrowed_text(schema: Schema, found: Schema) -> Schema:
    """Return the schema of an integer as text. Of bounds it has those that decide about the sign only."""
    low = max(found.get("minimum", -math.inf), found.get("exclusiveMinimum", -math.inf) + 1)
    narrow: Schema = {}
    if low >= 0:
        narrow["pattern"] = _POSITIVE if low >= 1 else _NOT_NEGATIVE
    if "const" in found:
        narrow["const"] = str(found["const"])
    if "enum" in found:
        narrow["enum"] = [str(each) for each in found["enum"]]
    if "not" in found:
        narrow["not"] = {"enum": [str(each) for each in found["not"]["enum"]]}
    return schema | narrow


def _of_number(rules: Rules, *, is_whole: bool) -> Schema:
    found: Schema = {}
    for rule, keyword in _BOUNDS.items():
        numbers = _numbers(rules.get(rule, ()), is_whole=is_whole)
        if numbers:
            found[keyword] = min(numbers) if rule in ("lt", "le") else max(numbers)
    return found | _of_choices(
        _numbers(rules.get("const", ()), is_whole=is_whole),
        _numbers(rules.get("in", ()), is_whole=is_whole),
        _numbers(rules.get("not_in", ()), is_whole=is_whole),
    )


def _numbers(texts: Iterable[str], *, is_whole: bool) -> list[int | float]:
    found: list[int | float] = []
    for text in texts:
        try:
            number: Any = json.loads(text)
        except ValueError:
            continue
        if isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number):
            found.append(int(number) if is_whole and float(number).is_integer() else number)
    return found


def _of_choices(const: Sequence[Any], allowed: Sequence[Any], forbidden: Sequence[Any]) -> Schema:
    found: Schema = {}
    if const:
        found["const"] = const[-1]
    if allowed:
        found["enum"] = [*allowed]
    if forbidden:
        found["not"] = {"enum": [*forbidden]}
    return found


def _of_enum(schema: Schema, type: EnumType[Any], rules: Rules) -> Schema:
    def both(numbers: Iterable[int]) -> list[Any]:
        """Return members by name and number: both are read."""
        chosen = {*numbers}
        return [*(name for name, member in enum_names(type).items() if int(member) in chosen), *dict.fromkeys(numbers)]

    allowed: list[Any] = []
    if has_flag(rules, "defined_only"):
        allowed = both([int(member) for member in enum_names(type).values()])
    for rule in ("const", "in"):
        if rule in rules:
            allowed = both(enum_values(type, rules[rule]))
    found = _of_choices((), allowed, both(enum_values(type, rules.get("not_in", ()))))
    return schema | found


def _of_text(rules: Rules) -> Schema:
    low = [size for name in ("min_size", "min_rune_size") if (size := size_of(rules, name)) is not None]
    high = [size for name in ("max_size", "max_rune_size") if (size := size_of(rules, name)) is not None]
    found = _of_choices(*(_literals(rules.get(name, ())) for name in ("const", "in", "not_in")))
    if low:
        found["minLength"] = max(low)
    if high:
        found["maxLength"] = min(high)
    patterns = [
        *(text for text in rules.get("pattern", ()) if _is_pattern(text)),
        *(f"^{_escaped(text)}" for text in _literals(rules.get("prefix", ()))),
        *(f"{_escaped(text)}$" for text in _literals(rules.get("suffix", ()))),
        *(_escaped(text) for text in _literals(rules.get("contains", ()))),
    ]
    if len(patterns) == 1:
        found["pattern"] = patterns[0]
    parts: list[Schema] = [{"pattern": pattern} for pattern in patterns] if len(patterns) > 1 else []
    parts += ({"not": {"pattern": _escaped(text)}} for text in _literals(rules.get("not_contains", ())))
    return found | ({"allOf": parts} if parts else {})


def _of_binary(rules: Rules) -> Schema:
    """Return bounds of the base64 text: 4 characters for 3 bytes, and fewer or padding (`=`) at its end."""
    found: Schema = {}
    excluded: list[Schema] = []
    if (low := size_of(rules, "min_size")) is not None:
        found["minLength"] = -(-low * 4 // 3)
        # Text with this number of characters has fewer bytes if some of them are padding.
        if low and low % 3 != 1:
            excluded.append({"maxLength": -(-low // 3) * 4, "pattern": "=$" if low % 3 == 0 else "==$"})
    if (high := size_of(rules, "max_size")) is not None:
        found["maxLength"] = -(-high // 3) * 4
        # Text with this number of characters has more bytes without padding.
        if high % 3:
            excluded.append({"minLength": -(-high * 4 // 3) + 1, "pattern": "[^=]=?$" if high % 3 == 1 else "[^=]$"})
    return found | ({"not": {"anyOf": excluded}} if excluded else {})


def _literals(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if text[:1] not in ("$", "@")]


def _escaped(text: str) -> str:
    return _NEEDLESS.sub(r"\1", re.escape(text))


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    # Inline flags are not known to ECMA-262.
    return not text.startswith("(?")
