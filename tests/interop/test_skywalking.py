"""Real SkyWalking has our traces: one tree over segments, and the topology right, as GraphQL tells them.

Its configuration, `skywalking/config`, is for one process with a database in memory; the published jar has none.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from eventually import eventually
from java_servers import ask_graphql, running_skywalking
from traced_chain import run_chain
from traced_program import start_tracing

pytestmark = pytest.mark.long

TRACE = """query($id: ID!) { queryTrace(traceId: $id) { spans {
    segmentId spanId parentSpanId serviceCode serviceInstanceName endpointName type peer component isError layer
    refs { parentSegmentId parentSpanId type }
    tags { key value } logs { data { key value } }
} } }"""
TOPOLOGY = """query($duration: Duration!) { getGlobalTopology(duration: $duration) {
    nodes { id name isReal } calls { source target detectPoints }
} }"""


@pytest.fixture(scope="module")
def skywalking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_skywalking(tmp_path_factory.mktemp("skywalking")) as url:
        yield url


def spans_of(url: str, trace_id: str, number: int) -> list[dict[str, Any]]:
    """Wait until a trace has this number of spans, and return them."""

    def found() -> list[dict[str, Any]] | None:
        spans: list[dict[str, Any]] = ask_graphql(url, TRACE, id=trace_id)["queryTrace"]["spans"]
        return spans if len(spans) >= number else None

    return eventually(found, f"{number} spans in SkyWalking")


def edges(url: str) -> dict[tuple[str, str], set[str]]:
    """Return the edges of the topology by the names of their ends, with the sides that reported them."""
    now = time.time()
    start, end = (time.strftime("%Y-%m-%d %H%M", time.gmtime(now + offset)) for offset in (-600, 60))
    found = ask_graphql(url, TOPOLOGY, duration={"start": start, "end": end, "step": "MINUTE"})["getGlobalTopology"]
    names = {each["id"]: each["name"] for each in found["nodes"]}
    return {(names[each["source"]], names[each["target"]]): set(each["detectPoints"]) for each in found["calls"]}


def both_sides(url: str) -> bool:
    """Whether clients and servers tell the same about both edges."""
    found = edges(url)
    return all(found.get(edge, set()) == {"CLIENT", "SERVER"} for edge in (("web", "shop"), ("shop", "users")))


def test_a_chain_is_one_trace_with_the_right_topology(skywalking: str) -> None:
    with start_tracing("skywalking", skywalking, "web") as tracing:
        # Names of programs replace addresses once the server has learnt them from entry spans.
        retried, failed = run_chain("skywalking", skywalking, tracing, lambda: both_sides(skywalking))
    spans = spans_of(skywalking, retried, 8)
    assert Counter((each["serviceCode"], each["type"]) for each in spans) == {
        ("web", "Local"): 2,
        ("web", "Exit"): 2,
        ("shop", "Entry"): 1,
        ("shop", "Local"): 1,
        ("shop", "Exit"): 1,
        ("users", "Entry"): 1,
    }
    assert len({each["segmentId"] for each in spans}) == 3
    by_place = {(each["segmentId"], each["spanId"]): each for each in spans}
    entries = [each for each in spans if each["type"] == "Entry"]
    callers = {}
    for entry in entries:
        [reference] = entry["refs"]
        callers[entry["serviceCode"]] = by_place[reference["parentSegmentId"], reference["parentSpanId"]]
    assert {name: (each["serviceCode"], each["type"]) for name, each in callers.items()} == {
        "shop": ("web", "Exit"),
        "users": ("shop", "Exit"),
    }
    [dead] = [each for each in spans if each["isError"]]
    assert (dead["type"], dead["layer"]) == ("Exit", "RPCFramework")
    assert dead["peer"] != callers["shop"]["peer"]
    assert [[pair["key"] for pair in log["data"]] for log in dead["logs"]] == [["event", "message", "error.kind"]]
    errors = {each["serviceCode"] for each in spans_of(skywalking, failed, 6) if each["isError"]}
    assert errors == {"web", "shop", "users"}

    # The instance that cannot be reached is known by its address only, as is one before its name is known.
    found = set(edges(skywalking))
    assert {target for source, target in found if source == "web"} <= {"shop", dead["peer"], callers["shop"]["peer"]}
    assert {target for source, target in found if source == "shop"} <= {"users", callers["users"]["peer"]}
    assert {source for source, _ in found} <= {"web", "shop"}
