"""The services of the embedded registry: what is told of them, and who waits for news. No I/O."""

from __future__ import annotations

import bisect
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from idlrt.core import ServiceKey
from idlrt.embedded.api import Changes, Part, Refused
from idlrt.embedded.limits import Limits
from idlrt.embedded.room import plural
from idlrt.embedded.service import Cursor, Service
from idlrt.errors import ConfigurationError

__all__ = ["Catalog"]

# Bytes of instances in one answer to a client that does not ask for parts; a message may have a little more.
_LONGEST_ANSWER: Final = 15 << 20

# Characters of a cursor: what follows comes from nobody who has got it here.
_LONGEST_CURSOR: Final = 64


class Catalog:
    """See the module.

    Attributes:
        epoch: which registry this is.
        found: the services. Their owner is the `State`, which changes them.
        now: seconds, on a clock that never goes back.
    """

    def __init__(self, limits: Limits, epoch: int, now: Callable[[], float]) -> None:
        self.limits = limits
        self.now = now
        self.epoch = epoch
        self.found: dict[ServiceKey, Service] = {}
        # Since when services have had nothing, the oldest first.
        self._unused: OrderedDict[ServiceKey, float] = OrderedDict()
        self._given_back: list[tuple[ServiceKey, int]] = []
        self._waiting: dict[ServiceKey, set[Callable[[], object]]] = {}
        # Cursors of an earlier run mean nothing: what was restored is in another order.
        self._run = secrets.token_hex(4)

    def key(self, group: str, service: str) -> ServiceKey:
        """The service of these names. Raises `Refused` if they cannot be names."""
        try:
            return ServiceKey(service, group)
        except ConfigurationError as error:
            raise Refused(message=str(error)) from None

    def check_place(self, key: ServiceKey) -> None:
        """Check that there is room for another service. One that has had nothing for the longest time makes room.

        Raises:
            Refused: there is none.
        """
        if key in self.found or len(self.found) < self.limits.services:
            return
        # Not those for which something is being written.
        oldest = next((each for each in self._unused if self.found[each].is_empty), None)
        if oldest is None:
            count = plural(len(self.found), "service")
            raise Refused(message=f"the registry has {count}, and the limit is {self.limits.services} (services)")
        self._given_back.append((oldest, self.found[oldest].revision))
        self.give_back(oldest)

    # Names that are given back.

    def note(self, key: ServiceKey) -> None:
        """Note whether a service has anything, after it has changed."""
        service = self.found.get(key)
        if service is None or not service.is_empty:
            self._unused.pop(key, None)
        elif key not in self._unused:
            self._unused[key] = self.now()

    def give_back(self, key: ServiceKey) -> None:
        """Forget a service that has nothing. Who follows it learns that it has nothing, at revision 0."""
        del self.found[key]
        self._unused.pop(key, None)

    def unused(self) -> list[tuple[ServiceKey, int]]:
        """Services that have had nothing for too long, and that were given back, with their last revisions."""
        given, self._given_back = self._given_back, []
        over = self.now() - self.limits.unused_service
        for key, since in self._unused.items():
            if since > over:
                break
            given.append((key, self.found[key].revision))
        return given

    # Questions.

    def changes(self, key: ServiceKey, epoch: int, since: int) -> Changes:
        """What has changed in a service since a revision, in one answer.

        Raises:
            Refused: it is too long for one.
        """
        service = self.found.get(key)
        if service is None:
            return Changes(epoch=self.epoch, revision=0, is_whole=since > 0, records=[], removed=[])
        found = service.changes(self.epoch, since if epoch == self.epoch else 0, _LONGEST_ANSWER)
        if isinstance(found, int):
            raise Refused(
                message=f"there are {found} bytes to tell of {key}, and one answer takes {_LONGEST_ANSWER}; "
                "update this client: later versions read it in parts"
            )
        return found

    def part(self, key: ServiceKey, epoch: int, since: int, cursor: str) -> Part:
        """What has changed in a service since a revision, a part at a time.

        Args:
            cursor: empty, or from the part before.
        """
        service = self.found.get(key)
        if service is None:
            return Part(
                epoch=self.epoch, revision=0, is_whole=since > 0 or bool(cursor), records=[], removed=[], corrections={}
            )
        place = self._place(cursor) if cursor else service.start(since) if epoch == self.epoch else None
        if place is not None and not service.is_good(place):
            place = None
        part, then = service.part(self.epoch, place, self.limits.answer)
        part.next = f"{self._run}.{then.since}.{then.position}" if then is not None else None
        return part

    def _place(self, cursor: str) -> Cursor | None:
        """Where a cursor points to; `None` if it does not come from this run."""
        run, *numbers = cursor[:_LONGEST_CURSOR].split(".")
        if run != self._run or len(numbers) != 2 or not all(each.isascii() and each.isdigit() for each in numbers):
            return None
        return Cursor(int(numbers[0]), int(numbers[1]))

    def is_news(self, key: ServiceKey, epoch: int, since: int) -> bool:
        """Whether `changes` has something to tell."""
        service = self.found.get(key)
        return (service.revision if service is not None else 0) != since or (epoch != self.epoch)

    def wait(self, key: ServiceKey, tell: Callable[[], object]) -> Callable[[], None]:
        """Have `tell` called once when the service changes; what takes that back."""
        self._waiting.setdefault(key, set()).add(tell)

        def forget() -> None:
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.discard(tell)
                if not waiting:
                    del self._waiting[key]

        return forget

    def take_waiting(self, key: ServiceKey) -> list[Callable[[], object]]:
        """Who waits for a service, to be called now."""
        return list(self._waiting.pop(key, ()))

    def groups(self) -> list[str]:
        """The groups that there are."""
        return sorted({key.group for key, service in self.found.items() if service.is_listed})

    def services(self, group: str) -> list[str]:
        """The services of a group."""
        return sorted(key.service for key, service in self.found.items() if service.is_listed and key.group == group)

    def some(self, names: Sequence[str], after: str) -> list[str]:
        """Of sorted names those that come after one, as many as fit an answer."""
        first = bisect.bisect_right(names, after)
        size, last = 0, first
        while last < len(names) and (size < self.limits.answer or last == first):
            size += len(names[last])
            last += 1
        return list(names[first:last])
