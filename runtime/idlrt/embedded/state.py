"""State of the embedded registry: sessions, and the services with their instances. No I/O; the clock is injected.

A change has two steps, because it must be on disk before anyone sees it: `prepare_...` validates it and assigns its
revision (an `Operation`), `apply` makes it visible, in the order of revisions. Further changes may be prepared in
between.

Leases: each session lives until its deadline, which heartbeats extend. If more than half of all sessions with instances
would expire at once, the registry was probably cut off from its network, so they are kept until heartbeats arrive again
or a long time has passed (Eureka calls this self-preservation).
"""

from __future__ import annotations

import heapq
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from idlrt.codecs import encode
from idlrt.core import ServiceKey
from idlrt.core.logs import get_logger
from idlrt.embedded.api import Conflict, Correction, NoSession, Record, Refused
from idlrt.embedded.catalog import Catalog
from idlrt.embedded.limits import Limits
from idlrt.embedded.operations import Lease, Operation
from idlrt.embedded.quotas import check_correction, check_record, check_text
from idlrt.embedded.service import NO_CORRECTION, Entry, Service, Usage
from idlrt.embedded.values import instance_of
from idlrt.printable import plural
from idlrt.registry.id_conflicts import AlreadyRegistered, check_replaceable, id_in_use

__all__ = ["Lease", "Operation", "State"]

_log = get_logger("idlrt.registry")

_MIN_SESSION: Final = 0.5
_MAX_SESSION: Final = 300.0
_WARN_EVERY: Final = 30.0


class State(Catalog):
    """State of a registry.

    Args:
        now: monotonic time in seconds.
        epoch: identifies the registry.
        revision: last revision in use.
    """

    def __init__(self, limits: Limits, now: Callable[[], float], *, epoch: int, revision: int = 0) -> None:
        super().__init__(limits, epoch, now)
        self.leases: dict[int, Lease] = {}
        self.instances = 0
        self._usage = Usage()
        self._revision = revision
        self._deadlines: list[tuple[float, int]] = []
        # Latest record of each id that is being written: the next writer must take it into account.
        self._writing: dict[tuple[ServiceKey, str], Operation] = {}
        self._warned_at = float("-inf")

    # Sessions.

    def begin(self, client: str, timeout: float, id: int | None = None) -> Lease:
        """Begin a session, or restore one after a restart.

        Raises:
            Refused: the limit of sessions is reached.
        """
        if id is None and len(self.leases) >= self.limits.sessions:
            raise Refused(
                message=f"cannot begin a session: the registry has {plural(len(self.leases), 'session')}; the limit is "
                f"{self.limits.sessions} (sessions)"
            )
        timeout = min(max(timeout, _MIN_SESSION), _MAX_SESSION)
        lease = Lease(id or secrets.randbits(62) + 1, client[:200], timeout, self.now() + timeout)
        self.leases[lease.id] = lease
        heapq.heappush(self._deadlines, (lease.deadline, lease.id))
        return lease

    def keep(self, session: int) -> Lease:
        """Extend a session by a heartbeat.

        Raises:
            NoSession: it has ended.
        """
        lease = self.leases.get(session)
        if lease is None:
            raise NoSession
        lease.deadline = self.now() + lease.timeout
        return lease

    def forget(self, lease: Lease) -> None:
        """Discard a session that could not be stored."""
        self.leases.pop(lease.id, None)

    def end(self, session: int) -> list[Operation]:
        """End a session and return the removals of its instances; nothing if it has ended already."""
        lease = self.leases.pop(session, None)
        if lease is None:
            return []
        return [self.removal(key, id, session) for key, id in sorted(lease.owned)]

    def restore_session(self, lease: Lease) -> None:
        """Restore a session whose end could not be stored; `expire` tries again."""
        self.leases[lease.id] = lease
        heapq.heappush(self._deadlines, (self.now() + 1.0, lease.id))

    def expire(self, late: float = 0.0) -> list[int]:
        """Return the expired sessions, which the caller ends.

        Args:
            late: delay of this call in seconds, because the process was suspended or busy. It did not read heartbeats
                for that time, and those that have arrived must be read first (Eureka's compensation time).
        """
        now, over, ended = self.now() - late, list[Lease](), list[int]()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, id = heapq.heappop(self._deadlines)
            lease = self.leases.get(id)
            if lease is None:
                continue
            if lease.deadline > now:
                heapq.heappush(self._deadlines, (lease.deadline, id))
            else:
                over.append(lease)
        if over and self._is_self_preserving(now):
            for lease in over:
                if lease.owned and now - lease.deadline < self.limits.protected_for:
                    heapq.heappush(self._deadlines, (now + min(lease.timeout, 1.0), lease.id))
                else:
                    ended.append(lease.id)
            return ended
        return [lease.id for lease in over]

    def _is_self_preserving(self, now: float) -> bool:
        """Whether the ratio of silent sessions suggests that the registry, not its clients, is cut off.

        Clients send three heartbeats per session timeout, so a session without one for half of it has missed one.
        Sessions without instances do not count: some belong to clients that never received the response to `begin`.
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
                "keeping expired sessions (self-preservation): %d of %d send no heartbeats",
                silent,
                total,
                extra={"silent": silent, "sessions": total},
            )
        return True

    # Changes.

    def missing(self, session: int, instances: Iterable[tuple[ServiceKey, str]]) -> list[tuple[ServiceKey, str]]:
        """Extend a session, and return those of `instances` that are not registered in it.

        Raises:
            NoSession: the session has ended.
        """
        owned = self.keep(session).owned
        return [each for each in instances if each not in owned]

    def prepare_record(self, session: int, record: Record, *, reclaims: bool = False) -> Operation:
        """Check that a record may be written.

        Args:
            reclaims: whether to refuse an id that another live session has registered, even for the same instance.

        Raises:
            NoSession: the session has ended.
            Refused: a limit is exceeded, or a name is invalid.
            Conflict: another session has registered the id.
        """
        lease = self.keep(session)
        key = self.key(record.group, record.service)
        self._check_owner(key, record, lease, reclaims=reclaims)
        texts = [record.host, record.version, record.zone, *(record.protocols or ())]
        for each in record.rpc_protocols or ():
            texts += (each.name, *each.serializations)
        check_text(self.limits, texts, [record.tags, record.routing, record.metadata])
        size = len(encode(record))
        check_record(self.limits, self._usage, self.found.get(key), lease.usage, key, record.id, size, session)
        if key not in self.found:
            self.check_capacity(key)
            self.found[key] = Service(self._revision)
        operation = Operation(revision=self._next(), key=key, id=record.id, record=record, session=session, size=size)
        lease.owned.add((key, record.id))
        self._writing[key, record.id] = operation
        self._count(key, session, 1, size)
        return operation

    def _check_owner(self, key: ServiceKey, record: Record, lease: Lease, *, reclaims: bool) -> None:
        """Check that no other live session has registered an id. Raises `Conflict`."""
        writing = self._writing.get((key, record.id))
        service = self.found.get(key)
        known, owner = (writing.record, writing.session) if writing is not None else (None, 0)
        if writing is None and service is not None and (entry := service.entry(record.id)) is not None:
            known, owner = entry.record, entry.owner
        holder = self.leases.get(owner)
        # Only self-preservation keeps an expired session, so it may be replaced.
        if known is None or holder is None or holder is lease or holder.deadline <= self.now():
            return
        try:
            check_replaceable(instance_of(record), instance_of(known), is_live=True, reclaims=reclaims)
        except AlreadyRegistered:
            error = id_in_use(instance_of(record), instance_of(known), holder.client)
            raise Conflict(message=str(error)) from None

    def _written(self, operation: Operation) -> None:
        """Forget that a record was being written, after success or failure."""
        what = operation.key, operation.id
        if self._writing.get(what) is operation:
            del self._writing[what]

    def roll_back(self, operation: Operation) -> None:
        """Roll back a prepared change that could not be stored."""
        if operation.record is None:
            return
        self._written(operation)
        self._count(operation.key, operation.session, -1, -operation.size)
        lease, service = self.leases.get(operation.session), self.found[operation.key]
        entry = service.entry(operation.id)
        if lease is not None and (entry is None or entry.owner != lease.id):
            lease.owned.discard((operation.key, operation.id))
        if service.is_empty and not service.is_listed:
            del self.found[operation.key]

    def _count(self, key: ServiceKey, session: int, count: int, size: int) -> None:
        """Add to the usage, which includes instances that are being written."""
        self._usage.add(count, size)
        self.found[key].usage.add(count, size)
        if (lease := self.leases.get(session)) is not None:
            lease.usage.add(count, size)

    def prepare_removal(self, session: int, group: str, service: str, id: str) -> Operation | None:
        """Prepare the removal of a record; `None` if it does not belong to the session.

        Raises:
            NoSession: the session has ended.
        """
        lease = self.keep(session)
        key = self.key(group, service)
        return self.removal(key, id, session) if (key, id) in lease.owned else None

    def removal(self, key: ServiceKey, id: str, session: int) -> Operation:
        """Build the removal of a record of a session."""
        return Operation(revision=self._next(), key=key, id=id, session=session)

    def prepare_correction(self, group: str, service: str, id: str, correction: Correction) -> Operation:
        """Check that a correction may be written. Raises `Refused`."""
        key = self.key(group, service)
        self.check_capacity(key)
        correction = msgspec.structs.replace(correction, unused_until=None)
        check_text(self.limits, [id], [correction.tags])
        size = len(encode(correction))
        if correction != NO_CORRECTION:
            check_correction(self.limits, self.found.get(key), key, id, size)
        return Operation(revision=self._next(), key=key, id=id, correction=correction, size=size)

    def prepare_settings(self, group: str, service: str, settings: Mapping[str, str]) -> Operation:
        """Check that settings may be written. Raises `Refused`."""
        key = self.key(group, service)
        self.check_capacity(key)
        check_text(self.limits, [], [settings])
        return Operation(revision=self._next(), key=key, settings=settings)

    def prepare_service_removal(self, group: str, service: str) -> list[Operation]:
        """Prepare the removal of a service with its settings and corrections.

        Raises:
            Refused: there is no such service, or it has instances.
        """
        key = self.key(group, service)
        known = self.found.get(key)
        if known is None or not known.is_listed:
            raise Refused(message=f"cannot remove {key}: there is no such service")
        if known.usage.count:
            count = plural(known.usage.count, "instance")
            raise Refused(message=f"cannot remove {key}: it has {count}; stop the servers first")
        made = [Operation(revision=self._next(), key=key, id=id, correction=NO_CORRECTION) for id in known.corrections]
        made.append(Operation(revision=self._next(), key=key, settings={}))
        return [*made, Operation(revision=self._revision, key=key, is_removal=True)]

    def clean_up(self, wall: float) -> list[Operation]:
        """Prepare the removal of unused services and patches. Called periodically.

        Args:
            wall: Unix time in seconds.
        """
        made = [Operation(revision=last, key=key, is_removal=True) for key, last in self.unused()]
        for key, service in self.found.items():
            for id, correction in service.unused_patches(wall, self.limits.unused_patch):
                size = len(encode(correction))
                made.append(Operation(revision=self._next(), key=key, id=id, correction=correction, size=size))
        return made

    def _next(self) -> int:
        self._revision += 1
        return self._revision

    def apply(self, operation: Operation) -> list[Callable[[], object]]:
        """Apply a stored change; return the callbacks of the long polls to complete."""
        revision, id, key = operation.revision, operation.id, operation.key
        if operation.is_removal:
            known = self.found.get(key)
            if known is not None and known.is_empty and known.revision == revision:
                self.evict(key)
            return []
        service = self.found.setdefault(key, Service(revision - 1))
        if operation.settings is not None:
            service.configure(operation.settings, revision)
        elif operation.correction is not None:
            service.correct(id, operation.correction, operation.size, revision)
        else:
            self._apply_record(service, operation)
        service.is_listed = True
        self.update_unused(key)
        return self.pop_waiters(key)

    def _apply_record(self, service: Service, operation: Operation) -> None:
        self._written(operation)
        id, key, record = operation.id, operation.key, operation.record
        known = service.entry(id)
        if record is None:
            if known is None or known.owner != operation.session:
                service.touch(operation.revision)  # another session has registered it in the meantime
                return
            service.drop(id, operation.revision)
            self.instances -= 1
        elif operation.session not in self.leases:
            service.touch(operation.revision)  # its session has ended in the meantime
            self._count(key, operation.session, -1, -operation.size)
            return
        else:
            service.put(id, Entry(record, operation.session, operation.size, operation.revision))
            self.instances += known is None
        if known is not None:
            self._count(key, known.owner, -1, -known.size)
            if known.owner in self.leases:
                self.leases[known.owner].owned.discard((key, id))
        if record is not None:
            self.leases[operation.session].owned.add((key, id))

    def restore_record(self, key: ServiceKey, id: str, session: int, record: Record) -> None:
        """Restore an instance after a restart. Its session must be restored already."""
        service = self.found.setdefault(key, Service(0))
        size = len(encode(record))
        service.put(id, Entry(record, session, size, 0))
        self._count(key, session, 1, size)
        self.leases[session].owned.add((key, id))
        self.instances += 1

    def restore_correction(self, key: ServiceKey, id: str, correction: Correction) -> None:
        """Restore a correction after a restart."""
        self.found.setdefault(key, Service(0)).correct(id, correction, len(encode(correction)), 0)

    def restore(self, key: ServiceKey, revision: int, settings: Mapping[str, str]) -> None:
        """Restore settings and revision of a service after a restart, after its instances and corrections. The history
        of changes is not restored.
        """
        service = self.found.setdefault(key, Service(0))
        service.configure(settings, 0)
        service.restore(revision)
        service.is_listed = True
        self.update_unused(key)
        self._revision = max(self._revision, service.revision)
