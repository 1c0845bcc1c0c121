"""JSON of exporters: text that is not valid Unicode is replaced, so that one span does not spoil a batch."""

from __future__ import annotations

from typing import Any, cast

import msgspec

__all__ = ["encode"]


def encode(value: Any) -> bytes:
    """Return a value of plain types as JSON. Lone surrogates in text become question marks."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_clean(value))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {_clean(name): _clean(each) for name, each in fields.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in cast("list[Any]", value)]
    return value
