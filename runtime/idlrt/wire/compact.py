"""Thrift's compact protocol: numbers take as few bytes as they need, and the heads of fields mostly one.

Numbers of types are its own; 13 is a uuid, as Apache has it since 0.22. A boolean field has its value in its head.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Final

from idlrt.wire._compact_input import CompactInput
from idlrt.wire._compact_layout import PROTOCOL_ID, VERSION, varint
from idlrt.wire._compact_output import CompactOutput
from idlrt.wire._compact_scanner import CompactScanner
from idlrt.wire._walk_codec import WalkProtocol
from idlrt.wire.faults import Fault, whole
from idlrt.wire.protocol import MessageHead
from idlrt.wire.types import MessageKind

__all__ = ["CompactProtocol"]

_KINDS: Final[dict[int, MessageKind]] = {kind.value: kind for kind in MessageKind}


class CompactProtocol(WalkProtocol):
    """The compact protocol. See `WireProtocol`.

    Args:
        limits: what is accepted when reading; `max_depth` also when writing.
        backend: who reads and writes; the best there is, if not given.
    """

    name = "compact"
    INPUT = CompactInput
    OUTPUT = CompactOutput

    def pack_head(self, kind: MessageKind, name: str, sequence_id: int) -> bytes:
        """See `WireProtocol.pack_head`."""
        before, after = self.head_parts(kind, name)
        # As what its 32 bits are without a sign: not zigzag, unlike other numbers.
        return before + varint(sequence_id & 0xFFFFFFFF) + after

    def head_parts(self, kind: MessageKind, name: str) -> tuple[bytes, bytes]:
        """See `TableProtocol.head_parts`."""
        data = name.encode()
        return bytes((PROTOCOL_ID, VERSION | kind << 5)), varint(len(data)) + data

    def unpack_head(self, data: bytes, start: int = 0) -> tuple[MessageHead, int]:
        """See `WireProtocol.unpack_head`."""
        source = CompactInput(data, start, self._head_limits)
        try:
            protocol_id = source.read_byte()
            if protocol_id != PROTOCOL_ID:
                raise Fault(f"{protocol_id:#04x} at offset {start} is not compact's {PROTOCOL_ID:#04x}")
            byte = source.read_byte()
            if byte & 0x1F != VERSION:
                raise Fault(f"version {byte & 0x1F} at offset {start + 1} is not compact's {VERSION}")
            kind = _KINDS.get(byte >> 5)
            if kind is None:
                raise Fault(f"there is no kind of message {byte >> 5} (at offset {start + 1})")
            number = source.read_u32()
            name = source.read_string()
        except Fault as fault:
            raise whole(fault, "the message's head") from None
        return MessageHead(kind, name, number - (number >> 31 << 32)), source.offset

    def scanner(self) -> CompactScanner:
        """See `WireProtocol.scanner`."""
        return CompactScanner(self.limits)
