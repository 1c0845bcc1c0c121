"""Bytes are those of the peers, and each side reads what the other writes."""

from __future__ import annotations

import functools
from pathlib import Path

import peer_samples
import pytest
from apache_peer import ApachePeer
from thriftpy2_peer import Thriftpy2Peer

from idlrt.wire import BinaryProtocol
from idlrt.wire.connection import ClientConnection, ServerConnection
from idlrt.wire.dialect import Dialect, detector
from idlrt.wire.framing import Unframed
from idlrt.wire.protocol import DEFAULT_LIMITS

IDL = Path(__file__).with_name("interop.thrift")
PROTOCOL = BinaryProtocol()
PEERS = ["apache", "apache accelerated", "thriftpy2", "thriftpy2 accelerated"]


@functools.cache
def make_peer(name, stubs):
    service, newer = stubs.PeerClient.__thrift_service__, stubs.NewerClient.__thrift_service__
    is_accelerated = name.endswith("accelerated")
    if name.startswith("apache"):
        return ApachePeer((stubs,), service, newer, is_accelerated=is_accelerated)
    return Thriftpy2Peer(IDL, service, newer, is_accelerated=is_accelerated)


@pytest.mark.parametrize("name", PEERS)
def test_values_have_the_same_bytes(name, stubs):
    peer = make_peer(name, stubs)
    for value in peer_samples.for_everybody(stubs):
        assert PROTOCOL.struct(type(value)).encode(value).hex() == peer.encode(value).hex()


@pytest.mark.parametrize("name", PEERS)
def test_each_reads_the_other(name, stubs):
    peer = make_peer(name, stubs)
    for value in peer_samples.for_everybody(stubs):
        codec = PROTOCOL.struct(type(value))
        assert peer.decode(type(value), codec.encode(value)) == value
        data = peer.encode(value)
        assert codec.decode(data) == (value, len(data))


@pytest.mark.parametrize("is_accelerated", [False, True], ids=["pure", "accelerated"])
def test_keys_that_are_containers_and_uuids_as_apache_has_them(is_accelerated, stubs):
    peer = make_peer("apache accelerated" if is_accelerated else "apache", stubs)
    samples = peer_samples.keyed(stubs)
    # Apache's C extension does not know UUIDs.
    samples += [] if is_accelerated else peer_samples.identified(stubs)
    for value in samples:
        codec = PROTOCOL.struct(type(value))
        assert codec.encode(value).hex() == peer.encode(value).hex()
        assert peer.decode(type(value), codec.encode(value)) == value


def small_sets(stubs):
    """Everything, without sets that a reader may have in another order."""
    value = peer_samples.everything(stubs)[1]
    value.containers.names, value.containers.ids, value.containers.sets = {"a"}, {1}, [{2}]
    return value


CALLS = [
    ("ping", lambda s: ()),
    ("add", lambda s: (1, -2)),
    ("greet", lambda s: ("jürgen",)),
    ("next_color", lambda s: (s.Color.RED,)),
    ("echo", lambda s: (small_sets(s),)),
    ("find", lambda s: (0,)),
    ("find", lambda s: (-1,)),
    ("find", lambda s: (5,)),
    ("check", lambda s: (0,)),
    ("check", lambda s: (1,)),
    ("words", lambda s: ("a b",)),
    ("count", lambda s: (["a", "b", "a"],)),
    ("note", lambda s: ("hey",)),
]


@pytest.mark.parametrize("is_strict", [True, False], ids=["strict", "old"])
@pytest.mark.parametrize("index", range(len(CALLS)))
def test_whole_messages_are_apaches(index, is_strict, stubs, handler):
    name, make = CALLS[index]
    arguments = make(stubs)
    service, newer = stubs.PeerClient.__thrift_service__, stubs.NewerClient.__thrift_service__
    apache = ApachePeer((stubs,), service, newer, is_accelerated=True, is_strict=is_strict)
    method = service.methods[name]
    client = ClientConnection(Dialect(BinaryProtocol(strict=is_strict), Unframed()))
    _, call = client.call(method, arguments)
    assert call.hex() == apache.encode_call(name, arguments, 1).hex()

    server = ServerConnection(detector(DEFAULT_LIMITS), service.methods)
    [received] = server.receive_data(call)
    answer = apache.encode_answer(call, handler)
    if method.is_oneway:
        assert answer == b""
        return
    values = server.arguments(received)
    assert values == arguments
    try:
        ours = server.reply(received, getattr(handler, name)(*values))
    except (stubs.NotFound, stubs.Refused) as error:
        ours = server.throw(received, error)
    assert ours.hex() == answer.hex()


@pytest.mark.parametrize("is_strict", [True, False], ids=["strict", "old"])
def test_a_refusal_is_apaches(is_strict, stubs, handler):
    from idlrt.errors import ApplicationCode, ApplicationError

    service, newer = stubs.PeerClient.__thrift_service__, stubs.NewerClient.__thrift_service__
    apache = ApachePeer((stubs,), service, newer, is_accelerated=True, is_strict=is_strict)
    client = ClientConnection(Dialect(BinaryProtocol(strict=is_strict), Unframed()))
    _, call = client.call(newer.methods["unheard_of"], (1, peer_samples.everything(stubs)[0]))
    server = ServerConnection(detector(DEFAULT_LIMITS), service.methods)
    [received] = server.receive_data(call)
    refusal = ApplicationError("Unknown function unheard_of", ApplicationCode.UNKNOWN_METHOD)
    assert server.refuse(received, refusal).hex() == apache.encode_answer(call, handler).hex()
