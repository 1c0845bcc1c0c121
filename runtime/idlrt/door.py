"""Bytes of single values, for files, queues and caches."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from idlrt.errors import RemoteProtocolError
from idlrt.plugins import Plugins
from idlrt.wire import BinaryProtocol, StructCodec, WireProtocol

__all__ = ["decode", "encode"]

T = TypeVar("T")

_PROTOCOLS: Plugins[WireProtocol] = Plugins("idlrt.wire_protocols")


@cache
def _protocol(name: str) -> WireProtocol:
    # The default needs no look-up, and so no installed entry points.
    return BinaryProtocol() if name == "binary" else _PROTOCOLS.make(name)


def encode(value: Any, *, protocol: str = "binary") -> bytes:
    """The bytes of a generated struct, union or exception.

    Args:
        protocol: the wire protocol's name.

    Raises:
        LocalProtocolError: the value cannot be written; the message has the path of the field.
        UnknownPlugin: there is no such protocol.
    """
    codec: StructCodec[Any] = _protocol(protocol).struct(value.__class__)
    return codec.encode(value)


def decode(type: type[T], data: bytes, *, protocol: str = "binary") -> T:
    """The value of a generated class that `data` holds, all of it.

    Args:
        protocol: the wire protocol's name.

    Raises:
        RemoteProtocolError: the bytes cannot be read, are over a limit, or go on after the value.
        UnknownPlugin: there is no such protocol.
    """
    value, end = _protocol(protocol).struct(type).decode(data)
    if end != len(data):
        rest = len(data) - end
        raise RemoteProtocolError(f"cannot read {type.__name__}: it ends at offset {end}, {rest} bytes follow")
    return value
