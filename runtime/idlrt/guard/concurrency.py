"""Guard `concurrency`: adaptive limit on concurrent calls; further calls are rejected.

The limit need not be configured, and it follows changes of the machine and of the load. Algorithms:

- `gradient`: at intervals, the limit is lowered to its minimum to measure the minimum latency. Otherwise the limit
  grows while latency is close to that minimum, and shrinks while it is higher. Queueing raises latency, so the limit
  settles at the number of calls that the server handles without a queue.
- `aimd`: additive increase by 1 for each round of successful calls, multiplicative decrease after a call that was
  rejected or timed out.

Sources: Envoy's adaptive concurrency filter,
https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/adaptive_concurrency_filter; Netflix's
concurrency-limits, https://github.com/Netflix/concurrency-limits; Chiu and Jain, "Analysis of the increase and decrease
algorithms for congestion avoidance" (1989)

Permits are leases (`idlrt.core.leases`): a call that is interrupted at any byte code leaks none.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from idlrt.core import ClockAndRandom, Listener, Rejected, notify
from idlrt.core.forks import forks
from idlrt.core.leases import Leases
from idlrt.core.policy import Positive, Seconds
from idlrt.errors import DeadlineExceeded, Overloaded
from idlrt.guard.base import AnyCall, Next, listeners_of, no_listener
from idlrt.printable import plural
from idlrt.spec import DeclaredError

__all__ = ["AdaptiveConcurrency", "Aimd", "ConcurrencySettings", "Gradient", "Limit"]

# As in Envoy: bounds of the gradient; consecutive windows at the minimum limit that trigger a new measurement.
_STEEPEST: Final = (0.5, 2.0)
_STUCK: Final = 5
# Jitter of the time between two measurements, as a fraction, so that not all servers measure at once.
_JITTER: Final = 0.15
# Maximum number of samples of one window.
_KEPT: Final = 1000

Count = Annotated[int, Meta(ge=1)]


class ConcurrencySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the adaptive concurrency limit."""

    algorithm: Annotated[
        Literal["gradient", "aimd"],
        Meta(description="algorithm that adjusts the limit: `gradient` by latency, `aimd` by failures."),
    ] = "gradient"
    initial_limit: Annotated[Count, Meta(description="initial limit on concurrent calls.")] = 20
    min_limit: Annotated[
        Count,
        Meta(description="lower bound of the limit; also the limit while `gradient` measures the minimum latency."),
    ] = 3
    max_limit: Annotated[Count, Meta(description="upper bound of the limit.")] = 1000
    window: Annotated[Positive, Meta(description="length of the sampling window of `gradient`.")] = 0.1
    min_samples: Annotated[
        Count, Meta(description="minimum number of calls in a sampling window; with fewer calls it is extended.")
    ] = 10
    min_rtt_samples: Annotated[Count, Meta(description="number of calls in a measurement of the minimum latency.")] = 50
    min_rtt_interval: Annotated[
        Seconds, Meta(description="time between two measurements of the minimum latency, with jitter; 0: measure once.")
    ] = 60.0
    tolerance: Annotated[
        float, Meta(ge=0, description="fraction by which latency may exceed the minimum before the limit is lowered.")
    ] = 0.25
    backoff_ratio: Annotated[
        float, Meta(gt=0, lt=1, description="multiplier of the limit after a failure, for `aimd`.")
    ] = 0.9


class Limit(Protocol):
    """Algorithm that adjusts the limit. Not thread-safe: the guard serializes access.

    Attributes:
        limit: maximum number of concurrent calls.
    """

    limit: int

    def on_response(self, began: float, now: float, in_flight: int) -> None:
        """Record a response.

        Args:
            began: time at which the call began.
            now: current time.
            in_flight: number of calls in flight.
        """
        ...

    def on_drop(self, began: float, now: float) -> None:
        """Record a call that was rejected by an inner step, or timed out."""
        ...


class Gradient:
    """Limit by the ratio of the minimum latency to the current one."""

    def __init__(self, settings: ConcurrencySettings, sources: ClockAndRandom) -> None:
        self._settings = settings
        self._sources = sources
        self.limit = settings.min_limit
        self._found = float(settings.initial_limit)
        # Minimum latency in seconds: the median of calls at the minimum limit.
        self.min_rtt = 0.0
        self._samples: list[float] = []
        self._is_measuring = True
        # Calls that began earlier are ignored: they ran with the previous limit.
        self._since = -math.inf
        self._window_ends = 0.0
        self._measure_at = math.inf
        self._at_lowest = 0

    def on_response(self, began: float, now: float, in_flight: int) -> None:
        """Record a response, and adjust the limit at the end of a window."""
        if began < self._since:
            return
        settings, samples = self._settings, self._samples
        if len(samples) < _KEPT:
            samples.append(now - began)
        if self._is_measuring:
            if len(samples) >= settings.min_rtt_samples:
                self.min_rtt = _median(samples)
                self._is_measuring = False
                self._at_lowest = 0
                jitter = 1 + _JITTER * self._sources.rng()
                self._measure_at = now + settings.min_rtt_interval * jitter if settings.min_rtt_interval else math.inf
                self._set(self._found, now)
        elif now >= self._measure_at or self._at_lowest >= _STUCK:
            self._found = float(self.limit)
            self._is_measuring = True
            self.limit = settings.min_limit
            self._since = now
            samples.clear()
        elif now >= self._window_ends and len(samples) >= settings.min_samples:
            self._step(now)

    def on_drop(self, began: float, now: float) -> None:
        """Record the latency of a dropped call."""
        self.on_response(began, now, 0)

    def _step(self, now: float) -> None:
        slowest, steepest = _STEEPEST
        took = max(_median(self._samples), 1e-9)
        gradient = min(max(self.min_rtt * (1 + self._settings.tolerance) / took, slowest), steepest)
        wanted = self.limit * gradient
        self._set(wanted + math.sqrt(wanted), now)
        self._at_lowest = self._at_lowest + 1 if self.limit <= self._settings.min_limit else 0

    def _set(self, limit: float, now: float) -> None:
        settings = self._settings
        self.limit = max(min(int(limit), settings.max_limit), settings.min_limit)
        self._samples.clear()
        self._window_ends = now + settings.window


class Aimd:
    """Limit by additive increase and multiplicative decrease."""

    def __init__(self, settings: ConcurrencySettings, sources: ClockAndRandom) -> None:
        self._settings = settings
        self._exact = float(max(min(settings.initial_limit, settings.max_limit), settings.min_limit))
        self.limit = int(self._exact)
        self._since = -math.inf

    def on_response(self, began: float, now: float, in_flight: int) -> None:
        """Raise the limit, if at least half of it is in use."""
        if in_flight * 2 >= self.limit:
            self._set(self._exact + 1 / self._exact)

    def on_drop(self, began: float, now: float) -> None:
        """Lower the limit, unless the call began before the last decrease."""
        if began >= self._since:
            self._since = now
            self._set(self._exact * self._settings.backoff_ratio)

    def _set(self, limit: float) -> None:
        self._exact = max(min(limit, float(self._settings.max_limit)), float(self._settings.min_limit))
        self.limit = int(self._exact)


def _median(samples: list[float]) -> float:
    return sorted(samples)[len(samples) // 2]


class AdaptiveConcurrency:
    """Guard `concurrency`: adaptive limit on concurrent calls.

    Attributes:
        limit: algorithm that adjusts the limit.
    """

    Settings: ClassVar[type[msgspec.Struct]] = ConcurrencySettings
    # Its calls in flight include those in the queue of the bulkhead.
    before: ClassVar[tuple[str, ...]] = ("bulkhead",)

    def __init__(
        self, settings: ConcurrencySettings, sources: ClockAndRandom, listener: Listener = no_listener
    ) -> None:
        self._now = sources.now
        self._listener = listener
        self._leases = Leases()
        self.after_fork()
        forks.register(self)
        self.limit: Limit = _ALGORITHMS[settings.algorithm](settings, sources)

    def after_fork(self) -> None:
        """Reset after a fork: another thread of the parent may hold the lock, and calls in flight are the parent's."""
        self._lock = threading.Lock()
        self._leases.after_fork()

    @property
    def in_flight(self) -> int:
        """Number of calls in flight."""
        return len(self._leases)

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """Make the call if the limit is not reached, and record its latency.

        Raises:
            Overloaded: the limit is reached.
        """
        limit, leases = self.limit, self._leases
        lease = leases.acquire(limit.limit)
        if lease is None:
            raise self._rejected(call, len(leases))
        began = self._now()
        try:
            result = await next(call)
            with self._lock:
                limit.on_response(began, self._now(), len(leases))
            return result
        except BaseException as error:
            with self._lock:
                if isinstance(error, Overloaded | DeadlineExceeded):
                    limit.on_drop(began, self._now())
                elif isinstance(error, DeclaredError):
                    limit.on_response(began, self._now(), len(leases))
                # Other errors are ignored: a call that fails at once is no measure of latency.
            raise
        finally:
            del lease

    def _rejected(self, call: AnyCall, in_flight: int) -> Overloaded:
        name = call.method.full_name
        why = f"adaptive limit of {plural(in_flight, 'concurrent call')} reached"
        if listeners := listeners_of(call, self._listener):
            notify(listeners, Rejected(subject=name, guard="concurrency", why=why, reason="concurrency"))
        return Overloaded(f"rejected {name}: {why}")


_ALGORITHMS: Final[dict[str, Callable[[ConcurrencySettings, ClockAndRandom], Limit]]] = {
    "gradient": Gradient,
    "aimd": Aimd,
}
