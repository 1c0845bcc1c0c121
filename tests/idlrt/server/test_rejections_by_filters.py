"""Rejections by server filters: when a client learns that its call was not executed and when to retry.

A rejection after the handler has started is a failure; framings without metadata carry no retry delay.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from by_hand import HEADER, KINDS, Awaited, Noting, Raw, serving
from eventually import TIMEOUT
from hand_written import (
    GET,
    PING,
    POKE,
    AsyncUsers,
    AsyncUserServiceClient,
    User,
    Users,
    UserServiceClient,
    user_service,
)

import idlrt
from idlrt.core import ServerCall
from idlrt.errors import ApplicationCode, ApplicationError, CircuitOpen, DeadlineExceeded, NoInstance, Overloaded
from idlrt.server import AsyncServer
from idlrt.server.method_table import ServerCallNext, ServerFilter

ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


def refusing(error: Exception) -> ServerFilter:
    async def refuse(call: ServerCall, next: ServerCallNext) -> Any:
        raise error

    return refuse


@contextmanager
def client_of(server: Any, framing: str = "header") -> Iterator[UserServiceClient]:
    with UserServiceClient.connect(server.address, framing=framing, timeout=TIMEOUT) as client:
        yield client


@ALL_KINDS
@pytest.mark.parametrize("kind_of_error", [Overloaded, CircuitOpen])
@pytest.mark.parametrize(("said", "heard"), [(0.25, 0.25), (0.0001, 0.001), (math.inf, math.inf), (None, None)])
def test_the_client_learns_that_the_call_was_not_executed_and_when_to_retry(
    kind: str,
    kind_of_error: type[Overloaded | CircuitOpen],
    said: float | None,
    heard: float | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    users = Noting()
    refuse = refusing(kind_of_error("enough for today").push_back(said))
    with (
        serving(users, kind, filters=[refuse]) as server,
        client_of(server) as client,
        pytest.raises(Overloaded, match=r"rejected UserService\.get: enough for today") as caught,
    ):
        client.get(1)
    assert caught.value.retry_after == heard
    assert users.started == []
    assert caplog.records == [], "it is no failure"


@ALL_KINDS
def test_beside_the_refusal_goes_what_filters_say(kind: str) -> None:
    async def tell(call: ServerCall, next: ServerCallNext) -> Any:
        call.answer_metadata["tenant"] = "7"
        return await next(call)

    refuse = refusing(Overloaded("no").push_back(1.5))
    with serving(Users(), kind, filters=[tell, refuse]) as server, Raw(server, HEADER) as raw:
        raw.call(GET, 1)
        (answer,) = raw.read()
    assert answer.value.code is ApplicationCode.LOADSHEDDING
    assert answer.metadata == {"tenant": "7", "rpc_retry_after": "1500"}


@ALL_KINDS
def test_never_is_minus_one(kind: str) -> None:
    with (
        serving(Users(), kind, filters=[refusing(Overloaded("no").push_back(math.inf))]) as server,
        Raw(server, HEADER) as raw,
    ):
        raw.call(GET, 1)
        assert raw.read()[0].metadata == {"rpc_retry_after": "-1"}


@ALL_KINDS
def test_without_metadata_the_refusal_is_all_there_is(kind: str) -> None:
    refuse = refusing(Overloaded("no").push_back(1.5))
    with (
        serving(Users(), kind, filters=[refuse]) as server,
        client_of(server, "framed") as client,
        pytest.raises(Overloaded) as caught,
    ):
        client.get(1)
    assert caught.value.retry_after is None


@ALL_KINDS
@pytest.mark.parametrize("is_filtered", [False, True])
@pytest.mark.parametrize("error", [Overloaded("of another"), CircuitOpen("of another")], ids=repr)
def test_what_a_handler_was_refused_is_its_failure(
    kind: str, is_filtered: bool, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Relaying(Users):
        def get(self, id: int) -> User:
            raise error

    async def pass_by(call: ServerCall, next: ServerCallNext) -> Any:
        return await next(call)

    filters = [pass_by] if is_filtered else []
    with (
        serving(Relaying(), kind, filters=filters) as server,
        client_of(server) as client,
        pytest.raises(ApplicationError, match="failed with") as caught,
    ):
        client.get(1)
    assert caught.value.code is ApplicationCode.INTERNAL_ERROR
    assert caught.value.retry_after is None
    assert [record.getMessage() for record in caplog.records] == ["UserService.get failed"]


@ALL_KINDS
def test_a_filter_that_refuses_after_the_work_was_done_is_a_failure(kind: str) -> None:
    async def too_late(call: ServerCall, next: ServerCallNext) -> Any:
        await next(call)
        raise Overloaded("after all")

    users = Noting()
    with (
        serving(users, kind, filters=[too_late]) as server,
        client_of(server) as client,
        pytest.raises(ApplicationError) as caught,
    ):
        client.get(1)
    assert caught.value.code is ApplicationCode.INTERNAL_ERROR
    assert users.started == [1]


@ALL_KINDS
def test_other_errors_of_filters_are_failures(kind: str) -> None:
    with (
        serving(Users(), kind, filters=[refusing(NoInstance("of another"))]) as server,
        client_of(server) as client,
        pytest.raises(ApplicationError) as caught,
    ):
        client.get(1)
    assert caught.value.code is ApplicationCode.INTERNAL_ERROR


@ALL_KINDS
def test_a_refusal_with_a_code_may_say_when_to_come_again(kind: str) -> None:
    class Busy(Users):
        def get(self, id: int) -> User:
            if id == 1:
                raise ApplicationError("tenant is blocked", ApplicationCode.PERMISSION_DENIED).push_back(60)
            raise ApplicationError("too late", ApplicationCode.TIMEOUT).push_back(math.inf)

    with serving(Busy(), kind) as server, client_of(server) as client:
        with pytest.raises(ApplicationError) as caught:
            client.get(1)
        assert caught.value.retry_after == 60
        with pytest.raises(DeadlineExceeded) as late:
            client.get(2)
        assert late.value.retry_after == math.inf


@pytest.mark.parametrize("text", ["soon", "-5", "", "1.5", "9" * 30, "²"])
def test_what_cannot_be_read_means_never(text: str) -> None:
    class Odd(Users):
        def get(self, id: int) -> User:
            call = idlrt.current_call()
            assert call is not None
            call.answer_metadata["rpc_retry_after"] = text
            raise ApplicationError("no")

    with serving(Odd()) as server, client_of(server) as client, pytest.raises(ApplicationError) as caught:
        client.get(1)
    assert caught.value.retry_after == math.inf


@ALL_KINDS
def test_a_refused_oneway_call_is_dropped_without_a_failure(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(call: ServerCall, next: ServerCallNext) -> Any:
        if call.method is POKE:
            raise Overloaded("no")
        return await next(call)

    users = Users()
    with serving(users, kind, filters=[refuse]) as server, Raw(server) as raw:
        raw.call(POKE, 1)
        raw.call(PING)
        assert raw.values() == [None]
    assert users.poked == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# The same over the asyncio server.


@asynccontextmanager
async def async_client(handler: object, *filters: ServerFilter, **options: Any) -> AsyncIterator[Any]:
    async with (
        AsyncServer(user_service(handler), filters=filters, **options) as server,
        AsyncUserServiceClient.connect(server.address, framing="header", timeout=TIMEOUT) as client,
    ):
        yield client


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("is_async", [False, True])
def test_over_asyncio(workers: int, is_async: bool) -> None:
    users = Noting()
    handler: Any = Awaited(users) if is_async else users

    async def refuse_odd(call: ServerCall, next: ServerCallNext) -> Any:
        if call.arguments[0] % 2:
            raise Overloaded("odd").push_back(0.5)
        return await next(call)

    async def main() -> None:
        async with async_client(handler, refuse_odd, workers=workers) as client:
            assert (await client.get(2)).id == 2
            with pytest.raises(Overloaded, match="odd") as caught:
                await client.get(1)
            assert caught.value.retry_after == 0.5

    asyncio.run(main())
    assert users.started == [2]


def test_over_asyncio_a_handlers_own_trouble_is_its_failure() -> None:
    class Relaying(AsyncUsers):
        async def get(self, id: int) -> User | None:
            raise Overloaded("of another").push_back(0.5)

    async def pass_by(call: ServerCall, next: ServerCallNext) -> Any:
        return await next(call)

    async def main() -> None:
        for filters in ([], [pass_by]):
            async with async_client(Relaying(), *filters) as client:
                with pytest.raises(ApplicationError) as caught:
                    await client.get(1)
                assert caught.value.code is ApplicationCode.INTERNAL_ERROR
                assert caught.value.retry_after is None

    asyncio.run(main())
