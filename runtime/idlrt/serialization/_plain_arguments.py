"""Arguments of methods in JSON: an object with their names, or an array in their order."""

from __future__ import annotations

from typing import Any

from idlrt.serialization._conversion_errors import ConversionError, briefly
from idlrt.serialization._plain_reader import PlainReader
from idlrt.serialization._plain_scalars import Convert
from idlrt.serialization._plain_writer import PlainWriter
from idlrt.serialization._rest_fields import fields_of, key_of
from idlrt.serialization._sensitive import key_text
from idlrt.spec import Method

__all__ = ["arguments_reader", "arguments_writer"]

# Of `Any`, so that type checkers do not ask what is inside.
_ARRAYS: tuple[type[Any], ...] = (list, tuple)
_OBJECTS: tuple[type[Any], ...] = (dict,)


def arguments_reader(method: Method[..., Any], reader: PlainReader, *, from_peer: bool = False) -> Convert:
    """Return the function that reads the arguments of a method into a tuple.

    Args:
        from_peer: only arguments that the IDL marks `required` have to be there, as in a Thrift message; the others are
            `None`, and the handler's own defaults may apply.
    """
    key = ("plain arguments", reader, from_peer)
    found: Convert | None = method.codecs.get(key)
    return method.codecs.setdefault(key, _reader(method, reader, from_peer)) if found is None else found


def arguments_writer(method: Method[..., Any], writer: PlainWriter) -> Convert:
    """Return the function that writes the arguments of a method, in order, into an object."""
    key = ("plain arguments", writer)
    found: Convert | None = method.codecs.get(key)
    return method.codecs.setdefault(key, _writer(method, writer)) if found is None else found


def _reader(method: Method[..., Any], reader: PlainReader, from_peer: bool) -> Convert:
    reads = [reader.of_field(field) for field in method.arguments]
    places = _places(method, rest=reader.rest)
    width = len(method.arguments)

    def read_one(place: int, plain: Any, depth: int, step: str | int) -> Any:
        try:
            if plain is not None:
                return reads[place](plain, depth)
            if method.arguments[place].is_required:
                raise ConversionError("required, but null")
        except ConversionError as error:
            text = f"[{step}]" if isinstance(step, int) else step
            raise error.at(key_text(method.arguments[place], text)) from None
        return None

    def read(plain: Any, depth: int) -> tuple[Any, ...]:
        given: dict[int, Any] = {}
        if isinstance(plain, _ARRAYS) and not reader.rest:
            if len(plain) > width:
                raise ConversionError(f"too many arguments: expected at most {width}, got {len(plain)}")
            given = {place: read_one(place, item, depth, place) for place, item in enumerate(plain)}
        elif isinstance(plain, _OBJECTS):
            for name, item in plain.items():
                place = places.get(name)
                if place is None:
                    if reader.refuse_unknown:
                        raise ConversionError(f"unknown argument {briefly(name)}")
                elif place in given:
                    raise ConversionError(f"repeated argument `{method.arguments[place].name}`")
                else:
                    given[place] = read_one(place, item, depth, f".{name}")
        else:
            what = "an object" if reader.rest else "an object or an array"
            raise ConversionError(f"expected {what}, got {briefly(plain)}")
        if from_peer:  # `null` is an absent argument, whose default the handler gets
            given = {place: value for place, value in given.items() if value is not None}
        return tuple([given[place] if place in given else _absent(method, place, from_peer) for place in range(width)])

    return read


def _places(method: Method[..., Any], *, rest: bool) -> dict[str, int]:
    """Return the places of the arguments by their names in JSON."""
    places: dict[str, int] = {}
    if not rest:
        places = {field.attribute: place for place, field in enumerate(method.arguments)}
    readable = set(fields_of(method.arguments, rest=rest))
    names = enumerate(method.arguments)
    return places | {key_of(field, rest=rest): place for place, field in names if field in readable}


def _absent(method: Method[..., Any], place: int, from_peer: bool) -> Any:
    """Return the value of an absent argument."""
    if method.arguments[place].is_required if from_peer else method.mandatory[place]:
        raise ConversionError(f"missing argument `{method.arguments[place].name}`")
    default = method.defaults[place]
    return default() if callable(default) else default


def _writer(method: Method[..., Any], writer: PlainWriter) -> Convert:
    fields = method.arguments
    width = len(fields)
    written = set(fields_of(fields, rest=writer.rest))
    writes = [
        (place, field, key_of(field, rest=writer.rest), writer.of_field(field))
        for place, field in enumerate(fields)
        if field in written
    ]

    def write(values: Any, depth: int) -> dict[str, Any]:
        if len(values) != width:
            raise ConversionError(f"expected {width} {'value' if width == 1 else 'values'}, got {len(values)}")
        plain: dict[str, Any] = {}
        for place, field, key, write_one in writes:
            value = values[place]
            try:
                if value is not None:
                    plain[key] = write_one(value, depth)
                elif field.is_required:
                    raise ConversionError("required, but None")
            except ConversionError as error:
                raise error.at(key_text(field, f".{key}")) from None
        return plain

    return write
