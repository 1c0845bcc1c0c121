"""Attributes that say what the call of a span is, as the metrics do (`idlrt.observe.otlp.names`).

Source: https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/, where `rpc.service` is deprecated
"""

from __future__ import annotations

from functools import lru_cache

from idlrt.core import ServerCall
from idlrt.observe.tracing.context import Incoming
from idlrt.observe.tracing.span import Link, Span

__all__ = ["describe", "describe_server"]


def describe(span: Span, full_name: str) -> None:
    """Set the attributes of a method, `Service.method`."""
    span.put("rpc.system.name", "thrift")
    span.put("rpc.method", _path(full_name))


@lru_cache(1024)
def _path(full_name: str) -> str:
    service, _, method = full_name.rpartition(".")
    return f"{service}/{method}"


def describe_server(span: Span, call: ServerCall, incoming: Incoming | None, followed: str = "") -> None:
    """Set the attributes of a call that a server has received, and links to further traces that its headers name.

    Args:
        span: its span.
        call: the call.
        incoming: what its headers carry.
        followed: format of headers that is no conflict, because an exporter continues that trace.
    """
    describe(span, call.method.full_name)
    span.put("client.address", call.peer.address)
    if call.context.caller:
        span.set("rpc.caller", call.context.caller)
    if call.context.attempt:
        span.set("rpc.attempt", call.context.attempt)
    if incoming is not None:
        for name, each in zip(incoming.conflicts, incoming.links, strict=False):
            if name != followed:
                span.add_link(Link(each.trace_id, each.span_id, f"another trace in the format {name}"))
