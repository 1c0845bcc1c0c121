"""Metaclass of settings classes with keyword-only arguments, such as `Tls` and `Limits`; errors list the names."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import msgspec

from idlrt.errors import ConfigurationError

__all__ = ["NamedMeta"]


class NamedMeta(msgspec.StructMeta):
    """Metaclass of a `msgspec.Struct` with `kw_only=True`."""

    # Hidden from type checkers, which know the arguments of each class.
    if not TYPE_CHECKING:

        def __call__(cls, *values: Any, **named: Any) -> Any:
            """Create an instance.

            Raises:
                ConfigurationError: an argument is positional, or its name is unknown.
            """
            known = cls.__struct_fields__
            usage = f"{cls.__name__}({', '.join(f'{name}=...' for name in known)})"
            if values:
                shown = ", ".join(map(repr, values))
                raise ConfigurationError(f"{cls.__name__}({shown}): arguments must be named; use {usage}")
            for name in named:
                if name not in known:
                    near = difflib.get_close_matches(name, known, n=1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise ConfigurationError(f"{cls.__name__} has no argument {name!r}{hint}; use {usage}")
            return super().__call__(**named)
