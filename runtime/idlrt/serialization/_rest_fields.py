"""Annotations of fields that the JSON mapping of REST uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from idlrt.spec import Field

__all__ = ["fields_of", "is_as_text", "json_key", "key_of"]


def json_key(field: Field[Any]) -> str:
    """Return the key of a field or argument in the JSON of REST.

    It is the value of `http.body` if that is not empty, else of `http.name`, else the name in the IDL.
    """
    named = (field.annotations.get(name, ("",))[-1] for name in ("http.body", "http.name"))
    return next(filter(None, named), field.name)


def key_of(field: Field[Any], *, rest: bool) -> str:
    """Return the key of a field in JSON."""
    return json_key(field) if rest else field.name


def fields_of(fields: Iterable[Field[Any]], *, rest: bool) -> list[Field[Any]]:
    """Return the fields that are read and written: with `rest`, those without `http.none`."""
    return [field for field in fields if not (rest and "http.none" in field.annotations)]


def is_as_text(field: Field[Any]) -> bool:
    """Return whether a field has `http.as_text`: each `i64` in it, also in containers, is text."""
    return "http.as_text" in field.annotations
