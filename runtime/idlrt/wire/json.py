"""Thrift's JSON protocol: text in which every value has its type, and fields have numbers.

A message is `[1,"name",1,7,{...}]`: a version, the method, the kind, the sequence id, the body. So here, other
than in the binary protocols, a bracket closes a message.

Source: Apache's implementations (`TJSONProtocol`); there is no other specification.
"""

from __future__ import annotations

from typing import Final

from idlrt.wire._json_input import JsonInput
from idlrt.wire._json_layout import VERSION
from idlrt.wire._json_output import JsonOutput, quoted
from idlrt.wire._json_scanner import JsonScanner
from idlrt.wire._walk_codec import WalkProtocol
from idlrt.wire.faults import Fault, whole
from idlrt.wire.protocol import MessageHead
from idlrt.wire.types import MessageKind

__all__ = ["JsonProtocol"]

_KINDS: Final[dict[int, MessageKind]] = {kind.value: kind for kind in MessageKind}


class JsonProtocol(WalkProtocol):
    """The JSON protocol. See `WireProtocol`.

    Args:
        limits: what is accepted when reading; `max_depth` also when writing.
        backend: who reads and writes; the best there is, if not given.
    """

    name = "json"
    tail = b"]"
    INPUT = JsonInput
    OUTPUT = JsonOutput

    def pack_head(self, kind: MessageKind, name: str, sequence_id: int) -> bytes:
        """See `WireProtocol.pack_head`."""
        return b"[%d,%b,%d,%d," % (VERSION, quoted(name), kind, sequence_id)

    def unpack_head(self, data: bytes, start: int = 0) -> tuple[MessageHead, int]:
        """See `WireProtocol.unpack_head`."""
        source = JsonInput(data, start, self._head_limits)
        try:
            source.expect(b"[")
            version = source.whole(32, "i32")
            if version != VERSION:
                raise Fault(f"version {version} before offset {source.offset} is not JSON's {VERSION}")
            source.expect(b",")
            name = source.text()
            source.expect(b",")
            number = source.whole(32, "i32")
            kind = _KINDS.get(number)
            if kind is None:
                raise Fault(f"there is no kind of message {number} (before offset {source.offset})")
            source.expect(b",")
            sequence_id = source.whole(32, "i32")
            source.expect(b",")
        except Fault as fault:
            raise whole(fault, "the message's head") from None
        return MessageHead(kind, name, sequence_id), source.offset

    def unpack_tail(self, data: bytes, offset: int) -> int:
        """See `WireProtocol.unpack_tail`."""
        source = JsonInput(data, offset, self.limits)
        try:
            source.expect(b"]")
        except Fault as fault:
            raise whole(fault, "the message's end") from None
        return source.offset

    def scanner(self) -> JsonScanner:
        """See `WireProtocol.scanner`."""
        return JsonScanner(self.limits)
