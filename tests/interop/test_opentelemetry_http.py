"""Programs with OpenTelemetry's instrumentation and ours are one trace over HTTP, and agree on what is not recorded.

Their spans are those that its SDK exports, in processes without this project.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from http_chain import AsyncVisitsClient, Hop, VisitsClient, ask_hops
from peer_programs import running_program
from peer_venvs import peer_python
from traced_http_program import start_tracing

from idlrt import observe

pytestmark = pytest.mark.long

HERE = Path(__file__).parent
VERSION = "0.66b2"
PACKAGES = [f"opentelemetry-instrumentation-{name}=={VERSION}" for name in ("httpx", "requests", "wsgi")]
T = "4f1e2d3c5b6a79880123456789abcdef"
S = "00f0e1d2c3b4a596"
STATE = "vendor=a:1,other=2"
KINDS = [("blocking", "requests"), ("asyncio", "httpx")]
Span = dict[str, Any]


class Programs:
    """Programs of a chain, and their spans."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._file = folder / "spans.jsonl"
        self._python = peer_python(
            f"opentelemetry-{VERSION}", *PACKAGES, "opentelemetry-sdk==1.45.2", "httpx==0.28.*", "requests==2.*"
        )

    def theirs(self, service: str, target: str = "", *, client: str = "requests", sampler: str = "on") -> str:
        """Start a program with OpenTelemetry; returns its URL.

        Args:
            service: its name.
            target: URL of the next one.
            client: library of its client.
            sampler: `on` or `off`: whether traces that begin there are recorded.
        """
        options = {"service": service, "spans": str(self._file), "client": client, "target": target}
        command = [self._python, "-I", str(HERE / "opentelemetry_program.py")]
        command += [f"--{name}={options[name]}" for name in options]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        variables["OTEL_TRACES_SAMPLER"] = f"parentbased_always_{sampler}"
        return self._stack.enter_context(running_program(command, self._folder / f"{service}.log", variables=variables))

    def ours(self, kind: str, service: str, target: str = "") -> str:
        """Start a program of ours; returns its URL."""
        command = [sys.executable, str(HERE / "traced_http_program.py"), kind, "json", str(self._file), service, target]
        return self._stack.enter_context(running_program(command, self._folder / f"{service}.log"))

    def tracing(self, service: str, sampler: float = 1.0) -> observe.ActiveTracing:
        """Trace this process."""
        return start_tracing("json", str(self._file), service, sampler)

    def end(self) -> None:
        """End the programs."""
        self._stack.close()

    def spans(self) -> dict[tuple[str, str], Span]:
        """Return all spans by service and kind, of which there is one each, once the programs have ended."""
        self.end()
        found = [json.loads(line) for line in self._file.read_text().splitlines()]
        named = {(each["service"], each["kind"]): each for each in found}
        assert len(named) == len(found)
        return named


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    found = Programs(tmp_path)
    try:
        yield found
    finally:
        found.end()


def position(headers: dict[str, str]) -> tuple[str, str, int]:
    """Return trace id, parent id and flags of a `traceparent`."""
    found = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", headers["traceparent"])
    assert found, headers
    return found[1], found[2], int(found[3], 16)


def check_chain(spans: dict[tuple[str, str], Span], root: str = "") -> None:
    """Check that the spans of the three programs are one chain, below this parent."""
    chain = [("front", "server"), ("front", "client"), ("shop", "server"), ("shop", "client"), ("stock", "server")]
    assert spans.keys() == set(chain)
    assert [spans[each]["parent_id"] for each in chain] == [root, *(spans[each]["span_id"] for each in chain[:-1])]
    assert len({each["span_id"] for each in spans.values()}) == 5
    assert len({each["trace_id"] for each in spans.values()}) == 1


@pytest.mark.parametrize(("kind", "client"), KINDS)
def test_a_trace_that_they_begin_is_one_over_all_programs(programs: Programs, kind: str, client: str) -> None:
    shop = programs.ours(kind, "shop", programs.theirs("stock"))
    hops = ask_hops(programs.theirs("front", shop, client=client), "berlin")
    spans = programs.spans()
    check_chain(spans)
    trace_id = spans["front", "server"]["trace_id"]
    assert [each["trace_id"] for each in hops.values()] == [trace_id] * 3
    # The headers say what the spans do.
    for service, caller in (("shop", "front"), ("stock", "shop")):
        found, parent_id, flags = position(hops[service]["headers"])
        assert (found, parent_id, flags & 1) == (trace_id, spans[caller, "client"]["span_id"], 1)
    assert spans["stock", "server"]["is_sampled"] is True
    # Our response names our span.
    assert hops["front"]["traceresponse"] == f"00-{trace_id}-{spans['shop', 'server']['span_id']}-01"
    # Their baggage goes through, and our tags are baggage for them.
    assert hops["shop"]["headers"]["baggage"] == "user=ada"
    assert hops["stock"]["carried"] == {"user": "ada", "via": "shop", "rpc_tags": "via"}


@pytest.mark.parametrize(("kind", "client"), KINDS)
def test_a_sampled_request_is_continued_with_tracestate_and_baggage(programs: Programs, kind: str, client: str) -> None:
    shop = programs.ours(kind, "shop", programs.theirs("stock", sampler="off"))
    front = programs.theirs("front", shop, client=client, sampler="off")
    headers = {"traceparent": f"00-{T}-{S}-01", "tracestate": STATE, "baggage": "plan=gold"}
    hops = ask_hops(front, "berlin", headers)
    spans = programs.spans()
    check_chain(spans, S)
    assert spans["front", "server"]["trace_id"] == T
    assert [each["headers"]["tracestate"] for each in hops.values()] == [STATE] * 3
    assert spans["stock", "server"]["state"] == {"vendor": "a:1", "other": "2"}
    assert [sorted(each["headers"]["baggage"].split(",")) for each in hops.values()] == [
        ["plan=gold"],
        ["plan=gold", "user=ada"],
        ["plan=gold", "rpc_tags=via", "user=ada", "via=shop"],
    ]


@pytest.mark.parametrize(("kind", "client"), KINDS)
def test_a_request_that_is_not_sampled_leaves_no_spans(programs: Programs, kind: str, client: str) -> None:
    # Traces that begin in `stock` would be recorded.
    shop = programs.ours(kind, "shop", programs.theirs("stock"))
    front = programs.theirs("front", shop, client=client, sampler="off")
    # The first trace begins in `front`.
    for headers in ({}, {"traceparent": f"00-{T}-{S}-00", "tracestate": STATE}):
        hops = ask_hops(front, "berlin", headers)
        places = [position(hops[service]["headers"]) for service in ("shop", "stock")]
        assert {trace_id for trace_id, _, _ in places} == {each["trace_id"] for each in hops.values()}
        assert [flags & 1 for _, _, flags in places] == [0, 0]
        assert places[0][1] != places[1][1]
        assert hops["front"]["traceresponse"] == ""
        assert hops["stock"]["carried"] == {"user": "ada", "via": "shop", "rpc_tags": "via"}
    assert [each["trace_id"] for each in hops.values()] == [T] * 3
    assert [each["headers"]["tracestate"] for each in hops.values()] == [STATE] * 3
    # Only this one is recorded.
    ask_hops(front, "berlin", {"traceparent": f"00-{T[::-1]}-{S}-01"})
    spans = programs.spans()
    check_chain(spans, S)
    assert spans["front", "server"]["trace_id"] == T[::-1]


def visit(kind: str, url: str) -> list[Hop]:
    """Call a program with a client of this kind."""
    if kind == "blocking":
        with VisitsClient.connect(url) as client:
            return client.visit("berlin")

    async def main() -> list[Hop]:
        async with AsyncVisitsClient.connect(url) as client:
            return await client.visit("berlin")

    return asyncio.run(main())


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_they_continue_a_trace_that_we_begin(programs: Programs, kind: str) -> None:
    url = programs.theirs("stock", sampler="off")
    with programs.tracing("web"), observe.span("buy"):
        observe.put("user", "ada")
        [hop] = visit(kind, url)
        trace_id = observe.trace_id()
    spans = programs.spans()
    assert spans.keys() == {("web", "internal"), ("web", "client"), ("stock", "server")}
    assert {each["trace_id"] for each in spans.values()} == {hop.trace_id} == {trace_id}
    assert spans["web", "client"]["parent_id"] == spans["web", "internal"]["span_id"]
    assert spans["stock", "server"]["parent_id"] == spans["web", "client"]["span_id"]
    # Sampled, with a random id, and with the probability of 1.
    assert position(hop.headers) == (trace_id, spans["web", "client"]["span_id"], 3)
    assert spans["stock", "server"]["state"] == {"ot": "th:0"}
    assert hop.carried == {"user": "ada", "rpc_tags": "user"}


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_they_do_not_record_a_trace_that_we_do_not_record(programs: Programs, kind: str) -> None:
    url = programs.theirs("stock")
    with programs.tracing("web", 0.0), observe.span("buy"):
        [hop] = visit(kind, url)
        trace_id = observe.trace_id()
    found, _, flags = position(hop.headers)
    assert (found, hop.trace_id, flags & 1) == (trace_id, trace_id, 0)
    # They record what is not decided.
    [last] = ask_hops(url, "berlin").values()
    spans = programs.spans()
    assert spans.keys() == {("stock", "server")}
    assert spans["stock", "server"]["trace_id"] == last["trace_id"] != trace_id
