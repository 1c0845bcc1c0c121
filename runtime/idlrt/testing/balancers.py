"""Conformance suite of balancers, for the built-in ones and for plugins.

from idlrt.testing import check_balancer

def test_mine() -> None:
    check_balancer(Mine)
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from idlrt.balance import Balancer, ClockAndRandom, Load
from idlrt.core import Call, Deadline, Instance
from idlrt.core.leases import Lease
from idlrt.spec import STRING, VOID, method, required
from idlrt.testing.fake_driver import FakeDriver
from idlrt.testing.threads import run_concurrently

__all__ = ["FakeEndpoint", "call_of", "check_balancer", "fake_endpoints"]

Make = Callable[[Sequence[Any]], Balancer[Any]]


class _Service:
    def get(self, key: str) -> None:
        """A method with one argument."""


_GET = method(_Service.get, required(1, "key", STRING), result=VOID)


class FakeEndpoint:
    """A `Endpoint` for tests. Its `weight` may be changed, as during warm-up."""

    def __init__(self, number: int, weight: int = 100) -> None:
        self.instance = Instance(service="Check", host=f"10.0.{number // 250}.{number % 250}", port=9090, weight=weight)
        self.weight = self.instance.weight
        self.load = Load()
        self._calls: list[Lease] = []

    def make_busy(self, calls: int) -> None:
        """Set the number of calls in flight to `calls`."""
        del self._calls[calls:]
        while len(self._calls) < calls:
            self._calls.append(self.load.begin())

    def __repr__(self) -> str:
        return f"<FakeEndpoint {self.instance.id}>"


def fake_endpoints(*weights: int) -> list[FakeEndpoint]:
    """Return one candidate per weight."""
    return [FakeEndpoint(number, weight) for number, weight in enumerate(weights)]


def call_of(key: str = "", **options: Any) -> Call:
    """Return a call with `key` as its argument."""
    return Call(_GET, (key,), "check", Deadline(5.0, 5.0), FakeDriver(), {}, options)


def check_balancer(balancer: type[Balancer[Any]], settings: Any = None) -> None:
    """Check a balancer.

    Args:
        settings: settings of the balancer; its defaults if `None`.

    Raises:
        AssertionError: the balancer violates a rule; the message names the rule.
    """
    _settings(balancer)
    sources = ClockAndRandom(now=lambda: 1000.0, rng=random.Random(7).random)

    def make(candidates: Sequence[Any]) -> Balancer[Any]:
        return balancer(candidates, sources, settings) if settings is not None else balancer(candidates, sources)

    assert make([]).pick(call_of(), ()) is None, "pick must return None if there are no candidates"
    for count in (1, 2, 3, 50, 1000):
        candidates = fake_endpoints(*[100] * count)
        _tries_all(make(candidates), candidates)
    _leaves_out(make)
    _weights(make)
    _threads(make)


def _settings(balancer: type[Balancer[Any]]) -> None:
    """Check that settings can be read from a configuration and have defaults."""
    settings = balancer.Settings
    config = settings.__struct_config__
    assert config.frozen and config.forbid_unknown_fields, f"{settings} must be frozen and forbid unknown fields"  # noqa: PT018
    assert msgspec.convert({}, settings) == settings(), f"each field of {settings} must have a default"
    assert balancer.covers_all in (True, False), f"covers_all must be a bool, got {balancer.covers_all!r}"


def _leaves_out(make: Make) -> None:
    """Check that hundreds of candidates may be excluded, also ones that are no candidates any more."""
    candidates = fake_endpoints(*[100] * 1000)
    balancer = make(candidates)
    left, out = candidates[600], frozenset([*candidates[:600], *candidates[601:], *fake_endpoints(100)])
    for number in range(5):
        assert balancer.pick(call_of(str(number)), out) is left, "pick missed the only candidate that was not tried"
        assert balancer.pick(call_of(str(number)), out | {left}) is None, "pick must return None if all were tried"


def _tries_all(balancer: Balancer[Any], candidates: Sequence[FakeEndpoint]) -> None:
    tried: list[FakeEndpoint] = []
    call = call_of("some key")
    for _ in candidates[:60]:
        found = balancer.pick(call, tried)
        assert found is not None and found in candidates, f"pick returned {found}, which is not a candidate"  # noqa: PT018
        assert found not in tried, f"pick returned {found}, which was already tried"
        tried.append(found)
    if len(candidates) <= 60:
        assert balancer.pick(call, tried) is None, "pick must return None if all were tried"


def _weights(make: Make) -> None:
    """Check unusual weights: the balancer picks candidates only, and each untried candidate can be picked."""
    for weights in ((1, 1_000_000), (7, 13, 29), (1,), (100, 100, 1), (999_983, 999_979)):
        candidates = fake_endpoints(*weights)
        balancer = make(candidates)
        found = Counter(balancer.pick(call_of(str(number)), ()) for number in range(50))
        assert set(found) <= set(candidates), f"pick returned something else than a candidate, with weights {weights}"
        first = balancer.pick(call_of("k"), ())
        others: Collection[Any] = [each for each in candidates if each is not first]
        if others:
            second = balancer.pick(call_of("k"), [first])
            assert second in others, f"pick returned {second} and not an untried candidate, with weights {weights}"


def _threads(make: Make) -> None:
    """Check that several threads may pick at the same time."""
    candidates = fake_endpoints(*range(1, 21))
    balancer = make(candidates)
    wrong: list[BaseException | Any] = []

    def use() -> None:
        for number in range(500):
            found = balancer.pick(call_of(str(number)), ())
            if found not in candidates:
                wrong.append(found)

    run_concurrently(use)
    assert not wrong, f"pick returned something else than a candidate when threads share the balancer: {wrong[:3]}"
