"""Balancers decide exactly as straightforward models of them do, and draw as often."""

from __future__ import annotations

import hashlib
import runpy
import sys
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import accumulate, cycle
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from idlrt.balance import BALANCERS, Balancer, ClockAndRandom, Load, digests
from idlrt.testing.balancers import FakeEndpoint, call_of, fake_endpoints

# More than a moment.
pytestmark = pytest.mark.slow

Dice = Callable[[], float]
Choose = Callable[[Sequence[FakeEndpoint], Collection[FakeEndpoint], Dice], FakeEndpoint | None]

NOW: Final = 100.0
HIGHEST: Final = 1 - 2**-53
"""The highest number that `random.random` gives."""


class ScriptedDice:
    """Dice that give the same numbers again and again."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self._numbers = cycle(numbers)
        self.count = 0

    def __call__(self) -> float:
        self.count += 1
        return next(self._numbers)


# Models.


def evenly(candidates: Sequence[FakeEndpoint], rng: Dice) -> FakeEndpoint:
    return candidates[int(rng() * len(candidates))]


def by_weight(candidates: Sequence[FakeEndpoint], rng: Dice) -> FakeEndpoint:
    weights = [each.weight for each in candidates]
    sums = list(accumulate(weights if any(weights) else [1] * len(weights)))
    return candidates[bisect_right(sums, rng() * sums[-1], 0, len(sums) - 1)]


def by_chance(draw: Callable[[Sequence[FakeEndpoint], Dice], FakeEndpoint]) -> Choose:
    """Draw five times from all, then once from the untried ones."""

    def choose(candidates: Sequence[FakeEndpoint], tried: Collection[FakeEndpoint], rng: Dice) -> FakeEndpoint | None:
        if not candidates:
            return None
        for _ in range(5):
            found = draw(candidates, rng)
            if found not in tried:
                return found
        untried = [each for each in candidates if each not in tried]
        return draw(untried, rng) if untried else None

    return choose


def two_choices(candidates: Sequence[FakeEndpoint], tried: Collection[FakeEndpoint], rng: Dice) -> FakeEndpoint | None:
    draw = by_chance(by_weight)
    first = draw(candidates, tried, rng)
    if first is None or len(candidates) < 2:
        return first
    second = draw(candidates, tried, rng)
    assert second is not None
    one, other = (each.load.latency(NOW) * (each.load.in_flight + 1) for each in (first, second))
    return second if other < one else first


def least(measure: Callable[[Load], int]) -> Choose:
    """Compare at most ten untried ones from a random place on."""

    def choose(candidates: Sequence[FakeEndpoint], tried: Collection[FakeEndpoint], rng: Dice) -> FakeEndpoint | None:
        if not candidates:
            return None
        start = int(rng() * len(candidates))
        window = [each for each in [*candidates[start:], *candidates[:start]] if each not in tried][:10]
        best: FakeEndpoint | None = None
        best_load = best_weight = 0
        for each in window:
            load, weight = measure(each.load), each.weight or 1
            one, other = load * best_weight, best_load * weight
            if best is None or one < other or (one == other and weight > best_weight):
                best, best_load, best_weight = each, load, weight
        return best

    return choose


MODELS: Final[dict[str, Choose]] = {
    "random": by_chance(evenly),
    "weighted_random": by_chance(by_weight),
    "p2c": two_choices,
    "least_requests": least(lambda load: load.in_flight),
    "least_connections": least(lambda load: load.connections()),
}


# What they are compared on.

some_weights = st.one_of(
    st.builds(lambda weight, count: [weight] * count, st.integers(0, 1_000_000), st.integers(0, 40)),
    st.lists(st.sampled_from([0, 1, 2, 3, 50, 100, 200]), max_size=40),
    st.lists(st.integers(0, 1_000_000), max_size=40),
)
some_loads = st.lists(st.integers(0, 6), min_size=1, max_size=9)
some_dice = st.lists(
    st.one_of(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from([0.0, HIGHEST]),
        # At the borders between candidates.
        st.builds(lambda count, number: number % count / count, st.integers(1, 40), st.integers(0, 39)),
    ),
    min_size=1,
    max_size=7,
)


class Busy(Load):
    """The load of an instance with connections and calls in flight."""

    def __init__(self, connections: int, calls: int) -> None:
        super().__init__(lambda: connections)
        self.leases = [self.begin() for _ in range(calls)]


def candidates_of(weights: Sequence[int], loads: Sequence[int]) -> list[FakeEndpoint]:
    candidates = fake_endpoints(*weights)
    for number, (each, load) in enumerate(zip(candidates, cycle(loads))):
        each.load = Busy((load * 7 + number) % 5, load)
        if load:
            each.load.record_success(load * 0.01, NOW - number)
    return candidates


def some_of(candidates: Sequence[FakeEndpoint], chosen: int, kind: int) -> Collection[FakeEndpoint]:
    """Those of `candidates` whose bits are set in `chosen`, and one that is no candidate, in different collections."""
    found = [each for number, each in enumerate(candidates) if chosen >> number & 1]
    if not found:
        return ()
    found += fake_endpoints(100)
    return [found, tuple(found), frozenset(found)][kind]


some_tried = st.tuples(st.one_of(st.just(0), st.integers(0, 2**40), st.just(2**40 - 1)), st.integers(0, 2))


@pytest.mark.parametrize("name", MODELS)
@given(some_weights, some_loads, some_dice, some_tried)
@example([100] * 40, [0], [HIGHEST], (0, 0))
@example([3] * 40, [1, 2], [HIGHEST], (0, 0))
@example([1_000_000] * 39 + [999_999], [5], [HIGHEST, 0.0], (0, 0))
def test_it_decides_as_its_model(
    name: str, weights: list[int], loads: list[int], numbers: list[float], which: tuple[int, int]
) -> None:
    candidates = candidates_of(weights, loads)
    tried = some_of(candidates, *which)
    rng, model_dice = ScriptedDice(numbers), ScriptedDice(numbers)
    balancer: Balancer[FakeEndpoint] = BALANCERS.make(name, candidates, ClockAndRandom(now=lambda: NOW, rng=rng))
    for _ in range(5):
        assert balancer.pick(call_of(), tried) is MODELS[name](candidates, tried, model_dice)
        assert rng.count == model_dice.count, "as many draws"


def test_one_of_a_thousand_as_the_models() -> None:
    for weights in ([100] * 1000, [number % 7 * 50 for number in range(1000)]):
        candidates = candidates_of(weights, [4, 1, 0, 2, 5, 3, 3])
        for name, model in MODELS.items():
            numbers = [number * 0.6180339887498949 % 1 for number in range(2000)]
            balancer: Balancer[FakeEndpoint] = BALANCERS.make(
                name, candidates, ClockAndRandom(now=lambda: NOW, rng=ScriptedDice(numbers))
            )
            model_dice = ScriptedDice(numbers)
            for _ in range(500):
                assert balancer.pick(call_of(), ()) is model(candidates, (), model_dice)


# By key.


def digest(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def place_of(key: str) -> int:
    return number(digest(key.encode())[:4])


def first_untried(candidates: Sequence[FakeEndpoint], tried: Collection[FakeEndpoint]) -> FakeEndpoint | None:
    return next((each for each in candidates if each not in tried), None)


def modulo(ordered: Sequence[FakeEndpoint], key: str, tried: Collection[FakeEndpoint]) -> FakeEndpoint | None:
    """One digit of the digest after the other, in the system of as many digits as candidates; then in turn."""
    if not ordered:
        return None
    rest, place = divmod(number(digest(key.encode())), len(ordered))
    places = [place]
    while rest:
        rest, place = divmod(rest, len(ordered)) if len(ordered) > 1 else (0, 0)
        places.append(place)
    places += [(place + step) % len(ordered) for step in range(len(ordered))]
    return first_untried([ordered[each] for each in places], tried)


def ring_of(ordered: Sequence[FakeEndpoint]) -> list[tuple[int, FakeEndpoint]]:
    """160 points for each instance of the weight 100, a multiple of 4 and at least 4 for others, none without one."""
    ring: list[tuple[int, int]] = []
    for index, each in enumerate(ordered):
        if each.instance.weight:
            count = max(160 * each.instance.weight // 100, 4) // 4
            for block in range(count):
                found = digest(f"{each.instance.address}{block}".encode())
                ring += [(number(found[at : at + 4]), index) for at in (0, 4, 8, 12)]
    return [(point, ordered[index]) for point, index in sorted(ring)]


def on_the_ring(
    ring: Sequence[tuple[int, FakeEndpoint]], place: int, tried: Collection[FakeEndpoint]
) -> FakeEndpoint | None:
    after = [each for point, each in ring if point >= place]
    return first_untried([*after, *(each for point, each in ring if point < place)], tried)


def by_address(candidates: Sequence[FakeEndpoint]) -> list[FakeEndpoint]:
    return sorted(candidates, key=lambda each: each.instance.address)


few_weights = st.one_of(
    st.builds(lambda weight, count: [weight] * count, st.integers(0, 300), st.integers(0, 12)),
    st.lists(st.sampled_from([0, 1, 2, 50, 100, 130, 200]), max_size=12),
)
some_keys = st.lists(st.one_of(st.text(max_size=9), st.integers(0, 99).map(str)), min_size=1, max_size=9)


@given(few_weights, some_keys, some_tried)
def test_modulo_decides_as_its_model(weights: list[int], keys: list[str], which: tuple[int, int]) -> None:
    candidates = fake_endpoints(*weights)
    tried = some_of(candidates, *which)
    balancer: Balancer[FakeEndpoint] = BALANCERS.make("modulo", candidates, ClockAndRandom())
    for key in keys:
        assert balancer.pick(call_of(key), tried) is modulo(by_address(candidates), key, tried)


@given(few_weights, some_keys, some_tried)
def test_the_ring_decides_as_its_model(weights: list[int], keys: list[str], which: tuple[int, int]) -> None:
    candidates = fake_endpoints(*weights)
    tried = some_of(candidates, *which)
    balancer: Balancer[FakeEndpoint] = BALANCERS.make("consistent_hash", candidates, ClockAndRandom())
    ring = ring_of(by_address(candidates))
    for key in keys:
        assert balancer.pick(call_of(key), tried) is on_the_ring(ring, place_of(key), tried)
    # On a point, and beyond the last one, where the first one follows.
    chosen: Any = balancer
    for place in (0, 2**32 - 1, *(point + step for point, _ in ring[-1:] for step in (0, 1))):
        assert chosen.owner(place, tried) is on_the_ring(ring, place, tried)


@settings(max_examples=20)
@given(few_weights, some_keys, some_tried)
def test_maglev_looks_up_the_place_of_the_key(weights: list[int], keys: list[str], which: tuple[int, int]) -> None:
    candidates = fake_endpoints(*weights)
    tried = some_of(candidates, *which)
    balancer: Any = BALANCERS.make("maglev", candidates, ClockAndRandom())
    for key in keys:
        owners = (balancer.owner((place_of(key) + step) % 65537, ()) for step in range(65537))
        expected = next((each for each in owners if each not in tried), None)
        assert balancer.pick(call_of(key), tried) is expected


@pytest.mark.parametrize("name", ["consistent_hash", "maglev"])
@settings(max_examples=30)
@given(few_weights, some_loads, some_keys, some_tried, st.sampled_from([1.0, 1.25, 2.0]))
def test_with_a_bound_the_first_that_has_room(
    name: str, weights: list[int], loads: list[int], keys: list[str], which: tuple[int, int], bound: float
) -> None:
    candidates = candidates_of(weights, loads)
    tried = some_of(candidates, *which)
    kind: Any = BALANCERS.get(name)
    balancer = kind(candidates, ClockAndRandom(), kind.Settings(balance_factor=bound))
    ordered = by_address(candidates)
    untried = [each for each in ordered if each not in tried]
    whole = sum(each.instance.weight for each in untried)
    allowed = bound * (sum(each.load.in_flight for each in untried) + 1)

    def has_room(each: FakeEndpoint | None) -> bool:
        return each is not None and each.load.in_flight * whole < allowed * each.instance.weight

    for key in keys:
        found = digest(key.encode())
        first = balancer.owner(number(found[:4]), tried)
        expected = first
        if first is not None and first.load.in_flight:
            jumps = [found]
            for _ in range(16):
                jumps.append(digest(jumps[-1]))
            start = number(jumps[-1][4:8])
            order = [balancer.owner(number(each[:4]), tried) for each in jumps[:16]]
            order += [ordered[(start + step) % len(ordered)] for step in range(len(ordered))]
            expected = next((each for each in order if each not in tried and has_room(each)), first)
        assert balancer.pick(call_of(key), tried) is expected


@given(st.binary(max_size=200))
def test_digests_are_those_of_hashlib(data: bytes) -> None:
    assert digests.new_md5(data).digest() == digest(data)


def test_digests_without_the_module_that_not_every_interpreter_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_md5", None)
    module = runpy.run_path(digests.__file__)
    assert isinstance(module["new_md5"], partial)
    assert module["new_md5"](b"key").digest() == digest(b"key")
