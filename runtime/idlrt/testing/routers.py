"""Conformance suite of routers, for the built-in ones and for plugins.

from idlrt.testing import check_router

def test_mine() -> None:
    check_router(lambda here, chance: Mine(Mine.Rule(router="mine"), here, chance))
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from idlrt.core import Call, ClockAndRandom, Deadline, Instance
from idlrt.route import CallerInfo, Chain, Pool, Router, Step, explain
from idlrt.spec import STRING, VOID, method, optional
from idlrt.testing.balancers import call_of
from idlrt.testing.fake_driver import FakeDriver
from idlrt.testing.threads import run_concurrently

__all__ = ["FakeEndpoint", "check_router"]

Make = Callable[[CallerInfo, ClockAndRandom], Router]


class FakeEndpoint:
    """A `Endpoint` for tests."""

    def __init__(self, number: int, *, is_unhealthy: bool = False, **fields: Any) -> None:
        host = f"10.0.{number // 250}.{number % 250}"
        given: dict[str, Any] = {"service": "Check", "host": host, "port": 9090, **fields}
        self.instance = Instance(**given)
        self.is_unhealthy = is_unhealthy

    def __repr__(self) -> str:
        return f"<FakeEndpoint {self.instance.id}{' (unhealthy)' if self.is_unhealthy else ''}>"


class _Service:
    def nothing(self) -> None:
        """A method without arguments."""

    def find(self, query: str | None = None) -> None:
        """A method with an optional argument."""


_NOTHING = method(_Service.nothing, result=VOID)
_FIND = method(_Service.find, optional(1, "query", STRING), result=VOID)


def check_router(make: Make) -> None:
    """Check a router.

    Args:
        make: creates the router for a caller, from a `ClockAndRandom`.

    Raises:
        AssertionError: the router violates a rule; the message names the rule.
    """
    for caller in (CallerInfo(), CallerInfo(id="me", zone="eu-1", host="10.0.0.1", addresses=("10.0.0.2",))):
        for endpoints in _populations():
            for call in _calls():
                _narrows(make, caller, call, endpoints)
        _threads(make, caller)
    groups = make(CallerInfo(), _sources()).groups()
    assert all(isinstance(group, str) for group in groups), f"groups() must return strings, got {groups!r}"


def _narrows(make: Make, caller: CallerInfo, call: Call, endpoints: Sequence[FakeEndpoint]) -> None:
    pool = Pool(endpoints)
    rng = _CountedRandom()
    router, again = make(caller, ClockAndRandom(now=lambda: 1000.0, rng=rng.next_number)), make(caller, _sources())
    is_idle = router.is_idle(pool)
    count = rng.count
    before = _fields(call)
    for _ in range(20):
        steps: list[Step] = []
        told = router.route(call, pool, steps)
        quiet = again.route(call, pool, None)
        assert set(told.endpoints) <= set(pool.endpoints), "route returned an instance that is not in the pool"
        assert len(set(told.endpoints)) == len(told.endpoints), "route returned an instance twice"
        assert quiet.endpoints == told.endpoints, "route must return the same pool with and without steps"
        assert not is_idle or told is pool, "route narrowed the pool although is_idle() returned true"
        assert not is_idle or rng.count == count, "route used a random number although is_idle() returned true"
        assert steps, "route must append at least one step"
        assert steps[0].before == len(pool), "`before` of the first step must be the size of the given pool"
        assert steps[-1].after == len(told), "`after` of the last step must be the size of the returned pool"
        assert all(step.why and step.router for step in steps), "each step must have `router` and `why`"
        assert told.endpoints or not endpoints or steps[-1].why.startswith("none "), (
            "if the returned pool is empty, `why` of the last step must start with 'none '"
        )
    assert pool.endpoints == tuple(endpoints), "route must not change the given pool"
    assert _fields(call) == before, "route must not change the call"
    chain = Chain([router])
    assert explain(chain, call, pool), "explain() of a chain with the router must not be empty"


def _fields(call: Call) -> dict[str, Any]:
    return {**msgspec.structs.asdict(call), "metadata": dict(call.metadata)}


def _populations() -> Iterator[list[FakeEndpoint]]:
    yield []
    yield [FakeEndpoint(1)]
    yield [FakeEndpoint(1, is_unhealthy=True)]
    zones = ("eu-1", "eu-2", "")
    tags: list[dict[str, str]] = [{}, {"tag": "gray"}, {"tag": "blue"}]
    rng = random.Random(11)
    for count in (2, 5, 40):
        for out in (0.0, 0.5, 1.0):
            yield [
                FakeEndpoint(
                    number,
                    is_unhealthy=rng.random() < out,
                    zone=rng.choice(zones),
                    tags=rng.choice(tags),
                    group=rng.choice(("default", "blue", "green")),
                    version=rng.choice(("", "1.0", "2.0")),
                    weight=rng.choice((0, 1, 100)),
                )
                for number in range(count)
            ]


def _calls() -> Iterator[Call]:
    """Yield calls, including unusual ones."""
    deadline, driver = Deadline(5.0, 5.0), FakeDriver()
    yield call_of("key")
    yield Call(_NOTHING, (), "check", deadline, driver)
    yield Call(_FIND, (), "", deadline, driver)
    yield Call(_FIND, (None,), "check", deadline, driver, {"user": "ada", "": ""})
    yield Call(_FIND, (b"\xff\xfe",), "check", deadline, driver)
    for tag in ("gray", "unknown", "\ud800"):
        yield Call(_FIND, ([object()],), "check", deadline, driver, tag=tag)


def _threads(make: Make, caller: CallerInfo) -> None:
    """Check that several threads may route at the same time."""
    router = make(caller, ClockAndRandom(now=lambda: 1000.0))
    wrong: list[BaseException | str] = []

    def use() -> None:
        for number in range(50):
            endpoints = [FakeEndpoint(each, zone="eu-1" if each % 2 else "eu-2") for each in range(number % 7)]
            pool = Pool(endpoints)
            for _ in range(5):
                if not set(router.route(call_of(str(number)), pool, None).endpoints) <= set(endpoints):
                    wrong.append("route returned an instance that is not in the pool, when threads share the router")

    run_concurrently(use)
    assert not wrong, wrong[:3]


class _CountedRandom:
    """Random numbers with a counter of their uses."""

    def __init__(self) -> None:
        self.count = 0
        self._random = random.Random(7)

    def next_number(self) -> float:
        self.count += 1
        return self._random.random()


def _sources() -> ClockAndRandom:
    return ClockAndRandom(now=lambda: 1000.0, rng=_CountedRandom().next_number)
