"""The client's end of a JSON-RPC connection: requests out, responses in."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from catalogue import CHECK, FIND, NOTE, TAGS, Book, Closed, NoBook

from idlrt.core import RequestContext
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol import ConnectionBroken, PongReceived, ResponseReceived
from idlrt.protocol.foreign import ForeignProtocol
from idlrt.protocol.jsonrpc.client import ClientConnection
from idlrt.serialization import Limits


def client(service: str = "", **limits: int) -> ClientConnection:
    return ClientConnection(Limits(**limits), service)


def sent(connection: ClientConnection, *arguments: Any, **more: Any) -> dict[str, Any]:
    _, data = connection.request(*arguments, **more)
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    found: dict[str, Any] = json.loads(data)
    return found


def result(line: str, method: Any = FIND) -> Any:
    connection = client()
    connection.request(method, (1,) if method is FIND else ())
    (event,) = connection.receive_data(line.encode() + b"\n")
    assert isinstance(event, ResponseReceived)
    return event.result()


def test_requests() -> None:
    connection = client()
    assert sent(connection, FIND, (7,)) == {"jsonrpc": "2.0", "method": "find", "params": {"isbn": 7}, "id": 1}
    assert sent(connection, TAGS, (["ä"], "+"))["params"] == {"tags": ["ä"], "from": "+"}
    assert sent(connection, TAGS, (["ä"], None))["params"] == {"tags": ["ä"]}
    assert sent(connection, CHECK, ()) == {"jsonrpc": "2.0", "method": "check", "id": 4}
    assert sent(connection, NOTE, ("x",)) == {"jsonrpc": "2.0", "method": "note", "params": {"text": "x"}}
    assert connection.in_flight == 4
    assert sent(client("Catalogue"), CHECK, ())["method"] == "Catalogue.check"


def test_meta_of_requests() -> None:
    context = RequestContext(timeout=1.5, attempt=1, tag="gray", caller="shop", trace="00-1")
    assert sent(client(), FIND, (7,), {"a": "b"}, context)["meta"] == {
        "timeout": 1.5, "attempt": 1, "tag": "gray", "caller": "shop", "traceparent": "00-1", "metadata": {"a": "b"},
    }  # fmt: skip
    assert "meta" not in sent(client(), FIND, (7,), {}, RequestContext())
    with pytest.raises(LocalProtocolError, match="'a'"):
        client().request(FIND, (7,), {"a": 1})  # type: ignore[dict-item]


def test_what_cannot_be_sent_has_not_begun() -> None:
    connection = client(max_message=60)
    with pytest.raises(LocalProtocolError, match="isbn"):
        connection.request(FIND, ("x",))
    with pytest.raises(LocalProtocolError, match="the limit is max_message=60"):
        connection.request(TAGS, (["x" * 100], "-"))
    assert connection.in_flight == 0
    assert connection.request(CHECK, ())[0] == 1


def test_responses_in_any_order_and_cut_anywhere() -> None:
    data = (
        b'{"jsonrpc":"2.0","id":2,"result":{"isbn":2}}\r\n\n'
        b'[{"jsonrpc":"2.0","id":1,"result":{"isbn":1},"meta":{"metadata":{"a":"b"},"drain":true}}]\n'
    )
    for size in (1, 7, len(data)):
        connection = client()
        for number in (1, 2):
            connection.request(FIND, (number,))
        events = [each for at in range(0, len(data), size) for each in connection.receive_data(data[at : at + size])]
        first, second = events
        assert isinstance(first, ResponseReceived)
        assert isinstance(second, ResponseReceived)
        assert (first.id, first.result(), first.is_draining) == (2, Book(isbn=2), False)
        assert (second.id, second.result(), second.is_draining) == (1, Book(isbn=1), True)
        assert second.metadata == {"a": "b"}
        assert connection.is_idle


def test_declared_exceptions() -> None:
    line = '{"id":1,"error":{"code":-32001,"message":"m","data":{"exception":"%s","value":%s}}}'
    with pytest.raises(NoBook) as caught:
        result(line % ("NoBook", '{"isbn":3}'))
    assert caught.value == NoBook(isbn=3)
    with pytest.raises(Closed):
        result(line % ("Closed", "{}"))
    with pytest.raises(RemoteProtocolError, match="isbn"):
        result(line % ("NoBook", "{}"))
    with pytest.raises(ApplicationError, match="m") as other:
        result(line % ("Other", "{}"))
    assert other.value.code == -32001


@pytest.mark.parametrize("data", ["null", "[]", "{}", '{"exception":7}', '"x"'])
def test_data_of_another_kind(data: str) -> None:
    with pytest.raises(ApplicationError):
        result(f'{{"id":1,"error":{{"code":-32001,"message":"m","data":{data}}}}}')


def test_errors() -> None:
    with pytest.raises(ApplicationError) as caught:
        result('{"id":1,"error":{"code":-32011,"message":"busy"},"meta":{"retry_after":0.5}}')
    assert (caught.value.code, caught.value.message) == (ApplicationCode.LOADSHEDDING, "busy")
    assert caught.value.retry_after == 0.5
    with pytest.raises(ApplicationError) as caught:
        result('{"id":1,"error":{"code":42,"message":"mine","data":[1]},"meta":{"retry_after":-1}}')
    assert (caught.value.code, caught.value.retry_after) == (42, math.inf)
    with pytest.raises(RemoteProtocolError, match="cannot read the error"):
        result('{"id":1,"error":"no"}')


def test_errors_of_lenient_servers() -> None:
    with pytest.raises(ApplicationError) as caught:
        result('{"id":1,"error":{"code":-32011.0,"message":null}}')
    assert (caught.value.code, caught.value.message) == (ApplicationCode.LOADSHEDDING, "")


def test_the_last_response_needs_no_end() -> None:
    connection = client()
    connection.request(FIND, (1,))
    assert connection.receive_data(b'{"id":1,"result":{"isbn":1}}') == []
    (event,) = connection.receive_eof()
    assert isinstance(event, ResponseReceived)
    assert event.result() == Book(isbn=1)


def test_an_array_has_at_most_as_many_responses_as_requests_are_in_flight() -> None:
    connection = client()
    connection.request(FIND, (1,))
    (event,) = connection.receive_data(b"[" + b"{}," * 1_000_000 + b"{}]\n")
    assert isinstance(event, ConnectionBroken)
    assert "at most 1 response, the number of calls in flight" in str(event.error)


def test_results() -> None:
    assert result('{"id":1,"result":{"isbn":1},"error":null}') == Book(isbn=1)
    assert result('{"id":1,"result":"done"}', CHECK) is None
    with pytest.raises(RemoteProtocolError, match="neither `result` nor `error`"):
        result('{"id":1}')
    with pytest.raises(ApplicationError, match="null") as caught:
        result('{"id":1,"result":null}')
    assert caught.value.code is ApplicationCode.MISSING_RESULT
    with pytest.raises(RemoteProtocolError, match="isbn"):
        result('{"id":1,"result":{"isbn":"x"}}')


@pytest.mark.parametrize("meta", ["[]", '"x"', '{"drain":"yes"}', '{"metadata":{"a":1}}', "null"])
def test_another_meaning_of_meta(meta: str) -> None:
    assert result(f'{{"id":1,"result":{{"isbn":1}},"meta":{meta}}}') == Book(isbn=1)


def test_a_member_of_meta_with_another_meaning_leaves_the_others() -> None:
    for wrong in ('"metadata":7', '"metadata":{"a":1}', '"later":[]'):
        with pytest.raises(ApplicationError) as caught:
            result('{"id":1,"error":{"code":-32011},"meta":{"retry_after":2,"drain":true,' + wrong + "}}")
        assert caught.value.retry_after == 2
    assert result('{"id":1,"result":{"isbn":1},"meta":{"metadata":{"a":"' + "x" * 65536 + '"}}}') == Book(isbn=1)


def test_metadata_of_requests_is_bounded() -> None:
    with pytest.raises(LocalProtocolError, match="the limit is 65536 bytes"):
        client().request(FIND, (1,), {"a": "x" * 65536})


def test_ping() -> None:
    for answer in ('"result":null', '"error":{"code":-32601,"message":"no"}'):
        connection = client()
        number, data = connection.ping()
        assert json.loads(data) == {"jsonrpc": "2.0", "method": "rpc.ping", "id": number}
        assert connection.in_flight == 1
        assert connection.receive_data(b'{"id":%d,%b}\n' % (number, answer.encode())) == [PongReceived(number)]


def test_cancelled_requests_and_messages_of_the_server() -> None:
    connection = client()
    number, _ = connection.request(FIND, (1,))
    assert connection.cancel(number) == b""
    assert (connection.in_flight, connection.cancelled) == (0, 1)
    assert connection.receive_data(b'{"jsonrpc":"2.0","method":"hello","params":[]}\n') == []
    assert connection.receive_data(b'{"id":%d,"result":{"isbn":1}}\n' % number) == []
    assert connection.cancelled == 0
    assert connection.is_idle


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b'{"id":2,"result":1}', "response to call 2, which does not exist"),
        (b'{"id":"1","result":1}', "response to call '1', which does not exist"),
        (b'{"id":null,"error":{"code":-32700,"message":"cannot"}}', "the server could not read a request: cannot"),
        (b"{oops", "the server sent an invalid response"),
        (b'{"id":1,"result":"\xff"}', "the server sent an invalid response"),
        (b'{"id":[1],"result":1}', "the server sent an invalid response"),
        (b"{" * 200, "the line exceeds max_message="),
    ],
)
def test_what_breaks_the_connection(line: bytes, wrong: str) -> None:
    connection = client(max_message=100)
    connection.request(FIND, (1,))
    (event,) = connection.receive_data(line + b"\n")
    assert isinstance(event, ConnectionBroken)
    assert wrong in str(event.error)
    assert connection.receive_data(line) == connection.receive_eof() == []
    assert not connection.is_idle


@pytest.mark.parametrize(
    ("first", "name"), [(b"HTTP/1.1 400", "HTTP"), (b"\x15\x03", "TLS"), (b"\0", "Thrift"), (b"hello", "byte 68")]
)
def test_servers_of_other_protocols(first: bytes, name: str) -> None:
    for pieces in ([first], [first[:1], first[1:]]):
        events = [event for connection in [client()] for each in pieces for event in connection.receive_data(each)]
        (event,) = events
        assert isinstance(event, ConnectionBroken)
        assert isinstance(event.error, ForeignProtocol)
        assert name in str(event.error)


def test_the_end_of_data() -> None:
    connection = client()
    assert connection.receive_eof() == []
    connection.receive_data(b'{"id"')
    (event,) = connection.receive_eof()
    assert isinstance(event, ConnectionBroken)
    assert "the server closed the connection within a message" in str(event.error)
