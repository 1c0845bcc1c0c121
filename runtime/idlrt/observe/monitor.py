"""Monitor of a server or a process: its metrics now, their figures in a period, and their last 15 minutes.

A background thread reads the metrics every 10 seconds, and every second while figures are requested. It keeps what was
added in each step, so a quiet program costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError
from idlrt.observe.catalogue import CLIENT_IN_FLIGHT, SERVER_CALLS, SERVER_IN_FLIGHT
from idlrt.observe.exemplars import SERVER_EXEMPLARS
from idlrt.observe.exposition import Family, families
from idlrt.observe.figures import APDEX_S, Figures, Report, report
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Series, merged
from idlrt.observe.process import watch_process
from idlrt.observe.snapshot import Snapshot, by_name
from idlrt.observe.sources import enable, read_all

__all__ = ["HISTORY_S", "History", "Monitor", "process_monitor"]

HISTORY_S: Final = 900.0
"""Length of the history, in seconds."""

_STEP_S: Final = 10.0
_FINE_STEP_S: Final = 1.0
# Fine steps become coarse ones after this time, and are taken for this time after the last request.
_FINE_FOR_S: Final = 60.0


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Figures in steps, oldest first. Lists have one value for each step; `None` where there were no calls.

    Attributes:
        step_s: length of a step in seconds.
        at: ends of the steps, in seconds since 1970.
        qps: calls per second.
        error_rate: errors / calls.
        p50_s: median, in seconds.
        p90_s: 90th percentile, in seconds.
        p99_s: 99th percentile, in seconds.
        in_flight: calls in flight at the end of the step.
    """

    step_s: float
    at: Sequence[float]
    qps: Sequence[float]
    error_rate: Sequence[float | None]
    p50_s: Sequence[float | None]
    p90_s: Sequence[float | None]
    p99_s: Sequence[float | None]
    in_flight: Sequence[float]


class Monitor:
    """Monitor of the metrics of a server or of this process. Threads may share it.

    Args:
        read: returns all series. Called on any thread.
        resource: returns the identity; see `Snapshot.resource`.
        core: names of core services and methods.
        apdex_s: threshold of Apdex, in seconds.
        started_at: start of counting, in seconds since 1970. Default: now.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[Series]],
        *,
        resource: Callable[[], Mapping[str, str]] = dict,
        core: Iterable[str] = (),
        apdex_s: float = APDEX_S,
        started_at: float | None = None,
    ) -> None:
        self._read = read
        self._resource = resource
        self._core = frozenset(core)
        self._apdex_s = apdex_s
        self._started_at = time.time() if started_at is None else started_at
        self._is_started = False
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin without history in a forked child."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_closed = False
        self._asked_at = 0.0
        self._last = Snapshot(at=self._started_at, started_at=self._started_at)
        self._steps: deque[Snapshot] = deque()
        if self._is_started:
            self._is_started = False
            self._started_at = time.time()

    def start(self) -> None:
        """Begin to keep a history, on a background thread. Idempotent."""
        with self._lock:
            if self._is_started:
                return
            self._is_started = True
        threading.Thread(target=self._work, name="idlrt monitor", daemon=True).start()

    def close(self) -> None:
        """End the background thread. Idempotent."""
        self._is_closed = True
        self._wake.set()

    def _work(self) -> None:
        wake = self._wake
        while not self._is_closed:
            is_watched = time.monotonic() - self._asked_at < _FINE_FOR_S
            # Woken by a request after a quiet time, so that the next step is a fine one.
            wake.wait(_FINE_STEP_S if is_watched and self._asked_at else _STEP_S)
            wake.clear()
            self.sample()

    def sample(self) -> None:
        """End a step of the history now."""
        with self._lock:
            now = self.snapshot()
            if now.at - self._last.at < _FINE_STEP_S / 2:
                return
            self._steps.append(now.since(self._last))
            self._last = now
            self._compact(now.at)

    def _compact(self, now: float) -> None:
        steps = self._steps
        while steps and steps[0].at < now - HISTORY_S:
            steps.popleft()
        kept: list[Snapshot] = []
        for each in steps:
            earlier = kept[-1] if kept else None
            if (
                earlier is not None
                and each.at < now - _FINE_FOR_S
                and earlier.at // _STEP_S == each.at // _STEP_S
                and earlier.seconds + each.seconds <= _STEP_S + _FINE_STEP_S
            ):
                kept[-1] = _joined(earlier, each)
            else:
                kept.append(each)
        if len(kept) < len(steps):
            self._steps = deque(kept)

    def snapshot(self) -> Snapshot:
        """Return the metrics now, since the start."""
        series = by_name(self._read())
        return Snapshot(
            at=time.time(),
            started_at=self._started_at,
            resource=dict(self._resource()),
            core=self._core,
            series=series,
        )

    def families(self) -> Iterator[Family]:
        """Return all metrics for Prometheus."""
        return families(self.snapshot().series.values(), {SERVER_CALLS.name: SERVER_EXEMPLARS.read()})

    def recent(self, period_s: float | None) -> Snapshot:
        """Return what was added in the last `period_s` seconds, or a little more; `None`: since the start."""
        self._watch()
        with self._lock:
            now = self.snapshot()
            if period_s is None:
                return now
            if not self._is_started:
                raise ConfigurationError("period: the monitor keeps no history; call start() first")
            parts = [each for each in self._steps if each.at > now.at - period_s + _FINE_STEP_S / 2]
            rest = now.since(self._last)
        found = rest
        for each in reversed(parts):
            found = _joined(each, found)
        return found

    def _watch(self) -> None:
        before, self._asked_at = self._asked_at, time.monotonic()
        if self._asked_at - before > _FINE_FOR_S:
            self._wake.set()

    def figures(
        self,
        period_s: float | None = None,
        *,
        side: str = "server",
        by: Sequence[str] = (),
        where: Mapping[str, str] | None = None,
    ) -> Report:
        """Return figures of calls.

        Args:
            period_s: length of the period before now, at most 900 seconds; `None`, the default: since the start. It is
                rounded up to whole steps of 10 seconds, or of 1 second if figures were requested in the last minute.
            side: `server`, `client`, `attempt`, `feature` or `resource`.
            by: dimensions of the rows, such as `("method", "caller")`.
            where: values of dimensions that calls must have.

        Raises:
            ConfigurationError: the side, a dimension or the period is invalid.
        """
        if period_s is not None and not 0 < period_s <= HISTORY_S:
            raise ConfigurationError(f"period: must be between 0 and {HISTORY_S:.0f} seconds, got {period_s!r}")
        return report([self.recent(period_s)], side=side, by=by, where=where, apdex_s=self._apdex_s)

    def history(self, *, side: str = "server", where: Mapping[str, str] | None = None) -> History:
        """Return figures of the last 15 minutes in steps of 10 seconds; the last step may be shorter.

        Raises:
            ConfigurationError: the side or a dimension is invalid.
        """
        self._watch()
        with self._lock:
            now = self.snapshot()
            steps = [*self._steps, now.since(self._last)]
        coarse: list[Snapshot] = []
        for each in steps:
            if coarse and (coarse[-1].at - 1e-3) // _STEP_S == (each.at - 1e-3) // _STEP_S:
                coarse[-1] = _joined(coarse[-1], each)
            else:
                coarse.append(each)
        found: list[Figures] = [report([each], side=side, where=where).total for each in coarse]
        gauge = {"server": SERVER_IN_FLIGHT, "client": CLIENT_IN_FLIGHT}.get(side)
        return History(
            step_s=_STEP_S,
            at=[each.at for each in coarse],
            qps=[each.qps for each in found],
            error_rate=[each.error_rate for each in found],
            p50_s=[each.p50_s for each in found],
            p90_s=[each.p90_s for each in found],
            p99_s=[each.p99_s for each in found],
            in_flight=[
                sum(value for value in each.values(gauge).values() if not isinstance(value, Histogram))
                if gauge is not None
                else 0
                for each in coarse
            ],
        )


def _joined(earlier: Snapshot, later: Snapshot) -> Snapshot:
    """Return one step for two that follow each other; gauges are those of the later one."""
    series: dict[str, Series] = dict(earlier.series)
    for name, each in later.series.items():
        before = series.get(name)
        series[name] = merged([before, each])[0] if before is not None and each.metric.kind != "gauge" else each
    return msgspec.structs.replace(later, started_at=earlier.started_at, series=series)


_process_monitor: Final = Monitor(read_all)


def process_monitor() -> Monitor:
    """Return the monitor of this process: of all its servers, clients, features and resources. Enables metrics.

    Its history begins with the first call.
    """
    enable()
    watch_process()
    _process_monitor.start()
    return _process_monitor
