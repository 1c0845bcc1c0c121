"""How long a caller waits: what handlers learn of it, what they do with the rest of it, calls that come too late."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from by_hand import ANY_ORDER, FRAMED, HEADER, KINDS, Noting, Raw, pass_time, serving
from eventually import TIMEOUT, eventually
from hand_written import GET, JOIN, PING, POKE, AsyncUserServiceClient, User, Users, UserServiceClient, user_service

import idlrt
from idlrt.core import Call, CallNext
from idlrt.errors import ApplicationCode, ApplicationError, DeadlineExceeded, NotSent, Overloaded
from idlrt.testing import connected


class Telling(Noting):
    """Keeps what a handler learns of its call: its timeout, what is left of it, metadata."""

    def __init__(self) -> None:
        super().__init__()
        self.timeout = self.left = 0.0
        self.metadata: Mapping[str, str] = {}

    def get(self, id: int) -> User | None:
        call = idlrt.current_call()
        assert call is not None
        self.timeout, self.left = call.deadline.timeout, call.remaining()
        self.metadata = idlrt.request_metadata()
        return super().get(id)


# What handlers learn.


@pytest.mark.parametrize("framing", ["header", "header_zlib"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_learns_how_long_a_blocking_client_waits(kind: str, framing: str) -> None:
    users = Telling()
    with (
        serving(users, kind, timeout=1000) as server,
        UserServiceClient.connect(server.address, framing=framing, timeout=70) as client,
    ):
        client.get(1)
        assert 0 < users.left <= users.timeout <= 70
        client.using(timeout=150).get(1)
        assert 70 < users.left <= users.timeout <= 150


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_learns_how_long_an_asyncio_client_waits(kind: str) -> None:
    users = Telling()

    async def main(target: str) -> None:
        async with AsyncUserServiceClient.connect(target, framing="header", timeout=70) as client:
            await client.get(1)
            assert 0 < users.left <= users.timeout <= 70

    with serving(users, kind) as server:
        asyncio.run(main(server.address))


@pytest.mark.parametrize("how", [FRAMED, HEADER], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_if_a_client_does_not_say_it_is_the_servers_own_time(kind: str, how: Any) -> None:
    users = Telling()
    with serving(users, kind, timeout=33) as server, Raw(server, how) as raw:
        raw.call(GET, 1)
        raw.read()
        assert users.timeout == 33
        assert 0 < users.left <= 33


def test_a_client_may_wait_longer_than_the_servers_own_time() -> None:
    users = Telling()
    with serving(users, timeout=1) as server, Raw(server, HEADER) as raw:
        raw.call(GET, 1, metadata={"client_timeout": "50000"})
        raw.read()
        assert users.timeout == 50
        assert users.left > 1


def test_what_a_client_says_of_its_time_is_no_metadata_for_handlers() -> None:
    users = Telling()
    with serving(users) as server, Raw(server, HEADER) as raw:
        raw.call(GET, 1, metadata={"tenant": "7", "client_timeout": "61500"})
        raw.read()
        assert users.timeout == 61.5
        assert users.metadata == {"tenant": "7"}
        raw.call(GET, 1, metadata={"client_timeout": "999999999999"})
        raw.read()
        assert users.timeout == 999_999_999.999
        assert users.metadata == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-5",
        "+5",
        "1e3",
        "1.5",
        " 5",
        "5 ",
        "1_000",
        "0x10",
        "nan",
        "inf",
        "\uff15",
        "\u0663",
        "\u00b2",
        "9" * 13,
        "9" * 40,
    ],
)
def test_what_cannot_be_read_as_a_time_is_metadata_like_any_other(text: str) -> None:
    users = Telling()
    with serving(users, timeout=33) as server, Raw(server, HEADER) as raw:
        raw.call(GET, 1, metadata={"client_timeout": text, "tenant": "7"})
        assert raw.values() == [User(id=1, name="user 1")]
    assert users.timeout == 33
    assert users.metadata == {"client_timeout": text, "tenant": "7"}


def test_there_is_no_call_outside_of_handlers() -> None:
    assert idlrt.current_call() is None


# Calls that handlers make.


class Inner:
    """A client for handlers, of both kinds, which notes how long its calls may take."""

    def __init__(self, users: Users | None = None, timeout: float = 300.0) -> None:
        self.timeouts: list[float] = []

        async def note(call: Call, next: CallNext) -> Any:
            self.timeouts.append(call.deadline.timeout)
            return await next(call)

        how: Any = {"timeout": timeout, "framing": "header", "filters": [note]}
        handlers = user_service(users if users is not None else Users())
        self.blocking = connected(UserServiceClient, handlers, **how)
        self.asyncio = connected(AsyncUserServiceClient, handlers, **how)


class Asking(Users):
    def __init__(self, inner: Inner) -> None:
        super().__init__()
        self.inner = inner

    def get(self, id: int) -> Any:
        return self.inner.blocking.get(id)


class AsyncAsking(Asking):
    async def get(self, id: int) -> User | None:
        return await self.inner.asyncio.get(id)


ASKING = pytest.mark.parametrize(("kind", "asking"), [("plain", Asking), ("worker", Asking), ("plain", AsyncAsking)])


@ASKING
def test_a_call_that_a_handler_makes_gets_no_more_than_is_left(kind: str, asking: type[Asking]) -> None:
    inner = Inner()
    with (
        serving(asking(inner), kind) as server,
        UserServiceClient.connect(server.address, framing="header", timeout=60) as client,
    ):
        assert client.get(1).id == 1
        (timeout,) = inner.timeouts
        assert 0 < timeout <= 60
    inner.blocking.close()


@ASKING
def test_a_call_that_a_handler_makes_may_get_less_than_is_left(kind: str, asking: type[Asking]) -> None:
    inner = Inner(timeout=31.25)
    with (
        serving(asking(inner), kind) as server,
        UserServiceClient.connect(server.address, framing="header", timeout=TIMEOUT) as client,
    ):
        client.get(1)
    assert inner.timeouts == [31.25]
    inner.blocking.close()


def test_a_time_is_handed_on_from_server_to_server() -> None:
    last = Telling()
    inner = Inner(last, timeout=TIMEOUT)
    with serving(Asking(inner)) as server, Raw(server, HEADER) as raw:
        raw.call(GET, 1, metadata={"client_timeout": "30000"})
        raw.read()
    assert 0 < last.left <= last.timeout <= 30
    inner.blocking.close()


def test_with_plain_framing_it_is_bounded_by_the_servers_own_time() -> None:
    inner = Inner(timeout=TIMEOUT)
    with serving(Asking(inner), timeout=30) as server, Raw(server) as raw:
        raw.call(GET, 1)
        raw.read()
    assert 0 < inner.timeouts[0] <= 30
    inner.blocking.close()


@ASKING
def test_when_nothing_is_left_a_handler_cannot_make_calls(kind: str, asking: type[Asking]) -> None:
    raised: list[DeadlineExceeded] = []
    last = Noting()
    inner = Inner(last)

    class Late(Asking):
        def get(self, id: int) -> Any:
            call = idlrt.current_call()
            assert call is not None
            eventually(lambda: call.remaining() <= 0)
            with pytest.raises(DeadlineExceeded) as caught:
                self.inner.blocking.join(["a"])
            raised.append(caught.value)
            return User(id=id)

    class AsyncLate(Late):
        async def get(self, id: int) -> User | None:
            call = idlrt.current_call()
            assert call is not None
            eventually(lambda: call.remaining() <= 0)
            with pytest.raises(DeadlineExceeded) as caught:
                await self.inner.asyncio.join(["a"])
            raised.append(caught.value)
            return User(id=id)

    late = AsyncLate if asking is AsyncAsking else Late
    with serving(late(inner), kind) as server, Raw(server, HEADER) as raw:

        def is_begun() -> bool:
            raw.call(GET, 1, metadata={"client_timeout": "50"})
            (value,) = raw.values()
            # A busy machine may take longer than that to begin.
            return not (isinstance(value, ApplicationError) and value.code is ApplicationCode.TIMEOUT)

        eventually(is_begun)
    (error,) = raised
    assert "UserService.join at memory" in str(error)
    assert "UserService.get" in str(error)
    assert inner.timeouts == []
    inner.blocking.close()


def test_calls_outside_of_handlers_have_all_their_time_even_on_a_thread_that_handled_some() -> None:
    inner = Inner()
    outer = connected(UserServiceClient, user_service(Asking(inner)), framing="header", timeout=60)
    outer.get(1)
    inner.blocking.get(1)
    assert inner.timeouts[0] <= 60
    assert inner.timeouts[1] == 300
    outer.close()
    inner.blocking.close()


# Calls that come too late.


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_whose_caller_has_stopped_waiting_is_not_begun(kind: str) -> None:
    users = Noting()
    with serving(users, kind) as server, Raw(server, ANY_ORDER) as raw:
        late = raw.call(GET, 1, metadata={"client_timeout": "0"})
        (answer,) = raw.read()
        assert answer.number == late
        assert isinstance(answer.value, ApplicationError)
        assert answer.value.code == 12
        assert answer.value.code is ApplicationCode.TIMEOUT
        assert "UserService.get" in answer.value.message

        raw.call(GET, 2, metadata={"client_timeout": "60000"})
        assert raw.values()[0].id == 2
    assert users.started == [2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_oneway_call_whose_caller_has_stopped_waiting_is_dropped_and_logged(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "idlrt.server")
    users = Users()
    with serving(users, kind) as server, Raw(server, HEADER) as raw:
        raw.call(POKE, 1, metadata={"client_timeout": "0"})
        raw.call(PING)
        assert raw.values() == [None]
    assert users.poked == []
    assert "dropped oneway call" in caplog.text


def test_a_call_that_lay_with_the_server_for_too_long_is_not_begun() -> None:
    class Busy(Noting):
        def join(self, words: list[str], by: str) -> str:
            pass_time(0.03)
            return by.join(words)

    users = Busy()
    with serving(users) as server, Raw(server, HEADER) as raw:
        # They come together, and the first one keeps the server's thread.
        late = {"client_timeout": "20"}
        raw.socket.sendall(raw.bytes_of(JOIN, ["a"], "") + raw.bytes_of(GET, 1, metadata=late))
        joined, refused = raw.values(2)
        assert joined == "a"
        assert refused.code is ApplicationCode.TIMEOUT
    assert users.started == []


# What clients make of refusals.


class Refusing(Users):
    def get(self, id: int) -> User:
        raise ApplicationError("because", id)


CODES = [(ApplicationCode.LOADSHEDDING, Overloaded), (ApplicationCode.TIMEOUT, DeadlineExceeded)]


@pytest.mark.parametrize(("code", "kind"), CODES, ids=["loadshedding", "timeout"])
def test_a_blocking_client_raises_what_says_whether_to_try_again(code: int, kind: type[Exception]) -> None:
    with serving(Refusing()) as server, UserServiceClient.connect(server.address) as client:
        with pytest.raises(kind, match=rf"{server.address} (rejected|did not start) UserService.get: bec") as caught:
            client.get(code)
        assert isinstance(caught.value, NotSent) == (kind is Overloaded)
        assert isinstance(caught.value.__cause__, ApplicationError)
        assert client.join(["a"]) == "a"


@pytest.mark.parametrize(("code", "kind"), CODES, ids=["loadshedding", "timeout"])
def test_an_asyncio_client_raises_what_says_whether_to_try_again(code: int, kind: type[Exception]) -> None:
    async def main(target: str) -> None:
        async with AsyncUserServiceClient.connect(target) as client:
            with pytest.raises(kind, match=r"UserService\.get: because"):
                await client.get(code)
            assert await client.join(["a"]) == "a"

    with serving(Refusing()) as server:
        asyncio.run(main(server.address))
