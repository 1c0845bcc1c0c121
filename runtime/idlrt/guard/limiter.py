"""Guard `limiter`: rate limit.

A token bucket in the form of GCRA, the generic cell rate algorithm: its state is one number, the time at which the next
token would arrive if each call waited for its own. A full bucket allows a burst. In any interval there are at most as
many calls as the burst plus what the rate allows; fixed windows of a second would allow twice as many around their
edges.

On a server without workers a plain handler would wait on the thread that serves all calls: allow waiting (`max_wait`)
only with workers or `async` handlers.

Sources: ITU-T I.371, annex A (GCRA as virtual scheduling); Turner, "New Directions in Communications" (1986)
"""

from __future__ import annotations

import math
import threading
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from idlrt.core import ClockAndRandom, Listener, Rejected, ServerCall, notify
from idlrt.core.forks import forks
from idlrt.core.policy import Seconds
from idlrt.errors import Overloaded
from idlrt.guard.base import AnyCall, Next, PerMethod, Scope, listeners_of, no_listener

__all__ = ["CallerBuckets", "LimiterSettings", "RateLimiter", "TokenBucket"]

# Tolerance for rounding errors, in seconds.
_NEARLY: Final = 1e-9


class LimiterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the rate limit."""

    rate: Annotated[float, Meta(gt=0, description="sustained number of calls per second.")] = 1000.0
    burst: Annotated[int, Meta(ge=1, description="maximum number of calls at once after an idle period.")] = 100
    per: Annotated[
        Literal["service", "method", "caller"],
        Meta(
            description="scope of the limit: a whole service, each of its methods, or, on servers, each calling host."
        ),
    ] = "service"
    max_wait: Annotated[
        Seconds, Meta(description="maximum time that a call waits for its turn; 0: reject at once.")
    ] = 0.0
    max_tracked_callers: Annotated[int, Meta(ge=1, description="maximum number of calling hosts to track.")] = 10_000


class TokenBucket:
    """Token bucket. Thread-safe: no token is granted twice.

    Args:
        rate: tokens per second.
        burst: capacity, and the initial number of tokens.
    """

    __slots__ = ("__weakref__", "_due", "_interval", "_lock", "_slack")

    def __init__(self, rate: float, burst: int) -> None:
        self.after_fork()
        forks.register(self)
        self._interval = 1 / rate
        self._slack = (burst - 1) / rate
        # Arrival time of the next token if each call had waited for its own.
        self._due = -math.inf

    def after_fork(self) -> None:
        """Replace the lock after a fork: another thread of the parent may hold it."""
        self._lock = threading.Lock()

    def take(self, now: float, max_wait: float = 0.0) -> float:
        """Take a token, or reserve a future one. Return the seconds until it arrives; if these are more than
        `max_wait`, no token was taken.
        """
        with self._lock:
            due = self._due
            if due <= now:
                self._due = now + self._interval
                return 0.0
            pause = due - self._slack - now
            if pause <= _NEARLY:
                pause = 0.0
            if pause <= max_wait:
                self._due = due + self._interval
            return pause

    def full_at(self) -> float:
        """Return the time at which the bucket will be full if no more tokens are taken."""
        return self._due


class CallerBuckets:
    """Token buckets by caller, limited in number. Thread-safe.

    A full bucket is equivalent to a new one, so it can be dropped. If too many are not full, those that are nearest to
    it are dropped first: the callers with the most calls are tracked longest.
    """

    __slots__ = ("__weakref__", "_buckets", "_burst", "_lock", "_most", "_rate")

    def __init__(self, rate: float, burst: int, most: int) -> None:
        self.after_fork()
        forks.register(self)
        self._rate = rate
        self._burst = burst
        self._most = most
        self._buckets: dict[str, TokenBucket] = {}

    def after_fork(self) -> None:
        """Replace the lock after a fork: another thread of the parent may hold it."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._buckets)

    def bucket(self, name: str, now: float) -> TokenBucket:
        """Return the bucket of a caller."""
        found = self._buckets.get(name)
        return found if found is not None else self._new(name, now)

    def _new(self, name: str, now: float) -> TokenBucket:
        with self._lock:
            found = self._buckets.get(name)
            if found is not None:
                return found
            if len(self._buckets) >= self._most:
                self._forget(now)
            bucket = self._buckets[name] = TokenBucket(self._rate, self._burst)
            return bucket

    def _forget(self, now: float) -> None:
        kept = [item for item in self._buckets.items() if item[1].full_at() > now]
        if len(kept) >= self._most:
            # Drop a tenth at once, so that not every new caller has to scan all buckets.
            kept.sort(key=lambda item: item[1].full_at())
            del kept[: max(self._most // 10, 1)]
        self._buckets = dict(kept)


class RateLimiter:
    """Guard `limiter`: rate limits by service, method or caller."""

    Settings: ClassVar[type[msgspec.Struct]] = LimiterSettings
    before: ClassVar[tuple[str, ...]] = ("breaker",)

    def __init__(self, settings: LimiterSettings, sources: ClockAndRandom, listener: Listener = no_listener) -> None:
        self._now = sources.now
        self._listener = listener
        self._settings = settings
        rate, burst = settings.rate, settings.burst
        self._callers = CallerBuckets(rate, burst, settings.max_tracked_callers) if settings.per == "caller" else None
        per: Scope = "method" if settings.per == "method" else "service"
        self._buckets: PerMethod[TokenBucket] = PerMethod(per, lambda name: TokenBucket(rate, burst))

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """Make the call when it has a token. A call that ends while it waits has used its token.

        Raises:
            Overloaded: the token would arrive after `max_wait` or after the deadline.
        """
        now = self._now()
        if self._callers is None:
            bucket = self._buckets[call.method]
        else:
            bucket = self._callers.bucket(_host(call), now)
        max_wait = self._settings.max_wait
        if max_wait:
            max_wait = min(max_wait, call.deadline.remaining(call.driver.now()))
        pause = bucket.take(now, max_wait)
        if pause:
            if pause > max_wait:
                raise self._rejected(call, pause)
            await call.driver.sleep(pause)
        return await next(call)

    def _rejected(self, call: AnyCall, pause: float) -> Overloaded:
        settings, name = self._settings, call.method.full_name
        whose = f" of {_host(call)}" if self._callers is not None else ""
        calls = "call" if settings.rate == 1 else "calls"
        why = f"rate limit{whose} exceeded ({settings.rate:g} {calls} per second); retry in {pause:.3g} s"
        if listeners := listeners_of(call, self._listener):
            notify(listeners, Rejected(subject=name, guard="limiter", why=why, reason="rate"))
        error = Overloaded(f"rejected {name}: {why}").push_back(pause)
        error.is_per_caller = self._callers is not None
        return error


def _host(call: AnyCall) -> str:
    """Return the host of the caller. On a client there is one caller only."""
    if not isinstance(call, ServerCall):
        return "this client"
    host, _, _ = call.peer.address.rpartition(":")
    return host or call.peer.address
