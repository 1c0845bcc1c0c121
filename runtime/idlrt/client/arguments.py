"""Arguments of calls, as Python's callers give them, in the order of the IDL."""

from __future__ import annotations

from typing import Any

from idlrt.spec import Method

__all__ = ["arrange"]


def arrange(method: Method[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """Return arguments by position, as the signature of a method orders them.

    Raises:
        TypeError: they do not fit the signature.
    """
    fields = method.arguments
    if len(arguments) > len(fields):
        raise TypeError(f"{method.full_name} takes {len(fields)} arguments, not {len(arguments)}")
    values = list(arguments)
    rest = dict(named)
    for field, default in zip(fields[len(arguments) :], method.defaults[len(arguments) :], strict=True):
        values.append(rest.pop(field.attribute, default))
        if values[-1] is None and field.is_required:
            raise TypeError(f"{method.full_name} is missing its argument {field.attribute!r}")
    if rest:
        raise TypeError(f"{method.full_name} has no argument {', '.join(map(repr, rest))}, or got it twice")
    return tuple(values)
