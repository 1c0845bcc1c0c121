"""Signatures of handlers: whether they take a method's arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from idlrt.spec import Method

__all__ = ["mismatch"]


def mismatch(method: Method[..., Any], function: Callable[..., Any]) -> str | None:
    """Why `function` cannot be called with the arguments of `method` by position; `None` if it can.

    A function that does not tell its signature (one written in C, say) is taken as it is.
    """
    # What is called is the function itself, whatever `functools.wraps` says that it wraps.
    signature = _signature(function, follow_wrapped=False)
    if signature is None:
        return None
    try:
        signature.bind(*method.arguments)
    except TypeError:
        wanted = ", ".join(field.attribute for field in method.arguments)
        plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
        return f"{method.attribute}{inspect.Signature(plain)} must accept the arguments ({wanted})"
    return None


def _signature(function: Callable[..., Any], *, follow_wrapped: bool) -> inspect.Signature | None:
    try:
        return inspect.signature(function, follow_wrapped=follow_wrapped)
    except (ValueError, TypeError):
        return None
