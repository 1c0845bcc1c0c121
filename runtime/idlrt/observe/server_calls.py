"""Metrics of the calls of one server, recorded where calls end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from idlrt.core import Outcome, ServerCall
from idlrt.errors import ApplicationCode
from idlrt.observe.cells import MAX_SERIES, OTHER, Cell, Cells
from idlrt.observe.histogram import Histogram
from idlrt.protocol.events import RequestReceived
from idlrt.spec import Method

__all__ = ["CallKey", "ServerCalls", "ServerSnapshot", "Sizes"]

_REFUSED: Final = {
    ApplicationCode.UNKNOWN_METHOD: Outcome.UNIMPLEMENTED.value,
    ApplicationCode.LOADSHEDDING: Outcome.RESOURCE_EXHAUSTED.value,
    ApplicationCode.TIMEOUT: Outcome.DEADLINE_EXCEEDED.value,
}
_INVALID: Final = Outcome.INVALID_ARGUMENT.value
_MAX_CALLERS: Final = 100
# Length of a name, which clients choose, in characters.
_LONGEST_CALLER: Final = 200


class CallKey(msgspec.Struct, frozen=True, order=True):
    """Labels of a series of calls.

    Attributes:
        method: `Service.method`; `_OTHER` for requests that did not become a call of a known method.
        status: an `Outcome`.
        error_type: class of the error; empty for none.
    """

    method: str
    status: str
    error_type: str = ""


class Sizes(msgspec.Struct):
    """Bytes of a method's messages on the wire.

    Attributes:
        received: bytes of requests.
        sent: bytes of responses.
    """

    received: int = 0
    sent: int = 0


class ServerSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of a server at one time, since its start.

    Attributes:
        calls: duration of calls from the arrival of the request until its response is ready, by labels.
        sizes: bytes by method.
        callers: number of calls by calling application; those beyond 100 names, and those
            with names of more than 200 characters, count as `_OTHER`.
        dropped: number of calls whose labels exceeded the maximum number of series.
    """

    calls: Mapping[CallKey, Histogram]
    sizes: Mapping[str, Sizes]
    callers: Mapping[str, int]
    dropped: int = 0


class ServerCalls:
    """Recorder of the calls of one server; a `CallObserver`.

    Args:
        now: clock of the server, in seconds.
        max_series: maximum number of combinations of method, status and error.
    """

    __slots__ = ("_answered", "_callers", "_cells", "_now", "_sizes")

    def __init__(self, now: Callable[[], float], max_series: int = MAX_SERIES) -> None:
        self._now = now
        self._cells = Cells(max_series)
        # Only the thread of the server writes to these. By method: cell and sizes of its results.
        self._answered: dict[Method[..., Any], tuple[Cell, Sizes]] = {}
        self._sizes: dict[str, Sizes] = {}
        self._callers: dict[str, int] = {}

    def answered(self, call: ServerCall, request_size: int, response_size: int) -> None:
        """Record a call that ended with a result: the common case, at half the cost of `ended`."""
        found = self._answered.get(call.method)
        if found is None:
            method = call.method.full_name
            cell = self._cells.cell((method, Outcome.OK.value, ""))
            found = self._answered[call.method] = cell, self._sizes.setdefault(method, Sizes())
        cell, sizes = found
        cell.add(int((self._now() - call.received_at) * 1e9))
        sizes.received += request_size
        sizes.sent += response_size
        if call.context.caller:
            self._count_caller(call.context.caller)

    def ended(self, call: ServerCall, error: BaseException, request_size: int, response_size: int) -> None:
        """Record a call that ended with an error."""
        method, outcome = call.method.full_name, call.outcome
        status = outcome.value if outcome is not None else Outcome.UNKNOWN.value
        self._cells.record((method, status, type(error).__name__), int((self._now() - call.received_at) * 1e9))
        sizes = self._sizes.setdefault(method, Sizes())
        sizes.received += request_size
        sizes.sent += response_size
        if call.context.caller:
            self._count_caller(call.context.caller)

    def refused(self, request: RequestReceived, code: int, received_at: float, response_size: int) -> None:
        """Record a request that did not become a call. Its method is `_OTHER`, because clients choose its name."""
        method = request.method.full_name if request.method is not None else OTHER
        status = _REFUSED.get(ApplicationCode(code), _INVALID) if code in _REFUSED else _INVALID
        self._cells.record((method, status, "refused"), int((self._now() - received_at) * 1e9))
        sizes = self._sizes.setdefault(method, Sizes())
        sizes.received += request.size
        sizes.sent += response_size

    def _count_caller(self, name: str) -> None:
        callers = self._callers
        if name not in callers and (len(callers) >= _MAX_CALLERS or len(name) > _LONGEST_CALLER):
            name = OTHER
        callers[name] = callers.get(name, 0) + 1

    def read(self) -> ServerSnapshot:
        """Return the metrics. Called on any thread."""
        found = {CallKey(*labels): histogram for labels, histogram in self._cells.read().items()}
        sizes = {name: Sizes(each.received, each.sent) for name, each in self._sizes.copy().items()}
        return ServerSnapshot(calls=found, sizes=sizes, callers=self._callers.copy(), dropped=self._cells.dropped)
