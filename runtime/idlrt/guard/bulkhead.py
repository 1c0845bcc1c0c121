"""`bulkhead`: so many calls at once; some more wait in line, and others are refused.

One slow service, or method, cannot take all threads and connections then, and what waits is bounded in number and time.

On a server without workers a plain handler would wait on the thread that serves everybody, and that others need to end:
let calls wait (`waiting`) where there are workers, or `async` handlers only.

Source: Nygard, "Release It!" (2007), chapter 5
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Annotated, Any, ClassVar

import msgspec

from idlrt.core import Chance, Event, Listener, Refused, tell
from idlrt.core.forks import forks
from idlrt.core.policy import Seconds
from idlrt.errors import Overloaded
from idlrt.guard.base import AnyCall, Next, Per, PerMethod, heard_by, nobody

__all__ = ["Bulkhead", "BulkheadSettings", "Places", "Ticket"]


class BulkheadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many calls there may be at once.

    Attributes:
        calls: that may be under way.
        waiting: calls that may wait for one of them to end; they go on in the order in which they came.
        wait: seconds that a call may wait.
        per: what has places of its own: each service, or each method.
    """

    calls: Annotated[int, msgspec.Meta(ge=1)] = 100
    waiting: Annotated[int, msgspec.Meta(ge=0)] = 0
    wait: Seconds = 1.0
    per: Per = "service"


class Ticket:
    """Somebody who waits in line.

    Attributes:
        is_in: whether there is a place for it now.
    """

    __slots__ = ("event", "is_in")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.is_in = False


class Places:
    """The places of one bulkhead and the line before them. Threads and tasks share it; nobody waits here."""

    __slots__ = ("__weakref__", "_line", "_lock", "_longest", "_most", "under_way")

    def __init__(self, most: int, longest: int) -> None:
        self.renew()
        forks.renew(self)
        self._most = most
        self._longest = longest

    def renew(self) -> None:
        """In a child of the process: nobody holds its lock there, and what is under way is the parent's."""
        self._lock = threading.Lock()
        self._line: deque[Ticket] = deque()
        self.under_way = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    def enter(self) -> bool:
        """Take a place. `False`: all are taken."""
        with self._lock:
            # Whenever there is a line, all are taken: who leaves hands the place on.
            if self.under_way >= self._most:
                return False
            self.under_way += 1
            return True

    def line_up(self, ticket: Ticket) -> bool:
        """Wait for a place, or take the one that has become free. `False`: the line is as long as it may be."""
        with self._lock:
            if self.under_way < self._most:
                self.under_way += 1
                ticket.is_in = True
            elif len(self._line) >= self._longest:
                return False
            else:
                self._line.append(ticket)
            return True

    def leave(self) -> None:
        """Give the place to the first in the line, or back."""
        with self._lock:
            if not self._line:
                self.under_way -= 1
                return
            first = self._line.popleft()
            first.is_in = True
        first.event.set()

    def give_up(self, ticket: Ticket) -> bool:
        """Wait no more. `False`: it was given a place in the meantime."""
        with self._lock:
            if ticket.is_in:
                return False
            self._line.remove(ticket)
            return True


class Bulkhead:
    """See the module. A `Guard`: `bulkhead`."""

    Settings: ClassVar[type[msgspec.Struct]] = BulkheadSettings

    def __init__(self, settings: BulkheadSettings, chance: Chance, listener: Listener = nobody) -> None:
        self._listener = listener
        self._settings = settings
        self._places: PerMethod[Places] = PerMethod(settings.per, lambda name: Places(settings.calls, settings.waiting))

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """See `Guard.__call__`.

        Raises:
            Overloaded: there is no place, and none within the time that the call may wait, or that is left for it.
        """
        places = self._places[call.method]
        if not places.enter():
            await self._wait(call, places)
        try:
            return await next(call)
        finally:
            places.leave()

    async def _wait(self, call: AnyCall, places: Places) -> None:
        settings = self._settings
        if not settings.waiting:
            raise self._refused(call, f"{settings.calls} calls are under way")
        driver = call.driver
        ticket = Ticket(driver.event())
        if not places.line_up(ticket):
            raise self._refused(call, f"{settings.calls} calls are under way and {settings.waiting} wait")
        if ticket.is_in:
            return
        patience = max(min(settings.wait, call.deadline.remaining(driver.now())), 0.0)
        try:
            await ticket.event.wait(patience)
        except BaseException:
            if not places.give_up(ticket):
                places.leave()
            raise
        if places.give_up(ticket):
            raise self._refused(call, f"none of {settings.calls} calls under way ended within {patience:.3g} s")

    def _refused(self, call: AnyCall, why: str) -> Overloaded:
        name = call.method.full_name
        if listeners := heard_by(call, self._listener):
            tell(listeners, Refused(subject=name, guard="bulkhead", why=why))
        return Overloaded(f"did not take {name}: {why}")
