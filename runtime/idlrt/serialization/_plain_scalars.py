"""Scalars and enums in JSON, as values and as keys of objects."""

from __future__ import annotations

import binascii
import keyword
import math
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from idlrt.serialization._conversion_errors import ConversionError, briefly, described
from idlrt.serialization._plain_batches import BITS
from idlrt.spec import BaseType, Enum, EnumType, Type

__all__ = [
    "DOUBLE_TEXTS",
    "INTEGER_TEXT",
    "Convert",
    "is_scalar",
    "key_reader",
    "key_writer",
    "member_names",
    "names_of",
    "no_member",
    "scalar_reader",
    "scalar_writer",
]

Convert: TypeAlias = Callable[[Any, int], Any]
"""`(value, remaining struct depth)` → the converted value."""

DOUBLE_TEXTS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
INTEGER_TEXT: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_URL_SAFE: Final = str.maketrans("-_", "+/")
# Beyond it neighbouring integers are the same double.
_EXACT: Final = 1 << 53
# Names that idlc extends by an underscore in enums; see `idlc.codegen.python.names`.
_TAKEN: Final = {name for base in Enum.__mro__ for name in vars(base)} | {
    *("bool", "bytes", "dict", "float", "frozenset", "int", "is_integer", "list", "mro", "rpc", "self", "set", "str")
}


def is_scalar(type: Type[Any]) -> bool:
    """Return whether values of a type can be the keys of an object."""
    return isinstance(type, BaseType | EnumType)


# Reading.


def scalar_reader(type: Type[Any]) -> Convert:
    """Return the reader of a base type or an enum."""
    if isinstance(type, EnumType):
        return _enum_reader(type.cls)
    assert isinstance(type, BaseType)
    return _integer_reader(type.name) if type.name in BITS else _READERS[type.name]


def key_reader(type: Type[Any]) -> Convert:
    """Return the reader of the text of a base type or an enum, such as the key of an object."""
    return _read_bool_key if isinstance(type, BaseType) and type.name == "bool" else scalar_reader(type)


def _read_bool(plain: Any, depth: int) -> bool:
    if plain is True or plain is False:
        return plain
    raise ConversionError(f"expected true or false, got {briefly(plain)}")


def _read_bool_key(plain: Any, depth: int) -> bool:
    if plain == "true" or plain == "false":
        return bool(plain == "true")
    raise ConversionError(f"expected 'true' or 'false', got {briefly(plain)}")


def _integer_reader(name: str) -> Convert:
    lowest, highest = -(1 << BITS[name] - 1), (1 << BITS[name] - 1) - 1

    def read(plain: Any, depth: int) -> int:
        number = plain if plain.__class__ is int else _whole(plain)
        if number is None:
            raise ConversionError(f"expected {name}, got {briefly(plain)}")
        if not lowest <= number <= highest:
            raise ConversionError(f"expected {name} ({lowest} to {highest}), got {briefly(plain)}")
        return number

    return read


def _whole(plain: Any) -> int | None:
    """Return the integer of a JSON value: JSON does not distinguish 5 from 5.0, and large numbers are text."""
    if isinstance(plain, str):
        return int(plain) if INTEGER_TEXT.fullmatch(plain) else None
    if isinstance(plain, float):
        return int(plain) if plain.is_integer() and abs(plain) <= _EXACT else None
    return int(plain) if isinstance(plain, int) and not isinstance(plain, bool) else None


def _read_double(plain: Any, depth: int) -> float:
    if plain.__class__ is float:
        return plain
    if isinstance(plain, str):
        found = DOUBLE_TEXTS.get(plain)
        if found is None and _NUMBER.fullmatch(plain):
            found = float(plain)
            if math.isinf(found):
                raise ConversionError(f"expected a double, got {briefly(plain)}, which is too large")
        if found is not None:
            return found
    elif isinstance(plain, int | float) and not isinstance(plain, bool):
        try:
            return float(plain)
        except OverflowError:
            raise ConversionError(f"expected a double, got {briefly(plain)}, which is too large") from None
    raise ConversionError(f"expected a number, got {briefly(plain)}")


def _read_string(plain: Any, depth: int) -> str:
    if not isinstance(plain, str):
        raise ConversionError(f"expected a string, got {briefly(plain)}")
    if not plain.isascii():
        _check_unicode(plain)
    return plain


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConversionError(f"not Unicode text: lone surrogate at index {error.start}") from None


def _read_binary(plain: Any, depth: int) -> bytes:
    if isinstance(plain, str):
        data = plain.translate(_URL_SAFE)
        # With padding, the length has to be a multiple of 4: `binascii` accepts some others.
        if not data.endswith("="):
            data += "=" * (-len(data) % 4)
        elif len(data) % 4:
            raise ConversionError(f"expected base64, got {briefly(plain)}")
        try:
            return binascii.a2b_base64(data, strict_mode=True)
        except ValueError:  # `binascii.Error` is one, too
            pass
    raise ConversionError(f"expected base64, got {briefly(plain)}")


def _read_uuid(plain: Any, depth: int) -> uuid.UUID:
    if isinstance(plain, str):
        try:
            return msgspec.convert(plain, uuid.UUID)
        except msgspec.ValidationError:
            pass
    raise ConversionError(f"expected a UUID, got {briefly(plain)}")


_READERS: Final[dict[str, Convert]] = {
    "bool": _read_bool,
    "double": _read_double,
    "string": _read_string,
    "binary": _read_binary,
    "uuid": _read_uuid,
}


def _enum_reader(cls: type[Enum]) -> Convert:
    by_name = names_of(cls)
    members = cls._value2member_map_
    read_number = _integer_reader("i32")

    def read(plain: Any, depth: int) -> Any:
        found = by_name.get(plain) if plain.__class__ is str else None
        if found is not None:
            return found
        if isinstance(plain, str) and not INTEGER_TEXT.fullmatch(plain):
            raise no_member(cls, by_name, plain)
        try:
            number = read_number(plain, 0)
        except ConversionError as error:
            raise ConversionError(f"expected the name or number of a {cls.__name__}, got {briefly(plain)}") from error
        return members.get(number) or cls(number)

    return read


def no_member(cls: type[Enum], names: dict[str, Any], plain: str) -> ConversionError:
    """Return the error for a name that an enum does not have."""
    known = ", ".join(list(names)[:8]) or "none"
    return ConversionError(f"{cls.__name__} has no member {briefly(plain)} (known: {known})")


def member_names(cls: type[Enum]) -> dict[str, Any]:
    """Return the members of an enum by their names in the IDL."""
    return {_idl_name(cls, name): member for name, member in cls.__members__.items()}


def names_of(cls: type[Enum]) -> dict[str, Any]:
    """Return the members of an enum by their names in the IDL, and in Python where these differ."""
    return {**cls.__members__, **member_names(cls)}


def _idl_name(cls: type[Enum], name: str) -> str:
    """Return the IDL's name of an enum member."""
    known: Mapping[str, str] = getattr(cls, "__thrift_members__", {})
    if name in known:
        return known[name]
    # Stubs of earlier versions do not have it: `None` is `None_` in Python.
    stem = name[:-1]
    is_taken = name.endswith("_") and (keyword.iskeyword(stem) or stem in _TAKEN)
    return stem if is_taken else name


# Writing.


def scalar_writer(type: Type[Any], *, i64_as_text: bool, enums_as_numbers: bool, for_display: bool) -> Convert:
    """Return the writer of a base type or an enum, with `JsonOptions`."""
    if isinstance(type, EnumType):
        return _write_enum_number(type.cls) if enums_as_numbers else _enum_writer(type.cls)
    assert isinstance(type, BaseType)
    if type.name in BITS:
        write = _integer_writer(type.name)
        return _as_text(write) if type.name == "i64" and i64_as_text else write
    return _pass_string if type.name == "string" and for_display else _WRITERS[type.name]


def key_writer(type: Type[Any], *, enums_as_numbers: bool, for_display: bool) -> Convert:
    """Return the writer of a base type or an enum as text, such as the key of an object."""
    write = scalar_writer(type, i64_as_text=False, enums_as_numbers=enums_as_numbers, for_display=for_display)
    if isinstance(type, BaseType):
        if type.name == "bool":
            return _write_bool_key
        if type.name not in BITS and type.name != "double":
            return write
    return _as_text(write)


def _as_text(write: Convert) -> Convert:
    return lambda value, depth: str(write(value, depth))


def _write_bool(value: Any, depth: int) -> bool:
    if value is True or value is False:
        return value
    raise ConversionError(f"must be bool, got {described(value)}")


def _write_bool_key(value: Any, depth: int) -> str:
    return "true" if _write_bool(value, depth) else "false"


def _integer_writer(name: str) -> Convert:
    lowest, highest = -(1 << BITS[name] - 1), (1 << BITS[name] - 1) - 1

    def write(value: Any, depth: int) -> int:
        number = value
        if value.__class__ is not int:
            try:
                number = int(value.__index__())
            except (AttributeError, TypeError):
                raise ConversionError(f"must be {name}, got {described(value)}") from None
        if not lowest <= number <= highest:
            raise ConversionError(f"must be {name} ({lowest} to {highest}), got {briefly(number)}")
        return number  # type: ignore[no-any-return]

    return write


def _write_double(value: Any, depth: int) -> float | str:
    if value.__class__ is float:
        number: float = value
    else:
        try:
            if isinstance(value, str | bytes | bytearray):
                raise TypeError
            number = float(value)
        except OverflowError:
            raise ConversionError(f"must be double, got {briefly(value)}, which is too large") from None
        except (TypeError, ValueError):
            raise ConversionError(f"must be double, got {described(value)}") from None
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _write_string(value: Any, depth: int) -> str:
    if not isinstance(value, str):
        raise ConversionError(f"must be string, got {described(value)}")
    if not value.isascii():
        _check_unicode(value)
    return value


def _pass_string(value: Any, depth: int) -> str:
    if not isinstance(value, str):
        raise ConversionError(f"must be string, got {described(value)}")
    return value


def _write_binary(value: Any, depth: int) -> str:
    try:
        return binascii.b2a_base64(value, newline=False).decode("ascii")
    except (TypeError, BufferError):
        raise ConversionError(f"must be binary, got {described(value)}") from None


def _write_uuid(value: Any, depth: int) -> str:
    if not isinstance(value, uuid.UUID):
        raise ConversionError(f"must be uuid, got {described(value)}")
    return msgspec.to_builtins(value)  # type: ignore[no-any-return]  # quicker than `str`


_WRITERS: Final[dict[str, Convert]] = {
    "bool": _write_bool,
    "double": _write_double,
    "string": _write_string,
    "binary": _write_binary,
    "uuid": _write_uuid,
}


def _write_enum_number(cls: type[Enum]) -> Convert:
    write_number = _integer_writer("i32")

    def write(value: Any, depth: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConversionError(f"must be {cls.__name__}, got {described(value)}")
        number: int = write_number(value, 0)
        return number

    return write


def _enum_writer(cls: type[Enum]) -> Convert:
    names: dict[Any, str] = {}
    for number, member in cls._value2member_map_.items():
        names[number] = _idl_name(cls, member.name)
    write_number = _write_enum_number(cls)

    def write(value: Any, depth: int) -> int | str:
        number = write_number(value, 0)
        name = names.get(number)
        return number if name is None else name

    return write
