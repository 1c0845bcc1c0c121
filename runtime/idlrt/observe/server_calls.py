"""Metrics of the calls of one server, recorded where calls end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from idlrt.core import BreakerChanged, Decision, Outcome, Rejected, ServerCall
from idlrt.errors import ApplicationCode
from idlrt.observe.breakers import BreakerStates
from idlrt.observe.catalogue import (
    DROPPED,
    SERVER_ACCEPTED,
    SERVER_CALLS,
    SERVER_CONNECTION_ERRORS,
    SERVER_QUEUE,
    SERVER_REJECTED,
)
from idlrt.observe.cells import MAX_SERIES, Cell, Counts, Histograms
from idlrt.observe.metric import OTHER, Series
from idlrt.protocol.events import RequestReceived
from idlrt.spec import Method

__all__ = ["ServerCalls"]

_Failure: TypeAlias = tuple[Method[..., Any], type[BaseException], Outcome | None, str]

_REFUSED: Final = {
    ApplicationCode.UNKNOWN_METHOD: Outcome.UNIMPLEMENTED.value,
    ApplicationCode.LOADSHEDDING: Outcome.RESOURCE_EXHAUSTED.value,
    ApplicationCode.TIMEOUT: Outcome.DEADLINE_EXCEEDED.value,
}
_INVALID: Final = Outcome.INVALID_ARGUMENT.value
_OK: Final = Outcome.OK.value
_MAX_CALLERS: Final = 100
# Length of a name, which clients choose, in characters.
_LONGEST_CALLER: Final = 200


class ServerCalls:
    """Recorder of the calls of one server; a `CallObserver`. Calls end on one thread, that of the server.

    Callers beyond 100 names, and those with names of more than 200 characters, count as `_OTHER`.

    Args:
        now: clock of the server, in seconds.
        max_series: maximum number of combinations of method, status, error and caller.
    """

    __slots__ = (
        "__weakref__",
        "_answered",
        "_callers",
        "_calls",
        "_connections",
        "_errors",
        "_failed",
        "_now",
        "_queue",
        "_rejected",
        "breakers",
    )

    def __init__(self, now: Callable[[], float], max_series: int = MAX_SERIES) -> None:
        self._now = now
        self._calls = Histograms(SERVER_CALLS, max_series)
        self._queue = Histograms(SERVER_QUEUE, max_series)
        self._rejected = Counts(SERVER_REJECTED, max_series)
        self._connections = Counts(SERVER_ACCEPTED, max_series)
        self._errors = Counts(SERVER_CONNECTION_ERRORS, max_series)
        self.breakers = BreakerStates()
        # Cells of results, by caller and method.
        self._answered: dict[str, dict[Method[..., Any], Cell]] = {}
        self._failed: dict[_Failure, Cell] = {}
        self._callers: set[str] = set()

    def answered(self, call: ServerCall, request_size: int, response_size: int) -> None:
        """Record a call that ended with a result: the common case, at half the cost of `ended`."""
        try:
            cell = self._answered[call.context.caller][call.method]
        except KeyError:
            cell = self._cell_of_results(call)
        # The end of the call precedes the time when it is recorded, and with it the response.
        cell.add_call(self._now() - call.received_at, request_size, response_size)
        if call.begun_at:
            self._queue.record((call.method.full_name,), int((call.begun_at - call.received_at) * 1e9))

    def _cell_of_results(self, call: ServerCall) -> Cell:
        name = call.context.caller
        caller = self._caller(name)
        cell = self._calls.cell((call.method.full_name, _OK, "", caller))
        if caller == name:
            self._answered.setdefault(name, {})[call.method] = cell
        return cell

    def ended(self, call: ServerCall, error: BaseException, request_size: int, response_size: int) -> None:
        """Record a call that ended with an error."""
        key = call.method, type(error), call.outcome, call.context.caller
        cell = self._failed.get(key)
        if cell is None:
            cell = self._cell_of_errors(key)
        cell.add_call(self._now() - call.received_at, request_size, response_size)
        if call.begun_at:
            self._queue.record((call.method.full_name,), int((call.begun_at - call.received_at) * 1e9))

    def _cell_of_errors(self, key: _Failure) -> Cell:
        method, error, outcome, name = key
        status = outcome.value if outcome is not None else Outcome.UNKNOWN.value
        caller = self._caller(name)
        cell = self._calls.cell((method.full_name, status, error.__name__, caller))
        if caller == name:
            self._failed[key] = cell
        return cell

    def refused(self, request: RequestReceived, code: int, received_at: float, response_size: int) -> None:
        """Record a request that did not become a call. Its method is `_OTHER`, because clients choose its name."""
        method = request.method.full_name if request.method is not None else OTHER
        status = _REFUSED.get(ApplicationCode(code), _INVALID) if code in _REFUSED else _INVALID
        labels = method, status, "refused", ""
        self._calls.record_call(labels, self._now() - received_at, request.size, response_size)

    def connected(self, protocol: str) -> None:
        """Record a connection whose protocol has been detected."""
        self._connections.add((protocol,))

    def connection_failed(self, kind: str) -> None:
        """Record a connection that the server closes because of an error.

        Args:
            kind: `protocol`, `tls` or `timeout`.
        """
        self._errors.add((kind,))

    def decided(self, decision: Decision) -> None:
        """Record a decision of a guard, or of a limit of the server. A `Listener`."""
        if isinstance(decision, Rejected):
            self._rejected.add((decision.subject, decision.guard, decision.reason))
        elif isinstance(decision, BreakerChanged):
            self.breakers.changed(decision)

    def _caller(self, name: str) -> str:
        callers = self._callers
        if not name or name in callers:
            return name
        if len(callers) >= _MAX_CALLERS or len(name) > _LONGEST_CALLER:
            return OTHER
        callers.add(name)
        return name

    def read(self) -> Iterator[Series]:
        """Return the metrics. Called on any thread."""
        yield self._calls.series()
        for each in (self._queue, self._rejected, self._connections, self._errors):
            if len(each):
                yield each.series()
        yield from self.breakers.read()
        yield Series(DROPPED, {("series",): self._calls.dropped + self._queue.dropped + self._rejected.dropped})
