"""Fault mode `failcache`: queue failed calls and retry them later in the background.

An immediate retry would hit a service that may be overloaded; later it may have recovered. For calls that must be
executed, but not now: notifications, mails, counters. A void method returns as if it had succeeded; other methods raise
`Deferred`. Only calls that are safe to retry are queued: no server has executed them, or the method is idempotent. The
number of queued calls, their retries and their age are bounded, and a callback receives the final outcome:
`using(fault="failcache", on_done=...)`.

The queue is in memory: closing the client drops it and logs the number of dropped calls.

Source: Dubbo's `FailbackClusterInvoker`, which is similar (5 s, 3 times, 100 tasks)
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Final
from weakref import ref

import msgspec
from msgspec import Meta

from idlrt.core import Call, ClockAndRandom, Deadline, NotRetried, Positive, RetryScheduled
from idlrt.core.forks import forks
from idlrt.core.leases import Lease, Leases
from idlrt.core.logs import get_logger
from idlrt.errors import Deferred, NotSent, Unknown
from idlrt.fault.base import Dispatcher, NoRetry, may_repeat
from idlrt.printable import plural
from idlrt.spec import VOID, DeclaredError

__all__ = ["Failcache", "OnDone", "Outcome"]

_log: Final = get_logger("idlrt.client")

# Upper bound in seconds for how long the worker thread outlives a closed client.
_MAX_SLEEP: Final = 0.5
# A dead reference.
_NO_WORKER: Final = ref(Lease())


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Final outcome of a queued call.

    Attributes:
        call: the call.
        result: its result, if it succeeded.
        error: the last error if it failed, else `None`.
        attempts: number of attempts, including the first.
    """

    call: Call
    result: Any = None
    error: Exception | None = None
    attempts: int


OnDone = Callable[[Outcome], object]
"""Callback for the final outcome of queued calls; called in the background."""


class FailcacheSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `failcache`."""

    retry_interval: Annotated[
        Positive,
        Meta(
            description="time until the first retry of a deferred call; it doubles for each further one, with "
            "jitter of 10%."
        ),
    ] = 5.0
    max_retries: Annotated[int, Meta(ge=1, le=1000, description="maximum number of retries of a deferred call.")] = 3
    max_entries: Annotated[
        int, Meta(ge=1, le=1_000_000, description="maximum number of deferred calls; further failures are raised.")
    ] = 100
    max_age: Annotated[Positive, Meta(description="time after which a deferred call is dropped.")] = 60.0


class _QueuedCall:
    __slots__ = ("attempts", "call", "dispatcher", "lease", "since")

    def __init__(self, call: Call, dispatcher: Dispatcher[Any], since: float, lease: Lease) -> None:
        self.lease: Lease | None = lease
        self.call = call
        self.dispatcher = dispatcher
        self.since = since
        self.attempts = 1


class Failcache:
    """Background retries. Implements `FaultMode`."""

    Settings: ClassVar[type[msgspec.Struct]] = FailcacheSettings

    def __init__(self, settings: FailcacheSettings, sources: ClockAndRandom) -> None:
        self._settings = settings
        self._sources = sources
        self._order = itertools.count()
        self._is_closed = False
        self._leases = Leases()
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Start with an empty queue after a fork: the queued calls belong to the parent process."""
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, int, _QueuedCall]] = []
        self._leases.after_fork()
        # The lease is held by the worker, so it is released even if an exception prevents the worker from starting.
        self._worker = _NO_WORKER

    @property
    def kept(self) -> int:
        """Number of queued calls."""
        return len(self._leases)

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        """Make `call`, and queue it for later if it fails.

        Raises:
            Deferred: the call failed and is queued for a retry.
        """
        try:
            return await dispatcher.send(dispatcher.pick(call, ()), call)
        except (NotSent, Unknown) as error:
            against = self._keep(call, dispatcher, error)
            if against is not None:
                reason, why = against
                if dispatcher.has_listeners(call):
                    name = call.method.full_name
                    dispatcher.notify(call, NotRetried(subject=name, why=why, reason=reason, mode="failcache"))
                error.add_note(f"not queued for a retry: {why}")
                raise
            if call.method.result is VOID:
                return None
            what = f"{call.method.full_name} failed and will be retried in about {self._settings.retry_interval:.3g} s"
            raise Deferred(f"{what}: {error}") from error

    def _keep(self, call: Call, dispatcher: Dispatcher[Any], error: NotSent | Unknown) -> NoRetry | None:
        """Queue `call` for a retry; return why that is not possible, if it is not."""
        if not isinstance(error, NotSent) and not may_repeat(call):
            return NoRetry("not_idempotent", f"{call.method.full_name} is not idempotent")
        pause = self._pause(1, error)
        if pause >= self._settings.max_age:
            if pause == math.inf:
                return NoRetry("pushback", "the server rejects retries (pushback)")
            why = f"the pause before the retry ({pause:.3g} s) exceeds max_age ({self._settings.max_age:.3g} s)"
            return NoRetry("max_age", why)
        with self._lock:
            if self._is_closed:
                return NoRetry("closed", "the client is closed")
            lease = self._leases.acquire(self._settings.max_entries)
            if lease is None:
                why = f"the queue is full ({plural(self._settings.max_entries, 'call')})"
                return NoRetry("queue_full", why)
            now = call.driver.now()
            # A copy, because retries have their own deadlines.
            trace = call.trace.deferred(call.method.full_name) if call.trace is not None else None
            copied = msgspec.structs.replace(call, metadata=dict(call.metadata), trace=trace)
            queued = _QueuedCall(copied, dispatcher, now, lease)
            heapq.heappush(self._waiting, (now + pause, next(self._order), queued))
            del lease, queued
            worker = Lease() if self._worker() is None else None
            if worker is not None:
                self._worker = ref(worker)
        name = call.method.full_name
        fields = {"method": name, "mode": "failcache", "pause": pause}
        _log.info("queued %s for a retry in %.3g s: %s", name, pause, error, extra=fields)
        if dispatcher.has_listeners(call):
            dispatcher.notify(call, RetryScheduled(subject=name, why=str(error), mode="failcache", pause=pause))
        if worker is not None:
            call.driver.spawn(partial(self._work, call, worker))
        return None

    def _pause(self, attempt: int, error: NotSent | Unknown) -> float:
        pause: float = self._settings.retry_interval * 2 ** (attempt - 1) * (0.9 + 0.2 * self._sources.rng())
        return max(pause, error.retry_after or 0.0)

    async def _work(self, first: Call, worker: Lease) -> None:
        """Retry queued calls when they are due, until the queue is empty."""
        driver = first.driver
        try:
            while True:
                with self._lock:
                    if not self._waiting or self._is_closed:
                        self._worker = _NO_WORKER
                        return
                    at = self._waiting[0][0]
                    queued = heapq.heappop(self._waiting)[2] if at <= driver.now() else None
                if queued is None:
                    await driver.sleep(min(at - driver.now(), _MAX_SLEEP))
                else:
                    await self._retry(queued)
        except BaseException:
            # The event loop is closing. The next queued call starts a new worker, which continues with this queue.
            with self._lock:
                self._worker = _NO_WORKER
            raise
        finally:
            del worker

    async def _retry(self, queued: _QueuedCall) -> None:
        call, driver = queued.call, queued.call.driver
        timeout = call.policy.timeout
        call.deadline = Deadline(driver.now() + timeout, timeout)
        queued.attempts += 1
        try:
            result = await queued.dispatcher.send(queued.dispatcher.pick(call, ()), call, queued.attempts - 1)
        except (NotSent, Unknown) as error:
            pause = self._pause(queued.attempts, error)
            due = driver.now() + pause
            is_over = queued.attempts > self._settings.max_retries or due > queued.since + self._settings.max_age
            if not is_over and pause < math.inf and (isinstance(error, NotSent) or may_repeat(call)):
                with self._lock:
                    if not self._is_closed:
                        heapq.heappush(self._waiting, (due, next(self._order), queued))
                        return
            self._finish(queued, None, error)
        except Exception as error:  # noqa: BLE001  # an error response: goes to the callback
            self._finish(queued, None, error)
        except BaseException:
            with self._lock:
                heapq.heappush(self._waiting, (driver.now(), next(self._order), queued))
            raise
        else:
            self._finish(queued, result, None)

    def _finish(self, queued: _QueuedCall, result: Any, error: Exception | None) -> None:
        queued.lease = None
        if queued.call.trace is not None:
            queued.call.trace.end_deferred(error)
        name = queued.call.method.full_name
        fields = {"method": name, "mode": "failcache", "attempts": queued.attempts}
        if error is None:
            _log.info("queued call of %s succeeded", name, extra=fields)
        elif not isinstance(error, DeclaredError):
            attempts = plural(queued.attempts, "attempt")
            _log.error("dropped queued call of %s after %s: %s", name, attempts, error, extra=fields)
        on_done: OnDone | None = queued.call.options.get("on_done")
        if on_done is None:
            return
        try:
            on_done(Outcome(call=queued.call, result=result, error=error, attempts=queued.attempts))
        except Exception:  # noqa: BLE001
            _log.exception("on_done callback of %s failed", name, extra=fields)

    def close(self) -> None:
        """Drop the queue; the callbacks of its calls receive `NotSent`."""
        with self._lock:
            self._is_closed = True
            dropped, self._waiting = self._waiting, []
        if dropped:
            fields = {"mode": "failcache", "calls": len(dropped)}
            _log.warning("client closed with %s in the retry queue", plural(len(dropped), "call"), extra=fields)
        for _, _, queued in dropped:
            name = queued.call.method.full_name
            self._finish(queued, None, NotSent(f"{name} was not retried: the client was closed"))
