"""Exporter: a thread that reads all metrics in an interval and sends them with an exporter of the OpenTelemetry SDK."""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.observe.metric import Metric
from idlrt.observe.otlp.options import Aggregation, Temporality, is_disabled, options, protocol
from idlrt.observe.otlp.sdk import Reason, resource_of, suppress_instrumentation
from idlrt.observe.process import STARTED_AT, ProcessFigures
from idlrt.observe.snapshot import Snapshot, by_name
from idlrt.observe.sources import enable, read_all
from idlrt.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData

__all__ = ["OtlpExporter", "export_otlp"]

_log: Final = get_logger("idlrt.observe")
_WHAT: Final = "cannot export metrics by OTLP"
_HTTP: Final = "http/protobuf"
# Seconds between two records of failures.
_LOG_INTERVAL: Final = 300.0
_OBSERVED: Final = ("process_", "system_", "python_")


class OtlpExporter:
    """Exports all metrics of this process, with those of its servers, by OTLP over HTTP. Threads may share it.

    Metrics of clients are enabled. Names, units and attributes are those of OpenTelemetry's semantic conventions where
    these have them. Variables of OpenTelemetry (`OTEL_*`) configure what has no argument, and the defaults of those
    that are `None`. With `OTEL_SDK_DISABLED=true` or `OTEL_METRICS_EXPORTER=none` nothing is exported.

    A forked child exports nothing until `start` is called there. The supervisor of a `ProcessServer` exports the sums
    of its processes, so create and start the exporter there only.

    Args:
        resource: attributes of this process, such as `{"service.name": "shop"}`; they take precedence over variables.
        interval: time between two exports, in seconds. Default: `OTEL_METRIC_EXPORT_INTERVAL`, or 60.
        timeout: timeout of an export, in seconds. Default: `OTEL_METRIC_EXPORT_TIMEOUT`, or 30. A single request has
            that of the SDK, by default 10 (`OTEL_EXPORTER_OTLP_TIMEOUT`).
        temporality: `cumulative`: since the start; `delta`: since the last successful export; `lowmemory`: as `delta`,
            but counters of the process and the host are cumulative.
            Default: `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`, or `cumulative`.
        histograms: `explicit`: buckets with fixed bounds; `exponential`: up to 160 buckets, at most 2.2 % wide if that
            is enough for the range. Default: `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION`, or `explicit`.
        bounds: upper bounds of explicit buckets in seconds, ascending. Default: the 14 of the conventions from 5 ms to
            10 s for RPC, and those of `/metrics` for the others.
        exporter: creates the exporter of the SDK, such as the class for gRPC. Default: `OTLPMetricExporter` over HTTP.

    Raises:
        ConfigurationError: an argument is invalid, a variable asks for another protocol than `http/protobuf`, or the
            SDK is not installed.
    """

    def __init__(
        self,
        *,
        resource: Mapping[str, str] | None = None,
        interval: float | None = None,
        timeout: float | None = None,
        temporality: Temporality | None = None,
        histograms: Aggregation | None = None,
        bounds: Sequence[float] | None = None,
        exporter: Callable[[], MetricExporter] | None = None,
    ) -> None:
        self._options = options(interval, timeout, temporality, histograms, bounds)
        self._given = dict(resource or {})
        self._is_disabled = is_disabled()
        self._make = exporter or _http_exporter()
        try:
            from idlrt.observe.otlp.points import Points
        except ImportError:
            raise _not_installed() from None
        is_exponential = self._options.histograms == "exponential"
        self._points = Points(is_exponential=is_exponential, bounds=self._options.bounds)
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Stop in a forked child, which has no thread of the parent."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._exporter: MetricExporter | None = None
        self._is_closing = False
        self._wanted = self._done = 0
        self._is_exported = False
        # What was exported last, and when, in nanoseconds since 1970.
        self._earlier: tuple[Snapshot, int] | None = None
        self._failed_at = -math.inf
        self._is_failing = False

    @property
    def is_running(self) -> bool:
        """Whether it exports: it was started in this process, and is not closed."""
        return self._thread is not None

    def start(self) -> Self:
        """Start exporting, first after the interval. Does nothing if it is running already, or disabled.

        Raises:
            Exception: the exporter of the SDK cannot be created, because of its arguments or variables.
        """
        if self._is_disabled:
            return self
        with self._changed:
            if self._thread is not None:
                return self
            enable()
            self._exporter = exporter = self._make()
            self._resource = resource_of(self._given)
            self._started_at = _started_at()
            self._is_closing = False
            self._thread = threading.Thread(target=self._run, args=(exporter,), name="idlrt otlp", daemon=True)
            self._thread.start()
        atexit.register(self.close)
        return self

    def flush(self, timeout: float = 10.0) -> bool:
        """Export now, and wait for the end of it.

        Args:
            timeout: maximum time to wait, in seconds.

        Returns:
            Whether the metrics have been received; true if the export is disabled, false if it is not running.
        """
        if self._is_disabled:
            return True
        with self._changed:
            if self._thread is None or self._is_closing:
                return False
            self._wanted += 1
            wanted = self._wanted
            self._changed.notify_all()
            is_done = self._changed.wait_for(lambda: self._done >= wanted or self._thread is None, timeout)
            return is_done and self._done >= wanted and self._is_exported

    def close(self, timeout: float = 5.0) -> None:
        """Export a last time, and stop. Idempotent; also called when the program ends. It may be started again.

        Args:
            timeout: maximum time in seconds. An export that takes longer is aborted.
        """
        end = time.monotonic() + timeout
        with self._changed:
            thread, exporter = self._thread, self._exporter
            if thread is None or exporter is None:
                return
            self._is_closing = True
            self._changed.notify_all()
        if thread is not threading.current_thread():
            thread.join(max(end - time.monotonic(), 0.0))
        if thread.is_alive():
            _log.warning("stopping the export of metrics: the last one was not finished within %g s", timeout)
        # Ends a pause before a retry, if there is one.
        exporter.shutdown(timeout_millis=1000)  # pyright: ignore[reportUnknownMemberType]
        with self._changed:
            if self._thread is thread:
                self._thread = self._exporter = None
                self._earlier = None
            self._changed.notify_all()
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # The thread.

    def _run(self, exporter: MetricExporter) -> None:
        suppress_instrumentation()
        me = threading.current_thread()
        due = time.monotonic() + self._options.interval
        while True:
            with self._changed:
                self._changed.wait_for(self._is_wanted, max(due - time.monotonic(), 0.0))
                if self._thread is not me:
                    return
                wanted, is_last = self._wanted, self._is_closing
            is_exported = self._export(exporter)
            with self._changed:
                self._done, self._is_exported = wanted, is_exported
                self._changed.notify_all()
            if is_last:
                return
            due = time.monotonic() + self._options.interval

    def _is_wanted(self) -> bool:
        return self._is_closing or self._wanted > self._done

    def _export(self, exporter: MetricExporter) -> bool:
        """Export once; returns whether that succeeded. Raises nothing: the next interval is another attempt."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        sdk = logging.getLogger(type(exporter).__module__)
        reason = Reason()
        sdk.addFilter(reason)
        try:
            snapshot, at, data = self._collect()
            limit = self._options.timeout * 1e3
            result = exporter.export(data, timeout_millis=limit)  # pyright: ignore[reportUnknownMemberType]
            is_exported = result is MetricExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001  # of the network, or of a receiver
            reason.text = f"{type(error).__name__}: {error}"
            is_exported = False
        else:
            if is_exported and self._options.temporality != "cumulative":
                self._earlier = snapshot, at
        finally:
            sdk.removeFilter(reason)
        self._report(is_exported, reason.text)
        return is_exported

    def _collect(self) -> tuple[Snapshot, int, MetricsData]:
        from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        now, start = time.time_ns(), round(self._started_at * 1e9)
        snapshot = Snapshot(at=now / 1e9, started_at=self._started_at, series=by_name(read_all()))
        earlier, since = self._earlier if self._earlier is not None else (None, start)
        changes = snapshot.since(earlier) if earlier is not None else snapshot
        delta = {name for name, each in snapshot.series.items() if self._is_delta(each.metric)}
        cumulative = [each for name, each in snapshot.series.items() if name not in delta]
        found = self._points.metrics(cumulative, start=start, at=now, is_delta=False)
        changed = [each for name, each in changes.series.items() if name in delta]
        found += self._points.metrics(changed, start=since, at=now, is_delta=True)
        scope = ScopeMetrics(InstrumentationScope("idlrt", __version__), found, "")
        return snapshot, now, MetricsData([ResourceMetrics(self._resource, [scope], "")])

    def _is_delta(self, metric: Metric) -> bool:
        temporality = self._options.temporality
        if temporality == "cumulative" or metric.kind == "gauge":
            return False
        # Counters that the system provides are asynchronous instruments for OpenTelemetry.
        return temporality == "delta" or metric.kind == "histogram" or not metric.name.startswith(_OBSERVED)

    def _report(self, is_exported: bool, reason: str) -> None:
        now = time.monotonic()
        if is_exported:
            if self._is_failing:
                _log.info("exporting metrics again", extra={"kind": "otlp"})
            self._is_failing = False
            self._failed_at = -math.inf
        elif now - self._failed_at >= _LOG_INTERVAL:
            self._is_failing, self._failed_at = True, now
            fields = {"kind": "otlp", "interval_s": self._options.interval}
            _log.warning("%s: %s; retrying every %g s", _WHAT, reason, self._options.interval, extra=fields)


def _http_exporter() -> Callable[[], MetricExporter]:
    wanted, variable = protocol()
    if wanted not in ("", _HTTP):
        advice = f"set it to {_HTTP}, or pass another exporter, as in export_otlp(exporter=OTLPMetricExporter)"
        raise ConfigurationError(f"{_WHAT}: {variable} is {wanted!r}; {advice}")
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    except ImportError:
        raise _not_installed() from None
    return OTLPMetricExporter


def _not_installed() -> ConfigurationError:
    return ConfigurationError(f"{_WHAT}: the OpenTelemetry SDK is not installed; run pip install 'idlc[otlp]'")


def _started_at() -> float:
    """Return the start of this process, which is also that of its counters, in seconds since 1970."""
    started: Any = next(each.values[()] for each in ProcessFigures().read() if each.metric is STARTED_AT)
    # The clock may have been set back.
    return min(float(started), time.time())


def export_otlp(
    *,
    resource: Mapping[str, str] | None = None,
    interval: float | None = None,
    timeout: float | None = None,
    temporality: Temporality | None = None,
    histograms: Aggregation | None = None,
    bounds: Sequence[float] | None = None,
    exporter: Callable[[], MetricExporter] | None = None,
) -> OtlpExporter:
    """Start exporting all metrics of this process by OTLP; returns the running exporter, a context manager.

    The arguments, and what is raised, are those of `OtlpExporter`.
    """
    return OtlpExporter(
        resource=resource,
        interval=interval,
        timeout=timeout,
        temporality=temporality,
        histograms=histograms,
        bounds=bounds,
        exporter=exporter,
    ).start()
