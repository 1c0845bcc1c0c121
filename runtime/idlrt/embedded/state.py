"""What the embedded registry knows: sessions, and the services that they have registered. No I/O, no clock of its own.

A change is made in two steps, because it has to be on disk before anybody sees it: `prepare_...` checks it and gives
it its place (an `Operation`), `apply` makes it happen, in the order of the revisions. Between the two other changes may
be prepared.

Leases: each session lives until its deadline, which each heartbeat moves. When more than half of all sessions that have
registered something would end at once, it is more likely that the registry was cut off than that all of them died: they
are kept, until heartbeats come again or a long time has passed (Eureka calls that self-preservation).
"""

from __future__ import annotations

import heapq
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from idlrt.core import ServiceKey
from idlrt.embedded.api import Changes, Correction, NoSession, Record, Refused
from idlrt.embedded.limits import Limits
from idlrt.errors import ConfigurationError
from idlrt.printable import get_logger

__all__ = ["Lease", "Operation", "State"]

_log = get_logger("idlrt.registry")

# Changes that a service remembers, so that who follows it gets what is new instead of all.
_REMEMBERED: Final = 1000
_SHORTEST: Final = 0.5
_LONGEST: Final = 300.0
_WARN_EVERY: Final = 30.0


class Lease:
    """A session.

    Attributes:
        timeout: seconds for which it lives without a heartbeat.
        deadline: when it ends.
        owned: what was registered in it, or is being written: it may be taken away before it is on disk.
    """

    __slots__ = ("client", "deadline", "id", "owned", "timeout")

    def __init__(self, id: int, client: str, timeout: float, deadline: float) -> None:
        self.id = id
        self.client = client
        self.timeout = timeout
        self.deadline = deadline
        self.owned: set[tuple[ServiceKey, str]] = set()


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One change. What is set says what it is.

    Attributes:
        revision: its place.
        key: the service.
        id: of the instance; empty if it is about the service.
        record: to be written; `None` with an `id`: to be taken away.
        session: whose it is.
        correction: to be written; an empty one is taken away.
        settings: to be written.
    """

    revision: int
    key: ServiceKey
    id: str = ""
    record: Record | None = None
    session: int = 0
    correction: Correction | None = None
    settings: Mapping[str, str] | None = None


class _Service:
    __slots__ = (
        "corrected_at", "corrections", "log", "records", "remembers_from", "revision", "settings", "settings_at",
        "waiting",
    )  # fmt: skip

    def __init__(self) -> None:
        self.records: dict[str, tuple[Record, int]] = {}
        self.corrections: dict[str, Correction] = {}
        self.settings: Mapping[str, str] = {}
        self.revision = self.corrected_at = self.settings_at = 0
        # What has changed at revisions after `remembers_from`.
        self.log: deque[tuple[int, str]] = deque()
        self.remembers_from = 0
        self.waiting: set[Callable[[], object]] = set()


class State:
    """See the module.

    Args:
        now: seconds, on a clock that never goes back.
        epoch: which registry this is.
        revision: the last one that was used.
    """

    def __init__(self, limits: Limits, now: Callable[[], float], *, epoch: int, revision: int = 0) -> None:
        self.limits = limits
        self.epoch = epoch
        self.leases: dict[int, Lease] = {}
        self.instances = 0
        self._now = now
        self._revision = revision
        self._services: dict[ServiceKey, _Service] = {}
        self._due: list[tuple[float, int]] = []
        self._warned_at = float("-inf")

    # Sessions.

    def begin(self, client: str, timeout: float, id: int | None = None) -> Lease:
        """A new session, or one that was there before a restart.

        Raises:
            Refused: there are too many.
        """
        if len(self.leases) >= self.limits.sessions:
            raise Refused(message=f"there are {len(self.leases)} sessions, the most that may be")
        timeout = min(max(timeout, _SHORTEST), _LONGEST)
        lease = Lease(id or secrets.randbits(62) + 1, client[:200], timeout, self._now() + timeout)
        self.leases[lease.id] = lease
        heapq.heappush(self._due, (lease.deadline, lease.id))
        return lease

    def keep(self, session: int) -> Lease:
        """A heartbeat.

        Raises:
            NoSession: it is over.
        """
        lease = self.leases.get(session)
        if lease is None:
            raise NoSession
        lease.deadline = self._now() + lease.timeout
        return lease

    def forget(self, lease: Lease) -> None:
        """It could not be begun."""
        self.leases.pop(lease.id, None)

    def end(self, session: int) -> list[Operation]:
        """End a session: what is to be done for that. Nothing if it is over."""
        lease = self.leases.pop(session, None)
        if lease is None:
            return []
        return [self.removal(key, id, session) for key, id in sorted(lease.owned)]

    def revive(self, lease: Lease) -> None:
        """It could not be ended, and is to be ended later."""
        self.leases[lease.id] = lease
        heapq.heappush(self._due, (self._now() + 1.0, lease.id))

    def expire(self, late: float = 0.0) -> list[int]:
        """The sessions whose time is over, to be ended.

        Args:
            late: seconds by which this is called too late, because the registry stood still: so long it took no
                heartbeats either, and those that have come must be looked at first (Eureka's compensation time).
        """
        now, over, ended = self._now() - late, list[Lease](), list[int]()
        while self._due and self._due[0][0] <= now:
            _, id = heapq.heappop(self._due)
            lease = self.leases.get(id)
            if lease is None:
                continue
            if lease.deadline > now:
                heapq.heappush(self._due, (lease.deadline, id))
            else:
                over.append(lease)
        if over and self._is_cut_off(now):
            for lease in over:
                if lease.owned and now - lease.deadline < self.limits.protected_for:
                    heapq.heappush(self._due, (now + min(lease.timeout, 1.0), lease.id))
                else:
                    ended.append(lease.id)
            return ended
        return [lease.id for lease in over]

    def _is_cut_off(self, now: float) -> bool:
        """Whether so many sessions are silent that it is the registry that nobody reaches.

        Clients send three heartbeats within a time-out, so who has sent none for half of it has missed one. Sessions
        without instances do not count: some are of clients that never heard that they had begun, and nobody keeps them.
        """
        counted = [each for each in self.leases.values() if each.owned]
        total = len(counted)
        if total < self.limits.protected_from:
            return False
        silent = sum(each.deadline - now < each.timeout / 2 for each in counted)
        if silent <= total * self.limits.protected_part:
            return False
        if now - self._warned_at > _WARN_EVERY:
            self._warned_at = now
            _log.warning(
                "%d of %d sessions send no heartbeats: more than may be at once, so they are kept", silent, total
            )
        return True

    # Changes.

    def prepare_record(self, session: int, record: Record) -> Operation:
        """Check that a record may be written.

        Raises:
            NoSession: the session is over.
            Refused: it may not.
        """
        lease = self.keep(session)
        key = self._key(record.group, record.service)
        texts = [record.host, record.version, record.zone, *(record.protocols or ())]
        self._check_size(texts, [record.tags, record.routing, record.metadata])
        service = self._services.get(key)
        if service is None or record.id not in service.records:
            if self.instances >= self.limits.instances:
                raise Refused(message=f"there are {self.instances} instances, the most that may be")
            self._check_services(service)
        lease.owned.add((key, record.id))
        return Operation(revision=self._next(), key=key, id=record.id, record=record, session=session)

    def give_up(self, operation: Operation) -> None:
        """A record could not be written."""
        lease, service = self.leases.get(operation.session), self._services.get(operation.key)
        _, owner = service.records.get(operation.id, (None, 0)) if service is not None else (None, 0)
        if lease is not None and owner != lease.id:
            lease.owned.discard((operation.key, operation.id))

    def prepare_removal(self, session: int, group: str, service: str, id: str) -> Operation | None:
        """What is to be done to take a record away; `None` if it is not the session's.

        Raises:
            NoSession: the session is over.
        """
        lease = self.keep(session)
        key = self._key(group, service)
        return self.removal(key, id, session) if (key, id) in lease.owned else None

    def removal(self, key: ServiceKey, id: str, session: int) -> Operation:
        """What is to be done to take a record of a session away."""
        return Operation(revision=self._next(), key=key, id=id, session=session)

    def prepare_correction(self, group: str, service: str, id: str, correction: Correction) -> Operation:
        """Check that a correction may be written. Raises `Refused`."""
        key = self._key(group, service)
        self._check_services(self._services.get(key))
        self._check_size([id], [correction.tags])
        return Operation(revision=self._next(), key=key, id=id, correction=correction)

    def prepare_settings(self, group: str, service: str, settings: Mapping[str, str]) -> Operation:
        """Check that settings may be written. Raises `Refused`."""
        key = self._key(group, service)
        self._check_services(self._services.get(key))
        self._check_size([], [settings])
        return Operation(revision=self._next(), key=key, settings=settings)

    def _next(self) -> int:
        self._revision += 1
        return self._revision

    def _key(self, group: str, service: str) -> ServiceKey:
        try:
            return ServiceKey(service, group)
        except ConfigurationError as error:
            raise Refused(message=str(error)) from None

    def _check_services(self, service: _Service | None) -> None:
        if service is None and len(self._services) >= self.limits.services:
            raise Refused(message=f"there are {len(self._services)} services, the most that may be")

    def _check_size(self, texts: Iterable[str | None], maps: Iterable[Mapping[str, str] | None]) -> None:
        size = sum(len(each or "") for each in texts)
        size += sum(len(name) + len(value) for each in maps if each for name, value in each.items())
        if size > self.limits.text:
            raise Refused(message=f"there are {size} characters of text, {self.limits.text} may be")

    def apply(self, operation: Operation) -> list[Callable[[], object]]:
        """Make a change happen; who is to be told."""
        service = self._services.setdefault(operation.key, _Service())
        revision, id = operation.revision, operation.id
        if operation.settings is not None:
            service.settings = operation.settings
            service.settings_at = revision
        elif operation.correction is not None:
            if operation.correction == _NO_CORRECTION:
                service.corrections.pop(id, None)
            else:
                service.corrections[id] = operation.correction
            service.corrected_at = revision
        else:
            self._apply_record(service, operation)
            service.log.append((revision, id))
            if len(service.log) > _REMEMBERED:
                service.remembers_from, _ = service.log.popleft()
        service.revision = revision
        waiting = list(service.waiting)
        service.waiting.clear()
        return waiting

    def _apply_record(self, service: _Service, operation: Operation) -> None:
        if operation.record is not None and operation.session not in self.leases:
            return  # its session has ended meanwhile
        known, owner = service.records.get(operation.id, (None, 0))
        if operation.record is None:
            if known is None or owner != operation.session:
                return  # somebody else has registered it by now
            del service.records[operation.id]
            self.instances -= 1
        else:
            service.records[operation.id] = operation.record, operation.session
            self.instances += known is None
        what = operation.key, operation.id
        if owner in self.leases:
            self.leases[owner].owned.discard(what)
        if operation.record is not None:
            self.leases[operation.session].owned.add(what)

    def restore(self, key: ServiceKey, revision: int) -> None:
        """After a restart: how far a service had come. What has changed until then is not known any more."""
        service = self._services.setdefault(key, _Service())
        service.log.clear()
        service.revision = service.remembers_from = revision
        service.settings_at = service.corrected_at = revision

    # Questions.

    def changes(self, key: ServiceKey, epoch: int, since: int) -> Changes:
        """What has changed in a service since a revision."""
        service = self._services.get(key)
        if service is None:
            return Changes(epoch=self.epoch, revision=0, is_whole=since > 0, records=[], removed=[])
        if epoch != self.epoch or since > service.revision or since < service.remembers_from:
            since = 0
        is_whole = since == 0
        ids: Sequence[str]
        if is_whole:
            ids = list(service.records)
        else:
            ids = list({id: None for revision, id in service.log if revision > since})
        return Changes(
            epoch=self.epoch,
            revision=service.revision,
            is_whole=is_whole,
            records=[service.records[id][0] for id in ids if id in service.records],
            removed=[id for id in ids if id not in service.records],
            corrections=service.corrections if is_whole or service.corrected_at > since else None,
            settings=dict(service.settings) if is_whole or service.settings_at > since else None,
        )

    def is_news(self, key: ServiceKey, epoch: int, since: int) -> bool:
        """Whether `changes` has something to tell."""
        service = self._services.get(key)
        return (service.revision if service is not None else 0) != since or (epoch != self.epoch)

    def wait(self, key: ServiceKey, tell: Callable[[], object]) -> Callable[[], None]:
        """Have `tell` called once when the service changes; what takes that back."""
        service = self._services.get(key)
        if service is None:
            if len(self._services) >= self.limits.services:
                raise Refused(message=f"there are {len(self._services)} services, the most that may be")
            service = self._services[key] = _Service()
        service.waiting.add(tell)

        def forget() -> None:
            service.waiting.discard(tell)
            if not (service.revision or service.waiting) and self._services.get(key) is service:
                del self._services[key]

        return forget

    def groups(self) -> list[str]:
        """The groups that there are."""
        return sorted({key.group for key, service in self._services.items() if service.revision})

    def services(self, group: str) -> list[str]:
        """The services of a group."""
        return sorted(key.service for key, service in self._services.items() if service.revision and key.group == group)


_NO_CORRECTION: Final = Correction()
