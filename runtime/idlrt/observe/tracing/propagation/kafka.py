"""Headers of Kafka messages, as lists of names and bytes.

Names are written as the systems spell them, because Kafka's are case-sensitive, and are found in any case. Of headers
of the same name the last one counts. Zipkin's tracers use `b3` for messages and never `x-b3-…`, so `b3multi` is written
as `b3`, without the parent's id, as they do.

A consumer of a batch links the contexts of its messages instead of taking one of them as its parent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from idlrt.observe.tracing.context import Outgoing
from idlrt.observe.tracing.propagation.formats import is_propagated, write

__all__ = ["from_kafka", "kafka_headers"]

_B3_FORMATS: Final = ("b3", "b3multi")
_MAX_READ: Final = 17_408
_SPELLED: Final = {
    each.lower(): each
    for each in (
        "EagleEye-TraceID", "EagleEye-RpcID", "EagleEye-SpanID", "EagleEye-pSpanID", "EagleEye-Sampled",
        "EagleEye-pAppName", "EagleEye-pRpc", "EagleEye-UserData",
        "Pinpoint-TraceID", "Pinpoint-SpanID", "Pinpoint-pSpanID", "Pinpoint-Sampled", "Pinpoint-Flags",
        "Pinpoint-pAppName", "Pinpoint-pAppType", "Pinpoint-Host",
    )
}  # fmt: skip


def kafka_headers(outgoing: Outgoing, formats: Sequence[str] = ("w3c",)) -> list[tuple[str, bytes]]:
    """Return the headers to add to a message.

    Args:
        outgoing: what to send; set `sent_at`.
        formats: formats to write.
    """
    others = [name for name in formats if name not in _B3_FORMATS]
    headers = write(outgoing, others)
    if len(others) < len(formats):
        headers |= write(msgspec.structs.replace(outgoing, parent_id=""), ("b3",))
    return [(_SPELLED.get(name, name), value.encode("utf-8", "replace")) for name, value in headers.items()]


def from_kafka(headers: Iterable[tuple[str, bytes | str | None]] | None) -> dict[str, str]:
    """Return the headers of a message that `read` understands, by names in lower case.

    Args:
        headers: as a client library returns them; `None` for none.
    """
    found: dict[str, str] = {}
    for name, value in headers or ():
        lower = name.lower()
        if value is None or not is_propagated(lower) or len(value) > _MAX_READ:
            continue
        found[lower] = value if isinstance(value, str) else value.decode("utf-8", "replace")
    return found
