"""Invariants of all fault modes: random instance behaviour, in virtual time."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trial import START, Trial

from idlrt.errors import (
    ApplicationError,
    CircuitOpen,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    NotSent,
    Overloaded,
    RemoteProtocolError,
    Unknown,
)
from idlrt.fault import FAULT_MODES
from idlrt.fault.failback import Failure, Retry, Use
from idlrt.spec import DeclaredError
from idlrt.testing.scripted_dispatcher import GET, NOTE, PUT, Reply

# More than a moment.
pytestmark = pytest.mark.slow


class Declared(DeclaredError):
    pass


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


PAUSES = st.none() | st.sampled_from([0.0, 0.01, 0.5, 3.0, math.inf])
FAILURES: list[type[NotSent | Unknown]] = [
    Overloaded, NotSent, CircuitOpen, ConnectFailed, ConnectionLost, DeadlineExceeded,
]  # fmt: skip
PUSHING = st.tuples(st.sampled_from(FAILURES), PAUSES).map(lambda pair: lambda: pair[0]("failed").push_back(pair[1]))
OTHERS = st.sampled_from([Declared, lambda: ApplicationError("no"), RemoteProtocolError, ValueError])
OUTCOMES = st.just("answer") | PUSHING | OTHERS
SECONDS = st.sampled_from([0.001, 0.01, 0.3, 1.0, 5.0, 60.0]) | st.floats(0.001, 6.0)
REPLIES = st.builds(Reply, OUTCOMES, SECONDS)
SCRIPTS = st.lists(st.lists(REPLIES, min_size=1, max_size=4), max_size=14)
POLICIES = st.fixed_dictionaries(
    {
        "retries": st.integers(0, 6),
        "timeout": st.sampled_from([0.05, 1.0, 5.0]),
        "attempt_timeout": st.none() | st.sampled_from([0.02, 0.5]),
        "chain_stop": st.booleans(),
        "attempt": st.sampled_from([0, 1]),
    }
)
SETTINGS: dict[str, dict[str, Any]] = {"hedge": {"delay": 0.02, "max_extra_load": 1.0}}


@pytest.mark.parametrize("name", FAULT_MODES.names())
@settings(max_examples=60, deadline=None)
@given(scripts=SCRIPTS, policy=POLICIES, method=st.sampled_from([GET, PUT, NOTE]), budget=st.sampled_from([0, 1, 99]))
def test_no_mode_makes_a_call_again_that_must_not_be(
    name: str, scripts: Any, policy: dict[str, Any], method: Any, budget: int
) -> None:
    trial = Trial(name, *scripts, budget=budget, **SETTINGS.get(name, {}))
    for _ in range(2):
        start, before = trial.driver.now(), len(trial.dispatcher.sent)
        trial.call(method, **policy)
        assert trial.driver.now() <= start + policy["timeout"] + 1e-6
        _check_attempts(name, trial, policy, before)
    trial.driver.finish()
    trial.mode.close()
    assert trial.dispatcher.violations == []


def _check_attempts(name: str, trial: Trial, policy: dict[str, Any], before: int) -> None:
    sent = trial.dispatcher.sent[before:]
    if name in ("broadcast", "available"):
        assert len({each.endpoint for each in sent}) == len(sent)
    elif name in ("failover", "stale", "hedge"):
        free = min(sum(isinstance(each.error, NotSent) and not isinstance(each.error, Overloaded) for each in sent), 10)
        assert len(sent) <= 1 + policy["retries"] + free + (name == "hedge")
        assert trial.dispatcher.spent <= 2 * policy["retries"]
    else:
        assert len(sent) <= {"forking": 2}.get(name, 1)


RETRIES = st.builds(Retry, after=st.sampled_from([0.0, 0.1, 9.0]), elsewhere=st.booleans())
DECISIONS = st.lists(st.none() | st.just(Use("spare")) | RETRIES, min_size=1, max_size=9)


@settings(max_examples=200, deadline=None)
@given(SCRIPTS, POLICIES, DECISIONS, st.booleans())
def test_a_callback_has_it_made_again_only_as_it_says(
    scripts: Any, policy: dict[str, Any], decisions: list[Any], is_even_if_done: bool
) -> None:
    left = iter(decisions)

    def decide(failure: Failure) -> Any:
        decision = next(left, None)
        if isinstance(decision, Retry) and is_even_if_done:
            return Retry(after=decision.after, elsewhere=decision.elsewhere, even_if_done=True)
        return decision

    trial = Trial("failback", *scripts, max_attempts=4)
    trial.call(PUT, on_failure=decide, **policy)
    assert trial.driver.now() <= START + policy["timeout"] + 1e-6
    assert len(trial.dispatcher.sent) <= 4
    wrong = [each for each in trial.dispatcher.violations if not (is_even_if_done and "not idempotent" in each)]
    assert wrong == []


@settings(max_examples=100, deadline=None)
@given(SCRIPTS, POLICIES, st.integers(1, 5), st.sampled_from([GET, PUT, NOTE]), st.integers(1, 6))
def test_kept_calls_end(scripts: Any, policy: dict[str, Any], attempts: int, method: Any, count: int) -> None:
    outcomes: list[Any] = []
    trial = Trial("failcache", *scripts, max_retries=attempts, max_age=100.0, max_entries=3)
    kept = 0
    for _ in range(count):
        before = trial.mode.kept
        trial.call(method, on_done=outcomes.append, **policy)
        assert trial.mode.kept <= 3
        kept += trial.mode.kept > before
    calls = {each.call.arguments for each in trial.dispatcher.sent}
    trial.driver.finish()
    assert trial.mode.kept == 0
    assert len(outcomes) == kept, "each is told of, once"
    assert all(outcome.attempts <= 1 + attempts for outcome in outcomes)
    for arguments in calls:
        assert sum(each.call.arguments == arguments for each in trial.dispatcher.sent) <= 1 + attempts
    assert all(each.at <= START + count * policy["timeout"] + 100.0 + 1e-6 for each in trial.dispatcher.sent)
    assert trial.dispatcher.violations == []
