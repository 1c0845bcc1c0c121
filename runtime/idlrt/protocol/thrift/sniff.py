"""Detection of a Thrift client's dialect by the first bytes of a connection.

The first row that matches applies (in compact messages the low five bits of byte 1 are the version):

| byte 0     | 1         | 4          | 5         | dialect                                                    |
|------------|-----------|------------|-----------|------------------------------------------------------------|
| 0x80       | any       |            |           | unframed, strict binary: version of a message              |
| 0x82       | version 1 |            |           | unframed, compact: protocol id and version                 |
| `[`        | any       |            |           | unframed, JSON: start of an array                          |
| below 0x80 | any       | 0x80       | any       | framed, strict binary: length, then version                |
| below 0x80 | any       | 0x82       | version 1 | framed, compact: length, then protocol id and version      |
| below 0x80 | any       | `[`        | any       | framed, JSON: length, then start of an array               |
| below 0x80 | any       | 0x0f       | 0xff      | header: length, then magic number of THeader               |
| below 0x80 | any       | below 0x20 | any       | framed, old binary: length, then length of the method name |
| below 0x80 | any       | below 0x7f | any       | unframed, old binary: length of the method name, then name |

If the first four bytes as a length exceed every limit, foreign protocols (HTTP, TLS, SSH and others) are checked first,
so that the error can name them (`idlrt.protocol.foreign`).

The order of the rows is unambiguous in practice: a frame whose length starts with `[` would have more than 1.5 billion
bytes, and no method name starts with `[`.

With the framing `header` each frame names its serialization, so the detected dialect is only the initial one.
Sources: the specifications that the serializations and framings name.
"""

from __future__ import annotations

import functools
from typing import Final

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.foreign import PREFIX_SIZE, foreign_binary_client, foreign_client
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.envelope import BinaryEnvelope
from idlrt.protocol.thrift.framing import Dialect
from idlrt.serialization.base import DEFAULT_LIMITS, Limits
from idlrt.serialization.known import serialization

__all__ = ["Detector", "detector"]


class Detector:
    """Detects the dialect of a client by its first bytes.

    Args:
        limits: limits of the returned dialects.
    """

    __slots__ = ("_framed_old", "_limits", "_most", "_unframed_old")

    def __init__(self, limits: Limits) -> None:
        old = BinaryEnvelope(serialization("binary", limits), is_strict=False)
        self._limits: Final = limits
        self._most: Final = min(max(limits.max_frame, limits.max_message), _LONGEST)
        self._framed_old: Final = Dialect(old, dialect("framed", "binary", limits).framing)
        self._unframed_old: Final = Dialect(old, dialect("unframed", "binary", limits).framing)

    def detect(self, data: bytes) -> Dialect | None:
        """Return the dialect of a connection whose first bytes are `data`; `None` while more bytes are needed.

        Raises:
            RemoteProtocolError: they start no Thrift message; `ForeignProtocol` if another protocol is recognized.
        """
        if not data or _is_half_magic(data):
            return None
        name = _serialization_of(data)
        if name is not None:
            return dialect("unframed", name, self._limits)
        if data[0] > 0x7F:
            raise foreign_binary_client(data[:2]) or _unknown(data, 2 if data[0] == _COMPACT else 1)
        if len(data) >= PREFIX_SIZE and int.from_bytes(data[:4]) > self._most:
            foreign = foreign_client(data)
            if foreign is not None:
                raise foreign
        inner = data[4:6]
        if not inner or _is_half_magic(inner):
            return None
        name = _serialization_of(inner)
        if name is not None:
            return dialect("framed", name, self._limits)
        if inner == _HEADER:
            return dialect("header", "binary", self._limits)
        if inner[0] < 0x20:
            if int.from_bytes(data[:4]) < int.from_bytes(inner) << 16 and (foreign := foreign_binary_client(data)):
                raise foreign
            return self._framed_old
        if inner[0] < 0x7F:
            return self._unframed_old
        raise _unknown(data, 6 if inner[0] == _COMPACT else 5)


_BINARY, _COMPACT, _JSON, _HEADER = 0x80, 0x82, ord("["), b"\x0f\xff"
# First bytes of two-byte magic numbers: those of Thrift, Kitex, Dubbo and Motan.
_HALVES: Final = frozenset((_COMPACT, _HEADER[0], 0x10, 0xDA, 0xF1))
# The longest frame that any implementation of Thrift reads.
_LONGEST: Final = 0x3FFFFFFF


def _is_half_magic(data: bytes) -> bool:
    """Whether `data` is only the first byte of a two-byte magic number."""
    return len(data) == 1 and data[0] in _HALVES


def _serialization_of(data: bytes) -> str | None:
    """Return the serialization of messages that start with these bytes, except old binary ones, or `None`."""
    mark = data[0]
    if mark == _BINARY:
        return "binary"
    if mark == _JSON:
        return "json"
    # The upper three bits of the second byte are the message type.
    return "compact" if mark == _COMPACT and data[1] & 0x1F == 1 else None


_detector = functools.lru_cache(maxsize=64)(Detector)


def detector(limits: Limits = DEFAULT_LIMITS) -> Detector:
    """Return the shared detector of dialects with these limits."""
    return _detector(limits)


def _unknown(data: bytes, count: int) -> RemoteProtocolError:
    # Only the decisive bytes, so that the message does not depend on packet boundaries.
    shown = f"its first {'byte' if count == 1 else 'bytes'} {data[:count].hex(' ')}"
    return RemoteProtocolError(
        f"cannot detect the protocol of the client: {shown} cannot start a framed, unframed or THeader message"
    )
