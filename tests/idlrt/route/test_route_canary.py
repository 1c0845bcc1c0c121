"""Canaries: who is in, that it stays so, and where the others go."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import ClockAndRandom
from idlrt.route import CallerInfo, Chain, Pool, explain, make_chain, no_instance_reason
from idlrt.testing.balancers import call_of
from idlrt.testing.routers import FakeEndpoint

OLD, NEW, NEWER = NODES = [
    FakeEndpoint(1, version="1.0"),
    FakeEndpoint(2, version="2.0"),
    FakeEndpoint(3, version="2.1"),
]
POOL = Pool(NODES)
COUNT = 4000


def chain(caller: CallerInfo | None = None, seed: int = 1, **rule: Any) -> Chain:
    given = {"router": "canary", "to": "version = 2.*", "percent": 5, "key": "argument.key", **rule}
    return make_chain([given], caller or CallerInfo(), ClockAndRandom(rng=random.Random(seed).random))


def who_is_in(**rule: Any) -> set[str]:
    router = chain(**rule)
    return {f"u{user}" for user in range(COUNT) if router.route(call_of(f"u{user}"), POOL).endpoints == (NEW, NEWER)}


def test_the_others_go_to_those_that_are_no_canaries() -> None:
    router = chain(percent=50)
    assert {router.route(call_of(str(user)), POOL).endpoints for user in range(100)} == {(OLD,), (NEW, NEWER)}


def test_callers_stay_in_the_canary_when_the_percent_grows() -> None:
    groups = [who_is_in(percent=percent) for percent in (0, 1, 5, 10, 50, 100)]
    assert all(fewer <= more for fewer, more in itertools.pairwise(groups))
    assert [len(group) / COUNT for group in groups] == pytest.approx([0, 0.01, 0.05, 0.1, 0.5, 1], abs=0.02)
    assert not groups[0]
    assert len(groups[-1]) == COUNT
    assert len(groups[1]) > 0


def test_calls_with_a_key_do_not_depend_on_seed_or_caller() -> None:
    assert who_is_in(seed=1) == who_is_in(seed=2, caller=CallerInfo(id="other", zone=""))


def test_rules_are_independent() -> None:
    one, other = who_is_in(name="one", percent=30), who_is_in(name="other", percent=30)
    assert len(one & other) / COUNT == pytest.approx(0.09, abs=0.02)
    # Without names, by what they say.
    one, other = who_is_in(percent=30), who_is_in(percent=30, when="method = g*")
    assert len(one & other) / COUNT == pytest.approx(0.09, abs=0.02)


def test_every_process_agrees() -> None:
    program = "import runpy, sys; print(sorted(runpy.run_path(sys.argv[1])['who_is_in'](percent=1)))"
    done = subprocess.run(
        [sys.executable, "-c", program, __file__],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7"},
    )
    assert done.stdout.strip() == str(sorted(who_is_in(percent=1)))


def test_canary_membership_is_stable_across_versions() -> None:
    assert sorted(who_is_in(name="pinned", percent=0.1)) == ["u2303", "u2467", "u2587", "u314", "u3438"]


def test_without_a_key_chance_decides_each_time() -> None:
    for key in ("", "metadata.user"):
        router = chain(percent=20, key=key)
        share = sum(router.route(call_of("x"), POOL).endpoints == (NEW, NEWER) for _ in range(COUNT)) / COUNT
        assert share == pytest.approx(0.2, abs=0.02)


def test_callers_as_keys() -> None:
    shares = [len(who_is_in(key="caller.id", percent=30, caller=CallerInfo(id=f"c{number}"))) for number in range(40)]
    assert set(shares) == {0, COUNT} or len(shares) == 0
    assert 3 < shares.count(COUNT) < 25


def test_calls_that_when_does_not_fit_stay_away_from_canaries() -> None:
    assert chain(percent=100, when="method = other").route(call_of("x"), POOL).endpoints == (OLD,)


def test_one_side_without_instances() -> None:
    canaries, others = Pool([NEW, NEWER]), Pool([OLD])
    assert chain(percent=100).route(call_of("x"), others).endpoints == (OLD,)
    assert chain(percent=0).route(call_of("x"), canaries).endpoints == (NEW, NEWER)
    for percent, pool, side in ((100, others, "canaries"), (0, canaries, "non-canaries")):
        router = chain(percent=percent, force=True)
        assert router.route(call_of("x"), pool).endpoints == ()
        reason = no_instance_reason("S", explain(router, call_of("x"), pool))
        assert reason.startswith(f"no instance of S among the {side}: argument.key 'x' is ")


def test_a_side_that_is_out() -> None:
    old, new = FakeEndpoint(1, version="1"), FakeEndpoint(2, version="2.0", is_unhealthy=True)
    assert chain(percent=100).route(call_of("x"), Pool([old, new])).endpoints == (old,)
    assert chain(percent=100, force=True).route(call_of("x"), Pool([old, new])).endpoints == (new,)
    old.is_unhealthy = True
    pool = Pool([old, new])
    assert chain(percent=100).route(call_of("x"), pool) is pool


@given(st.text(), st.floats(0, 100), st.floats(0, 100))
def test_any_key_is_in_or_out_for_good(key: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    is_in = [chain(percent=percent).route(call_of(key or "-"), POOL).endpoints != (OLD,) for percent in (low, high)]
    assert is_in[0] <= is_in[1]
