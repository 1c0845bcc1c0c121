"""Errors of converting values to and from JSON, with the path of the value.

A converter raises a `ConversionError` with the cause. Each enclosing container adds its step to the path, so that paths
cost nothing while values are valid.
"""

from __future__ import annotations

from typing import Any, Final

from idlrt.serialization._sensitive import SensitiveText, hide_conversion
from idlrt.spec import Field, is_sensitive

__all__ = ["ConversionError", "briefly", "described", "located", "path_of", "step_of_key", "what_of"]

_BRIEF: Final = 40
_LONGEST_PATH: Final = 160


class ConversionError(Exception):
    """An invalid value.

    Attributes:
        what: what is wrong with it.
        path: the steps that lead to the value, innermost first; a number is an index.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[str | int] = []

    def at(self, step: str | int) -> ConversionError:
        """Add a step to the path, and return the error."""
        self.path.append(step)
        return self


def located(error: ConversionError, root: str) -> str:
    """Return `path: what is wrong`; `root` is where the path starts. Sensitive values are not shown."""
    path = error.path
    for place in range(len(path) - 1, -1, -1):
        if isinstance(path[place], SensitiveText):
            error.path, error.what = path[place:], hide_conversion(error.what)
            break
    return f"{path_of(error, root)}: {error.what}"


def what_of(error: ConversionError, field: Field[Any]) -> str:
    """Return what is wrong with the value of a field, without the value if the field is sensitive."""
    return hide_conversion(error.what) if is_sensitive(field) else error.what


def path_of(error: ConversionError, root: str) -> str:
    """Return the path of an invalid value, shortened; `root` is where the path starts."""
    steps = [f"[{step}]" if isinstance(step, int) else step for step in reversed(error.path)]
    path = "".join((root, *steps))
    if len(path) > _LONGEST_PATH:
        half = _LONGEST_PATH // 2
        path = f"{path[:half]}...{path[-half:]}"
    return path


def step_of_key(key: Any) -> str:
    """Return the step of a path that leads to the value of a key."""
    return f"[{briefly(key)}]"


def briefly(plain: Any) -> str:
    """Return a JSON value for an error message, shortened."""
    if plain is None:
        return "null"
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, dict):
        return "an object"
    if isinstance(plain, list | tuple):
        return "an array"
    if isinstance(plain, int) and abs(plain) >> 128:
        return f"a number of {plain.bit_length()} bits"
    if isinstance(plain, str | bytes) and len(plain) > _BRIEF:
        plain = plain[:_BRIEF]
    try:
        text = repr(plain)
    except Exception:  # noqa: BLE001  # anybody's `__repr__`
        text = object.__repr__(plain)
    return text if len(text) <= _BRIEF else text[: _BRIEF - 3] + "..."


def described(value: Any) -> str:
    """Return a Python value for an error message: its type, and the value where that is short."""
    if value is None:
        return "None"
    if isinstance(value, bool | int | float | str | bytes):
        return f"{type(value).__name__} {value if isinstance(value, bool) else briefly(value)}"
    return type(value).__name__
