"""Programs with SkyWalking's agent for Python and ours are one trace over HTTP, as a real server has it.

The agent reports to the server itself. Whatever was sent is read back by GraphQL: the server accepts nonsense, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from http_chain import Hop, VisitsClient, ask_hops
from java_servers import running_skywalking
from peer_programs import running_program
from peer_venvs import peer_python
from skywalking_traces import edges, spans_of
from traced_http_program import start_tracing

from idlrt import observe

pytestmark = pytest.mark.long

HERE = Path(__file__).parent
# The first one downloads the server and the agent.
DOWNLOADS = pytest.mark.timeout(900)
BOTH = {"CLIENT", "SERVER"}
Span = dict[str, Any]


@pytest.fixture(scope="module")
def oap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the server."""
    with running_skywalking(tmp_path_factory.mktemp("skywalking")) as url:
        yield url


class Programs:
    """Programs of a chain. They end with the test."""

    def __init__(self, oap: str, folder: Path, stack: ExitStack) -> None:
        self._oap = oap
        self._folder = folder
        self._stack = stack
        # Its wheel of 1.3.0 cannot be imported.
        self._python = peer_python("skywalking-agent-1.2.0", "apache-skywalking==1.2.0", "requests==2.*")

    def agent(self, service: str, target: str = "", *, ignore: str = "") -> str:
        """Start a program with the agent; returns its URL."""
        options = {"service": service, "oap": self._oap.removeprefix("http://"), "target": target, "ignore": ignore}
        program = str(HERE / "skywalking_agent_program.py")
        return self._run(service, self._python, "-I", program, *(f"--{name}={options[name]}" for name in options))

    def ours(self, kind: str, service: str, target: str = "") -> str:
        """Start a program of ours; returns its URL."""
        program = str(HERE / "traced_http_program.py")
        return self._run(service, sys.executable, program, kind, "skywalking", self._oap, service, target)

    def _run(self, service: str, *command: str) -> str:
        return self._stack.enter_context(running_program(command, self._folder / f"{service}.log"))


@pytest.fixture
def programs(oap: str, tmp_path: Path) -> Iterator[Programs]:
    with ExitStack() as stack:
        yield Programs(oap, tmp_path, stack)


def by_kind(spans: list[Span]) -> dict[tuple[str, str], Span]:
    """Return spans by service and type, of which there is one each."""
    found = {(each["serviceCode"], each["type"]): each for each in spans}
    assert len(found) == len(spans)
    return found


def reference(trace_id: str, span: Span) -> list[Span]:
    """Return the references of an entry span that a call of this exit span caused."""
    return [
        {
            "traceId": trace_id,
            "parentSegmentId": span["segmentId"],
            "parentSpanId": span["spanId"],
            "type": "CROSS_PROCESS",
        }
    ]


def tags(span: Span) -> dict[str, str]:
    return {each["key"]: each["value"] for each in span["tags"]}


@DOWNLOADS
@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_agents_in_front_and_behind_are_one_trace_with_us(oap: str, programs: Programs, kind: str) -> None:
    front, shop, stock = f"front-{kind}", f"shop-{kind}", f"stock-{kind}"
    url = programs.agent(front, programs.ours(kind, shop, programs.agent(stock)))
    hops = ask_hops(url, "berlin")
    trace_id = hops[front]["trace_id"]
    assert [each["trace_id"] for each in hops.values()] == [trace_id] * 3
    # Correlations of the agent are tags of ours, and the reverse.
    assert [each["carried"] for each in hops.values()] == [{}, {"user": "ada"}, {"user": "ada", "via": shop}]
    # The agent sends nothing else than its own format.
    assert hops[shop]["headers"].keys() == {"sw8", "sw8-correlation"}

    spans = spans_of(oap, trace_id, 5)
    found = by_kind(spans)
    assert found.keys() == {(front, "Entry"), (front, "Exit"), (shop, "Entry"), (shop, "Exit"), (stock, "Entry")}
    calls = found[front, "Exit"], found[shop, "Exit"]
    served = found[shop, "Entry"], found[stock, "Entry"]
    assert found[front, "Entry"]["refs"] == []
    assert [each["refs"] for each in served] == [reference(trace_id, each) for each in calls]
    # Within a program, the call is a child of what is served.
    assert [(each["parentSpanId"], each["spanId"], each["refs"]) for each in calls] == [(0, 1, []), (0, 1, [])]
    assert [(each["parentSpanId"], each["spanId"]) for each in served] == [(-1, 0), (-1, 0)]
    assert calls[0]["segmentId"] == found[front, "Entry"]["segmentId"]
    assert calls[1]["segmentId"] == served[0]["segmentId"]
    assert len({each["segmentId"] for each in spans}) == len({each["serviceInstanceName"] for each in spans}) == 3
    assert served[0]["endpointName"] == "Visits.visit"
    assert served[1]["endpointName"] == "/visits/berlin"
    assert not any(each["isError"] for each in spans)
    assert tags(served[0]).items() >= {("tag.user", "ada"), ("tag.via", shop)}

    # The server knows who calls whom from both sides: addresses and names in `sw8` and in spans agree.
    def are_known() -> bool:
        ask_hops(url, "again")
        seen = edges(oap)
        return seen.get((front, shop)) == seen.get((shop, stock)) == BOTH

    eventually(are_known, "both edges")
    assert len(spans_of(oap, trace_id, 5)) == 5


@DOWNLOADS
def test_an_agent_continues_the_trace_that_we_begin(oap: str, programs: Programs) -> None:
    url = programs.agent("store")
    with start_tracing("skywalking", oap, "web") as tracing, VisitsClient.connect(url) as client:
        with observe.span("buy"):
            observe.put("user", "ada")
            [hop] = client.visit("berlin")
            trace_id = observe.trace_id()
        assert tracing.flush(60)
        spans = spans_of(oap, trace_id, 3)
    assert (hop.trace_id, hop.carried) == (trace_id, {"user": "ada"})
    found = by_kind(spans)
    assert found.keys() == {("web", "Local"), ("web", "Exit"), ("store", "Entry")}
    call, served = found["web", "Exit"], found["store", "Entry"]
    assert served["refs"] == reference(trace_id, call)
    assert (call["parentSpanId"], found["web", "Local"]["parentSpanId"]) == (found["web", "Local"]["spanId"], -1)
    assert call["segmentId"] == found["web", "Local"]["segmentId"] != served["segmentId"]
    assert call["peer"] == url.removeprefix("http://")


@DOWNLOADS
def test_an_agent_does_not_continue_a_trace_that_we_do_not_record(oap: str, programs: Programs) -> None:
    url = programs.agent("attic")
    with start_tracing("skywalking", oap, "web", sampler=0.0) as tracing, VisitsClient.connect(url) as client:
        with observe.span("buy"):
            observe.put("user", "ada")
            [hop] = client.visit("berlin")
            trace_id = observe.trace_id()
        assert tracing.store.recent() == []
    # Agents record whatever has the header.
    assert trace_of(hop) == f"00-{trace_id}"
    assert not any(name.startswith("sw8") for name in hop.headers)
    assert hop.trace_id not in ("", trace_id)
    # So it begins a trace.
    [span] = spans_of(oap, hop.trace_id, 1)
    assert (span["serviceCode"], span["type"], span["refs"]) == ("attic", "Entry", [])


def trace_of(hop: Hop) -> str:
    """Return version and trace id of `traceparent`."""
    return hop.headers["traceparent"][:35]


@DOWNLOADS
def test_a_request_that_the_agent_ignores_begins_a_trace(oap: str, programs: Programs) -> None:
    url = programs.agent("quiet", programs.ours("blocking", "loud"), ignore="/visits/*")
    hops = ask_hops(url, "berlin")
    assert hops["quiet"]["trace_id"] == ""
    # It sends the header, but with nothing in it.
    assert set(hops["loud"]["headers"]["sw8"]) == set("1-")
    trace_id = hops["loud"]["trace_id"]
    [span] = spans_of(oap, trace_id, 1)
    assert (span["serviceCode"], span["type"], span["refs"]) == ("loud", "Entry", [])
