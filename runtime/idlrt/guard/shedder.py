"""Guard `shedder`: adaptive load shedding, which rejects calls that an overloaded server could not answer in time.

It rejects calls under two conditions. The CPU is overloaded, or was within the last second if calls were rejected then.
And more calls are in flight, now and on average, than the server has capacity for: the maximum throughput of a bucket
of the window times the minimum latency (Little's law). The higher the CPU usage, the lower the limit; a tenth of the
capacity is always admitted.

Source: go-zero's adaptive shedder, https://github.com/zeromicro/go-zero (`core/load/adaptiveshedder.go`)
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from idlrt.core import ClockAndRandom, Listener, Rejected, notify
from idlrt.core.forks import forks
from idlrt.core.leases import Lease, Leases
from idlrt.core.policy import Positive
from idlrt.errors import Overloaded
from idlrt.guard.base import AnyCall, Next, listeners_of, no_listener
from idlrt.guard.cpu import FULL, ProcessCpu
from idlrt.printable import plural

__all__ = ["LoadShedder", "Shedder", "ShedderSettings"]

# As in go-zero: weight of the previous average of calls in flight; fraction of the capacity that is always admitted;
# latency in milliseconds while nothing was measured; cool-off time in seconds.
_BETA: Final = 0.9
_LEAST: Final = 0.1
_UNKNOWN_MS: Final = 1000.0
_COOL_OFF: Final = 1.0


class ShedderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of load shedding."""

    cpu_threshold: Annotated[
        float,
        Meta(
            ge=0,
            lt=1000,
            description="CPU usage from which the process is overloaded, in thousandths of one processor.",
        ),
    ] = 900.0
    window: Annotated[Positive, Meta(description="length of the sliding window of response statistics.")] = 5.0
    buckets: Annotated[
        int, Meta(ge=2, le=1000, description="number of buckets of the window; the current one does not count.")
    ] = 50


class Shedder:
    """Decision logic of load shedding. Thread-safe.

    Attributes:
        in_flight: leases of the calls in flight.
        average: moving average of their number.
        capacity: limit on calls in flight at the CPU threshold, estimated from the window.
    """

    __slots__ = (
        "__weakref__",
        "_answered",
        "_busy_at",
        "_ends",
        "_has_refused",
        "_lock",
        "_past",
        "_place",
        "_settings",
        "_took_ms",
        "_width",
        "average",
        "capacity",
        "in_flight",
    )  # fmt: skip

    def __init__(self, settings: ShedderSettings) -> None:
        self._settings = settings
        self.in_flight = Leases()
        self.after_fork()
        forks.register(self)
        self._width = settings.window / settings.buckets
        # Responses and their total latency in milliseconds: of past buckets, and of the current one.
        self._past: list[tuple[int, float]] = [(0, 0.0)] * (settings.buckets - 1)
        self._place = 0
        self._ends = -math.inf
        self._answered = 0
        self._took_ms = 0.0
        self.average = 0.0
        self.capacity = self._estimated(1, _UNKNOWN_MS)
        self._busy_at = -math.inf
        self._has_refused = False

    def after_fork(self) -> None:
        """Reset after a fork: another thread of the parent may hold the lock, and calls in flight are the parent's."""
        self._lock = threading.Lock()
        self.in_flight.after_fork()

    def begin(self, now: float, cpu: float) -> Lease | None:
        """Admit or reject a call.

        Args:
            now: time on the guard's clock.
            cpu: CPU usage in thousandths of one processor.

        Returns:
            The lease of the call, to be deleted before `end`; `None` if it is rejected.
        """
        threshold = self._settings.cpu_threshold
        with self._lock:
            if cpu >= threshold:
                self._busy_at = now
            elif self._has_refused and now - self._busy_at >= _COOL_OFF:
                self._has_refused = False
            # If calls were rejected, the overload is assumed to last for the cool-off time.
            if cpu >= threshold or self._has_refused:
                self._turn(now)
                most = self.capacity * min(max((FULL - cpu) / (FULL - threshold), _LEAST), 1.0)
                if self.average > most and len(self.in_flight) > most:
                    self._has_refused = True
                    return None
            return self.in_flight.begin()

    def end(self, began: float, now: float, *, is_good: bool) -> None:
        """Record the end of an admitted call. Only successful ones count for throughput and latency."""
        with self._lock:
            self._turn(now)
            self.average = self.average * _BETA + len(self.in_flight) * (1 - _BETA)
            if is_good:
                self._answered += 1
                self._took_ms += math.ceil((now - began) * 1000)

    def _turn(self, now: float) -> None:
        if now < self._ends:
            return
        if self._ends == -math.inf:
            self._ends = now + self._width
            return
        passed = int((now - self._ends) / self._width) + 1
        if self._ends + passed * self._width <= now:  # it was rounded down
            passed += 1
        ended = self._answered, self._took_ms
        for _ in range(min(passed, len(self._past) + 1)):
            self._past[self._place] = ended
            self._place = (self._place + 1) % len(self._past)
            ended = 0, 0.0
        self._answered, self._took_ms = 0, 0.0
        self._ends += passed * self._width
        answered = max(1, *(count for count, _ in self._past))
        took_ms = min((round(took / count) for count, took in self._past if count), default=_UNKNOWN_MS)
        self.capacity = self._estimated(answered, min(took_ms, _UNKNOWN_MS))

    def _estimated(self, answered: int, took_ms: float) -> float:
        return max(answered / self._width * took_ms / 1000, 1.0)


class LoadShedder:
    """Guard `shedder`: adaptive load shedding.

    Args:
        settings: instance of `ShedderSettings`.
        sources: clock.
        listener: receives decisions.
        cpu: returns the CPU usage in thousandths of one processor. Default: that of the process.

    Attributes:
        shedder: decision logic.
    """

    Settings: ClassVar[type[msgspec.Struct]] = ShedderSettings
    # Guards that reject calls are placed before guards that queue them.
    before: ClassVar[tuple[str, ...]] = ("admission",)

    def __init__(
        self,
        settings: ShedderSettings,
        sources: ClockAndRandom,
        listener: Listener = no_listener,
        cpu: Callable[[], float] | None = None,
    ) -> None:
        self._now = sources.now
        self._listener = listener
        self._cpu = cpu if cpu is not None else ProcessCpu()
        self.shedder = Shedder(settings)

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """Make the call if it is admitted, and record its end.

        Raises:
            Overloaded: the CPU is overloaded, and too many calls are in flight.
        """
        shedder, began = self.shedder, self._now()
        lease = shedder.begin(began, self._cpu())
        if lease is None:
            raise self._rejected(call)
        is_good = False
        try:
            result = await next(call)
            is_good = True
        finally:
            del lease
            shedder.end(began, self._now(), is_good=is_good)
        return result

    def _rejected(self, call: AnyCall) -> Overloaded:
        name = call.method.full_name
        why = f"overloaded (CPU {self._cpu() / 10:.0f}%, {plural(len(self.shedder.in_flight), 'call')} in flight)"
        if listeners := listeners_of(call, self._listener):
            notify(listeners, Rejected(subject=name, guard="shedder", why=why, reason="cpu"))
        return Overloaded(f"rejected {name}: {why}")
