"""Messages that have either a packet or spans, for transports that do not tell which.

Packets are as in datagrams. Spans are `IDLS`, the version of this form, and a `SpanBatch` of `collector.idl`, compact
and compressed with zlib.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from idlrt.codecs import decode, encode
from idlrt.collector.api import Packet, SpanBatch
from idlrt.collector.packets import decode_datagram, inflated
from idlrt.errors import RemoteProtocolError

__all__ = ["decode_message", "encode_spans"]

_MAGIC: Final = b"IDLS\x01"
_decoder: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_encoder: Final = msgspec.msgpack.Encoder()


def encode_spans(batch: SpanBatch, size: int) -> Iterator[bytes]:
    """Yield spans as messages, each of at most a size in bytes. A span that is larger is alone in its message.

    Raises:
        RemoteProtocolError: the spans cannot be read.
    """
    message = _MAGIC + zlib.compress(encode(batch, protocol="compact"), 1)
    if len(message) > size:
        try:
            spans = _decoder.decode(batch.spans)
        except msgspec.MsgspecError as error:
            raise RemoteProtocolError(f"cannot read the spans of {batch.service}: {error}") from None
        if len(spans) > 1:
            half = len(spans) // 2
            for part in (spans[:half], spans[half:]):
                yield from encode_spans(SpanBatch(service=batch.service, spans=_encoder.encode(part)), size)
            return
    yield message


def decode_message(data: bytes) -> Packet | SpanBatch:
    """Return what a message has.

    Raises:
        RemoteProtocolError: it is none, or of another version.
    """
    if not data.startswith(_MAGIC):
        return decode_datagram(data)
    return decode(SpanBatch, inflated(data[len(_MAGIC) :]), protocol="compact")
