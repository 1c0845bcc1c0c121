"""Cache of compiled converters, stored on their types.

A converter refers to the class that it makes, so a table of converters elsewhere would keep classes alive that are
used no more. On the class itself, both end together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

from idlrt.spec import Type

__all__ = ["of_class", "of_type"]

C = TypeVar("C", bound=Callable[..., Any])

_LOCK: Final = threading.Lock()
_ATTRIBUTE: Final = "__plain_converters__"


def of_class(cls: type[Any], key: Hashable, make: Callable[[type[Any]], C]) -> C:
    """Return the converter of a generated class, made on first use. Threads that ask at the same time get the same."""
    # A subclass inherits the attribute, but needs separate converters.
    if _ATTRIBUTE not in cls.__dict__:
        with _LOCK:
            if _ATTRIBUTE not in cls.__dict__:
                setattr(cls, _ATTRIBUTE, {})
    kept: dict[Hashable, C] = cls.__dict__[_ATTRIBUTE]
    found = kept.get(key)
    return kept.setdefault(key, make(cls)) if found is None else found


def of_type(type: Type[Any], key: Hashable, make: Callable[[Type[Any]], C]) -> C:
    """Return the converter of any other type, made on first use."""
    if not hasattr(type, "converters"):
        with _LOCK:
            if not hasattr(type, "converters"):
                type.converters = {}
    kept: dict[Hashable, C] = type.converters
    found = kept.get(key)
    return kept.setdefault(key, make(type)) if found is None else found
