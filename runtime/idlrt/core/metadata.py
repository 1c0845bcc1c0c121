"""Metadata: key-value text that is sent along with requests and responses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["AMBIENT", "JAEGER_BAGGAGE", "NO_METADATA", "TRACE_RESPONSE", "Metadata"]

Metadata = Mapping[str, str]
"""Key-value text such as credentials, tenant and trace context. Empty in protocols that do not carry metadata."""

NO_METADATA: Final[Metadata] = MappingProxyType({})

AMBIENT: Final = frozenset(
    {
        *("traceparent", "tracestate", "baggage"),
        *("b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"),
        *("uber-trace-id", "jaeger-debug-id", "jaeger-baggage", "sw8", "sw8-correlation", "sw8-x"),
        *("eagleeye-traceid", "eagleeye-rpcid", "eagleeye-spanid", "eagleeye-pspanid", "eagleeye-sampled"),
        *("eagleeye-pappname", "eagleeye-prpc", "eagleeye-userdata"),
        *("pinpoint-traceid", "pinpoint-spanid", "pinpoint-pspanid", "pinpoint-sampled", "pinpoint-flags"),
        *("pinpoint-pappname", "pinpoint-papptype", "pinpoint-host"),
    }
)
"""Best-effort metadata of calls, dropped by protocols without metadata: trace context in all formats, and baggage."""

JAEGER_BAGGAGE: Final = "uberctx-"
"""Prefix of the headers in which Jaeger's clients send baggage, one for each name."""

TRACE_RESPONSE: Final = "traceresponse"
"""Metadata of the response to a recorded call: its position in the trace, `00-TRACE_ID-SPAN_ID-FLAGS`.

Source: Trace Context (W3C, editor's draft of level 3), section "traceresponse header"
"""
