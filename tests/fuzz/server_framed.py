"""Sends bytes to a server, in frames. See `talking` for what must hold.

python tests/fuzz/server_framed.py [options of libFuzzer] [folders]
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from guidance import fuzz, guided

with guided(__name__):
    import talking
    from speech import dialects


def wrap(data: bytes) -> bytes:
    """A frame, twice: the second time much is known."""
    return (struct.pack(">I", len(data)) + data) * 2


def check(data: bytes) -> bool:
    """See `talking.check_server`."""
    return talking.check_server(data, wrap)


def seeds() -> Iterator[bytes]:
    """Good calls, and such inside of what `wrap` makes."""
    spoken = dialects("framed")
    yield from talking.server_seeds(spoken)
    for seed in talking.server_seeds(spoken):
        if seed[0] == talking.IS_CUT:
            yield bytes([seed[0] | talking.IS_WRAPPED]) + seed[1:5] + seed[9:]


if __name__ == "__main__":
    fuzz(check, seeds)
