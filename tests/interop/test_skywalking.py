"""Real SkyWalking has our traces: one tree over segments, and the topology right, as GraphQL tells them.

Its configuration, `skywalking/config`, is for one process with a database in memory; the published jar has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from java_servers import running_skywalking
from skywalking_traces import edges, spans_of
from traced_chain import run_chain
from traced_program import start_tracing

# The first run downloads the server.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def skywalking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_skywalking(tmp_path_factory.mktemp("skywalking")) as url:
        yield url


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
