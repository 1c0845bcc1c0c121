"""Whole messages are Apache's, byte for byte: calls, replies, exceptions, refusals, in every framing it has."""

from __future__ import annotations

import functools

import peer_samples
import pytest
from peer_dialects import PLAIN, SPOKEN

from idlrt.errors import ApplicationCode, ApplicationError
from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.envelope import BinaryEnvelope
from idlrt.protocol.thrift.framing import Dialect, Framed, Unframed
from idlrt.protocol.thrift.requests import ThriftRequest, ThriftResponse
from idlrt.protocol.thrift.sniff import detector
from idlrt.serialization import BinarySerialization

pytestmark = pytest.mark.slow

# Those that have the C extension stand for the others here: the bytes of values are compared elsewhere.
ALL = [
    each for each in SPOKEN if each.peer == "apache accelerated" or (each.peer == "apache" and each.protocol == "json")
]
METADATA = {"tenant": "7", "ä": "ö", "": ""}

make_peer = functools.cache(lambda spoken, stubs: spoken.make(stubs))


def whole(stubs):
    return peer_samples.everything(stubs)[1]


CALLS = {
    "no arguments": ("ping", lambda s: ()),
    "two arguments": ("add", lambda s: (1, -2)),
    "a bool": ("flip", lambda s: (True,)),
    "a double": ("half", lambda s: (-0.1,)),
    "text": ("greet", lambda s: ("jürgen",)),
    "binary": ("reversed", lambda s: (b"\0\xff",)),
    "an enum": ("next_color", lambda s: (s.Color.RED,)),
    "a union": ("shape", lambda s: (s.Shape(line=[s.Point(x=1)]),)),
    "a large struct": ("echo", lambda s: (whole(s),)),
    "an exception": ("find", lambda s: (0,)),
    "another exception": ("find", lambda s: (-1,)),
    "a struct": ("find", lambda s: (5,)),
    "nothing": ("check", lambda s: (0,)),
    "an exception of what returns nothing": ("check", lambda s: (1,)),
    "a list": ("words", lambda s: ("a b",)),
    "a set": ("unique", lambda s: ([3, 1, 2],)),
    "a map": ("count", lambda s: (["a", "b", "a"],)),
    "oneway": ("note", lambda s: ("hey",)),
}


class Repeatable:
    """A handler that answers both sides with the same objects: what they read may have another order of sets."""

    def __init__(self, handler, stubs):
        self._handler = handler
        self.echo = functools.partial(lambda answer, value: answer, whole(stubs))

    def __getattr__(self, name):
        return getattr(self._handler, name)


@pytest.fixture(params=ALL, ids=str)
def spoken(request):
    return request.param


def our_dialect(spoken):
    if spoken.head == "old":
        old = BinaryEnvelope(BinarySerialization(), is_strict=False)
        return Dialect(old, Framed() if spoken.framing == "framed" else Unframed())
    return dialect(spoken.framing, spoken.protocol)


def only_call(server, data):
    """The call that `data` is."""
    [received] = server.receive_data(data)
    assert isinstance(received, ThriftRequest)
    return received


@pytest.mark.parametrize("name", CALLS)
def test_calls_and_answers(name, spoken, stubs, handler):
    method_name, make = CALLS[name]
    arguments, peer = make(stubs), make_peer(spoken, stubs)
    method = stubs.PeerClient.__thrift_service__.methods[method_name]
    ours = ClientConnection(our_dialect(spoken))
    for number in (1, 2):
        _, call = ours.request(method, arguments)
        assert call.hex() == peer.encode_call(method_name, arguments, number, spoken.framing).hex()

    server = ServerConnection(detector(), stubs.PeerClient.__thrift_service__.methods)
    received = only_call(server, call)
    answering = Repeatable(handler, stubs)
    answer = peer.encode_answer(call, answering, spoken.framing)
    assert server.arguments(received)[0] == arguments
    if method.is_oneway:
        assert answer == b""
        return
    try:
        answered = server.respond(received, getattr(answering, method_name)(*arguments))
    except (stubs.NotFound, stubs.Refused) as error:
        thrown = server.respond_error(received, error)
        assert thrown is not None
        answered = thrown
    assert answered.hex() == answer.hex()
    [event] = ours.receive_data(answer)
    assert isinstance(event, ThriftResponse)
    assert event.id == 2


def test_refusals(spoken, stubs, handler):
    service, newer = stubs.PeerClient.__thrift_service__, stubs.NewerClient.__thrift_service__
    # No binary in it: Apache's Python skips those as if they were UTF-8.
    value = stubs.Everything(scalars=stubs.Scalars(text="a"), tree=peer_samples.trees(stubs)[1])
    _, call = ClientConnection(our_dialect(spoken)).request(newer.methods["unheard_of"], (1, value))
    server = ServerConnection(detector(), service.methods)
    received = only_call(server, call)
    refusal = ApplicationError("Unknown function unheard_of", ApplicationCode.UNKNOWN_METHOD)
    answer = make_peer(spoken, stubs).encode_answer(call, handler, spoken.framing)
    assert server.refuse(received, refusal).hex() == answer.hex()


NUMBERS = [1, 127, 128, 2**14, 2**31 - 1]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_our_calls(number, spoken, stubs):
    method = stubs.PeerClient.__thrift_service__.methods["ping"]
    ours = ClientConnection(our_dialect(spoken), first_sequence_id=number)
    _, call = ours.request(method, ())
    assert call.hex() == make_peer(spoken, stubs).encode_call("ping", (), number, spoken.framing).hex()


@pytest.mark.parametrize("number", [0, *NUMBERS, -1, -(2**31)])
def test_numbers_of_our_answers(number, spoken, stubs, handler):
    peer = make_peer(spoken, stubs)
    call = peer.encode_call("ping", (), number, spoken.framing)
    server = ServerConnection(detector(), stubs.PeerClient.__thrift_service__.methods)
    received = only_call(server, call)
    assert server.respond(received, None).hex() == peer.encode_answer(call, handler, spoken.framing).hex()


@pytest.mark.parametrize("count", range(len(METADATA) + 1))
def test_metadata_stands_where_apache_has_it_or_nowhere(count, spoken, stubs):
    metadata = dict(list(METADATA.items())[:count])
    method = stubs.PeerClient.__thrift_service__.methods["add"]
    _, call = ClientConnection(our_dialect(spoken)).request(method, (1, 2), metadata)
    theirs = {} if spoken.framing in PLAIN else metadata
    assert call.hex() == make_peer(spoken, stubs).encode_call("add", (1, 2), 1, spoken.framing, theirs).hex()
