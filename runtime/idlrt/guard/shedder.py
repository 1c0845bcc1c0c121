"""`shedder`: a server that has no processor left refuses what it could not answer in time.

It refuses only if two things are so. The processor is busy, or was a moment ago when calls were refused. And there are
more calls under way, now and on the average, than it has shown that it can work on: the most that were answered in a
bucket of the last seconds, times the shortest time that they took (Little's law). The busier it is, the fewer of those
are let through; a tenth in any case.

Source: go-zero's adaptive shedder, https://github.com/zeromicro/go-zero (`core/load/adaptiveshedder.go`)
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from idlrt.core import Chance, Listener, Refused, tell
from idlrt.core.forks import forks
from idlrt.core.leases import Lease, Leases
from idlrt.core.policy import Positive
from idlrt.errors import Overloaded
from idlrt.guard.base import AnyCall, Next, heard_by, nobody
from idlrt.guard.cpu import FULL, ProcessCpu

__all__ = ["LoadShedder", "Shedder", "ShedderSettings"]

# go-zero's: of the average of calls under way, the part that is kept when one ends; the part of calls that are let
# through in any case; milliseconds of an answer of which nothing is known; seconds for which it stays hot.
_BETA: Final = 0.9
_LEAST: Final = 0.1
_UNKNOWN_MS: Final = 1000.0
_COOL_OFF: Final = 1.0


class ShedderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of load shedding."""

    threshold: Annotated[
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
    """The decision. Threads may share it.

    Attributes:
        flying: leases of the calls under way.
        average: of their number, smoothed.
        most: calls that may be under way when the process is just busy, as the last window says.
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
        "flying",
        "most",
    )  # fmt: skip

    def __init__(self, settings: ShedderSettings) -> None:
        self._settings = settings
        self.flying = Leases()
        self.renew()
        forks.renew(self)
        self._width = settings.window / settings.buckets
        # Answers and their milliseconds: of past buckets, and of the present one.
        self._past: list[tuple[int, float]] = [(0, 0.0)] * (settings.buckets - 1)
        self._place = 0
        self._ends = -math.inf
        self._answered = 0
        self._took_ms = 0.0
        self.average = 0.0
        self.most = self._most(1, _UNKNOWN_MS)
        self._busy_at = -math.inf
        self._has_refused = False

    def renew(self) -> None:
        """In a child of the process: no thread holds its lock there, and calls under way are the parent's."""
        self._lock = threading.Lock()
        self.flying.renew()

    def begin(self, now: float, cpu: float) -> Lease | None:
        """Let a call in, or refuse it.

        Args:
            cpu: thousandths of a processor.

        Returns:
            The lease of the call, to be deleted before `end`; `None` if it is refused.
        """
        threshold = self._settings.threshold
        with self._lock:
            if cpu >= threshold:
                self._busy_at = now
            elif self._has_refused and now - self._busy_at >= _COOL_OFF:
                self._has_refused = False
            # It stays hot for a while after it was busy, if calls were refused.
            if cpu >= threshold or self._has_refused:
                self._turn(now)
                most = self.most * min(max((FULL - cpu) / (FULL - threshold), _LEAST), 1.0)
                if self.average > most and len(self.flying) > most:
                    self._has_refused = True
                    return None
            return self.flying.begin()

    def end(self, began: float, now: float, *, is_good: bool) -> None:
        """A call that was let in has ended. Only good ones say how fast it can be."""
        with self._lock:
            self._turn(now)
            self.average = self.average * _BETA + len(self.flying) * (1 - _BETA)
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
        self.most = self._most(answered, min(took_ms, _UNKNOWN_MS))

    def _most(self, answered: int, took_ms: float) -> float:
        return max(answered / self._width * took_ms / 1000, 1.0)


class LoadShedder:
    """See the module. A `Guard`: `shedder`.

    Args:
        cpu: tells the thousandths of one processor that are used; the process' own use if nothing is said.

    Attributes:
        shedder: what decides.
    """

    Settings: ClassVar[type[msgspec.Struct]] = ShedderSettings
    # Those that refuse stand before those that wait.
    before: ClassVar[tuple[str, ...]] = ("admission",)

    def __init__(
        self,
        settings: ShedderSettings,
        chance: Chance,
        listener: Listener = nobody,
        cpu: Callable[[], float] | None = None,
    ) -> None:
        self._now = chance.now
        self._listener = listener
        self._cpu = cpu if cpu is not None else ProcessCpu()
        self.shedder = Shedder(settings)

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """See `Guard.__call__`.

        Raises:
            Overloaded: there is no processor time left for the call.
        """
        shedder, began = self.shedder, self._now()
        lease = shedder.begin(began, self._cpu())
        if lease is None:
            raise self._refused(call)
        is_good = False
        try:
            result = await next(call)
            is_good = True
        finally:
            del lease
            shedder.end(began, self._now(), is_good=is_good)
        return result

    def _refused(self, call: AnyCall) -> Overloaded:
        name = call.method.full_name
        why = f"the processor is busy ({self._cpu() / 10:.0f} %) and {len(self.shedder.flying)} calls are under way"
        if listeners := heard_by(call, self._listener):
            tell(listeners, Refused(subject=name, guard="shedder", why=why))
        return Overloaded(f"did not take {name}: {why}")
