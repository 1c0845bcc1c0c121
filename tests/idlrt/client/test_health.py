"""When an instance is called no more, and when it is asked again: in virtual time."""

from __future__ import annotations

import pytest

from idlrt.client.health import Health
from idlrt.errors import ConnectFailed, ConnectionLost, DeadlineExceeded, NotSent, Overloaded, RemoteProtocolError


@pytest.mark.parametrize("error", [ConnectionLost("x"), DeadlineExceeded("x")])
def test_failures_in_a_row(error: Exception) -> None:
    health = Health(tolerated=3)
    assert [health.failed(error, 0.0) for _ in range(4)] == [False, False, True, False]
    assert health.is_out


def test_an_answer_in_between_begins_anew() -> None:
    health = Health(tolerated=3)
    for _ in range(5):
        health.failed(ConnectionLost("x"), 0.0)
        health.failed(ConnectionLost("x"), 0.0)
        assert not health.answered(1.0)
    assert not health.is_out


def test_a_refused_connection_is_enough() -> None:
    health = Health()
    assert health.failed(ConnectFailed("x"), 0.0)
    assert health.is_out


@pytest.mark.parametrize("error", [Overloaded("x"), NotSent("x"), RemoteProtocolError("x")])
def test_what_says_nothing_about_its_life(error: Exception) -> None:
    health = Health(tolerated=1)
    assert not health.failed(error, 0.0)
    assert not health.is_out


def test_who_is_out_is_asked_after_pauses_that_grow() -> None:
    health, now = Health(), 0.0
    health.failed(ConnectFailed("x"), now)
    pauses = []
    for _ in range(15):
        assert not health.is_ping_due(health.asked_at - 0.001, idle=1.0)
        assert health.is_ping_due(health.asked_at, idle=1.0)
        pauses.append(health.asked_at - now)
        now = health.asked_at
        health.failed(ConnectFailed("x"), now, is_ping=True)
    assert pauses[0] == pytest.approx(0.1)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(5.0)


def test_an_answer_brings_it_back_and_shortens_the_pauses() -> None:
    health = Health()
    for number in range(10):
        health.failed(ConnectFailed("x"), float(number), is_ping=True)
    assert health.answered(100.0)
    assert not health.is_out
    assert not health.answered(101.0), "it was not out any more"
    health.failed(ConnectFailed("x"), 102.0)
    assert health.asked_at == pytest.approx(102.1)


def test_calls_that_end_after_it_was_out_do_not_put_off_its_ping() -> None:
    health = Health()
    for _ in range(3):
        health.failed(DeadlineExceeded("x"), 1.0)
    due = health.asked_at
    for number in range(10):
        assert not health.failed(DeadlineExceeded("x"), 1.0 + number / 100)
    assert health.asked_at == due


def test_who_is_silent_is_asked() -> None:
    health = Health()
    health.answered(10.0)
    assert not health.is_ping_due(10.9, idle=1.0)
    assert health.is_ping_due(11.0, idle=1.0)
    health.asked_at = 11.0
    assert not health.is_ping_due(11.5, idle=1.0), "it has been asked"
    assert health.is_ping_due(12.0, idle=1.0)
