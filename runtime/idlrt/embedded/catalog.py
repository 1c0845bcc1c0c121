"""Read side of the embedded registry: queries, long polls, and removal of unused services. No I/O."""

from __future__ import annotations

import bisect
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from idlrt.core import ServiceKey
from idlrt.embedded.api import Changes, Part, Refused
from idlrt.embedded.limits import Limits
from idlrt.embedded.service import Cursor, Service
from idlrt.errors import ConfigurationError
from idlrt.printable import plural

__all__ = ["Catalog"]

# Maximum bytes of instances in a response to a client that does not request parts; the message is slightly larger.
_MAX_RESPONSE: Final = 15 << 20

# Maximum length of a cursor; a longer one was not issued here.
_MAX_CURSOR: Final = 64


class Catalog:
    """Services of a registry.

    Attributes:
        epoch: identifies the registry.
        found: services by key. Changed by the subclass `State` only.
        now: monotonic time in seconds.
    """

    def __init__(self, limits: Limits, epoch: int, now: Callable[[], float]) -> None:
        self.limits = limits
        self.now = now
        self.epoch = epoch
        self.found: dict[ServiceKey, Service] = {}
        # Times at which services became empty, oldest first.
        self._unused: OrderedDict[ServiceKey, float] = OrderedDict()
        self._evicted: list[tuple[ServiceKey, int]] = []
        self._waiters: dict[ServiceKey, set[Callable[[], object]]] = {}
        # Cursors are only valid within a run, because a restart changes the order of entries.
        self._run = secrets.token_hex(4)

    def key(self, group: str, service: str) -> ServiceKey:
        """Build a service key. Raises `Refused` if a name is invalid."""
        try:
            return ServiceKey(service, group)
        except ConfigurationError as error:
            raise Refused(message=str(error)) from None

    def check_capacity(self, key: ServiceKey) -> None:
        """Check that a service can be added; evict the service that has been empty for the longest time if necessary.

        Raises:
            Refused: the limit is reached, and no service is empty.
        """
        if key in self.found or len(self.found) < self.limits.services:
            return
        # Services for which an instance is being written are not empty.
        oldest = next((each for each in self._unused if self.found[each].is_empty), None)
        if oldest is None:
            count = plural(len(self.found), "service")
            raise Refused(
                message=f"cannot add {key}: the registry has {count}; the limit is {self.limits.services} (services)"
            )
        self._evicted.append((oldest, self.found[oldest].revision))
        self.evict(oldest)

    # Unused services.

    def update_unused(self, key: ServiceKey) -> None:
        """Update, after a change, since when a service is empty."""
        service = self.found.get(key)
        if service is None or not service.is_empty:
            self._unused.pop(key, None)
        elif key not in self._unused:
            self._unused[key] = self.now()

    def evict(self, key: ServiceKey) -> None:
        """Delete an empty service. Its watchers see an empty service at revision 0."""
        del self.found[key]
        self._unused.pop(key, None)

    def unused(self) -> list[tuple[ServiceKey, int]]:
        """Return evicted services, and those that have been empty for too long, with their last revisions."""
        given, self._evicted = self._evicted, []
        over = self.now() - self.limits.unused_service
        for key, since in self._unused.items():
            if since > over:
                break
            given.append((key, self.found[key].revision))
        return given

    # Queries.

    def changes(self, key: ServiceKey, epoch: int, since: int) -> Changes:
        """Return the changes of a service since a revision in one response.

        Raises:
            Refused: the response would be too long.
        """
        service = self.found.get(key)
        if service is None:
            return Changes(epoch=self.epoch, revision=0, is_whole=since > 0, records=[], removed=[])
        found = service.changes(self.epoch, since if epoch == self.epoch else 0, _MAX_RESPONSE)
        if isinstance(found, int):
            raise Refused(
                message=f"cannot send {key} in one response: it takes {plural(found, 'byte')}, the limit is "
                f"{_MAX_RESPONSE}; upgrade this client: newer versions read it in parts"
            )
        return found

    def part(self, key: ServiceKey, epoch: int, since: int, cursor: str) -> Part:
        """Return a part of the changes of a service since a revision.

        Args:
            cursor: cursor of the part; empty for the first one.
        """
        service = self.found.get(key)
        if service is None:
            return Part(
                epoch=self.epoch, revision=0, is_whole=since > 0 or bool(cursor), records=[], removed=[], corrections={}
            )
        place = self._parse_cursor(cursor) if cursor else service.start(since) if epoch == self.epoch else None
        if place is not None and not service.is_valid(place):
            place = None
        part, then = service.part(self.epoch, place, self.limits.answer)
        part.next = f"{self._run}.{then.since}.{then.position}" if then is not None else None
        return part

    def _parse_cursor(self, cursor: str) -> Cursor | None:
        """Parse a cursor; `None` if it was not issued in this run."""
        run, *numbers = cursor[:_MAX_CURSOR].split(".")
        if run != self._run or len(numbers) != 2 or not all(each.isascii() and each.isdigit() for each in numbers):
            return None
        return Cursor(int(numbers[0]), int(numbers[1]))

    def has_changed(self, key: ServiceKey, epoch: int, since: int) -> bool:
        """Whether a service has changed since a revision."""
        service = self.found.get(key)
        return (service.revision if service is not None else 0) != since or (epoch != self.epoch)

    def wait(self, key: ServiceKey, notify: Callable[[], object]) -> Callable[[], None]:
        """Call `notify` once when the service changes. Return a function that cancels this."""
        self._waiters.setdefault(key, set()).add(notify)

        def forget() -> None:
            waiting = self._waiters.get(key)
            if waiting is not None:
                waiting.discard(notify)
                if not waiting:
                    del self._waiters[key]

        return forget

    def pop_waiters(self, key: ServiceKey) -> list[Callable[[], object]]:
        """Remove and return the callbacks of a service, to be called now."""
        return list(self._waiters.pop(key, ()))

    def groups(self) -> list[str]:
        """List the groups."""
        return sorted({key.group for key, service in self.found.items() if service.is_listed})

    def services(self, group: str) -> list[str]:
        """List the services of a group."""
        return sorted(key.service for key, service in self.found.items() if service.is_listed and key.group == group)

    def page(self, names: Sequence[str], after: str) -> list[str]:
        """Return the page of sorted `names` that follows `after`, as many as fit into a response."""
        first = bisect.bisect_right(names, after)
        size, last = 0, first
        while last < len(names) and (size < self.limits.answer or last == first):
            size += len(names[last])
            last += 1
        return list(names[first:last])
