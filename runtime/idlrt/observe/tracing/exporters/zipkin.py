"""Exporter for Zipkin: JSON of its API version 2.

Zipkin draws its dependency graph from pairs of client and server spans of different services. So clients do not name
the service of the other side, unless the program sets the attribute `peer.service`: an IDL service is no program, and
would be a second node. Servers name that of their caller, which counts only if the caller was not traced. Client and
server never share a span.

Source: https://zipkin.io/zipkin-api/#/default/post_spans
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from idlrt.observe.tracing.exporters.http_post import HttpPost, post_list
from idlrt.observe.tracing.exporters.json_text import encode
from idlrt.observe.tracing.span import Attribute, FinishedSpan

__all__ = ["ZipkinExporter", "zipkin_span"]

_KINDS: Final = {"server": "SERVER", "client": "CLIENT", "producer": "PRODUCER", "consumer": "CONSUMER"}
_MAX_BODY: Final = 1 << 20
_MAX_EVENT: Final = 1000
_MAX_PORT: Final = 65535


class ZipkinExporter:
    """Sends spans to a Zipkin server; a `SpanExporter`.

    Args:
        url: `http://host:9411`, or the whole URL of its endpoint `/api/v2/spans`.
        service: name of this program.
        headers: headers of the requests, such as credentials of a proxy.

    Raises:
        ConfigurationError: the URL is invalid.
    """

    name = "zipkin"

    def __init__(self, url: str, service: str, *, headers: Mapping[str, str] | None = None) -> None:
        self._service = service
        path = url.split("://", 1)[-1].partition("/")[2]
        self._post = HttpPost(url if path else f"{url.rstrip('/')}/api/v2/spans", headers, is_compressed=True)

    def export(self, spans: Sequence[FinishedSpan], timeout: float) -> None:
        """Send spans, in requests of at most 1 MiB before compression.

        Raises:
            ExportFailed: the server did not accept some of them.
        """
        post_list(self._post, [encode(zipkin_span(each, self._service)) for each in spans], _MAX_BODY, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._post.close()


def zipkin_span(span: FinishedSpan, service: str) -> dict[str, Any]:
    """Return a span as Zipkin's JSON has it: times in microseconds, attributes as text."""
    tags = {name: value if type(value) is str else _text(value) for name, value in span.attributes.items()}
    if span.status == "error":
        tags["error"] = span.message or "true"
    if span.is_late:
        tags["late"] = "true"
    if span.dropped:
        tags["otel.dropped"] = str(span.dropped)
    for number, link in enumerate(span.links):
        tags[f"link.{number}"] = ":".join(each for each in (link.trace_id, link.span_id, link.why) if each)
    found: dict[str, Any] = {
        "traceId": span.trace_id,
        "id": span.span_id,
        "name": span.name,
        "timestamp": span.started_at // 1000,
        "duration": max(span.duration // 1000, 1),
        "localEndpoint": {"serviceName": service},
        "tags": tags,
    }
    if span.parent_id:
        found["parentId"] = span.parent_id
    kind = _KINDS.get(span.kind)
    if kind is not None:
        found["kind"] = kind
        remote = _remote(span)
        if remote:
            found["remoteEndpoint"] = remote
    if span.events:
        found["annotations"] = [
            {"timestamp": (span.started_at + each.at) // 1000, "value": _event(each.name, each.attributes)}
            for each in span.events
        ]
    return found


def _remote(span: FinishedSpan) -> Mapping[str, Any]:
    """Return the other side of a call: its service if it is known, its address if it is a number."""
    attributes = span.attributes
    service = str(attributes.get("peer.service", ""))
    if span.kind in ("client", "producer"):
        return _endpoint(service, str(attributes.get("server.address", "")))
    service = service or span.sender.get("service", "") or str(attributes.get("rpc.caller", ""))
    return _endpoint(service, str(attributes.get("client.address", "")))


@lru_cache(1024)
def _endpoint(service: str, address: str) -> Mapping[str, Any]:
    found: dict[str, Any] = {"serviceName": service} if service else {}
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        number = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return found
    found[f"ipv{number.version}"] = str(number)
    if port.isdecimal() and 0 < int(port) <= _MAX_PORT:
        found["port"] = int(port)
    return found


def _event(name: str, attributes: Mapping[str, Attribute]) -> str:
    fields = ", ".join(f"{key}={_text(value)}" for key, value in attributes.items() if value != "")
    return (f"{name}: {fields}" if fields else name)[:_MAX_EVENT]


def _text(value: Attribute) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
