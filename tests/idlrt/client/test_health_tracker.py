"""Health of the endpoints of a cluster, by the outcomes of calls, in virtual time."""

from __future__ import annotations

import contextlib
import logging

import pytest
from virtual_cluster import PUT, VirtualCluster, instances

from idlrt.core import BreakerChanged, Decision, Ejected, Picked, Restored
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    CircuitOpen,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    NoInstance,
    Overloaded,
)

BREAKER = {
    "instance_breaker": {
        "minimum_throughput": 10,
        "failure_ratio": 0.5,
        "break_duration": 5.0,
        "probe_interval": 0.2,
        "success_threshold": 2,
    },
    "failure_threshold": 1000,
    "fault": "failfast",
    "balancer": "round_robin",
    "ejection": {"consecutive_failures": 0, "success_rate_stdev_factor": 0, "failure_ratio": 0},
}


def lost() -> Exception:
    return ConnectionLost("gone")


def broken() -> Exception:
    return ApplicationError("broken", ApplicationCode.INTERNAL_ERROR)


def changes(heard: list[Decision]) -> list[tuple[str, str]]:
    return [(each.before, each.after) for each in heard if isinstance(each, BreakerChanged)]


def test_an_open_breaker_rejects_calls_and_probes_later() -> None:
    things = VirtualCluster(*instances(3), policy=BREAKER)
    things.make()
    bad = things.transports["10.0.0.1:9090"]
    bad.error = lost
    own: list[Decision] = []
    for _ in range(60):
        with contextlib.suppress(ConnectionLost):
            things.make(PUT, own.append)
    assert changes(things.heard) == [("closed", "open")]
    assert changes(own) == [("closed", "open")], "the call that it is about hears of it, too"
    seen = len(bad.calls)
    assert seen < 20
    for _ in range(30):
        things.make()
    assert len(bad.calls) == seen, "it is left alone"

    things.driver.advance(5.0)
    with contextlib.suppress(ConnectionLost):
        for _ in range(6):
            things.make()
    assert len(bad.calls) == seen + 1, "one probe"
    assert changes(things.heard)[1:] == [("open", "half-open"), ("half-open", "open")]

    bad.error = None
    things.driver.advance(10.0)  # twice as long
    for _ in range(6):
        things.make()
    things.driver.advance(0.2)
    for _ in range(6):
        things.make()
    assert changes(things.heard)[3:] == [("open", "half-open"), ("half-open", "closed")]
    before = things.counts()
    for _ in range(30):
        things.make()
    assert [now - old for now, old in zip(things.counts(), before, strict=True)] == [10, 10, 10]


def test_failfast_avoids_open_breakers() -> None:
    things = VirtualCluster(*instances(2), policy=BREAKER)
    things.make()
    bad = things.transports["10.0.0.0:9090"]
    bad.error = lost
    for _ in range(40):
        with contextlib.suppress(ConnectionLost):
            things.make()
    things.driver.advance(5.0)
    bad.error = None
    for _ in range(20):
        things.make()  # one of them is the probe; the others go elsewhere until the next one may be
    assert ("half-open", "closed") not in changes(things.heard)


def test_an_instance_whose_return_was_interrupted_is_back_after_the_next_sweep() -> None:
    things = VirtualCluster(*instances(3), policy={"ejection.interval": 10.0})
    things.make()
    endpoint = things.cluster.endpoints[0]
    endpoint.is_unhealthy = True  # as if an exception of a signal handler had come before this could be corrected
    things.driver.advance(10.0)
    things.make()
    assert not endpoint.is_unhealthy


def test_a_probe_that_was_interrupted_is_not_waited_for() -> None:
    things = VirtualCluster(*instances(3), policy=BREAKER)
    things.make()
    bad = things.transports["10.0.0.1:9090"]
    bad.error = lost
    for _ in range(60):
        with contextlib.suppress(ConnectionLost):
            things.make()
    bad.error = None
    endpoint = next(each for each in things.cluster.endpoints if each.instance is bad.instance)
    things.driver.advance(5.0)
    permit = endpoint.breaker.allows(things.driver.now())
    assert permit
    del permit
    for _ in range(2):
        things.driver.advance(1.0)
        for _ in range(6):
            things.make()
    assert changes(things.heard)[-1] == ("half-open", "closed")


def test_open_breakers_are_ignored_in_a_panic() -> None:
    things = VirtualCluster(*instances(3), policy=BREAKER)
    things.make()
    for transport in things.transports.values():
        transport.error = lost
    for _ in range(100):
        with contextlib.suppress(ConnectionLost):
            things.make()
    for transport in things.transports.values():
        transport.error = None
    for _ in range(30):
        things.make()  # all are healthy again, and calls need not wait until the breakers close


def test_the_only_instance_with_an_open_breaker_without_panic() -> None:
    things = VirtualCluster(*instances(1), policy={**BREAKER, "panic_threshold": 0})
    things.make()
    things.transports["10.0.0.0:9090"].error = lost
    for _ in range(30):
        with contextlib.suppress(ConnectionLost, CircuitOpen):
            things.make()
    with pytest.raises(CircuitOpen, match=r"circuit breaker is open: .*; opened .* ago, next probe in"):
        things.make()


def test_overload_opens_no_breaker_and_ejects_no_instance() -> None:
    things = VirtualCluster(*instances(2), policy=BREAKER)
    things.make()
    things.transports["10.0.0.0:9090"].error = lambda: Overloaded("full")
    for _ in range(100):
        with contextlib.suppress(Overloaded):
            things.make()
    assert [each for each in things.heard if isinstance(each, BreakerChanged | Ejected)] == []


def test_repeated_internal_errors_eject_an_instance() -> None:
    things = VirtualCluster(*instances(5), policy={"balancer": "round_robin", "fault": "failfast"})
    things.make()
    bad = things.transports["10.0.0.2:9090"]
    bad.error = broken
    own: list[Decision] = []
    for _ in range(40):
        with contextlib.suppress(ApplicationError):
            things.make(PUT, own.append)
    [ejected] = [each for each in things.heard if isinstance(each, Ejected)]
    assert (ejected.subject, ejected.seconds) == ("10.0.0.2:9090", pytest.approx(30.0))
    assert ejected in own
    assert len(bad.calls) == 5
    bad.error = None
    for _ in range(41):
        things.driver.advance(1.0)
        things.make()
    assert [each.subject for each in things.heard if isinstance(each, Restored)] == ["10.0.0.2:9090"]
    assert len(bad.calls) > 5


def test_timeouts_count_for_ejection_and_lost_connections_do_not() -> None:
    for error, expected in ((lambda: DeadlineExceeded("slow"), True), (lost, False)):
        things = VirtualCluster(
            *instances(5), policy={"balancer": "round_robin", "fault": "failfast", "failure_threshold": 1000}
        )
        things.make()
        things.transports["10.0.0.2:9090"].error = error
        for _ in range(40):
            with contextlib.suppress(DeadlineExceeded, ConnectionLost):
                things.make()
        found = [each for each in things.heard if isinstance(each, Ejected)]
        assert bool(found) is expected


def test_at_most_a_tenth_but_at_least_one_is_ejected() -> None:
    for count, most in ((3, 1), (30, 3)):
        things = VirtualCluster(*instances(count), policy={"balancer": "round_robin", "fault": "failfast"})
        things.make()
        for transport in things.transports.values():
            transport.error = broken
        for _ in range(count * 20):
            with contextlib.suppress(ApplicationError):
                things.make()
        assert len([each for each in things.heard if isinstance(each, Ejected)]) == most


def test_a_refused_connection_makes_an_instance_unhealthy_until_a_ping() -> None:
    things = VirtualCluster(*instances(3), policy={"balancer": "round_robin"})
    things.make()
    bad = things.transports["10.0.0.1:9090"]
    bad.error = lambda: ConnectFailed("nobody there")
    for _ in range(30):
        things.make()
    assert len(bad.calls) == 1
    assert things.unavailable == {bad.instance.id}
    [endpoint] = [each for each in things.cluster.endpoints if each.instance is bad.instance]
    things.cluster.answered(endpoint, things.driver.now())
    assert things.unavailable == set()
    bad.error = None
    for _ in range(9):
        things.make()
    assert len(bad.calls) == 4


def test_changes_of_health_are_logged_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    things = VirtualCluster(*instances(3), policy={"balancer": "round_robin"})
    bad = things.transports["10.0.0.1:9090"]
    bad.error = lambda: ConnectFailed("connection\nrefused")
    with caplog.at_level(logging.INFO, "idlrt.client"):
        for _ in range(9):
            things.make()
        [endpoint] = [each for each in things.cluster.endpoints if each.instance is bad.instance]
        things.cluster.answered(endpoint, things.driver.now())
    down, up = [each for each in caplog.records if each.getMessage().startswith("marking ")]
    assert down.getMessage().startswith("marking tcp://10.0.0.1:9090 of ")
    assert down.getMessage().endswith(r" unhealthy: connection\nrefused")
    assert up.getMessage().endswith(" healthy: it responded to a ping")
    fields = [(vars(each)["instance"], vars(each)["reason"]) for each in (down, up)]
    assert fields == [("10.0.0.1:9090", r"connection\nrefused"), ("10.0.0.1:9090", "it responded to a ping")]
    assert vars(down)["service"] in down.getMessage()


def test_all_are_called_when_less_than_half_are_healthy() -> None:
    things = VirtualCluster(*instances(4), policy={"balancer": "round_robin", "fault": "failfast"})
    things.make()
    for id in ("10.0.0.0:9090", "10.0.0.1:9090", "10.0.0.2:9090"):
        things.transports[id].error = lambda: ConnectFailed("nobody there")
    refused = 0
    for _ in range(40):
        try:
            things.make()
        except ConnectFailed:
            refused += 1
    assert refused > 20


def test_the_weight_of_new_instances_grows() -> None:
    old = instances(1)
    fresh = [each for each in instances(2, started_at=1_700_000_000.0) if each.host == "10.0.0.1"]
    things = VirtualCluster(*old, *fresh, policy={"warm_up": 100.0, "balancer": "weighted_round_robin"})

    def share() -> float:
        before = things.counts() or [0, 0]
        for _ in range(110):
            things.make()
        counted = [now - old for now, old in zip(things.counts(), before, strict=True)]
        return counted[1] / sum(counted)

    shares = [share()]
    for _ in range(3):
        things.driver.advance(40.0)
        shares.append(share())
    assert shares == sorted(shares)
    assert shares[0] < 0.15
    assert shares[-1] == pytest.approx(0.5, abs=0.02)


def test_changed_rules_apply_to_the_next_call() -> None:
    things = VirtualCluster(*instances(2, tags={"disk": "ssd"}), *instances(4)[2:], policy={"balancer": "round_robin"})
    things.make()
    things.subscription.tell(
        things.subscription.snapshot.instances if things.subscription.snapshot is not None else (),
        {"routes": '[{"to": "tags.disk = ssd"}]'},
    )
    things.heard.clear()
    things.make()
    assert [each.among for each in things.heard if isinstance(each, Picked)] == [2]
    things.subscription.tell((), {})
    with pytest.raises(NoInstance, match="none is registered"):
        things.make()


def test_many_simultaneous_failures_rebuild_the_pool_only_a_few_times() -> None:
    things = VirtualCluster(*instances(100))
    things.make()

    def among() -> int:
        """Instances that the balancer chooses from."""
        things.heard.clear()
        things.cluster.pick(things.call(), ())
        return [each.among for each in things.heard if isinstance(each, Picked)][-1]

    found = []
    for endpoint in things.cluster.endpoints[:30]:
        things.cluster.failed(endpoint, ConnectFailed("gone"), things.driver.now())
        found.append(among())
    assert found == [99] * 30
    assert len(things.unavailable) == 30
    things.driver.advance(0.02)
    things.make()
    assert among() == 70
