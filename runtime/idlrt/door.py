"""Bytes of single values, for files, queues and caches."""

from __future__ import annotations

from typing import Any, TypeVar

from idlrt.errors import RemoteProtocolError
from idlrt.wire import StructCodec
from idlrt.wire.dialect import dialect

__all__ = ["decode", "encode"]

T = TypeVar("T")


def encode(value: Any, *, protocol: str = "binary") -> bytes:
    """The bytes of a generated struct, union or exception.

    Args:
        protocol: the wire protocol's name.

    Raises:
        LocalProtocolError: the value cannot be written; the message has the path of the field.
        UnknownPlugin: there is no such protocol.
    """
    codec: StructCodec[Any] = dialect(protocol=protocol).protocol.struct(value.__class__)
    return codec.encode(value)


def decode(type: type[T], data: bytes, *, protocol: str = "binary") -> T:
    """The value of a generated class that `data` holds, all of it.

    Args:
        protocol: the wire protocol's name.

    Raises:
        RemoteProtocolError: the bytes cannot be read, are over a limit, or go on after the value.
        UnknownPlugin: there is no such protocol.
    """
    value, end = dialect(protocol=protocol).protocol.struct(type).decode(data)
    if end != len(data):
        rest = len(data) - end
        raise RemoteProtocolError(f"cannot read {type.__name__}: it ends at offset {end}, {rest} bytes follow")
    return value
