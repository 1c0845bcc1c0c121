"""Metadata: text by name that travels beside requests and responses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["AMBIENT", "NO_METADATA", "Metadata"]

Metadata = Mapping[str, str]
"""Text by name: credentials, tenants, trace context. Absent in protocols that carry none."""

NO_METADATA: Final[Metadata] = MappingProxyType({})

AMBIENT: Final = frozenset({"traceparent", "tracestate", "baggage"})
"""Best-effort metadata of calls: W3C trace context and baggage. Where a protocol carries none it is left out."""
