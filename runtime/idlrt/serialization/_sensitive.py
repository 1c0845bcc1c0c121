"""Errors about sensitive values: the path ends at the field, and the text does not contain the value.

A step of a path is text. That of a sensitive field is text of another class, so that marking costs nothing until there
is an error: whatever makes the public error looks for such a step, and hides what is below.
"""

from __future__ import annotations

import re
from typing import Any, Final

from idlrt.spec import MASK, Field, is_sensitive

__all__ = ["SensitiveText", "hide_conversion", "hide_decoding", "key_text", "step_text"]

_SAFE: Final = ("required", "missing required field", "nested deeper")
"""Beginnings of texts about values that contain none."""

_GOT: Final = ", got "
_NUMBER: Final = re.compile(r"^number .* at offset")


class SensitiveText(str):
    """The name of a sensitive field, or the step of a path that leads to it."""

    __slots__ = ()


def key_text(field: Field[Any], key: str) -> str:
    """Return the name of a field, or its key in JSON, marked if its values are sensitive."""
    return SensitiveText(key) if is_sensitive(field) else key


def step_text(name: str) -> str:
    """Return the step of a path that leads to a field; marked if the name is."""
    return SensitiveText(f".{name}") if isinstance(name, SensitiveText) else f".{name}"


def hide_conversion(what: str) -> str:
    """Return the text about a sensitive value that cannot be converted, without the value."""
    if what.startswith(_SAFE):
        return what
    before, got, _ = what.partition(_GOT)
    return f"{before if got else 'invalid value'}{_GOT}{MASK}"


def hide_decoding(what: str) -> str:
    """Return the text about sensitive data that cannot be decoded, without the data; offsets stay."""
    before, got, _ = what.partition(_GOT)
    return _NUMBER.sub("number at offset", f"{before}{_GOT}{MASK}" if got else what)
