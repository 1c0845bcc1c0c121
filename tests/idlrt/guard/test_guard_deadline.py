"""The guard that shortens deadlines."""

from __future__ import annotations

from typing import Any

import pytest
from guarded import Guarded

from idlrt.core import Call, Deadline
from idlrt.testing.guards import PUT, call_for, server_call_for


def given(guarded: Guarded, call: Any) -> Deadline:
    """The deadline that a call has behind the guard."""
    seen: list[Deadline] = []

    async def behind(call: Call) -> None:
        seen.append(call.deadline)

    guarded.driver.run(guarded.guard(call, behind))
    return seen[0]


@pytest.mark.parametrize("make", [call_for, server_call_for])
def test_the_deadline_is_shortened(make: Any) -> None:
    guarded = Guarded("deadline", timeout=2)
    assert given(guarded, make(guarded.driver, 5.0)) == Deadline(1002.0, 2)


@pytest.mark.parametrize("make", [call_for, server_call_for])
def test_the_deadline_is_never_extended(make: Any) -> None:
    guarded = Guarded("deadline", timeout=20)
    call = make(guarded.driver, 5.0)
    assert given(guarded, call) is call.deadline


def test_methods_may_have_their_own() -> None:
    guarded = Guarded("deadline", timeout=3, methods={"put": 1, "Check.get": 2, "get": 2.5})
    get, put = call_for(guarded.driver, 5.0), call_for(guarded.driver, 5.0)
    put.method = PUT
    assert given(guarded, get).timeout == 2
    assert given(guarded, put).timeout == 1


def test_methods_without_a_timeout_keep_their_deadline() -> None:
    guarded = Guarded("deadline", methods={"put": 1})
    call = call_for(guarded.driver, 5.0)
    assert given(guarded, call) is call.deadline


def test_the_deadline_is_restored_afterwards() -> None:
    guarded = Guarded("deadline", timeout=2)
    for outcome in ("answer", ValueError("no")):
        call = call_for(guarded.driver, 5.0)
        before = call.deadline
        assert guarded.run(outcome, call=call) is outcome
        assert call.deadline is before
