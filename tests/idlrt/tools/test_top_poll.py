"""Polls of `idlrt monitor top`: restarts, failures, instances that are read twice; and URLs of admin ports."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from by_hand import FOREVER
from eventually import TIMEOUT, eventually

from idlrt.errors import ConfigurationError
from idlrt.net import Address
from idlrt.observe import Histogram, Series, Snapshot
from idlrt.observe.catalogue import SERVER_CALLS
from idlrt.observe.figures import report
from idlrt.tools.instances.admin_url import AdminUrl, is_admin_url
from idlrt.tools.instances.targets import Target
from idlrt.tools.top.cells_page import MetricsUnavailable
from idlrt.tools.top.collector import Collector
from idlrt.tools.top.poll import Poll, Poller, Reading
from idlrt.tools.top.table import Reports

A, B = AdminUrl.parse("http://a:9901"), AdminUrl.parse("http://b:9901")


def snapshot(calls: int, at: float, *, started_at: float = 0.0, **resource: str) -> Snapshot:
    values: Mapping[tuple[str, ...], Any] = {("S.m", "ok", "", ""): Histogram.of([1000] * calls)}
    series = {SERVER_CALLS.name: Series(SERVER_CALLS, values)}
    return Snapshot(at=at, started_at=started_at, resource=resource, series=series)


class Instances:
    """Instances whose metrics a test sets; a text is the reason of a failure."""

    def __init__(self, **found: Snapshot | str) -> None:
        self.found = found

    def read(self, url: AdminUrl) -> Snapshot:
        found = self.found[url.address.host]
        if isinstance(found, str):
            raise MetricsUnavailable(found)
        return found

    def targets(self) -> list[Target]:
        return [Target("", AdminUrl(Address(host, 9901))) for host in self.found]


def poller(instances: Instances) -> Poller:
    return Poller(instances.targets, instances.read, timeout=TIMEOUT, now=lambda: 5.0)


def pv(snapshots: list[Snapshot]) -> int:
    return report(snapshots).total.pv


def only(poll: Poll) -> Reading:
    (found,) = poll.readings
    return found


def test_the_second_poll_has_what_was_added() -> None:
    instances = Instances(a=snapshot(10, 1.0, instance="a:1"))
    polling = poller(instances)
    first = polling.poll()
    assert (first.at, first.up, pv(first.totals), first.added) == (5.0, 1, 10, [])
    instances.found["a"] = snapshot(25, 3.0, instance="a:1")
    second = polling.poll()
    assert (pv(second.totals), pv(second.added)) == (25, 15)
    assert report(second.added).total.qps == 7.5


def test_after_a_restart_everything_is_new() -> None:
    instances = Instances(a=snapshot(100, 10.0, instance="a:1"))
    polling = poller(instances)
    polling.poll()
    instances.found["a"] = snapshot(6, 14.0, started_at=12.0, instance="a:1")
    found = report(polling.poll().added).total
    assert (found.pv, found.qps) == (6, 3.0)


def test_a_failed_poll_costs_resolution_and_no_calls() -> None:
    instances = Instances(a=snapshot(10, 1.0, instance="a:1"), b=snapshot(1, 1.0, instance="b:1"))
    polling = poller(instances)
    polling.poll()
    instances.found |= {"a": "connection refused", "b": snapshot(3, 2.0, instance="b:1")}
    second = polling.poll()
    assert [(each.name, each.error) for each in second.readings] == [("a:1", "connection refused"), ("b:1", "")]
    assert (second.up, pv(second.totals), pv(second.added)) == (1, 13, 2)
    instances.found["a"] = snapshot(30, 5.0, instance="a:1")
    third = polling.poll()
    assert (third.up, pv(third.totals)) == (2, 33)
    assert report(third.added, where={"instance": "a:1"}).total.qps == 5.0, "20 calls in 4 seconds"


def test_any_failure_is_one_of_its_instance() -> None:
    class Odd(Instances):
        def read(self, url: AdminUrl) -> Snapshot:
            if url == B:
                raise ZeroDivisionError("odd")
            return super().read(url)

    found = poller(Odd(a=snapshot(1, 1.0), b="")).poll().readings
    assert [(each.name, each.error) for each in found] == [("a:9901", ""), ("b:9901", "ZeroDivisionError: odd")]


def test_an_instance_that_is_read_twice_counts_once() -> None:
    twice = snapshot(5, 1.0, started_at=0.25, instance="x:1", host="h")
    found = poller(Instances(a=twice, b=twice)).poll()
    assert [(each.name, each.error) for each in found.readings] == [
        ("http://b:9901", "the same instance as http://a:9901"),
        ("x:1", ""),
    ]
    assert pv(found.totals) == 5


def test_equal_names_become_different_ones() -> None:
    first, second = snapshot(1, 1.0, instance="127.0.0.1:9090"), snapshot(2, 1.0, started_at=0.5)
    second = Snapshot(at=1.0, started_at=0.5, resource=first.resource, series=second.series)
    found = poller(Instances(a=first, b=second)).poll()
    assert [each.name for each in found.readings] == [
        "127.0.0.1:9090 (http://a:9901)",
        "127.0.0.1:9090 (http://b:9901)",
    ]
    rows = report(found.totals, by=("instance",)).rows
    assert {each.labels["instance"]: each.pv for each in rows} == {
        "127.0.0.1:9090 (http://a:9901)": 1,
        "127.0.0.1:9090 (http://b:9901)": 2,
    }


def test_an_instance_on_all_interfaces_has_the_name_of_its_host() -> None:
    found = poller(Instances(a=snapshot(1, 1.0, instance=":9090", host="web-1"))).poll()
    assert only(found).name == "web-1:9090"


def test_an_instance_without_admin_port_is_listed_with_the_reason() -> None:
    targets = [Target("10.0.0.7:9090", None, "it announces no admin port"), Target("mine", A)]
    found = Poller(lambda: targets, Instances(a=snapshot(1, 1.0, instance="a:1")).read, timeout=TIMEOUT).poll()
    assert [(each.name, each.url, each.error) for each in found.readings] == [
        ("10.0.0.7:9090", "", "it announces no admin port"),
        ("mine", "http://a:9901", ""),
    ]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    found = threading.Event()
    yield found
    found.set()


def test_an_instance_that_hangs_delays_the_others_by_the_timeout_only(gate: threading.Event) -> None:
    class Hanging(Instances):
        def read(self, url: AdminUrl) -> Snapshot:
            if url == B:
                assert gate.wait(FOREVER)
            return super().read(url)

    instances = Hanging(a=snapshot(1, 1.0, instance="a:1"), b=snapshot(1, 1.0, instance="b:1"))
    polling = Poller(instances.targets, instances.read, timeout=0.05)
    eventually(lambda: polling.poll().up == 1, "the other one is read")
    found = polling.poll()
    assert [each.error for each in found.readings if each.name == "b:9901"] == ["no response within 0.05 s"]
    gate.set()
    eventually(lambda: polling.poll().up == 2, "it responds again")


def test_polls_go_on_in_the_background_until_the_end() -> None:
    polls: list[int] = []
    instances = Instances(a=snapshot(1, 1.0))

    class Counting(Poller):
        def poll(self) -> Poll:
            polls.append(1)
            return super().poll()

    polling = Counting(instances.targets, instances.read, timeout=TIMEOUT)
    first = Reports(polling.poll())
    with Collector(polling, first, FOREVER) as collector:
        assert collector.latest is first
        collector.interval = 0.001
        eventually(lambda: len(polls) > 3, "a shorter interval takes effect at once")
        assert collector.interval == 0.001
        eventually(lambda: collector.latest is not first)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("9901", "http://127.0.0.1:9901"),
        ("web-1:9901", "http://web-1:9901"),
        ("HTTP://10.0.0.7:9901/", "http://10.0.0.7:9901"),
        ("http://10.0.0.7", "http://10.0.0.7:80"),
        ("https://web-1", "https://web-1:443"),
        ("https://[::1]", "https://[::1]:443"),
        ("https://[::1]:9/a/b/", "https://[::1]:9/a/b"),
        ("unix:/run/admin.sock", "unix:/run/admin.sock"),
    ],
)
def test_urls_of_admin_ports(text: str, url: str) -> None:
    assert is_admin_url(text)
    assert str(AdminUrl.parse(text)) == url
    assert AdminUrl.parse(url) == AdminUrl.parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://a:1", "unknown scheme 'ftp'"),
        ("a:99999", "port must be at most 65535"),
        ("a", "missing port"),
        (":9901", "expected http://host:port"),
        ("a:0", "expected http://host:port"),
        ("http://a:1?x=1", "expected http://host:port"),
        ("::1", "IPv6 addresses require brackets"),
        ("a b:1", "printable ASCII"),
        ("http://me:secret@a:1", "must not contain a user; use --token"),
        ("unix:", "expected unix:/path"),
    ],
)
def test_invalid_urls(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        AdminUrl.parse(text)
    assert "secret" not in str(caught.value)


def test_other_schemes_are_those_of_registries() -> None:
    assert not is_admin_url("embedded://127.0.0.1:7400/UserService")
    assert not is_admin_url("zookeeper://a:1/x")
