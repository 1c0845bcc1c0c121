"""Metadata from `using(metadata=...)` to `request_metadata()`, over real sockets and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hand_written import PROTOCOLS, AsyncUserServiceClient, User, Users, UserServiceClient, user_service

import idlrt
from idlrt.core import Call, CallNext
from idlrt.errors import ConfigurationError, LocalProtocolError
from idlrt.serialization import Limits
from idlrt.server import Server
from idlrt.testing import connected

HEADERS = ("header", "header_zlib")
PLAIN = ("framed", "unframed")


class Telling(Users):
    """Names users after the metadata that came."""

    def get(self, id: int) -> User | None:
        return User(id=id, name=told())


class AsyncTelling(Users):
    """Likewise, after others had a turn."""

    async def get(self, id: int) -> User | None:
        before = told()
        await asyncio.sleep(0)
        assert told() == before
        assert await asyncio.create_task(told_later()) == before
        return User(id=id, name=before)


def told() -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(idlrt.request_metadata().items()))


async def told_later() -> str:
    return told()


@pytest.fixture(params=[Telling, AsyncTelling], ids=["plain", "async"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(user_service(request.param())) as made:
        yield made.start()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("framing", HEADERS)
def test_a_handler_reads_what_a_blocking_client_sends(server: Server, framing: str, protocol: str) -> None:
    with UserServiceClient.connect(server.address, framing=framing, protocol=protocol) as client:
        tagged = client.using(metadata={"tenant": "7", "ä": "ö"})
        assert tagged.get(1).name == "tenant=7,ä=ö"
        assert client.get(1).name == ""
        assert tagged.using(timeout=1).get(1).name == "tenant=7,ä=ö"
        assert tagged.using(metadata={"other": "x"}).get(1).name == "other=x"
        assert tagged.using(metadata={}).get(1).name == ""


@pytest.mark.parametrize("framing", HEADERS)
def test_a_handler_reads_what_an_asyncio_client_sends(server: Server, framing: str) -> None:
    async def main() -> None:
        async with AsyncUserServiceClient.connect(server.address, framing=framing) as client:
            calls = [client.using(metadata={"number": str(number)}).get(number) for number in range(50)]
            users = await asyncio.gather(*calls, client.get(50))
            assert [user.name for user in users] == [*(f"number={number}" for number in range(50)), ""]

    asyncio.run(main())


@pytest.mark.parametrize("framing", PLAIN)
def test_plain_framings_refuse_a_call_with_it(server: Server, framing: str) -> None:
    with UserServiceClient.connect(server.address, framing=framing) as client:
        with pytest.raises(ConfigurationError, match="framing '" + framing):
            client.using(metadata={"tenant": "7"}).get(1)
        assert client.get(1).name == ""


@pytest.mark.parametrize("framing", HEADERS)
def test_in_memory(framing: str) -> None:
    client = connected(UserServiceClient, user_service(Telling()), framing=framing)

    assert client.using(metadata={"tenant": "7"}).get(1).name == "tenant=7"


def test_a_filter_sees_and_changes_it() -> None:
    seen: list[dict[str, str]] = []

    async def trace(call: Call, next: CallNext) -> Any:
        seen.append(dict(call.metadata))
        call.metadata["span"] = str(len(seen))
        return await next(call)

    client = connected(UserServiceClient, user_service(Telling()), framing="header", filters=[trace])
    tagged = client.using(metadata={"tenant": "7"})

    assert tagged.get(1).name == "span=1,tenant=7"
    assert tagged.get(1).name == "span=2,tenant=7"
    assert seen == [{"tenant": "7"}, {"tenant": "7"}]


def test_metadata_that_cannot_be_sent_fails_at_the_caller() -> None:
    async def spoil(call: Call, next: CallNext) -> Any:
        call.metadata["size"] = 3  # type: ignore[assignment]
        return await next(call)

    client = connected(UserServiceClient, user_service(Telling()), framing="header", filters=[spoil])
    with pytest.raises(LocalProtocolError, match="value of 'size' must be a str, got int"):
        client.get(1)


def test_metadata_over_a_limit_fails_at_the_caller(server: Server) -> None:
    limits = Limits(max_string=20)
    with UserServiceClient.connect(server.address, framing="header", limits=limits) as client:
        with pytest.raises(LocalProtocolError, match="value of 'tenant' has 21 bytes: the limit is max_string=20"):
            client.using(metadata={"tenant": "x" * 21}).get(1)
        assert client.get(1).name == ""


def test_there_is_none_outside_of_handlers() -> None:
    assert idlrt.request_metadata() == {}


def test_handlers_of_another_server_do_not_see_it() -> None:
    inner = connected(UserServiceClient, user_service(Telling()), framing="header")

    class Outer(Users):
        def get(self, id: int) -> User | None:
            fresh = connected(UserServiceClient, user_service(Telling()), framing="header")
            return User(id=id, name=f"{told()}|{inner.get(1).name}|{fresh.get(1).name}|{told()}")

    outer = connected(UserServiceClient, user_service(Outer()), framing="header")
    assert outer.using(metadata={"tenant": "7"}).get(1).name == "tenant=7|||tenant=7"
