"""`failover`: what is retried, where, when and how often. In virtual time."""

from __future__ import annotations

import math

import pytest
from trial import START, Trial, notes

from idlrt.core import Backoff, NotRetried, Retrying
from idlrt.errors import (
    ApplicationError,
    CircuitOpen,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    NoInstance,
    NotSent,
    Overloaded,
    RemoteProtocolError,
)
from idlrt.spec import DeclaredError
from idlrt.testing.scripted_dispatcher import GET, PUT, Reply


class Declared(DeclaredError):
    pass


@pytest.mark.parametrize("error", [ConnectFailed, Overloaded, CircuitOpen, NotSent])
def test_an_unsent_call_is_retried_on_another_instance(error: type[NotSent]) -> None:
    trial = Trial("failover", error, "answer")
    assert trial.call(PUT) == "answer"
    assert trial.asked == "12"
    assert [each.attempt for each in trial.dispatcher.sent] == [0, 1]


@pytest.mark.parametrize("error", [ConnectionLost, DeadlineExceeded])
def test_what_may_have_been_worked_on_is_made_again_if_it_is_idempotent(error: type[Exception]) -> None:
    assert Trial("failover", error, "answer").call(GET) == "answer"
    trial = Trial("failover", error, "answer")
    failed = trial.call(PUT)
    assert type(failed) is error
    assert trial.asked == "1"
    assert "Check.put is not idempotent" in notes(failed)
    assert "not idempotent" in trial.dispatcher.decisions_of(NotRetried)[0].why


def test_the_caller_knows_better_than_the_idl() -> None:
    assert Trial("failover", ConnectionLost, "answer").call(PUT, idempotent=True) == "answer"
    assert isinstance(Trial("failover", ConnectionLost, "answer").call(GET, idempotent=False), ConnectionLost)


@pytest.mark.parametrize(
    "error", [Declared, ApplicationError("no"), RemoteProtocolError, ValueError, KeyboardInterrupt]
)
def test_answers_are_not_retried(error: type[BaseException] | ApplicationError) -> None:
    trial = Trial("failover", error, "answer")
    assert isinstance(trial.call(), BaseException)
    assert trial.asked == "1"


def test_there_is_an_end_to_retries() -> None:
    trial = Trial("failover", *[DeadlineExceeded] * 9)
    failed = trial.call(retries=4)
    assert trial.asked == "12345"
    assert "all retries used (4 of 4)" in notes(failed)
    assert "4 earlier attempts: tcp://10.0.0.1:9090, tcp://10.0.0.2:9090" in notes(failed)
    assert trial.dispatcher.spent == 4


def test_without_retries_there_are_none() -> None:
    for error in (ConnectFailed, ConnectionLost, Overloaded):
        trial = Trial("failover", error, "answer")
        assert isinstance(trial.call(retries=0), error)
        assert trial.asked == "1"


def test_an_only_instance_is_asked_again() -> None:
    trial = Trial("failover", [ConnectionLost, "answer"])
    assert trial.call() == "answer"
    assert trial.asked == "11"


def test_retries_start_over_after_all_instances_were_tried() -> None:
    trial = Trial("failover", *[DeadlineExceeded] * 2)
    trial.call(retries=4)
    assert trial.asked == "12121"


# Failures that cost no retry.


def test_an_unreachable_instance_costs_no_retry_no_pause_and_no_budget() -> None:
    trial = Trial("failover", *[ConnectFailed] * 7, "answer", budget=0)
    assert trial.call(retries=1) == "answer"
    assert trial.asked == "12345678"
    assert set(trial.pauses) == {0.0}
    assert trial.driver.now() == pytest.approx(START + 0.008)


def test_even_that_ends() -> None:
    trial = Trial("failover", *[ConnectFailed] * 30, budget=0)
    assert isinstance(trial.call(retries=1), ConnectFailed)
    assert len(trial.dispatcher.sent) == 10
    trial = Trial("failover", *[ConnectFailed] * 30)
    assert isinstance(trial.call(retries=3), ConnectFailed)
    assert len(trial.dispatcher.sent) == 13


def test_without_untried_instances_connect_failures_are_ordinary_retries() -> None:
    trial = Trial("failover", ConnectFailed, [ConnectFailed, "answer"])
    assert trial.call() == "answer"
    assert trial.asked == "1212"
    assert trial.pauses == [0.0, 0.025, 0.0]
    assert trial.dispatcher.spent == 1
    trial = Trial("failover", ConnectFailed, ConnectFailed, budget=0)
    assert "retry budget exhausted" in notes(trial.call())
    assert trial.asked == "12"


def test_an_only_instance_that_cannot_be_reached_may_be_back_in_a_moment() -> None:
    trial = Trial("failover", [ConnectFailed, ConnectFailed, "answer"])
    assert trial.call(PUT) == "answer"
    assert trial.pauses == pytest.approx([0.025, 0.05])


def test_no_instance_is_called_after_the_deadline() -> None:
    trial = Trial("failover", Reply(ConnectFailed, 5.0), "answer")
    failed = trial.call(timeout=5.0)
    assert isinstance(failed, ConnectFailed)
    assert trial.asked == "1"
    assert "deadline exceeded" in notes(failed)


# Pauses.


def test_pauses_grow() -> None:
    trial = Trial("failover", *[DeadlineExceeded] * 9)
    trial.call(retries=7)
    assert trial.pauses == pytest.approx([0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0])
    begun = [each.at - START for each in trial.dispatcher.sent]
    assert begun[1:3] == pytest.approx([0.026, 0.077])


@pytest.mark.parametrize(("rng", "factor"), [(0.0, 0.8), (0.25, 0.9), (0.999999, 1.2)])
def test_pauses_differ(rng: float, factor: float) -> None:
    trial = Trial("failover", *[DeadlineExceeded] * 9, rng=rng)
    trial.call(retries=2, backoff=Backoff(base_delay=0.1, multiplier=3))
    assert trial.pauses == pytest.approx([0.1 * factor, 0.3 * factor], rel=1e-4)


def test_a_lost_connection_is_left_without_a_pause_once() -> None:
    trial = Trial("failover", *[ConnectionLost] * 9)
    trial.call(retries=3)
    assert trial.pauses == pytest.approx([0.0, 0.05, 0.1])


def test_a_server_is_left_alone_for_as_long_as_it_wants() -> None:
    trial = Trial("failover", Overloaded("busy").push_back(1.5), ConnectionLost("lost").push_back(0.3), "answer")
    assert trial.call() == "answer"
    assert trial.pauses == [1.5, 0.3]


def test_a_server_that_does_not_want_it_again_does_not_get_it() -> None:
    trial = Trial("failover", Overloaded("busy").push_back(math.inf), "answer")
    failed = trial.call()
    assert "the server rejects retries (pushback)" in notes(failed)
    assert trial.asked == "1"
    assert trial.driver.now() < START + 0.1


def test_no_pause_is_longer_than_the_time_that_is_left() -> None:
    trial = Trial("failover", Overloaded("busy").push_back(4.9995), "answer")
    assert "deadline too close for a pause of 5 s" in notes(trial.call(timeout=5.0))
    assert trial.driver.now() < START + 0.1
    assert trial.dispatcher.spent == 0


# What adds up.


def test_retries_come_out_of_a_budget() -> None:
    trial = Trial("failover", *[Overloaded] * 9, budget=1)
    failed = trial.call(retries=5)
    assert trial.asked == "12"
    assert "retry budget exhausted" in notes(failed)


def test_a_call_for_a_retry_is_not_retried() -> None:
    for attempt, asked in ((1, "1"), (0, "12")):
        trial = Trial("failover", ConnectionLost, "answer")
        trial.call(attempt=attempt)
        assert trial.asked == asked
    trial = Trial("failover", ConnectionLost, "answer")
    assert trial.call(attempt=1, chain_stop=False) == "answer"
    trial = Trial("failover", ConnectFailed, "answer")
    assert trial.call(attempt=1) == "answer", "what nobody has seen is no second call"


def test_an_attempt_has_its_own_end() -> None:
    trial = Trial("failover", Reply("late", 3.0), "answer")
    assert trial.call(attempt_timeout=0.5) == "answer"
    assert trial.driver.now() == pytest.approx(START + 0.5 + 0.025 + 0.001)


def test_failover_without_instances_raises_no_instance() -> None:
    trial = Trial("failover")
    assert isinstance(trial.call(), NoInstance)


def test_a_retry_emits_an_event() -> None:
    trial = Trial("failover", ConnectionLost("lost"), "answer")
    trial.call()
    assert trial.dispatcher.decisions_of(Retrying) == [
        Retrying(subject="Check.get", why="lost", mode="failover", pause=0.0)
    ]
