"""`failback`: the callback knows what happened, and what it says is done."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from trial import START, Trial, notes

from idlrt.core import AsyncioDriver, ClockAndRandom, FallbackUsed, NotRetried, Retrying
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    LocalProtocolError,
    NoInstance,
    Overloaded,
    RemoteProtocolError,
    RpcError,
)
from idlrt.fault.failback import Failback, FailbackSettings, Failure, Retry, Use
from idlrt.spec import DeclaredError
from idlrt.testing.scripted_dispatcher import GET, PUT, Reply, ScriptedDispatcher, ScriptedInstance, call_with


class Declared(DeclaredError):
    pass


class Callback:
    """Says one thing after the other, the last one for ever."""

    def __init__(self, *decisions: Any) -> None:
        self.decisions = list(decisions)
        self.failures: list[Failure] = []

    def __call__(self, failure: Failure) -> Any:
        self.failures.append(failure)
        return self.decisions.pop(0) if len(self.decisions) > 1 else self.decisions[0]


def test_nothing_is_made_again_by_itself() -> None:
    callback = Callback(None)
    trial = Trial("failback", ConnectFailed, "answer")
    assert isinstance(trial.call(on_failure=callback), ConnectFailed)
    assert trial.asked == "1"
    assert len(callback.failures) == 1


@pytest.mark.parametrize(
    ("error", "code", "retry_after", "was_worked_on"),
    [
        (ApplicationError("no", ApplicationCode.INTERNAL_ERROR), 6, None, True),
        (ApplicationError("no", 4711).push_back(2.0), 4711, 2.0, True),
        (Overloaded("busy").push_back(0.5), None, 0.5, False),
        (Overloaded("busy").push_back(math.inf), None, math.inf, False),
        (ConnectFailed("not there"), None, None, False),
        (ConnectionLost("lost"), None, None, None),
        (LocalProtocolError("cannot be sent"), None, None, False),
        (RemoteProtocolError("odd"), None, None, None),
        (ApplicationError("what?", ApplicationCode.UNKNOWN_METHOD), 1, None, False),
        (ApplicationError("you?", ApplicationCode.PERMISSION_DENIED), 1007, None, False),
    ],
)
def test_the_callback_is_told(
    error: RpcError, code: int | None, retry_after: float | None, was_worked_on: bool | None
) -> None:
    callback = Callback(None)
    trial = Trial("failback", Reply(error, 1.0))
    call = trial.make(PUT, on_failure=callback, timeout=4.0)
    assert trial.run(call) is error
    (failure,) = callback.failures
    assert (failure.code, failure.retry_after, failure.was_worked_on) == (code, retry_after, was_worked_on)
    assert failure.is_repeatable == (was_worked_on is False)
    assert (failure.call, failure.error, failure.attempt) == (call, error, 0)
    assert failure.instance == "10.0.0.1:9090"
    assert failure.remaining == pytest.approx(3.0)


def test_idempotent_calls_are_repeatable_whatever_happened() -> None:
    callback = Callback(None)
    Trial("failback", ConnectionLost).call(GET, on_failure=callback)
    assert callback.failures[0].is_repeatable


def test_a_lack_of_instances_is_reported_to_the_callback() -> None:
    callback = Callback(None)
    assert isinstance(Trial("failback").call(on_failure=callback), NoInstance)
    assert callback.failures[0].instance == ""


def test_a_declared_error_is_an_answer() -> None:
    callback = Callback(Retry())
    assert isinstance(Trial("failback", Declared).call(on_failure=callback), Declared)
    assert callback.failures == []


def test_the_call_is_made_again() -> None:
    callback = Callback(Retry(after=1.5))
    trial = Trial("failback", ConnectFailed, ConnectFailed, "answer")
    assert trial.call(on_failure=callback) == "answer"
    assert trial.asked == "123"
    assert [each.attempt for each in trial.dispatcher.sent] == [0, 1, 2]
    assert [each.attempt for each in callback.failures] == [0, 1]
    assert trial.driver.now() == pytest.approx(START + 2 * 1.5 + 3 * 0.001)
    assert trial.pauses == [1.5, 1.5]


def test_at_the_same_instance_if_that_is_wanted() -> None:
    trial = Trial("failback", [Overloaded, "answer"], "other")
    assert trial.call(on_failure=Callback(Retry(elsewhere=False))) == "answer"
    assert trial.asked == "11"


def test_when_all_were_tried_any_is_asked() -> None:
    trial = Trial("failback", [Overloaded, "answer"], Overloaded)
    assert trial.call(on_failure=Callback(Retry())) == "answer"
    assert trial.asked == "121"


def test_a_value_is_used_instead() -> None:
    trial = Trial("failback", ConnectFailed)
    assert trial.call(on_failure=Callback(Use("spare"))) == "spare"
    assert trial.dispatcher.decisions_of(FallbackUsed)[0].by == "failback"
    assert Trial("failback", ConnectFailed).call(on_failure=Callback(Use(None))) is None


def test_what_may_be_done_already_is_not_made_again_by_mistake() -> None:
    trial = Trial("failback", ConnectionLost, "answer")
    failed = trial.call(PUT, on_failure=Callback(Retry()))
    assert isinstance(failed, ConnectionLost)
    assert "Retry(even_if_done=True)" in notes(failed)
    assert trial.asked == "1"
    assert "not idempotent" in trial.dispatcher.decisions_of(NotRetried)[0].why
    assert not trial.dispatcher.decisions_of(Retrying)


def test_a_callback_can_retry_a_call_that_may_have_been_executed() -> None:
    trial = Trial("failback", ConnectionLost, ApplicationError("no"), "answer")
    assert trial.call(PUT, on_failure=Callback(Retry(even_if_done=True))) == "answer"
    assert trial.asked == "123"


def test_what_was_done_is_not_forgotten_when_it_is_made_again() -> None:
    callback = Callback(Retry(even_if_done=True), Retry())
    trial = Trial("failback", ConnectionLost, ConnectFailed, "answer")
    failed = trial.call(PUT, on_failure=callback)
    assert isinstance(failed, ConnectFailed)
    assert [each.was_worked_on for each in callback.failures] == [None, None]
    assert [each.is_repeatable for each in callback.failures] == [False, False]
    assert trial.asked == "12"


def test_there_is_an_end_to_it() -> None:
    trial = Trial("failback", ConnectFailed, max_attempts=4)
    failed = trial.call(on_failure=Callback(Retry()))
    assert trial.asked == "1111"
    assert "all attempts used (4 of 4)" in notes(failed)


def test_the_deadline_counts_more_than_the_callback() -> None:
    trial = Trial("failback", ConnectFailed)
    failed = trial.call(timeout=3.0, on_failure=Callback(Retry(after=2.9995)))
    assert "deadline too close for a pause of 3 s" in notes(failed)
    assert trial.asked == "1"
    assert trial.driver.now() < START + 1


def test_a_callback_that_fails_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(failure: Failure) -> None:
        raise ValueError("broken")

    failed = Trial("failback", ConnectFailed).call(on_failure=broken)
    assert isinstance(failed, ConnectFailed)
    assert "on_failure callback failed: ValueError('broken')" in notes(failed)
    assert "on_failure callback of Check.get failed" in caplog.text


def test_a_callback_that_says_nonsense() -> None:
    failed = Trial("failback", ConnectFailed).call(on_failure=Callback("again"))
    assert isinstance(failed, ConfigurationError)
    assert "must return Retry, Use or None, got 'again'" in str(failed)
    assert isinstance(failed.__cause__, ConnectFailed)


def test_a_missing_callback_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    trial = Trial("failback", ConnectFailed)
    for _ in range(3):
        assert isinstance(trial.call(), ConnectFailed)
    assert caplog.text.count("no failure callback for Check.get") == 1


def test_an_async_callback() -> None:
    async def decide(failure: Failure) -> Retry:
        await asyncio.sleep(0)
        return Retry()

    async def main() -> Any:
        dispatcher = ScriptedDispatcher(
            [ScriptedInstance(1, Reply(ConnectFailed, 0.0)), ScriptedInstance(2, Reply(after=0.0))]
        )
        call = call_with(AsyncioDriver(), timeout=3600)
        call.options = {"on_failure": decide}
        return await Failback(FailbackSettings(), ClockAndRandom()).call(call, dispatcher)

    assert asyncio.run(main()) == "answer"
