"""Programs push to an agent, which forwards to the collector: counts are exact, also when the collector is killed."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from admin_requests import request
from eventually import eventually
from finished_spans import finished_span
from free_ports import free_port
from hand_written import Users, UserServiceClient, user_service
from pushing_programs import PROGRAM, running, serve
from test_collector_server import LossyProxy, asking, calls, counted, packet

from idlrt import collector
from idlrt.collector import Agent, CollectorExporter, CollectorServer
from idlrt.collector.api import Cell, InvalidQuery, Query, Refused, SpanBatch
from idlrt.collector.packets import encode_datagram
from idlrt.errors import ApplicationError, ConfigurationError
from idlrt.net import Address
from idlrt.net.datagrams import DatagramSender
from idlrt.observe import read_all
from idlrt.observe.tracing.span_pages import SpanRecord
from idlrt.server import Server


def test_counts_are_exact_when_the_collector_is_killed(tmp_path: Path) -> None:
    port, tcp, udp = free_port(), free_port(), free_port()
    unix = f"{tmp_path}/socket"
    address = f"127.0.0.1:{port}"
    agent = ["-m", "idlrt", "monitor", "agent", "--target", address, "--address", f"127.0.0.1:{tcp}"]
    agent += ["--udp", f"127.0.0.1:{udp}", "--unix", unix]

    def arrives(made: Any) -> None:
        eventually(lambda: calls(address, "instance") == made)

    with ExitStack() as stack:
        start = stack.enter_context
        collecting = start(running(*serve(tmp_path / "data", port)))
        forwarding = start(running(*agent))
        assert forwarding.first == f"the agent is at 127.0.0.1:{tcp}, udp://127.0.0.1:{udp}, unixgram:{unix}"
        targets = {"tcp": f"127.0.0.1:{tcp}", "udp": f"udp://127.0.0.1:{udp}", "unix": f"unixgram:{unix}"}
        programs = {name: start(running("-c", PROGRAM, target, name, pipe=True)) for name, target in targets.items()}
        made = {(name,): each.call(10) for name, each in programs.items()}
        arrives(made)
        for _ in range(2):
            collecting.kill()
            made = {(name,): each.call(7) for name, each in programs.items()}
            collecting = start(running(*serve(tmp_path / "data", port)))
            arrives(made)
        # Programs end while the collector is away: only the agent has their last counts.
        collecting.kill()
        made = {(name,): each.call(5) for name, each in programs.items()}
        for each in programs.values():
            each.end()
        collecting = start(running(*serve(tmp_path / "data", port)))
        # A stop of the agent sends them, whatever pause it makes at the moment.
        forwarding.end()
        assert calls(address, "instance") == made
        collecting.end()


def test_datagrams_that_are_lost_cost_no_count(tmp_path: Path) -> None:
    before = counted()
    with (
        CollectorServer(tmp_path, "127.0.0.1:0") as server,
        Agent(server.address, "127.0.0.1:0", udp="127.0.0.1:0") as agent,
        Server(user_service(Users()), metrics=True).start() as serving,
        UserServiceClient.connect(serving.address) as client,
        LossyProxy(agent.udp_address) as proxy,
        collector.push(proxy.address, service="users", instance="lossy", interval=60.0) as pusher,
    ):
        made = 0
        while proxy.lost < 3:
            client.get(1)
            made += 1
            assert pusher.push_now()
            eventually(lambda: proxy.passed + proxy.lost >= pusher.pushed)
        assert pusher.push_now()
        assert pusher.push_now()
        eventually(lambda: calls(server.address, instance="lossy") == {(): before + made})


def test_the_same_program_may_push_directly_and_through_an_agent(tmp_path: Path) -> None:
    first, second = packet(1, Cell(labels=[], number=5.0)), packet(2, Cell(labels=[], number=8.0))
    second.sender = first.sender
    with (
        CollectorServer(tmp_path, "127.0.0.1:0") as server,
        Agent(server.address, "127.0.0.1:0") as agent,
        asking(server.address) as direct,
        asking(agent.address) as through,
    ):
        direct.push(second)
        assert through.push(first).interval == 10.0
        agent.stop()
        assert total(direct) == 8.0


def total(client: Any) -> float:
    """Return the sum of `raw_total` in a collector."""
    query = Query(metric="raw_total", start=time.time() - 3600, end=time.time() + 60)
    try:
        return float(sum(each.total for each in client.query(query).groups))
    except InvalidQuery:
        return 0.0


def figures() -> dict[tuple[str, ...], float]:
    """Return the counts of agents of this process."""
    return {
        labels: value
        for series in read_all()
        if series.metric.name.startswith("rpc_collector_agent_")
        for labels, value in series.values.items()
        if isinstance(value, int | float)
    }


def test_what_waits_is_bounded(tmp_path: Path) -> None:
    port = free_port()
    before = figures()

    def grown(*key: str) -> float:
        return figures().get(key, 0.0) - before.get(key, 0.0)

    with Agent(f"127.0.0.1:{port}", "127.0.0.1:0", max_cells=2, max_span_bytes=500) as agent:
        with asking(agent.address) as client:
            for sequence in range(1, 50):
                each = packet(sequence, Cell(labels=[], number=float(sequence)))
                each.sender.id = 1
                client.push(each)
            other = packet(2, Cell(labels=[], number=7.0))
            client.push(other)
            with pytest.raises(Refused, match="too many cells wait for the collector"):
                client.push(packet(3, Cell(labels=[], number=1.0)))
            spans = [msgspec.msgpack.encode(["x" * 100]) for _ in range(10)]
            for data in spans:
                client.push_spans(SpanBatch(service="users", spans=data))
        assert grown("tcp", "accepted") == 50
        assert grown("packet", "merged") >= 40
        assert grown("tcp", "dropped") == 1
        assert (grown("cell"), grown("span")) == (2, 4)
        assert grown("span", "dropped") == 6
        with CollectorServer(tmp_path, f"127.0.0.1:{port}"), asking(f"127.0.0.1:{port}") as client:
            assert agent.stop()
            assert total(client) == 56.0
        # The collector cannot read these spans: they are not sent for ever.
        assert grown("span", "refused") == 4


def test_spans_arrive_also_when_the_collector_was_away(tmp_path: Path) -> None:
    port = free_port()
    spans = [finished_span() for _ in range(2)]
    with Agent(f"127.0.0.1:{port}", "127.0.0.1:0") as agent:
        exporter = CollectorExporter(agent.address, "shop")
        for each in spans:
            exporter.export([each], 60)
        exporter.close()
        with CollectorServer(tmp_path, f"127.0.0.1:{port}") as server, asking(server.address) as client:
            assert agent.stop()
            for each in spans:
                [found] = msgspec.msgpack.decode(client.trace(each.trace_id), type=list[SpanRecord])
                assert found.trace_id == each.trace_id


def test_the_admin_port_has_its_metrics() -> None:
    with Agent("127.0.0.1:1", "127.0.0.1:0", admin="127.0.0.1:0", grace=0.1) as agent, asking(agent.address) as client:
        client.push(packet(1, Cell(labels=[], number=1.0)))
        text = request(agent, "/metrics").text
        assert 'rpc_collector_agent_waiting{what="cell"} 1' in text
        assert "rpc_collector_agent_packets_total{" in text


def test_a_stop_without_a_collector_ends() -> None:
    agent = Agent(f"127.0.0.1:{free_port()}", "127.0.0.1:0", grace=0.1)
    with agent, asking(agent.address) as client:
        client.push(packet(1, Cell(labels=[], number=1.0)))
    assert not agent.stop()


def test_tokens_and_networks(tmp_path: Path) -> None:
    with (
        CollectorServer(tmp_path, "127.0.0.1:0", tokens=["far"]) as server,
        Agent(server.address, "127.0.0.1:0", tokens=["near"], target_token="far") as agent,
        collector.push(agent.address, service="users", token="near") as accepted,
        collector.push(agent.address, service="users", token="far") as refused,
    ):
        assert accepted.push_now()
        assert not refused.push_now()
    with (
        CollectorServer(tmp_path / "other", "127.0.0.1:0") as server,
        Agent(server.address, "127.0.0.1:0", udp="127.0.0.1:0", allow=["10.0.0.0/8"]) as agent,
        collector.push(agent.address, service="users") as refused,
        asking(server.address) as client,
    ):
        assert not refused.push_now()
        sender = DatagramSender(Address.parse(agent.udp_address.removeprefix("udp://")))
        sender.send(encode_datagram(packet(1, Cell(labels=[], number=1.0))))
        sender.close()
        agent.stop()
        assert total(client) == 0.0


def test_invalid_packets_are_refused_and_queries_are_for_the_collector(tmp_path: Path) -> None:
    with (
        CollectorServer(tmp_path, "127.0.0.1:0") as server,
        Agent(server.address, "127.0.0.1:0", unix=f"{tmp_path}/socket") as agent,
        asking(agent.address) as client,
    ):
        bad = packet(1, Cell(labels=[], number=-1.0))
        with pytest.raises(Refused, match="no value of a counter") as caught:
            client.push(bad)
        assert caught.value.invalid
        with pytest.raises(Refused, match="cannot read the spans of users"):
            client.push_spans(SpanBatch(service="users", spans=b"no"))
        sender = DatagramSender(Address.parse(f"unix:{tmp_path}/socket"))
        sender.send(encode_datagram(bad))
        sender.send(encode_datagram(packet(2, Cell(labels=[], number=3.0))))
        sender.close()
        with asking(server.address) as direct:
            eventually(lambda: total(direct) == 3.0)
        for ask in (
            lambda: client.query(Query(metric="raw_total", start=0.0, end=1.0)),
            lambda: client.trace("0" * 32),
            client.metrics,
        ):
            with pytest.raises((InvalidQuery, ApplicationError), match="this is an agent, which stores nothing"):
                ask()


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (
            "udp://127.0.0.1:1",
            {},
            "target: must be the address of a collector for calls, host:port, or kafka://, got 'udp://127",
        ),
        ("127.0.0.1:1", {"udp": "127.0.0.1:0", "tokens": ["x"]}, "with tokens, udp needs allow"),
        ("127.0.0.1", {}, "127.0.0.1"),
    ],
)
def test_invalid_arguments(target: str, options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Agent(target, "127.0.0.1:0", **options)


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    with Agent("127.0.0.1:1", "127.0.0.1:0", udp="127.0.0.1:0") as agent:
        with pytest.raises(ConfigurationError, match="cannot listen on"):
            Agent("127.0.0.1:1", agent.address.removeprefix("tcp://")).start()
        with pytest.raises(ConfigurationError, match="cannot receive on"):
            Agent("127.0.0.1:1", "127.0.0.1:0", udp=agent.udp_address.removeprefix("udp://")).start()
