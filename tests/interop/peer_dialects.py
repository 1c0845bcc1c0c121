"""Dialects of the peers: each protocol in each framing that a peer supports, pure and with its C extension."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from apache_peer import ApachePeer
from thriftpy2_peer import Thriftpy2Peer

IDL = Path(__file__).with_name("interop.thrift")
PLAIN = ("framed", "unframed")
HEADERS = ("header", "header_zlib")


class Spoken(NamedTuple):
    """One way in which one peer speaks.

    Attributes:
        peer: the library, and "accelerated" if it uses its C extension.
        head: "old" for a binary protocol without a version in front; our clients write none of these.
    """

    peer: str
    framing: str
    protocol: str
    head: str = "strict"

    def __str__(self) -> str:
        return f"{self.peer} {self.framing} {'' if self.head == 'strict' else 'old '}{self.protocol}"

    @property
    def is_fast(self) -> bool:
        """Whether it is among those that stand for the others in the inner loop."""
        return self.head == "strict" and (
            self.framing == "header" or (self.framing == "framed" and self.peer.endswith("accelerated"))
        )

    def make(self, stubs: Any) -> Any:
        """The peer that speaks so."""
        service, newer = stubs.PeerClient.__thrift_service__, stubs.NewerClient.__thrift_service__
        is_accelerated = self.peer.endswith("accelerated")
        options: dict[str, Any] = {"protocol": self.protocol, "is_strict": self.head == "strict"}
        if self.peer.startswith("apache"):
            return ApachePeer((stubs,), service, newer, is_accelerated=is_accelerated, **options)
        return Thriftpy2Peer(IDL, service, newer, is_accelerated=is_accelerated, **options)


def _spoken() -> list[Spoken]:
    found = [
        Spoken(peer, framing, *protocol)
        for peer in ("apache", "apache accelerated", "thriftpy2", "thriftpy2 accelerated")
        for framing in PLAIN
        for protocol in (("binary",), ("binary", "old"), ("compact",))
    ]
    # Apache's has no C for JSON; thriftpy2's is the same with either of its transports.
    found += [Spoken(peer, framing, "json") for peer in ("apache", "thriftpy2 accelerated") for framing in PLAIN]
    # Apache's THeader always uses the C extension; thriftpy2 has none.
    found += [
        Spoken("apache accelerated", framing, protocol) for framing in HEADERS for protocol in ("binary", "compact")
    ]
    return found


SPOKEN = _spoken()
