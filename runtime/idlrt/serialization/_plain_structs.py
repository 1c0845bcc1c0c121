"""Compile the fields of a struct into Python functions that read and write it.

Scalars that are valid as they are take no call. The text of the writer for
`1: required i64 id   2: optional User friend` is

    def write(o, depth):
     if o.__class__ is not cls and not isinstance(o, cls): raise not_one(o)
     if depth < 0: raise too_deep()
     depth -= 1
     p = {}
     at = 0
     try:
      v = o.id
      if v.__class__ is int and -9223372036854775808 <= v <= 9223372036854775807: p['id'] = v
      elif v is not None: at = 0; p['id'] = c0(v, depth)
      else: at = 0; raise absent()
      v = o.friend
      if v is not None: at = 1; p['friend'] = c1(v, depth)
     except ConversionError as error:
      raise error.at(steps[at]) from None
     return p

A reader takes `o.get('id')` for `o.id`, and makes an object of the class of `p`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, cast

from idlrt.serialization._conversion_errors import ConversionError, briefly, described
from idlrt.serialization._plain_batches import BITS
from idlrt.serialization._plain_scalars import Convert
from idlrt.serialization._sensitive import key_text, step_text
from idlrt.serialization._source import Source
from idlrt.spec import BaseType, Field

__all__ = ["Fields", "Member", "fields_reader", "fields_writer", "too_deep", "unknown"]


class Member(NamedTuple):
    """A field with its place in the JSON object.

    Attributes:
        field: the field.
        key: its key in the object.
        convert: its converter.
        is_text: whether an `i64` is written as text.
    """

    field: Field[Any]
    key: str
    convert: Convert
    is_text: bool = False


Fields: TypeAlias = Sequence[Member]

_VALID: Final = {
    "bool": "v is True or v is False",
    "double": "v.__class__ is float and v - v == 0.0",
    # Other text may have lone surrogates.
    "string": "v.__class__ is str and v.isascii()",
    **{name: f"v.__class__ is int and {-(1 << bits - 1)} <= v <= {(1 << bits - 1) - 1}" for name, bits in BITS.items()},
}


def too_deep() -> ConversionError:
    """Return the error for a struct that is nested too deep."""
    return ConversionError("nesting exceeds the limit max_depth")


def fields_writer(cls: type[Any], fields: Fields) -> Convert:
    """Return the function that writes the fields of an object that are set into a `dict`."""
    source = _source(cls, fields, "required, but None")
    source.names["not_one"] = partial(_of_another_class, cls)
    with source.block("def write(o, depth):"):
        source.line("if o.__class__ is not cls and not isinstance(o, cls): raise not_one(o)")
        with _fields(source):
            for place, member in enumerate(fields):
                source.line(f"v = o.{member.field.attribute}")
                _convert(source, place, member, member.key, is_text=member.is_text)
                if member.field.is_required:
                    source.line(f"else: at = {place}; raise absent()")
        source.line("return p")
    return cast("Convert", source.function("write", f"<JSON of {cls.__qualname__}>"))


def fields_reader(cls: type[Any], fields: Fields, *, refuse_unknown: bool) -> Convert:
    """Return the function that reads a `dict` into an object of a class."""
    source = _source(cls, fields, "required, but null")
    source.names |= {
        "names": {member.key for member in fields},
        "missing": partial(_missing, fields),
        "not_one": _no_object,
        "unknown": partial(_first_unknown, cls, fields),
    }
    with source.block("def read(o, depth):"):
        source.line("if o.__class__ is not dict: raise not_one(o)")
        with _fields(source):
            for place, member in enumerate(fields):
                source.line(f"v = o.get({member.key!r})")
                _convert(source, place, member, member.field.attribute, is_text=False)
                if member.field.is_required:
                    source.line(f"elif {member.key!r} in o: at = {place}; raise absent()")
        if refuse_unknown:
            source.line("if not o.keys() <= names: raise unknown(o)")
        source.line("try: return cls(**p)")
        source.line("except TypeError as error: raise missing(p, error) from None")
    return cast("Convert", source.function("read", f"<{cls.__qualname__} from JSON>"))


def unknown(cls: type[Any], name: Any) -> ConversionError:
    """Return the error for a field that a class does not have."""
    return ConversionError(f"unknown field {briefly(name)} of {cls.__name__}")


def _of_another_class(cls: type[Any], value: Any) -> ConversionError:
    return ConversionError(f"must be {cls.__name__}, got {described(value)}")


def _no_object(plain: Any) -> ConversionError:
    return ConversionError(f"expected an object, got {briefly(plain)}")


def _first_unknown(cls: type[Any], fields: Fields, plain: dict[Any, Any]) -> ConversionError:
    names = {member.key for member in fields}
    return unknown(cls, next(name for name in plain if name not in names))


def _missing(fields: Fields, values: dict[str, Any], error: Exception) -> ConversionError:
    for member in fields:
        if member.field.is_required and member.field.attribute not in values:
            return ConversionError(f"missing required field `{member.key}`")
    return ConversionError(str(error))


def _source(cls: type[Any], fields: Fields, absent: str) -> Source:
    names: dict[str, Any] = {f"c{place}": member.convert for place, member in enumerate(fields)}
    names |= {
        "cls": cls,
        "ConversionError": ConversionError,
        "too_deep": too_deep,
        "absent": lambda: ConversionError(absent),
    }
    return Source(names | {"steps": [step_text(key_text(member.field, member.key)) for member in fields]})


@contextmanager
def _fields(source: Source) -> Generator[None, None, None]:
    """Surround the lines of all fields: an error in one gets the name of the field."""
    source.line("if depth < 0: raise too_deep()")
    source.line("depth -= 1")
    source.line("p = {}")
    source.line("at = 0")
    with source.block("try:"):
        source.line("pass")
        yield
    with source.block("except ConversionError as error:"):
        source.line("raise error.at(steps[at]) from None")


def _convert(source: Source, place: int, member: Member, key: str, *, is_text: bool) -> None:
    """Generate code that puts `v` into `p`, unless it is `None`."""
    word, type = "if", member.field.type
    if isinstance(type, BaseType) and type.name in _VALID and not (type.name == "i64" and is_text):
        source.line(f"if {_VALID[type.name]}: p[{key!r}] = v")
        word = "elif"
    source.line(f"{word} v is not None: at = {place}; p[{key!r}] = c{place}(v, depth)")
