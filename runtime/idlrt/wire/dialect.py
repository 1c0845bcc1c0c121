"""A dialect is a wire protocol in a framing; `Detector` tells which one a client speaks.

What the first bytes of a connection say (more rows come with more dialects):

| byte 0         | byte 4        | dialect                                                   |
|----------------|---------------|-----------------------------------------------------------|
| 0x80           |               | unframed, strict binary: the version of a message         |
| 0x00 to 0x7f   | 0x80          | framed, strict binary: a length, then a version           |
| 0x00 to 0x7f   | 0x00 to 0x1f  | framed, old binary: a length, then the length of a name   |
| 0x00 to 0x7f   | 0x20 to 0x7e  | unframed, old binary: the length of a name, then the name |

Dialects of equal limits are shared by all connections, because the codecs of methods are kept by protocol.
"""

from __future__ import annotations

import functools
from typing import Final

import msgspec

from idlrt.errors import RemoteProtocolError
from idlrt.plugins import Plugins
from idlrt.wire.binary import BinaryProtocol
from idlrt.wire.framing import FRAMINGS, Framed, Framing, Unframed
from idlrt.wire.protocol import DEFAULT_LIMITS, Limits, WireProtocol

__all__ = ["WIRE_PROTOCOLS", "Detector", "Dialect", "detector", "dialect"]

WIRE_PROTOCOLS: Final[Plugins[WireProtocol]] = Plugins("idlrt.wire_protocols")


class Dialect(msgspec.Struct, frozen=True, eq=False):
    """How the two sides of a connection speak."""

    protocol: WireProtocol
    framing: Framing

    def __repr__(self) -> str:
        return f"{self.framing.name} {self.protocol.name}"


def dialect(framing: str = "framed", protocol: str = "binary", limits: Limits = DEFAULT_LIMITS) -> Dialect:
    """The dialect of these names.

    Raises:
        UnknownPlugin: a name is not known.
    """
    return _dialect(framing, protocol, limits)


@functools.lru_cache(maxsize=64)
def _dialect(framing: str, protocol: str, limits: Limits) -> Dialect:
    return Dialect(_protocol(protocol, limits), _framing(framing, limits))


@functools.lru_cache(maxsize=64)
def _protocol(name: str, limits: Limits) -> WireProtocol:
    # What every client needs is linked: looking at all installed packages costs milliseconds.
    return BinaryProtocol(limits) if name == "binary" else WIRE_PROTOCOLS.make(name, limits)


@functools.lru_cache(maxsize=64)
def _framing(name: str, limits: Limits) -> Framing:
    if name == "framed":
        return Framed(limits)
    return Unframed(limits) if name == "unframed" else FRAMINGS.make(name, limits)


class Detector:
    """Tells the dialect of a client from the first bytes it sends.

    Args:
        limits: of the dialects that it answers with.
    """

    __slots__ = ("_framed", "_framed_old", "_unframed", "_unframed_old")

    def __init__(self, limits: Limits) -> None:
        old = BinaryProtocol(limits, strict=False)
        self._framed: Final = dialect("framed", "binary", limits)
        self._unframed: Final = dialect("unframed", "binary", limits)
        self._framed_old: Final = Dialect(old, self._framed.framing)
        self._unframed_old: Final = Dialect(old, self._unframed.framing)

    def detect(self, data: bytes) -> Dialect | None:
        """The dialect of a connection that starts with `data`; `None` if that is not enough to tell.

        Raises:
            RemoteProtocolError: it is none that is known here.
        """
        if not data:
            return None
        if data[0] == 0x80:
            return self._unframed
        if data[0] > 0x80:
            raise _unknown(data)
        if len(data) < 5:
            return None
        mark = data[4]
        if mark == 0x80:
            return self._framed
        if mark < 0x20:
            return self._framed_old
        if mark < 0x7F:
            return self._unframed_old
        raise _unknown(data)


_detector = functools.lru_cache(maxsize=64)(Detector)


def detector(limits: Limits = DEFAULT_LIMITS) -> Detector:
    """The detector that answers with dialects of these limits."""
    return _detector(limits)


def _unknown(data: bytes) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"cannot tell what the client speaks: its first bytes {data[:5].hex(' ')} begin no message of framed or "
        "unframed binary Thrift"
    )
