"""Health of an endpoint: when it becomes unhealthy, and when it is pinged, in virtual time."""

from __future__ import annotations

import pytest

from idlrt.client.health import Health
from idlrt.errors import ConnectFailed, ConnectionLost, DeadlineExceeded, NotSent, Overloaded, RemoteProtocolError


@pytest.mark.parametrize("error", [ConnectionLost("x"), DeadlineExceeded("x")])
def test_consecutive_failures_make_it_unhealthy(error: Exception) -> None:
    health = Health(failure_threshold=3)
    assert [health.failed(error, 0.0) for _ in range(4)] == [False, False, True, False]
    assert health.is_unhealthy


def test_a_response_resets_the_failures() -> None:
    health = Health(failure_threshold=3)
    for _ in range(5):
        health.failed(ConnectionLost("x"), 0.0)
        health.failed(ConnectionLost("x"), 0.0)
        assert not health.answered(1.0)
    assert not health.is_unhealthy


def test_one_refused_connection_makes_it_unhealthy() -> None:
    health = Health()
    assert health.failed(ConnectFailed("x"), 0.0)
    assert health.is_unhealthy


@pytest.mark.parametrize("error", [Overloaded("x"), NotSent("x"), RemoteProtocolError("x")])
def test_errors_that_say_nothing_about_health(error: Exception) -> None:
    health = Health(failure_threshold=1)
    assert not health.failed(error, 0.0)
    assert not health.is_unhealthy


def test_unhealthy_endpoints_are_pinged_after_growing_pauses() -> None:
    health, now = Health(), 0.0
    health.failed(ConnectFailed("x"), now)
    pauses = []
    for _ in range(15):
        assert not health.is_ping_due(health.pinged_at - 0.001, idle=1.0)
        assert health.is_ping_due(health.pinged_at, idle=1.0)
        pauses.append(health.pinged_at - now)
        now = health.pinged_at
        health.failed(ConnectFailed("x"), now, is_ping=True)
    assert pauses[0] == pytest.approx(0.1)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(5.0)


def test_a_response_makes_it_healthy_and_resets_the_pauses() -> None:
    health = Health()
    for number in range(10):
        health.failed(ConnectFailed("x"), float(number), is_ping=True)
    assert health.answered(100.0)
    assert not health.is_unhealthy
    assert not health.answered(101.0), "it was not out any more"
    health.failed(ConnectFailed("x"), 102.0)
    assert health.pinged_at == pytest.approx(102.1)


def test_calls_that_fail_later_do_not_delay_the_ping() -> None:
    health = Health()
    for _ in range(3):
        health.failed(DeadlineExceeded("x"), 1.0)
    due = health.pinged_at
    for number in range(10):
        assert not health.failed(DeadlineExceeded("x"), 1.0 + number / 100)
    assert health.pinged_at == due


def test_silent_endpoints_are_pinged() -> None:
    health = Health()
    health.answered(10.0)
    assert not health.is_ping_due(10.9, idle=1.0)
    assert health.is_ping_due(11.0, idle=1.0)
    health.pinged_at = 11.0
    assert not health.is_ping_due(11.5, idle=1.0), "it has been asked"
    assert health.is_ping_due(12.0, idle=1.0)
