"""Health of the endpoints of a cluster: reachability, outlier ejection and circuit breakers together.

An endpoint is unhealthy if it cannot be reached (`idlrt.client.health`), if it is ejected because it does worse than
the others (`idlrt.guard.outlier`), or if its circuit breaker is open. This module records the outcomes of calls and
pings with all three, decides from them whether the endpoint is unhealthy, and reports changes to listeners and the log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from idlrt.client.endpoint import Endpoint
from idlrt.client.health import Health
from idlrt.core import (
    BreakerChanged,
    Call,
    Decision,
    Ejected,
    Evidence,
    Listener,
    Reason,
    Restored,
    evidence_of,
    notify,
)
from idlrt.core.leases import Lease
from idlrt.core.logs import cleaned, get_logger
from idlrt.errors import CircuitOpen
from idlrt.guard.breaker import CLOSED, OPEN, Breaker, BreakerSettings
from idlrt.guard.outlier import OutlierDetector, OutlierSettings, Record

__all__ = ["HealthTracker"]

_log: Final = get_logger("idlrt.client")

# With more endpoints than this, maintenance runs at most once in `_PAUSE` seconds.
_MANY: Final = 50
_PAUSE: Final = 0.01
# Seconds after which a breaker that waits for the outcome of a probe is checked: if an exception of a signal handler
# has interrupted the probe, its outcome is never reported.
_PROBE_CHECK: Final = 1.0


class HealthTracker:
    """Tracker of the health of all endpoints of a cluster. Threads may share it.

    Args:
        name: of the service, for messages.
        changed: called when an endpoint has become unhealthy or healthy.
        listeners: returns the listeners that receive decisions.
        is_watched: whether unhealthy endpoints are pinged.

    Attributes:
        next_run_at: when `maintain` has something to do next, on the client's clock.
    """

    def __init__(
        self,
        name: str,
        changed: Callable[[], object],
        listeners: Callable[[], Sequence[Listener]],
        is_watched: bool = True,
    ) -> None:
        self._name = name
        self._is_watched = is_watched
        self._changed = changed
        self._listeners = listeners
        self._failure_threshold = 3
        self._breaker = BreakerSettings()
        self._outliers = OutlierDetector(OutlierSettings())
        self._lock = threading.RLock()
        self._sweep_at = 0.0
        self._kept_at = -_PAUSE
        self.next_run_at = 0.0

    def after_fork(self) -> None:
        """Replace the lock in a child of the process: another thread of the parent may hold it."""
        self._lock = threading.RLock()

    def apply_settings(
        self,
        failure_threshold: int,
        breaker: BreakerSettings,
        outliers: OutlierSettings,
        endpoints: Sequence[Endpoint[Any]],
    ) -> None:
        """Apply new settings. Resets the breakers if their settings have changed, and likewise the outlier records.

        Args:
            failure_threshold: consecutive failures that make an endpoint unhealthy.
        """
        with self._lock:
            is_new = breaker != self._breaker
            if is_new:
                self._breaker = breaker
                for endpoint in endpoints:
                    endpoint.breaker = Breaker(breaker)
            if outliers != self._outliers.settings:
                is_new = True
                self._outliers = OutlierDetector(outliers)
                self._sweep_at = 0.0
                for endpoint in endpoints:
                    endpoint.record = Record()
                self._outliers.watch([endpoint.record for endpoint in endpoints])
            if is_new:
                self.next_run_at = 0.0
                for endpoint in endpoints:
                    self._update_health(endpoint, None)
            self._failure_threshold = failure_threshold
            for endpoint in endpoints:
                endpoint.health.failure_threshold = failure_threshold

    def initial_state(self) -> tuple[Health, Breaker]:
        """Return the initial health and breaker of a new endpoint."""
        return Health(self._failure_threshold), Breaker(self._breaker)

    def answered(
        self,
        endpoint: Endpoint[Any],
        now: float,
        permit: Lease | None = None,
        *,
        is_broken: bool = False,
        call: Call | None = None,
    ) -> None:
        """Record a response to a call.

        Args:
            permit: from the endpoint's breaker.
            is_broken: whether the response is an internal error of the server.
            call: its listeners receive the decisions that follow, too.
        """
        health, breaker = endpoint.health, endpoint.breaker
        health.last_response_at = now
        if (health.failures or health.is_unhealthy) and health.answered(now):
            self._mark_healthy(endpoint, "it responded to a call", call)
            endpoint.transport.reset_backoff()
        if is_broken and self._breaker.count_internal:
            breaker.failed(now, permit)
        else:
            breaker.succeeded(now, permit)
        if breaker.changes:
            self._breaker_changed(endpoint, call)
        elif breaker.state != CLOSED:
            self.next_run_at = 0.0  # for the next probe
        if is_broken:
            self._record_outlier(endpoint, "repeated internal errors", "internal_errors", now, call)
        else:
            # `Record.succeeded`, without the call.
            record = endpoint.record
            record.successes += 1
            record.consecutive_failures = 0

    def probing(self, endpoint: Endpoint[Any], call: Call) -> None:
        """Record that a call is sent as a probe of the endpoint's breaker.

        Until its outcome is known the breaker rejects other calls, so they are sent to other endpoints.
        """
        if endpoint.breaker.changes:
            self._breaker_changed(endpoint, call)
            return
        with self._lock:
            self.next_run_at = 0.0
            is_new = self._update_health(endpoint, None)
        if is_new:
            self._changed()

    def abandoned(self, endpoint: Endpoint[Any], now: float, permit: Lease | None) -> None:
        """Release the permit of a call whose outcome says nothing about the endpoint."""
        endpoint.breaker.abandoned(now, permit)
        if endpoint.breaker.state != CLOSED:
            self.next_run_at = 0.0  # for the next probe

    def pinged(self, endpoint: Endpoint[Any], now: float) -> None:
        """Record a response to a ping. It shows that the endpoint is reachable, not that it handles calls well."""
        if endpoint.health.answered(now):
            self._mark_healthy(endpoint, "it responded to a ping", None)
            endpoint.transport.reset_backoff()

    def failed(
        self,
        endpoint: Endpoint[Any],
        error: Exception,
        now: float,
        permit: Lease | None = None,
        *,
        call: Call | None = None,
    ) -> None:
        """Record a failed call; a failed ping if `call` is `None`."""
        evidence = evidence_of(error)
        if not evidence.is_failure:
            if permit:
                self.abandoned(endpoint, now, permit)
            return
        if endpoint.health.failed(error, now, is_ping=call is None):
            reason: Reason = "timeouts" if evidence is Evidence.TIMED_OUT else "unreachable"
            self._mark_unhealthy(endpoint, str(error), reason, None, call)
            if not self._is_watched:
                with self._lock:
                    self.next_run_at = min(self.next_run_at, endpoint.health.pinged_at)
        if call is None:
            return
        endpoint.breaker.failed(now, permit)
        if endpoint.breaker.changes:
            self._breaker_changed(endpoint, call)
        # Unreachable endpoints are pinged, and are back at once when they respond. Outlier detection is for failures
        # that pings do not show.
        if evidence is Evidence.TIMED_OUT:
            self._record_outlier(endpoint, str(error), "timeouts", now, call)

    def watch(self, endpoints: Sequence[Endpoint[Any]]) -> None:
        """Set the endpoints of the cluster."""
        self._outliers.watch([endpoint.record for endpoint in endpoints])
        self.next_run_at = 0.0

    def maintain(self, endpoints: Sequence[Endpoint[Any]], now: float) -> None:
        """Do periodic maintenance: compare endpoints, end ejections that are over, and let breakers probe."""
        with self._lock:
            if now < self.next_run_at:
                return
            if len(endpoints) > _MANY:
                # Each probe makes this due, and of many endpoints some are always being probed when many fail.
                if now < self._kept_at + _PAUSE:
                    self.next_run_at = self._kept_at + _PAUSE
                    return
                self._kept_at = now
            records = [endpoint.record for endpoint in endpoints]
            by_record = {id(record): endpoint for record, endpoint in zip(records, endpoints, strict=True)}
            ejected: list[Record] = []
            restored: list[Record] = []
            is_sweep = now >= self._sweep_at
            if is_sweep:
                is_first, self._sweep_at = not self._sweep_at, now + self._outliers.settings.interval
                if not is_first:
                    ejected, restored = self._outliers.sweep(records, now)
            self.next_run_at = min(self._sweep_at, self._next_probe(endpoints, now))
            if not self._is_watched:
                asked = (each.health.pinged_at for each in endpoints if each.health.is_unhealthy)
                self.next_run_at = min([self.next_run_at, *(at for at in asked if at > now)])
        for record in ejected:
            endpoint = by_record[id(record)]
            self._mark_unhealthy(endpoint, record.why, "outlier", record.ejected_until - now, None)
        for record in restored:
            self._mark_healthy(by_record[id(record)], "ejection time is over", None)
        if not self._is_watched:
            for endpoint in endpoints:
                if endpoint.health.probe_if_due(now):
                    self._mark_healthy(endpoint, "the next call probes it", None)
        is_probing = False
        for endpoint in endpoints:
            # In a sweep all are judged: a signal handler may have raised before a recovered endpoint was judged.
            if endpoint.is_unhealthy and (
                is_sweep or (endpoint.breaker.state != CLOSED and endpoint.breaker.is_ready(now))
            ):
                is_probing = self._update_health(endpoint, now) or is_probing
        if is_probing:
            self._changed()

    def refused(self, endpoint: Endpoint[Any], now: float) -> CircuitOpen:
        """Build the error of a call that the breaker of an endpoint rejects."""
        what = f"not calling {endpoint.target}: its circuit breaker is {endpoint.breaker.state}"
        return CircuitOpen(f"{what}: {endpoint.breaker.explain(now)}")

    def _record_outlier(self, endpoint: Endpoint[Any], why: str, reason: Reason, now: float, call: Call | None) -> None:
        if self._outliers.failed(endpoint.record, now):
            self._mark_unhealthy(endpoint, why, reason, endpoint.record.ejected_until - now, call)

    def _breaker_changed(self, endpoint: Endpoint[Any], call: Call | None) -> None:
        for before, after, why in endpoint.breaker.take_changes():
            self._tell(BreakerChanged(subject=endpoint.instance.address, why=why, before=before, after=after), call)
            if after == OPEN:
                fields = self._fields(endpoint, why)
                _log.warning("opening circuit breaker of %s of %s: %s", endpoint.target, self._name, why, extra=fields)
            elif after == CLOSED:
                fields = self._fields(endpoint, why)
                _log.info("closing circuit breaker of %s of %s: %s", endpoint.target, self._name, why, extra=fields)
        with self._lock:
            self.next_run_at = 0.0
            self._update_health(endpoint, None)
        self._changed()

    def _mark_unhealthy(
        self, endpoint: Endpoint[Any], why: str, reason: Reason, seconds: float | None, call: Call | None
    ) -> None:
        _log.warning(
            "marking %s of %s unhealthy: %s", endpoint.target, self._name, why, extra=self._fields(endpoint, why)
        )
        self._tell(Ejected(subject=endpoint.instance.address, why=why, reason=reason, seconds=seconds), call)
        if self._update_health(endpoint, None):
            self._changed()

    def _mark_healthy(self, endpoint: Endpoint[Any], why: str, call: Call | None) -> None:
        with self._lock:
            # The breaker may have waited for this.
            self.next_run_at = 0.0
            is_new = self._update_health(endpoint, None)
        if is_new:
            _log.info(
                "marking %s of %s healthy: %s", endpoint.target, self._name, why, extra=self._fields(endpoint, why)
            )
            self._tell(Restored(subject=endpoint.instance.address, why=why), call)
            self._changed()

    def _update_health(self, endpoint: Endpoint[Any], now: float | None) -> bool:
        """Update whether an endpoint is unhealthy. Return whether that has changed.

        Args:
            now: `None`: an open breaker makes it unhealthy. Else one whose pause is over does not, so that a call can
                probe the endpoint.
        """
        # With a lock: of two threads, the one that read older state must not write last.
        with self._lock:
            breaker = endpoint.breaker
            is_shut = breaker.state != CLOSED and (now is None or not breaker.is_ready(now))
            is_unhealthy = endpoint.health.is_unhealthy or endpoint.record.ejected_until > 0 or is_shut
            was_out, endpoint.is_unhealthy = endpoint.is_unhealthy, is_unhealthy
        return was_out != is_unhealthy

    def _next_probe(self, endpoints: Sequence[Endpoint[Any]], now: float) -> float:
        """Return when the next breaker will let a probe through, or should be checked for a lost one."""
        waits = (
            endpoint.breaker.retry_after(now) or (_PROBE_CHECK if endpoint.breaker.is_probing else 0.0)
            for endpoint in endpoints
            if endpoint.breaker.state != CLOSED
        )
        return min((now + wait for wait in waits if wait > 0), default=float("inf"))

    def _fields(self, endpoint: Endpoint[Any], why: str) -> dict[str, str]:
        """Return the structured fields of a log record."""
        return {"service": self._name, "instance": endpoint.instance.address, "reason": cleaned(why)}

    def _tell(self, decision: Decision, call: Call | None) -> None:
        notify(self._listeners(), decision)
        if call is not None:
            notify(call.listeners, decision)
            if call.trace is not None:
                call.trace.decided(decision)
