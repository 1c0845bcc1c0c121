"""Sends bytes to a server, without frames. See `talking` for what must hold.

python tests/fuzz/server_unframed.py [options of libFuzzer] [folders]
"""

from __future__ import annotations

from collections.abc import Iterator

from guidance import fuzz, guided

with guided(__name__):
    import talking
    from speech import dialects


def wrap(data: bytes) -> bytes:
    """A message, twice."""
    return data * 2


def check(data: bytes) -> bool:
    """See `talking.check_server`."""
    return talking.check_server(data, wrap)


def seeds() -> Iterator[bytes]:
    """Good calls, and such inside of what `wrap` makes."""
    return talking.server_seeds(dialects("unframed"))


if __name__ == "__main__":
    fuzz(check, seeds)
