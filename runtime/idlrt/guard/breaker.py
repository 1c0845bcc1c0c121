"""Guard `breaker`: circuit breaker, which rejects calls while the failure ratio is high, and probes for recovery.

While closed, it counts outcomes. It opens when the failure ratio reaches its threshold, given enough calls, or after a
number of consecutive failures: calls are rejected at once. After the break duration it is half-open: it lets probes
through, one at a time. Enough consecutive successful probes close it; a failed one opens it again, for longer.

Overload does not count as a failure: a server that rejects calls is healthy, and a breaker would take all calls away
from it at once.

Sources: Kitex's circuit breaker (failure ratio, probes),
https://www.cloudwego.io/docs/kitex/tutorials/service-governance/; brpc's (longer breaks if it opens again soon,
overload does not count), https://github.com/apache/brpc/blob/master/docs/en/circuit_breaker.md; names of settings as in
Polly and Resilience4j
"""

from __future__ import annotations

import threading
from typing import Annotated, Any, ClassVar, Final
from weakref import ref

import msgspec
from msgspec import Meta

from idlrt.core import BreakerChanged, ClockAndRandom, Evidence, Listener, Rejected, evidence_of, notify
from idlrt.core.forks import forks
from idlrt.core.leases import Lease
from idlrt.core.policy import Positive, Seconds
from idlrt.errors import CircuitOpen
from idlrt.guard.base import AnyCall, Next, PerMethod, Scope, listeners_of, no_listener
from idlrt.guard.window import Window
from idlrt.printable import plural

__all__ = ["CLOSED", "HALF_OPEN", "OPEN", "Breaker", "BreakerSettings", "CircuitBreaker"]

CLOSED: Final = "closed"
OPEN: Final = "open"
HALF_OPEN: Final = "half-open"

# Maximum number of state changes that are kept until they are taken.
_KEPT: Final = 8
# Reference to a released lease: no probe is in flight.
_NO_PROBE: Final = ref(Lease())


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a circuit breaker."""

    per: Annotated[
        Scope, Meta(description="scope of statistics and rejection: a whole service, or each of its methods.")
    ] = "service"
    failure_ratio: Annotated[float, Meta(gt=0, le=1, description="failure ratio that opens the breaker.")] = 0.5
    minimum_throughput: Annotated[
        int, Meta(ge=1, description="minimum number of calls in the window before the failure ratio counts.")
    ] = 200
    window: Annotated[Positive, Meta(description="length of the sliding window.")] = 10.0
    buckets: Annotated[
        int, Meta(ge=1, le=1000, description="number of buckets of the window; the oldest one expires as a whole.")
    ] = 10
    consecutive_failures: Annotated[
        int,
        Meta(
            ge=0,
            description="consecutive failures that open the breaker, regardless of `minimum_throughput`; 0 disables.",
        ),
    ] = 0
    break_duration: Annotated[
        Positive, Meta(description="time for which the breaker stays open before it sends probes.")
    ] = 5.0
    break_multiplier: Annotated[
        float,
        Meta(
            ge=1,
            description="multiplier of the break duration when the breaker opens again soon after closing; 1: constant "
            "duration.",
        ),
    ] = 2.0
    max_break_duration: Annotated[
        Positive,
        Meta(
            description="upper bound of the break duration; `break_multiplier` applies if the breaker opens again "
            "within this time after closing."
        ),
    ] = 30.0
    probe_interval: Annotated[Seconds, Meta(description="minimum time between two probes.")] = 0.2
    success_threshold: Annotated[
        int, Meta(ge=1, description="consecutive successful probes that close the breaker.")
    ] = 2
    count_internal: Annotated[bool, Meta(description="whether responses with `INTERNAL_ERROR` count as failures.")] = (
        False
    )


class Breaker:
    """State machine of one circuit breaker. Thread-safe: at most one probe is in flight.

    The caller reports the outcome of each permitted call:

        permit = breaker.allows(now)
        if permit:
            ...
            breaker.succeeded(now, permit)  # or failed, or abandoned

    The permit distinguishes a probe from a call that began before the breaker opened and ends only now. An outcome
    without a permit counts as that of the probe in flight.

    The permit of a probe is a lease (`idlrt.core.leases`): if it was released without an outcome, the probe was
    interrupted by an exception of a signal handler or a time limit, and another one may be sent.

    Attributes:
        state: `closed`, `open` or `half-open`.
        changes: changes of the state, as (before, after, why), to be taken with `take_changes`.
    """

    __slots__ = (
        "__weakref__", "_closed_at", "_good_probes", "_lock", "_next_try", "_opened_at", "_pause", "_permit", "_probe",
        "_row", "_settings", "_why", "_window", "changes", "state",
    )  # fmt: skip

    def __init__(self, settings: BreakerSettings) -> None:
        self.state: str = CLOSED
        self.changes: list[tuple[str, str, str]] = []
        self._settings = settings
        self.after_fork()
        forks.register(self)
        self._window = Window(settings.window, settings.buckets)
        self._row = 0
        # Calls share one permit while the breaker is closed; each time that it closes there is a new one.
        self._permit = Lease()
        self._good_probes = 0
        self._pause = 0.0
        self._next_try = self._opened_at = self._closed_at = 0.0
        self._why = ""

    def after_fork(self) -> None:
        """Reset after a fork: a probe in flight belongs to the parent."""
        self._lock = threading.Lock()
        self._probe = _NO_PROBE

    @property
    def is_probing(self) -> bool:
        """Whether a probe is in flight."""
        return self._probe() is not None

    def allows(self, now: float) -> Lease | None:
        """Return a permit for a call, to be kept in a local variable until the call ends; `None` to reject it."""
        return self._permit if self.state is CLOSED else self._next_probe(now)

    def _next_probe(self, now: float) -> Lease | None:
        with self._lock:
            if self.state is CLOSED:
                return self._permit
            if self.is_probing or now < self._next_try:
                return None
            if self.state is OPEN:
                self._good_probes = 0
                self._change(HALF_OPEN, "the break is over")
            permit = Lease()
            self._probe = ref(permit)
            self._next_try = now + self._settings.probe_interval
            return permit

    def succeeded(self, now: float, permit: Lease | None = None) -> None:
        """Record a success."""
        if self.state is CLOSED:
            window = self._window
            if now >= window.ends:
                window.rotate(now)
            window.successes += 1
            self._row = 0
            return
        with self._lock:
            if self._is_of_probe(permit):
                self._probe = _NO_PROBE
                self._good_probes += 1
                if self._good_probes >= self._settings.success_threshold:
                    self._close(now)

    def failed(self, now: float, permit: Lease | None = None) -> None:
        """Record a failure that is evidence against the server."""
        with self._lock:
            if self._is_of_probe(permit):
                self._open(now, "a probe failed")
            elif self.state is CLOSED and permit in (None, self._permit):
                self._count_failure(now)

    def abandoned(self, now: float, permit: Lease | None = None) -> None:
        """Record a call without evidence, as one that was cancelled."""
        if self.state is not CLOSED:
            with self._lock:
                if self._is_of_probe(permit):
                    self._probe = _NO_PROBE

    def retry_after(self, now: float) -> float:
        """Return the seconds until the next call may be permitted."""
        return max(self._next_try - now, 0.0)

    def is_ready(self, now: float) -> bool:
        """Return whether the next call is permitted."""
        return self.state is CLOSED or (now >= self._next_try and not self.is_probing)

    def explain(self, now: float) -> str:
        """Return why and since when the breaker is open, and when the next probe follows."""
        since = f"{self._why}; opened {now - self._opened_at:.3g} s ago"
        if self.is_probing:
            return f"{since}, probe in flight"
        return f"{since}, next probe in {self.retry_after(now):.3g} s"

    def take_changes(self) -> list[tuple[str, str, str]]:
        """Return and clear the recorded changes, the oldest first. Only the latest ones are kept."""
        with self._lock:
            changes, self.changes = self.changes, []
            return changes

    def _is_of_probe(self, permit: Lease | None) -> bool:
        probe = self._probe()
        return probe is not None and permit in (None, probe)

    def _count_failure(self, now: float) -> None:
        window, settings = self._window, self._settings
        if now >= window.ends:
            window.rotate(now)
        window.failures += 1
        self._row += 1
        bad = window.earlier_failures + window.failures
        total = bad + window.earlier_successes + window.successes
        if settings.consecutive_failures and self._row >= settings.consecutive_failures:
            self._open(now, plural(self._row, "consecutive failure"))
        elif total >= settings.minimum_throughput and bad >= settings.failure_ratio * total:
            self._open(now, f"{bad} of {plural(total, 'call')} within {settings.window:g} s failed")

    def _open(self, now: float, why: str) -> None:
        settings = self._settings
        longest = max(settings.max_break_duration, settings.break_duration)
        is_again = self.state is HALF_OPEN or (self._pause > 0 and now - self._closed_at < longest)
        self._pause = min(self._pause * settings.break_multiplier, longest) if is_again else settings.break_duration
        self._probe = _NO_PROBE
        self._next_try = now + self._pause
        if self.state is CLOSED:
            self._opened_at = now
            self._why = why
        self._change(OPEN, why)

    def _close(self, now: float) -> None:
        self._window.clear()
        self._row = 0
        self._closed_at = now
        self._permit = Lease()
        self._change(CLOSED, plural(self._good_probes, "consecutive successful probe"))

    def _change(self, state: str, why: str) -> None:
        self.changes.append((self.state, state, why))
        del self.changes[:-_KEPT]
        self.state = state


class CircuitBreaker:
    """Guard `breaker`: circuit breakers by service or method."""

    Settings: ClassVar[type[msgspec.Struct]] = BreakerSettings
    # It counts outcomes of the inner guards, and not the rejections of outer ones.
    before: ClassVar[tuple[str, ...]] = ("concurrency",)

    def __init__(self, settings: BreakerSettings, sources: ClockAndRandom, listener: Listener = no_listener) -> None:
        self._now = sources.now
        self._listener = listener
        self._counts_internal = settings.count_internal
        self._breakers: PerMethod[tuple[str, Breaker]] = PerMethod(settings.per, lambda name: (name, Breaker(settings)))

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """Make the call if the breaker permits it, and record its outcome.

        Raises:
            CircuitOpen: the breaker is open, or half-open with a probe in flight.
        """
        name, breaker = self._breakers[call.method]
        now = self._now
        permit = breaker.allows(now())
        if breaker.changes:
            self._report_changes(call, name, breaker)
        if not permit:
            raise self._rejected(call, name, breaker)
        try:
            result = await next(call)
        except Exception as error:
            is_failure = self._is_failure(error)
            if is_failure is None:
                breaker.abandoned(now(), permit)
            elif is_failure:
                breaker.failed(now(), permit)
            else:
                breaker.succeeded(now(), permit)
            if breaker.changes:
                self._report_changes(call, name, breaker)
            raise
        except BaseException:
            breaker.abandoned(now(), permit)
            raise
        breaker.succeeded(now(), permit)
        if breaker.changes:
            self._report_changes(call, name, breaker)
        return result

    def _is_failure(self, error: Exception) -> bool | None:
        """Return whether an error is evidence against the server; `None`: it is no evidence."""
        evidence = evidence_of(error)
        if evidence.is_failure:
            return True
        # On a server, an exception of the handler is INTERNAL_ERROR for the client.
        if evidence is Evidence.BROKEN or evidence is Evidence.RAISED:
            return self._counts_internal
        return False if evidence is Evidence.ANSWERED else None

    def _rejected(self, call: AnyCall, name: str, breaker: Breaker) -> CircuitOpen:
        now = self._now()
        why = breaker.explain(now)
        if listeners := listeners_of(call, self._listener):
            notify(listeners, Rejected(subject=call.method.full_name, guard="breaker", why=why, reason="circuit_open"))
        what = f"rejected {call.method.full_name}: circuit breaker of {name} is {breaker.state}"
        return CircuitOpen(f"{what}: {why}").push_back(breaker.retry_after(now))

    def _report_changes(self, call: AnyCall, name: str, breaker: Breaker) -> None:
        changes = breaker.take_changes()
        if listeners := listeners_of(call, self._listener):
            for before, after, why in changes:
                notify(listeners, BreakerChanged(subject=name, before=before, after=after, why=why))
