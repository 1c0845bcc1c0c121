"""Sends bytes to a server, in THeader. See `talking` for what must hold.

python tests/fuzz/server_header.py [options of libFuzzer] [folders]
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from guidance import fuzz, guided

with guided(__name__):
    import talking
    from speech import dialects


# Metadata for all messages of the connection, which our clients never send, before a call of nothing.
KEPT = bytes.fromhex(
    "00000027 0fff 0000 00000009 0003 00 00 02 01 04 7a6f6e65 02 6575 80010001 00000004 6e6f7065 00000009 00"
)


def wrap(data: bytes) -> bytes:
    """A frame of a compressed message; in front of it stands the length of the header that is put before it."""
    size = data[0] if data else 0
    header, message = data[1 : 1 + size], data[1 + size :]
    header += bytes(-len(header) % 4)
    frame = struct.pack(">HHiH", 0x0FFF, 0, 7, len(header) // 4) + header + zlib.compress(message, 1)
    return struct.pack(">I", len(frame)) + frame


def check(data: bytes) -> bool:
    """See `talking.check_server`."""
    return talking.check_server(data, wrap)


def seeds() -> Iterator[bytes]:
    """Good calls, and such inside of what `wrap` makes."""
    spoken = dialects("header", "header_zlib")
    yield from talking.server_seeds(spoken)
    yield bytes(1) + KEPT
    for number, how in enumerate(dialects("unframed")[:3]):
        header = bytes([(0, 2, 1)[number], 1, 1, 1, 1, 1, 97, 1, 98])
        for seed in talking.server_seeds([how]):
            if seed[0] == talking.IS_CUT:
                start = bytes([talking.IS_CUT | talking.IS_WRAPPED]) + seed[1:5]
                yield start + bytes([len(header)]) + header + seed[5:]


if __name__ == "__main__":
    fuzz(check, seeds)
