"""Spans as admin ports show them: the JSON of the page `/rpcz`, which `idlrt trace` reads.

Times are seconds. Values that look like secrets are masked, because programs choose names and values of attributes, and
messages of errors may quote anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from idlrt.errors import RemoteProtocolError
from idlrt.observe.tracing.lost import LOST
from idlrt.observe.tracing.span import Attribute, FinishedSpan, Kind, Status
from idlrt.printable import mask_passwords

__all__ = ["EventRecord", "LinkRecord", "SpanPage", "SpanRecord", "decode_page", "encode_page", "record_of"]

_MASK: Final = "***"
# Names of attributes and tags whose values are never shown.
_SECRET: Final = re.compile(r"token|passw|secret|credential|api_?key|authori[sz]ation|cookie|private", re.IGNORECASE)
_NANO: Final = 1_000_000_000
_INTERNAL: Final = "internal"


class EventRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Event of a span.

    Attributes:
        at_s: seconds since the start of the span.
        name: name.
        attributes: attributes.
    """

    at_s: float
    name: str
    attributes: Mapping[str, Attribute] = {}


class LinkRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Reference to a span that is no parent.

    Attributes:
        trace_id: trace of the span.
        span_id: the span.
        why: relation to it.
    """

    trace_id: str
    span_id: str
    why: str = ""


class SpanRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A span.

    Attributes:
        trace_id: its trace.
        span_id: its id.
        parent_id: id of its parent; empty for a root.
        service: name of the program that recorded it.
        name: `Service.method`, or the name of an internal span.
        kind: its kind.
        started_at: start, in seconds since 1970.
        duration_s: duration in seconds.
        status: status.
        message: description of an error.
        attributes: attributes.
        events: events, in their order.
        links: links.
        is_remote_parent: whether the parent is in another process.
        is_late: whether it was recorded without having been sampled, because it failed or was slow.
        dropped: number of attributes and events that exceeded a limit.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    service: str = ""
    name: str
    kind: Kind
    started_at: float
    duration_s: float
    status: Status = "unset"
    message: str = ""
    attributes: Mapping[str, Attribute] = {}
    events: Sequence[EventRecord] = ()
    links: Sequence[LinkRecord] = ()
    is_remote_parent: bool = False
    is_late: bool = False
    dropped: int = 0

    @property
    def has_lost_context(self) -> bool:
        """Whether it is a root on a thread of an executor, where the context of a call may have been lost."""
        return LOST in self.attributes

    @property
    def is_failed(self) -> bool:
        """Whether it has failed."""
        return self.status == "error"

    @property
    def outcome(self) -> str:
        """Status code of a call; else `error` or an empty text."""
        code = self.attributes.get("rpc.response.status_code", "error" if self.is_failed else "")
        return str(code)

    @property
    def caller(self) -> str:
        """Name of the caller; else its address; empty if it is unknown."""
        return str(self.attributes.get("rpc.caller") or self.attributes.get("client.address", ""))

    @property
    def tags(self) -> dict[str, str]:
        """Business tags."""
        return {
            name.removeprefix("tag."): str(value) for name, value in self.attributes.items() if name.startswith("tag.")
        }


class SpanPage(msgspec.Struct, frozen=True, kw_only=True):
    """The page `/rpcz` as JSON.

    Attributes:
        service: name of the program.
        at: time, in seconds since 1970.
        spans: entry spans in the order that was asked for, or the spans of one trace in the order of their starts.
    """

    service: str
    at: float
    spans: Sequence[SpanRecord]


def record_of(span: FinishedSpan, service: str) -> SpanRecord:
    """Return a span as it is shown.

    Args:
        span: the span.
        service: name of this program.
    """
    return SpanRecord(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        service=service,
        name=span.name,
        kind=span.kind,
        started_at=span.started_at / _NANO,
        duration_s=span.duration / _NANO,
        status=span.status,
        message=_message(span),
        attributes=_shown(span.attributes),
        events=tuple(
            EventRecord(at_s=each.at / _NANO, name=each.name, attributes=_shown(each.attributes))
            for each in span.events
        ),
        links=tuple(LinkRecord(trace_id=each.trace_id, span_id=each.span_id, why=each.why) for each in span.links),
        is_remote_parent=span.is_remote_parent,
        is_late=span.is_late,
        dropped=span.dropped,
    )


def _message(span: FinishedSpan) -> str:
    """Return the description of an error, without the text of exceptions of handlers.

    It may quote arguments, so it stays in the log of the server. Clients get the class of the exception only, too.
    """
    attributes = span.attributes
    is_own = span.kind in ("client", "producer") or attributes.get("rpc.response.status_code", _INTERNAL) != _INTERNAL
    return mask_passwords(span.message) if is_own or "error.type" not in attributes else ""


def _shown(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {
        name: _MASK if _SECRET.search(name) else mask_passwords(value) if isinstance(value, str) else value
        for name, value in attributes.items()
    }


def encode_page(page: SpanPage) -> bytes:
    """Return a page as JSON."""
    return msgspec.json.encode(page)


def decode_page(body: bytes) -> SpanPage:
    """Return a page from its JSON.

    Raises:
        RemoteProtocolError: it is invalid.
    """
    try:
        return msgspec.json.decode(body, type=SpanPage)
    except msgspec.MsgspecError as error:
        raise RemoteProtocolError(f"the response is no page of spans: {error}") from None
