"""Responses of a batch, which leave as one array when all of them are there."""

from __future__ import annotations

__all__ = ["Batch"]


class Batch:
    """Collects responses, in the order of their requests.

    Args:
        max_size: bytes that they may have together.
    """

    __slots__ = ("_max_size", "_missing", "_responses", "_size")

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._responses: list[bytes] = []
        self._missing = 0
        self._size = 0

    def reserve(self) -> int:
        """Return the place of a response that comes later. Reserve all before the first `put`."""
        self._responses.append(b"")
        self._missing += 1
        return len(self._responses) - 1

    def has_room(self, size: int) -> bool:
        """Whether a response of so many bytes may be added."""
        return self._size + size <= self._max_size

    def put(self, place: int, response: bytes) -> bytes:
        """Put a response into its place. Returns the line to send if it was the last one, else nothing."""
        self._responses[place] = response
        self._size += len(response)
        self._missing -= 1
        return b"[%b]\n" % b",".join(self._responses) if not self._missing else b""
