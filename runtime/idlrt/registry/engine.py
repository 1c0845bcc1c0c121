"""The work of a `Registry` on its thread: keep a session, registrations and subscriptions, whatever happens to it.

One task each: the *session* is opened, kept by heartbeats and opened again when it is lost; each *registration* is
written in each session anew, and again when it changes; each *feed* is read again when it cannot be followed any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Final

from idlrt.core import Instance, ServiceKey, Snapshot
from idlrt.errors import RegistryError, RegistryRefused, RegistryUnavailable
from idlrt.printable import get_logger
from idlrt.registry.backend import Backend, SessionLost
from idlrt.registry.cache import SnapshotCache
from idlrt.registry.pauses import Pauses
from idlrt.registry.subscription import Feed

__all__ = ["Engine", "Entry"]

_log = get_logger("idlrt.registry")

# Seconds that opening a session, and any one request, may take.
PATIENCE: Final = 5.0
# Seconds after which a program that starts uses what an earlier one saved.
_SAVED_AFTER: Final = 0.5
# What is refused is tried again all the same, in case an operator changes his mind.
_REFUSED_PAUSE: Final = 10.0
_SAVE_EVERY: Final = 1.0
# Seconds; a registry that ends sessions sooner is not to be asked for the next one at once.
_SHORT: Final = 1.0
# Instances written, and services listed, at once. After a session was lost thousands may be due, and a heartbeat behind
# all of them would come too late: the next session would be lost as well.
_AT_ONCE: Final = 64


class Entry:
    """An instance that is to be registered. `wanted` is replaced by its owner's threads, all else belongs to the
    engine's.

    Attributes:
        lock: is held while `wanted` is replaced, and while it is said to be done.
        wanted: what is to be registered; `None` if it is to be taken away.
        error: why that has not been done; `None` if it has, or has not been tried.
        is_done: set when what is wanted has been acknowledged.
    """

    def __init__(self, instance: Instance) -> None:
        self.lock = threading.Lock()
        self.first = instance
        self.wanted: Instance | None = instance
        self.error: RegistryError | None = None
        self.is_done = threading.Event()
        self.written: tuple[int, Instance] | None = None
        # The session in which it was tried last: it may be there although no answer came.
        self.tried: int | None = None
        self.changed = asyncio.Event()


class _Claims:
    """The entries of one id. They are written one after the other: a program may register again what it takes away."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.turn = asyncio.Lock()

    def heir(self) -> Entry | None:
        """The last one that is to be there."""
        return next((each for each in reversed(self.entries) if each.wanted is not None), None)


class Engine:
    """See the module. Everything but the constructor belongs to the registry's thread."""

    def __init__(self, backend: Backend, cache: SnapshotCache | None, name: str) -> None:
        self.backend = backend
        self.name = name
        self.trouble: RegistryError | None = None
        # Grows with each session, so that what was written in an earlier one is known not to be there.
        self._epoch = 0
        self._is_open = asyncio.Event()
        self._is_lost = asyncio.Event()
        # Set, and made anew by who waits, when a try to open a session has come to something.
        self._news = asyncio.Event()
        self._cache = cache
        self._unsaved: dict[ServiceKey, Snapshot] = {}
        self._entries: dict[Entry, asyncio.Task[None]] = {}
        self._claims: dict[tuple[ServiceKey, str], _Claims] = {}
        self._feeds: dict[Feed, asyncio.Task[None]] = {}
        self._watching: dict[Feed, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._writing = asyncio.Semaphore(_AT_ONCE)
        self._listing = asyncio.Semaphore(_AT_ONCE)

    @property
    def is_open(self) -> bool:
        """Whether there is a session. Readable from any thread."""
        return self._is_open.is_set()

    def start(self) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep_session())]
        if self._cache is not None:
            self._tasks.append(loop.create_task(self._save(self._cache)))

    async def ready(self, seconds: float) -> None:
        """Wait until there is a session.

        Raises:
            RegistryError: there is none in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while not self._is_open.is_set():
                    if isinstance(self.trouble, RegistryRefused):
                        raise self.trouble
                    if self._news.is_set():
                        self._news = asyncio.Event()
                    await self._news.wait()
        except TimeoutError:
            why = f": {self.trouble}" if self.trouble is not None else "; is it running there?"
            raise RegistryUnavailable(f"{self.name} has not answered within {seconds:.3g} s{why}") from None

    # The session.

    async def _keep_session(self) -> None:
        pauses, after_short_ones = Pauses(), Pauses()
        loop = asyncio.get_running_loop()
        while True:
            self._is_lost.clear()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.backend.open(self._is_lost.set)
            except RegistryRefused as error:
                self._failed(error)
                await asyncio.sleep(_REFUSED_PAUSE)
                continue
            except Exception as error:  # noqa: BLE001  # whatever it is, it must not be the end
                self._failed(_named(error, self.name))
                await asyncio.sleep(pauses.next())
                continue
            pauses.reset()
            if self.trouble is not None:
                _log.info("%s is there again", self.name)
            self.trouble = None
            self._epoch += 1
            self._is_open.set()
            self._news.set()
            for entry in self._entries:
                entry.changed.set()
            began = loop.time()
            await self._beat()
            self._is_open.clear()
            _log.warning("lost the session at %s; registering again", self.name)
            if loop.time() - began < _SHORT:
                await asyncio.sleep(after_short_ones.next())
            else:
                after_short_ones.reset()

    async def _beat(self) -> None:
        """Send heartbeats until the session is lost."""
        pauses = Pauses(longest=self.backend.heartbeat)
        pause = self.backend.heartbeat
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._is_lost.wait()
                return
            try:
                async with asyncio.timeout(max(self.backend.heartbeat, 1.0)):
                    await self.backend.keep()
            except SessionLost:
                return
            except Exception as error:  # noqa: BLE001  # whatever it is, it must not be the end
                if self.trouble is None:
                    # Whoever follows something may not have noticed.
                    for task in self._watching.values():
                        task.cancel()
                self._failed(_named(error, self.name))
                pause = pauses.next()
            else:
                self.trouble = None
                pause = self.backend.heartbeat
                pauses.reset()

    def _failed(self, error: RegistryError) -> None:
        if self.trouble is None or type(self.trouble) is not type(error):
            _log.warning("cannot use %s: %s; trying again until it works", self.name, error)
        self.trouble = error
        self._news.set()
        if not self._is_open.is_set():
            for feed in self._feeds:
                self._use_saved(feed)
                feed.failed(error)

    # What is registered.

    def add(self, entry: Entry) -> None:
        """Register what `entry` wants, and keep it registered."""
        claims = self._claims.setdefault((entry.first.key, entry.first.id), _Claims())
        claims.entries.append(entry)
        self._entries[entry] = asyncio.get_running_loop().create_task(self._keep_registered(entry, claims))

    async def _keep_registered(self, entry: Entry, claims: _Claims) -> None:
        pauses = Pauses()
        while True:
            entry.changed.clear()
            wanted, epoch = entry.wanted, self._epoch
            if not self._is_open.is_set():
                if wanted is None:
                    break  # it went with its session
                await entry.changed.wait()  # also set by a session that begins
                continue
            if wanted is not None and entry.written == (epoch, wanted):
                with entry.lock:
                    if entry.wanted is wanted:  # else its owner was quicker: this is not what he waits for
                        entry.is_done.set()
                await entry.changed.wait()
                continue
            async with claims.turn, self._writing:
                if not self._is_open.is_set():
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
                    pause = await self._try(entry, self.backend.deregister(entry.first), pauses)
                    if pause is None:
                        break
                else:
                    entry.tried = epoch
                    pause = await self._try(entry, self.backend.register(wanted), pauses)
                    if pause is None:
                        entry.written = epoch, wanted
                        continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await entry.changed.wait()
        self._entries.pop(entry, None)
        claims.entries.remove(entry)
        if not claims.entries:
            del self._claims[entry.first.key, entry.first.id]
        entry.is_done.set()

    async def _try(self, entry: Entry, work: Coroutine[Any, Any, None], pauses: Pauses) -> float | None:
        """Seconds after which to try again, unless something changes sooner; `None` if it worked."""
        epoch = self._epoch
        try:
            async with asyncio.timeout(PATIENCE):
                await work
        except SessionLost:
            if self._is_open.is_set() and epoch == self._epoch:  # else it is known, and another may have begun
                self._is_lost.set()
            return pauses.next()
        except RegistryRefused as error:
            if entry.error is None or str(entry.error) != str(error):
                _log.error("%s does not take %s of %s: %s", self.name, entry.first.id, entry.first.key, error)
            entry.error = error
            return _REFUSED_PAUSE
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not be the end
            entry.error = _named(error, self.name)
            return pauses.next()
        entry.error = None
        pauses.reset()
        return None

    # What is followed.

    def follow(self, feed: Feed) -> None:
        """Keep `feed` up to date."""
        self._feeds[feed] = asyncio.get_running_loop().create_task(self._follow(feed))

    def unfollow(self, feed: Feed) -> None:
        """Let it be."""
        task = self._feeds.pop(feed, None)
        if task is not None:
            task.cancel()

    async def _follow(self, feed: Feed) -> None:
        pauses = Pauses()
        loop = asyncio.get_running_loop()
        rescue = loop.call_later(_SAVED_AFTER, self._use_saved, feed)
        try:
            while True:
                if not self._is_open.is_set():
                    if self.trouble is not None:
                        self._use_saved(feed)
                        feed.failed(self.trouble)
                    await self._is_open.wait()
                watching = self._watching[feed] = loop.create_task(self._watch(feed, pauses))
                try:
                    await watching
                except RegistryRefused as error:
                    feed.failed(error)
                    await asyncio.sleep(_REFUSED_PAUSE)
                    continue
                except Exception as error:  # noqa: BLE001  # whatever it is, it must not be the end
                    feed.failed(_named(error, self.name))
                except asyncio.CancelledError:
                    if not watching.done():
                        raise  # it is this one who is to end
                    if feed not in self._feeds:
                        raise
                    feed.failed(self.trouble or RegistryUnavailable(f"{self.name} does not answer"))
                finally:
                    self._watching.pop(feed, None)
                    watching.cancel()
                await asyncio.sleep(pauses.next())
        finally:
            rescue.cancel()

    async def _watch(self, feed: Feed, pauses: Pauses) -> None:
        async with contextlib.AsyncExitStack() as turn:
            await turn.enter_async_context(self._listing)
            async for found in self.backend.watch(feed.key):
                await turn.aclose()  # what comes now is news only
                feed.found(found)
                pauses.reset()

    def _use_saved(self, feed: Feed) -> None:
        if feed.snapshot is None and self._cache is not None:
            saved = self._cache.load(feed.key)
            if saved is not None:
                feed.remember(saved)

    # What is kept on disk.

    def save(self, snapshot: Snapshot) -> None:
        """Keep `snapshot` on disk, soon."""
        self._unsaved[snapshot.key] = snapshot

    async def _save(self, cache: SnapshotCache) -> None:
        try:
            while True:
                await asyncio.sleep(_SAVE_EVERY)
                if self._unsaved:
                    await asyncio.to_thread(_save_all, cache, self._to_be_saved())
        finally:
            _save_all(cache, self._to_be_saved())

    def _to_be_saved(self) -> list[Snapshot]:
        unsaved, self._unsaved = self._unsaved, {}
        return list(unsaved.values())

    # The end.

    async def stop(self, seconds: float) -> None:
        """Take away what was registered, as far as that can be done in `seconds`, and end."""
        # First, so that nobody is told of what goes now.
        feeds = list(self._feeds.values())
        self._feeds.clear()
        for task in feeds:
            task.cancel()
        entries = list(self._entries)
        for entry in entries:
            with entry.lock:
                entry.wanted = None
            entry.changed.set()
        if self._entries and self._is_open.is_set():
            await asyncio.wait(list(self._entries.values()), timeout=seconds)
        tasks = [*self._tasks, *self._entries.values()]
        for task in tasks:
            task.cancel()
        tasks += feeds
        await asyncio.gather(*tasks, return_exceptions=True)
        for entry in entries:
            entry.is_done.set()  # nobody is to wait for more
        try:
            async with asyncio.timeout(seconds):
                await self.backend.close()
        except Exception as error:  # noqa: BLE001  # the end comes anyway
            _log.info("no goodbye to %s: %s", self.name, _named(error, self.name))


def _save_all(cache: SnapshotCache, snapshots: list[Snapshot]) -> None:
    for each in snapshots:
        try:
            cache.save(each)
        except Exception:  # noqa: BLE001  # whatever it is, it must not be the end
            _log.exception("cannot keep the instances of %s", each.key)


def _named(error: Exception, name: str) -> RegistryError:
    """What went wrong, with the name of the registry. What a backend has not translated is a bug, and is logged."""
    if isinstance(error, RegistryError):
        return error
    if isinstance(error, TimeoutError):
        return RegistryUnavailable(f"{name} does not answer")
    _log.error("an error that was not expected, at %s", name, exc_info=error)
    return RegistryUnavailable(f"{name} failed with {type(error).__name__}: {error}")
