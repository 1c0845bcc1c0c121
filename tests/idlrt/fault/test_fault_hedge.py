"""`hedge`: when a second instance is asked, and how seldom. In virtual time."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
from trial import START, Trial, notes

from idlrt.core import ClockAndRandom, Retrying
from idlrt.core.driver import BlockingDriver, drive
from idlrt.errors import ApplicationError, ConnectFailed, ConnectionLost, DeadlineExceeded, NoInstance, Overloaded
from idlrt.fault.hedge import Hedge, HedgeSettings
from idlrt.fault.quantiles import Quantiles
from idlrt.spec import DeclaredError
from idlrt.testing import FakeDriver
from idlrt.testing.scripted_dispatcher import GET, PUT, Reply, ScriptedDispatcher, ScriptedInstance, call_with

pytestmark = pytest.mark.slow


class Declared(DeclaredError):
    pass


class Saved(Trial):
    """One that has an allowance, and waits as long as it is told to."""

    def __init__(self, *scripts: Any, delay: float = 0.1, **more: Any) -> None:
        super().__init__("hedge", "answer", delay=delay, **more)
        for _ in range(200):
            assert self.call() == "answer"
        self.budget = more.get("budget", self.budget)
        self.instances(*scripts)
        self.start = self.driver.now()

    @property
    def passed(self) -> float:
        return round(self.driver.now() - self.start, 6)


def test_a_quick_answer_is_waited_for() -> None:
    trial = Saved(Reply("answer", 0.09), "other")
    assert trial.call() == "answer"
    assert trial.asked == "1"


def test_when_it_takes_long_another_one_is_asked() -> None:
    trial = Saved(Reply("slow", 2.0), Reply("quick", 0.05))
    assert trial.call() == "quick"
    assert trial.asked == "12"
    assert trial.passed == 0.15
    assert [each.attempt for each in trial.dispatcher.sent] == [0, 1]
    (told,) = trial.dispatcher.decisions_of(Retrying)
    assert (told.mode, told.pause) == ("hedge", 0.1)
    assert "no response from 10.0.0.1:9090 yet" in told.why
    assert trial.dispatcher.spent == 0, "that is no retry"


def test_the_first_may_still_be_the_quicker_one() -> None:
    trial = Saved(Reply("slow", 0.2), Reply("slower", 0.5))
    assert trial.call() == "slow"
    assert trial.passed == 0.2


def test_no_more_are_asked_than_that() -> None:
    trial = Saved(*[Reply(str(number), 4.0) for number in range(5)], max_attempts=3)
    assert trial.call() == "0"
    assert trial.asked == "123"
    assert [round(each.at - trial.start, 3) for each in trial.dispatcher.sent] == [0.0, 0.1, 0.2]


def test_an_only_instance_is_not_asked_twice() -> None:
    trial = Saved(Reply("slow", 2.0))
    assert trial.call() == "slow"
    assert trial.asked == "1"


def test_what_must_be_done_once_is_asked_of_one() -> None:
    trial = Saved(Reply("slow", 2.0), "quick")
    assert trial.call(PUT) == "slow"
    assert trial.asked == "1"
    assert trial.call(PUT, idempotent=True) == "quick"
    assert trial.call(GET, idempotent=False) == "slow"


def test_a_call_for_a_retry_is_not_hedged() -> None:
    trial = Saved(Reply("slow", 2.0), "quick")
    assert trial.call(attempt=1) == "slow"
    assert trial.call(attempt=1, chain_stop=False) == "quick"


# Failures.


@pytest.mark.parametrize("answer", [Declared, ApplicationError("no"), ValueError])
def test_an_answer_that_is_an_error_ends_the_race(answer: Any) -> None:
    trial = Saved(Reply(answer, 0.15), Reply("answer", 2.0))
    assert isinstance(trial.call(), type(answer) if isinstance(answer, Exception) else answer)
    assert trial.passed == 0.15
    assert trial.dispatcher.sent[1].is_over, "the other one is told to stop"


@pytest.mark.parametrize("answer", [Declared, ApplicationError("no"), ValueError])
def test_no_second_call_follows_an_error_response(answer: Any) -> None:
    trial = Saved(answer, "answer")
    assert isinstance(trial.call(), Exception)
    assert trial.asked == "1"


@pytest.mark.parametrize("error", [ConnectFailed, Overloaded, ConnectionLost, DeadlineExceeded])
def test_a_failure_starts_the_next_at_once(error: Any) -> None:
    trial = Saved(Reply(error, 0.05), Reply("answer", 0.01))
    assert trial.call() == "answer"
    assert trial.passed == 0.06
    assert trial.dispatcher.spent == (0 if error is ConnectFailed else 1)


def test_a_failure_is_not_replaced_if_retries_are_not_wanted() -> None:
    for error in (ConnectFailed, ConnectionLost):
        trial = Saved(Reply(error, 0.05), "answer")
        assert isinstance(trial.call(retries=0), error)
        assert trial.asked == "1"
    trial = Saved(Reply("slow", 2.0), "quick")
    assert trial.call(retries=0) == "quick", "to be slow is no failure"


def test_when_all_have_failed_it_is_retried() -> None:
    trial = Saved(ConnectionLost, ConnectionLost, DeadlineExceeded, "answer")
    assert trial.call(retries=3) == "answer"
    assert trial.asked == "1234"
    assert [each.attempt for each in trial.dispatcher.sent] == [0, 1, 2, 3]


@pytest.mark.parametrize("retries", [1, 2, 3])
def test_there_are_no_more_retries_than_elsewhere(retries: int) -> None:
    trial = Saved(*[ConnectionLost] * 9)
    failed = trial.call(retries=retries)
    assert len(trial.asked) == 1 + retries
    assert f"all retries used ({retries} of {retries})" in notes(failed)
    assert trial.dispatcher.spent == retries


def test_a_server_that_fails_and_wants_to_be_left_alone_is() -> None:
    trial = Saved(Overloaded("busy").push_back(1.0), "answer")
    assert trial.call() == "answer"
    assert trial.passed == 1.002
    trial = Saved(Overloaded("busy").push_back(float("inf")), "answer")
    assert isinstance(trial.call(), Overloaded)


def test_a_failed_call_is_not_replaced_without_retry_budget() -> None:
    trial = Saved(ConnectionLost, "answer", budget=0)
    assert isinstance(trial.call(), ConnectionLost)
    assert trial.asked == "1"


def test_the_first_call_counts_when_the_other_instances_disappear() -> None:
    trial = Saved(Reply("slow", 1.0), Reply("other", 1.0))
    call = trial.make()
    begun = trial.mode.call(call, trial.dispatcher)

    async def leave() -> None:
        await trial.driver.sleep(0.05)
        trial.dispatcher.endpoints.clear()

    trial.driver.spawn(leave)
    assert trial.driver.run(begun) == "slow"
    trial.instances()
    assert isinstance(trial.call(), NoInstance)


# How long is waited, and how many calls come of it.


def test_nothing_follows_from_few_calls() -> None:
    trial = Trial("hedge", Reply("answer", 0.01))
    for _ in range(49):
        trial.call()
    trial.instances(Reply("slow", 2.0), "quick")
    assert trial.call() == "slow"
    assert trial.call() == "quick", "50 are enough"


def test_the_pause_is_what_nearly_all_take() -> None:
    trial = Trial("hedge", *[Reply("answer", 0.001)])
    rng = random.Random(1)
    for _ in range(1000):
        trial.instances(Reply("answer", rng.uniform(0.1, 0.2)))
        trial.driver.advance(0.001)
        trial.call()
    trial.instances(Reply("slow", 2.0), Reply("quick", 0.01))
    assert trial.call() == "quick"
    first, second = trial.dispatcher.sent
    assert second.at - first.at == pytest.approx(0.195, rel=0.06)


def test_the_pause_is_never_shorter_than_that() -> None:
    mode = Hedge(HedgeSettings(min_delay=0.25), ClockAndRandom())
    latencies = Quantiles()
    for _ in range(100):
        latencies.add(0.001, 1.0)
    assert mode.delay(latencies, 1.0) == 0.25


def test_a_pause_longer_than_the_time_that_is_left_hedges_nothing() -> None:
    trial = Saved("slow", "quick", delay=5.0)
    assert trial.call(timeout=5.0) == "slow"


@pytest.mark.parametrize(("share", "slow"), [(0.01, 0.3), (0.05, 0.02), (0.05, 0.1), (0.05, 0.9), (0.2, 0.5)])
def test_there_are_no_more_extra_calls_than_that(share: float, slow: float) -> None:
    """10,000 calls, of which many are slow, one after the other."""
    rng = random.Random(5)
    driver = FakeDriver(START)
    mode = Hedge(HedgeSettings(max_extra_load=share), ClockAndRandom(now=driver.now, rng=rng.random))
    sent = 0
    for _ in range(10_000):
        replies = [Reply("answer", 1.0 if rng.random() < slow else rng.uniform(0.005, 0.02)) for _ in range(3)]
        dispatcher = ScriptedDispatcher([ScriptedInstance(number, reply) for number, reply in enumerate(replies)])
        assert driver.run(mode.call(call_with(driver, GET), dispatcher)) == "answer"
        sent += len(dispatcher.sent)
    assert sent <= 10_000 * (1 + share)
    if slow < share:
        assert sent > 10_000 * (1 + slow / 2), "and those that help are made"


def test_hedging_makes_the_slowest_quicker() -> None:
    def slowest(name: str) -> float:
        rng = random.Random(9)
        trial = Trial(name)
        took: list[float] = []
        for _ in range(3000):
            trial.instances(*(Reply("answer", 2.0 if rng.random() < 0.02 else rng.uniform(0.01, 0.02)) for _ in "ab"))
            start = trial.driver.now()
            trial.call()
            took.append(trial.driver.now() - start)
        return sorted(took)[int(3000 * 0.99)]

    assert slowest("failover") == pytest.approx(2.0)
    assert slowest("hedge") < 0.06


def test_what_was_measured_is_forgotten() -> None:
    trial = Trial("hedge", Reply("answer", 0.01), window=20.0)
    for _ in range(100):
        trial.call()
    for pause, expected in ((0.0, "quick"), (25.0, "slow")):
        trial.driver.advance(pause)
        trial.instances(Reply("slow", 2.0), Reply("quick", 0.01))
        assert trial.call() == expected
    assert trial.asked == "1", "of what is known of the last 20 seconds nothing follows"


def test_threads_share_the_allowance() -> None:
    mode, driver = Hedge(HedgeSettings(delay=0.0005, max_extra_load=0.1), ClockAndRandom()), BlockingDriver()
    sent: list[Any] = []

    def use() -> None:
        for _ in range(50):
            dispatcher = ScriptedDispatcher([ScriptedInstance(number, Reply("answer", 0.002)) for number in (1, 2)])
            assert drive(mode.call(call_with(driver, timeout=3600), dispatcher)) == "answer"
            sent.extend(dispatcher.sent)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 200 <= len(sent) <= 220
