"""Lag of event loops, in virtual time."""

from __future__ import annotations

import asyncio

import pytest
from eventually import eventually, eventually_async
from hand_written import Users, user_service
from virtual_loop import VirtualLoop

from idlrt import observe
from idlrt.errors import ConfigurationError
from idlrt.observe import PROCESS, Histogram
from idlrt.observe.loop_lag import INTERVAL
from idlrt.server import AsyncServer, Server


def lags(name: str) -> Histogram:
    for series in PROCESS.read():
        if series.metric.name == "rpc_loop_lag_seconds":
            found = series.values.get((name,), Histogram())
            assert isinstance(found, Histogram)
            return found
    return Histogram()


def test_a_loop_that_is_not_blocked_has_no_lag() -> None:
    async def run() -> None:
        observe.watch_loop(name="free")
        await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=10 * INTERVAL + INTERVAL / 2)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
    found = lags("free")
    assert found.count == 10
    assert found.max < 1_000  # rounding


def test_the_time_of_a_blocked_loop_is_its_lag() -> None:
    async def run(loop: VirtualLoop) -> None:
        await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=INTERVAL * 1.5)
        loop.pass_by(3.0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop = VirtualLoop()
    observe.watch_loop(loop, "blocked")
    loop.run_until_complete(run(loop))
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    found = lags("blocked")
    assert found.count == 2
    assert found.max == pytest.approx(2.95e9, rel=1e-6)


def test_it_ends_when_it_is_stopped() -> None:
    async def run() -> None:
        watch = observe.watch_loop(name="stopped")
        await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=INTERVAL * 1.5)
        watch.stop()
        watch.stop()
        await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=INTERVAL * 10)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
    assert lags("stopped").count == 1


def test_without_a_loop_or_a_name_it_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        observe.watch_loop()
    with asyncio.Runner() as runner, pytest.raises(ConfigurationError, match="must have between 1 and 100"):
        observe.watch_loop(runner.get_loop(), name="")


def test_servers_measure_their_loops() -> None:
    before = lags("server").count
    with Server(user_service(Users()), "127.0.0.1:0", metrics=True).start():
        eventually(lambda: lags("server").count > before, "the lag of the server's loop")
    before = lags("server").count

    async def run() -> int:
        async with AsyncServer(user_service(Users()), "127.0.0.1:0", metrics=True):
            await eventually_async(lambda: lags("server").count > before, "the lag of the event loop")
        ended = lags("server").count
        watch = observe.watch_loop(name="after")
        await eventually_async(lambda: lags("after").count > 2, "some time")
        watch.stop()
        return ended

    assert asyncio.run(run()) == lags("server").count


def test_servers_without_metrics_do_not() -> None:
    before = lags("server").count

    async def run() -> None:
        async with AsyncServer(user_service(Users()), "127.0.0.1:0"):
            observe.watch_loop(name="beside")
            await eventually_async(lambda: lags("beside").count > 2, "some time")

    asyncio.run(run())
    assert lags("server").count == before
