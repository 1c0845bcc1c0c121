"""SkyWalking's format: `sw8`, with `sw8-correlation` and `sw8-x`.

A call that is not sampled sends none of them, because SkyWalking's agents trace whatever brings `sw8`.

Ids are any text. A trace id of 32 hex digits is itself, any other its MD5 digest, and the original is kept to be sent
on. Agents identify a span by its segment and a number in it, from which a span id is derived. Ids of 32 hex digits may
be UUIDs made of time and address (version 1), as those of the Python agent are: these get an explicit randomness.

Sources: https://skywalking.apache.org/docs/main/latest/en/api/x-process-propagation-headers-v3/ and
x-process-correlation-headers-v1/; https://github.com/apache/skywalking-python, `skywalking/trace/carrier.py`
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final

from idlrt.observe.tracing.context import NO_TEXTS, Outgoing, TraceContext
from idlrt.observe.tracing.propagation.baggage import MAX_BAGGAGE, bounded
from idlrt.observe.tracing.propagation.base import (
    MAX_ID,
    Extracted,
    MalformedHeader,
    foreign_randomness,
    foreign_span_id,
    foreign_trace_id,
    is_original,
    plain_name,
)

__all__ = ["MAX_CORRELATIONS", "Sw8"]

_SW8: Final = "sw8"
_CORRELATION: Final = "sw8-correlation"
_EXTENSION: Final = "sw8-x"

MAX_CORRELATIONS: Final = 3
"""Maximum number of business tags that are sent: default of SkyWalking's agents."""

_MAX_READ: Final = 2048
_MAX_CORRELATION: Final = 128
_MAX_SERVICE: Final = 50
_MAX_ENDPOINT: Final = 149
_MAX_ADDRESS: Final = 200
_FIELDS: Final = 8
_SPAN: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_MAX_SPAN: Final = 0x7FFF_FFFF
# Mode, and the time when a message was sent, if it was one.
_X: Final = re.compile(r"([01])-([0-9]{1,15})?[ ]*", re.ASCII)
_UUID1: Final = re.compile(r"[0-9a-f]{12}1[0-9a-f]{3}[89ab][0-9a-f]{15}")
_SAMPLES: Final = {"0": False, "1": True}
# An empty field makes agents ignore the header.
_UNKNOWN: Final = "unknown"


class Sw8:
    """Format `sw8`."""

    name: ClassVar[str] = "sw8"
    headers: ClassVar[tuple[str, ...]] = (_SW8, _CORRELATION, _EXTENSION)

    def extract(self, headers: Mapping[str, str]) -> Extracted | None:
        """Return what the headers of a request carry. Agents send an empty `sw8-correlation` if there are no tags."""
        text = headers.get(_SW8)
        if not text:
            return None
        if len(text) >= _MAX_READ:
            raise MalformedHeader("sw8 is too long")
        fields = text.strip(" \t").split("-")
        if len(fields) != _FIELDS:
            raise MalformedHeader("sw8 must have eight fields")
        is_sampled = _SAMPLES.get(fields[0])
        if is_sampled is None or not _SPAN.fullmatch(fields[3]) or int(fields[3]) > _MAX_SPAN:
            raise MalformedHeader("sw8 has an invalid sample or span")
        original, segment, service, instance, endpoint, address = (_text(fields[at]) for at in (1, 2, 4, 5, 6, 7))
        if not 0 < len(original) <= MAX_ID or not segment:
            raise MalformedHeader("sw8 has no trace or segment")
        trace_id = foreign_trace_id(original)
        sender = {
            "service": plain_name(service),
            "instance": plain_name(instance),
            "endpoint": plain_name(endpoint),
            "address": plain_name(address),
            "segment": plain_name(segment),
            "segment_span": str(int(fields[3])),
            "trace_id": original if original != trace_id else "",
        }
        extension = _X.fullmatch(headers.get(_EXTENSION, "").strip(" \t"))
        if extension is not None:
            sender["mode"], sender["sent_at"] = extension[1], extension[2] or ""
        context = TraceContext(
            trace_id,
            foreign_span_id(segment, sender["segment_span"]),
            is_sampled,
            randomness=foreign_randomness(trace_id) if _UUID1.fullmatch(trace_id) else None,
        )
        return Extracted(
            context,
            {name: value for name, value in sender.items() if value},
            tags=_correlations(headers.get(_CORRELATION, "")),
        )

    def inject(self, outgoing: Outgoing) -> dict[str, str]:
        """Return the headers to send. The first three business tags of less than 128 bytes are sent."""
        context = outgoing.context
        if not context.is_sampled:
            return {}
        original = outgoing.original_id
        fields = (
            "1",
            _base64(original if is_original(original, context.trace_id) else context.trace_id, MAX_ID),
            _base64(outgoing.segment or context.span_id, MAX_ID),
            str(min(max(outgoing.segment_span, 0), _MAX_SPAN)),
            _base64(outgoing.service[:_MAX_SERVICE] or _UNKNOWN),
            _base64(outgoing.instance[:_MAX_SERVICE] or _UNKNOWN),
            _base64(outgoing.endpoint[:_MAX_ENDPOINT] or outgoing.method[:_MAX_ENDPOINT] or _UNKNOWN),
            _base64(outgoing.target or _UNKNOWN, _MAX_ADDRESS),
        )
        headers = {_SW8: "-".join(fields)}
        if outgoing.tags:
            tags = [item for item in outgoing.tags.items() if len(_bytes(item[1])) < _MAX_CORRELATION and item[0]]
            if tags:
                headers[_CORRELATION] = ",".join(
                    f"{_base64(name)}:{_base64(value)}" for name, value in tags[:MAX_CORRELATIONS]
                )
        if outgoing.sent_at > 0:
            headers[_EXTENSION] = f"0-{round(outgoing.sent_at * 1000)}"
        return headers


def _correlations(text: str) -> Mapping[str, str]:
    if not text or len(text) > MAX_BAGGAGE:
        return NO_TEXTS
    return bounded(_tags(text))[0] or NO_TEXTS


def _tags(text: str) -> Iterator[tuple[str, str]]:
    for each in text.split(","):
        name, colon, value = each.strip(" \t").partition(":")
        try:
            key, tag = _text(name), _text(value)
        except MalformedHeader:
            continue
        if colon and key:
            yield key, tag


def _text(field: str) -> str:
    try:
        return base64.b64decode(field, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise MalformedHeader("field is not base64 of UTF-8") from None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _base64(text: str, most: int | None = None) -> str:
    """Return text in base64; `most`: maximum number of bytes, of which a half character at the end is removed."""
    data = _bytes(text)
    if most is not None and len(data) > most:
        data = data[:most].decode("utf-8", "ignore").encode("utf-8")
    return base64.b64encode(data).decode("ascii")
