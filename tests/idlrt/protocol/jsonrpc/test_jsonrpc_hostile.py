"""Hostile JSON: depth, sizes, memory and garbage. A server answers or closes, and never raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from catalogue import SERVICE, Books, call, catalogue
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import serve
from idlrt.errors import ApplicationError, RemoteProtocolError
from idlrt.protocol import ConnectionBroken, PingReceived, RequestReceived
from idlrt.protocol.jsonrpc.client import ClientConnection
from idlrt.protocol.jsonrpc.server import ServerConnection
from idlrt.protocol.jsonrpc.values import MethodJson
from idlrt.serialization import Limits

METHODS = serve(catalogue(Books())).methods
ENDLESS = b'{"jsonrpc":"2.0","method":"find","id":1,"params":'


def shown(pieces: list[bytes], limits: Limits) -> list[Any]:
    """Return the events of a server that receives these pieces of data."""
    server = ServerConnection(METHODS, limits)
    told: list[Any] = []
    events = [event for piece in pieces for event in server.receive_data(piece)]
    for event in [*events, *server.receive_eof()]:
        match event:
            case RequestReceived():
                arguments: Any = None
                if event.method is not None:
                    try:
                        arguments = server.arguments(event)
                    except RemoteProtocolError as error:
                        arguments = str(error)
                refused = server.refuse(event, event.refusal or ApplicationError("no"))
                told.append((event.id, event.key, event.is_oneway, dict(event.metadata), repr(arguments), refused))
            case PingReceived():
                told.append(server.pong(event))
            case ConnectionBroken():
                told.append((str(event.error), event.answer))
            case _:
                raise AssertionError(event)
    return told


LINES = [
    call("find", [7]),
    call("tags", {"tags": ["a", "b"]}, "x", meta={"timeout": 1, "metadata": {"a": "b"}}),
    call("note", ["x"], ...),
    b"[%b, %b]\n" % (call("numbers", [{"a": 1}]).strip(), call("rpc.ping").strip()),
]
DAMAGE = st.tuples(
    st.sampled_from(LINES), st.integers(0, 200), st.sampled_from([b"", b"\n", b"[", b"}", b'"', b"\xff"])
)


@given(st.lists(st.one_of(DAMAGE.map(lambda each: each[0][: each[1]] + each[2] + each[0][each[1] + 1 :]), st.binary())))
def test_whatever_comes_is_read_alike_however_it_is_cut(lines: list[bytes]) -> None:
    data = b"\n".join(lines)
    for limits in (Limits(), Limits(max_message=80, max_container=2, max_depth=1, max_string=3)):
        whole = shown([data], limits)
        assert shown([data[at : at + 1] for at in range(len(data))], limits) == whole
        assert shown([data[at : at + 7] for at in range(0, len(data), 7)], limits) == whole


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([
    b'{"jsonrpc":"2.0","id":1,"result":{"isbn":1}}\n', b'{"id":2,"error":{"code":1}}\n', b'{"id":1.5}\n', b"[]\n",
    b'{"id":1,"error":[],"meta":7}\n', b'{"method":"hello"}\n', b'{"id":null,"error":{"code":-32700}}\n',
]))))  # fmt: skip
def test_a_client_reads_alike_however_responses_are_cut(lines: list[bytes]) -> None:
    data = b"".join(lines)

    def read(pieces: list[bytes]) -> list[Any]:
        client = ClientConnection(Limits(max_message=100))
        client.request(METHODS["find"], (1,))
        client.request(METHODS["check"], ())
        events = [event for piece in pieces for event in client.receive_data(piece)]
        return [*map(repr, [*events, *client.receive_eof()]), client.in_flight]

    assert read([data]) == read([data[at : at + 1] for at in range(len(data))])


@pytest.mark.parametrize(
    "params", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 5_000 + b"]" * 5_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000]
)
def test_depth(params: bytes) -> None:
    for line in (ENDLESS + params + b"}\n", b"[" + ENDLESS + params + b"}]\n", params + b"\n"):
        for _, _, _, _, _, refused in shown([line], Limits()):
            assert json.loads(refused)["error"]["code"] in (-32700, -32600)


def test_numbers_of_many_digits() -> None:
    digits = b"9" * 1_000_000
    ((_, _, _, _, arguments, refused),) = shown([ENDLESS + b"[" + digits + b"]}\n"], Limits())
    assert "cannot read" in arguments
    ((_, _, _, _, _, refused),) = shown([b'{"jsonrpc":"2.0","method":"find","id":' + digits + b"}\n"], Limits())
    assert (json.loads(refused)["id"], json.loads(refused)["error"]["code"]) == (None, -32600)


def test_a_batch_of_millions_of_elements_is_refused_at_once() -> None:
    ((*_, refused),) = shown([b"[" + b"1," * 4_000_000 + b"1]\n"], Limits())
    assert json.loads(refused)["error"]["code"] == -32600


@pytest.mark.parametrize(
    ("limits", "params", "named"),
    [
        ({"max_string": 100}, {"tags": ["a", "ä" * 60]}, "max_string=100"),
        ({"max_container": 10}, {"tags": ["a"] * 11}, "max_container=10"),
        ({"max_string": 100}, {"tags": ["ä" * 50] * 10}, None),
        ({"max_container": 10}, {"tags": ["aaaaaaaaaaaaaaaaaaaaaa"] * 10}, None),
    ],
)
def test_limits_of_values(limits: dict[str, int], params: Any, named: str | None) -> None:
    codec = MethodJson(SERVICE.methods["tags"], Limits(**limits))
    text = json.dumps(params, ensure_ascii=False).encode()
    if named is None:
        assert codec.arguments_of(text)[0][0] == params["tags"]
    else:
        with pytest.raises(RemoteProtocolError, match=named):
            codec.arguments_of(text)


def test_a_small_message_reports_a_bound() -> None:
    codec = MethodJson(SERVICE.methods["tags"], Limits())
    _, small = codec.arguments_of(b'[["a"]]')
    _, large = codec.arguments_of(json.dumps([["a" * 10] * 10_000]).encode())
    assert 0 < small < 2000
    assert 10_000 * 60 < large < 10_000 * 120
