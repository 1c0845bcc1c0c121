"""`bulkhead`: so many calls at once; some more wait in line, and others are refused.

One slow service, or method, cannot take all threads and connections then, and what waits is bounded in number and time.

On a server without workers a plain handler would wait on the thread that serves everybody, and that others need to end:
let calls wait (`waiting`) where there are workers, or `async` handlers only.

Places are leases (`idlrt.core.leases`), and so are the places in the line: a call that is interrupted at any byte code,
by a signal handler or a time limit, costs neither. Only its notification of the next in line may be lost, so those that
wait look again by themselves every now and then.

Source: Nygard, "Release It!" (2007), chapter 5
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Annotated, Any, ClassVar, Final
from weakref import ref

import msgspec
from msgspec import Meta

from idlrt.core import Chance, Event, Listener, Refused, tell
from idlrt.core.forks import forks
from idlrt.core.leases import Lease, Leases
from idlrt.core.policy import Seconds
from idlrt.errors import Overloaded
from idlrt.guard.base import AnyCall, Next, Per, PerMethod, heard_by, nobody

__all__ = ["Bulkhead", "BulkheadSettings", "Places", "Ticket"]

# Seconds after which a call that waits looks for a free place by itself, times the calls that waited when it came: so
# some waiting call does so about every 50 ms, however many there are; and the most that one call lets pass.
_LOOK_AGAIN: Final = 0.05
_LOOK_AGAIN_MAX: Final = 1.0


class BulkheadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a bulkhead."""

    calls: Annotated[int, Meta(ge=1, description="maximum number of concurrent calls.")] = 100
    waiting: Annotated[
        int, Meta(ge=0, description="maximum number of queued calls, in order of arrival; further calls are rejected.")
    ] = 0
    wait: Annotated[Seconds, Meta(description="maximum time of a call in the queue.")] = 1.0
    per: Annotated[Per, Meta(description="scope of the limit: a whole service, or each of its methods.")] = "service"


class Ticket:
    """A position in the line, as long as the object lives.

    Attributes:
        event: set once there is a place.
        is_in: whether there is a place for it now.
    """

    __slots__ = ("__weakref__", "_lease", "event", "is_in")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.is_in = False
        self._lease: Lease | None = None

    def give(self, lease: Lease) -> None:
        """Hand a place over."""
        self._lease = lease
        self.is_in = True

    def take(self) -> Lease | None:
        """Take the place that was handed over; `None` if there is none yet."""
        lease, self._lease = self._lease, None
        return lease


class Places:
    """The places of one bulkhead and the line before them. Threads and tasks share it; nothing waits here."""

    __slots__ = ("__weakref__", "_leases", "_limit", "_lock", "_max_waiting", "line")

    def __init__(self, limit: int, max_waiting: int) -> None:
        self._leases = Leases()
        self.renew()
        forks.renew(self)
        self._limit = limit
        self._max_waiting = max_waiting

    def renew(self) -> None:
        """In a child of the process: no thread holds its lock there, and calls under way are the parent's."""
        self._lock = threading.Lock()
        self.line: deque[ref[Ticket]] = deque()
        self._leases.renew()

    @property
    def under_way(self) -> int:
        """Places in use."""
        return len(self._leases)

    @property
    def waiting(self) -> int:
        """Calls in the line."""
        return sum([each() is not None for each in list(self.line)])

    def enter(self) -> Lease | None:
        """Take a place; `None` if all are taken. To leave, delete the lease, and `hand_on` if there is a line."""
        if self.line:
            self.hand_on()
            if self.line:
                return None
        return self._leases.acquire(self._limit)

    def line_up(self, ticket: Ticket) -> bool:
        """Wait for a place, or take one that has become free. `False`: the line is as long as it may be."""
        served: list[Ticket] = []
        with self._lock:
            self._serve(served)
            line = self.line
            if len(line) >= self._max_waiting:
                # Some may have been interrupted before they left the line.
                line = self.line = deque([each for each in line if each() is not None])
            is_waiting = len(line) < self._max_waiting
            if is_waiting:
                # First the line, then the place: one that is freed in between finds somebody in the line.
                line.append(ref(ticket))
                self._serve(served)
        self._notify(served)
        return is_waiting

    def hand_on(self) -> None:
        """Hand free places to the first in the line."""
        served: list[Ticket] = []
        with self._lock:
            self._serve(served)
        self._notify(served)

    def give_up(self, ticket: Ticket) -> Lease | None:
        """Leave the line. Return the place that was handed over in the meantime, if there is one."""
        with self._lock:
            if not ticket.is_in:
                self.line = deque([each for each in self.line if each() not in (None, ticket)])
        return ticket.take()

    def _serve(self, served: list[Ticket]) -> None:
        """Hand free places over, and forget tickets whose calls are gone."""
        line = self.line
        while line:
            ticket = line[0]()
            if ticket is not None and not ticket.is_in:
                lease = self._leases.acquire(self._limit)
                if lease is None:
                    return
                ticket.give(lease)
                served.append(ticket)
                del lease
            # Only now: interrupted before, it is served again.
            line.popleft()

    def _notify(self, served: list[Ticket]) -> None:
        """Tell those that have places now."""
        for ticket in served:
            ticket.event.set()


class Bulkhead:
    """See the module. A `Guard`: `bulkhead`.

    Attributes:
        places: of each service or method.
    """

    Settings: ClassVar[type[msgspec.Struct]] = BulkheadSettings

    def __init__(self, settings: BulkheadSettings, chance: Chance, listener: Listener = nobody) -> None:
        self._listener = listener
        self._settings = settings
        self.places: PerMethod[Places] = PerMethod(settings.per, lambda name: Places(settings.calls, settings.waiting))

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """See `Guard.__call__`.

        Raises:
            Overloaded: there is no place, and none within the time that the call may wait, or that is left for it.
        """
        places = self.places[call.method]
        lease = places.enter()
        if lease is None:
            lease = await self._wait(call, places)
        try:
            return await next(call)
        finally:
            del lease
            if places.line:
                places.hand_on()

    async def _wait(self, call: AnyCall, places: Places) -> Lease:
        settings = self._settings
        if not settings.waiting:
            raise self._refused(call, f"{settings.calls} calls are under way")
        driver = call.driver
        ticket = Ticket(driver.event())
        if not places.line_up(ticket):
            raise self._refused(call, f"{settings.calls} calls are under way and {settings.waiting} wait")
        patience = max(min(settings.wait, call.deadline.remaining(driver.now())), 0.0)
        until = driver.now() + patience
        pause = min(_LOOK_AGAIN * max(len(places.line), 1), _LOOK_AGAIN_MAX)
        try:
            while (lease := ticket.take()) is None and (left := until - driver.now()) > 0:
                if not await ticket.event.wait(min(left, pause)):
                    places.hand_on()
            if lease is None:
                lease = places.give_up(ticket)
        except BaseException:
            places.give_up(ticket)
            places.hand_on()
            raise
        if lease is None:
            raise self._refused(call, f"none of {settings.calls} calls under way ended within {patience:.3g} s")
        return lease

    def _refused(self, call: AnyCall, why: str) -> Overloaded:
        name = call.method.full_name
        if listeners := heard_by(call, self._listener):
            tell(listeners, Refused(subject=name, guard="bulkhead", why=why))
        return Overloaded(f"did not take {name}: {why}")
