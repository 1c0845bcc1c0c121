"""Programs push by real Kafka: counts are exact after kills of each part, and when the topic is read again."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from eventually import TIMEOUT, eventually
from finished_spans import finished_span
from free_ports import free_port
from kafka_server import KafkaServer, running_kafka
from pushing_programs import PROGRAM, running, serve

from idlrt import collector
from idlrt.collector import Agent, CollectorExporter, CollectorServer
from idlrt.collector.api import (
    Cell,
    CollectorClient,
    InvalidQuery,
    MetricCells,
    MetricInfo,
    MetricKind,
    Packet,
    Query,
    Sender,
    SpanBatch,
)
from idlrt.collector.kafka import KafkaTarget, KafkaTransport
from idlrt.collector.packets import encode_datagram
from idlrt.collector.span_messages import decode_message, encode_spans
from idlrt.errors import ConfigurationError
from idlrt.observe import read_all
from idlrt.observe.tracing.span_pages import SpanRecord

# The first run downloads the server.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

DURATION = "rpc_server_call_duration_seconds"
_topics = itertools.count()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with running_kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture
def topic(kafka: KafkaServer) -> str:
    return kafka.create(f"collected-{next(_topics)}")


def asking(address: str) -> Any:
    return CollectorClient.connect(address, framing="header", protocol="compact", timeout=TIMEOUT)


def totals(address: str, metric: str = DURATION, **where: str) -> dict[str, float]:
    """Return the sums of a metric by instance."""
    now = time.time()
    query = Query(metric=metric, start=now - 3600, end=now + 60, by=["instance"], where=where)
    with asking(address) as client:
        try:
            answer = client.query(query)
        except InvalidQuery:
            return {}
    return {each.key[0]: each.total for each in answer.groups}


def made_calls(address: str) -> dict[str, float]:
    """Return the numbers of calls by instance; without the pings of clients that have been idle."""
    return totals(address, rpc_method="UserService.get")


def arrives(address: str, made: dict[str, int]) -> None:
    eventually(lambda: made_calls(address) == made, str(made))


def outcomes() -> dict[str, int]:
    """Return the numbers of packets that came by Kafka to collectors of this process, by outcome."""
    found = next((each.values for each in read_all() if each.metric.name == "rpc_collector_packets_total"), {})
    counts = {labels: value for labels, value in found.items() if isinstance(value, int | float)}
    return {outcome: int(value) for (transport, outcome), value in counts.items() if transport == "kafka"}


def grown(before: dict[str, int]) -> dict[str, int]:
    """Return by how much they have grown."""
    return {name: more for name, value in outcomes().items() if (more := value - before.get(name, 0))}


def test_counts_are_exact_after_kills_of_each_part(kafka: KafkaServer, topic: str, tmp_path: Path) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = [*serve(tmp_path / "data", port), "--kafka", topic]
    with ExitStack() as stack:
        start = stack.enter_context
        collecting = start(running(*command))
        programs = {name: start(running("-c", PROGRAM, topic, name, pipe=True)) for name in ("a", "b", "c")}

        def call(number: int) -> dict[str, int]:
            return {name: each.call(number) for name, each in programs.items()}

        arrives(address, call(10))
        collecting.kill()
        made = call(7)
        collecting = start(running(*command))
        arrives(address, made)
        kafka.stop()
        made = call(5)
        kafka.start()
        arrives(address, made)
        # The last packets of programs arrive, too.
        made = call(3)
        for each in programs.values():
            each.end()
        arrives(address, made)
        collecting.end()
        # Another group stores the same.
        other = free_port()
        elsewhere = [*serve(tmp_path / "other", other), "--kafka", topic, "--kafka-group", "other"]
        collecting = start(running(*elsewhere))
        arrives(f"127.0.0.1:{other}", made)
        collecting.end()
    # All that was ever pushed, once more.
    before = outcomes()
    with CollectorServer(tmp_path / "data", "127.0.0.1:0", kafka=topic, kafka_from="beginning") as server:
        number = kafka.number(topic)
        eventually(lambda: grown(before) == {"repeated": number}, f"{number} packets were repeated")
        assert made_calls(server.address) == made
    # After that, consuming goes on where it was.
    before = outcomes()
    with (
        CollectorServer(tmp_path / "data", "127.0.0.1:0", kafka=topic) as server,
        collector.push(topic, service="users", instance="d", interval=60.0) as pusher,
    ):
        assert pusher.push_now()
        eventually(lambda: grown(before).get("stored", 0) >= 1)
        assert "repeated" not in grown(before)


def raw(id: int, sequence: int, number: float) -> Packet:
    metric = MetricInfo(name="raw_total", kind=MetricKind.COUNTER, labels=[])
    return Packet(
        version=1,
        sender=Sender(id=id, started_at=1.0, resource={"service": "raw", "instance": str(id)}),
        sequence=sequence,
        at=time.time(),
        metrics=[MetricCells(metric=metric, cells=[Cell(labels=[], number=number)])],
    )


def test_a_collector_that_is_killed_while_it_catches_up_loses_nothing(
    kafka: KafkaServer, topic: str, tmp_path: Path
) -> None:
    producer = Producer({"bootstrap.servers": kafka.address, "linger.ms": 50})
    name = topic.rpartition("/")[2]
    for sequence in range(1, 101):
        for id in range(1, 101):
            producer.produce(name, encode_datagram(raw(id, sequence, sequence * 2.0)), str(id))
        producer.poll(0)
    assert producer.flush(TIMEOUT) == 0
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = [*serve(tmp_path, port), "--kafka", topic]
    with running(*command) as collecting:
        part = eventually(lambda: sum(totals(address, "raw_total").values()), "something is stored")
        collecting.kill()
    assert part < 20_000.0
    with running(*command) as collecting:
        eventually(lambda: sum(totals(address, "raw_total").values()) == 20_000.0)
        collecting.end()


def test_messages_that_cannot_be_read_stop_nothing(kafka: KafkaServer, topic: str, tmp_path: Path) -> None:
    producer = Producer({"bootstrap.servers": kafka.address})
    name = topic.rpartition("/")[2]
    before = outcomes()
    for junk in (None, b"", b"junk", b"IDLM\x01C\x00", b"IDLS\x01junk", encode_datagram(raw(1, 1, -1.0))):
        producer.produce(name, junk, "1")
    producer.produce(name, encode_datagram(raw(1, 2, 5.0)), "1")
    assert producer.flush(TIMEOUT) == 0
    with CollectorServer(tmp_path, "127.0.0.1:0", kafka=topic) as server:
        eventually(lambda: totals(server.address, "raw_total") == {"1": 5.0})
        assert grown(before) == {"refused": 6, "stored": 1}
    # They were committed: they are not read again.
    before = outcomes()
    with (
        CollectorServer(tmp_path, "127.0.0.1:0", kafka=topic) as server,
        collector.push(topic, service="users", instance="d", interval=60.0) as pusher,
    ):
        assert pusher.push_now()
        eventually(lambda: grown(before).get("stored", 0) >= 1)
        assert "refused" not in grown(before)


def test_an_agent_forwards_packets_and_spans(topic: str, tmp_path: Path) -> None:
    direct, through = finished_span(), finished_span(attributes={"text": "x" * 2_000_000})
    with (
        CollectorServer(tmp_path, "127.0.0.1:0", kafka=topic) as server,
        Agent(topic, "127.0.0.1:0") as agent,
        asking(agent.address) as client,
        asking(server.address) as stored,
    ):
        client.push(raw(1, 1, 2.0))
        for target, span in ((topic, direct), (agent.address, through)):
            exporter = CollectorExporter(target, "shop")
            exporter.export([span], TIMEOUT)
            exporter.close()
        assert agent.stop()
        eventually(lambda: totals(server.address, "raw_total") == {"1": 2.0})
        for span in (direct, through):

            def found(trace_id: str = span.trace_id) -> list[SpanRecord]:
                return msgspec.msgpack.decode(stored.trace(trace_id), type=list[SpanRecord])

            eventually(found, "the span")


def test_large_batches_are_divided(topic: str, tmp_path: Path) -> None:
    spans = [{"n": os.urandom(1000).hex()} for _ in range(2000)]
    sent: list[bytes] = list(encode_spans(SpanBatch(service="shop", spans=msgspec.msgpack.encode(spans)), 900_000))
    assert len(sent) > 1
    assert max(map(len, sent)) <= 900_000
    batches = [decode_message(each) for each in sent]
    assert [
        span for each in batches if isinstance(each, SpanBatch) for span in msgspec.msgpack.decode(each.spans)
    ] == spans


def test_a_forked_child_ends(topic: str) -> None:
    program = """
import os, sys
from idlrt import collector
with collector.push(sys.argv[1], service="users", interval=60.0) as pusher:
    assert pusher.push_now()
    child = os.fork()
    if child == 0:
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert pusher.push_now()
print("ended", flush=True)
"""
    with running("-c", program, topic) as process:
        assert process.first == "ended"


def test_brokers_that_are_away_delay_no_program() -> None:
    pusher = collector.push(f"kafka://127.0.0.1:{free_port()}/topic", service="users", interval=0.1)
    eventually(lambda: pusher.failed >= 1)
    assert not pusher.close(0.5)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("kafka://127.0.0.1:9092", "kafka: must be kafka://host:port"),
        ("kafka:///topic", "kafka: must be kafka://host:port"),
        ("kafka://a:1,/topic", "kafka: must be kafka://host:port"),
        ("kafka://a:1/to pic", "kafka: must be kafka://host:port"),
    ],
)
def test_invalid_targets(target: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        collector.push(target, service="users")
    with pytest.raises(ConfigurationError, match=message):
        Agent(target)
    with pytest.raises(ConfigurationError, match=message):
        CollectorServer(tmp_path, kafka=target)


def test_invalid_settings(tmp_path: Path) -> None:
    target, options = KafkaTarget.parse("a,b:1/topic"), {"no.such": "setting"}
    assert target == KafkaTarget("a:9092,b:1", "topic")
    with pytest.raises(ConfigurationError, match=r"kafka: .*no\.such"):
        KafkaTransport(target, options)
    with pytest.raises(ConfigurationError, match=r"kafka: .*no\.such"):
        CollectorServer(tmp_path, kafka="a/topic", kafka_options=options)
    with pytest.raises(ConfigurationError, match="push: token and tls are for targets over TCP"):
        collector.push("kafka://a/topic", service="users", token="x")
