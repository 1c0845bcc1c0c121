"""The same machine first."""

from __future__ import annotations

import pytest

from idlrt.core import ClockAndRandom
from idlrt.route import CallerInfo, Chain, Pool, explain, make_chain, no_instance_reason
from idlrt.testing.balancers import call_of
from idlrt.testing.routers import FakeEndpoint

HERE = CallerInfo(host="web-1", addresses=("10.9.9.9", "fe80::1"))
FAR = FakeEndpoint(1)


def chain(*, force: bool = False) -> Chain:
    return make_chain([{"router": "local", "force": force}], HERE, ClockAndRandom())


@pytest.mark.parametrize("host", ["web-1", "10.9.9.9", "fe80::1", "127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine(host: str) -> None:
    near = FakeEndpoint(2, host=host)
    assert chain().route(call_of(), Pool([FAR, near])).endpoints == (near,)


@pytest.mark.parametrize("host", ["web-2", "10.9.9.8", "128.0.0.1"])
def test_other_machines(host: str) -> None:
    pool = Pool([FAR, FakeEndpoint(2, host=host)])
    assert chain().route(call_of(), pool) is pool
    assert no_instance_reason("S", explain(chain(force=True), call_of(), pool)) == (
        "no instance of S on the caller's host; 2 on other hosts, excluded by `force`"
    )


def test_an_instance_here_that_is_out() -> None:
    near = FakeEndpoint(2, host="web-1", is_unhealthy=True)
    pool = Pool([FAR, near])
    assert chain().route(call_of(), pool) is pool
    assert chain(force=True).route(call_of(), pool).endpoints == (near,)
    assert explain(chain(force=True), call_of(), pool)[1].why == "on the caller's host"
