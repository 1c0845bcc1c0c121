"""Keep the instances of a program registered, on the registry's thread.

One task each: an instance is written in each session anew, when it changes, and when a heartbeat finds that the
registry does not have it any more. Then it is only written if its id is free: another process that has registered the
id keeps it (see `ownership`), and this one tries again with each heartbeat.
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
from idlrt.registry.ownership import AlreadyRegistered, already_registered, is_same_instance
from idlrt.registry.pauses import Pauses

__all__ = ["PATIENCE", "REFUSED_PAUSE", "Entry", "Registrar", "RegistrationEvent", "RegistrationState", "named"]

_log = get_logger("idlrt.registry")

# Seconds that opening a session, and any one request, may take.
PATIENCE: Final = 5.0
# What is refused is tried again all the same, in case an operator changes his mind.
REFUSED_PAUSE: Final = 10.0
# Instances written at once. After a session was lost thousands may be due, and a heartbeat behind all of them would
# come too late: the next session would be lost as well.
_AT_ONCE: Final = 64

_Written = tuple[int, Instance]


class RegistrationState(enum.StrEnum):
    """How an instance stands in its registry."""

    PENDING = "pending"
    """Not acknowledged yet."""
    REGISTERED = "registered"
    LOST = "lost"
    """The registry does not have it any more, or has ended its session. It is being registered again."""
    DISPLACED = "displaced"
    """Another process has registered the id. This one is registered again when that has gone."""
    REFUSED = "refused"
    """The registry does not take it; it is tried again. Another instance may have the id."""
    DEREGISTERED = "deregistered"


class RegistrationEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A registration has another state.

    Attributes:
        state: the new one.
        instance: what is, or was, to be registered.
        error: why, if it is displaced or refused.
    """

    state: RegistrationState
    instance: Instance
    error: RegistryError | None = None


class Entry:
    """An instance that is to be registered. `wanted` is replaced by its owner's threads, all else belongs to the
    registry's.

    Attributes:
        lock: is held while `wanted` is replaced, and while it is said to be done.
        wanted: what is to be registered; `None` if it is to be taken away.
        error: why that has not been done; `None` if it has, or has not been tried.
        state: how it stands.
        listeners: are told of each new state.
        is_done: set when what is wanted has been acknowledged.
        is_missed: whether it was registered and is not there any more, so that it is only to be reclaimed.
    """

    def __init__(self, instance: Instance) -> None:
        self.lock = threading.Lock()
        self.first = instance
        self.wanted: Instance | None = instance
        self.error: RegistryError | None = None
        self.state = RegistrationState.PENDING
        self.listeners: list[Callable[[RegistrationEvent], object]] = []
        self.is_done = threading.Event()
        self.is_missed = False
        self.written: _Written | None = None
        # The session in which it was tried last: it may be there although no answer came.
        self.tried: int | None = None
        self.changed = asyncio.Event()

    def __str__(self) -> str:
        return f"{self.first.id} of {self.first.key}"

    def event(self) -> RegistrationEvent:
        """How it stands."""
        return RegistrationEvent(state=self.state, instance=self.wanted or self.first, error=self.error)

    def listen(self, listener: Callable[[RegistrationEvent], object]) -> None:
        """Tell `listener` from now on, and how it stands now."""
        self.listeners.append(listener)
        _tell(listener, self.event())

    def move(self, state: RegistrationState) -> None:
        """It has another state."""
        if self.state is not state:
            self.state = state
            for each in list(self.listeners):
                _tell(each, self.event())


def _tell(listener: Callable[[RegistrationEvent], object], event: RegistrationEvent) -> None:
    try:
        listener(event)
    except Exception:  # noqa: BLE001  # a listener's trouble is not the registry's
        _log.exception("a listener of the registration of %s failed", event.instance.id)


class _Claims:
    """The entries of one id. They are written one after the other: a program may register again what it takes away."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.turn = asyncio.Lock()

    def _candidates(self) -> list[Entry]:
        """Those that may have the id: the first one that wants it, and whatever is the same instance."""
        # Owners may take back what they want at any moment.
        wanted = [(entry, wish) for entry in self.entries if (wish := entry.wanted) is not None]
        return [entry for entry, wish in wanted if is_same_instance(wish, wanted[0][1])]

    def heir(self) -> Entry | None:
        """The last one that is to be there."""
        return next(iter(reversed(self._candidates())), None)

    def holder(self, entry: Entry) -> Instance | None:
        """Another instance of this program that has the id which `entry` wants."""
        candidates = self._candidates()
        return None if entry in candidates or not candidates else candidates[0].wanted


class Registrar:
    """See the module.

    Args:
        name: of the registry, for messages.
        lost: is called when a request shows that the session is over.
    """

    def __init__(self, backend: Backend, name: str, lost: Callable[[], object]) -> None:
        self._backend = backend
        self._name = name
        self._lost = lost
        # Grows with each session, so that what was written in an earlier one is known not to be there.
        self._epoch = 0
        self._is_open = False
        self._entries: dict[Entry, asyncio.Task[None]] = {}
        self._claims: dict[tuple[ServiceKey, str], _Claims] = {}
        self._writing = asyncio.Semaphore(_AT_ONCE)

    def session_began(self) -> None:
        """Register everything in the new session."""
        self._epoch += 1
        self._is_open = True
        for entry in self._entries:
            entry.changed.set()

    def session_ended(self) -> None:
        """Wait for the next one."""
        self._is_open = False

    def add(self, entry: Entry) -> None:
        """Register what `entry` wants, and keep it registered."""
        claims = self._claims.setdefault((entry.first.key, entry.first.id), _Claims())
        claims.entries.append(entry)
        self._entries[entry] = asyncio.get_running_loop().create_task(self._keep_registered(entry, claims))

    def registered(self) -> list[tuple[Entry, _Written]]:
        """What the registry has acknowledged in this session, to be given to `missed` with the answer of a heartbeat
        that begins after this.
        """
        return [
            (entry, entry.written)
            for entry in self._entries
            if entry.wanted is not None and entry.written is not None and entry.written[0] == self._epoch
        ]

    def missed(self, registered: Sequence[tuple[Entry, _Written]], missing: Sequence[Instance]) -> None:
        """Register again what a heartbeat has found missing."""
        if not missing:
            return
        ids = {(each.key, each.id) for each in missing}
        for entry, written in registered:
            # What was written, or taken away, since then is not what the heartbeat has looked at.
            is_same = entry.written is written and entry.wanted is not None
            if is_same and (entry.first.key, entry.first.id) in ids:
                self._moved(entry, RegistrationState.LOST)
                entry.changed.set()

    def _moved(self, entry: Entry, state: RegistrationState) -> None:
        """It was registered and is not any more."""
        entry.written = None
        entry.is_missed = True
        with entry.lock:
            if entry.wanted is not None:
                entry.is_done.clear()
        entry.move(state)

    async def _keep_registered(self, entry: Entry, claims: _Claims) -> None:
        pauses = Pauses()
        while True:
            entry.changed.clear()
            wanted, epoch = entry.wanted, self._epoch
            if not self._is_open:
                if wanted is None:
                    break  # it went with its session
                await entry.changed.wait()  # also set by a session that begins
                continue
            if wanted is not None and entry.written == (epoch, wanted):
                with entry.lock:
                    if entry.wanted is wanted:  # else its owner was quicker: this is not what he waits for
                        entry.is_done.set()
                entry.move(RegistrationState.REGISTERED)
                await entry.changed.wait()
                continue
            if entry.written is not None and entry.written[0] != epoch:
                entry.move(RegistrationState.LOST)
            async with claims.turn, self._writing:
                if not self._is_open:
                    continue
                wanted, epoch = entry.wanted, self._epoch  # both may have changed while others were written
                if wanted is None:
                    if entry.tried != epoch:
                        break  # it went with its session
                    if (heir := claims.heir()) is not None:
                        # What this one wrote may be what is there: it is the heir's to write anew, or to take away.
                        heir.written, heir.tried = None, epoch
                        heir.changed.set()
                        break
                    pause = await self._try(entry, self._backend.deregister(entry.first), pauses)
                    if pause is None:
                        break
                else:
                    pause = await self._try(entry, self._write(entry, wanted, claims), pauses)
                    if pause is None:
                        entry.written = epoch, wanted
                        entry.is_missed = False
                        continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await entry.changed.wait()
        self._entries.pop(entry, None)
        claims.entries.remove(entry)
        if not claims.entries:
            del self._claims[entry.first.key, entry.first.id]
        entry.is_done.set()
        entry.move(RegistrationState.DEREGISTERED)

    async def _write(self, entry: Entry, wanted: Instance, claims: _Claims) -> None:
        holder = claims.holder(entry)
        if holder is not None:
            raise already_registered(wanted, holder, "this program")
        entry.tried = self._epoch
        is_known = entry.written is not None and entry.written[0] == self._epoch
        if entry.is_missed or is_known:
            # Who has replaced it meanwhile must not be replaced by a change.
            await self._backend.reclaim(wanted)
        else:
            await self._backend.register(wanted)

    async def _try(self, entry: Entry, work: Coroutine[Any, Any, None], pauses: Pauses) -> float | None:
        """Seconds after which to try again, unless something changes sooner; `None` if it worked."""
        epoch = self._epoch
        try:
            async with asyncio.timeout(PATIENCE):
                await work
        except SessionLost:
            if self._is_open and epoch == self._epoch:  # else it is known, and another may have begun
                self._lost()
            return pauses.next()
        except RegistryRefused as error:
            self._refused(entry, error)
            # The id may be free with the next look; what an operator refuses seldom changes.
            return self._backend.heartbeat if isinstance(error, AlreadyRegistered) else REFUSED_PAUSE
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not be the end
            entry.error = named(error, self._name)
            return pauses.next()
        if entry.is_missed and entry.wanted is not None:
            _log.warning("%s was gone from %s; registered it again", entry, self._name)
        entry.error = None
        pauses.reset()
        return None

    def _refused(self, entry: Entry, error: RegistryRefused) -> None:
        is_news = entry.error is None or str(entry.error) != str(error)
        entry.error = error
        was_registered = entry.is_missed or entry.written is not None
        if not (isinstance(error, AlreadyRegistered) and was_registered):
            if is_news:
                _log.error("%s does not take %s: %s", self._name, entry, error)
            entry.move(RegistrationState.REFUSED)
            return
        if is_news:
            _log.error("%s: %s; registering this one again when that has gone", self._name, error)
        self._moved(entry, RegistrationState.DISPLACED)

    async def stop(self, seconds: float) -> None:
        """Take away what was registered, as far as that can be done in `seconds`, and end."""
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
            entry.is_done.set()  # nobody is to wait for more
            entry.move(RegistrationState.DEREGISTERED)


def named(error: Exception, name: str) -> RegistryError:
    """What went wrong, with the name of the registry. What a backend has not translated is a bug, and is logged."""
    if isinstance(error, RegistryError):
        return error
    if isinstance(error, TimeoutError):
        return RegistryUnavailable(f"{name} does not answer")
    _log.error("an error that was not expected, at %s", name, exc_info=error)
    return RegistryUnavailable(f"{name} failed with {type(error).__name__}: {error}")
