"""Descriptions whose attributes are given by name, such as `Tls` and `Limits`: errors say which names there are."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import msgspec

from idlrt.errors import ConfigurationError

__all__ = ["NamedMeta"]


class NamedMeta(msgspec.StructMeta):
    """The metaclass of such descriptions, which are `msgspec.Struct`s with `kw_only=True`."""

    # Type checkers know better than this what a class takes.
    if not TYPE_CHECKING:

        def __call__(cls, *values: Any, **named: Any) -> Any:
            """Make one.

            Raises:
                ConfigurationError: a value has no name, or a name is not known.
            """
            known = cls.__struct_fields__
            usage = f"{cls.__name__}({', '.join(f'{name}=...' for name in known)})"
            if values:
                shown = ", ".join(map(repr, values))
                raise ConfigurationError(f"{cls.__name__}({shown}) does not say what that is: write {usage}")
            for name in named:
                if name not in known:
                    near = difflib.get_close_matches(name, known, n=1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise ConfigurationError(f"{cls.__name__} has no {name!r}: write {usage}{hint}")
            return super().__call__(**named)
