"""Balancers by key: affinity, moves when an instance leaves, and the load bound."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, inf, nan
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idlrt.balance import BALANCERS, Balancer, ClockAndRandom
from idlrt.balance.consistent_hash import points
from idlrt.errors import ConfigurationError
from idlrt.testing import check_balancer
from idlrt.testing.balancers import FakeEndpoint, call_of, fake_endpoints

# More than a moment.
pytestmark = pytest.mark.slow

NAMES = ["consistent_hash", "maglev", "modulo"]
BOUNDED = ["consistent_hash", "maglev"]
CALLS = [call_of(f"key {number}") for number in range(2000)]

some_weights = st.lists(st.integers(1, 400), min_size=2, max_size=12)


def made(name: str, candidates: Sequence[FakeEndpoint], **said: Any) -> Balancer[FakeEndpoint]:
    balancer: Any = BALANCERS.get(name)
    found: Balancer[FakeEndpoint] = balancer(candidates, ClockAndRandom(), balancer.Settings(**said) if said else None)
    return found


def met(balancer: Balancer[FakeEndpoint], calls: Sequence[Any] = CALLS, tried: Any = ()) -> list[FakeEndpoint]:
    found = [balancer.pick(call, tried) for call in calls]
    assert None not in found
    return [each for each in found if each is not None]


def shares(balancer: Balancer[FakeEndpoint], candidates: Sequence[FakeEndpoint]) -> list[float]:
    calls = [call_of(str(number)) for number in range(6000)]
    found = Counter(met(balancer, calls))
    return [found[each] / len(calls) for each in candidates]


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("bound", [1.25, *(pytest.param(more, marks=pytest.mark.slow) for more in (1.0, 8.0))])
def test_conformance_with_a_bound(name: str, bound: float) -> None:
    balancer: Any = BALANCERS.get(name)
    check_balancer(balancer, balancer.Settings(balance_factor=bound))


# Keys stay where they are.


@pytest.mark.parametrize("name", NAMES)
def test_a_key_meets_one_instance_whatever_the_order(name: str) -> None:
    candidates = fake_endpoints(*[100] * 20)
    assert met(made(name, candidates)) == met(made(name, candidates[::-1]))


def test_the_option_counts_more_than_the_argument() -> None:
    balancer = made("consistent_hash", fake_endpoints(*[100] * 20))
    assert len({balancer.pick(call_of(str(number), hash_key="same"), ()) for number in range(50)}) == 1
    assert balancer.pick(call_of("7"), ()) is balancer.pick(call_of("x", hash_key=7), ())
    assert balancer.pick(call_of("7"), ()) is balancer.pick(call_of("x", hash_key=b"7"), ())


@given(some_weights, st.data())
def test_on_the_ring_only_the_keys_of_the_one_that_leaves_move(weights: list[int], data: st.DataObject) -> None:
    candidates = fake_endpoints(*weights)
    gone = data.draw(st.sampled_from(candidates))
    before = met(made("consistent_hash", candidates), CALLS[:300])
    after = met(made("consistent_hash", [each for each in candidates if each is not gone]), CALLS[:300])
    assert all(one is other or one is gone for one, other in zip(before, after, strict=True))
    # Out is like gone, without a new ring.
    assert met(made("consistent_hash", candidates), CALLS[:300], frozenset([gone])) == after


@pytest.mark.parametrize("count", [10, 400])
def test_a_table_moves_few_keys_of_others(count: int) -> None:
    candidates = fake_endpoints(*[100] * count)
    before, after = met(made("maglev", candidates)), met(made("maglev", candidates[1:]))
    pairs = list(zip(before, after, strict=True))
    assert all(other is not candidates[0] for _, other in pairs)
    moved = sum(one is not other and one is not candidates[0] for one, other in pairs)
    assert moved / len(CALLS) <= 0.03
    # None at all when it is only out.
    out = met(made("maglev", candidates), CALLS, frozenset(candidates[:1]))
    assert all(one is other or one is candidates[0] for one, other in zip(before, out, strict=True))


def test_modulo_moves_nearly_all_when_one_leaves_and_few_when_it_is_out() -> None:
    candidates = fake_endpoints(*[100] * 20)
    before = met(made("modulo", candidates))
    after = met(made("modulo", candidates[1:]))
    assert sum(one is not other for one, other in zip(before, after, strict=True)) / len(CALLS) > 0.8
    out = met(made("modulo", candidates), CALLS, [candidates[0]])
    assert all(one is other or one is candidates[0] for one, other in zip(before, out, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_keys_of_one_that_is_out_are_spread(name: str) -> None:
    candidates = fake_endpoints(*[100] * 10)
    balancer = made(name, candidates)
    lost = [call for call, one in zip(CALLS, met(balancer), strict=True) if one is candidates[0]]
    heirs = Counter(met(balancer, lost, [candidates[0]]))
    assert len(heirs) == 9
    assert max(heirs.values()) <= len(lost) / 2


def test_the_next_on_the_ring_after_one_that_was_tried() -> None:
    candidates = fake_endpoints(*[100] * 5)
    balancer = made("consistent_hash", candidates)
    first = balancer.pick(call_of("k"), ())
    without = made("consistent_hash", [each for each in candidates if each is not first])
    assert first is not None
    assert balancer.pick(call_of("k"), [first]) is without.pick(call_of("k"), ())


def test_every_process_gives_the_same_answer() -> None:
    program = (
        "from idlrt.balance import BALANCERS, ClockAndRandom\n"
        "from idlrt.testing.balancers import call_of, fake_endpoints\n"
        f"for name in {NAMES}:\n"
        "    candidates = fake_endpoints(*range(50, 150, 10))\n"
        "    for each in candidates:\n"
        "        each.make_busy(each.instance.weight)\n"
        "    balancer = BALANCERS.get(name)\n"
        "    makes = [{}] if name == 'modulo' else [{}, {'balance_factor': 1.0}]\n"
        "    for settings in makes:\n"
        "        chosen = balancer(candidates, ClockAndRandom(), balancer.Settings(**settings))\n"
        "        print([chosen.pick(call_of(str(number)), set(candidates[:2])).instance.id for number in range(40)])\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


# Shares.


def test_shares_follow_weights() -> None:
    candidates = fake_endpoints(50, 100, 200, 0)
    expected = [1 / 7, 2 / 7, 4 / 7, 0.0]
    assert shares(made("consistent_hash", candidates), candidates) == pytest.approx(expected, abs=0.05)
    assert shares(made("maglev", candidates), candidates) == pytest.approx(expected, abs=0.02)
    candidates = fake_endpoints(*[100] * 4)
    assert shares(made("modulo", candidates), candidates) == pytest.approx([0.25] * 4, abs=0.02)


@pytest.mark.parametrize("count", [1, 3, 100, 650])
def test_a_table_is_even(count: int) -> None:
    candidates = fake_endpoints(*[100] * count)
    balancer: Any = made("maglev", candidates)
    has = Counter(balancer.owner(place, ()) for place in range(65537))
    assert max(has.values()) <= min(has.values()) + 1
    assert len(has) == count


@settings(max_examples=8)
@given(some_weights)
def test_a_table_follows_weights(weights: list[int]) -> None:
    candidates = fake_endpoints(*weights)
    balancer: Any = made("maglev", candidates)
    has = Counter(balancer.owner(place, ()) for place in range(65537))
    for each, weight in zip(candidates, weights, strict=True):
        assert abs(has[each] - 65537 * weight / sum(weights)) <= len(weights)


@pytest.mark.parametrize("name", NAMES)
def test_every_weighted_instance_gets_keys(name: str) -> None:
    candidates = fake_endpoints(1, 1_000_000, 1)
    balancer = made(name, candidates)
    assert balancer.pick(call_of("k"), frozenset([candidates[1]])) in (candidates[0], candidates[2])


# Dubbo's ring.


def dubbo(candidates: Sequence[FakeEndpoint], key: str) -> FakeEndpoint:
    """Its `ConsistentHashLoadBalance`, as it is described: a sorted map from points to invokers."""
    ring: dict[int, FakeEndpoint] = {}
    for each in sorted(candidates, key=lambda target: target.instance.address, reverse=True):
        for number in range(40):
            digest = hashlib.md5(f"{each.instance.address}{number}".encode()).digest()
            for h in range(4):
                ring[dubbo_point(digest, h)] = each
    places = sorted(ring)
    at = bisect_left(places, dubbo_point(hashlib.md5(key.encode()).digest(), 0))
    return ring[places[at % len(places)]]


def dubbo_point(digest: bytes, h: int) -> int:
    part = digest[h * 4 : h * 4 + 4]
    return (part[3] << 24 | part[2] << 16 | part[1] << 8 | part[0]) & 0xFFFFFFFF


def test_points_lie_where_dubbo_has_them() -> None:
    digest = hashlib.md5(b"10.0.0.0:90907").digest()
    found = list(points("10.0.0.0:9090", 160))
    assert len(found) == 160
    assert found[7 * 4 : 8 * 4] == [dubbo_point(digest, h) for h in range(4)]


def test_keys_meet_the_instances_that_they_meet_from_dubbo() -> None:
    candidates = fake_endpoints(*[100] * 7)
    balancer = made("consistent_hash", candidates)
    for number in range(100):
        assert balancer.pick(call_of(f"key {number}"), ()) is dubbo(candidates, f"key {number}")


# Bounds.


@pytest.mark.parametrize("bound", [0.5, -1.0, inf, nan])
def test_a_bound_that_makes_no_sense(bound: float) -> None:
    balancer: Any = BALANCERS.get("maglev")
    with pytest.raises(ConfigurationError, match=r"balance_factor must be 0 \(disabled\) or at least 1, got"):
        balancer.Settings(balance_factor=bound)
    with pytest.raises(msgspec.ValidationError, match="unknown field `bounds`"):
        msgspec.convert({"bounds": 2.0}, balancer.Settings)


@settings(max_examples=60)
@given(
    st.sampled_from(BOUNDED),
    st.lists(st.integers(1, 300), min_size=1, max_size=12),
    st.sampled_from([1.0, 1.25, 1.5, 2.0]),
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 99)), max_size=80),
    st.integers(0, 3),
)
def test_no_instance_exceeds_the_load_bound(
    name: str, weights: list[int], bound: float, steps: list[tuple[bool, int, int]], out: int
) -> None:
    """Calls of a few keys begin and end; some instances are out."""
    candidates = fake_endpoints(*weights)
    tried = frozenset(candidates[:out])
    balancer = made(name, candidates, balance_factor=bound)
    there = [each for each in candidates if each not in tried]
    in_flight: list[FakeEndpoint] = []
    for ends, key, which in steps:
        if ends and in_flight:
            ended = in_flight.pop(which % len(in_flight))
            ended.make_busy(ended.load.in_flight - 1)
            continue
        found = balancer.pick(call_of(f"key {key}"), tried)
        if not there:
            assert found is None
            continue
        assert found is not None
        assert found not in tried
        found.make_busy(found.load.in_flight + 1)
        in_flight.append(found)
        part = Fraction(found.instance.weight, sum(each.instance.weight for each in there))
        assert found.load.in_flight <= ceil(Fraction(bound) * len(in_flight) * part)


@pytest.mark.parametrize("name", BOUNDED)
def test_load_stays_near_the_bound_with_many_instances(name: str) -> None:
    candidates = fake_endpoints(*[100] * 200)
    balancer = made(name, candidates, balance_factor=1.25)
    for number in range(4000):
        found = balancer.pick(call_of(f"key {number % 10}"), ())
        assert found is not None
        found.make_busy(found.load.in_flight + 1)
    assert max(each.load.in_flight for each in candidates) <= 26
    # When they have ended, all that is kept together is together again.
    for each in candidates:
        each.make_busy(0)
    for _ in range(20):
        balancer.pick(call_of("x"), ())
    assert met(balancer) == met(made(name, candidates))


@pytest.mark.parametrize("name", BOUNDED)
def test_a_hot_key_overflows_to_the_same_few(name: str) -> None:
    candidates = fake_endpoints(*[100] * 10)
    balancer = made(name, candidates, balance_factor=1.5)
    for each in candidates:
        each.make_busy(4)
    plain = made(name, candidates)
    homes = {plain.pick(call_of("hot"), ())}
    found = []
    for _ in range(9):
        one = balancer.pick(call_of("hot"), ())
        assert one is not None
        one.make_busy(one.load.in_flight + 1)
        found.append(one)
    assert found[0] in homes
    assert 3 <= len(set(found)) <= 5
    assert max(each.load.in_flight for each in candidates) <= ceil(1.5 * 49 / 10)


@pytest.mark.parametrize("name", BOUNDED)
def test_keys_of_one_that_is_full_do_not_all_go_to_its_neighbour(name: str) -> None:
    candidates = fake_endpoints(*[100] * 10)
    for each in candidates:
        each.make_busy(2)
    candidates[0].make_busy(100)
    balancer, plain = made(name, candidates, balance_factor=1.25), made(name, candidates)
    lost = [call for call, one in zip(CALLS, met(plain), strict=True) if one is candidates[0]]
    heirs = Counter(met(balancer, lost))
    assert candidates[0] not in heirs
    assert max(heirs.values()) / len(lost) < 0.25


@pytest.mark.parametrize("name", BOUNDED)
def test_what_one_has_too_much_goes_to_others_by_weight(name: str) -> None:
    candidates = fake_endpoints(*[100] * 6, *[400] * 5)
    for each in candidates:
        each.make_busy(each.instance.weight // 100)
    candidates[0].make_busy(100)
    balancer, plain = made(name, candidates, balance_factor=4.0), made(name, candidates)
    lost = [call for call, one in zip(CALLS * 2, met(plain, CALLS * 2), strict=True) if one is candidates[0]]
    heirs = met(balancer, lost)
    assert sum(each in candidates[6:] for each in heirs) / len(lost) == pytest.approx(20 / 25, abs=0.12)


@pytest.mark.parametrize("name", BOUNDED)
def test_the_average_load_counts_only_available_instances(name: str) -> None:
    candidates = fake_endpoints(*[100] * 40)
    out = frozenset(candidates[5:])
    balancer = made(name, candidates, balance_factor=1.25)
    home = balancer.pick(call_of("k"), out)
    assert home is not None
    for each in candidates[:5]:
        each.make_busy(3)
    home.make_busy(6)
    # Over all instances the average is below one, and no instance would have capacity.
    balancer.pick(call_of("k"), ())
    assert balancer.pick(call_of("k"), out) in {*candidates[:5]} - {home}
    home.make_busy(3)
    for _ in range(20):
        again = balancer.pick(call_of("k"), out)
    assert again is home
