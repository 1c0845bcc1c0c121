"""Constraints of one value, without its parts, as functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import msgspec

from idlrt.printable import plural
from idlrt.serialization._constraint_patterns import MAX_LENGTH, compile_pattern
from idlrt.serialization._constraint_rules import InvalidConstraint, Rules, flag
from idlrt.serialization._conversion_errors import briefly
from idlrt.serialization._plain_batches import BITS
from idlrt.serialization._plain_scalars import names_of
from idlrt.spec import BaseType, Enum, EnumType, ListType, MapType, SetType, Type

__all__ = ["Check", "checks_of"]


class Check(msgspec.Struct, frozen=True, eq=False):
    """A constraint.

    Attributes:
        is_valid: whether a value satisfies it.
        text: what the value must be.
        measure: returns what the value is instead.
        is_costly: whether it is checked only if the other constraints of the value are satisfied.
        name: name of the annotation.
        limit: its value in the IDL, `a, b` of several; empty for flags.
    """

    is_valid: Callable[[Any], bool]
    text: str
    measure: Callable[[Any], str] = briefly
    is_costly: bool = False
    name: str = ""
    limit: str = ""


_Parse: TypeAlias = Callable[[str], Any]
"""Value of an annotation → value to compare with. Raises `ValueError` with what was expected."""

_Make: TypeAlias = Callable[[Any], Check]

# In the IDL of thrift-gen-validator: another field, or a function.
_REFERENCE: Final = re.compile(r"\$[A-Za-z_]\w*|@[a-z_]+\(.*\)", re.DOTALL)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
_DOUBLE: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

# Constraints that the compiler of constraints handles itself.
_OTHER: Final = ("not_nil", "skip")


def checks_of(type: Type[Any], rules: Rules) -> list[Check]:
    """Return the constraints of a value of a type.

    Raises:
        InvalidConstraint: a constraint does not apply to the type, or its value is invalid.
    """
    found: list[Check] = []
    parse, table = _known(type)
    for name, values in rules.own.items():
        if name in _OTHER:
            continue
        before = len(found)
        if name in ("in", "not_in") and parse is not None:
            found.append(_listed(name, [_parsed(rules, name, parse, value) for value in values]))
        elif name in table:
            parse_one, make = table[name]
            found += [make(_parsed(rules, name, parse_one, value)) for value in values]
        elif name in _FLAGS and isinstance(type, _FLAGS[name]):
            if flag(rules, name) and isinstance(type, EnumType):
                found.append(Check(_is_known, f"must be a member of {type!r}", _shown))
        else:
            raise InvalidConstraint(rules.prefix + name, values[0] if values else "", f"not a constraint of {type!r}")
        limits = values if len(found) - before == len(values) else (", ".join(values),)
        found[before:] = [
            msgspec.structs.replace(check, name=rules.prefix + name, limit=limit)
            for check, limit in zip(found[before:], limits, strict=False)
        ]
    return sorted(found, key=lambda check: check.is_costly)


def _parsed(rules: Rules, name: str, parse: _Parse, value: str) -> Any:
    try:
        if name != "pattern" and _REFERENCE.fullmatch(value):
            raise ValueError("references to fields and functions are not supported")
        return parse(value)
    except ValueError as error:
        raise InvalidConstraint(rules.prefix + name, value, str(error)) from None


def _known(type: Type[Any]) -> tuple[_Parse | None, dict[str, tuple[_Parse, _Make]]]:
    """Return how to parse values of a type (`None`: it has no `in`), and its other constraints."""
    if isinstance(type, EnumType):
        parse = _enum_parser(type.cls)
        return parse, {"const": (parse, _equal)}
    if isinstance(type, ListType | SetType):
        return None, _sizes("min_size", "max_size", len, "element", "have ")
    if isinstance(type, MapType):
        return None, _sizes("min_size", "max_size", len, "entry", "have ", "entries")
    if not isinstance(type, BaseType) or type.name == "uuid":
        return None, {}
    if type.name == "bool":
        return None, {"const": (_parse_bool, _equal)}
    if type.name in BITS or type.name == "double":
        number = _parse_double if type.name == "double" else _parse_integer
        return number, {"const": (number, _equal)} | {name: (number, make) for name, make in _ORDERS.items()}
    return _text(is_binary=type.name == "binary")


# Values of annotations.


def _parse_bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("expected true or false")
    return text == "true"


def _parse_integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("expected an integer")
    return int(text)


def _parse_double(text: str) -> float:
    if not _DOUBLE.fullmatch(text):
        raise ValueError("expected a number")
    return float(text)


def _parse_size(text: str) -> int:
    size = _parse_integer(text)
    if size < 0:
        raise ValueError("must not be negative")
    return size


def _enum_parser(cls: Any) -> _Parse:
    names = names_of(cls)

    def parse(text: str) -> Any:
        member = names.get(text.rpartition(".")[2])
        if member is not None:
            return member
        if not _INTEGER.fullmatch(text):
            raise ValueError(f"expected the name or number of a {cls.__name__}")
        return cls(int(text))

    return parse


# Constraints.


def _shown(value: Any) -> str:
    """Return a value for an error message."""
    if isinstance(value, Enum):
        return value.name if value.is_known else str(int(value))
    return briefly(value)


def _equal(wanted: Any) -> Check:
    return Check(lambda value: bool(value == wanted), f"must be {_shown(wanted)}", _shown)


def _listed(name: str, values: Iterable[Any]) -> Check:
    listed = frozenset(values)
    texts = ", ".join(dict.fromkeys(map(_shown, values)))
    if name == "in":
        return Check(lambda value: value in listed, f"must be one of {texts}", _shown)
    return Check(lambda value: value not in listed, f"must not be one of {texts}", _shown)


def _is_known(value: Any) -> bool:
    return bool(value.is_known)


_ORDERS: Final[dict[str, _Make]] = {
    "lt": lambda limit: Check(lambda value: bool(value < limit), f"must be less than {limit}"),
    "le": lambda limit: Check(lambda value: bool(value <= limit), f"must be at most {limit}"),
    "gt": lambda limit: Check(lambda value: bool(value > limit), f"must be greater than {limit}"),
    "ge": lambda limit: Check(lambda value: bool(value >= limit), f"must be at least {limit}"),
}

_FLAGS: Final[dict[str, type[Any]]] = {
    "defined_only": EnumType,
    # About values that are null in Go, which maps of Python never have.
    "no_sparse": MapType,
}


def _sizes(
    least: str, most: str, size_of: Callable[[Any], int], noun: str, verb: str, plural_noun: str = "", end: str = ""
) -> dict[str, tuple[_Parse, _Make]]:
    """Return the constraints of a size.

    Args:
        size_of: returns the size of a value.
        noun: what is counted.
        verb: how the text starts: `have ` or `be `.
        end: how the text ends.
    """

    def make(words: str, is_valid: Callable[[int, int], bool]) -> _Make:
        def check(limit: int) -> Check:
            text = f"must {verb}at {words} {plural(limit, noun, plural_noun)}{end}"
            return Check(lambda value: is_valid(size_of(value), limit), text, lambda value: str(size_of(value)))

        return check

    return {
        least: (_parse_size, make("least", lambda size, limit: size >= limit)),
        most: (_parse_size, make("most", lambda size, limit: size <= limit)),
    }


def _text(*, is_binary: bool) -> tuple[_Parse, dict[str, tuple[_Parse, _Make]]]:
    def parse(text: str) -> str | bytes:
        return text.encode() if is_binary else text

    def pattern(text: str) -> Check:
        matches = compile_pattern(text, is_binary=is_binary)
        return Check(matches, f"must match the pattern {text!r}", _briefly_or_length, is_costly=True)

    def parse_pattern(text: str) -> str:
        compile_pattern(text, is_binary=is_binary)
        return text

    table: dict[str, tuple[_Parse, _Make]] = {
        "const": (parse, _equal),
        "prefix": (parse, lambda part: Check(lambda value: value.startswith(part), f"must start with {part!r}")),
        "suffix": (parse, lambda part: Check(lambda value: value.endswith(part), f"must end with {part!r}")),
        "contains": (parse, lambda part: Check(lambda value: part in value, f"must contain {part!r}")),
        "not_contains": (parse, lambda part: Check(lambda value: part not in value, f"must not contain {part!r}")),
        "pattern": (parse_pattern, pattern),
    }
    table |= _sizes("min_size", "max_size", _bytes_of, "byte", "be ", end=" long")
    return parse, table | _sizes("min_rune_size", "max_rune_size", _runes_of, "character", "be ", end=" long")


def _briefly_or_length(value: Any) -> str:
    if len(value) > MAX_LENGTH:
        return f"one longer than {MAX_LENGTH}, which is not matched"
    return briefly(value)


def _bytes_of(value: str | bytes) -> int:
    if isinstance(value, str) and not value.isascii():
        return len(value.encode(errors="surrogatepass"))
    return len(value)


def _runes_of(value: str | bytes) -> int:
    # Go counts each invalid byte as one.
    return len(value.decode(errors="surrogateescape") if isinstance(value, bytes) else value)
