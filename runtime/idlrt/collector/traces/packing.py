"""Packed spans: those of one trace as one compressed value.

Spans are arrays without field names, ids are bytes, a parent in the same trace is its position, and times are integers
where that loses nothing: starts in units of 2**-22 s, the precision of seconds since 1970 as a float between 2004 and
2038, and durations in nanoseconds. A dictionary of the names that most spans have makes short traces small. The
dictionary is part of the format: it must never change.

Source: zlib's preset dictionary, RFC 1950, 2.2.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final, get_args

import msgspec

from idlrt.observe.tracing.span import Attribute, Kind, Status
from idlrt.observe.tracing.span_pages import EventRecord, LinkRecord, SpanRecord

__all__ = ["pack", "pack_id", "unpack", "unpack_id"]

_TICKS: Final = 4194304.0
_NANO: Final = 1_000_000_000
_LEVEL: Final = 6
_HEX_LENGTHS: Final = (16, 32)
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_STATUSES: Final[tuple[Status, ...]] = get_args(Status)
_KIND_NUMBERS: Final = {name: number for number, name in enumerate(_KINDS)}
_STATUS_NUMBERS: Final = {name: number for number, name in enumerate(_STATUSES)}
_REMOTE: Final = 1
_LATE: Final = 2
_TEXT_ID: Final = 4
_TEXT_PARENT: Final = 8

_WORDS: Final = (
    "messaging.destination.name",
    "messaging.system",
    "db.system.name",
    "db.collection.name",
    "db.operation.name",
    "db.query.text",
    "exception.message",
    "exception.type",
    "thread.name",
    "idlrt.context_lost",
    "url.full",
    "url.path",
    "http.route",
    "http.request.method",
    "http.response.status_code",
    "server.address",
    "server.port",
    "network.transport",
    "network.peer.address",
    "network.peer.port",
    "tag.",
    "rpc.attempt",
    "rpc.caller",
    "rpc.retry",
    "rpc.system",
    "rpc.system.name",
    "rpc.service",
    "rpc.method",
    "client.address",
    "127.0.0.1:",
    "error.type",
    "deadline_exceeded",
    "unavailable",
    "internal",
    "\xacthrift",
    "\xbcrpc.server.serialization_s",
    "\xb4rpc.server.handler_s",
    "\xb2rpc.server.queue_s",
    "\xbcrpc.response.status_code",
    "\xa2ok",
)
_DICTIONARY: Final = "".join(_WORDS).encode("latin-1")


class _Packed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A span without its trace. Ids that `pack_id` leaves unchanged are encoded as text, and flagged."""

    id: bytes
    parent: int | bytes
    service: str
    name: str
    kind: int
    status: int
    start: int | float
    duration: int | float
    attributes: dict[str, Attribute]
    message: str
    events: list[tuple[float, str, dict[str, Attribute]]]
    links: list[tuple[str, str, str]]
    flags: int
    dropped: int


class _PackedTrace(msgspec.Struct, frozen=True, array_like=True):
    base: int
    spans: list[_Packed]


_DECODER: Final = msgspec.msgpack.Decoder(_PackedTrace)
_ENCODER: Final = msgspec.msgpack.Encoder()


def pack_id(id: str) -> bytes | str:
    """Return an id as bytes if it is 16 or 32 lower-case hex digits, else unchanged."""
    if len(id) in _HEX_LENGTHS:
        try:
            packed = bytes.fromhex(id)
        except ValueError:
            return id
        if packed.hex() == id:
            return packed
    return id


def unpack_id(id: bytes | str) -> str:
    """Return the id that `pack_id` has packed."""
    return id if isinstance(id, str) else id.hex()


def pack(spans: Sequence[SpanRecord]) -> bytes:
    """Return the spans of one trace as compressed bytes."""
    places: dict[str, int] = {}
    for at, each in enumerate(spans):
        places.setdefault(each.span_id, at)
    base = int(spans[0].started_at * _TICKS)
    packed: list[_Packed] = []
    for each in spans:
        ticks = each.started_at * _TICKS
        nanos = round(each.duration_s * _NANO)
        flags = _REMOTE * each.is_remote_parent + _LATE * each.is_late
        id = pack_id(each.span_id)
        if isinstance(id, str):
            flags |= _TEXT_ID
            id = id.encode()
        parent: int | bytes | None = places.get(each.parent_id)
        if parent is None:
            other = pack_id(each.parent_id)
            if isinstance(other, str):
                flags |= _TEXT_PARENT
            parent = other.encode() if isinstance(other, str) else other
        packed.append(
            _Packed(
                id=id,
                parent=parent,
                service=each.service,
                name=each.name,
                kind=_KIND_NUMBERS[each.kind],
                status=_STATUS_NUMBERS[each.status],
                start=int(ticks) - base if ticks.is_integer() else each.started_at,
                duration=nanos if nanos / _NANO == each.duration_s else each.duration_s,
                attributes=dict(each.attributes),
                message=each.message,
                events=[(event.at_s, event.name, dict(event.attributes)) for event in each.events],
                links=[(link.trace_id, link.span_id, link.why) for link in each.links],
                flags=flags,
                dropped=each.dropped,
            )
        )
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    return compressor.compress(_ENCODER.encode(_PackedTrace(base, packed))) + compressor.flush()


def unpack(trace_id: str, data: bytes) -> list[SpanRecord]:
    """Return the spans of a trace.

    Raises:
        ValueError, IndexError, zlib.error, msgspec.MsgspecError: the data is corrupt.
    """
    decompressor = zlib.decompressobj(-15, _DICTIONARY)
    trace = _DECODER.decode(decompressor.decompress(data))
    ids = [_text(each.id, each.flags & _TEXT_ID) for each in trace.spans]
    return [
        SpanRecord(
            trace_id=trace_id,
            span_id=id,
            parent_id=_text(each.parent, each.flags & _TEXT_PARENT)
            if isinstance(each.parent, bytes)
            else ids[each.parent],
            service=each.service,
            name=each.name,
            kind=_KINDS[each.kind],
            status=_STATUSES[each.status],
            started_at=(trace.base + each.start) / _TICKS if isinstance(each.start, int) else each.start,
            duration_s=each.duration / _NANO if isinstance(each.duration, int) else each.duration,
            message=each.message,
            attributes=each.attributes,
            events=tuple(EventRecord(at_s=at, name=name, attributes=fields) for at, name, fields in each.events),
            links=tuple(LinkRecord(trace_id=trace, span_id=span, why=why) for trace, span, why in each.links),
            is_remote_parent=bool(each.flags & _REMOTE),
            is_late=bool(each.flags & _LATE),
            dropped=each.dropped,
        )
        for id, each in zip(ids, trace.spans, strict=True)
    ]


def _text(id: bytes, is_text: int) -> str:
    return id.decode() if is_text else id.hex()
