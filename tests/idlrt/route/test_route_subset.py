"""Subsets: stable, even over clients, and full as long as there are enough that are well."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import ClockAndRandom
from idlrt.route import CallerInfo, Pool, make_chain
from idlrt.testing.balancers import call_of
from idlrt.testing.routers import FakeEndpoint


def subset(client: str, endpoints: list[FakeEndpoint], size: int) -> set[str]:
    router = make_chain([{"router": "subset", "size": size}], CallerInfo(id=client), ClockAndRandom(rng=lambda: 0.5))
    return {endpoint.instance.address for endpoint in router.route(call_of(), Pool(endpoints)).endpoints}


def addresses(endpoints: list[FakeEndpoint]) -> set[str]:
    return {endpoint.instance.address for endpoint in endpoints}


def test_a_client_always_has_the_same() -> None:
    endpoints = [FakeEndpoint(number) for number in range(50)]
    assert subset("me", endpoints, 10) == subset("me", endpoints[::-1], 10)
    assert len(subset("me", endpoints, 10)) == 10
    assert subset("me", endpoints, 10) != subset("you", endpoints, 10)


def test_which_ones_is_the_same_in_every_version() -> None:
    # An upgrade must not move all connections at once.
    endpoints = [FakeEndpoint(number) for number in range(8)]
    assert subset("client-1", endpoints, 3) == {f"10.0.0.{number}:9090" for number in (2, 3, 5)}


def test_clients_spread_evenly() -> None:
    endpoints = [FakeEndpoint(number) for number in range(50)]
    found = Counter(address for client in range(500) for address in subset(f"client-{client}", endpoints, 10))
    # A mean of 100, and a standard deviation of about 9.
    assert min(found.values()) > 60
    assert max(found.values()) < 140
    assert len(found) == 50


@given(st.integers(2, 40), st.integers(1, 40), st.integers(0, 39), st.text(min_size=1, max_size=5))
def test_when_one_goes_at_most_one_changes(count: int, size: int, gone: int, client: str) -> None:
    endpoints = [FakeEndpoint(number) for number in range(count)]
    before = subset(client, endpoints, size)
    left = [endpoint for number, endpoint in enumerate(endpoints) if number != gone % count]
    after = subset(client, left, size)
    assert len(before) == min(size, count)
    assert len(after) == min(size, count - 1)
    assert before - after <= addresses([endpoints[gone % count]])
    assert len(after - before) <= 1


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 30))
def test_those_that_are_out_are_replaced_and_come_back(out: list[bool], size: int) -> None:
    all_well = [FakeEndpoint(number) for number in range(len(out))]
    endpoints = [FakeEndpoint(number, is_unhealthy=is_unhealthy) for number, is_unhealthy in enumerate(out)]
    well = addresses([endpoint for endpoint in endpoints if not endpoint.is_unhealthy])
    found = subset("me", endpoints, size)
    assert len(found) == min(size, len(endpoints))
    assert len(found & well) == min(size, len(well))
    # Who is well and was in before is in still.
    assert subset("me", all_well, size) & well <= found


@pytest.mark.parametrize("size", [5, 6, 1000])
def test_more_than_there_are_is_all(size: int) -> None:
    pool = Pool([FakeEndpoint(number) for number in range(5)])
    router = make_chain([{"router": "subset", "size": size}], CallerInfo(), ClockAndRandom())
    assert router.route(call_of(), pool) is pool


def test_a_client_without_an_id_has_one_by_chance() -> None:
    endpoints = [FakeEndpoint(number) for number in range(50)]
    routers = [make_chain([{"router": "subset", "size": 3}], CallerInfo(), ClockAndRandom()) for _ in range(10)]
    assert len({router.route(call_of(), Pool(endpoints)).endpoints for router in routers}) > 1
    pool = Pool(endpoints)
    assert routers[0].route(call_of(), pool).endpoints == routers[0].route(call_of(), Pool(endpoints)).endpoints
