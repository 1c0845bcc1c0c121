"""A dialect is a wire protocol in a framing; `Detector` tells which one a client speaks.

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
error (`idlrt.wire.foreign`): HTTP, TLS, SSH and others.

The first row that fits counts: nobody frames 1.5 thousand million bytes of something else so that
the length begins with `[`, and no name of a method begins with it.

The framing `header` says in each frame which wire protocol it holds, so that dialect is only where a
connection begins. Dialects of equal limits are shared by all connections, because the codecs of methods are
kept by protocol. Sources: the specifications that the protocols and framings name.
"""

from __future__ import annotations

import functools
from typing import Final

import msgspec

from idlrt.errors import RemoteProtocolError
from idlrt.plugins import Plugins
from idlrt.wire._tables import TableProtocol
from idlrt.wire.binary import BinaryProtocol
from idlrt.wire.foreign import ENOUGH, foreign_binary_client, foreign_client
from idlrt.wire.framing import FRAMINGS, NO_METADATA, Framed, Framing, Metadata, Unframed
from idlrt.wire.protocol import DEFAULT_LIMITS, Limits, WireProtocol
from idlrt.wire.types import MessageKind

__all__ = ["WIRE_PROTOCOLS", "Detector", "Dialect", "client_dialect", "detector", "dialect", "wire_protocol"]

WIRE_PROTOCOLS: Final[Plugins[WireProtocol]] = Plugins("idlrt.wire_protocols")


class Dialect(msgspec.Struct, frozen=True, eq=False):
    """How the two sides of a connection speak.

    Attributes:
        is_fused: whether the native backend reads and writes whole messages, frames included, in one go.

    Raises:
        ConfigurationError: the framing cannot carry the protocol.
    """

    protocol: WireProtocol
    framing: Framing
    is_fused: bool = False

    def __post_init__(self) -> None:
        protocol, framing = self.protocol, self.framing
        framing.check(protocol)
        # The very class: what is derived from it may have something else in its frames.
        if type(framing) is Framed and isinstance(protocol, TableProtocol) and protocol.backend == "native":
            is_fused = protocol.head_parts(MessageKind.CALL, "") is not None
            msgspec.structs.force_setattr(self, "is_fused", is_fused)

    def __repr__(self) -> str:
        return f"{self.framing.name} {self.protocol.name}"

    def pack(
        self, kind: MessageKind, name: str, sequence_id: int, body: bytes, metadata: Metadata = NO_METADATA
    ) -> bytes:
        """The bytes of one message.

        Args:
            name: of the method, as it stands on the wire.
            body: with the protocol's tail, as `idlrt.wire.message` writes it.

        Raises:
            LocalProtocolError: the message is over a limit, or the metadata cannot be written.
        """
        protocol = self.protocol
        head = protocol.pack_head(kind, name, sequence_id)
        return self.framing.pack(protocol, sequence_id, head, body, metadata)


def dialect(framing: str = "framed", protocol: str = "binary", limits: Limits = DEFAULT_LIMITS) -> Dialect:
    """The dialect of these names.

    Raises:
        UnknownPlugin: a name is not known.
        ConfigurationError: the framing cannot carry the protocol.
    """
    return _dialect(framing, protocol, limits)


@functools.lru_cache(maxsize=64)
def _dialect(framing: str, protocol: str, limits: Limits) -> Dialect:
    return Dialect(wire_protocol(protocol, limits), _framing(framing, limits))


@functools.lru_cache(maxsize=64)
def client_dialect(framing: str = "framed", protocol: str = "binary", limits: Limits = DEFAULT_LIMITS) -> Dialect:
    """The same for a client that finds answers by their numbers. Raises likewise."""
    spoken = _dialect(framing, protocol, limits)
    able = spoken.framing.in_any_order()
    return spoken if able is spoken.framing else Dialect(spoken.protocol, able)


@functools.lru_cache(maxsize=64)
def _protocol(name: str, limits: Limits) -> WireProtocol:
    # What most clients need is linked: looking at all installed packages costs milliseconds.
    if name == "binary":
        return BinaryProtocol(limits)
    if name == "compact":
        from idlrt.wire.compact import CompactProtocol

        return CompactProtocol(limits)
    return WIRE_PROTOCOLS.make(name, limits)


def wire_protocol(name: str = "binary", limits: Limits = DEFAULT_LIMITS) -> WireProtocol:
    """The wire protocol of this name and these limits, which everybody shares.

    Raises:
        UnknownPlugin: the name is not known.
    """
    return _protocol(name, limits)


@functools.lru_cache(maxsize=64)
def _framing(name: str, limits: Limits) -> Framing:
    if name == "framed":
        return Framed(limits)
    if name == "unframed":
        return Unframed(limits)
    if name in ("header", "header_zlib"):
        from idlrt.wire.header_framing import HeaderFramed, HeaderZlibFramed

        return HeaderFramed(limits) if name == "header" else HeaderZlibFramed(limits)
    return FRAMINGS.make(name, limits)


class Detector:
    """Tells the dialect of a client from the first bytes it sends.

    Args:
        limits: of the dialects that it answers with.
    """

    __slots__ = ("_framed_old", "_limits", "_most", "_unframed_old")

    def __init__(self, limits: Limits) -> None:
        old = BinaryProtocol(limits, strict=False)
        self._limits: Final = limits
        self._most: Final = min(max(limits.max_frame, limits.max_message), _LONGEST)
        self._framed_old: Final = Dialect(old, _framing("framed", limits))
        self._unframed_old: Final = Dialect(old, _framing("unframed", limits))

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
