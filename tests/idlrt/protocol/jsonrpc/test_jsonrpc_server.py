"""The server's end of a JSON-RPC connection: lines in, events out, and the answers to them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from catalogue import FIND, NOTE, Book, Books, Closed, NoBook, call, catalogue

from idlrt.core import serve
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol import ConnectionBroken, PingReceived, RequestReceived, ServerEvent
from idlrt.protocol.jsonrpc.codes import application_code, json_rpc_code
from idlrt.protocol.jsonrpc.server import ServerConnection
from idlrt.serialization import Limits
from idlrt.spec import DeclaredError, Method

SERVED = serve(catalogue(Books()))


def server(**limits: int) -> ServerConnection:
    return ServerConnection(SERVED.methods, Limits(**limits))


def requests(connection: ServerConnection, data: bytes) -> list[RequestReceived]:
    events = connection.receive_data(data)
    found = [event for event in events if isinstance(event, RequestReceived)]
    assert found == events
    return found


def request(data: bytes, connection: ServerConnection | None = None) -> RequestReceived:
    (found,) = requests(connection or server(), data)
    return found


def answer(connection: ServerConnection, event: ServerEvent) -> bytes:
    """Answer as a session does, with the handlers of `Books`."""
    if isinstance(event, PingReceived):
        return connection.pong(event)
    assert isinstance(event, RequestReceived)
    if event.refusal is not None:
        return connection.refuse(event, event.refusal)
    if event.method is None:
        return connection.refuse(event, ApplicationError("no such method", ApplicationCode.UNKNOWN_METHOD))
    try:
        arguments, _ = connection.arguments(event)
    except RemoteProtocolError as error:
        return connection.refuse(event, ApplicationError(str(error), ApplicationCode.PROTOCOL_ERROR))
    try:
        result = getattr(Books(), event.method.attribute)(*arguments)
        return b"" if event.is_oneway else connection.respond(event, result)
    except DeclaredError as error:
        return connection.respond_error(event, error) or b""
    except (ApplicationError, LocalProtocolError) as error:
        return connection.refuse(event, ApplicationError(str(error), ApplicationCode.INTERNAL_ERROR))


def talk(*pieces: bytes, connection: ServerConnection | None = None) -> list[Any]:
    """The lines that a client gets for what it sends."""
    connection = connection or server()
    said = b""
    for piece in pieces:
        for event in connection.receive_data(piece):
            said += event.answer if isinstance(event, ConnectionBroken) else answer(connection, event)
    assert said == b"" or said.endswith(b"\n")
    return [json.loads(line) for line in said.splitlines()]


def error(data: bytes) -> tuple[int, Any]:
    """The code of the error that a line is answered with, and the id."""
    (response,) = talk(data)
    assert response.keys() == {"jsonrpc", "id", "error"}
    assert response["jsonrpc"] == "2.0"
    assert isinstance(response["error"]["message"], str)
    return response["error"]["code"], response["id"]


BOOK = {"isbn": 7, "title": "book 7", "genre": "POETRY"}


@pytest.mark.parametrize("name", ["find", "Catalogue.find", "Catalogue:find"])
@pytest.mark.parametrize("params", [[7], {"isbn": 7}])
def test_a_call(name: str, params: Any) -> None:
    assert talk(call(name, params, 3)) == [{"jsonrpc": "2.0", "id": 3, "result": BOOK}]


@pytest.mark.parametrize(
    "params",
    [{"tags": ["a", "b"]}, [["a", "b"]], {"tags": ["a", "b"], "from": "-"}, {"tags": ["a", "b"], "from_": "-"}],
)
def test_arguments_by_name_by_position_and_by_default(params: Any) -> None:
    event = request(call("tags", params))
    (tags, by), decoded = server().arguments(event)
    assert tags == ["a", "b"]
    assert by in ("-", None)
    assert decoded > 0


def test_a_method_without_arguments_and_result() -> None:
    expected = [{"jsonrpc": "2.0", "id": 1, "result": None}]
    assert talk(call("check")) == talk(call("check", [])) == talk(call("check", {})) == expected


@pytest.mark.parametrize(
    "id", ['"a"', '""', '"\\u00e4\\n"', "0", "-1", "1.50", "1e400", "1" + "0" * 400, "0.1" + "0" * 40 + "1", "null"]
)
def test_ids_are_repeated_as_they_were_written(id: str) -> None:
    connection = server()
    line = b'{"jsonrpc":"2.0","method":"find","params":[7],"id": %b }\n' % id.encode()
    sent = answer(connection, request(line, connection))
    assert b'"id":%b,' % id.encode() in sent


@pytest.mark.parametrize("id", ["true", "false", "[1]", "{}"])
def test_other_ids_are_invalid(id: str) -> None:
    assert error(b'{"jsonrpc":"2.0","method":"find","params":[7],"id":%b}\n' % id.encode()) == (-32600, None)


@pytest.mark.parametrize(
    ("line", "code", "id"),
    [
        (b"{\n", -32700, None),
        (b'{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]\n', -32700, None),
        (
            b'[{"jsonrpc": "2.0", "method": "sum", "id": "1"},{"jsonrpc": "2.0", "method"\n',
            -32700,
            None,
        ),
        (b'{"jsonrpc":"2.0","method":"find","id":1} x\n', -32700, None),
        (b'{"jsonrpc":"2.0","method":"\xff","id":1}\n', -32700, None),
        (b'{"jsonrpc":"2.0","method":"find","params":[01],"id":1}\n', -32700, None),
        (b"hello\n", -32700, None),
        (b"1\n", -32600, None),
        (b'"find"\n', -32600, None),
        (b"null\n", -32600, None),
        (b"[]\n", -32600, None),
        (b"{}\n", -32600, None),
        (b'{"method":"find","id":1}\n', -32600, 1),
        (b'{"jsonrpc":"1.0","method":"find","id":1}\n', -32600, 1),
        (b'{"jsonrpc":2.0,"method":"find","id":"x"}\n', -32600, "x"),
        (b'{"jsonrpc":"2.0","id":1}\n', -32600, 1),
        (b'{"jsonrpc":"2.0","method":1,"id":2}\n', -32600, 2),
        (b'{"jsonrpc":"2.0","method":null,"id":[2]}\n', -32600, None),
        (b'{"jsonrpc":"2.0","method":"find","params":"bar","id":1}\n', -32600, 1),
        (b'{"jsonrpc":"2.0","method":"find","params":7,"id":1}\n', -32600, 1),
        (b'{"jsonrpc":"2.0","method":"find","params":null,"id":1}\n', -32600, 1),
        (b'{"jsonrpc":"2.0","method":"lose","id":1}\n', -32601, 1),
        (b'{"jsonrpc":"2.0","method":"","id":1}\n', -32601, 1),
        (b'{"jsonrpc":"2.0","method":"rpc.discover","id":1}\n', -32601, 1),
        (b'{"jsonrpc":"2.0","method":"Other.find","id":1}\n', -32601, 1),
        (b'{"jsonrpc":"2.0","method":"find","id":1}\n', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"find","params":[],"id":1}\n', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"find","params":[1,2],"id":1}\n', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"find","params":["x"],"id":1}\n', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"find","params":[1.5],"id":1}\n', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"find","params":[null],"id":1}\n', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"find","params":[9223372036854775808],"id":1}\n', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"find","params":[1e999],"id":1}\n', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"find","params":{"isbn":1,"other":2},"id":1}\n', None, 1),
    ],
)
def test_errors(line: bytes, code: int | None, id: Any) -> None:
    if code is None:
        (response,) = talk(line)
        assert response["result"]["isbn"] == 1, "unknown arguments are ignored, as unknown fields of Thrift are"
    else:
        assert error(line) == (code, id)
    connection = server()
    talk(line, connection=connection)
    assert talk(call("find", [7]), connection=connection)[0]["result"] == BOOK, "the connection is still good"


def test_what_is_wrong_with_arguments_has_its_path() -> None:
    (response,) = talk(call("tags", {"tags": ["a", 2]}))
    assert "params.tags[1]" in response["error"]["message"]


def test_members_that_come_twice() -> None:
    (response,) = talk(b'{"jsonrpc":"2.0","method":"lose","method":"find","params":[1],"params":[7],"id":1,"id":2}\n')
    assert response == {"jsonrpc": "2.0", "id": 2, "result": BOOK}


def test_unknown_members_are_ignored() -> None:
    assert talk(call("find", [7], 1, extension={"a": [1]}))[0]["result"] == BOOK


def test_notifications_are_executed_and_not_answered() -> None:
    connection = server()
    event = request(call("find", [7], ...), connection)
    assert event.is_oneway
    assert event.method is FIND
    assert connection.arguments(event)[0] == (7,)
    assert connection.respond(event, Book(isbn=7)) == b""
    assert connection.refuse(event, ApplicationError("no")) == b""
    assert connection.respond_error(event, NoBook(isbn=1)) == b""
    assert talk(call("lose", [7], ...), call("find", ["x"], ...)) == []


def test_a_oneway_method_that_is_called_with_an_id() -> None:
    connection = server()
    event = request(call("note", ["x"], 5), connection)
    assert not event.is_oneway
    assert event.acknowledges_oneway
    assert event.method is NOTE
    assert event.arguments is None, "nothing is decoded before the request is admitted"
    assert json.loads(answer(connection, event)) == {"jsonrpc": "2.0", "id": 5, "result": None}
    assert error(call("note", [1], 5)) == (-32602, 5)


def test_ping() -> None:
    assert talk(call("rpc.ping", None, "p")) == [{"jsonrpc": "2.0", "id": "p", "result": None}]
    assert talk(call("rpc.ping", None, ...)) == []


def test_a_batch() -> None:
    batch = [
        json.loads(call("find", [7], "1")),
        json.loads(call("note", ["x"], ...)),
        {"foo": "boo"},
        json.loads(call("lose", {"name": "myself"}, "5")),
        json.loads(call("find", [-1], "9")),
        json.loads(call("note", ["x"], 10)),
        json.loads(call("rpc.ping", None, 11)),
        1,
    ]
    (responses,) = talk(json.dumps(batch).encode() + b"\n")
    assert [(each["id"], each.get("result"), each.get("error", {}).get("code")) for each in responses] == [
        ("1", BOOK, None),
        (None, None, -32600),
        ("5", None, -32601),
        ("9", None, -32001),
        (10, None, None),
        (11, None, None),
        (None, None, -32600),
    ]


def test_a_batch_of_notifications_is_not_answered() -> None:
    line = b"[" + b",".join(call("note", ["x"], ...).strip() for _ in range(3)) + b"]\n"
    assert talk(line) == []


def test_the_specification_s_batch_of_invalid_requests() -> None:
    (responses,) = talk(b"[1,2,3]\n")
    assert [each["error"]["code"] for each in responses] == [-32600] * 3


def test_a_batch_is_answered_when_all_its_requests_are() -> None:
    connection = server()
    first, second = requests(connection, b"[%b,%b]\n" % (call("find", [1], 1).strip(), call("find", [2], 2).strip()))
    assert first.is_unordered
    assert first.id != second.id
    assert connection.respond(second, Book(isbn=2)) == b""
    (alone,) = requests(connection, call("find", [3], 3))
    assert json.loads(connection.respond(alone, Book(isbn=3)))["id"] == 3
    said = connection.refuse(first, ApplicationError("no"))
    assert [each["id"] for each in json.loads(said)] == [1, 2]


@pytest.mark.parametrize(("count", "limit", "accepted"), [(1000, 5000, True), (1001, 5000, False), (3, 2, False)])
def test_batches_are_bounded(count: int, limit: int, accepted: bool) -> None:
    line = b"[" + b",".join(call("find", [1], number).strip() for number in range(count)) + b"]\n"
    (response,) = talk(line, connection=server(max_container=limit))
    assert isinstance(response, list) is accepted
    if not accepted:
        assert response["error"]["code"] == -32600
        assert "more than" in response["error"]["message"]


def test_the_responses_of_a_batch_are_bounded() -> None:
    connection = server(max_message=3000)
    line = b"[" + b",".join(call("blob", [1000], number).strip() for number in range(3)) + b"]\n"
    (responses,) = talk(line, connection=connection)
    assert ["result" in each for each in responses] == [True, True, False]
    assert "max_message" in responses[2]["error"]["message"]


def line_of(count: int, method: str, *arguments: Any) -> bytes:
    return b"[" + b",".join(call(method, list(arguments), number).strip() for number in range(count)) + b"]\n"


def test_the_array_of_a_batch_has_at_most_max_message_bytes() -> None:
    for size in range(900, 1000):
        connection = server(max_message=2000)
        events = requests(connection, line_of(2, "blob", 1))
        (line,) = [said for event in events if (said := connection.respond(event, b"x" * (size // 4 * 3)))]
        if b"error" not in line:
            assert len(line) - 1 <= 2000


def test_unfinished_batches_hold_at_most_max_message_bytes_together() -> None:
    connection = server(max_message=3000)
    batches = [requests(connection, line_of(2, "blob", 1000)) for _ in range(3)]
    for first, _ in batches:
        assert connection.respond(first, b"x" * 1000) == b""
    busy = ApplicationError("x" * 2000, ApplicationCode.LOADSHEDDING).push_back(0.5)
    said = [json.loads(connection.refuse(second, busy, {"a": "b" * 2000})) for _, second in batches]
    assert [["result" in each for each in batch] for batch in said] == [[True, False], [True, False], [False, False]]
    for batch in said:
        assert batch[1]["error"]["code"] == -32011
    assert said[0][1]["meta"] == {"retry_after": 0.5}
    (line,) = talk(line_of(2, "blob", 900), connection=connection)
    assert all("result" in each for each in line), "what was sent is not held"


def test_empty_lines_and_ends_of_lines() -> None:
    connection = server()
    data = b"\r\n  \n\n" + call("find", [7], 1).strip() + b"\r\n\n" + call("find", [7], 2)
    assert [each["id"] for each in talk(b"{}\n", data, connection=connection)] == [None, 1, 2]
    assert connection.is_between_messages


def test_data_cut_at_every_position() -> None:
    batch = b"[%b, %b]\r\n" % (call("find", [7], "ä").strip(), call("find", [-1], 2).strip())
    data = call("find", [7]) + b"\n" + batch + b"oops\n" + call("tags", {"tags": ["ä"]})
    whole = talk(data)
    assert len(whole) == 4
    assert talk(*[bytes([byte]) for byte in data]) == whole
    for position in range(len(data)):
        assert talk(data[:position], data[position:]) == whole


@pytest.mark.parametrize("more", [0, 1])
def test_a_line_that_is_too_long(more: int) -> None:
    line = call("check").strip()
    size = len(line) - more
    for data in (line + b"\n", line + b" "):
        for pieces in ([data], [bytes([byte]) for byte in data]):
            connection = server(max_message=size)
            said = talk(*pieces, connection=connection)
            if more:
                assert [each["error"]["code"] for each in said] == [-32600]
                assert said[0]["id"] is None
                assert connection.is_broken
                assert connection.receive_data(line) == connection.receive_eof() == []
            elif data.endswith(b"\n"):
                assert said == [{"jsonrpc": "2.0", "id": 1, "result": None}]


def test_the_end_of_a_line_does_not_count() -> None:
    line = call("check").strip()
    for data in ([line + b"\r\n"], [line + b"\r", b"\n"], [line, b"\r", b"\n"]):
        assert len(talk(*data, connection=server(max_message=len(line)))) == 1
    connection = server(max_message=len(line))
    assert len(talk(line + b"\r", b"x", connection=connection)) == 1
    assert connection.is_broken


def test_ids_have_at_most_1024_bytes() -> None:
    (response,) = talk(call("check", None, "x" * 1022))
    assert response["id"] == "x" * 1022
    assert error(call("check", None, "x" * 1023)) == (-32600, None)


def test_names_that_are_reserved_are_no_methods() -> None:
    methods: dict[str, Method[..., Any]] = {**SERVED.methods, "rpc:find": FIND}
    event = request(call("rpc.find", [7]), ServerConnection(methods, Limits()))
    assert event.method is None
    assert event.key not in methods


def test_requests_before_a_line_that_is_too_long_are_good() -> None:
    said = talk(call("find", [7]) + b"x" * 200, connection=server(max_message=100))
    assert ["result" in each for each in said] == [True, False]


def test_the_end_of_data() -> None:
    line = call("find", [7]).strip()
    connection = server()
    assert connection.receive_data(line) == []
    assert not connection.is_between_messages
    (event,) = connection.receive_eof()
    assert json.loads(answer(connection, event))["result"] == BOOK
    assert connection.is_at_eof
    assert not connection.is_broken
    assert connection.receive_eof() == []
    for position in range(1, len(line)):
        connection = server()
        connection.receive_data(line[:position])
        (broken,) = connection.receive_eof()
        assert isinstance(broken, ConnectionBroken)
        assert json.loads(broken.answer)["error"]["code"] == -32700
        assert connection.is_broken


def test_meta_of_requests() -> None:
    meta = {
        "timeout": 1.5, "attempt": 2, "tag": "gray", "caller": "shop", "traceparent": "00-1-2-03", "later": [],
        "metadata": {"authorization": "Bearer ä"},
    }  # fmt: skip
    event = request(call("find", [7], 1, meta=meta))
    context = event.context
    assert (context.timeout, context.attempt, context.tag) == (1.5, 2, "gray")
    assert (context.caller, context.trace) == ("shop", "00-1-2-03")
    assert event.metadata == {"authorization": "Bearer ä"}
    for empty in (None, {}, dict.fromkeys(meta)):
        event = request(call("find", [7], 1, meta=empty))
        assert event.context.timeout is None
        assert not event.metadata


@pytest.mark.parametrize(
    ("meta", "named"),
    [
        ([], "`meta` must be an object"),
        ("x", "`meta` must be an object"),
        ({"timeout": "1"}, "meta.timeout"),
        ({"timeout": True}, "meta.timeout"),
        ({"timeout": -1}, "meta.timeout"),
        ({"attempt": 1.5}, "meta.attempt"),
        ({"attempt": -1}, "meta.attempt"),
        ({"attempt": 1 << 40}, "meta.attempt"),
        ({"attempt": 1 << 80}, "meta"),
        ({"tag": 1}, "meta.tag"),
        ({"caller": []}, "meta.caller"),
        ({"traceparent": {}}, "meta.traceparent"),
        ({"metadata": ["a"]}, "meta.metadata"),
        ({"metadata": {"tenant": 7}}, "'tenant'"),
        ({"metadata": {"tenant": None}}, "'tenant'"),
        ({"metadata": {"a": "x" * 65536}}, "at most 65536 bytes"),
    ],
)
def test_meta_of_the_wrong_kind(meta: Any, named: str) -> None:
    (response,) = talk(call("find", [7], 4, meta=meta))
    assert response["error"]["code"] == -32600
    assert response["id"] == 4
    assert named in response["error"]["message"]


def test_metadata_of_responses_is_bounded() -> None:
    connection = server()
    event = request(call("find", [7]), connection)
    with pytest.raises(LocalProtocolError, match="the limit is 65536 bytes"):
        connection.respond(event, Book(isbn=1), {"a": "x" * 65536})
    said = json.loads(connection.refuse(event, ApplicationError("no").push_back(2), {"a": "x" * 65536}))
    assert said["meta"] == {"retry_after": 2}


def test_a_timeout_has_an_upper_bound() -> None:
    timeout = request(call("find", [7], meta={"timeout": 1e300})).context.timeout
    assert timeout is not None
    assert timeout <= 1e9
    assert error(b'{"jsonrpc":"2.0","method":"find","id":1,"meta":{"timeout":1e999}}\n')[0] == -32600


def test_meta_of_responses() -> None:
    connection = server()
    event = request(call("find", [7]), connection)
    said = json.loads(connection.respond(event, Book(isbn=1), {"a": "b"}, True))
    assert said["meta"] == {"metadata": {"a": "b"}, "drain": True}
    said = json.loads(connection.respond_error(event, NoBook(isbn=1), {"a": "b"}) or b"")
    assert said["meta"] == {"metadata": {"a": "b"}}
    busy = ApplicationError("busy", ApplicationCode.LOADSHEDDING)
    said = json.loads(connection.refuse(event, busy.push_back(0.5), is_draining=True))
    assert said["meta"] == {"retry_after": 0.5, "drain": True}
    assert said["error"] == {"code": -32011, "message": "busy", "data": {"name": "LOADSHEDDING"}}
    said = json.loads(connection.refuse(event, busy.push_back(math.inf)))
    assert said["meta"] == {"retry_after": -1}
    assert connection.drain_notice() == b""


def test_declared_exceptions() -> None:
    (response,) = talk(call("find", [-1]))
    assert response["error"] == {
        "code": -32001, "message": "isbn=-1", "data": {"exception": "NoBook", "value": {"isbn": -1}}
    }  # fmt: skip
    connection = server()
    event = request(call("blob", [1]), connection)
    assert connection.respond_error(event, NoBook(isbn=1)) is None
    event = request(call("find", [1]), connection)
    assert json.loads(connection.respond_error(event, Closed()) or b"")["error"]["message"] == "Closed"


def test_results_that_cannot_be_sent() -> None:
    connection = server(max_message=100)
    event = request(call("blob", [1000]), connection)
    with pytest.raises(LocalProtocolError, match="the limit is max_message=100"):
        connection.respond(event, b"x" * 1000)
    with pytest.raises(LocalProtocolError):
        connection.respond(event, "text")
    with pytest.raises(ApplicationError, match="missing result") as caught:
        connection.respond(event, None)
    assert caught.value.code is ApplicationCode.MISSING_RESULT
    event = request(call("find", [1]), connection)
    with pytest.raises(LocalProtocolError):
        connection.respond_error(event, NoBook(isbn="x"))  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="strings"):
        connection.respond(event, Book(isbn=1), {"a": 1})  # type: ignore[dict-item]


def test_refusals_keep_push_back_where_metadata_does_not_fit() -> None:
    connection = server(max_message=300)
    event = request(call("find", [1]), connection)
    busy = ApplicationError("busy", ApplicationCode.LOADSHEDDING).push_back(0.5)
    said = json.loads(connection.refuse(event, busy, {"a": "x" * 300}, is_draining=True))
    assert said["meta"] == {"retry_after": 0.5, "drain": True}
    assert said["error"]["message"] == "busy"
    said = json.loads(connection.refuse(event, busy, {"a": 1}, is_draining=True))  # type: ignore[dict-item]
    assert said["meta"] == {"retry_after": 0.5, "drain": True}


@pytest.mark.parametrize("message", ["\ud800", "x" * 100_000, None, 7, "a\nb"])
def test_refusals_are_always_sent(message: Any) -> None:
    connection = server(max_message=100)
    event = request(call("find", [1]), connection)
    said = connection.refuse(event, ApplicationError(message, "x").push_back("never"), {"a": 1})  # type: ignore
    assert said.count(b"\n") == 1
    assert json.loads(said)["error"]["code"] == -32603


def test_codes_go_both_ways() -> None:
    for code in ApplicationCode:
        assert application_code(json_rpc_code(code)) is code
    assert len({json_rpc_code(code) for code in ApplicationCode}) == len(ApplicationCode)
    for own in (42, -5, 100_000, -32099):
        assert application_code(json_rpc_code(own)) == own
    assert application_code(11) is ApplicationCode.UNKNOWN, "another server's 11 does not say that it did nothing"
    assert json_rpc_code(1 << 80) == -32603
    for reserved in (-32001, -32700, -32600, -32601, -32768):
        assert json_rpc_code(reserved) == -32000, "clients conclude from it that nothing was executed"
    assert json_rpc_code(ApplicationCode.INVALID_MESSAGE_TYPE) == -32002
    assert application_code(-32600) is ApplicationCode.INVALID_MESSAGE_TYPE
    assert application_code(-32700) is ApplicationCode.PROTOCOL_ERROR


def test_the_size_of_a_request_is_that_of_its_text() -> None:
    line = call("find", [7])
    assert request(line).size == len(line) - 1


def test_the_page_lists_all_codes() -> None:
    page = (Path(__file__).parents[4] / "docs" / "jsonrpc.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (-\d+) \|", page, re.MULTILINE)}
    assert listed == {json_rpc_code(code) for code in ApplicationCode} | {-32001, -32600, -32700}
