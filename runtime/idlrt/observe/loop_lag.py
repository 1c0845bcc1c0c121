"""Lag of event loops: how late a timer is that is due every 0.1 seconds.

A loop that is blocked, by a handler that does not await or by too much work, delays everything that it serves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from idlrt.observe.cells import Histograms
from idlrt.observe.metric import Metric, Series
from idlrt.observe.sources import PROCESS
from idlrt.observe.timed import checked_label

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["INTERVAL", "LOOP_LAG", "CallLater", "LoopWatch", "watch_loop"]

INTERVAL: Final = 0.1
"""Time between two measurements, in seconds."""

LOOP_LAG: Final = Metric(
    name="rpc_loop_lag_seconds", kind="histogram", help="Delay of timers of event loops", labels=("loop",)
)


class _Handle(Protocol):
    def cancel(self) -> object: ...


CallLater: TypeAlias = Callable[[float, Callable[[], object]], _Handle]
"""Schedules a function after a number of seconds, on the loop; the result can be cancelled."""


class LoopWatch:
    """Measures the lag of one loop until it is stopped, or the loop is closed.

    Args:
        name: name of the loop, the value of the label `loop`.
        call_later: schedules a function after a number of seconds, on the loop.
        now: clock of the loop, in seconds.
    """

    __slots__ = ("_call_later", "_due", "_handle", "_labels", "_now", "_record")

    def __init__(
        self,
        name: str,
        call_later: CallLater,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._labels = (checked_label("loop", name),)
        self._call_later = call_later
        self._now = now
        self._record = _lags().record
        self._due = 0.0
        self._handle: _Handle | None = None

    def start(self) -> None:
        """Begin. Called on the thread of the loop, or before it runs."""
        self._due = self._now() + INTERVAL
        self._handle = self._call_later(INTERVAL, self._tick)

    def stop(self) -> None:
        """Stop. Called on the thread of the loop. Idempotent."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._record(self._labels, int((self._now() - self._due) * 1e9))
        self.start()


class _Lags:
    """Lags of all loops; a `Source`."""

    __slots__ = ("__weakref__", "histograms")

    def __init__(self) -> None:
        self.histograms: Final = Histograms(LOOP_LAG)

    def read(self) -> Iterable[Series]:
        return (self.histograms.series(),)


_made: Final[dict[str, _Lags]] = {}


def _lags() -> Histograms:
    found = _made.get("")
    if found is None:
        # Atomic, without a lock that a forked child could inherit.
        found = _made.setdefault("", _Lags())
        PROCESS.add(found)
    return found.histograms


def watch_loop(loop: AbstractEventLoop | None = None, name: str = "main") -> LoopWatch:
    """Measure the lag of an asyncio event loop, into `rpc_loop_lag_seconds`, until it is closed.

    Call it once for each loop, on the thread of the loop or before it runs. A loop that is stopped and runs again later
    has a lag in between.

    Args:
        loop: the loop. Default: the running one.
        name: name of the loop, the value of the label `loop`. Loops may share one.

    Returns:
        an object whose `stop` ends it earlier.

    Raises:
        ConfigurationError: the name is invalid.
        RuntimeError: no loop is given, and none is running.
    """
    if loop is None:
        from asyncio import get_running_loop

        loop = get_running_loop()
    watch = LoopWatch(name, loop.call_later, loop.time)
    watch.start()
    return watch
