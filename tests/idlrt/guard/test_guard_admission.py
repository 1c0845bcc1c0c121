"""Client-side admission control."""

from __future__ import annotations

import asyncio

import pytest
from guarded import Guarded
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import Rejected
from idlrt.errors import (
    ApplicationError,
    CircuitOpen,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    NoInstance,
    Overloaded,
)
from idlrt.guard.admission import Admission, AdmissionSettings
from idlrt.testing.guards import PUT

BUSY = Overloaded("busy")


@given(st.integers(0, 300), st.integers(0, 300), st.floats(1, 3), st.integers(0, 10))
def test_the_probability_is_that_of_the_sre_book(accepts: int, rejects: int, k: float, protection: int) -> None:
    account = Admission(AdmissionSettings(k=k, protection=protection))
    for _ in range(accepts):
        account.accepted(0.0)
    for _ in range(rejects):
        account.rejected(0.0)
    requests = accepts + rejects
    expected = max(0, (requests - protection - k * accepts) / (requests + 1))
    assert account.probability(0.0) == pytest.approx(expected)
    assert 0 <= account.probability(0.0) < 1


def test_no_call_is_rejected_while_servers_accept_two_of_three() -> None:
    guarded = Guarded("admission")
    for number in range(3000):
        guarded.advance(0.001)
        guarded.run(BUSY if number % 3 == 0 else "answer")
    assert guarded.reached == 3000


def test_few_failures_cause_no_rejection() -> None:
    guarded = Guarded("admission")
    for _ in range(5):
        guarded.run(BUSY)
    assert guarded.reached == 5


def test_rejections_of_servers_raise_the_probability() -> None:
    guarded = Guarded("admission")
    for _ in range(10_000):
        guarded.advance(0.001)
        guarded.run(BUSY)
    assert guarded.reached < 200, "of 10000 hardly any"
    refused = guarded.told[-1]
    assert isinstance(refused, Rejected)
    assert (refused.subject, refused.guard) == ("Check.get", "admission")


def test_clients_send_little_more_than_servers_accept() -> None:
    # A server that takes 100 calls a second, and a client that wants 1000: it makes about k times what is accepted.
    guarded = Guarded("admission")
    accepted = 0
    for number in range(30_000):
        guarded.advance(0.001)
        if number % 1000 == 0:
            room = 100
        before = guarded.reached
        found = guarded.run("answer" if room else BUSY)
        if guarded.reached > before and found == "answer":
            room -= 1
            accepted += 1
    assert accepted == 3000, "the server has all it can do"
    assert guarded.reached < 2 * accepted


def test_one_call_per_interval_is_always_let_through() -> None:
    guarded = Guarded("admission", seed=3)
    for _ in range(2000):
        guarded.run(BUSY)
    guarded.reached = 0
    for _ in range(100):
        guarded.advance(1.0)
        guarded.run(BUSY)
    assert guarded.reached == 100


def test_it_recovers_after_the_window() -> None:
    guarded = Guarded("admission")
    for _ in range(1000):
        guarded.run(BUSY)
    guarded.advance(10.3)
    guarded.reached = 0
    for _ in range(100):
        assert guarded.run() == "answer"


def refuses_after(error: BaseException) -> bool:
    guarded = Guarded("admission")
    for _ in range(500):
        guarded.run(error)
    return guarded.reached < 500


@pytest.mark.parametrize(
    "error", [BUSY, DeadlineExceeded("late"), ConnectFailed("no"), ConnectionLost("lost")], ids=repr
)
def test_errors_that_count_as_rejections(error: Exception) -> None:
    assert refuses_after(error)


@pytest.mark.parametrize(
    "error",
    [ApplicationError("no"), ValueError("odd"), NoInstance("none"), CircuitOpen("open"), asyncio.CancelledError()],
    ids=repr,
)
def test_errors_that_do_not_count_as_rejections(error: BaseException) -> None:
    assert not refuses_after(error)


@pytest.mark.parametrize(("per", "is_refused"), [("service", True), ("method", False)])
def test_scope_is_service_or_method(per: str, is_refused: bool) -> None:
    guarded = Guarded("admission", per=per)
    for _ in range(500):
        guarded.run(BUSY)
    before = guarded.reached
    for _ in range(10):
        other = guarded.on_server()
        other.method = PUT
        guarded.run(call=other)
    assert (guarded.reached - before < 10) is is_refused
