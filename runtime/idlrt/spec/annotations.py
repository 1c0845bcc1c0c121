"""Annotations of the IDL that the runtime reads, by their current names.

The compiler decides which ones stubs contain: those of HTTP (`http.get`, `http.path`), constraints of values (`vt.gt`)
and `deprecated`. It replaces synonyms, such as CloudWeGo's `api.get`, so that the runtime knows one name for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

__all__ = ["NO_ANNOTATIONS", "Annotations", "annotations_of", "check_annotations"]

Annotations: TypeAlias = Mapping[str, tuple[str, ...]]
"""Values by annotation name, in the order of the IDL; an annotation without a value has the value `""`."""

NO_ANNOTATIONS: Final[Annotations] = MappingProxyType({})


def check_annotations(given: Mapping[str, str | tuple[str, ...]]) -> Annotations:
    """Return annotations with all values as tuples; in stubs a single value is a string."""
    if not given:
        return NO_ANNOTATIONS
    return {name: (values,) if isinstance(values, str) else tuple(values) for name, values in given.items()}


def annotations_of(cls: Any) -> Annotations:
    """Return the annotations of a generated struct, union or exception."""
    return check_annotations(cls.__thrift_annotations__)
