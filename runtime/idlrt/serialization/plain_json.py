"""Readable JSON: values of the IDL's types as JSON that resembles the IDL.

Structs are objects by the names of their fields, enums are names, binary is base64. It is the mapping of `idlrt call`,
`idlrt.to_json` and `idlrt.from_json`. (Thrift's own JSON protocol, which has numbers for names, is a wire protocol:
`json`.) docs/json.md has the whole table.

`to_plain` and `from_plain` convert between values and what `msgspec.json` reads and writes: `dict`, `list`, `str`,
`int`, `float`, `bool` and `None`. Converters are compiled once for each type and kept with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.serialization._conversion_errors import ConversionError, located
from idlrt.serialization._plain_arguments import arguments_reader, arguments_writer
from idlrt.serialization._plain_reader import PlainReader
from idlrt.serialization._plain_scalars import Convert
from idlrt.serialization._plain_writer import PlainWriter
from idlrt.serialization._rest_fields import json_key
from idlrt.spec import Method, Type

__all__ = [
    "DEFAULT_OPTIONS",
    "JsonOptions",
    "arguments_from_plain",
    "arguments_to_plain",
    "from_json",
    "from_plain",
    "json_key",
    "to_json",
    "to_plain",
]

T = TypeVar("T")

_RECURSION: Final = "nested deeper than Python's recursion limit allows"


class JsonOptions(msgspec.Struct, frozen=True):
    """Options of the mapping.

    Attributes:
        i64_as_text: write `i64` as text, for readers whose numbers are doubles (JavaScript). Both are read.
        enums_as_numbers: write enums as numbers. Names and numbers are read.
        refuse_unknown: reading fails on fields of structs that the IDL does not have; else they are ignored.
        max_depth: structs within structs, both ways; see `idlrt.Limits`.
        for_display: write what JSON cannot carry, for output that is never parsed: lone surrogates stay in text, and
            a union whose field is unknown is an empty object.
        rest: use the annotations of fields (`http.body`, `http.name`, `http.none`, `http.as_text`; see `json_key`), and
            read strictly, so that a JSON Schema can describe what is accepted: docs/json.md has the table. Then
            `i64_as_text` is also required to read `i64` from text.
    """

    i64_as_text: bool = False
    enums_as_numbers: bool = False
    refuse_unknown: bool = False
    max_depth: int = 64
    for_display: bool = False
    rest: bool = False


DEFAULT_OPTIONS: Final = JsonOptions()

_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder().decode

_READERS: Final = {refuse: PlainReader(refuse_unknown=refuse) for refuse in (False, True)}
_REST_READERS: Final = {
    as_text: {refuse: PlainReader(refuse_unknown=refuse, rest=True, i64_as_text=as_text) for refuse in (False, True)}
    for as_text in (False, True)
}


def _reader_of(options: JsonOptions) -> PlainReader:
    if options.rest:
        return _REST_READERS[options.i64_as_text][options.refuse_unknown]
    return _READERS[options.refuse_unknown]


@cache
def _writer(i64_as_text: bool, enums_as_numbers: bool, for_display: bool, rest: bool) -> PlainWriter:
    return PlainWriter(i64_as_text=i64_as_text, enums_as_numbers=enums_as_numbers, for_display=for_display, rest=rest)


def _writer_of(options: JsonOptions) -> PlainWriter:
    return _writer(options.i64_as_text, options.enums_as_numbers, options.for_display, options.rest)


def to_plain(type: Type[Any], value: Any, options: JsonOptions = DEFAULT_OPTIONS) -> Any:
    """Convert a value of a type to what `msgspec.json.encode` takes.

    Raises:
        LocalProtocolError: it is no value of the type; the message has the path.
        TypeError: values of the type have no JSON.
    """
    return _write(_writer_of(options).of(type), value, options, lambda: repr(type))


def from_plain(type: Type[Any], plain: Any, options: JsonOptions = DEFAULT_OPTIONS, path: str = "") -> Any:
    """Convert what `msgspec.json.decode` returns to a value of a type.

    Args:
        path: where `plain` comes from, for error messages; `$` if empty.

    Raises:
        RemoteProtocolError: it is no value of the type; the message has the path.
        TypeError: values of the type have no JSON.
    """
    return _read(_reader_of(options).of(type), plain, options, lambda: repr(type), path)


def arguments_from_plain(
    method: Method[..., Any],
    plain: Any,
    options: JsonOptions = DEFAULT_OPTIONS,
    path: str = "",
    *,
    from_peer: bool = False,
) -> tuple[Any, ...]:
    """Convert the arguments of a method: an object with their names (of the IDL or of Python), or an array.

    Absent arguments have their defaults. `null` leaves out an argument that the IDL does not mark `required`.

    Args:
        path: as for `from_plain`.
        from_peer: they are those of a request: absent arguments without a default are `None`, unless they are
            `required`, so that a handler's own defaults apply.

    Raises:
        RemoteProtocolError: the method does not take them; the message has the path.
    """
    read = arguments_reader(method, _reader_of(options), from_peer=from_peer)
    found: tuple[Any, ...] = _read(read, plain, options, lambda: f"the arguments of {method.full_name}", path)
    return found


def arguments_to_plain(
    method: Method[..., Any], arguments: Sequence[Any], options: JsonOptions = DEFAULT_OPTIONS
) -> dict[str, Any]:
    """Convert the arguments of a method, in their order, to an object with their names in the IDL. `None` is left out.

    Raises:
        LocalProtocolError: the method does not take them; the message has the path.
    """
    write = arguments_writer(method, _writer_of(options))
    found: dict[str, Any] = _write(write, arguments, options, lambda: f"the arguments of {method.full_name}")
    return found


def to_json(
    value: Any, *, indent: int = 0, i64_as_text: bool = False, enums_as_numbers: bool = False, max_depth: int = 64
) -> str:
    """Return a generated struct, union or exception as JSON text: an object with the names of the IDL.

    Args:
        indent: spaces a level; 0 for one line.
        i64_as_text: write `i64` as text, for readers whose numbers are doubles, as those of JavaScript are.
        enums_as_numbers: write enums as numbers instead of names.
        max_depth: structs within structs.

    Raises:
        LocalProtocolError: the value has no JSON; the message has the path of the field.
    """
    cls = value.__class__
    _check_generated(cls, "write {} as JSON")
    options = JsonOptions(i64_as_text=i64_as_text, enums_as_numbers=enums_as_numbers, max_depth=max_depth)
    plain = _write(_writer_of(options).of_class(cls), value, options, lambda: cls.__name__)
    data = _ENCODE(plain)
    return (msgspec.json.format(data, indent=indent) if indent else data).decode()


def from_json(cls: type[T], text: str | bytes, *, refuse_unknown: bool = False, max_depth: int = 64) -> T:
    """Return the value of a generated struct, union or exception that JSON text holds.

    Args:
        refuse_unknown: fail on fields that the IDL does not have, instead of ignoring them.
        max_depth: structs within structs.

    Raises:
        RemoteProtocolError: the text cannot be read; the message has the path of the field.
        LocalProtocolError: the class was not generated by idlc.
    """
    _check_generated(cls, "read {} from JSON")
    plain = _decode(text, cls.__name__)
    options = JsonOptions(refuse_unknown=refuse_unknown, max_depth=max_depth)
    made: T = _read(_reader_of(options).of_class(cls), plain, options, lambda: cls.__name__)
    return made


def _check_generated(cls: Any, doing: str) -> None:
    if not hasattr(cls, "__thrift_fields__"):
        raise LocalProtocolError(f"cannot {doing.format(cls.__qualname__)}: it was not generated by idlc")


def _decode(text: str | bytes, label: str) -> Any:
    try:
        return _DECODE(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RemoteProtocolError(f"cannot read {label} from JSON: {error}") from None
    except RecursionError:
        raise RemoteProtocolError(f"cannot read {label} from JSON: {_RECURSION}") from None


def _write(write: Convert, value: Any, options: JsonOptions, label: Callable[[], str], path: str = "") -> Any:
    try:
        return write(value, options.max_depth)
    except ConversionError as error:
        raise LocalProtocolError(f"cannot write {label()} as JSON: {located(error, path or '$')}") from None
    except RecursionError:
        raise LocalProtocolError(f"cannot write {label()} as JSON: {_RECURSION}") from None


def _read(read: Convert, plain: Any, options: JsonOptions, label: Callable[[], str], path: str = "") -> Any:
    try:
        return read(plain, options.max_depth)
    except ConversionError as error:
        raise RemoteProtocolError(f"cannot read {label()} from JSON: {located(error, path or '$')}") from None
    except RecursionError:
        raise RemoteProtocolError(f"cannot read {label()} from JSON: {_RECURSION}") from None
