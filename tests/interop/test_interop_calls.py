"""Calls between our clients and servers and those of the peers, over sockets, in every dialect both have."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from pathlib import Path

import peer_samples
import pytest
from apache_peer import ApachePeer
from thriftpy2_peer import Thriftpy2Peer

from idlrt import Server
from idlrt.errors import ApplicationCode, ApplicationError

IDL = Path(__file__).with_name("interop.thrift")
PEERS = ["apache", "apache accelerated", "thriftpy2", "thriftpy2 accelerated"]
OURS = ["blocking", "asyncio"]
PAIRS = [(client, "ours") for client in PEERS] + [(client, server) for client in OURS for server in PEERS]
# Our client writes strict messages and reads both; what a peer writes can be chosen.
DIALECTS = [
    *[(client, "ours", "strict") for client in OURS],
    *[(client, server, head) for client, server in PAIRS for head in ("strict", "old")],
]


class Blocking:
    """Our blocking client."""

    def __init__(self, stubs, framing, port):
        self._client = stubs.NewerClient.connect(f"127.0.0.1:{port}", framing=framing, timeout=20)

    def call(self, name, *values):
        return getattr(self._client, name)(*values)

    def pipeline(self, name, calls):
        return [self.call(name, *values) for values in calls]

    def close(self):
        self._client.close()


class Asyncio:
    """Our asyncio client."""

    def __init__(self, stubs, framing, port):
        self._runner = asyncio.Runner()
        self._client = stubs.AsyncNewerClient.connect(f"127.0.0.1:{port}", framing=framing, timeout=20)

    def call(self, name, *values):
        async def call():
            return await getattr(self._client, name)(*values)

        return self._runner.run(call())

    def pipeline(self, name, calls):
        async def all_at_once():
            return await asyncio.gather(*[getattr(self._client, name)(*values) for values in calls])

        return self._runner.run(all_at_once())

    def close(self):
        self._runner.run(self._client.close())
        self._runner.close()


class Foreign:
    """A peer's client. It does not read answers before it has sent all calls."""

    def __init__(self, client):
        self._client = client
        self.call = client.call
        self.close = client.close

    def pipeline(self, name, calls):
        for values in calls:
            self._client.send(name, *values)
        return [self._client.receive(name) for _ in calls]


@functools.cache
def make_peer(name, stubs, head):
    service, newer = stubs.PeerClient.__thrift_service__, stubs.NewerClient.__thrift_service__
    options = {"is_accelerated": name.endswith("accelerated"), "is_strict": head == "strict"}
    if name.startswith("apache"):
        return ApachePeer((stubs,), service, newer, **options)
    return Thriftpy2Peer(IDL, service, newer, **options)


@contextlib.contextmanager
def serving(name, stubs, framing, head, handler):
    """A server; gives its port."""
    if name == "ours":
        with Server(stubs.peer(handler)) as server:
            yield server.start().port
    else:
        with make_peer(name, stubs, head).serve(framing, handler) as port:
            yield port


def make_client(name, stubs, framing, head, port):
    if name == "blocking":
        return Blocking(stubs, framing, port)
    if name == "asyncio":
        return Asyncio(stubs, framing, port)
    return Foreign(make_peer(name, stubs, head).connect(framing, port))


@pytest.fixture(params=["framed", "unframed"])
def framing(request):
    return request.param


@pytest.fixture(params=DIALECTS, ids=lambda each: f"{each[0]} to {each[1]} {each[2]}")
def client(request, stubs, framing, handler):
    caller, server, head = request.param
    with serving(server, stubs, framing, head, handler) as port:
        made = make_client(caller, stubs, framing, head, port)
        try:
            yield made
        finally:
            made.close()


def test_every_type(client, stubs):
    assert client.call("ping") is None
    assert client.call("version") == "1.0"
    assert client.call("flip", True) is False
    assert client.call("flip", False) is True
    assert client.call("tiny", -128) == -128
    assert client.call("small", 2**15 - 1) == 2**15 - 1
    assert client.call("add", -5, 3) == -2
    assert client.call("large", -(2**63)) == -(2**63)
    assert client.call("half", 5.0) == 2.5
    assert client.call("greet", "wörld 😀") == "hello wörld 😀"
    assert client.call("reversed", b"\0\1\xff") == b"\xff\1\0"
    assert client.call("next_color", stubs.Color.RED) is stubs.Color.GREEN
    assert client.call("next_color", stubs.Color.BLUE) == 31
    assert client.call("words", "a bc d") == ["a", "bc", "d"]
    assert client.call("words", "") == []
    assert client.call("unique", [3, 1, 3]) == {1, 3}
    assert client.call("count", ["a", "b", "a"]) == {"a": 2, "b": 1}
    for shape in peer_samples.shapes(stubs):
        assert client.call("shape", shape) == shape
    for value in peer_samples.everything(stubs):
        assert client.call("echo", value) == value
    for each in peer_samples.scalars(stubs):
        assert client.call("echo", stubs.Everything(scalars=each)).scalars == each
    for each in peer_samples.containers(stubs):
        assert client.call("echo", stubs.Everything(scalars=stubs.Scalars(), containers=each)).containers == each
    for each in peer_samples.trees(stubs):
        assert client.call("echo", stubs.Everything(scalars=stubs.Scalars(), tree=each)).tree == each


def test_declared_exceptions(client, stubs):
    assert client.call("find", 3) == stubs.Point(x=3)
    with pytest.raises(stubs.NotFound) as missing:
        client.call("find", 0)
    assert missing.value == stubs.NotFound(id=0, reason="none has number 0")
    with pytest.raises(stubs.Refused) as refused:
        client.call("find", -1)
    assert refused.value == stubs.Refused(code=7, because=["negative", "ä"])
    assert client.call("check", 0) is None
    with pytest.raises(stubs.Refused) as refused:
        client.call("check", 9)
    assert refused.value.code == 9
    assert client.call("find", 4) == stubs.Point(x=4)


def test_an_unknown_method_is_refused_and_costs_nothing_else(client, stubs):
    # No binary in it: Apache's Python skips those as if they were UTF-8.
    value = stubs.Everything(scalars=stubs.Scalars(text="a"), tree=peer_samples.trees(stubs)[1])
    with pytest.raises(ApplicationError) as caught:
        client.call("unheard_of", 1, value)
    assert caught.value.code == ApplicationCode.UNKNOWN_METHOD
    assert client.call("add", 1, 1) == 2


def test_a_handler_that_fails_is_an_internal_error_and_costs_nothing_else(client):
    with pytest.raises(ApplicationError) as caught:
        client.call("fail", "secret")
    assert caught.value.code == ApplicationCode.INTERNAL_ERROR
    assert "secret" not in str(caught.value)
    assert client.call("add", 1, 2) == 3


def test_oneway_calls_are_not_answered(client, handler):
    for text in ("one", "two", "three"):
        assert client.call("note", text) is None
    for _ in range(3):
        assert handler.was_noted.acquire(timeout=20)
    assert sorted(client.call("notes")) == ["one", "three", "two"]


def test_calls_may_be_pipelined(client):
    calls = [(number, number) for number in range(100)]
    assert client.pipeline("add", calls) == [2 * number for number in range(100)]


def test_large_messages(client):
    data = bytes(range(256)) * 4000
    assert client.call("reversed", data) == data[::-1]
    words = " ".join(["word"] * 20_000)
    assert client.call("words", words) == ["word"] * 20_000
