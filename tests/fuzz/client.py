"""Sends bytes to a client that waits for answers, in every dialect. See `talking` for what must hold.

python tests/fuzz/client.py [options of libFuzzer] [folders]
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from guidance import fuzz, guided

with guided(__name__):
    import talking
    from speech import dialects

DIALECTS = dialects("framed", "unframed", "header", "header_zlib")


def wrap(data: bytes) -> bytes:
    """A frame."""
    return struct.pack(">I", len(data)) + data


def check(data: bytes) -> bool:
    """See `talking.check_client`."""
    return talking.check_client(data, wrap, DIALECTS)


def seeds() -> Iterator[bytes]:
    """Good answers in every dialect."""
    return talking.client_seeds(DIALECTS)


if __name__ == "__main__":
    fuzz(check, seeds)
