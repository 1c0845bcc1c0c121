"""Dialects by name. Dialects with equal limits are shared, because the codecs of methods are cached by envelope."""

from __future__ import annotations

import functools

from idlrt.protocol.thrift.envelope import envelope
from idlrt.protocol.thrift.framing import FRAMINGS, Dialect, Framed, Framing, Unframed
from idlrt.serialization.base import DEFAULT_LIMITS, Limits

__all__ = ["client_dialect", "dialect"]


def dialect(framing: str = "framed", protocol: str = "binary", limits: Limits = DEFAULT_LIMITS) -> Dialect:
    """Return the dialect of a framing and a serialization.

    Raises:
        UnknownPlugin: a name is unknown.
        ConfigurationError: the framing does not support the serialization.
    """
    return _dialect(framing, protocol, limits)


@functools.lru_cache(maxsize=64)
def _dialect(framing: str, protocol: str, limits: Limits) -> Dialect:
    if framing in ("header", "header_zlib"):
        from idlrt.protocol.thrift.header_framing import header_dialect

        return header_dialect(protocol, framing == "header_zlib", 0, limits)
    return Dialect(envelope(protocol, limits), _framing(framing, limits))


@functools.lru_cache(maxsize=64)
def client_dialect(framing: str = "framed", protocol: str = "binary", limits: Limits = DEFAULT_LIMITS) -> Dialect:
    """Return the dialect of a client that matches responses by sequence id. Raises the same errors as `dialect`."""
    spoken = _dialect(framing, protocol, limits)
    able = spoken.framing.in_any_order()
    return spoken if able is spoken.framing else Dialect(spoken.envelope, able)


@functools.lru_cache(maxsize=64)
def _framing(name: str, limits: Limits) -> Framing:
    if name == "framed":
        return Framed(limits)
    if name == "unframed":
        return Unframed(limits)
    return FRAMINGS.make(name, limits)
