"""Clients of servers that refuse requests with `meta`: what is best effort is left out, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from catalogue import FIND, NOTE, Book

from idlrt.core import RequestContext
from idlrt.errors import ApplicationError, LocalProtocolError
from idlrt.protocol import ClientEvent, ConnectionBroken, DataToSend, ResponseReceived
from idlrt.protocol.jsonrpc.client import ClientConnection
from idlrt.protocol.jsonrpc.support import MetaSupport
from idlrt.serialization import Limits

CONTEXT = RequestContext(timeout=1.5)
TRACE = {"traceparent": "00-1-2-03"}


def connection(support: MetaSupport | None = None) -> ClientConnection:
    return ClientConnection(Limits(), "", support)


def find(client: ClientConnection, metadata: Any = TRACE) -> tuple[int, dict[str, Any]]:
    id, data = client.request(FIND, (1,), metadata, CONTEXT)
    return id, json.loads(data)


def refuse(client: ClientConnection, id: int | None, code: int = -32600) -> list[ClientEvent]:
    line = json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "no"}})
    return client.receive_data(line.encode() + b"\n")


def found(client: ClientConnection, id: int) -> ResponseReceived:
    line = json.dumps({"jsonrpc": "2.0", "id": id, "result": {"isbn": 1}})
    (event,) = client.receive_data(line.encode() + b"\n")
    assert isinstance(event, ResponseReceived)
    assert event.result() == Book(isbn=1)
    return event


@pytest.mark.parametrize("has_id", [True, False])
def test_a_request_is_repeated_without_meta(has_id: bool) -> None:
    support = MetaSupport()
    client = connection(support)
    requests = [find(client) for _ in range(2)]
    assert all("meta" in request for _, request in requests)
    events = [event for id, _ in requests for event in refuse(client, id if has_id else None)]
    repeated = b"".join(event.data for event in events if isinstance(event, DataToSend))
    for _, request in requests:
        del request["meta"]
    assert [json.loads(line) for line in repeated.splitlines()] == [request for _, request in requests]
    for id, _ in requests:
        found(client, id)
    assert support.supports_meta is False
    assert client.is_idle
    for other in (client, connection(support)):
        assert "meta" not in find(other)[1]
        assert not other.capabilities.metadata
        with pytest.raises(LocalProtocolError, match="the server does not support `meta`"):
            find(other, {"authorization": "secret"})


def test_a_server_that_takes_meta() -> None:
    support = MetaSupport()
    client = connection(support)
    id, _ = find(client)
    found(client, id)
    assert support.supports_meta is True
    id, request = find(client)
    assert "meta" in request
    (event,) = refuse(client, id)
    assert isinstance(event, ResponseReceived)
    with pytest.raises(ApplicationError):
        event.result()


def test_a_request_that_is_refused_again_fails() -> None:
    support = MetaSupport()
    client = connection(support)
    id, _ = find(client)
    refuse(client, id)
    (event,) = refuse(client, id)
    assert isinstance(event, ResponseReceived)
    assert support.supports_meta is None
    id, _ = find(client)
    (event,) = refuse(client, id)
    assert isinstance(event, ResponseReceived), "a server that always refuses gets each call once"


def test_a_refusal_without_an_id_may_be_that_of_another_request() -> None:
    client = connection()
    first, second = find(client)[0], find(client)[0]
    assert refuse(client, None) == []
    assert "meta" not in find(client)[1]
    found(client, 3)
    response, broken = client.receive_data(b'{"id":%d,"result":{"isbn":1}}\n' % first)
    assert isinstance(response, ResponseReceived)
    assert isinstance(broken, ConnectionBroken), "the server takes `meta`: something else is wrong with the other one"
    client = connection()
    first, second = find(client)[0], find(client)[0]
    assert refuse(client, None) == []
    (event,) = refuse(client, first)
    assert isinstance(event, DataToSend)
    response, repeated = client.receive_data(b'{"id":%d,"result":{"isbn":1}}\n' % first)
    assert isinstance(response, ResponseReceived)
    assert isinstance(repeated, DataToSend), "it is the only request that is left"
    assert json.loads(repeated.data)["id"] == second
    found(client, second)


@pytest.mark.parametrize("other", ["ping", "explicit"])
def test_only_requests_with_best_effort_values_are_repeated(other: str) -> None:
    client = connection()
    find(client)
    if other == "ping":
        client.ping()
    else:
        find(client, {"tenant": "7"})
    assert refuse(client, None) == []
    (broken,) = refuse(client, None)
    assert isinstance(broken, ConnectionBroken)


def test_a_notification_with_metadata_may_be_what_was_refused() -> None:
    client = connection()
    find(client)
    client.request(NOTE, ("x",), {"tenant": "7"}, CONTEXT)
    (broken,) = refuse(client, None)
    assert isinstance(broken, ConnectionBroken)


def test_a_first_request_that_is_too_long_for_the_server() -> None:
    client = connection()
    find(client)
    (event,) = client.receive_data(b'{"id":null,"error":{"code":-32600,"message":"over max_message"}}\n')
    assert isinstance(event, DataToSend)
    (broken,) = client.receive_eof()
    assert isinstance(broken, ConnectionBroken)
    assert "over max_message" in str(broken.error)


def test_explicit_metadata_is_never_left_out() -> None:
    client = connection()
    id, request = find(client, {"authorization": "secret"})
    assert request["meta"]["metadata"] == {"authorization": "secret"}
    (event,) = refuse(client, id)
    assert isinstance(event, ResponseReceived)
    client = connection()
    find(client, {"authorization": "secret"})
    (broken,) = refuse(client, None)
    assert isinstance(broken, ConnectionBroken)


def test_a_notification_may_get_lost_so_it_has_best_effort_values_only_when_they_are_taken() -> None:
    client = connection()
    assert "meta" not in json.loads(client.request(NOTE, ("x",), {}, CONTEXT)[1])
    assert "meta" in json.loads(client.request(NOTE, ("x",), {"tenant": "7"}, CONTEXT)[1])
    found(client, find(client)[0])
    assert "meta" in json.loads(client.request(NOTE, ("x",), {}, CONTEXT)[1])


def test_a_cancelled_request_is_not_repeated() -> None:
    client = connection()
    id, _ = find(client)
    client.cancel(id)
    assert refuse(client, None) == []
    assert client.is_idle
    assert client.cancelled == 0


def test_other_errors_say_that_meta_is_taken() -> None:
    support = MetaSupport()
    client = connection(support)
    id, _ = find(client)
    (event,) = refuse(client, id, -32601)
    assert isinstance(event, ResponseReceived)
    assert support.supports_meta is True
