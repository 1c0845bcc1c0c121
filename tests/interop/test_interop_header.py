"""THeader metadata, to and from Apache's library."""

from __future__ import annotations

import pytest
from peer_clients import OURS, make_client, serving
from peer_dialects import HEADERS, PLAIN, SPOKEN
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID
from thrift.transport.TSocket import TSocket

import idlrt
from idlrt.errors import ConfigurationError

pytestmark = pytest.mark.slow

SOME = {"tenant": "7", "ä": "ö", "empty": "", "": "no key"}
LARGE = {f"key {number}": "x" * number for number in range(300)}
PAIRS = [
    (caller, server, spoken)
    for spoken in SPOKEN
    if spoken.framing in HEADERS
    for caller, server in ((spoken.peer, "ours"), *((ours, spoken.peer) for ours in OURS))
]
PLAINLY = [each for each in SPOKEN if (each.peer, each.head) == ("apache", "strict") and each.framing in PLAIN]


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]} to {pair[1]} {pair[2].framing} {pair[2].protocol}")
def client(request, stubs, handler):
    caller, server, spoken = request.param
    with serving(server, spoken, stubs, handler) as port:
        made = make_client(caller, spoken, stubs, port)
        try:
            yield made
        finally:
            made.close()


def test_each_call_has_its_own(client):
    assert client.call("metadata", metadata=SOME) == SOME
    assert client.call("metadata") == {}
    assert client.call("metadata", metadata={"tenant": "8"}) == {"tenant": "8"}
    assert client.call("add", 1, 2, metadata=SOME) == 3
    assert client.call("metadata", metadata=LARGE) == LARGE
    assert client.call("metadata", metadata={}) == {}


@pytest.mark.parametrize("spoken", PLAINLY, ids=str)
def test_plain_framings_carry_none(spoken, stubs, handler):
    with serving("ours", spoken, stubs, handler) as port:
        made = make_client("blocking", spoken, stubs, port)
        with pytest.raises(ConfigurationError, match="carries no metadata"):
            made.call("metadata", metadata=SOME)
        assert made.call("metadata") == {}
        made.close()


@pytest.mark.parametrize("protocol", ["binary", "compact"])
def test_our_answer_has_protocol_and_number_of_the_call(protocol, stubs, handler):
    numbers = {"binary": THeaderSubprotocolID.BINARY, "compact": THeaderSubprotocolID.COMPACT}
    with idlrt.Server(stubs.peer(handler)) as server:
        raw = TSocket("127.0.0.1", server.start().port)
        raw.open()
        spoken = THeaderProtocol(raw, (THeaderClientType.HEADERS,), numbers[protocol])
        spoken.writeMessageBegin("ping", 1, 9)
        spoken.writeStructBegin("ping_args")
        spoken.writeFieldStop()
        spoken.writeStructEnd()
        spoken.writeMessageEnd()
        spoken.trans.flush()
        assert spoken.readMessageBegin() == ("ping", 2, 9)
        assert spoken.trans.protocol_id == numbers[protocol]
        assert spoken.trans.sequence_id == 9
        assert spoken.get_headers() == {}
        raw.close()
