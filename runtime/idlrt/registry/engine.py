"""The work of a `Registry` on its thread: keep a session, registrations and subscriptions, whatever happens to it.

One task each: the *session* is opened, kept by heartbeats and opened again when it is lost; each *feed* is read again
when it cannot be followed any more. What is registered is kept by the `Registrar`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from idlrt.core import ServiceKey, Snapshot
from idlrt.core.logs import get_logger
from idlrt.errors import RegistryError, RegistryRefused, RegistryUnavailable
from idlrt.registry.backend import Backend, SessionLost
from idlrt.registry.cache import SnapshotCache
from idlrt.registry.pauses import Pauses
from idlrt.registry.registrar import PATIENCE, REFUSED_PAUSE, Entry, Registrar, named
from idlrt.registry.subscription import Feed

__all__ = ["Engine", "Entry"]

_log = get_logger("idlrt.registry")

# Seconds after which a program that starts uses what an earlier one saved.
_SAVED_AFTER: Final = 0.5
_SAVE_EVERY: Final = 1.0
# Seconds; a registry that ends sessions sooner is not to be asked for the next one at once.
_SHORT: Final = 1.0
# Services listed at once, so that a heartbeat is not behind thousands of them when a session was lost.
_AT_ONCE: Final = 64


class Engine:
    """See the module. Everything but the constructor belongs to the registry's thread."""

    def __init__(self, backend: Backend, cache: SnapshotCache | None, name: str) -> None:
        self.backend = backend
        self.name = name
        self.trouble: RegistryError | None = None
        self._is_open = asyncio.Event()
        self._is_lost = asyncio.Event()
        self._registrar = Registrar(backend, name, self._is_lost.set)
        # Set, and made anew by who waits, when a try to open a session has come to something.
        self._news = asyncio.Event()
        self._cache = cache
        self._unsaved: dict[ServiceKey, Snapshot] = {}
        self._feeds: dict[Feed, asyncio.Task[None]] = {}
        self._watching: dict[Feed, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
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
                await asyncio.sleep(REFUSED_PAUSE)
                continue
            except Exception as error:  # noqa: BLE001  # whatever it is, it must not be the end
                self._failed(named(error, self.name))
                await asyncio.sleep(pauses.next())
                continue
            pauses.reset()
            if self.trouble is not None:
                _log.info("%s is there again", self.name)
            self.trouble = None
            self._is_open.set()
            self._news.set()
            self._registrar.session_began()
            began = loop.time()
            await self._beat()
            self._is_open.clear()
            self._registrar.session_ended()
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
                registered = self._registrar.registered()
                async with asyncio.timeout(max(self.backend.heartbeat, 1.0)):
                    missing = await self.backend.keep([instance for _, (_, instance) in registered])
                self._registrar.missed(registered, missing)
            except SessionLost:
                return
            except Exception as error:  # noqa: BLE001  # whatever it is, it must not be the end
                if self.trouble is None:
                    # Whoever follows something may not have noticed.
                    for task in self._watching.values():
                        task.cancel()
                self._failed(named(error, self.name))
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
        self._registrar.add(entry)

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
                    await asyncio.sleep(REFUSED_PAUSE)
                    continue
                except Exception as error:  # noqa: BLE001  # whatever it is, it must not be the end
                    feed.failed(named(error, self.name))
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
        await self._registrar.stop(seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *feeds, return_exceptions=True)
        try:
            async with asyncio.timeout(seconds):
                await self.backend.close()
        except Exception as error:  # noqa: BLE001  # the end comes anyway
            _log.info("no goodbye to %s: %s", self.name, named(error, self.name))


def _save_all(cache: SnapshotCache, snapshots: list[Snapshot]) -> None:
    for each in snapshots:
        try:
            cache.save(each)
        except Exception:  # noqa: BLE001  # whatever it is, it must not be the end
            _log.exception("cannot keep the instances of %s", each.key)
