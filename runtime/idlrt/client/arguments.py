"""Arguments of calls: from positional and keyword arguments to the order of the IDL."""

from __future__ import annotations

from typing import Any

from idlrt.printable import plural
from idlrt.spec import Method

__all__ = ["bind_arguments"]


def bind_arguments(method: Method[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """Return all arguments of a call in the order of the method's signature, with defaults filled in.

    Raises:
        TypeError: they do not match the signature.
    """
    fields = method.arguments
    if len(arguments) > len(fields):
        names = f" ({', '.join(field.attribute for field in fields)})" if fields else ""
        raise TypeError(f"{method.full_name} takes {plural(len(fields), 'argument')}{names}, got {len(arguments)}")
    values = list(arguments)
    rest = dict(named)
    for place in range(len(arguments), len(fields)):
        name, default = fields[place].attribute, method.defaults[place]
        if name in rest:
            value = rest.pop(name)
        elif method.mandatory[place]:
            raise TypeError(f"{method.full_name} is missing argument {name!r}")
        else:
            # Defaults that a signature cannot show, such as lists, are not sent: the server applies them, too.
            value = None if callable(default) else default
        if value is None and fields[place].is_required:
            raise TypeError(f"{method.full_name} is missing argument {name!r}")
        values.append(value)
    if rest:
        name = next(iter(rest))
        known = any(field.attribute == name for field in fields)
        problem = f"got argument {name!r} twice" if known else f"has no argument {name!r}"
        raise TypeError(f"{method.full_name} {problem}")
    return tuple(values)
