"""Metadata: key-value text that is sent along with requests and responses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["AMBIENT", "NO_METADATA", "Metadata"]

Metadata = Mapping[str, str]
"""Key-value text such as credentials, tenant and trace context. Empty in protocols that do not carry metadata."""

NO_METADATA: Final[Metadata] = MappingProxyType({})

AMBIENT: Final = frozenset({"traceparent", "tracestate", "baggage"})
"""Best-effort metadata of calls, dropped by protocols without metadata: W3C trace context and baggage."""
