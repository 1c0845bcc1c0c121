"""Traces and the topology of SkyWalking's server, as it tells them by GraphQL."""

from __future__ import annotations

import time
from typing import Any, Final

from eventually import eventually
from java_servers import ask_graphql

__all__ = ["Edges", "edges", "spans_of"]

_TRACE: Final = """query($id: ID!) { queryTrace(traceId: $id) { spans {
    segmentId spanId parentSpanId serviceCode serviceInstanceName endpointName type peer component isError layer
    refs { traceId parentSegmentId parentSpanId type }
    tags { key value } logs { data { key value } }
} } }"""
_TOPOLOGY: Final = """query($duration: Duration!) { getGlobalTopology(duration: $duration) {
    nodes { id name isReal } calls { source target detectPoints }
} }"""

Edges = dict[tuple[str, str], set[str]]


def spans_of(url: str, trace_id: str, number: int) -> list[dict[str, Any]]:
    """Wait until a trace has at least this number of spans, and return them.

    Args:
        url: URL of the server.
        trace_id: id of the trace.
        number: number of spans.
    """

    def found() -> list[dict[str, Any]] | None:
        spans: list[dict[str, Any]] = ask_graphql(url, _TRACE, id=trace_id)["queryTrace"]["spans"]
        return spans if len(spans) >= number else None

    return eventually(found, f"{number} spans in SkyWalking")


def edges(url: str) -> Edges:
    """Return the edges of the topology by the names of their ends, with the sides that reported them."""
    now = time.time()
    start, end = (time.strftime("%Y-%m-%d %H%M", time.gmtime(now + offset)) for offset in (-600, 60))
    found = ask_graphql(url, _TOPOLOGY, duration={"start": start, "end": end, "step": "MINUTE"})["getGlobalTopology"]
    names = {each["id"]: each["name"] for each in found["nodes"]}
    return {(names[each["source"]], names[each["target"]]): set(each["detectPoints"]) for each in found["calls"]}
