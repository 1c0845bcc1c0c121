"""Who may call: addresses and tokens."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Any

import pytest
from hand_written import AsyncUsers, Users, UserServiceClient, user_service

from idlrt.core import BlockingDriver, Deadline, Peer, ServerCall
from idlrt.errors import ApplicationCode, ApplicationError, ConfigurationError
from idlrt.server import Server, allow_addresses, require_token
from idlrt.server.method_table import ServerFilter
from idlrt.spec import VOID, method


class _Any:
    def ping(self) -> None: ...


PING = method(_Any.ping, result=VOID)


def passes(filter: ServerFilter, address: str, **metadata: str) -> bool:
    call = ServerCall(PING, (), Peer(address=address), metadata, Deadline(0, 1), BlockingDriver())

    async def next(call: ServerCall) -> Any:
        return True

    try:
        return bool(asyncio.run(filter(call, next)))
    except ApplicationError:
        return False


@pytest.mark.parametrize(
    ("address", "is_good"),
    [
        ("127.0.0.1:4711", True),
        ("127.0.0.2:4711", False),
        ("10.200.3.4:1", True),
        ("11.0.0.1:1", False),
        ("fd12::1:4711", True),
        ("fe80::1%eth0:4711", False),
        ("::ffff:10.1.1.1:4711", True),
        ("::ffff:11.1.1.1:4711", False),
        ("unix", False),
        ("somewhere", False),
        ("", False),
    ],
)
def test_addresses_and_networks(address: str, is_good: bool) -> None:
    assert passes(allow_addresses("127.0.0.1", "10.0.0.0/8", "fd00::/8"), address) is is_good


def test_unix_sockets_are_allowed_by_name() -> None:
    assert passes(allow_addresses("unix"), "unix")
    assert not passes(allow_addresses("unix"), "127.0.0.1:1")


def test_an_empty_allow_list_rejects_all_addresses() -> None:
    assert not passes(allow_addresses(), "127.0.0.1:1")


@pytest.mark.parametrize("wrong", ["localhost", "10.0.0.1/8", "1.2.3", ""])
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="allow_addresses: invalid address or network"):
        allow_addresses("127.0.0.1", wrong)


def test_tokens() -> None:
    filter = require_token(["secret", "other"])
    assert passes(filter, "x", authorization="secret")
    assert passes(filter, "x", authorization="other")
    assert not passes(filter, "x", authorization="secre")
    assert not passes(filter, "x", authorization="secret ")
    assert not passes(filter, "x", authorization="ü\ud800")
    assert not passes(filter, "x", authorization="")
    assert not passes(filter, "x")
    assert passes(require_token({"secret": "till"}, name="token"), "x", token="secret")
    assert passes(require_token(lambda token: token.isdigit()), "x", authorization="123")
    assert not passes(require_token(lambda token: token.isdigit()), "x", authorization="abc")


def test_a_string_is_no_list_of_tokens() -> None:
    with pytest.raises(ConfigurationError, match="must be a list of tokens, got a string"):
        require_token("secret")


@pytest.mark.parametrize("wrong", [[], {}, [""], ["good", ""]])
def test_no_token_is_no_good_token(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="require_token: requires at least one token"):
        require_token(wrong)


@pytest.mark.parametrize("handler", [Users, AsyncUsers])
def test_clients_hear_why(handler: type[Users], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "idlrt.server")
    filters = [allow_addresses("127.0.0.1"), require_token(["secret"])]
    with Server(user_service(handler()), filters=filters) as server:
        server.start()
        with UserServiceClient.connect(server.address, framing="header") as client:
            assert client.using(metadata={"authorization": "secret"}).get(1).id == 1
            with pytest.raises(ApplicationError, match="unauthenticated: missing or invalid token") as refused:
                client.using(metadata={"authorization": "guess"}).get(1)
            assert refused.value.code is ApplicationCode.UNAUTHENTICATED
        # A framing that carries no metadata carries no token.
        with (
            UserServiceClient.connect(server.address) as client,
            pytest.raises(ApplicationError, match="unauthenticated"),
        ):
            client.get(1)
    assert "rejected UserService.get from 127.0.0.1:" in caplog.text
    assert "guess" not in caplog.text


def test_a_client_that_is_not_allowed_hears_no_more_than_that() -> None:
    with Server(user_service(Users()), f"unix:@{uuid.uuid4().hex}", filters=[allow_addresses("10.0.0.0/8")]) as server:
        server.start()
        with UserServiceClient.connect(server.address) as client:
            with pytest.raises(ApplicationError, match="access denied") as refused:
                client.get(1)
            assert refused.value.code is ApplicationCode.PERMISSION_DENIED
