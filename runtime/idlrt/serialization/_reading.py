"""Reading with the pure codecs: fast first, then careful where a check or a count is needed.

The fast reader neither reports where it failed nor counts the memory of its values. So the careful one reads

- messages that are large enough to reach their budget (see `_decoded_size`), instead of the fast one;
- messages that have a container which the fast one does not take (`NeedsSlowPath`), again;
- messages that the fast one has rejected, again, to find the cause.

Both accept the same messages: the fast one is only asked where no count can matter.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from idlrt.errors import RemoteProtocolError
from idlrt.serialization._decoded_size import Costs, budget_of
from idlrt.serialization._walk_reader import Read, WalkReader
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import DecodeError, NeedsSlowPath

__all__ = ["Fast", "Reading"]

Fast = Callable[[bytes, int], tuple[Any, int]]
"""`(data, start)` → value, offset after it. Raises one of `READ_ERRORS` for input that it cannot read."""

_ROUGH: Final = 1 << 20
"""Size of a message up to which the upper bound of its cost is used as its cost, in bytes."""

READ_ERRORS: Final = (DecodeError, struct.error, IndexError, ValueError, TypeError, RecursionError)
"""Exceptions that unsuitable bytes can cause in fast readers."""


class Reading:
    """Reader of values of one type.

    Args:
        fast: the fast reader.
        make_careful: makes the function with which `walk` reads the same; called when it is first needed.
        make_costs: finds what a message can cost; likewise.
        label: what is read, for errors.
        walk: the careful reader.
    """

    __slots__ = ("_careful", "_costs", "_fast", "_label", "_limits", "_make_careful", "_make_costs", "_walk")

    def __init__(
        self,
        fast: Fast,
        make_careful: Callable[[], Read],
        make_costs: Callable[[], Costs],
        label: str,
        walk: WalkReader,
        limits: Limits,
    ) -> None:
        self._fast = fast
        self._make_careful = make_careful
        self._careful: Read | None = None
        self._make_costs = make_costs
        self._costs: Costs | None = None
        self._label = label
        self._walk = walk
        self._limits = limits

    def decode(self, data: bytes, start: int = 0, received: int = 0) -> tuple[Any, int]:
        """Return a value for each field in table order, and the offset after them."""
        value, end, _ = self._decode(data, start, received, None)
        return value, end

    def decode_measured(self, data: bytes, start: int = 0, received: int = 0) -> tuple[Any, int, int]:
        """Decode as `decode`; also return an upper bound of the memory of the values, in bytes."""
        # A bound can be a hundred times what a large message takes; then it is counted.
        return self._decode(data, start, received, max(_ROUGH, 2 * (len(data) - start)))

    def _decode(self, data: bytes, start: int, received: int, rough: int | None) -> tuple[Any, int, int]:
        """Decode; an upper bound over `rough` bytes is replaced by the exact count."""
        costs = self._costs
        if costs is None:
            costs = self._costs = self._make_costs()
        limits, size = self._limits, len(data) - start
        received = received or size
        most = costs.bound(size)
        is_refused = False
        if size <= limits.max_message and most <= budget_of(limits, received) and (rough is None or most <= rough):
            try:
                value, end = self._fast(data, start)
            except NeedsSlowPath:
                pass
            except READ_ERRORS:
                is_refused = True  # the careful reader has the better message
            else:
                return value, end, most
        if self._careful is None:
            self._careful = self._make_careful()
        read = self._walk.read(self._careful, self._label, data, start, received)
        if is_refused:
            what = "the two readers of it do not agree; please report this"
            raise RemoteProtocolError(f"cannot read {self._label}: {what}")
        return read
