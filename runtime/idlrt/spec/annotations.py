"""Annotations of the IDL.

Stubs contain those that the runtime reads by their current names (HTTP, constraints, `deprecated`, `sensitive`), where
the IDL may have a synonym such as CloudWeGo's `api.get`, and the annotations of programs as the IDL has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

__all__ = ["NO_ANNOTATIONS", "SENSITIVE", "Annotations", "check_annotations"]

Annotations: TypeAlias = Mapping[str, tuple[str, ...]]
"""Values by annotation name, in the order of the IDL; an annotation without a value has the value `""`."""

NO_ANNOTATIONS: Final[Annotations] = MappingProxyType({})

SENSITIVE: Final = "sensitive"
"""Annotation of fields and arguments whose values are not shown."""


def check_annotations(given: Mapping[str, str | tuple[str, ...]]) -> Annotations:
    """Return annotations with all values as tuples; in stubs a single value is a string."""
    if not given:
        return NO_ANNOTATIONS
    return {name: (values,) if isinstance(values, str) else tuple(values) for name, values in given.items()}
