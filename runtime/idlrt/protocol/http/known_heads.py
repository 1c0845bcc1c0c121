"""Heads of earlier requests of a connection, which are not parsed again.

A client that keeps its connection open sends the same head again and again, byte by byte; only the body differs. The
meaning of a head depends on its bytes and on the site alone. So a request whose head was parsed and checked before, and
which arrives as a whole, becomes a call without the parser, at a quarter of the time.
"""

from __future__ import annotations

from typing import Any, Final, Self

from idlrt.protocol.base import ServerEvent
from idlrt.protocol.http.calls import HttpCall

__all__ = ["KnownHeads"]

_END: Final = b"\r\n\r\n"
_MAX_HEADS: Final = 8
_MAX_SIZE: Final = 2048
# A client whose heads all differ, e.g. by a trace id, costs no more than this number of comparisons.
_MAX_MISSES: Final = 32


class KnownHeads:
    """Heads of one connection.

    Args:
        max_requests: requests after which the connection is closed, so that the last one is parsed; 0 for any number.
    """

    __slots__ = ("_calls", "_max_requests", "_misses")

    def __init__(self, max_requests: int) -> None:
        # By head: a call with it, and the size of its body.
        self._calls: dict[bytes, tuple[HttpCall, int]] = {}
        self._max_requests = max_requests
        self._misses = 0

    def call(self, data: bytes, number: int) -> HttpCall | None:
        """Return the call that `data` consists of; `None` if its head is unknown, or it is not a whole request.

        Args:
            number: number of the request on its connection.
        """
        end = data.find(_END) + 4
        found = self._calls.get(data[:end])
        if found is None or len(data) != end + found[1] or 0 < self._max_requests <= number:
            return None
        self._misses = 0
        known = found[0]
        arguments: Any = None
        return HttpCall(
            number, known.key, known.method, False, False, known.metadata, known.context, None, arguments, None,
            known.size, endpoint=known.endpoint, reply=known.reply, values=known.values, query=known.query,
            headers=known.headers, body=data[end:],
        )  # fmt: skip

    def learn(self, data: bytes, event: ServerEvent) -> Self | None:
        """Remember the head of a request that was parsed. Returns `None` once it is not worth it.

        Args:
            data: the bytes, which begin with its head.
            event: the only event of `data`.
        """
        self._misses += 1
        if self._misses > _MAX_MISSES:
            return None
        end = data.find(_END) + 4
        # A body of another length than its content is chunked or compressed; other arguments are those of pages.
        if (
            isinstance(event, HttpCall)
            and event.refusal is None
            and event.arguments is None
            and not event.reply.is_last
            and end <= _MAX_SIZE
            and len(data) == end + len(event.body)
            and b"content-encoding" not in event.headers
        ):
            if len(self._calls) >= _MAX_HEADS:
                self._calls.clear()
            self._calls[data[:end]] = event, len(event.body)
        return self
