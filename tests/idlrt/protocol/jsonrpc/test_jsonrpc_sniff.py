"""Which connections are JSON-RPC, as their first bytes tell, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.protocol import Sniff
from idlrt.protocol.detection import detect, protocol, served_protocols
from idlrt.protocol.jsonrpc import JsonRpcProtocol
from idlrt.serialization import DEFAULT_LIMITS

PROTOCOL = JsonRpcProtocol()


def sniff(prefix: bytes) -> Sniff:
    return PROTOCOL.sniff(prefix, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (b"{", Sniff.YES),
        (b'{"jsonrpc"', Sniff.YES),
        (b"[", Sniff.MORE),
        (b"[ ", Sniff.MORE),
        (b"[ \t\r\n", Sniff.MORE),
        (b"[{", Sniff.YES),
        (b"[ \n {", Sniff.YES),
        (b"[]", Sniff.YES),
        (b"[1", Sniff.NO),
        (b"[ 1", Sniff.NO),
        (b'["', Sniff.NO),
        (b"[[", Sniff.NO),
        (b"[" + b" " * 62, Sniff.MORE),
        (b"[" + b" " * 63, Sniff.NO),
        (b"[" + b" " * 63 + b"{", Sniff.NO),
        (b"[" + b" " * 62 + b"{", Sniff.YES),
        (b" {", Sniff.NO),
        (b"\n{", Sniff.NO),
        (b"\x00", Sniff.NO),
        (b"\x80", Sniff.NO),
        (b"\x82", Sniff.NO),
        (b"GET ", Sniff.NO),
        (b"\x16\x03\x01", Sniff.NO),
    ],
)
def test_first_bytes(prefix: bytes, expected: Sniff) -> None:
    assert sniff(prefix) is expected


@given(st.text(alphabet='[]{} \t\n1"', min_size=1, max_size=80).map(str.encode))
def test_the_result_holds_for_longer_prefixes(data: bytes) -> None:
    results = [sniff(data[:size]) for size in range(1, len(data) + 1)]
    decided = [each for each in results if each is not Sniff.MORE]
    assert len(set(decided)) <= 1
    assert results == [Sniff.MORE] * (len(results) - len(decided)) + decided


@given(st.binary(min_size=1, max_size=12))
def test_no_connection_is_taken_from_thrift(data: bytes) -> None:
    thrift = protocol("thrift")
    try:
        found = detect(data, served_protocols(["jsonrpc", "thrift"]), DEFAULT_LIMITS)
    except RemoteProtocolError:
        found = None
    if found is not None and found.name == "jsonrpc" and thrift.sniff(data, DEFAULT_LIMITS) is Sniff.YES:
        # An array without a number in front, or what would be a frame of 2 GB.
        assert data[:1] == b"[" or int.from_bytes(data[:4]) > DEFAULT_LIMITS.max_frame


@pytest.mark.parametrize("data", [b'[1,"get",1,1,{}]', b"\0\0\0\x10\x80\x01\0\1", b"\x80\x01\0\1", b"\x82\x21\1\1x"])
def test_thrift_is_still_thrift(data: bytes) -> None:
    found = detect(data, served_protocols(["jsonrpc", "thrift"]), DEFAULT_LIMITS)
    assert found is not None
    assert found.name == "thrift"


def test_a_server_that_speaks_thrift_only_names_what_it_speaks() -> None:
    with pytest.raises(RemoteProtocolError, match="text"):
        detect(b'{"jsonrpc":', served_protocols(["thrift"]), DEFAULT_LIMITS)


def test_clients_have_no_options() -> None:
    (client,) = PROTOCOL.clients({"serialization": None}, DEFAULT_LIMITS)
    assert repr(client) == client.name == "jsonrpc"
    assert client.metadata_advice() == ""
    assert "tcp://" in client.advice()
    with pytest.raises(ConfigurationError, match="protocol jsonrpc has no option 'framing'; remove framing='framed'"):
        PROTOCOL.clients({"framing": "framed"}, DEFAULT_LIMITS)
