"""`forking`, `broadcast`, `available`, `failsafe` and `failfast`. In virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from trial import START, Trial, notes

from idlrt.core import FallbackUsed
from idlrt.errors import (
    ApplicationError,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    NoInstance,
    Overloaded,
)
from idlrt.spec import DeclaredError
from idlrt.testing.scripted_dispatcher import GET, NOTE, PUT, Reply


class Declared(DeclaredError):
    pass


# forking


def test_some_are_asked_at_once_and_the_quickest_counts() -> None:
    trial = Trial("forking", Reply("slow", 2.0), Reply("quick", 0.5), Reply("never asked", 0.0))
    assert trial.call() == "quick"
    assert trial.asked == "12"
    assert [each.at for each in trial.dispatcher.sent] == [START, START]
    assert trial.driver.now() == START + 0.5
    assert trial.dispatcher.sent[0].is_over, "who has lost is told to stop"


@pytest.mark.parametrize(("forks", "asked"), [(1, "1"), (2, "12"), (3, "123"), (9, "1234")])
def test_forks_sets_the_number_of_instances_called(forks: int, asked: str) -> None:
    trial = Trial("forking", "a", "b", "c", "d", forks=forks)
    assert trial.call() == "a"
    assert trial.asked == asked


def test_a_failed_fork_does_not_end_the_call() -> None:
    trial = Trial("forking", Reply(ConnectionLost, 0.1), Reply("answer", 3.0))
    assert trial.call() == "answer"


def test_the_error_is_that_of_the_last_to_fail() -> None:
    trial = Trial("forking", Reply(ConnectionLost, 0.3), Reply(ConnectFailed, 0.2))
    assert isinstance(trial.call(), ConnectionLost)
    assert trial.asked == "12", "nothing is retried"


@pytest.mark.parametrize("answer", [Declared, ApplicationError("no"), ValueError])
def test_an_error_that_is_an_answer_ends_it(answer: Any) -> None:
    trial = Trial("forking", Reply("answer", 2.0), Reply(answer, 0.1))
    assert isinstance(trial.call(), type(answer) if isinstance(answer, Exception) else answer)
    assert trial.driver.now() == START + 0.1


def test_what_must_be_done_once_is_asked_of_one() -> None:
    trial = Trial("forking", "a", "b")
    assert trial.call(PUT) == "a"
    assert trial.asked == "1"
    assert trial.call(PUT, idempotent=True) == "a"
    assert trial.asked == "112"


# broadcast


def test_all_are_asked_once_each() -> None:
    trial = Trial("broadcast", *[Reply(str(number), 1.0) for number in range(9)])
    assert trial.call() == "0"
    assert trial.asked == "123456789"
    assert trial.driver.now() == START + 1.0, "at the same time"


def test_broadcast_limits_concurrency() -> None:
    trial = Trial("broadcast", *[Reply(None, 0.1)] * 40, max_concurrency=10)
    trial.call(timeout=60.0)
    assert [round(each.at - START, 3) for each in trial.dispatcher.sent] == [0.0] * 10 + [0.1] * 10 + [0.2] * 10 + [
        0.3
    ] * 10


def test_one_failure_is_a_failure() -> None:
    trial = Trial("broadcast", "a", ConnectFailed, "c")
    failed = trial.call()
    assert isinstance(failed, ConnectFailed)
    assert "1 of 3 instances failed: 10.0.0.2:9090" in notes(failed)
    assert trial.asked == "123", "nobody is left out because of it"


@pytest.mark.parametrize(
    ("percent", "bad", "fails"),
    [(0.0, 1, True), (50.0, 1, False), (50.0, 2, True), (100.0, 3, False), (100.0, 4, True)],
)
def test_how_many_may_fail(percent: float, bad: int, fails: bool) -> None:
    trial = Trial("broadcast", *[ConnectFailed] * bad, *["answer"] * (4 - bad), fail_percent=percent)
    assert isinstance(trial.call(), ConnectFailed) == fails


def test_many_that_fail_are_not_all_named() -> None:
    failed = Trial("broadcast", *[ConnectFailed] * 13).call()
    assert "13 of 13 instances failed: 10.0.0.1:9090," in notes(failed)
    assert "10.0.0.10:9090 and 3 more" in notes(failed)


def test_what_must_be_done_once_is_not_broadcast() -> None:
    trial = Trial("broadcast", "a", "b")
    failed = trial.call(PUT)
    assert isinstance(failed, ConfigurationError)
    assert "Check.put: the method is not idempotent; pass using(idempotent=True)" in str(failed)
    assert trial.asked == ""
    assert trial.call(PUT, idempotent=True) == "a"


# available


def test_the_first_that_can_be_reached() -> None:
    trial = Trial("available", "a", "b")
    assert [trial.call() for _ in range(3)] == ["a"] * 3
    trial = Trial("available", ConnectFailed, Overloaded, "c")
    assert trial.call(PUT) == "c"
    assert trial.asked == "123"


@pytest.mark.parametrize("error", [ConnectionLost, DeadlineExceeded, ApplicationError("no"), Declared])
def test_no_other_instance_is_tried_after_one_was_reached(error: Any) -> None:
    trial = Trial("available", error, "b")
    assert isinstance(trial.call(GET), Exception)
    assert trial.asked == "1"


def test_none_can_be_reached() -> None:
    assert isinstance(Trial("available", ConnectFailed, Overloaded).call(), Overloaded)
    assert isinstance(Trial("available").call(), NoInstance)


def test_the_next_is_not_asked_when_time_is_over() -> None:
    trial = Trial("available", Reply(ConnectFailed, 5.0), "b")
    assert isinstance(trial.call(timeout=5.0), ConnectFailed)
    assert trial.asked == "1"


# failsafe


@pytest.mark.parametrize("error", [ConnectFailed, ConnectionLost, DeadlineExceeded, ApplicationError("no"), Overloaded])
@pytest.mark.parametrize("method", [GET, NOTE])
def test_a_failure_is_logged_and_left(method: Any, error: Any, caplog: pytest.LogCaptureFixture) -> None:
    trial = Trial("failsafe", error, "b")
    assert trial.call(method) is None
    assert trial.asked == "1"
    assert f"ignoring failure of {method.full_name}" in caplog.text
    assert trial.dispatcher.decisions_of(FallbackUsed)[0].by == "failsafe"


def test_failsafe_suppresses_a_lack_of_instances() -> None:
    assert Trial("failsafe").call() is None


@pytest.mark.parametrize("error", [Declared, ConfigurationError("wrong"), ValueError, KeyboardInterrupt])
def test_what_is_no_failure_is_raised(error: Any) -> None:
    assert isinstance(Trial("failsafe", error).call(), BaseException)


def test_what_is_answered_is_answered() -> None:
    assert Trial("failsafe", "answer").call() == "answer"
    assert Trial("failfast", "answer").call() == "answer"


# failfast


@pytest.mark.parametrize("error", [ConnectFailed, ConnectionLost, Overloaded, ApplicationError("no"), Declared])
def test_failfast_raises_the_first_error(error: Any) -> None:
    trial = Trial("failfast", error, "b")
    assert isinstance(trial.call(), Exception)
    assert trial.asked == "1"
