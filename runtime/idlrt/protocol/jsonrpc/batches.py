"""Responses of batches, which are sent as one array when the last one is ready."""

from __future__ import annotations

__all__ = ["Batch", "HeldBytes"]


class HeldBytes:
    """Size of the responses that the unfinished batches of one connection hold.

    Args:
        most: maximum size, in bytes.

    Attributes:
        size: current size in bytes, including brackets and commas.
    """

    __slots__ = ("_most", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = 0

    def has_room(self, size: int) -> bool:
        """Whether `size` bytes can be added."""
        return self.size + size <= self._most


class Batch:
    """Collects responses, in the order of their requests.

    Args:
        held: size of all batches of the connection.
    """

    __slots__ = ("_held", "_missing", "_responses", "_size")

    def __init__(self, held: HeldBytes) -> None:
        self._held = held
        self._responses: list[bytes] = []
        self._missing = 0
        # A comma or a bracket follows each response; the opening bracket is counted with the first one.
        self._size = 0

    def reserve(self) -> int:
        """Reserve a slot for a response, and return its index. Reserve all slots before the first `put`."""
        self._responses.append(b"")
        self._missing += 1
        return len(self._responses) - 1

    def has_room(self, size: int) -> bool:
        """Whether a response of `size` bytes can be added."""
        return self._held.has_room(self._with_separators(size))

    def put(self, place: int, response: bytes) -> bytes:
        """Put a response into its slot. Returns the line to send if it was the last one, else nothing."""
        size = self._with_separators(len(response))
        self._responses[place] = response
        self._size += size
        self._held.size += size
        self._missing -= 1
        if self._missing:
            return b""
        self._held.size -= self._size
        return b"[%b]\n" % b",".join(self._responses)

    def _with_separators(self, size: int) -> int:
        return size + (1 if self._size else 2)
