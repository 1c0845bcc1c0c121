"""Filters of servers: what they see of a call and its answer, and what they may do to it, in front of all handlers."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from by_hand import ANY_ORDER, HEADER, KINDS, Noting, Raw, serving
from eventually import TIMEOUT
from hand_written import GET, JOIN, PING, POKE, AsyncUsers, NotFound, User, Users, UserServiceClient

import idlrt
from idlrt.core import ServerCall
from idlrt.errors import ApplicationCode, ApplicationError
from idlrt.server.method_table import ServerCallNext, ServerFilter

ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


class Entered(Noting):
    """Says in `steps` when `get` runs."""

    def __init__(self, steps: list[str]) -> None:
        super().__init__()
        self.steps = steps

    def get(self, id: int) -> Any:
        self.steps.append("handler")
        return super().get(id)


def step(name: str, steps: list[str]) -> ServerFilter:
    async def pass_by(call: ServerCall, next: ServerCallNext) -> Any:
        steps.append(f"{name} in")
        try:
            return await next(call)
        finally:
            steps.append(f"{name} out")

    return pass_by


# What they see and change.


@ALL_KINDS
def test_the_first_filter_is_the_outermost(kind: str) -> None:
    steps: list[str] = []
    filters = [step("first", steps), step("second", steps)]
    with serving(Entered(steps), kind, filters=filters) as server, Raw(server) as raw:
        for id in (1, -1, 0):
            steps.clear()
            raw.call(GET, id)
            raw.read()
            assert steps == ["first in", "second in", "handler", "second out", "first out"]


@ALL_KINDS
def test_a_filter_sees_the_peer_the_method_and_the_arguments(kind: str) -> None:
    seen: list[ServerCall] = []

    async def look(call: ServerCall, next: ServerCallNext) -> Any:
        assert idlrt.current_call() is call
        seen.append(call)
        return await next(call)

    with serving(Users(), kind, filters=[look], timeout=33) as server, Raw(server, HEADER) as raw:
        raw.call(JOIN, ["a", "b"], "+", metadata={"tenant": "7"})
        assert raw.values() == ["a+b"]
        name = raw.socket.getsockname()
    (call,) = seen
    assert call.method is JOIN
    assert call.arguments == (["a", "b"], "+")
    assert call.peer.address == f"{name[0]}:{name[1]}"
    assert call.metadata == {"tenant": "7"}
    assert 0 < call.remaining() <= 33


@ALL_KINDS
def test_a_filter_may_change_arguments_and_results(kind: str) -> None:
    async def shift(call: ServerCall, next: ServerCallNext) -> Any:
        (id,) = call.arguments
        call.arguments = (id + 1,)
        user = await next(call)
        return User(id=user.id, name=f"{user.name}!")

    with serving(Users(), kind, filters=[shift]) as server, Raw(server) as raw:
        raw.call(GET, 1)
        assert raw.values() == [User(id=2, name="user 2!")]


@ALL_KINDS
def test_a_filter_may_answer_without_the_handler(kind: str) -> None:
    async def remember(call: ServerCall, next: ServerCallNext) -> Any:
        return User(id=7, name="remembered") if call.arguments == (7,) else await next(call)

    users = Noting()
    with serving(users, kind, filters=[remember]) as server, Raw(server) as raw:
        raw.call(GET, 7)
        raw.call(GET, 8)
        assert raw.values(2) == [User(id=7, name="remembered"), User(id=8, name="user 8")]
    assert users.started == [8]


@ALL_KINDS
def test_a_filter_may_refuse_a_call(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def guard(call: ServerCall, next: ServerCallNext) -> Any:
        if call.metadata.get("token") != "let me in":
            raise ApplicationError("no token", ApplicationCode.PERMISSION_DENIED)
        return await next(call)

    users = Noting()
    with (
        serving(users, kind, filters=[guard]) as server,
        UserServiceClient.connect(server.address, framing="header") as client,
    ):
        with pytest.raises(ApplicationError) as caught:
            client.get(1)
        assert caught.value.code is ApplicationCode.PERMISSION_DENIED
        assert caught.value.message == "no token"
        assert client.using(metadata={"token": "let me in"}).get(2).id == 2
    assert users.started == [2]
    # It is an answer, not a failure.
    assert caplog.records == []


@ALL_KINDS
def test_a_filter_sees_what_became_of_a_call(kind: str) -> None:
    seen: list[Any] = []

    async def measure(call: ServerCall, next: ServerCallNext) -> Any:
        try:
            result = await next(call)
        except BaseException as error:
            seen.append(error)
            raise
        seen.append(result)
        return result

    with serving(Users(), kind, filters=[measure]) as server, Raw(server) as raw:
        for id in (1, -2, 0, 404):
            raw.call(GET, id)
        found, thrown, failed, missing = raw.values(4)
    assert found == seen[0] == User(id=1, name="user 1")
    assert thrown == seen[1] == NotFound(id=-2)
    assert failed.code is ApplicationCode.INTERNAL_ERROR
    assert isinstance(seen[2], ValueError)
    assert missing.code is ApplicationCode.MISSING_RESULT
    assert seen[3] is None


@ALL_KINDS
def test_a_filter_may_turn_a_failure_into_an_answer_and_into_another(kind: str) -> None:
    async def soften(call: ServerCall, next: ServerCallNext) -> Any:
        try:
            return await next(call)
        except ValueError:
            raise NotFound(id=5) from None
        except NotFound as error:
            return User(id=error.id, name="made up")

    with serving(Users(), kind, filters=[soften]) as server, Raw(server) as raw:
        raw.call(GET, 0)
        raw.call(GET, -3)
        assert raw.values(2) == [NotFound(id=5), User(id=-3, name="made up")]


@ALL_KINDS
@pytest.mark.parametrize("error", [KeyError("a secret"), StopIteration(), asyncio.CancelledError()], ids=repr)
def test_a_filter_that_fails_costs_one_call(kind: str, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(call: ServerCall, next: ServerCallNext) -> Any:
        if call.method is GET:
            raise error
        return await next(call)

    users = Noting()
    with serving(users, kind, filters=[fail]) as server, Raw(server) as raw:
        raw.call(GET, 1)
        raw.call(PING)
        refused, nothing = raw.values(2)
    assert nothing is None
    assert refused.code is ApplicationCode.INTERNAL_ERROR
    assert "secret" not in refused.message
    assert users.started == []
    assert [record.getMessage() for record in caplog.records] == ["UserService.get failed"]


@ALL_KINDS
def test_oneway_calls_pass_the_filters_too(kind: str) -> None:
    async def only_even(call: ServerCall, next: ServerCallNext) -> Any:
        if call.method is POKE and call.arguments[0] % 2:
            raise ApplicationError("odd", ApplicationCode.PERMISSION_DENIED)
        return await next(call)

    users = Users()
    with serving(users, kind, filters=[only_even]) as server, Raw(server) as raw:
        for number in range(4):
            raw.call(POKE, number)
        raw.call(PING)
        assert raw.values() == [None]
    assert sorted(users.poked) == [0, 2]


def test_one_filter_serves_clients_and_servers() -> None:
    names: list[str] = []

    async def count(call: Any, next: Any) -> Any:
        names.append(f"{type(call).__name__} {call.method.name} {call.arguments}")
        return await next(call)

    with (
        serving(Users(), filters=[count]) as server,
        UserServiceClient.connect(server.address, filters=[count]) as client,
    ):
        client.get(1)
    assert names == ["Call get (1,)", "ServerCall get (1,)"]


# Waiting.


def test_a_filter_of_an_async_handler_may_await_what_it_likes() -> None:
    async def pause(call: ServerCall, next: ServerCallNext) -> Any:
        await asyncio.sleep(0.001)
        return await next(call)

    with serving(AsyncUsers(), filters=[pause]) as server, Raw(server) as raw:
        for number in range(1, 20):
            raw.call(GET, number)
        assert [user.id for user in raw.values(19)] == list(range(1, 20))


async def in_a_helper(call: ServerCall) -> None:
    await asyncio.sleep(0.001)


@pytest.mark.parametrize("kind", ["plain", "worker"])
def test_a_filter_that_needs_an_event_loop_without_awaiting_costs_one_call_and_the_log_says_why(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A filter whose `await` cannot be seen, because it is not written in it."""

    async def hidden(call: ServerCall, next: ServerCallNext) -> Any:
        step = in_a_helper(call)
        try:
            step.send(None)
        finally:
            step.close()
        return await next(call)

    users = Noting()
    with serving(users, kind, filters=[hidden]) as server, Raw(server) as raw:
        raw.call(GET, 1)
        (refused,) = raw.values()
    assert refused.code is ApplicationCode.INTERNAL_ERROR
    assert users.started == []
    (record,) = caplog.records
    assert record.getMessage() == "UserService.get failed"
    assert "no running event loop: in_a_helper (" in caplog.text
    assert "sleep and race through the call's driver" in caplog.text


@ALL_KINDS
def test_a_filter_sleeps_with_the_driver_of_the_call(kind: str) -> None:
    slept: list[float] = []

    async def pause(call: ServerCall, next: ServerCallNext) -> Any:
        before = call.driver.now()
        await call.driver.sleep(0.01)
        slept.append(call.driver.now() - before)
        return await next(call)

    with serving(Users(), kind, filters=[pause]) as server, Raw(server) as raw:
        raw.call(PING)
        assert raw.values() == [None]
    assert slept[0] >= 0.01


def test_a_filter_that_sleeps_holds_up_no_other_async_handler() -> None:
    is_answered = False

    async def pause(call: ServerCall, next: ServerCallNext) -> Any:
        nonlocal is_answered
        while call.arguments == (1,) and not is_answered:
            await call.driver.sleep(0.01)
        try:
            return await next(call)
        finally:
            is_answered = True

    with serving(AsyncUsers(), filters=[pause]) as server, Raw(server, ANY_ORDER) as raw:
        raw.socket.sendall(raw.bytes_of(GET, 1) + raw.bytes_of(GET, 2))
        assert [user.id for user in raw.values(2)] == [2, 1]


@pytest.mark.parametrize("handler", [Users, AsyncUsers])
def test_a_filter_that_is_not_async_costs_one_call(handler: type[Users]) -> None:
    def wrong(call: ServerCall, next: ServerCallNext) -> Any:
        return 42 if call.arguments == (1,) else next(call)

    with serving(handler(), filters=[wrong]) as server, Raw(server, ANY_ORDER) as raw:
        raw.socket.settimeout(TIMEOUT)
        raw.socket.sendall(raw.bytes_of(GET, 1) + raw.bytes_of(GET, 2))
        refused, found = raw.values(2)
        assert refused.code is ApplicationCode.INTERNAL_ERROR
        assert found.id == 2


def test_a_plain_function_behind_a_filter_may_return_a_coroutine() -> None:
    class Returning(Users):
        def get(self, id: int) -> Any:
            return self.find(id)

        async def find(self, id: int) -> User:
            return User(id=id)

    steps: list[str] = []
    for workers in (0, 1):
        with serving(Returning(), workers=workers, filters=[step("a", steps)]) as server, Raw(server) as raw:
            raw.call(GET, 1)
            assert raw.values() == [User(id=1)]


def test_filters_run_where_their_handlers_run() -> None:
    threads: dict[str, tuple[int, int]] = {}

    class CallerInfo(AsyncUsers):
        def join(self, words: list[str], by: str) -> str:
            return str(threading.get_ident())

        async def get(self, id: int) -> User:
            return User(id=threading.get_ident())

    async def note(call: ServerCall, next: ServerCallNext) -> Any:
        result = await next(call)
        found = result.id if isinstance(result, User) else int(result)
        threads[call.method.name] = found, threading.get_ident()
        return result

    for workers in (0, 2):
        threads.clear()
        with serving(CallerInfo(), workers=workers, filters=[note]) as server, Raw(server) as raw:
            raw.call(GET, 1)
            raw.call(JOIN, [], "")
            raw.read(2)
        for of_handler, of_filter in threads.values():
            assert of_handler == of_filter != threading.get_ident()


# Logging.


def test_a_failure_behind_filters_is_logged_with_all_that_led_to_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    with serving(Users(), filters=[step("a", [])]) as server, Raw(server) as raw:
        raw.call(GET, 0)
        raw.read()
    assert "pass_by" in caplog.text
    assert "ValueError: a secret that must not leave" in caplog.text
