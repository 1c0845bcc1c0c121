"""Keeps the instances of a program registered, on the registry's thread.

One task per instance writes it in each new session, when it changes, and when a heartbeat reports it missing. In the
last case it is only written if its id is free: if another process has registered the id in the meantime, that process
keeps it (see `id_conflicts`), and this one retries with each heartbeat.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec

from idlrt.core import Instance, ServiceKey
from idlrt.core.logs import get_logger
from idlrt.errors import RegistryError, RegistryRefused, RegistryUnavailable
from idlrt.registry.backend import Backend, SessionLost
from idlrt.registry.backoff import Backoff
from idlrt.registry.id_conflicts import AlreadyRegistered, id_in_use, is_same_instance

__all__ = [
    "REFUSED_DELAY",
    "REQUEST_TIMEOUT",
    "Entry",
    "Registrar",
    "RegistrationEvent",
    "RegistrationState",
    "to_registry_error",
]

_log = get_logger("idlrt.registry")

# Timeout in seconds of opening a session, and of each request.
REQUEST_TIMEOUT: Final = 5.0
# Seconds before a refused request is retried: an operator may have granted the permission.
REFUSED_DELAY: Final = 10.0
# Maximum number of concurrent writes. After a lost session thousands of instances may have to be written; a heartbeat
# that queues behind all of them would be late, and the new session would be lost as well.
_MAX_CONCURRENT: Final = 64

_Written = tuple[int, Instance]


class RegistrationState(enum.StrEnum):
    """State of an instance in its registry."""

    PENDING = "pending"
    """Not acknowledged by the registry yet."""
    REGISTERED = "registered"
    LOST = "lost"
    """Missing from the registry, or its session has ended. It is being registered again."""
    DISPLACED = "displaced"
    """Another process has registered the id. The instance is registered again once the id is free."""
    REFUSED = "refused"
    """Rejected by the registry, or the id is in use by another instance. Registration is retried."""
    DEREGISTERED = "deregistered"


class RegistrationEvent(msgspec.Struct, frozen=True, kw_only=True):
    """State transition of a registration.

    Attributes:
        state: new state.
        instance: the instance to be registered, or that was registered.
        error: reason, if the state is displaced or refused.
    """

    state: RegistrationState
    instance: Instance
    error: RegistryError | None = None


class Entry:
    """Desired and actual state of one registration. Threads of the program replace `wanted`; the registry's thread
    owns everything else.

    Attributes:
        lock: held while `wanted` is replaced, and while completion is signalled.
        wanted: the instance to be registered; `None` if it is to be deregistered.
        error: why the last attempt failed; `None` if it succeeded, or there was none.
        state: current state.
        listeners: called on each state transition.
        is_done: set when the registry has acknowledged `wanted`.
        was_registered: whether the registry has ever acknowledged it.
        needs_reclaim: whether the instance was registered and is missing, so that it may only be reclaimed.
    """

    def __init__(self, instance: Instance) -> None:
        self.lock = threading.Lock()
        self.first = instance
        self.wanted: Instance | None = instance
        self.error: RegistryError | None = None
        self.state = RegistrationState.PENDING
        self.listeners: list[Callable[[RegistrationEvent], object]] = []
        self.is_done = threading.Event()
        self.was_registered = False
        self.needs_reclaim = False
        self.written: _Written | None = None
        # Session of the last attempt: the write may have succeeded although no response arrived.
        self.tried: int | None = None
        self.changed = asyncio.Event()

    def __str__(self) -> str:
        return f"{self.first.id} of {self.first.key}"

    def event(self) -> RegistrationEvent:
        """Build the event that describes the current state."""
        return RegistrationEvent(state=self.state, instance=self.wanted or self.first, error=self.error)

    def listen(self, listener: Callable[[RegistrationEvent], object]) -> None:
        """Call `listener` with the current state, then on each transition."""
        self.listeners.append(listener)
        _notify(listener, self.event())

    def set_state(self, state: RegistrationState) -> None:
        """Enter a state; notify the listeners if it is a new one."""
        if self.state is not state:
            self.state = state
            self.was_registered = self.was_registered or state is RegistrationState.REGISTERED
            for each in list(self.listeners):
                _notify(each, self.event())


def _notify(listener: Callable[[RegistrationEvent], object], event: RegistrationEvent) -> None:
    try:
        listener(event)
    except Exception:  # noqa: BLE001  # a failing listener must not stop the registrar
        _log.exception(
            "registration listener of %s failed",
            event.instance.id,
            extra={"instance": event.instance.id, "service": str(event.instance.key)},
        )


class _IdEntries:
    """The entries of one id. Writes are serialized: a program may register an id again that it is deregistering."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.lock = asyncio.Lock()

    def _candidates(self) -> list[Entry]:
        """Return the entries that may hold the id: the first that wants it, and those for the same instance."""
        # Read each `wanted` once: other threads may replace it.
        wanted = [(entry, instance) for entry in self.entries if (instance := entry.wanted) is not None]
        return [entry for entry, instance in wanted if is_same_instance(instance, wanted[0][1])]

    def successor(self) -> Entry | None:
        """Return the newest of the entries that may hold the id."""
        return next(iter(reversed(self._candidates())), None)

    def holder(self, entry: Entry) -> Instance | None:
        """Return the other instance of this program that holds the id which `entry` wants."""
        candidates = self._candidates()
        return None if entry in candidates or not candidates else candidates[0].wanted


class Registrar:
    """Registrations of one `Registry`.

    Args:
        name: of the registry, for messages.
        lost: called when a request shows that the session has expired.
    """

    def __init__(self, backend: Backend, name: str, lost: Callable[[], object]) -> None:
        self._backend = backend
        self._name = name
        self._lost = lost
        # Session counter: whatever was written in an earlier session has expired with it.
        self._epoch = 0
        self._is_open = False
        self._entries: dict[Entry, asyncio.Task[None]] = {}
        self._by_id: dict[tuple[ServiceKey, str], _IdEntries] = {}
        self._write_slots = asyncio.Semaphore(_MAX_CONCURRENT)

    def session_began(self) -> None:
        """Register all entries in the new session."""
        self._epoch += 1
        self._is_open = True
        for entry in self._entries:
            entry.changed.set()

    def session_ended(self) -> None:
        """Suspend all writes until the next session."""
        self._is_open = False

    def add(self, entry: Entry) -> None:
        """Register `entry` and keep it registered."""
        same_id = self._by_id.setdefault((entry.first.key, entry.first.id), _IdEntries())
        same_id.entries.append(entry)
        self._entries[entry] = asyncio.get_running_loop().create_task(self._keep_registered(entry, same_id))

    def registered(self) -> list[tuple[Entry, _Written]]:
        """Return the registrations acknowledged in this session. Call it before a heartbeat, and pass the result to
        `report_missing` with the response.
        """
        return [
            (entry, entry.written)
            for entry in self._entries
            if entry.wanted is not None and entry.written is not None and entry.written[0] == self._epoch
        ]

    def report_missing(self, registered: Sequence[tuple[Entry, _Written]], missing: Sequence[Instance]) -> None:
        """Register again the instances that a heartbeat reported missing."""
        if not missing:
            return
        ids = {(each.key, each.id) for each in missing}
        for entry, written in registered:
            # The heartbeat says nothing about instances written or deregistered after it was sent.
            is_same = entry.written is written and entry.wanted is not None
            if is_same and (entry.first.key, entry.first.id) in ids:
                self._set_unregistered(entry, RegistrationState.LOST)
                entry.changed.set()

    def _set_unregistered(self, entry: Entry, state: RegistrationState) -> None:
        """Record that an instance is no longer registered."""
        entry.written = None
        entry.needs_reclaim = True
        with entry.lock:
            if entry.wanted is not None:
                entry.is_done.clear()
        entry.set_state(state)

    async def _keep_registered(self, entry: Entry, same_id: _IdEntries) -> None:
        backoff = Backoff()
        while True:
            entry.changed.clear()
            wanted, epoch = entry.wanted, self._epoch
            if not self._is_open:
                if wanted is None:
                    break  # it expired with its session
                await entry.changed.wait()  # also set by a session that begins
                continue
            if wanted is not None and entry.written == (epoch, wanted):
                with entry.lock:
                    if entry.wanted is wanted:  # otherwise an update has replaced it, which is not acknowledged yet
                        entry.is_done.set()
                entry.set_state(RegistrationState.REGISTERED)
                await entry.changed.wait()
                continue
            if entry.written is not None and entry.written[0] != epoch:
                entry.set_state(RegistrationState.LOST)
            async with same_id.lock, self._write_slots:
                if not self._is_open:
                    continue
                wanted, epoch = entry.wanted, self._epoch  # both may have changed while others were written
                if wanted is None:
                    if entry.tried != epoch:
                        break  # it expired with its session
                    if (successor := same_id.successor()) is not None:
                        # The registry may hold what this entry wrote; the successor overwrites or deletes it.
                        successor.written, successor.tried = None, epoch
                        successor.changed.set()
                        break
                    delay = await self._try(entry, self._backend.deregister(entry.first), backoff)
                    if delay is None:
                        break
                else:
                    delay = await self._try(entry, self._write(entry, wanted, same_id), backoff)
                    if delay is None:
                        entry.written = epoch, wanted
                        entry.needs_reclaim = False
                        continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await entry.changed.wait()
        self._entries.pop(entry, None)
        same_id.entries.remove(entry)
        if not same_id.entries:
            del self._by_id[entry.first.key, entry.first.id]
        entry.is_done.set()
        entry.set_state(RegistrationState.DEREGISTERED)

    async def _write(self, entry: Entry, wanted: Instance, same_id: _IdEntries) -> None:
        holder = same_id.holder(entry)
        if holder is not None:
            raise id_in_use(wanted, holder, "this program")
        entry.tried = self._epoch
        is_known = entry.written is not None and entry.written[0] == self._epoch
        if entry.needs_reclaim or is_known:
            # Reclaim, not register: if another process has taken over the id, an update must not take it back.
            await self._backend.reclaim(wanted)
        else:
            await self._backend.register(wanted)

    async def _try(self, entry: Entry, work: Coroutine[Any, Any, None], backoff: Backoff) -> float | None:
        """Run a request; return the seconds until the next attempt, unless something changes sooner, or `None` on
        success.
        """
        epoch = self._epoch
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                await work
        except SessionLost:
            if self._is_open and epoch == self._epoch:  # otherwise the loss is known, and a new session may be open
                self._lost()
            return backoff.next_delay()
        except RegistryRefused as error:
            self._refused(entry, error)
            # An id may become free at any time; permissions seldom change.
            return self._backend.heartbeat if isinstance(error, AlreadyRegistered) else REFUSED_DELAY
        except Exception as error:  # noqa: BLE001  # no error may end the task
            entry.error = to_registry_error(error, self._name)
            return backoff.next_delay()
        if entry.needs_reclaim and entry.wanted is not None:
            _log.warning(
                "re-registered %s at %s: its registration was missing", entry, self._name, extra=self._fields(entry)
            )
        entry.error = None
        backoff.reset()
        return None

    def _fields(self, entry: Entry) -> dict[str, str]:
        return {"registry": self._name, "service": str(entry.first.key), "instance": entry.first.id}

    def _refused(self, entry: Entry, error: RegistryRefused) -> None:
        is_new_error = entry.error is None or str(entry.error) != str(error)
        entry.error = error
        was_registered = entry.needs_reclaim or entry.written is not None
        if not (isinstance(error, AlreadyRegistered) and was_registered):
            if is_new_error:
                _log.error(
                    "registration of %s rejected by %s: %s; retrying",
                    entry,
                    self._name,
                    error,
                    extra=self._fields(entry),
                )
            entry.set_state(RegistrationState.REFUSED)
            return
        if is_new_error:
            _log.error(
                "registration of %s displaced at %s: %s; registering again once the id is free",
                entry,
                self._name,
                error,
                extra=self._fields(entry),
            )
        self._set_unregistered(entry, RegistrationState.DISPLACED)

    async def stop(self, seconds: float) -> None:
        """Deregister all instances, for at most `seconds`, and end all tasks."""
        entries = list(self._entries)
        for entry in entries:
            with entry.lock:
                entry.wanted = None
            entry.changed.set()
        tasks = list(self._entries.values())
        if tasks and self._is_open:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for entry in entries:
            entry.is_done.set()  # release the threads in `Registration.wait`
            entry.set_state(RegistrationState.DEREGISTERED)


def to_registry_error(error: Exception, name: str) -> RegistryError:
    """Convert an exception to a `RegistryError` that names the registry. Log errors that a backend has not translated:
    they are bugs.
    """
    if isinstance(error, RegistryError):
        return error
    if isinstance(error, TimeoutError):
        return RegistryUnavailable(f"{name} did not respond in time")
    _log.error("unexpected error from %s", name, exc_info=error, extra={"registry": name})
    return RegistryUnavailable(f"{name} failed with {type(error).__name__}: {error}")
