"""Calls between our clients and servers and those of the peers, over sockets, in every dialect both have."""

from __future__ import annotations

import peer_samples
import pytest
import thriftpy2_json
from peer_clients import OURS, make_client, serving
from peer_dialects import SPOKEN

from idlrt.errors import ApplicationCode, ApplicationError

pytestmark = pytest.mark.slow


def pairs():
    """Caller, server, and what they speak. Our client writes strict messages and reads both."""
    for spoken in SPOKEN:
        for caller, server in ((spoken.peer, "ours"), *((ours, spoken.peer) for ours in OURS)):
            label = f"{caller} to {server} {spoken.framing} {spoken.head} {spoken.protocol}"
            # The inner loop has the asyncio client where it matters most.
            is_fast = spoken.is_fast and (caller != "asyncio" or spoken.framing == "framed")
            yield pytest.param((caller, server, spoken), id=label, marks=[] if is_fast else [pytest.mark.slow])


@pytest.fixture(params=pairs())
def pair(request):
    return request.param


@pytest.fixture
def client(pair, stubs, handler):
    caller, server, spoken = pair
    with serving(server, spoken, stubs, handler) as port:
        made = make_client(caller, spoken, stubs, port)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def known(pair):
    """Takes from a value what the peer is known not to write or read right."""
    spoken = pair[2]
    has_faults = spoken.peer.startswith("thriftpy2") and spoken.protocol == "json"
    return lambda value: thriftpy2_json.sound(value, is_streamed=True) if has_faults else value


def test_every_type(client, known, stubs):
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
    for value in map(known, peer_samples.everything(stubs)):
        assert client.call("echo", value) == value
    for field, values in (
        ("scalars", peer_samples.scalars),
        ("containers", peer_samples.containers),
        ("tree", peer_samples.trees),
        ("flags", peer_samples.flags),
        ("gaps", peer_samples.gaps),
        ("nested", peer_samples.nested),
    ):
        for each in map(known, values(stubs)):
            value = stubs.Everything(**{"scalars": stubs.Scalars(), field: each})
            assert client.call("echo", value) == value


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


@pytest.mark.slow
def test_large_messages(client, pair):
    # thriftpy2 reads JSON byte by byte, and looks through a string from its start with each: minutes for a megabyte.
    is_quadratic = pair[2].peer.startswith("thriftpy2") and pair[2].protocol == "json"
    data = bytes(range(256)) * (64 if is_quadratic else 4096)
    assert client.call("reversed", data) == data[::-1]
    words = " ".join(["word"] * (1000 if is_quadratic else 20_000))
    assert client.call("words", words) == words.split()
