"""Clients measure their calls, attempts, connections and decisions."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from eventually import eventually
from free_ports import free_port
from hand_written import AsyncUserServiceClient, NotFound, Users, UserServiceClient, user_service

from idlrt.client import client_stats
from idlrt.core import Attempted, Decision, NotRetried, Retrying
from idlrt.errors import ConfigurationError, ConnectFailed, Overloaded
from idlrt.observe import Histogram, read_all
from idlrt.observe.catalogue import (
    CLIENT_ATTEMPTS,
    CLIENT_CALLS,
    CLIENT_CONNECTIONS,
    CLIENT_CONNECTS,
    CLIENT_EJECTED,
    CLIENT_EJECTIONS,
    CLIENT_NOT_RETRIED,
    CLIENT_REJECTED,
    CLIENT_RETRIES,
    REGISTRY_INSTANCES,
)
from idlrt.observe.metric import Labels, Metric
from idlrt.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(user_service(Users())).start() as found:
        yield found


def values(metric: Metric) -> dict[Labels, Any]:
    """Return the values of a metric in this process; the number of records of histograms."""
    found = [each.values for each in read_all() if each.metric == metric]
    return {
        labels: each.count if isinstance(each, Histogram) else each
        for labels, each in (found[0] if found else {}).items()
    }


def added(metric: Metric, before: dict[Labels, Any]) -> dict[Labels, Any]:
    found = {labels: each - before.get(labels, 0) for labels, each in values(metric).items()}
    return {labels: each for labels, each in found.items() if each}


def test_calls_are_counted_with_their_outcome(server: Server) -> None:
    before, address = values(CLIENT_CALLS), server.address.removeprefix("tcp://")
    with UserServiceClient.connect(server.address, metrics=True) as client:
        for _ in range(3):
            client.get(1)
        with pytest.raises(NotFound):
            client.get(-1)
    assert added(CLIENT_CALLS, before) == {
        ("UserService.get", address, "ok", ""): 3,
        ("UserService.get", address, "declared_error", "NotFound"): 1,
    }


def test_asyncio_clients_count_the_same(server: Server) -> None:
    before, address = values(CLIENT_CALLS), server.address.removeprefix("tcp://")

    async def work() -> None:
        async with AsyncUserServiceClient.connect(server.address, metrics=True) as client:
            await asyncio.gather(*(client.get(1) for _ in range(20)))
            with pytest.raises(NotFound):
                await client.get(-1)

    asyncio.run(work())
    assert added(CLIENT_CALLS, before) == {
        ("UserService.get", address, "ok", ""): 20,
        ("UserService.get", address, "declared_error", "NotFound"): 1,
    }


def test_sizes_are_those_of_the_messages(server: Server) -> None:
    address = server.address.removeprefix("tcp://")
    with UserServiceClient.connect(server.address, metrics=True) as client:
        client.get(1)
        [found] = [
            each
            for series in read_all()
            for labels, each in series.values.items()
            if series.metric == CLIENT_CALLS and labels[1:3] == (address, "ok")
        ]
    assert isinstance(found, Histogram)
    assert 20 < found.sent < 60
    assert 20 < found.received < 200


def test_attempts_have_their_kind_and_zone_and_what_follows_is_counted(server: Server) -> None:
    metrics = CLIENT_ATTEMPTS, CLIENT_RETRIES, CLIENT_EJECTIONS
    before = {each: values(each) for each in metrics}
    heard: list[Decision] = []
    target = f"{server.address},127.0.0.1:{free_port()}"
    with UserServiceClient.connect(target, metrics=True, listeners=[heard.append], heartbeat=None) as client:
        while not any(isinstance(each, Retrying) for each in heard):
            client.get(1)
    attempts = [each for each in heard if isinstance(each, Attempted)]
    assert {(each.target, each.kind) for each in attempts} == {("UserService", "first"), ("UserService", "retry")}
    assert all(each.sent > 0 and each.received > 0 for each in attempts if not each.error)
    expected = Counter((each.error, each.kind) for each in attempts)
    found = added(CLIENT_ATTEMPTS, before[CLIENT_ATTEMPTS])
    assert {(labels[3], labels[5]): count for labels, count in found.items()} == expected
    retries = sum(isinstance(each, Retrying) for each in heard)
    assert added(CLIENT_RETRIES, before[CLIENT_RETRIES]) == {("UserService.get", "failover"): retries}
    assert retries >= 1
    assert added(CLIENT_EJECTIONS, before[CLIENT_EJECTIONS]) == {("unreachable",): 1}


def test_reasons_are_codes() -> None:
    before, heard = values(CLIENT_NOT_RETRIED), list[Decision]()
    target = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    client = UserServiceClient.connect(target, metrics=True, listeners=[heard.append])
    with client, pytest.raises(ConnectFailed):
        client.using(retries=0).get(1)
    assert added(CLIENT_NOT_RETRIED, before) == {("UserService.get", "failover", "disabled"): 1}
    assert [each.reason for each in heard if isinstance(each, NotRetried)] == ["disabled"]


def test_rejections_of_guards_are_counted(server: Server) -> None:
    before = values(CLIENT_REJECTED)
    policy = {"limiter": {"rate": 1, "burst": 1}}
    with UserServiceClient.connect(server.address, metrics=True, policy=policy) as client:
        client.get(1)
        with pytest.raises(Overloaded):
            client.get(1)
    assert added(CLIENT_REJECTED, before) == {("UserService.get", "limiter", "rate"): 1}


def test_instances_are_a_label_on_request(server: Server) -> None:
    before, address = values(CLIENT_ATTEMPTS), server.address.removeprefix("tcp://")
    with UserServiceClient.connect(f"{address},127.0.0.1:{free_port()}", metrics="instances") as client:
        for _ in range(5):
            client.get(1)
    found = Counter[str]()
    for labels, count in added(CLIENT_ATTEMPTS, before).items():
        found[labels[6]] += count if labels[2] == "ok" else 0
    assert found[address] == found.total() == 5


def test_gauges_are_those_of_open_clients(server: Server) -> None:
    target = f"{server.address},127.0.0.1:{free_port()}"
    with UserServiceClient.connect(target, metrics=True) as client:
        client.get(1)
        while not values(CLIENT_EJECTED)[("UserService",)]:
            client.get(1)
        assert values(CLIENT_CONNECTIONS)[("UserService",)] == client_stats(client).connections
        assert values(REGISTRY_INSTANCES)[("UserService", "up", "")] == 2
    assert ("UserService",) not in values(CLIENT_CONNECTIONS)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its socket is not closed
def test_a_client_that_is_not_closed_is_collected(server: Server) -> None:
    client = UserServiceClient.connect(server.address, metrics=True)
    client.get(1)
    address = server.address.removeprefix("tcp://")
    assert (address,) in values(CLIENT_CONNECTIONS)
    del client
    gc.collect()
    assert (address,) not in values(CLIENT_CONNECTIONS)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="metrics must be True, False, None or 'instances', got 'all'"):
        UserServiceClient.connect("127.0.0.1:1", metrics="all")  # type: ignore[arg-type]


PROGRAM = """
import sys
from hand_written import Users, UserServiceClient, user_service
from idlrt import Server
from idlrt.observe import PROCESS, Histogram, read_all
from idlrt.observe.catalogue import CLIENT_CALLS, CLIENT_CONNECTS

def count(metric):
    found = [each.values for each in read_all() if each.metric == metric]
    return sum(each.count for each in found[0].values()) if found else 0

with Server(user_service(Users())).start() as server:
    client = UserServiceClient.connect(server.address)
    off = UserServiceClient.connect(server.address, metrics=False)
    client.get(1)
    off.get(1)
    before = count(CLIENT_CALLS)
    PROCESS.enable()
    client.get(1)
    client.get(1)
    off.get(1)
    with UserServiceClient.connect(server.address) as other:
        other.get(1)
    print(before, count(CLIENT_CALLS), count(CLIENT_CONNECTS))
"""


@pytest.mark.parametrize(("environment", "expected"), [({}, "0 3 1"), ({"IDLRT_METRICS": "1"}, "1 4 3")])
def test_clients_measure_once_metrics_are_enabled(environment: dict[str, str], expected: str) -> None:
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (expected, "")


def test_failed_connects_are_counted() -> None:
    from idlrt.observe import PROCESS

    PROCESS.enable()
    before = values(CLIENT_CONNECTS)
    with UserServiceClient.connect(f"127.0.0.1:{free_port()}") as client, pytest.raises(ConnectFailed):
        client.get(1)
    eventually(lambda: added(CLIENT_CONNECTS, before) == {("UserService", "ConnectionRefusedError"): 1})
