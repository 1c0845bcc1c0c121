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
    for place in range(len(arguments), len(fields)):
        name, default = fields[place].attribute, method.defaults[place]
        if name in rest:
            value = rest.pop(name)
        elif method.has_to_be_given[place]:
            raise TypeError(f"{method.full_name} is missing its argument {name!r}")
        else:
            # What no signature can show as a default (a list, say) is left out: the server has it too.
            value = None if callable(default) else default
        if value is None and fields[place].is_required:
            raise TypeError(f"{method.full_name} is missing its argument {name!r}")
        values.append(value)
    if rest:
        raise TypeError(f"{method.full_name} has no argument {', '.join(map(repr, rest))}, or got it twice")
    return tuple(values)
