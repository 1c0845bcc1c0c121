"""`failcache`: queued calls, their lifetime, and the events they emit. In virtual time."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from eventually import eventually_async
from trial import START, Trial, notes
from virtual_loop import VirtualDriver, run_virtual

from idlrt.core import ClockAndRandom, NotRetried, RetryScheduled
from idlrt.errors import (
    ApplicationError,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    Deferred,
    NoInstance,
    NotSent,
    Overloaded,
    RemoteProtocolError,
)
from idlrt.fault.failcache import Failcache, FailcacheSettings, Outcome
from idlrt.spec import DeclaredError
from idlrt.testing.scripted_dispatcher import GET, NOTE, PUT, Reply, ScriptedDispatcher, ScriptedInstance, call_with


class Declared(DeclaredError):
    pass


def late(trial: Trial) -> list[float]:
    """When calls came, after the beginning."""
    return [each.at - START for each in trial.dispatcher.sent]


def test_a_call_that_is_answered_is_answered() -> None:
    assert Trial("failcache", "answer").call() == "answer"


def test_a_method_that_returns_nothing_returns() -> None:
    trial = Trial("failcache", [ConnectFailed, None])
    assert trial.call(NOTE) is None
    assert trial.mode.kept == 1
    assert late(trial) == [0.0], "nothing is made again at once"
    trial.driver.finish()
    assert late(trial) == pytest.approx([0.0, 5.001])
    assert trial.mode.kept == 0


def test_of_another_the_caller_hears_that_it_comes_later() -> None:
    trial = Trial("failcache", [ConnectFailed("not there"), "answer"], retry_interval=2.0)
    failed = trial.call(GET)
    assert isinstance(failed, Deferred)
    assert "Check.get failed and will be retried in about 2 s: not there" in str(failed)
    assert isinstance(failed.__cause__, ConnectFailed)
    kept = trial.dispatcher.decisions_of(RetryScheduled)
    assert kept == [RetryScheduled(subject="Check.get", why="not there", mode="failcache", pause=2.0)]
    trial.mode.close()
    trial.driver.finish()


@pytest.mark.parametrize(("rng", "factor"), [(0.0, 0.9), (0.5, 1.0), (0.999999, 1.1)])
def test_each_time_twice_as_late_give_or_take_a_tenth(rng: float, factor: float) -> None:
    trial = Trial("failcache", ConnectFailed, rng=rng)
    trial.call(NOTE)
    trial.driver.finish()
    times = late(trial)
    assert len(times) == 4, "three times more"
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses == pytest.approx([5 * factor, 10 * factor, 20 * factor], rel=1e-3)


def test_it_is_told_in_the_end_that_it_was_done() -> None:
    outcomes: list[Outcome] = []
    trial = Trial("failcache", [ConnectFailed, Overloaded, "answer"])
    call = trial.make(GET, on_done=outcomes.append)
    assert isinstance(trial.run(call), Deferred)
    assert outcomes == []
    trial.driver.finish()
    (outcome,) = outcomes
    assert (outcome.result, outcome.error, outcome.attempts) == ("answer", None, 3)
    assert outcome.call.arguments == call.arguments
    assert [each.attempt for each in trial.dispatcher.sent] == [0, 1, 2]


def test_it_is_told_that_it_was_given_up() -> None:
    outcomes: list[Outcome] = []
    trial = Trial("failcache", ConnectFailed, max_retries=2)
    trial.call(NOTE, on_done=outcomes.append)
    trial.driver.finish()
    (outcome,) = outcomes
    assert isinstance(outcome.error, ConnectFailed)
    assert outcome.attempts == 3
    assert trial.mode.kept == 0


@pytest.mark.parametrize("answer", [Declared, ApplicationError("no"), RemoteProtocolError, ValueError])
def test_an_answer_that_is_an_error_ends_it(answer: Any) -> None:
    outcomes: list[Outcome] = []
    trial = Trial("failcache", [ConnectFailed, answer, "answer"])
    trial.call(NOTE, on_done=outcomes.append)
    trial.driver.finish()
    assert trial.asked == "11"
    assert isinstance(outcomes[0].error, type(answer) if isinstance(answer, Exception) else answer)


@pytest.mark.parametrize("answer", [Declared, ApplicationError("no"), RemoteProtocolError, ValueError])
def test_answers_are_not_kept(answer: Any) -> None:
    trial = Trial("failcache", answer)
    assert isinstance(trial.call(NOTE), Exception)
    assert trial.mode.kept == 0


def test_nothing_is_kept_that_must_not_be_made_again() -> None:
    for method, error in ((PUT, ConnectionLost), (NOTE, DeadlineExceeded)):
        trial = Trial("failcache", error)
        failed = trial.call(method)
        assert isinstance(failed, error)
        assert "is not idempotent" in notes(failed)
        assert trial.mode.kept == 0
        assert "not idempotent" in trial.dispatcher.decisions_of(NotRetried)[0].why


def test_what_was_worked_on_when_it_was_made_again_is_given_up() -> None:
    outcomes: list[Outcome] = []
    trial = Trial("failcache", [ConnectFailed, ConnectionLost, "answer"])
    trial.call(NOTE, on_done=outcomes.append)
    trial.driver.finish()
    assert trial.asked == "11"
    assert isinstance(outcomes[0].error, ConnectionLost)


def test_an_idempotent_call_is_kept_whatever_happened() -> None:
    trial = Trial("failcache", [ConnectionLost, DeadlineExceeded, "answer"])
    assert isinstance(trial.call(GET), Deferred)
    trial.driver.finish()
    assert trial.asked == "111"


def test_the_number_of_kept_calls_is_limited() -> None:
    trial = Trial("failcache", ConnectFailed, max_entries=3)
    assert [trial.call(NOTE) for _ in range(3)] == [None] * 3
    failed = trial.call(NOTE)
    assert isinstance(failed, ConnectFailed)
    assert "the queue is full (3 calls)" in notes(failed)
    assert trial.mode.kept == 3
    trial.driver.finish()
    assert trial.mode.kept == 0
    assert trial.call(NOTE) is None, "there is room again"
    trial.mode.close()
    trial.driver.finish()


def test_no_call_is_kept_for_longer_than_its_age() -> None:
    outcomes: list[Outcome] = []
    trial = Trial("failcache", ConnectFailed, max_retries=1000, max_age=33.0)
    trial.call(NOTE, on_done=outcomes.append)
    trial.driver.finish()
    assert late(trial) == pytest.approx([0, 5, 15], abs=0.1), "at 35 s it would be too old"
    assert len(outcomes) == 1
    assert trial.mode.kept == 0


def test_a_server_that_wants_to_be_left_alone_is() -> None:
    trial = Trial("failcache", [Overloaded("busy").push_back(30.0), "answer"])
    trial.call(NOTE)
    trial.driver.finish()
    assert late(trial) == pytest.approx([0.0, 30.001])


@pytest.mark.parametrize(
    ("seconds", "why"),
    [
        (60.0, "the pause before the retry (60 s) exceeds max_age (60 s)"),
        (math.inf, "the server rejects retries (pushback)"),
    ],
)
def test_pushback_beyond_the_maximum_age_is_respected(seconds: float, why: str) -> None:
    trial = Trial("failcache", Overloaded("busy").push_back(seconds))
    failed = trial.call(NOTE)
    assert f"not queued for a retry: {why}" in notes(failed)
    trial = Trial("failcache", [ConnectFailed, Overloaded("busy").push_back(seconds), "answer"])
    assert trial.call(NOTE) is None
    trial.driver.finish()
    assert trial.asked == "11"
    assert trial.mode.kept == 0


def test_each_attempt_has_the_time_of_a_call() -> None:
    trial = Trial("failcache", [ConnectFailed, Reply(None, 1.5)])
    trial.call(NOTE, timeout=2.0)
    trial.driver.finish()
    again = trial.dispatcher.sent[1]
    assert again.error is None
    assert again.call.deadline.at == pytest.approx(again.at + 2.0)


def test_calls_are_kept_while_there_are_no_instances() -> None:
    trial = Trial("failcache")
    assert trial.call(NOTE) is None
    trial.dispatcher.endpoints += Trial("failcache", "answer").dispatcher.endpoints
    trial.driver.finish()
    assert trial.asked == "1"
    trial = Trial("failcache", max_age=1.0)
    assert isinstance(trial.call(NOTE), NoInstance)


def test_many_are_made_when_they_are_due() -> None:
    trial = Trial("failcache", [ConnectFailed, None])
    trial.call(NOTE)
    trial.driver.advance(3.0)
    trial.dispatcher.endpoints[:] = Trial("failcache", [ConnectFailed, None]).dispatcher.endpoints
    trial.call(NOTE)
    trial.driver.finish()
    assert late(trial) == pytest.approx([0, 3, 5, 8], abs=0.1)


def test_a_closed_client_tells_of_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[Outcome] = []
    trial = Trial("failcache", ConnectFailed)
    for _ in range(3):
        trial.call(NOTE, on_done=outcomes.append)
    trial.mode.close()
    assert [type(each.error) for each in outcomes] == [NotSent] * 3
    assert "was not retried: the client was closed" in str(outcomes[0].error)
    assert "client closed with 3 calls in the retry queue" in caplog.text
    assert trial.mode.kept == 0
    trial.mode.close()
    assert len(outcomes) == 3
    failed = trial.call(NOTE)
    assert "the client is closed" in notes(failed)
    trial.driver.finish()
    assert len(trial.dispatcher.sent) == 4, "nothing is made any more"


def test_a_callback_that_fails_is_no_trouble_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def broken(outcome: Outcome) -> None:
        raise ValueError("broken")

    outcomes: list[Outcome] = []
    trial = Trial("failcache", [ConnectFailed, ConnectFailed, None])
    trial.call(NOTE, on_done=broken)
    trial.call(NOTE, on_done=outcomes.append)
    trial.driver.finish()
    assert "on_done callback of Check.note failed" in caplog.text
    assert [each.error for each in outcomes] == [None]


def test_a_caller_may_change_its_metadata_afterwards() -> None:
    trial = Trial("failcache", [ConnectFailed, None])
    call = trial.make(NOTE, metadata={"user": "ada"})
    trial.run(call)
    call.metadata["user"] = "bob"
    trial.driver.finish()
    assert trial.dispatcher.sent[1].call.metadata["user"] == "ada"


def test_an_event_loop_that_ends_takes_nothing_with_it() -> None:
    """A program runs one loop after the other, with one client."""
    mode = Failcache(FailcacheSettings(), ClockAndRandom())
    dispatcher = ScriptedDispatcher(
        [ScriptedInstance(1, Reply(ConnectFailed), Reply(ConnectFailed), Reply(None))], math.inf
    )

    def note() -> Any:
        return mode.call(call_with(VirtualDriver(), NOTE), dispatcher)

    async def first() -> None:
        await note()

    async def second() -> None:
        await note()
        await eventually_async(lambda: not mode.kept)

    run_virtual(first())
    assert mode.kept == 1
    run_virtual(second())
    assert len(dispatcher.sent) == 4


def test_a_call_that_is_cut_off_in_the_background_is_kept_on() -> None:
    trial = Trial("failcache", [ConnectFailed, KeyboardInterrupt, ConnectFailed, None])
    assert trial.call(NOTE) is None
    with pytest.raises(KeyboardInterrupt):
        trial.driver.finish()
    assert trial.call(NOTE) is None
    assert trial.mode.kept == 2
    trial.driver.finish()
    assert trial.mode.kept == 0


def test_whatever_ends_a_kept_call_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    trial = Trial("failcache", [ConnectFailed, RemoteProtocolError("cannot be read")])
    trial.call(NOTE)
    trial.driver.finish()
    assert "dropped queued call of Check.note after 2 attempts: cannot be read" in caplog.text


def test_a_closed_one_stays_closed_after_a_fork() -> None:
    trial = Trial("failcache", ConnectFailed)
    trial.mode.close()
    trial.mode.after_fork()
    assert isinstance(trial.call(NOTE), ConnectFailed)
