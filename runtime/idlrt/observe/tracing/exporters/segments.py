"""Segments of SkyWalking: spans of one process grouped, as JSON of its messages.

Spans arrive as they end, children before their parents. A segment is complete once its root and all spans that had
begun by then have arrived. Work in the background may outlive the root: it is waited for, for a while; after that the
segment is sent without, and each later span becomes a segment that refers to its parent.

A call with several attempts is a local span, and each attempt an exit span: only these are on the network.

Source: https://github.com/apache/skywalking-data-collect-protocol, `language-agent/Tracing.proto`
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from idlrt.observe.tracing.exporters.json_text import encode
from idlrt.observe.tracing.span import Attribute, FinishedSpan, Place, SpanEvent

__all__ = ["Segments"]

_SERVER_COMPONENT: Final = 100
_CLIENT_COMPONENT: Final = 101
_ENTRY, _EXIT, _LOCAL = "Entry", "Exit", "Local"
_TYPES: Final = {"server": _ENTRY, "consumer": _ENTRY, "client": _EXIT, "producer": _EXIT, "internal": _LOCAL}
_MAX_PENDING: Final = 10_000
_MAX_SENT: Final = 10_000
_MAX_NAME: Final = 149
_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_NO_PLACE: Final = Place("")


class _Pending:
    """Spans of a segment that is not complete.

    Attributes:
        spans: by their numbers.
        since: seconds on the clock since which the root is here; `None` as long as it is not.
    """

    __slots__ = ("since", "spans")

    def __init__(self) -> None:
        self.spans: dict[int, FinishedSpan] = {}
        self.since: float | None = None


class Segments:
    """Groups spans into segments. One thread at a time may use it.

    Args:
        service: name of this program.
        wait_s: seconds for which spans that outlive the root of a segment are waited for.
        max_pending: maximum number of spans that wait; beyond it the oldest segments are sent incomplete.
    """

    def __init__(self, service: str, *, wait_s: float = 10.0, max_pending: int = _MAX_PENDING) -> None:
        self._service = service
        self._wait_s = wait_s
        self._max_pending = max_pending
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._number = 0
        # Segments that were completed.
        self._sent: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of spans that wait."""
        return self._number

    def add(self, spans: Iterable[FinishedSpan], now: float, instance: str) -> list[bytes]:
        """Add spans; return the segments that are complete, as JSON.

        Args:
            spans: spans that have ended.
            now: seconds on a monotonic clock.
            instance: name of this instance.
        """
        found: list[bytes] = []
        for span in spans:
            place = span.place
            if place is None or place.segment in self._sent:
                found.append(self._single(span, instance))
                continue
            pending = self._pending.get(place.segment)
            if pending is None:
                pending = self._pending[place.segment] = _Pending()
            if place.number not in pending.spans:
                self._number += 1
            pending.spans[place.number] = span
            if not place.number:
                pending.since = now
            root = pending.spans.get(0)
            if root is not None and root.place is not None and len(pending.spans) >= root.place.begun:
                found.append(self._take(place.segment, instance))
        due = [
            each
            for each, pending in self._pending.items()
            if pending.since is not None and now - pending.since >= self._wait_s
        ]
        found += [self._take(each, instance) for each in due]
        while self._number > self._max_pending:
            found.append(self._take(next(iter(self._pending)), instance))
        return found

    def rest(self, instance: str) -> list[bytes]:
        """Return all segments that wait, incomplete as they are."""
        return [self._take(each, instance) for each in list(self._pending)]

    def _take(self, segment: str, instance: str) -> bytes:
        spans = self._pending.pop(segment).spans
        self._number -= len(spans)
        self._sent[segment] = None
        if len(self._sent) > _MAX_SENT:
            self._sent.popitem(last=False)
        # Attempts have the call as their parent.
        whole = {_parent(each) for each in spans.values() if each.kind == "client"}
        return self._segment(
            segment,
            [
                self._span(each, number, _parent(each), instance, is_exit=number not in whole)
                for number, each in sorted(spans.items())
            ],
            next(iter(spans.values())),
            instance,
        )

    def _single(self, span: FinishedSpan, instance: str) -> bytes:
        """Return a segment of one span, which refers to its parent in this process, if there is one."""
        place = span.place or _NO_PLACE
        found = self._span(span, 0, -1, instance, is_exit=True)
        if place.parent_number >= 0 and not place.parent_segment:
            found["refs"] = [self._local_reference(span, place, place.segment, instance)]
        return self._segment(span.span_id, [found], span, instance)

    def _segment(self, id: str, spans: list[dict[str, Any]], one: FinishedSpan, instance: str) -> bytes:
        return encode(
            {
                "traceId": _trace_id(one),
                "traceSegmentId": id,
                "service": self._service,
                "serviceInstance": instance,
                "spans": spans,
            }
        )

    def _span(self, span: FinishedSpan, number: int, parent: int, instance: str, *, is_exit: bool) -> dict[str, Any]:
        kind = _TYPES[span.kind]
        if kind == _EXIT and not is_exit:
            kind = _LOCAL
        place = span.place or _NO_PLACE
        started = span.started_at // 1_000_000
        found: dict[str, Any] = {
            "spanId": number,
            "parentSpanId": parent,
            "startTime": started,
            "endTime": max((span.started_at + span.duration) // 1_000_000, started),
            "operationName": span.name[:_MAX_NAME],
            "spanType": kind,
            "spanLayer": "Unknown" if span.kind == "internal" else "RPCFramework",
            "isError": span.status == "error",
            "tags": _tags(span),
        }
        references = [_remote_reference(span)] if span.is_remote_parent else []
        if place.parent_segment:
            references.append(self._local_reference(span, place, place.parent_segment, instance))
        references = [each for each in references if each]
        if references:
            found["refs"] = references
        if kind == _ENTRY:
            found["componentId"] = _SERVER_COMPONENT
            found["peer"] = str(span.attributes.get("client.address", ""))
        elif kind == _EXIT:
            found["componentId"] = _CLIENT_COMPONENT
            found["peer"] = str(span.attributes.get("server.address", "")).rpartition("://")[2] or "unknown"
        if span.events or span.message:
            found["logs"] = _logs(span)
        return found

    def _local_reference(self, span: FinishedSpan, place: Place, segment: str, instance: str) -> dict[str, Any]:
        """Return the reference to a parent in another segment of this process."""
        return {
            "refType": "CrossThread",
            "traceId": _trace_id(span),
            "parentTraceSegmentId": segment,
            "parentSpanId": place.parent_number,
            "parentService": self._service,
            "parentServiceInstance": instance,
            "parentEndpoint": span.name[:_MAX_NAME],
        }


def _parent(span: FinishedSpan) -> int:
    """Return the number of the parent in the same segment; -1 if there is none."""
    place = span.place
    return -1 if place is None or place.parent_segment else place.parent_number


def _trace_id(span: FinishedSpan) -> str:
    return (span.place.original_id if span.place is not None else "") or span.trace_id


def _remote_reference(span: FinishedSpan) -> dict[str, Any]:
    """Return the reference to the caller; empty if it sent no `sw8`."""
    sender = span.sender
    segment, number = sender.get("segment", ""), sender.get("segment_span", "")
    if not segment or not _NUMBER.fullmatch(number):
        return {}
    return {
        "refType": "CrossProcess",
        "traceId": _trace_id(span),
        "parentTraceSegmentId": segment,
        "parentSpanId": int(number),
        "parentService": sender.get("service", ""),
        "parentServiceInstance": sender.get("instance", "") or "unknown",
        "parentEndpoint": sender.get("endpoint", ""),
        "networkAddressUsedAtPeer": sender.get("address", ""),
    }


def _tags(span: FinishedSpan) -> list[dict[str, str]]:
    found = [_pair(name, value) for name, value in span.attributes.items()]
    if span.is_late:
        found.append(_pair("late", "true"))
    found += [_pair("link", f"{each.trace_id}:{each.span_id} {each.why}".rstrip()) for each in span.links]
    return found


def _logs(span: FinishedSpan) -> list[dict[str, Any]]:
    found = [_log(span, each) for each in span.events]
    if span.message:
        fields = {"message": span.message, "error.kind": span.attributes.get("error.type", "")}
        found.append(_log(span, SpanEvent(span.duration, "error", fields)))
    return found


def _log(span: FinishedSpan, event: SpanEvent) -> dict[str, Any]:
    fields: Mapping[str, Attribute] = {"event": event.name, **event.attributes}
    time = (span.started_at + event.at) // 1_000_000
    return {"time": time, "data": [_pair(name, value) for name, value in fields.items() if value != ""]}


def _pair(name: str, value: Attribute) -> dict[str, str]:
    return {"key": name, "value": str(value).lower() if isinstance(value, bool) else str(value)}
