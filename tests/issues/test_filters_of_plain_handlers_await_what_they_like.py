"""Filters of servers may await whatever they like, also in front of plain handlers, which run where they always run."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from by_hand import ANY_ORDER, FOREVER, HEADER, Noting, Raw, serving, stopping
from eventually import eventually
from hand_written import GET, JOIN, WAIT, NotFound, User, Users, UserServiceClient
from kinds import KINDS, Caller
from kinds import serving as serving_kind

from idlrt.core import ServerCall
from idlrt.errors import ApplicationCode
from idlrt.server.method_table import ServerCallNext, ServerFilter
from idlrt.server.suspending import may_suspend

PLAIN = pytest.mark.parametrize("kind", ["plain", "worker"])


class Where(Users):
    """`join` returns the name of the thread that it runs on."""

    def join(self, words: list[str], by: str = "-") -> str:
        return threading.current_thread().name


def waiting_for_all_of_asyncio() -> ServerFilter:
    """A filter that uses what libraries use, and something that belongs to one event loop."""
    lock: list[asyncio.Lock] = []

    async def use(call: ServerCall, next: ServerCallNext) -> Any:
        lock.append(lock[0] if lock else asyncio.Lock())
        assert asyncio.current_task() is not None
        async with lock[0], asyncio.timeout(FOREVER):
            await asyncio.sleep(0)
            await asyncio.wait_for(asyncio.to_thread(int), FOREVER)
        async with asyncio.TaskGroup() as group:
            assert await group.create_task(asyncio.to_thread(lambda: 7)) == 7
        return await asyncio.wait_for(next(call), FOREVER)

    return use


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param(each, id=str(each)) for each in KINDS if each.place == "tcp"])
def test_whatever_a_filter_awaits_the_call_is_answered(kind: Any, tmp_path: Path) -> None:
    with serving_kind(kind, None, tmp_path, filters=[waiting_for_all_of_asyncio()]) as running:
        client = Caller("blocking", running)
        try:
            found = client.all_at_once("get", [(number,) for number in range(1, 20)])
            assert [user.id for user in found] == list(range(1, 20))
            assert client.all_at_once("get", [(-3,)]) == [NotFound(id=-3)]
        finally:
            client.close()


async def pause(call: ServerCall, next: ServerCallNext) -> Any:
    await asyncio.sleep(0)
    return await next(call)


@PLAIN
def test_a_plain_handler_runs_where_it_runs_without_filters(kind: str) -> None:
    names: list[str] = []
    for filters in ([], [pause]):
        with serving(Where(), kind, filters=filters) as server, Raw(server) as raw:
            raw.call(JOIN, [], "-")
            names += raw.values()
    assert names[0] == names[1]


@PLAIN
def test_filters_of_a_server_share_one_event_loop(kind: str) -> None:
    loops: set[asyncio.AbstractEventLoop] = set()

    async def note(call: ServerCall, next: ServerCallNext) -> Any:
        loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return await next(call)

    with serving(Users(), kind, filters=[note]) as server, Raw(server) as raw:
        for number in range(1, 30):
            raw.call(GET, number)
        assert [user.id for user in raw.values(29)] == list(range(1, 30))
    assert len(loops) == 1


variable: ContextVar[str] = ContextVar("variable")


@PLAIN
def test_filter_and_handler_share_a_context(kind: str) -> None:
    seen: list[str] = []

    class Seeing(Users):
        def get(self, id: int) -> User:
            seen.append(variable.get())
            variable.set("by the handler")
            return User(id=id)

    async def set_it(call: ServerCall, next: ServerCallNext) -> Any:
        variable.set("by the filter")
        await asyncio.sleep(0)
        result = await next(call)
        seen.append(variable.get())
        return result

    with serving(Seeing(), kind, filters=[set_it]) as server, Raw(server) as raw:
        raw.call(GET, 1)
        assert raw.values() == [User(id=1)]
    assert seen == ["by the filter", "by the handler"]


@PLAIN
@pytest.mark.parametrize(("how", "order"), [(HEADER, [1, 2]), (ANY_ORDER, [2, 1])], ids=["in order", "as they come"])
def test_calls_do_not_wait_for_each_others_filters_but_answers_keep_their_order(
    kind: str, how: Any, order: list[int]
) -> None:
    is_answered = asyncio.Event()

    async def first_waits(call: ServerCall, next: ServerCallNext) -> Any:
        if call.arguments == (1,):
            await is_answered.wait()
        result = await next(call)
        is_answered.set()
        return result

    with serving(Users(), kind, filters=[first_waits]) as server, Raw(server, how) as raw:
        raw.socket.sendall(raw.bytes_of(GET, 1) + raw.bytes_of(GET, 2))
        assert [user.id for user in raw.values(2)] == order


@PLAIN
def test_a_call_whose_filter_waits_is_in_flight_and_a_stop_waits_for_it(kind: str) -> None:
    gate = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def wait(call: ServerCall, next: ServerCallNext) -> Any:
        loops.append(asyncio.get_running_loop())
        await gate.wait()
        return await next(call)

    with serving(Users(), kind, filters=[wait], drain_s=0.01) as server, Raw(server) as raw:
        raw.call(GET, 5)
        eventually(lambda: loops)
        assert server.in_flight == 1
        with stopping(server):
            loops[0].call_soon_threadsafe(gate.set)
            assert [user.id for user in raw.values()] == [5]
        assert server.in_flight == 0


@PLAIN
def test_after_the_grace_time_a_filter_that_waits_is_cancelled_and_the_handler_does_not_begin(kind: str) -> None:
    entered, seen = threading.Event(), list[type[BaseException]]()

    async def wait(call: ServerCall, next: ServerCallNext) -> Any:
        entered.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            seen.append(type(error))
            raise
        return await next(call)

    users = Noting()
    with serving(users, kind, filters=[wait], drain_s=0.01) as server, Raw(server) as raw:
        raw.call(GET, 5)
        assert entered.wait(FOREVER)
        server.stop(grace_s=0.01)
        assert raw.is_ended()
    assert seen == [asyncio.CancelledError]
    assert users.started == []


@PLAIN
def test_a_handler_whose_caller_has_gone_while_a_filter_waited_does_not_begin(kind: str) -> None:
    async def wait(call: ServerCall, next: ServerCallNext) -> Any:
        while call.metadata.get("is_late") and call.remaining() > 0:
            await asyncio.sleep(0)
        return await next(call)

    users = Noting()
    with serving(users, kind, filters=[wait]) as server, Raw(server, HEADER) as raw:
        raw.call(GET, 1, metadata={"client_timeout": "200", "is_late": "yes"})
        raw.call(GET, 2)
        refused, found = raw.values(2)
    assert refused.code is ApplicationCode.TIMEOUT
    assert found.id == 2
    assert users.started == [2]


def test_a_call_that_finds_all_workers_busy_is_refused_as_overload() -> None:
    users = Noting()
    with (
        serving(users, "worker", workers=1, max_queued=0, filters=[pause]) as server,
        Raw(server, ANY_ORDER) as raw,
    ):
        raw.call(WAIT, 1)
        assert users.entered.wait(FOREVER)
        raw.call(GET, 2)
        (refused,) = raw.values()
        assert refused.code is ApplicationCode.LOADSHEDDING
        users.gate.set()
        assert raw.values() == [1]
    assert users.started == [1]


@PLAIN
@pytest.mark.parametrize("make", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, StopIteration])
def test_whatever_the_handler_raises_costs_one_call(kind: str, make: Callable[[], BaseException]) -> None:
    class Failing(Users):
        def get(self, id: int) -> Any:
            if id == 1:
                raise make()
            return super().get(id)

    with serving(Failing(), kind, filters=[pause]) as server, Raw(server) as raw:
        raw.call(GET, 1)
        raw.call(GET, 2)
        refused, found = raw.values(2)
    assert refused.code is ApplicationCode.INTERNAL_ERROR
    assert found.id == 2


@PLAIN
def test_a_plain_function_that_returns_a_coroutine_is_awaited_behind_such_a_filter(kind: str) -> None:
    class Returning(Users):
        def get(self, id: int) -> Any:
            return self.find(id)

        async def find(self, id: int) -> User:
            await asyncio.sleep(0)
            return User(id=id)

    with serving(Returning(), kind, filters=[pause]) as server, Raw(server) as raw:
        raw.call(GET, 1)
        assert raw.values() == [User(id=1)]


# Which filters may suspend.


async def passes(call: Any, next: Any) -> Any:
    return await next(call)


async def passes_with_care(call: Any, next: Any) -> Any:
    if call.arguments:
        return await next(call)
    try:
        result = await next(call)
    except ValueError as error:
        raise KeyError from error
    else:
        return list(result)
    finally:
        print(call)


async def refuses(call: Any, next: Any) -> Any:
    raise ValueError


class Passing:
    async def __call__(self, call: Any, next: Any) -> Any:
        return await next(call)

    async def method(self, call: Any, next: Any) -> Any:
        return await next(call)


async def looks_up(call: Any, next: Any) -> Any:
    if not call.arguments:
        await call.driver.sleep(1)
    return await next(call)


async def enters(call: Any, next: Any) -> Any:
    async with call.driver:
        return await next(call)


async def iterates(call: Any, next: Any) -> Any:
    async for each in call.driver:
        call = each
    return await next(call)


async def spawns(call: Any, next: Any) -> Any:
    call.task = asyncio.create_task(call.audit())
    return await next(call)


async def hands_on(call: Any, next: Any) -> Any:
    return await passes(call, next)


async def replaces(call: Any, next: Any) -> Any:
    next = functools.partial(next)
    return await next(call)


def is_plain(call: Any, next: Any) -> Any:
    return next(call)


@pytest.mark.parametrize("filter", [passes, passes_with_care, refuses, Passing(), Passing().method])
def test_a_filter_that_awaits_nothing_but_the_next_never_suspends(filter: ServerFilter) -> None:
    assert not may_suspend(filter)


@pytest.mark.parametrize(
    "filter", [looks_up, enters, iterates, spawns, hands_on, replaces, is_plain, functools.partial(passes), print]
)
def test_any_other_filter_may_suspend(filter: ServerFilter) -> None:
    assert may_suspend(filter)


# Blocking clients.


def test_a_filter_of_a_blocking_client_that_awaits_something_of_asyncio_fails_with_what_to_do() -> None:
    async def wait(call: Any, next: Any) -> Any:
        await asyncio.to_thread(int)
        return await next(call)

    with (
        serving(Users()) as server,
        UserServiceClient.connect(server.address, filters=[wait]) as client,
        pytest.raises(RuntimeError, match=r"no running event loop: .* through the call.s driver, .*asyncio client"),
    ):
        client.get(1)
