"""What a Thrift client speaks, as its first bytes tell.

What the first bytes of a connection say (of compact the low five bits are the version):

| byte 0     | 1         | 4          | 5         | dialect                                              |
|------------|-----------|------------|-----------|------------------------------------------------------|
| 0x80       | any       |            |           | unframed, strict binary: the version of a message    |
| 0x82       | version 1 |            |           | unframed, compact: its mark and version              |
| `[`        | any       |            |           | unframed, JSON: the begin of an array                |
| below 0x80 | any       | 0x80       | any       | framed, strict binary: a length, then a version      |
| below 0x80 | any       | 0x82       | version 1 | framed, compact: a length, then mark and version     |
| below 0x80 | any       | `[`        | any       | framed, JSON: a length, then the begin of an array   |
| below 0x80 | any       | 0x0f       | 0xff      | header: a length, then the mark of a header          |
| below 0x80 | any       | below 0x20 | any       | framed, old binary: a length, then that of a name    |
| below 0x80 | any       | below 0x7f | any       | unframed, old binary: the length of a name, the name |

Where the first four bytes are, as a length, over every limit, other protocols are looked for first, to be named in the
error (`idlrt.protocol.foreign`): HTTP, TLS, SSH and others.

The first row that fits counts: nobody frames 1.5 thousand million bytes of something else so that
the length begins with `[`, and no name of a method begins with it.

The framing `header` says in each frame which serialization it holds, so that dialect is only where a connection begins.
Sources: the specifications that the serializations and framings name.
"""

from __future__ import annotations

import functools
from typing import Final

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.foreign import ENOUGH, foreign_binary_client, foreign_client
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.envelope import BinaryEnvelope
from idlrt.protocol.thrift.framing import Dialect
from idlrt.serialization.base import DEFAULT_LIMITS, Limits
from idlrt.serialization.known import serialization

__all__ = ["Detector", "detector"]


class Detector:
    """Tells the dialect of a client from the first bytes it sends.

    Args:
        limits: of the dialects that it answers with.
    """

    __slots__ = ("_framed_old", "_limits", "_most", "_unframed_old")

    def __init__(self, limits: Limits) -> None:
        old = BinaryEnvelope(serialization("binary", limits), is_strict=False)
        self._limits: Final = limits
        self._most: Final = min(max(limits.max_frame, limits.max_message), _LONGEST)
        self._framed_old: Final = Dialect(old, dialect("framed", "binary", limits).framing)
        self._unframed_old: Final = Dialect(old, dialect("unframed", "binary", limits).framing)

    def detect(self, data: bytes) -> Dialect | None:
        """The dialect of a connection that starts with `data`; `None` if that is not enough to tell.

        Raises:
            RemoteProtocolError: it is none that is known here; `ForeignProtocol` if it is known elsewhere.
        """
        if not data or _is_half(data):
            return None
        name = _begun(data)
        if name is not None:
            return dialect("unframed", name, self._limits)
        if data[0] > 0x7F:
            raise foreign_binary_client(data[:2]) or _unknown(data, 2 if data[0] == _COMPACT else 1)
        if len(data) >= ENOUGH and int.from_bytes(data[:4]) > self._most:
            foreign = foreign_client(data)
            if foreign is not None:
                raise foreign
        inner = data[4:6]
        if not inner or _is_half(inner):
            return None
        name = _begun(inner)
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
# Bytes that begin a mark of two bytes: of Thrift, Kitex, Dubbo and Motan.
_HALVES: Final = frozenset((_COMPACT, _HEADER[0], 0x10, 0xDA, 0xF1))
# The longest frame that any implementation of Thrift reads.
_LONGEST: Final = 0x3FFFFFFF


def _is_half(data: bytes) -> bool:
    """Whether only the first byte of a mark of two bytes is there."""
    return len(data) == 1 and data[0] in _HALVES


def _begun(data: bytes) -> str | None:
    """The wire protocol whose messages, but for those of old binary, begin so."""
    mark = data[0]
    if mark == _BINARY:
        return "binary"
    if mark == _JSON:
        return "json"
    # The upper three bits of the second byte are the kind of the message.
    return "compact" if mark == _COMPACT and data[1] & 0x1F == 1 else None


_detector = functools.lru_cache(maxsize=64)(Detector)


def detector(limits: Limits = DEFAULT_LIMITS) -> Detector:
    """The detector that answers with dialects of these limits."""
    return _detector(limits)


def _unknown(data: bytes, count: int) -> RemoteProtocolError:
    # Only the bytes that say it: whether more have come already is chance.
    return RemoteProtocolError(
        f"cannot tell what the client speaks: its first bytes {data[:count].hex(' ')} begin no message of Thrift, "
        "framed, unframed or with a header"
    )
