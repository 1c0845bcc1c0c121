"""`concurrency`: finds out how many calls at once are good for those that answer them, and refuses what is beyond.

Nobody has to guess a number, and it follows when the machine or the work changes. How it is found is the algorithm:

- `gradient`: from time to time few calls are let through, and how long they take says how fast it can be. After that,
  as long as calls take hardly longer than that, more of them are let through at once; if they take longer, fewer. A
  call that waits in a queue takes longer: so what is found is how many there may be without a queue.
- `aimd`: one more for each round of good calls, a tenth fewer for a call that was refused or took too long.

Sources: Envoy's adaptive concurrency filter,
https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/adaptive_concurrency_filter; Netflix's
concurrency-limits, https://github.com/Netflix/concurrency-limits; Chiu and Jain, "Analysis of the increase and decrease
algorithms for congestion avoidance" (1989)

Places are leases (`idlrt.core.leases`): a call that is interrupted at any byte code costs none.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from idlrt.core import Chance, Listener, Refused, tell
from idlrt.core.forks import forks
from idlrt.core.leases import Leases
from idlrt.core.policy import Positive, Seconds
from idlrt.errors import DeadlineExceeded, Overloaded
from idlrt.guard.base import AnyCall, Next, heard_by, nobody
from idlrt.spec import DeclaredError

__all__ = ["AdaptiveConcurrency", "Aimd", "ConcurrencySettings", "Gradient", "Limit"]

# Envoy's: the gradient is not let out of these, and a window at the smallest limit for so often is measured anew.
_STEEPEST: Final = (0.5, 2.0)
_STUCK: Final = 5
# The part by which the pause between two measurements differs, so that not all servers measure at once.
_JITTER: Final = 0.15
# Samples of one window that are kept.
_KEPT: Final = 1000

Count = Annotated[int, Meta(ge=1)]


class ConcurrencySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the adaptive concurrency limit."""

    algorithm: Annotated[
        Literal["gradient", "aimd"],
        Meta(description="algorithm that adjusts the limit: `gradient` by latency, `aimd` by failures."),
    ] = "gradient"
    initial: Annotated[Count, Meta(description="initial limit on concurrent calls.")] = 20
    lowest: Annotated[
        Count,
        Meta(description="lower bound of the limit; also the limit while `gradient` measures the minimum latency."),
    ] = 3
    highest: Annotated[Count, Meta(description="upper bound of the limit.")] = 1000
    window: Annotated[Positive, Meta(description="length of the sampling window of `gradient`.")] = 0.1
    samples: Annotated[
        Count, Meta(description="minimum number of calls in a sampling window; with fewer calls it is extended.")
    ] = 10
    measured: Annotated[Count, Meta(description="number of calls in a measurement of the minimum latency.")] = 50
    remeasure: Annotated[
        Seconds, Meta(description="time between two measurements of the minimum latency, with jitter; 0: measure once.")
    ] = 60.0
    tolerance: Annotated[
        float, Meta(ge=0, description="fraction by which latency may exceed the minimum before the limit is lowered.")
    ] = 0.25
    decrease: Annotated[float, Meta(gt=0, lt=1, description="multiplier of the limit after a failure, for `aimd`.")] = (
        0.9
    )


class Limit(Protocol):
    """How many calls there may be at once. One at a time asks and tells it; the guard sees to that.

    Attributes:
        limit: calls.
    """

    limit: int

    def answered(self, began: float, now: float, under_way: int) -> None:
        """A call was answered."""
        ...

    def dropped(self, began: float, now: float) -> None:
        """A call was refused further on, or took too long."""
        ...


class Gradient:
    """See the module. A `Limit`."""

    def __init__(self, settings: ConcurrencySettings, chance: Chance) -> None:
        self._settings = settings
        self._chance = chance
        self.limit = settings.lowest
        self._found = float(settings.initial)
        # Seconds of a call when there are few.
        self.fastest = 0.0
        self._samples: list[float] = []
        self._is_measuring = True
        # What began before that says nothing about now.
        self._since = -math.inf
        self._window_ends = 0.0
        self._measure_at = math.inf
        self._at_lowest = 0

    def answered(self, began: float, now: float, under_way: int) -> None:
        """See `Limit.answered`."""
        if began < self._since:
            return
        settings, samples = self._settings, self._samples
        if len(samples) < _KEPT:
            samples.append(now - began)
        if self._is_measuring:
            if len(samples) >= settings.measured:
                self.fastest = _median(samples)
                self._is_measuring = False
                self._at_lowest = 0
                jitter = 1 + _JITTER * self._chance.dice()
                self._measure_at = now + settings.remeasure * jitter if settings.remeasure else math.inf
                self._set(self._found, now)
        elif now >= self._measure_at or self._at_lowest >= _STUCK:
            self._found = float(self.limit)
            self._is_measuring = True
            self.limit = settings.lowest
            self._since = now
            samples.clear()
        elif now >= self._window_ends and len(samples) >= settings.samples:
            self._step(now)

    def dropped(self, began: float, now: float) -> None:
        """See `Limit.dropped`. It has taken long."""
        self.answered(began, now, 0)

    def _step(self, now: float) -> None:
        slowest, steepest = _STEEPEST
        took = max(_median(self._samples), 1e-9)
        gradient = min(max(self.fastest * (1 + self._settings.tolerance) / took, slowest), steepest)
        wanted = self.limit * gradient
        self._set(wanted + math.sqrt(wanted), now)
        self._at_lowest = self._at_lowest + 1 if self.limit <= self._settings.lowest else 0

    def _set(self, limit: float, now: float) -> None:
        settings = self._settings
        self.limit = max(min(int(limit), settings.highest), settings.lowest)
        self._samples.clear()
        self._window_ends = now + settings.window


class Aimd:
    """See the module. A `Limit`."""

    def __init__(self, settings: ConcurrencySettings, chance: Chance) -> None:
        self._settings = settings
        self._exact = float(max(min(settings.initial, settings.highest), settings.lowest))
        self.limit = int(self._exact)
        self._since = -math.inf

    def answered(self, began: float, now: float, under_way: int) -> None:
        """See `Limit.answered`. A limit that is not used is not raised."""
        if under_way * 2 >= self.limit:
            self._set(self._exact + 1 / self._exact)

    def dropped(self, began: float, now: float) -> None:
        """See `Limit.dropped`. What began before the last decrease tells nothing new."""
        if began >= self._since:
            self._since = now
            self._set(self._exact * self._settings.decrease)

    def _set(self, limit: float) -> None:
        self._exact = max(min(limit, float(self._settings.highest)), float(self._settings.lowest))
        self.limit = int(self._exact)


def _median(samples: list[float]) -> float:
    return sorted(samples)[len(samples) // 2]


class AdaptiveConcurrency:
    """See the module. A `Guard`: `concurrency`.

    Attributes:
        limit: what says how many calls there may be at once.
    """

    Settings: ClassVar[type[msgspec.Struct]] = ConcurrencySettings
    # Its calls include those that wait in the line of the bulkhead.
    before: ClassVar[tuple[str, ...]] = ("bulkhead",)

    def __init__(self, settings: ConcurrencySettings, chance: Chance, listener: Listener = nobody) -> None:
        self._now = chance.now
        self._listener = listener
        self._leases = Leases()
        self.renew()
        forks.renew(self)
        self.limit: Limit = _ALGORITHMS[settings.algorithm](settings, chance)

    def renew(self) -> None:
        """In a child of the process: no thread holds its lock there, and calls under way are the parent's."""
        self._lock = threading.Lock()
        self._leases.renew()

    @property
    def under_way(self) -> int:
        """Calls under way."""
        return len(self._leases)

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """See `Guard.__call__`.

        Raises:
            Overloaded: there are as many calls as there may be.
        """
        limit, leases = self.limit, self._leases
        lease = leases.acquire(limit.limit)
        if lease is None:
            raise self._refused(call, len(leases))
        began = self._now()
        try:
            result = await next(call)
            with self._lock:
                limit.answered(began, self._now(), len(leases))
            return result
        except BaseException as error:
            with self._lock:
                if isinstance(error, Overloaded | DeadlineExceeded):
                    limit.dropped(began, self._now())
                elif isinstance(error, DeclaredError):
                    limit.answered(began, self._now(), len(leases))
                # What fails otherwise may fail at once: that says nothing of how fast answers are.
            raise
        finally:
            del lease

    def _refused(self, call: AnyCall, under_way: int) -> Overloaded:
        name = call.method.full_name
        why = f"{under_way} calls are under way, the most that are answered without a queue at the moment"
        if listeners := heard_by(call, self._listener):
            tell(listeners, Refused(subject=name, guard="concurrency", why=why))
        return Overloaded(f"did not take {name}: {why}")


_ALGORITHMS: Final[dict[str, Callable[[ConcurrencySettings, Chance], Limit]]] = {"gradient": Gradient, "aimd": Aimd}
