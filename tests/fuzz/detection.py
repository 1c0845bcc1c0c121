"""Sends bytes to a server that does not know yet what its client speaks.

python tests/fuzz/detection.py [options of libFuzzer] [folders]

What is told (a protocol, the text of an error, or nothing yet) is the same whole, byte by byte, and as the input cuts
the bytes. A protocol is told with all the bytes that have come, and nothing is read after an error.

The first byte of an input says how many cuts follow, and whether limits are small (128); each cut is a byte that says
how far on from the one before it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise

from guidance import fuzz, guided

with guided(__name__):
    from speech import CALLS, LIMITS, SERVICE, SMALL, dialects

    from idlrt.core import Served
    from idlrt.protocol.base import ProtocolDetected
    from idlrt.protocol.detection import DetectingConnection, served_protocols
    from idlrt.protocol.events import ConnectionBroken
    from idlrt.protocol.jsonrpc.server import ServerConnection as JsonRpcConnection
    from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection
    from idlrt.serialization import Limits

IS_LIMITED = 128
MOST_CUTS = 16

PROTOCOLS = tuple(served_protocols())
# Nothing is called: methods are enough.
SERVED = Served(services=(), table={}, methods=SERVICE.methods)

Outcome = tuple[str, str, bytes]
"""Kind of the outcome, its subject, and the response bytes."""

UNDECIDED: Outcome = ("undecided", "", b"")


def check(data: bytes) -> bool:
    """Return whether the protocol of the client was detected.

    Raises:
        AssertionError: a finding.
        Exception: likewise.
    """
    limits, pieces = _pieces(data)
    whole = b"".join(pieces)
    outcomes = [detect(limits, given) for given in ([whole], pieces, [bytes([byte]) for byte in whole])]
    assert outcomes[1:] == outcomes[:1] * 2, f"whole, as cut, byte by byte: {outcomes}"
    return outcomes[0] != UNDECIDED


def _pieces(data: bytes) -> tuple[Limits, list[bytes]]:
    if not data:
        return LIMITS, []
    steps = data[1 : 1 + data[0] % MOST_CUTS]
    rest = data[1 + len(steps) :]
    cuts = [0, *(cut for cut in accumulate(steps) if cut < len(rest)), len(rest)]
    return SMALL if data[0] & IS_LIMITED else LIMITS, [rest[a:b] for a, b in pairwise(cuts)]


def detect(limits: Limits, given: list[bytes]) -> Outcome:
    """Detect the protocol of bytes that arrive in these pieces.

    Raises:
        AssertionError: a finding.
        Exception: likewise.
    """
    detecting = DetectingConnection(SERVED, PROTOCOLS, limits)
    seen = b""
    outcome = UNDECIDED
    for piece in given:
        seen += piece
        events = detecting.receive_data(piece)
        if outcome != UNDECIDED:
            assert events == [], f"{events} after {outcome}"
            continue
        assert len(events) <= 1, f"one event ends the detection, not {events}"
        for event in events:
            if isinstance(event, ProtocolDetected):
                assert event.data == seen, f"{event.data!r} is handed on of {seen!r}"
                return _detected(event)
            assert isinstance(event, ConnectionBroken), f"{event} before it is known what the client speaks"
            outcome = "error", str(event.error), event.answer
        assert detecting.is_broken == (outcome != UNDECIDED)
        assert detecting.is_between_messages == (not seen)
    ended = detecting.receive_eof()
    assert bool(ended) == (outcome == UNDECIDED and bool(seen)), f"{ended} at the end of {outcome}"
    return outcome


def _detected(event: ProtocolDetected) -> Outcome:
    connection = event.connection
    if isinstance(connection, JsonRpcConnection):
        return "protocol", "jsonrpc", b""
    assert isinstance(connection, ServerConnection), f"{connection} speaks no protocol of this package"
    connection.receive_data(event.data)
    return "protocol", f"thrift, {connection.dialect!r}", b""


FOREIGN = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /rpc HTTP/1.1\r\n\r\n{}",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
    b"EHLO localhost\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"\xda\xbb\xc2\0\0\0\0\0\0\0\0\x01\0\0\0\0",
    b"\xf1\xf1\x00\x00\0\0\0\0\0\0\0\x01",
    b"\0\0\0\x20\x10\0\0\0\0\0\0\x01\0\0",
    b'{"jsonrpc": "2.0"}',
    b'[ {"jsonrpc": "2.0"}]',
    b"\xff\xff\xff\xff\xff\xff",
    b"\x82\x22\x01\x04ping",
    b"\0\0\0\x05\x83\x21",
)


def seeds() -> Iterator[bytes]:
    """The beginnings of good calls in every dialect, and of what other clients send."""
    spoken = dialects("framed", "unframed", "header", "header_zlib")
    begun = [ClientConnection(how).request(*CALLS[0])[1][:24] for how in spoken]
    for number, data in enumerate((*begun, *FOREIGN)):
        yield bytes([number % 2 * IS_LIMITED]) + data
        yield bytes([3, 1, 3, 1]) + data
        yield bytes([1, number % 7]) + data[: number % 7]


if __name__ == "__main__":
    fuzz(check, seeds)
