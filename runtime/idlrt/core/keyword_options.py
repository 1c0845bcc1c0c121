"""Keyword options that are declared once, as a `TypedDict`, and taken as `**options: Unpack[...]`.

The docstring of the `TypedDict` documents them. `documented` appends it to the functions that take them and lists the
options in their signatures, so `help` and `inspect.signature` show what type checkers see. `check_names` rejects
unknown names as Python does for keyword parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeVar

__all__ = ["check_names", "documented", "suggestion"]

F = TypeVar("F", bound=Callable[..., Any])

_SECTION: Final = "Attributes:\n"


def suggestion(name: str, known: Collection[str]) -> str:
    """Return the end of an error message about an unknown name: the nearest known name, or all of them."""
    import difflib  # for errors only: importing it takes longer than reading the options

    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known))}"


def check_names(function: str, names: Iterable[str], known: Collection[str]) -> None:
    """Check the names of the keyword options that a function was given.

    Args:
        function: its name, for the error message.

    Raises:
        TypeError: an option does not exist.
    """
    for name in names:
        if name not in known:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{suggestion(name, known)}")


def documented(options: type, defaults: Mapping[str, object] | None = None) -> Callable[[F], F]:
    """Return a decorator for functions that end with `**options: Unpack[OPTIONS]`.

    Args:
        options: a `TypedDict` with an `Attributes` section in its docstring.
        defaults: of all options. With them the options become keyword parameters in the signature.
    """

    def document(function: F) -> F:
        target: Any = function
        listed = inspect.cleandoc(options.__doc__ or "").partition(_SECTION)[2]
        if listed:  # docstrings are missing under `python -OO`
            text = inspect.cleandoc(function.__doc__ or "")
            target.__doc__ = f"{text}\n\nOptions (`idlrt.{options.__name__}`):\n{listed}".lstrip()
        if defaults is not None:
            target.__signature__ = _signature(function, options, defaults)
        return function

    return document


def _signature(function: Callable[..., Any], options: type, defaults: Mapping[str, object]) -> inspect.Signature:
    plain = inspect.signature(function)
    *explicit, _ = plain.parameters.values()
    listed = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults[name],
            # As text, like the annotations of functions under `from __future__ import annotations`.
            annotation=getattr(hint, "__forward_arg__", hint),
        )
        for name, hint in options.__annotations__.items()
    ]
    return plain.replace(parameters=[*explicit, *listed])
