"""Programs push to a collector over TCP, UDP and Unix datagrams; what it acknowledges it keeps, exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from free_ports import free_port
from hand_written import Users, UserServiceClient, user_service

from idlrt import collector
from idlrt.collector import CollectorServer
from idlrt.collector.api import (
    Cell,
    CollectorClient,
    Durations,
    InvalidQuery,
    MetricCells,
    MetricInfo,
    MetricKind,
    Packet,
    Query,
    Refused,
    Sender,
)
from idlrt.collector.packets import encode_datagram
from idlrt.collector.pusher import Pusher
from idlrt.errors import ApplicationError, ConfigurationError
from idlrt.net import Address
from idlrt.net.datagrams import DatagramReceiver, DatagramSender
from idlrt.observe import Histogram, read_all
from idlrt.observe.metric import Metric, Series
from idlrt.observe.sources import PROCESS
from idlrt.server import Server

DURATION = "rpc_server_call_duration_seconds"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CollectorServer]:
    with CollectorServer(tmp_path / "data", "127.0.0.1:0", udp="127.0.0.1:0", unix=str(tmp_path / "socket")) as made:
        yield made


def asking(address: str) -> Any:
    return CollectorClient.connect(address, framing="header", protocol="compact", timeout=60.0)


def calls(address: str, *by: str, **where: str) -> dict[tuple[str, ...], float]:
    """Return the number of calls of the last hour that a collector has, by dimensions."""
    now = time.time()
    query = Query(metric=DURATION, start=now - 3600, end=now + 60, by=list(by), where=where)
    with asking(address) as client:
        try:
            answer = client.query(query)
        except InvalidQuery:
            return {}
    return {tuple(each.key): each.total for each in answer.groups}


def counted() -> int:
    """Return the number of calls that servers of this process have ever counted: tests before this one, too."""
    found = next((each.values for each in read_all() if each.metric.name == DURATION), {})
    return sum(each.count for each in found.values() if isinstance(each, Histogram))


def grown(pusher: Pusher, name: str, by: int) -> None:
    """Wait until a count of a pusher has grown."""
    before = getattr(pusher, name)
    eventually(lambda: getattr(pusher, name) >= before + by)


def targets(server: CollectorServer, tmp_path: Path) -> dict[str, str]:
    return {"tcp": server.address, "udp": server.udp_address, "unix": f"unixgram:{tmp_path}/socket"}


@pytest.mark.parametrize(
    ("transport", "form"),
    [("tcp", "compact"), ("udp", "compact"), ("udp", "json"), ("unix", "compact"), ("unix", "json")],
)
def test_counts_arrive_exactly(server: CollectorServer, tmp_path: Path, transport: str, form: Any) -> None:
    target = targets(server, tmp_path)[transport]
    before = counted()
    with (
        Server(user_service(Users()), metrics=True).start() as serving,
        UserServiceClient.connect(serving.address) as client,
        collector.push(target, service="users", instance=transport, zone="eu-1", interval=60.0, form=form) as pusher,
    ):
        for _ in range(7):
            client.get(1)
        eventually(pusher.push_now)
        eventually(lambda: calls(server.address, instance=transport).get((), 0) == before + 7)
        for _ in range(5):
            client.get(2)
    # The last ones come when it is closed.
    eventually(lambda: calls(server.address, instance=transport) == {(): before + 12})
    assert calls(server.address, "service", "zone") == {("users", "eu-1"): before + 12}
    assert ("UserService.get",) in calls(server.address, "rpc_method")


class LossyProxy:
    """Passes datagrams on, without each tenth one."""

    def __init__(self, target: str) -> None:
        self._receiver = DatagramReceiver(Address.parse("127.0.0.1:0"))
        self._sender = DatagramSender(Address.parse(target.removeprefix("udp://")))
        self._is_over = threading.Event()
        self.address = str(self._receiver.address).replace("tcp://", "udp://")
        self.passed = self.lost = 0
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._is_over.is_set():
            found = self._receiver.receive(0.1)
            if found is None:
                continue
            if (self.passed + self.lost) % 10 == 9:
                self.lost += 1
            else:
                self._sender.send(found[0])
                self.passed += 1

    def __enter__(self) -> LossyProxy:
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._receiver.close()
        self._sender.close()


def test_datagrams_that_are_lost_cost_no_count(server: CollectorServer) -> None:
    before = counted()
    with (
        Server(user_service(Users()), metrics=True).start() as serving,
        UserServiceClient.connect(serving.address) as client,
        LossyProxy(server.udp_address) as proxy,
        collector.push(proxy.address, service="users", instance="lossy", interval=60.0) as pusher,
    ):
        made = 0
        while proxy.lost < 10:
            client.get(1)
            made += 1
            assert pusher.push_now()
            eventually(lambda: proxy.passed + proxy.lost >= pusher.pushed)
        # The next ones have all that was lost.
        assert pusher.push_now()
        assert pusher.push_now()
        eventually(lambda: calls(server.address, instance="lossy") == {(): before + made})
    assert proxy.passed > 80


def test_a_collector_that_is_killed_loses_nothing_that_it_has_acknowledged(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "idlrt", "monitor", "serve", "--data", str(tmp_path / "data")]
    command += ["--address", f"127.0.0.1:{port}"]
    address = f"127.0.0.1:{port}"

    def run() -> subprocess.Popen[str]:
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert started.stdout is not None
        with started.stdout:
            assert started.stdout.readline().strip() == f"the collector is at {address}"
        return started

    stop, before, made = threading.Event(), counted(), 0
    with (
        Server(user_service(Users()), metrics=True).start() as serving,
        UserServiceClient.connect(serving.address) as client,
    ):
        process = run()
        pusher = collector.push(address, service="users", interval=0.1)
        try:

            def load() -> None:
                nonlocal made
                while not stop.wait(0.001):
                    client.get(1)
                    made += 1

            thread = threading.Thread(target=load)
            thread.start()
            for _ in range(3):
                grown(pusher, "pushed", 4)
                process.send_signal(signal.SIGKILL)
                process.wait(60)
                grown(pusher, "failed", 1)
                process = run()
            stop.set()
            thread.join()
            eventually(pusher.push_now)
            assert calls(address) == {(): before + made}
            assert pusher.close(60)
            assert calls(address) == {(): before + made}
        finally:
            stop.set()
            pusher.close()
            process.terminate()
            assert process.wait(60) == 0


def test_a_program_that_restarts_is_added_up(server: CollectorServer) -> None:
    program = """
import sys
from hand_written import Users, UserServiceClient, user_service
from idlrt import collector
from idlrt.server import Server
with Server(user_service(Users()), metrics=True).start() as serving:
    client = UserServiceClient.connect(serving.address)
    collector.push(sys.argv[1], service="users", instance="a")
    for _ in range(10):
        client.get(1)
"""
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    for _ in range(2):
        # It ends without closing: what it has counted is pushed at exit.
        subprocess.run([sys.executable, "-c", program, server.address], env=environment, check=True, timeout=60)
    eventually(lambda: calls(server.address, "instance") == {("a",): 20})


def test_tokens_and_networks(tmp_path: Path) -> None:
    with CollectorServer(tmp_path / "a", "127.0.0.1:0", tokens=["secret"]) as server:
        refused = collector.push(server.address, service="users", token="wrong")
        accepted = collector.push(server.address, service="users", token="secret")
        assert not refused.push_now()
        assert accepted.push_now()
        assert accepted.close()
        refused.close()
        with asking(server.address) as client, pytest.raises(ApplicationError, match=r"token|authorization"):
            client.metrics()
    with CollectorServer(tmp_path / "b", "127.0.0.1:0", udp="127.0.0.1:0", allow=["10.0.0.0/8"]) as server:
        far = collector.push(server.address, service="users")
        assert not far.push_now()
        far.close()
    with pytest.raises(ConfigurationError, match="with tokens, udp needs allow"):
        CollectorServer(tmp_path / "c", "127.0.0.1:0", udp="127.0.0.1:0", tokens=["secret"])


def packet(sequence: int, *cells: Cell, kind: MetricKind = MetricKind.COUNTER, at: float | None = None) -> Packet:
    return Packet(
        version=1,
        sender=Sender(id=sequence, started_at=1.0, resource={"service": "raw", "instance": str(sequence)}),
        sequence=sequence,
        at=time.time() if at is None else at,
        metrics=[MetricCells(metric=MetricInfo(name="raw_total", kind=kind, labels=[]), cells=list(cells))],
    )


def test_packets_that_cannot_be_stored_disturb_no_others(server: CollectorServer) -> None:
    most = (1 << 63) - 1
    many = Durations(buckets=[1, 1], counts=[most, most], sum=0, min=0, max=0)
    bad = [
        packet(1, Cell(labels=[], durations=many), kind=MetricKind.HISTOGRAM),
        packet(2, Cell(labels=[], number=-1.0)),
        *(packet(number, Cell(labels=[], number=5.0), at=at) for number, at in ((6, 1e30), (7, float("nan")))),
    ]
    good = [packet(number, Cell(labels=[], number=5.0)) for number in (3, 4, 5)]
    by = DatagramSender(Address.parse(server.udp_address.removeprefix("udp://")))
    with asking(server.address) as client, closing(by):
        for junk in (b"", b"GET / HTTP/1.1", b"IDLM\x01C\x00", b"IDLM\x01c" + b"\x8d" * 100, b"IDLM\x01j{}"):
            by.send(junk)
        for each in bad:
            by.send(encode_datagram(each))
            with pytest.raises(Refused, match=r"raw_total: .*(out of range|no value of a counter)|the time"):
                client.push(each)
        for each in good:
            client.push(each)
        # Datagrams are still received.
        by.send(encode_datagram(packet(6, Cell(labels=[], number=5.0))))
        query = Query(metric="raw_total", start=time.time() - 3600, end=time.time() + 60)
        eventually(lambda: [each.total for each in client.query(query).groups] == [20.0])


def test_a_value_that_cannot_be_sent_does_not_end_the_pushing(server: CollectorServer) -> None:
    class Odd:
        value: Any = "many"

        def read(self) -> list[Series]:
            return [Series(Metric(name="odd", kind="gauge", help=""), {(): self.value})]

    odd = Odd()
    with collector.push(server.address, service="users", interval=0.1) as pusher:
        PROCESS.add(odd)
        try:
            grown(pusher, "failed", 2)
            odd.value = 1.0
            grown(pusher, "pushed", 2)
        finally:
            PROCESS.remove(odd)


def test_a_program_goes_on_without_a_collector() -> None:
    pusher = collector.push(f"127.0.0.1:{free_port()}", service="users", interval=0.1)
    eventually(lambda: pusher.failed >= 2)
    assert not pusher.close(1)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("127.0.0.1:1", {"service": ""}, "push: service: must be a name, got ''"),
        ("127.0.0.1:1", {"interval": 0.0}, "push: interval: must be at least 0.1 seconds, got 0.0"),
        ("127.0.0.1:1", {"form": "xml"}, "push: form: must be compact or json, got 'xml'"),
        ("udp://127.0.0.1:1", {"token": "x"}, "push: token and tls are for targets over TCP"),
        ("udp://nowhere", {}, "nowhere"),
    ],
)
def test_invalid_arguments(target: str, options: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    with pytest.raises(ConfigurationError, match=message):
        collector.push(target, **{"service": "users", **options})


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"metric": "nothing"}, "there is no metric 'nothing'"),
        ({"metric": DURATION, "limit": 0}, "limit: must be between 1 and 1000, got 0"),
        ({"metric": DURATION, "start": 5.0, "end": 1.0}, ""),
    ],
)
def test_invalid_queries(server: CollectorServer, query: Any, message: str) -> None:
    with asking(server.address) as client, pytest.raises(InvalidQuery) as caught:
        client.query(Query(**{"start": time.time() - 60, "end": time.time(), **query}))
    assert message in caught.value.message
    assert caught.value.message


def test_an_address_that_is_taken_is_named(server: CollectorServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen on"):
        CollectorServer(tmp_path / "other", server.address.removeprefix("tcp://")).start()
    with pytest.raises(ConfigurationError, match="cannot receive on"):
        CollectorServer(tmp_path / "third", "127.0.0.1:0", udp=server.udp_address.removeprefix("udp://")).start()
    with pytest.raises(ConfigurationError):
        CollectorServer(tmp_path / "data", "127.0.0.1:0")


def test_pushers_are_closed_once(server: CollectorServer) -> None:
    pusher: Pusher = collector.push(server.address, service="users")
    assert pusher.close()
    assert pusher.close()
