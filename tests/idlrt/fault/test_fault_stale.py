"""`stale`: the last good answer, if it is not too old. In virtual time."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trial import Trial

from idlrt.core import ClockAndRandom, FallbackUsed
from idlrt.core.driver import BlockingDriver, drive
from idlrt.errors import ApplicationError, ConnectFailed, ConnectionLost, NoInstance
from idlrt.fault.stale import Stale, StaleSettings
from idlrt.spec import DeclaredError
from idlrt.testing.scripted_dispatcher import GET, NOTE, PUT, Reply, ScriptedDispatcher, ScriptedInstance, call_with


class Declared(DeclaredError):
    pass


def answered(outcome: Any = "answer", **settings: Any) -> Trial:
    """One that has answered the question `a`, and now cannot be reached any more."""
    trial = Trial("stale", outcome, **settings)
    assert trial.call(key="a") == outcome
    trial.instances(ConnectFailed)
    return trial


def test_the_last_answer_is_given_again(caplog: pytest.LogCaptureFixture) -> None:
    trial = answered()
    trial.driver.advance(7)
    assert trial.call(key="a") == "answer"
    assert "returning stale result of Check.get (7" in caplog.text
    (replaced,) = trial.dispatcher.decisions_of(FallbackUsed)
    assert replaced.by == "stale"
    assert "7.08 s old" in replaced.why


def test_the_last_one_counts() -> None:
    trial = answered("old")
    trial.instances("new")
    trial.call(key="a")
    trial.instances(ConnectFailed)
    assert trial.call(key="a") == "new"


def test_a_good_answer_is_better_than_an_old_one() -> None:
    trial = answered("old")
    trial.instances(ConnectFailed, "new")
    assert trial.call(key="a") == "new", "failures are retried first"


@pytest.mark.parametrize(("seconds", "is_given"), [(299.9, True), (300.1, False)])
def test_an_answer_may_be_too_old(seconds: float, is_given: bool) -> None:
    trial = answered()
    trial.driver.advance(seconds - 0.001)
    assert (trial.call(key="a") == "answer") == is_given


def test_a_lack_of_instances_is_a_failure() -> None:
    trial = answered()
    trial.instances()
    assert trial.call(key="a") == "answer"
    assert isinstance(trial.call(key="b"), NoInstance)


def test_another_question_has_another_answer() -> None:
    trial = answered()
    assert isinstance(trial.call(key="b"), ConnectFailed)
    assert isinstance(trial.call(PUT, key="a"), ConnectFailed), "so has another method"


@pytest.mark.parametrize("error", [Declared, ApplicationError("no"), ValueError])
def test_an_answer_that_is_an_error_is_not_replaced(error: Any) -> None:
    trial = answered()
    trial.instances(error)
    assert isinstance(trial.call(key="a"), Exception)


def test_callers_cannot_modify_cached_results() -> None:
    answer = {"price": [1, 2]}
    trial = answered(answer)
    answer["price"].append(3)
    again = trial.call(key="a")
    assert again == {"price": [1, 2]}
    again["price"].clear()
    assert trial.call(key="a") == {"price": [1, 2]}


def test_the_cache_is_bounded_and_evicts_the_least_recently_used() -> None:
    trial = Trial("stale", "answer", max_entries=3)
    for key in "abc":
        trial.call(key=key)
    trial.instances(ConnectFailed)
    assert trial.call(key="a") == "answer"
    trial.instances("answer")
    trial.call(key="d")
    trial.instances(ConnectFailed)
    found = {key for key in "abcd" if trial.call(key=key) == "answer"}
    assert found == {"a", "c", "d"}


def test_what_is_large_is_not_kept() -> None:
    assert answered("x" * 900, max_entry_bytes=1000).call(key="a") == "x" * 900
    assert isinstance(answered("x" * 1100, max_entry_bytes=1000).call(key="a"), ConnectFailed)


def test_nothing_is_no_answer() -> None:
    trial = Trial("stale", None)
    assert trial.call(NOTE, key="a") is None
    trial.instances(ConnectFailed)
    assert isinstance(trial.call(NOTE, key="a"), ConnectFailed)


def test_what_may_be_done_already_is_not_made_again() -> None:
    trial = Trial("stale", "answer")
    trial.call(PUT, key="a")
    trial.instances(ConnectionLost, "another")
    assert isinstance(trial.call(PUT, key="a"), ConnectionLost), "nor is it said to be done by an old answer"
    assert trial.asked == "1"


VALUES = st.recursive(
    st.integers() | st.text() | st.binary() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def asked_with(trial: Trial, *arguments: Any) -> Any:
    call = trial.make()
    call.arguments = arguments
    return trial.run(call)


@pytest.mark.slow
@given(VALUES, VALUES)
def test_equal_questions_are_the_same_however_they_came_about(one: Any, other: Any) -> None:
    trial = Trial("stale", "answer")
    asked_with(trial, one, [one, "".join(["k", "ey"])], "".join(["k", "ey"]))
    trial.instances(ConnectFailed)
    shared = "".join(["k", "ey"])
    assert asked_with(trial, _copy(one), [one, shared], shared) == "answer"
    if repr(one) != repr(other):
        assert isinstance(asked_with(trial, other, [one, shared], shared), ConnectFailed)


def _copy(value: Any) -> Any:
    if isinstance(value, list):
        return [_copy(each) for each in value]
    if isinstance(value, dict):
        return {_copy(name): _copy(each) for name, each in value.items()}
    return value.encode().decode() if isinstance(value, str) and value.isascii() else value


def test_threads_share_what_is_kept() -> None:
    mode, driver = Stale(StaleSettings(max_entries=20), ClockAndRandom()), BlockingDriver()
    good = ScriptedDispatcher([ScriptedInstance(1, Reply("answer", 0.0))])
    bad = ScriptedDispatcher([ScriptedInstance(1, Reply(ConnectFailed, 0.0))])
    wrong: list[Any] = []

    def use(own: int) -> None:
        for number in range(100):
            key = f"{own} {number % 3}"
            found = [
                drive(mode.call(call_with(driver, GET, key=key, timeout=3600, retries=0), dispatcher))
                for dispatcher in (good, bad)
            ]
            if found != ["answer"] * 2:
                wrong.append(found)

    threads = [threading.Thread(target=use, args=(own,)) for own in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_uncacheable_result_is_returned(caplog: pytest.LogCaptureFixture) -> None:
    """As of a stub that was loaded from an IDL: no module has its classes."""
    made = type("Made", (), {"__module__": "nowhere"})()
    trial = Trial("stale", [made, made, ConnectFailed])
    assert trial.call(key="a") is made
    assert trial.call(key="a") is made
    assert caplog.text.count("cannot cache results of Check.get") == 1
    assert isinstance(trial.call(key="a"), ConnectFailed)


def test_a_call_without_a_cache_key_is_made() -> None:
    made = type("Made", (), {"__module__": "nowhere"})()
    trial = Trial("stale", ["answer", ConnectFailed])
    assert asked_with(trial, made) == "answer"
    assert isinstance(asked_with(trial, made), ConnectFailed)


@pytest.mark.parametrize("by", ["tag", "metadata"])
def test_cached_results_are_not_shared_between_callers(by: str) -> None:
    trial = Trial("stale", "for ada")

    def ask(who: str) -> Any:
        call = trial.make(key="a")
        if by == "tag":
            call.tag = who
        else:
            call.options = {"metadata": {"user": who}}
        call.metadata["trace"] = str(trial.driver.now())
        return trial.run(call)

    assert ask("ada") == "for ada"
    trial.instances(ConnectFailed)
    trial.driver.advance(1)
    assert isinstance(ask("bob"), ConnectFailed)
    assert ask("ada") == "for ada"
