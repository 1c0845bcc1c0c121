"""Guard `bulkhead`: limits concurrent calls; further calls are queued up to a limit, then rejected.

So one slow service or method cannot occupy all threads and connections, and the queue is bounded in length and time.

On a server without workers a plain handler would wait on the thread that serves all calls, including those that it
waits for: allow queued calls (`max_queued_calls`) only with workers or `async` handlers.

Permits are leases (`idlrt.core.leases`), and so are positions in the queue: a call that is interrupted at any byte
code, by a signal handler or a time limit, leaks neither. Only its notification of the next queued call may be lost, so
queued calls also poll for a free permit.

Source: Nygard, "Release It!" (2007), chapter 5
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Annotated, Any, ClassVar, Final
from weakref import ref

import msgspec
from msgspec import Meta

from idlrt.core import ClockAndRandom, Event, Listener, Reason, Rejected, notify
from idlrt.core.forks import forks
from idlrt.core.leases import Lease, Leases
from idlrt.core.policy import Seconds
from idlrt.errors import Overloaded
from idlrt.guard.base import AnyCall, Next, PerMethod, Scope, listeners_of, no_listener
from idlrt.printable import plural

__all__ = ["Bulkhead", "BulkheadSettings", "Permits", "Waiter"]

# Polling interval of a queued call in seconds, times the length of the queue when it came: so some queued call polls
# about every 50 ms, whatever the length; and its upper bound.
_LOOK_AGAIN: Final = 0.05
_LOOK_AGAIN_MAX: Final = 1.0


class BulkheadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a bulkhead."""

    max_concurrent_calls: Annotated[int, Meta(ge=1, description="maximum number of concurrent calls.")] = 100
    max_queued_calls: Annotated[
        int, Meta(ge=0, description="maximum number of queued calls, in order of arrival; further calls are rejected.")
    ] = 0
    max_wait: Annotated[Seconds, Meta(description="maximum time that a call is queued.")] = 1.0
    per: Annotated[Scope, Meta(description="scope of the limit: a whole service, or each of its methods.")] = "service"


class Waiter:
    """Position in the queue, for the lifetime of the object.

    Attributes:
        event: set when a permit is granted.
        is_granted: whether a permit was granted.
    """

    __slots__ = ("__weakref__", "_lease", "event", "is_granted")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.is_granted = False
        self._lease: Lease | None = None

    def give(self, lease: Lease) -> None:
        """Grant a permit."""
        self._lease = lease
        self.is_granted = True

    def take(self) -> Lease | None:
        """Return the granted permit; `None` if there is none yet."""
        lease, self._lease = self._lease, None
        return lease


class Permits:
    """Permits of one bulkhead, and their queue. Threads and tasks may share it; it never blocks."""

    __slots__ = ("__weakref__", "_leases", "_limit", "_lock", "_max_waiting", "queue")

    def __init__(self, limit: int, max_waiting: int) -> None:
        self._leases = Leases()
        self.after_fork()
        forks.register(self)
        self._limit = limit
        self._max_waiting = max_waiting

    def after_fork(self) -> None:
        """Reset after a fork: another thread of the parent may hold the lock, and calls in flight are the parent's."""
        self._lock = threading.Lock()
        self.queue: deque[ref[Waiter]] = deque()
        self._leases.after_fork()

    @property
    def in_flight(self) -> int:
        """Number of permits in use."""
        return len(self._leases)

    @property
    def waiting(self) -> int:
        """Number of queued calls."""
        return sum([each() is not None for each in list(self.queue)])

    def enter(self) -> Lease | None:
        """Return a permit, or `None`. To release it, delete it, and call `grant_free` if there is a queue."""
        if self.queue:
            self.grant_free()
            if self.queue:
                return None
        return self._leases.acquire(self._limit)

    def enqueue(self, ticket: Waiter) -> bool:
        """Enqueue a call, and grant free permits. Return `False` if the queue is full."""
        served: list[Waiter] = []
        with self._lock:
            self._serve(served)
            queue = self.queue
            if len(queue) >= self._max_waiting:
                # Interrupted calls may not have left the queue.
                queue = self.queue = deque([each for each in queue if each() is not None])
            is_waiting = len(queue) < self._max_waiting
            if is_waiting:
                # Enqueue first: a permit that is released in between must reach the queued call.
                queue.append(ref(ticket))
                self._serve(served)
        self._notify(served)
        return is_waiting

    def grant_free(self) -> None:
        """Grant free permits to the first calls of the queue."""
        served: list[Waiter] = []
        with self._lock:
            self._serve(served)
        self._notify(served)

    def cancel(self, ticket: Waiter) -> Lease | None:
        """Remove a call from the queue. Return the permit that was granted in the meantime, if any."""
        with self._lock:
            if not ticket.is_granted:
                self.queue = deque([each for each in self.queue if each() not in (None, ticket)])
        return ticket.take()

    def _serve(self, served: list[Waiter]) -> None:
        """Grant free permits, and drop tickets whose calls are gone."""
        queue = self.queue
        while queue:
            ticket = queue[0]()
            if ticket is not None and not ticket.is_granted:
                lease = self._leases.acquire(self._limit)
                if lease is None:
                    return
                ticket.give(lease)
                served.append(ticket)
                del lease
            # Last: if an interruption comes before, the ticket is served again.
            queue.popleft()

    def _notify(self, served: list[Waiter]) -> None:
        """Notify calls that have permits now."""
        for ticket in served:
            ticket.event.set()


class Bulkhead:
    """Guard `bulkhead`: limits on concurrent calls by service or method.

    Attributes:
        permits: permits by service or method.
    """

    Settings: ClassVar[type[msgspec.Struct]] = BulkheadSettings

    def __init__(self, settings: BulkheadSettings, sources: ClockAndRandom, listener: Listener = no_listener) -> None:
        self._listener = listener
        self._settings = settings
        self.permits: PerMethod[Permits] = PerMethod(
            settings.per, lambda name: Permits(settings.max_concurrent_calls, settings.max_queued_calls)
        )

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """Make the call with a permit, after waiting for one if the queue has room.

        Raises:
            Overloaded: there is no permit, and the queue is full, or the wait exceeds `max_wait` or the deadline.
        """
        permits = self.permits[call.method]
        lease = permits.enter()
        if lease is None:
            lease = await self._wait(call, permits)
        try:
            return await next(call)
        finally:
            del lease
            if permits.queue:
                permits.grant_free()

    async def _wait(self, call: AnyCall, permits: Permits) -> Lease:
        settings = self._settings
        if not settings.max_queued_calls:
            what = f"limit of {plural(settings.max_concurrent_calls, 'concurrent call')} reached"
            raise self._rejected(call, what, "concurrency")
        driver = call.driver
        ticket = Waiter(driver.event())
        if not permits.enqueue(ticket):
            what = f"queue of {plural(settings.max_queued_calls, 'call')} is full"
            raise self._rejected(call, what, "queue_full")
        patience = max(min(settings.max_wait, call.deadline.remaining(driver.now())), 0.0)
        until = driver.now() + patience
        pause = min(_LOOK_AGAIN * max(len(permits.queue), 1), _LOOK_AGAIN_MAX)
        try:
            while (lease := ticket.take()) is None and (left := until - driver.now()) > 0:
                if not await ticket.event.wait(min(left, pause)):
                    permits.grant_free()
            if lease is None:
                lease = permits.cancel(ticket)
        except BaseException:
            permits.cancel(ticket)
            permits.grant_free()
            raise
        if lease is None:
            allowed = plural(settings.max_concurrent_calls, "concurrent call")
            raise self._rejected(call, f"queued for {patience:.3g} s (limit: {allowed})", "queue_timeout")
        return lease

    def _rejected(self, call: AnyCall, why: str, reason: Reason) -> Overloaded:
        name = call.method.full_name
        if listeners := listeners_of(call, self._listener):
            notify(listeners, Rejected(subject=name, guard="bulkhead", why=why, reason=reason))
        return Overloaded(f"rejected {name}: {why}")
